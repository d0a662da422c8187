//! Counts erases by what they were for: a wrapper around flash, so that nobody can forget to count.

use bulkhead_nor_flash::{FlashAddress, FlashError, Geometry, NorFlash};
use bulkhead_update_engine::Part;

/// Parts of one memory whose erases are told apart.
const PARTS_MAX: usize = 3;

/// Erases in each part of one memory.
pub(crate) type Erases = [u32; PARTS_MAX];

/// A memory that counts.
pub(crate) struct Counted<'f, F> {
    flash: &'f mut F,
    parts: [Part; PARTS_MAX],
    pub(crate) erases: Erases,
}

/// Nothing of a memory.
const NONE: Part = Part::new(0, 0);

impl<'f, F: NorFlash> Counted<'f, F> {
    /// Counts all erases as one part's: whoever is given it uses nothing else.
    pub(crate) const fn whole(flash: &'f mut F) -> Self {
        Self::new(flash, [Part::new(0, u32::MAX), NONE, NONE])
    }

    /// Erases of what [`Self::whole`] made.
    pub(crate) const fn all(&self) -> u32 {
        let [all, ..] = self.erases;
        all
    }

    pub(crate) const fn new(flash: &'f mut F, parts: [Part; PARTS_MAX]) -> Self {
        Self { flash, parts, erases: [0; PARTS_MAX] }
    }
}

impl<F: NorFlash> NorFlash for Counted<'_, F> {
    fn geometry(&self) -> Geometry {
        self.flash.geometry()
    }

    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
        self.flash.read(at, out)
    }

    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
        self.flash.program(at, bytes)
    }

    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        // What fails wears the cells as well.
        for (count, part) in self.erases.iter_mut().zip(self.parts) {
            let inside = at.0.checked_sub(part.start.0).is_some_and(|offset| offset < part.length);
            *count = count.saturating_add(u32::from(inside));
        }
        self.flash.erase(at)
    }
}
