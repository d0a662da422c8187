//! MCUboot with `MCUBOOT_SWAP_USING_MOVE`: everything one page up, then page by page across.
//!
//! # Source
//! `boot/bootutil/src/swap_move.c`: `boot_move_sector_up`, `boot_swap_sectors`, `swap_run`.

use super::{TRAILER_UNITS, download};
use crate::flash_work::{Images, Update, Work};

pub(super) fn run(images: Images) -> Update {
    let mut stopped = Work::default();
    let (pages, slot) = (images.longer(), images.slot_pages());
    let trailer = slot - 1;
    stopped.erase(trailer);
    for _ in 0..TRAILER_UNITS {
        stopped.mark();
    }
    stopped.erase(slot + trailer);
    // From the last page down, so that each finds the page above it free.
    for page in (1..=pages).rev() {
        stopped.copy_to(page);
        stopped.mark();
    }
    for page in 0..pages {
        // The secondary's page comes to the primary slot, then the old one, from above, takes its place.
        stopped.copy_to(page);
        stopped.mark();
        stopped.copy_to(slot + page);
        stopped.mark();
    }
    // That the copy is done.
    stopped.mark();
    Update { running: download(images), stopped }
}
