//! Files that a person names.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::failure::{ExitCode, Failure};

/// Reads a file of at most `len_max` bytes; `holds` says what it holds, such as `a message`.
///
/// Of a longer one no more is read: what was named may be a disk, or have no end.
///
/// # Errors
/// It cannot be read, or is longer.
pub(crate) fn read_at_most(path: &Path, len_max: usize, holds: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(len_max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(one_more).read_to_end(&mut bytes))
        .map_err(|error| Failure::file("read", path, &error))?;
    if bytes.len() > len_max {
        let what = format!("{} is longer than {len_max} bytes, the most that {holds} has", path.display());
        return Err(Failure::new(ExitCode::File, what, "give another file, or one that is split"));
    }
    Ok(bytes)
}
