//! State shared between gateways, interrupts and the executor.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, Ordering};

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
/// gateway that reaches in) into `None` instead of undefined behaviour. An empty cell is all zeros: it costs no flash.
pub struct ExecutorCell<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

const EMPTY: u8 = 0;
const FREE: u8 = 1;
const BORROWED: u8 = 2;

// SAFETY: `with` and `set` hand the value to one borrower at a time.
unsafe impl<T> Sync for ExecutorCell<T> {}

impl<T> ExecutorCell<T> {
    /// An empty cell.
    pub const fn empty() -> Self {
        Self { state: AtomicU8::new(EMPTY), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Fills an empty cell with what `make` returns, built in place where the compiler can. A full one stays as it is.
    pub fn set(&self, make: impl FnOnce() -> T) {
        if self.state.compare_exchange(EMPTY, BORROWED, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            // SAFETY: the cell was empty and is marked as borrowed, so nobody else has a reference to it.
            let slot = unsafe { &mut *self.value.get() };
            slot.write(make());
            self.state.store(FREE, Ordering::Release);
        }
    }

    /// Runs `work` on the value; `None` when the cell is empty or borrowed.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.state.compare_exchange(FREE, BORROWED, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // SAFETY: the cell was free, so nobody else has a reference to the value.
        let slot = unsafe { &mut *self.value.get() };
        // SAFETY: it was free, so `set` has filled it.
        let result = work(unsafe { slot.assume_init_mut() });
        self.state.store(FREE, Ordering::Release);
        Some(result)
    }
}
