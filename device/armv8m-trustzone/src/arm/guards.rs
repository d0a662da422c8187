//! Makes accesses of the application to parts of its own memory faults, for a debugger's watches.
//!
//! An address that two regions of the SAU cover is secure, whatever the regions say (DDI 0553, B10.2.1): a spare region laid
//! over the application's memory takes a part of it away. Nothing is ever given to the application that way. What the
//! hypervisor does on its behalf goes on: [`lifted`] opens the guards for it, and nobody comes between meanwhile.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::critical::Shared;
use super::registers::{self as scs, SAU_RBAR, SAU_RLAR, SAU_RNR, SAU_TYPE};

/// Most guards, whatever the processor has.
pub const GUARDS_MAX: usize = 4;

type Range = Option<(u32, u32)>;

struct Guards {
    ranges: [Range; GUARDS_MAX],
}

static GUARDS: Shared<Guards> = Shared::new(Guards { ranges: [None; GUARDS_MAX] });
/// Whether there is one: every pointer of a system call asks, and hardly ever a debugger watches.
static ARE_UP: AtomicBool = AtomicBool::new(false);
/// The first region of the SAU that the partition does not use.
static FIRST_SPARE: AtomicU32 = AtomicU32::new(u32::MAX);

/// Says which regions of the SAU the partition uses; until then there is no guard.
pub(super) fn set_first_spare(number: u32) {
    FIRST_SPARE.store(number, Ordering::Relaxed);
}

/// How many guards there are.
pub fn available() -> usize {
    let spare = (scs::read(SAU_TYPE) & 0xFF).saturating_sub(FIRST_SPARE.load(Ordering::Relaxed));
    usize::try_from(spare).unwrap_or_default().min(GUARDS_MAX)
}

/// Puts a guard up over the 32-byte blocks from the one of `first` to the one of `last`, or takes it down.
pub fn set(index: usize, range: Option<(u32, u32)>) {
    if index >= available() {
        return;
    }
    GUARDS.with(|guards| {
        if let Some(place) = guards.ranges.get_mut(index) {
            *place = range;
        }
        guards.lay();
    });
}

/// Does `work` on the application's memory `[address, address + len)` with the guards open, where they are in its way.
///
/// The application must not run meanwhile, or it would slip through, so where they are everything waits: keep it short.
pub(super) fn lifted<R>(address: u32, len: u32, work: impl FnOnce() -> R) -> R {
    if !ARE_UP.load(Ordering::Relaxed) || !GUARDS.with(|guards| guards.touch(address, len)) {
        return work();
    }
    GUARDS.with(|guards| {
        let ranges = core::mem::take(&mut guards.ranges);
        guards.lay();
        let result = work();
        guards.ranges = ranges;
        guards.lay();
        result
    })
}

/// The application's context is thrown away.
pub(super) fn forget() {
    GUARDS.with(|guards| {
        if guards.ranges.iter().any(Option::is_some) {
            guards.ranges = [None; GUARDS_MAX];
            guards.lay();
        }
    });
}

impl Guards {
    fn touch(&self, address: u32, len: u32) -> bool {
        let last = address.saturating_add(len.saturating_sub(1));
        self.ranges.iter().flatten().any(|range| address <= range.1 | 0x1F && last >= range.0 & !0x1F)
    }

    fn lay(&self) {
        ARE_UP.store(self.ranges.iter().any(Option::is_some), Ordering::Relaxed);
        let first = FIRST_SPARE.load(Ordering::Relaxed);
        for (number, range) in (0..).zip(self.ranges.iter().take(available())) {
            scs::write(SAU_RNR, first.saturating_add(number));
            match range {
                Some((first, last)) => {
                    scs::write(SAU_RBAR, first & !0x1F);
                    scs::write(SAU_RLAR, last & !0x1F | 1);
                }
                None => scs::write(SAU_RLAR, 0),
            }
        }
        scs::barrier();
    }
}
