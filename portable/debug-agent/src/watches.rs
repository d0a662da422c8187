//! Memory whose reads and writes the developer wants to hear of.
//!
//! A watch is guarded where it can be: the machine makes each access to it, or near it, a fault; the agent decodes the
//! instruction, steps over it with the guard down, and looks. Where it cannot, the application is stepped all the time:
//! on a live stack, where the processor itself would stumble over the guard and lose a frame, and where the machine has
//! no guard left.

use bulkhead_debug_protocol::{
    REGIONS_MAX, RefusalReason, Region, RegionKind, RegisterFile, WATCH_LEN_MAX, Watch, WatchKind,
};

use crate::accesses::{Access, Direction, access};
use crate::target::{DebugTarget, GUARD_GRAIN, Memory};

/// Most watches at once.
pub const WATCHES_MAX: usize = 4;

const VALUE_LEN: usize = WATCH_LEN_MAX as usize;

/// What the processor pushes below a stack pointer when the application comes to a stand, with room for its alignment.
const FRAME_BELOW: u32 = 112;
/// What the processor pushes at most below a stack pointer, with room for the calls that follow.
const STACK_BELOW: u32 = 256;
/// How far above its pointer a stack is taken to reach whose end nobody tells.
const STACK_ABOVE: u32 = 1024;

/// How a watch is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keeping {
    /// By this guard of the machine.
    Guarded(usize),
    /// By stepping.
    Stepped,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    watch: Watch,
    keeping: Keeping,
    /// What it held before the step.
    before: [u8; VALUE_LEN],
    /// The step's instruction does what the watch looks for.
    hit: bool,
}

impl Entry {
    /// Whether the guard of this watch is in the way of an access.
    fn guards(&self, address: u32, len: u32) -> bool {
        let (first, last) = grains(&self.watch);
        let access = Access { address, len, direction: Direction::Load };
        matches!(self.keeping, Keeping::Guarded(_))
            && access.touches(first, last.wrapping_sub(first).wrapping_add(1))
    }
}

/// First and last address of the grains that a watch lies in.
fn grains(watch: &Watch) -> (u32, u32) {
    let last = watch.address.wrapping_add(watch.len.saturating_sub(1));
    (watch.address & !(GUARD_GRAIN - 1), last | (GUARD_GRAIN - 1))
}

#[derive(Debug)]
pub(crate) struct Watches {
    entries: [Option<Entry>; WATCHES_MAX],
}

impl Watches {
    pub(crate) const fn new() -> Self {
        Self { entries: [None; WATCHES_MAX] }
    }

    /// Adds a watch; `true`: it is kept by stepping.
    ///
    /// # Errors
    /// `Malformed`, `Forbidden` where it is not the application's RAM, `Full`.
    pub(crate) fn add(
        &mut self,
        watch: Watch,
        registers: &RegisterFile,
        target: &mut impl DebugTarget,
    ) -> Result<bool, RefusalReason> {
        if watch.len == 0 || watch.len > WATCH_LEN_MAX {
            return Err(RefusalReason::Malformed);
        }
        if !is_ram(&watch, target) {
            return Err(RefusalReason::Forbidden);
        }
        if let Some(known) = self.entries.iter().flatten().find(|entry| entry.watch == watch) {
            return Ok(known.keeping == Keeping::Stepped);
        }
        let keeping = if on_a_stack(grains(&watch), registers, target) {
            Keeping::Stepped
        } else {
            let is_free = |guard: &usize| {
                let taken = Keeping::Guarded(*guard);
                !self.entries.iter().flatten().any(|entry| entry.keeping == taken)
            };
            (0..target.guards_max()).find(is_free).map_or(Keeping::Stepped, Keeping::Guarded)
        };
        let place = self.entries.iter_mut().find(|entry| entry.is_none()).ok_or(RefusalReason::Full)?;
        *place = Some(Entry { watch, keeping, before: [0; VALUE_LEN], hit: false });
        Ok(keeping == Keeping::Stepped)
    }

    /// Takes a watch away, guards being down; one that is not there is as good.
    pub(crate) fn remove(&mut self, watch: &Watch) {
        for place in &mut self.entries {
            place.take_if(|entry| entry.watch == *watch);
        }
    }

    /// Forgets all, guards being down.
    pub(crate) fn clear(&mut self) {
        self.entries = [None; WATCHES_MAX];
    }

    /// Whether anything is watched.
    pub(crate) fn any(&self) -> bool {
        self.entries.iter().any(Option::is_some)
    }

    /// Whether the application has to be stepped for a watch.
    pub(crate) fn want_steps(&self) -> bool {
        self.entries.iter().flatten().any(|entry| entry.keeping == Keeping::Stepped)
    }

    /// Puts the guards up.
    pub(crate) fn arm(&self, target: &mut impl DebugTarget) {
        self.set_guards(target, |entry| Some(grains(&entry.watch)));
    }

    /// Takes the guards down.
    pub(crate) fn lift(&self, target: &mut impl DebugTarget) {
        self.set_guards(target, |_| None);
    }

    fn set_guards(&self, target: &mut impl DebugTarget, range: impl Fn(&Entry) -> Option<(u32, u32)>) {
        for entry in self.entries.iter().flatten() {
            if let Keeping::Guarded(guard) = entry.keeping {
                target.guard(guard, range(entry));
            }
        }
    }

    /// Whether a guard is why the instruction at the program counter faulted.
    pub(crate) fn caused(&self, registers: &RegisterFile, memory: &mut impl Memory) -> bool {
        let in_the_way = |address, len| self.entries.iter().flatten().any(|entry| entry.guards(address, len));
        if self.entries.iter().all(Option::is_none) {
            return false;
        }
        // An instruction may itself lie in a guarded grain, or reach into one.
        let touched = access(registers, memory).ok().flatten();
        in_the_way(registers.pc(), 4) || touched.is_some_and(|access| in_the_way(access.address, access.len))
    }

    /// Looks at the instruction that is about to be stepped. Returns whether guards are in its way.
    pub(crate) fn before(&mut self, registers: &RegisterFile, memory: &mut impl Memory) -> bool {
        if self.entries.iter().all(Option::is_none) {
            return false;
        }
        let touched = access(registers, memory).ok().flatten();
        let mut in_the_way = false;
        for entry in self.entries.iter_mut().flatten() {
            let watch = entry.watch;
            entry.before = value(&watch, memory);
            let direction = touched
                .filter(|access| access.touches(watch.address, watch.len))
                .map(|access| access.direction);
            entry.hit = match watch.kind {
                WatchKind::Write => false,
                WatchKind::Read => direction.is_some_and(|direction| direction != Direction::Store),
                WatchKind::Access => direction.is_some(),
            };
            in_the_way |= entry.guards(registers.pc(), 4)
                || touched.is_some_and(|access| entry.guards(access.address, access.len));
        }
        in_the_way
    }

    /// The watch that the step hit, if it did. What lies below the stack pointer is nobody's: the processor writes there
    /// whenever the application comes to a stand.
    pub(crate) fn after(&mut self, registers: &RegisterFile, memory: &mut impl Memory) -> Option<Watch> {
        let mut found = None;
        for entry in self.entries.iter_mut().flatten() {
            let now = value(&entry.watch, memory);
            let bytes = (entry.watch.address..).zip(now.iter().zip(&entry.before));
            let mut others = bytes.filter(|(at, (now, before))| {
                now != before && !(1..=FRAME_BELOW).contains(&registers.sp().wrapping_sub(*at))
            });
            let changed = entry.watch.kind == WatchKind::Write && others.next().is_some();
            if core::mem::take(&mut entry.hit) || changed {
                found = found.or(Some(entry.watch));
            }
        }
        found
    }
}

/// What a watch holds; zeros where it cannot be read.
fn value(watch: &Watch, memory: &mut impl Memory) -> [u8; VALUE_LEN] {
    let mut value = [0; VALUE_LEN];
    let len = usize::try_from(watch.len).unwrap_or_default();
    if let Some(room) = value.get_mut(..len)
        && memory.read(watch.address, room).is_err()
    {
        room.fill(0);
    }
    value
}

fn is_ram(watch: &Watch, target: &impl DebugTarget) -> bool {
    let holds = |region: &Region| {
        let end = watch.address.checked_sub(region.address).and_then(|at| at.checked_add(watch.len));
        region.kind == RegionKind::Ram && end.is_some_and(|end| end <= region.len)
    };
    (0..REGIONS_MAX).filter_map(|index| target.region(index)).any(|region| holds(&region))
}

/// Whether grains reach into a stack of the application, which its interrupts use at any time.
fn on_a_stack((first, last): (u32, u32), registers: &RegisterFile, target: &mut impl DebugTarget) -> bool {
    let [msp, psp, _, _, _, _, msplim, psplim] = registers.system.0;
    let table = target.vector_table();
    let initial = target.word(table).unwrap_or_default();
    let reaches = |sp: u32, limit: u32, initial: u32| {
        let holds = |region: &Region| sp.wrapping_sub(region.address) <= region.len;
        let region = (0..REGIONS_MAX).filter_map(|index| target.region(index)).find(holds);
        let Some(end) = region.map(|region| region.address.saturating_add(region.len)) else { return false };
        let top = if (sp..=end).contains(&initial) { initial } else { sp.saturating_add(STACK_ABOVE) };
        let bottom = if limit != 0 && limit <= sp { limit } else { sp.saturating_sub(STACK_BELOW) };
        first < top && last >= bottom
    };
    reaches(msp, msplim, initial) || reaches(psp, psplim, 0)
}
