//! Where the hypervisor image is.

use std::env;
use std::path::{Path, PathBuf};

use crate::Error;

/// Environment variable that names the image.
pub const IMAGE_VARIABLE: &str = "BULKHEAD_IMAGE";

/// The image that `cargo xtask image mps2-an505` makes, from the workspace's root.
const BUILT: &str = "target/firmware/mps2-an505/hypervisor.elf";

/// A file that only the workspace's root has, from there.
const LANDMARK: &str = "boards/mps2-an505/board.toml";

/// The image to run: `argument`, else the one that `BULKHEAD_IMAGE` names, else what the workspace around the current
/// folder (or around this program) has built.
///
/// # Errors
/// [`Error::NoImage`] names the place and how to build one.
pub fn find_image(argument: Option<&Path>) -> Result<PathBuf, Error> {
    let named = argument.map(Path::to_path_buf).or_else(|| env::var_os(IMAGE_VARIABLE).map(PathBuf::from));
    let path = named.unwrap_or_else(|| workspace_root().unwrap_or_default().join(BUILT));
    if path.is_file() { Ok(path) } else { Err(Error::NoImage(path)) }
}

fn workspace_root() -> Option<PathBuf> {
    let starts = [env::current_dir().ok(), env::current_exe().ok()];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .find(|folder| folder.join(LANDMARK).is_file())
        .map(Path::to_path_buf)
}
