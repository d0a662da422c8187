//! The one way to touch a peripheral's register.

/// A block of 32-bit registers.
#[derive(Clone, Copy)]
pub(crate) struct Registers(u32);

impl Registers {
    /// Registers at `base`.
    ///
    /// # Safety
    /// 1. `base` is a peripheral of this chip, in the alias of the world that this image runs in, and no Rust object
    ///    lies there.
    pub(crate) const unsafe fn at(base: u32) -> Self {
        Self(base)
    }

    pub(crate) fn read(self, offset: u32) -> u32 {
        // SAFETY: `at` promised that this is a peripheral's register.
        unsafe { core::ptr::read_volatile(self.0.wrapping_add(offset) as usize as *const u32) }
    }

    pub(crate) fn write(self, offset: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe { core::ptr::write_volatile(self.0.wrapping_add(offset) as usize as *mut u32, value) }
    }
}
