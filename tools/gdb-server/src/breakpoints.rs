//! Where GDB wants breakpoints, under which conditions, and where the device has them.

use std::collections::BTreeMap;

use crate::transfer::{number, split_once, unhex};

/// What the device evaluates at a place: agent expressions, empty for none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Expressions {
    /// Whether to act.
    pub(crate) condition: Vec<u8>,
    /// What to print instead of stopping.
    pub(crate) command: Vec<u8>,
    /// Pictures to take at most instead of stopping; 0 for none.
    pub(crate) pictures: u32,
}

/// By address.
type Places = BTreeMap<u32, Expressions>;

/// GDB takes its breakpoints away at each stop and puts them back before it goes on. The device hears of the difference.
#[derive(Debug, Default)]
pub(crate) struct Breakpoints {
    wanted: Places,
    placed: Places,
    /// The device may have any of `placed`, or none.
    unsure: bool,
}

impl Breakpoints {
    pub(crate) fn set(&mut self, address: u32, expressions: Expressions) {
        self.wanted.insert(address, expressions);
    }

    pub(crate) fn clear(&mut self, address: u32) {
        self.wanted.remove(&address);
    }

    /// Whether GDB wants a breakpoint here, without conditions.
    pub(crate) fn stops_at(&self, address: u32) -> bool {
        self.wanted.get(&address).is_some_and(|expressions| *expressions == Expressions::default())
    }

    pub(crate) fn has(&self, address: u32) -> bool {
        self.wanted.get(&address).is_some_and(|expressions| expressions.pictures == 0)
    }

    /// Places where pictures are taken, and how many at most.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = (u32, u32)> {
        let places = self.wanted.iter().map(|(at, expressions)| (*at, expressions.pictures));
        places.filter(|(_, pictures)| *pictures > 0)
    }

    /// No pictures are wanted any more.
    pub(crate) fn clear_pictures(&mut self) {
        self.wanted.retain(|_, expressions| expressions.pictures == 0);
    }

    pub(crate) fn count(&self) -> usize {
        self.wanted.len()
    }

    /// What the device has to take away, and to put in place.
    pub(crate) fn difference(&self) -> (Vec<u32>, Vec<(u32, Expressions)>) {
        let away = self.placed.keys().filter(|at| !self.wanted.contains_key(at)).copied().collect();
        let known =
            |at: &u32, expressions: &Expressions| !self.unsure && self.placed.get(at) == Some(expressions);
        let new = self.wanted.iter().filter(|(at, expressions)| !known(at, expressions));
        (away, new.map(|(at, expressions)| (*at, expressions.clone())).collect())
    }

    /// The device did as [`Self::difference`] says, but for a place that it runs through.
    pub(crate) fn agreed(&mut self, but: Option<u32>) {
        self.placed.clone_from(&self.wanted);
        self.unsure = false;
        if let Some(address) = but {
            self.placed.remove(&address);
        }
    }

    /// The device may have done as [`Self::difference`] says, in part.
    pub(crate) fn forgotten(&mut self) {
        self.placed.extend(self.wanted.clone());
        self.unsure = true;
    }

    /// The device has none.
    pub(crate) fn lost(&mut self) {
        self.placed.clear();
        self.unsure = false;
    }
}

/// The expressions in the rest of a `Z` packet: conditions, then `;cmds:`, whether they outlive GDB, `,`, and commands.
/// `None`: it cannot be read, or it says more than one thing to print.
pub(crate) fn expressions(text: &[u8]) -> Option<Expressions> {
    const COMMANDS: &[u8] = b";cmds:";
    let at = text.windows(COMMANDS.len()).position(|window| window == COMMANDS);
    let (conditions, commands) = text.split_at(at.unwrap_or(text.len()));
    let command = match commands.strip_prefix(COMMANDS) {
        Some(commands) => condition(split_once(commands, b',')?.1).filter(|command| !command.is_empty())?,
        None => Vec::new(),
    };
    Some(Expressions { condition: condition(conditions)?, command, pictures: 0 })
}

/// The condition in the rest of a `Z` packet: `;X` length `,` digits. Several of them stop where any holds, which the
/// device cannot tell: then GDB does, and so there is none. `None`: it cannot be read.
fn condition(text: &[u8]) -> Option<Vec<u8>> {
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
    fn a_command_is_read_with_and_without_a_condition() {
        let read = |text| expressions(text).map(|found| (found.condition, found.command));
        assert_eq!(read(b";cmds:0,X2,3427"), Some((vec![], vec![0x34, 0x27])));
        assert_eq!(read(b";X3,220127;cmds:1,X1,27"), Some((vec![0x22, 1, 0x27], vec![0x27])));
        for nonsense in [&b";cmds:"[..], b";cmds:0", b";cmds:0,", b";cmds:0,X1,27X1,27", b";X3;cmds:0,X1,27"]
        {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn what_the_device_may_have_is_taken_away_and_what_it_may_lack_is_put_in_place() {
        let mut breakpoints = Breakpoints::default();
        breakpoints.set(0x100, Expressions::default());
        breakpoints.forgotten();
        breakpoints.clear(0x100);
        breakpoints.set(0x200, Expressions::default());
        assert_eq!(breakpoints.difference(), (vec![0x100], vec![(0x200, Expressions::default())]));
        breakpoints.agreed(None);
        assert_eq!(breakpoints.difference(), (vec![], vec![]));
        breakpoints.lost();
        assert_eq!(breakpoints.difference(), (vec![], vec![(0x200, Expressions::default())]));
    }

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
