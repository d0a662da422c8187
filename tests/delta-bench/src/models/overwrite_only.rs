//! MCUboot with `MCUBOOT_OVERWRITE_ONLY_FAST`: the new image over the old one. There is no way back.
//!
//! # Source
//! `boot/bootutil/src/loader.c`: `boot_copy_image`. Without `_FAST` the whole slot is copied.

use super::download;
use crate::flash_work::{Images, Update, Work};

pub(super) fn run(images: Images) -> Update {
    let mut stopped = Work::default();
    let slot = images.slot_pages();
    let trailer = slot - 1;
    stopped.erase(trailer);
    for page in 0..images.new_pages {
        stopped.copy_to(page);
    }
    // Header and trailer of the secondary slot, so that the next boot does not copy again.
    stopped.erase(slot);
    stopped.erase(slot + trailer);
    Update { running: download(images), stopped }
}
