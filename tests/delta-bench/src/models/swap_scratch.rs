//! MCUboot with `MCUBOOT_SWAP_USING_SCRATCH`: page by page in a circle through the scratch area.
//!
//! # Source
//! `boot/bootutil/src/swap_scratch.c`: `boot_swap_sectors`, `swap_run`. A larger scratch area moves more at a time; the
//! count for each page stays, so it is one page here.

use super::{TRAILER_UNITS, download};
use crate::flash_work::{Images, Update, Work};

pub(super) fn run(images: Images) -> Update {
    let mut stopped = Work::default();
    let (pages, slot) = (images.longer(), images.slot_pages());
    let (trailer, scratch) = (slot - 1, 2 * slot);
    // The status starts in scratch, since the trailers are erased first; scratch is erased again for the first page.
    stopped.erase(scratch);
    for _ in 0..TRAILER_UNITS {
        stopped.mark();
    }
    stopped.erase(trailer);
    stopped.erase(slot + trailer);
    for _ in 0..TRAILER_UNITS {
        stopped.mark();
    }
    for page in (0..pages).rev() {
        for to in [scratch, slot + page, page] {
            stopped.copy_to(to);
            stopped.mark();
        }
    }
    // That the copy is done.
    stopped.mark();
    Update { running: download(images), stopped }
}
