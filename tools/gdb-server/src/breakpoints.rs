//! Where GDB wants breakpoints, and where the device has them.

use std::collections::BTreeSet;

/// GDB takes its breakpoints away at each stop and puts them back before it goes on. The device hears of the difference.
#[derive(Debug, Default)]
pub(crate) struct Breakpoints {
    wanted: BTreeSet<u32>,
    placed: BTreeSet<u32>,
}

impl Breakpoints {
    pub(crate) fn set(&mut self, address: u32) {
        self.wanted.insert(address);
    }

    pub(crate) fn clear(&mut self, address: u32) {
        self.wanted.remove(&address);
    }

    pub(crate) fn count(&self) -> usize {
        self.wanted.len()
    }

    /// What the device has to take away and to put in place.
    pub(crate) fn difference(&self) -> (Vec<u32>, Vec<u32>) {
        let away = self.placed.difference(&self.wanted).copied().collect();
        let new = self.wanted.difference(&self.placed).copied().collect();
        (away, new)
    }

    /// The device did as [`Self::difference`] says.
    pub(crate) fn agreed(&mut self) {
        self.placed.clone_from(&self.wanted);
    }

    /// The device has none any more.
    pub(crate) fn forgotten(&mut self) {
        self.placed.clear();
    }
}
