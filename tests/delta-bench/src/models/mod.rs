//! Other ways to replace an image, as counts of flash operations.
//!
//! Written from MCUboot's published design and source, for one image in two slots on the die, sectors as large as pages
//! and nothing encrypted. Each is the cheapest configuration of its kind: the smallest slots, and no power cut.

mod overwrite_only;
mod swap_move;
mod swap_scratch;
mod two_banks;

use crate::flash_work::{Images, Update, Work};

/// A way to update.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Images) -> Update,
}

/// All of them.
pub(crate) const MODELS: &[Model] = &[
    Model { name: "MCUboot swap-scratch", run: swap_scratch::run },
    Model { name: "MCUboot swap-move", run: swap_move::run },
    Model { name: "MCUboot overwrite-only", run: overwrite_only::run },
    Model { name: "two banks (A/B)", run: two_banks::run },
];

/// Units of a fresh trailer: magic, flags and the size of the swap.
const TRAILER_UNITS: u32 = 4;

/// The new image is put into the secondary slot while the application runs, then a flag asks for the update.
fn download(images: Images) -> Work {
    let mut work = Work::default();
    let secondary = images.slot_pages();
    for page in 0..images.new_pages {
        work.copy_to(secondary + page);
    }
    work.mark();
    work
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_PAGES: Images = Images { old_pages: 2, new_pages: 2 };

    /// Page by page on paper, for images of two pages: slots of four, the second from page 4 on, scratch at 8.
    #[test]
    fn erases_are_those_counted_by_hand() {
        // (model, erases while running, erases while stopped, most of one page of the primary slot while stopped)
        let expected = [
            // Three for each page, both trailers, and scratch once before.
            ("MCUboot swap-scratch", 2, 2 * 3 + 3, 1),
            // Up, primary, secondary for each page; both trailers. Page 1 is moved to and swapped.
            ("MCUboot swap-move", 2, 2 * 3 + 2, 2),
            // Each page; the primary's trailer, header and trailer of the secondary.
            ("MCUboot overwrite-only", 2, 2 + 3, 1),
            ("two banks (A/B)", 2, 0, 0),
        ];
        for (model, (name, running, stopped, most)) in MODELS.iter().zip(expected) {
            let update = (model.run)(TWO_PAGES);
            assert_eq!(model.name, name);
            assert_eq!(update.running.erase_count(), running, "{name}");
            assert_eq!(update.stopped.erase_count(), stopped, "{name}");
            assert_eq!(update.stopped.most_erases(0..TWO_PAGES.slot_pages()), most, "{name}");
        }
    }
}
