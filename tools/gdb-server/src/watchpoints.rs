//! What GDB wants watched, and what the device watches.

use bulkhead_debug_protocol::{RegionKind, WATCH_LEN_MAX, Watch, WatchKind};

use crate::memory::Memory;
use crate::transfer::pair;

/// As for breakpoints: GDB takes them away at each stop, and the device hears of the difference.
#[derive(Debug, Default)]
pub(crate) struct Watchpoints {
    wanted: Vec<Watch>,
    placed: Vec<Watch>,
    max: usize,
}

/// Why a watchpoint is not set, as GDB is told.
pub(crate) type Refusal = &'static str;

impl Watchpoints {
    /// For a device that keeps `max` at once.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Takes the rest of a `Z` or `z` packet behind its kind: `,address,length`.
    pub(crate) fn read(kind: WatchKind, place: &[u8]) -> Option<Watch> {
        let (address, len) = pair(place, b',')?;
        Some(Watch { address, len, kind })
    }

    pub(crate) fn set(&mut self, watch: Watch, memory: &Memory) -> Result<(), Refusal> {
        let ends = [watch.address, watch.address.saturating_add(watch.len.saturating_sub(1))];
        if watch.len != 0 && ends.iter().all(|end| memory.region(*end, 1).is_none()) {
            // The application has nothing there: an access is a fault, which stops it without our doing. GDB watches where a
            // pointer points to, and one that is null is to be watched all the same.
            return Ok(());
        }
        let region = memory.region(watch.address, watch.len);
        let is_ram = region.is_some_and(|region| region.kind == RegionKind::Ram);
        if !is_ram || watch.len == 0 || watch.len > WATCH_LEN_MAX {
            return Err("E0e");
        }
        if !self.wanted.contains(&watch) {
            if self.wanted.len() >= self.max {
                return Err("E1c");
            }
            self.wanted.push(watch);
        }
        Ok(())
    }

    pub(crate) fn clear(&mut self, watch: &Watch) {
        self.wanted.retain(|wanted| wanted != watch);
    }

    /// Whether anything is watched.
    pub(crate) fn any(&self) -> bool {
        !self.wanted.is_empty() || !self.placed.is_empty()
    }

    pub(crate) fn wants(&self, watch: &Watch) -> bool {
        self.wanted.contains(watch)
    }

    /// What the device has to forget, and to watch.
    pub(crate) fn difference(&self) -> (Vec<Watch>, Vec<Watch>) {
        let missing = |from: &[Watch], than: &[Watch]| -> Vec<Watch> {
            from.iter().filter(|watch| !than.contains(watch)).copied().collect()
        };
        (missing(&self.placed, &self.wanted), missing(&self.wanted, &self.placed))
    }

    /// The device did as [`Self::difference`] says.
    pub(crate) fn agreed(&mut self) {
        self.placed.clone_from(&self.wanted);
    }

    /// The device watches nothing: another application runs.
    pub(crate) fn forgotten(&mut self) {
        self.placed.clear();
    }
}

/// The word for a kind in the packet of a stop.
pub(crate) fn stop_word(kind: WatchKind) -> &'static str {
    match kind {
        WatchKind::Write => "watch",
        WatchKind::Read => "rwatch",
        WatchKind::Access => "awatch",
    }
}
