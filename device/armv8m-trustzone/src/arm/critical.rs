//! State shared between gateways, interrupts and the executor.

use core::cell::UnsafeCell;

/// A value that is only touched with all interrupts masked.
///
/// Gateways run on the caller's level and may be entered from any non-secure interrupt, so a lock that waits is
/// out of the question; a few dozen instructions with PRIMASK_S set are the whole cost.
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: there is one processor, and `with` masks every interrupt while the value is borrowed.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Runs `work` on the value with interrupts masked. Keep it short: it delays everything.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let before: u32;
        // SAFETY: reads and sets PRIMASK_S only; the compiler is told that memory may change.
        unsafe { core::arch::asm!("mrs {0}, primask", "cpsid i", out(reg) before) };
        // SAFETY: interrupts are masked, so no other borrow exists on this processor; a fault handler never
        // calls `with` on a value it could have interrupted (faults in here end in a restart).
        let result = work(unsafe { &mut *self.0.get() });
        // SAFETY: restores what was read above, so that nesting works.
        unsafe { core::arch::asm!("msr primask, {0}", in(reg) before) };
        result
    }
}
