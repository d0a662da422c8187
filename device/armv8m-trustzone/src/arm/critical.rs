//! State shared between gateways, interrupts and the executor.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

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

/// A value that belongs to the executor. Empty until [`ExecutorCell::set`].
///
/// The executor is never re-entered, so the flag is never found taken by it; it turns a mistake (a fault handler or a
/// gateway that reaches in) into `None` instead of undefined behaviour.
pub struct ExecutorCell<T> {
    free: AtomicBool,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: `with` and `set` hand the value to one borrower at a time.
unsafe impl<T> Sync for ExecutorCell<T> {}

impl<T> ExecutorCell<T> {
    /// An empty cell.
    pub const fn empty() -> Self {
        Self { free: AtomicBool::new(true), value: UnsafeCell::new(None) }
    }

    /// Fills the cell with what `make` returns, built in place where the compiler can.
    pub fn set(&self, make: impl FnOnce() -> T) {
        if self.free.swap(false, Ordering::Acquire) {
            // SAFETY: the flag was free, so nobody else borrows the value.
            let slot = unsafe { &mut *self.value.get() };
            *slot = Some(make());
            self.free.store(true, Ordering::Release);
        }
    }

    /// Runs `work` on the value; `None` when the cell is empty or borrowed.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !self.free.swap(false, Ordering::Acquire) {
            return None;
        }
        // SAFETY: the flag was free, so nobody else borrows the value.
        let slot = unsafe { &mut *self.value.get() };
        let result = slot.as_mut().map(work);
        self.free.store(true, Ordering::Release);
        result
    }
}
