//! What the factory wrote: read once at start from the identity part of die flash.

use bulkhead_device_identity::{IDENTITY_LEN_MAX, Identity};
use bulkhead_nor_flash::{FlashAddress, NorFlash};
use static_cell::StaticCell;

use crate::board;

static PAGE: StaticCell<[u8; IDENTITY_LEN_MAX]> = StaticCell::new();

/// Reads the identity.
///
/// # Errors
/// A sentence for the console. Without an identity there is no key, hence no link: only the factory can help.
pub(crate) fn read(die: &mut impl NorFlash) -> Result<Identity<'static>, &'static str> {
    let page = PAGE.init([0; IDENTITY_LEN_MAX]);
    die.read(FlashAddress(board::DIE_IDENTITY.0), page)
        .map_err(|_| "the identity page cannot be read; provision the device anew")?;
    Identity::parse(page).map_err(|error| {
        crate::console::line(format_args!("{error}"));
        "no identity; run `bulkhead device new` and start with the file that it writes"
    })
}
