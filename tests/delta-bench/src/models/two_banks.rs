//! Two banks that change roles: the new image is written beside the old one, and a reset starts it.
//!
//! The reset is not counted, nor is the swap of banks by an option byte. It takes twice the flash for the application.

use super::download;
use crate::flash_work::{Images, Update, Work};

pub(super) fn run(images: Images) -> Update {
    let mut stopped = Work::default();
    // Which bank is active.
    stopped.mark();
    Update { running: download(images), stopped }
}
