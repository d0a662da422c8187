//! Flash and static RAM of the hypervisor image.

use anyhow::Result;
use bulkhead_figures::Row;

use crate::workspace::Workspace;
use crate::{elf, image};

const BYTES_PER_KIB: f64 = 1024.0;
const PEER: &str = "TF-M profile Large, published; it has no network";

/// Builds the image of the virtual board and reads its sections.
///
/// # Errors
/// The build failed.
pub(super) fn measure(workspace: &Workspace) -> Result<Vec<Row>> {
    let size = elf::footprint(&image::build(workspace, "mps2-an505")?)?;
    let row = |name: &str, bytes, peer_value| Row {
        name: name.into(),
        value: kib(bytes),
        unit: "KiB",
        peer: PEER.into(),
        peer_value: Some(peer_value),
    };
    Ok(vec![
        row("hypervisor, flash", size.flash_bytes, 113.0),
        row("hypervisor, static RAM with stack", size.ram_bytes, 47.6),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "images are far below 2^52 bytes")]
fn kib(bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_KIB
}
