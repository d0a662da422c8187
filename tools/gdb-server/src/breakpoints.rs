//! Where GDB wants breakpoints, under which conditions, and where the device has them.

use std::collections::BTreeMap;

use crate::transfer::{number, split_once, unhex};

/// Addresses, and an agent expression for each, empty for none.
type Places = BTreeMap<u32, Vec<u8>>;

/// GDB takes its breakpoints away at each stop and puts them back before it goes on. The device hears of the difference.
#[derive(Debug, Default)]
pub(crate) struct Breakpoints {
    wanted: Places,
    placed: Places,
}

impl Breakpoints {
    pub(crate) fn set(&mut self, address: u32, condition: Vec<u8>) {
        self.wanted.insert(address, condition);
    }

    pub(crate) fn clear(&mut self, address: u32) {
        self.wanted.remove(&address);
    }

    pub(crate) fn count(&self) -> usize {
        self.wanted.len()
    }

    /// What the device has to take away, and to put in place.
    pub(crate) fn difference(&self) -> (Vec<u32>, Vec<(u32, Vec<u8>)>) {
        let away = self.placed.keys().filter(|at| !self.wanted.contains_key(at)).copied().collect();
        let new = self.wanted.iter().filter(|(at, condition)| self.placed.get(at) != Some(condition));
        (away, new.map(|(at, condition)| (*at, condition.clone())).collect())
    }

    /// The device did as [`Self::difference`] says.
    pub(crate) fn agreed(&mut self) {
        self.placed.clone_from(&self.wanted);
    }

    /// It is not known which the device has.
    pub(crate) fn forgotten(&mut self) {
        self.placed.clear();
    }
}

/// The condition in the rest of a `Z` packet: `;X` length `,` digits. Several of them stop where any holds, which the
/// device cannot tell: then GDB does, and so there is none. `None`: it cannot be read.
pub(crate) fn condition(text: &[u8]) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    for part in text.split(|byte| *byte == b';').filter(|part| !part.is_empty()) {
        let (len, digits) = split_once(part.strip_prefix(b"X")?, b',')?;
        let expression = unhex(digits)?;
        if usize::try_from(number(len)?).ok()? != expression.len() {
            return None;
        }
        found.push(expression);
    }
    Some(if found.len() == 1 { found.pop()? } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_read_and_nonsense_is_not() {
        assert_eq!(condition(b""), Some(vec![]));
        assert_eq!(condition(b";X3,220127"), Some(vec![0x22, 1, 0x27]));
        assert_eq!(condition(b";X3,220127;X3,220027"), Some(vec![]), "several: GDB decides");
        for nonsense in [&b";X"[..], b";X3", b";X3,2201", b";X4,220127", b";Y1,27", b";cmds:0"] {
            assert_eq!(condition(nonsense), None, "{nonsense:?}");
        }
    }
}
