//! The two devices that are tested: one so small that everything can be tried, and one as large as the real one.

use bulkhead_update_engine::{Layout, Part};

/// Page of the small die in bytes: a journal record and four marks.
pub const DIE_PAGE: u32 = 256;
/// Sector of the small external flash in bytes: a die page fits one record, a sector needs two.
pub const SECTOR: u32 = 512;

/// The small device: 4 application pages, 4 of the journal, two slots of 3, three
/// of 3 for key sets; 2 external pages, 16 sectors of staging.
pub const LAYOUT: Layout = Layout {
    die_application: Part::new(0, 4 * DIE_PAGE),
    die_journal: Part::new(4 * DIE_PAGE, 4 * DIE_PAGE),
    die_manifests: Part::new(8 * DIE_PAGE, 6 * DIE_PAGE),
    die_keys: Part::new(14 * DIE_PAGE, 9 * DIE_PAGE),
    external_application: Part::new(0, 2 * SECTOR),
    external_staging: Part::new(2 * SECTOR, 16 * SECTOR),
};

/// Memories and what lies where in them.
#[derive(Debug, Eq, PartialEq)]
pub struct Shape {
    /// Where things lie.
    pub layout: Layout,
    /// Erase block of the die in bytes.
    pub die_page: u32,
    /// Erase block of external flash in bytes.
    pub sector: u32,
    /// The die's flash in bytes.
    pub die_size: u32,
    /// External flash in bytes.
    pub external_size: u32,
}

/// Small enough to try everything.
pub static SMALL: Shape = Shape {
    layout: LAYOUT,
    die_page: DIE_PAGE,
    sector: SECTOR,
    die_size: 23 * DIE_PAGE,
    external_size: 18 * SECTOR,
};

/// Pages, sectors and parts as long as those of `boards/mps2-an505/board.toml`.
pub static REAL: Shape = Shape {
    layout: Layout {
        die_application: Part::new(0, 0x10_0000),
        die_journal: Part::new(0x10_0000, 0x8000),
        die_manifests: Part::new(0x10_8000, 0x8000),
        die_keys: Part::new(0x11_0000, 0x6000),
        external_application: Part::new(0, 0x10_0000),
        external_staging: Part::new(0x10_0000, 0x80_0000),
    },
    die_page: 8192,
    sector: 4096,
    die_size: 0x11_6000,
    external_size: 0x90_0000,
};

impl Shape {
    /// The part, the erase block in it and the offset in that, of an address; `memory` 0 is the die.
    pub(crate) fn place(&self, memory: usize, at: usize) -> String {
        let (parts, block): (&[_], _) = match memory {
            0 => (
                &[
                    ("application", self.layout.die_application),
                    ("journal", self.layout.die_journal),
                    ("manifests", self.layout.die_manifests),
                    ("keys", self.layout.die_keys),
                ],
                self.die_page,
            ),
            _ => (
                &[
                    ("external application", self.layout.external_application),
                    ("staging", self.layout.external_staging),
                ],
                self.sector,
            ),
        };
        for (name, part) in parts {
            if let Some(offset) = at.checked_sub(part.start.0 as usize)
                && offset < part.length as usize
            {
                return format!("{name} block {} +{:#x}", offset / block as usize, offset % block as usize);
            }
        }
        format!("nowhere: {at:#x}")
    }
}
