//! The factory step: a fresh non-volatile memory with an identity in it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bulkhead_board_description::{Board, MPS2_AN505, Part};
use bulkhead_device_identity::{DeviceId, IDENTITY_LEN_MAX, Identity};

use crate::{Error, io_error};

/// Bytes written at once.
const PIECE: usize = 64 * 1024;

/// What may happen to a file that is there already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overwrite {
    /// Leave it and fail.
    Never,
    /// Replace it: its device is gone for good.
    Replace,
}

/// What a factory needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Provisioning<'a> {
    /// What goes into the identity page.
    pub identity: Identity<'a>,
    /// What may happen to an existing file.
    pub overwrite: Overwrite,
}

/// Writes a device's non-volatile memory to `path`, readable by its owner alone, and returns the device's id.
///
/// The parts of the board are erased (0xFF); what belongs to no part stays a hole in the file. The file appears
/// complete or not at all.
///
/// # Errors
/// [`Error::Exists`], [`Error::Identity`]: the caller's; [`Error::Io`].
pub fn provision(path: &Path, provisioning: &Provisioning<'_>) -> Result<DeviceId, Error> {
    let board = Board::parse(MPS2_AN505)?;
    let mut record = [0; IDENTITY_LEN_MAX];
    let len = provisioning.identity.write(&mut record)?;
    let record = record.get(..len).unwrap_or_default();

    if provisioning.overwrite == Overwrite::Never {
        reserve(path)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let written = write_memory(&fresh, &board, record)
        .and_then(|()| fs::rename(&fresh, path).map_err(io_error("could not write", path)));
    if let Err(error) = written {
        let _ = fs::remove_file(&fresh);
        if provisioning.overwrite == Overwrite::Never {
            let _ = fs::remove_file(path);
        }
        return Err(error);
    }
    Ok(provisioning.identity.device_id())
}

/// Reads the id and the record of the device in `path`; `then` gets the identity.
///
/// # Errors
/// [`Error::NotNonVolatile`], [`Error::Io`].
pub fn read_identity<T>(path: &Path, then: impl FnOnce(&Identity<'_>) -> T) -> Result<T, Error> {
    let board = Board::parse(MPS2_AN505)?;
    let reading = || io_error("could not read", path);
    let mut file = File::open(path).map_err(reading())?;
    check_len(path, &file, &board)?;
    file.seek(SeekFrom::Start(board.non_volatile.die.identity.offset.into())).map_err(reading())?;
    let mut page = [0; IDENTITY_LEN_MAX];
    file.read_exact(&mut page).map_err(reading())?;
    let identity = Identity::parse(&page)
        .map_err(|why| Error::NotNonVolatile { path: path.to_path_buf(), why: why.to_string() })?;
    Ok(then(&identity))
}

/// Refuses a file that is not as long as the memory.
pub(crate) fn check_len(path: &Path, file: &File, board: &Board) -> Result<(), Error> {
    let len = file.metadata().map_err(io_error("could not read", path))?.len();
    let wanted = u64::from(board.non_volatile.length);
    if len == wanted {
        return Ok(());
    }
    let why = format!("it has {len} bytes instead of {wanted}");
    Err(Error::NotNonVolatile { path: path.to_path_buf(), why })
}

/// Takes the name, so that nobody else's file is replaced.
fn reserve(path: &Path) -> Result<(), Error> {
    match new_file(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(Error::Exists(path.to_path_buf())),
        Err(e) => Err(io_error("could not create", path)(e)),
    }
}

fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn write_memory(path: &Path, board: &Board, record: &[u8]) -> Result<(), Error> {
    let mut file = new_file(path).map_err(io_error("could not create", path))?;
    let memory = &board.non_volatile;
    let (die, external) = (&memory.die, &memory.external);
    let parts = [
        die.application,
        die.journal,
        die.manifests,
        die.identity,
        die.entropy,
        die.keys,
        die.ledger,
        external.application,
        external.crashes,
        external.staging,
    ];
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(memory.length.into())?;
        parts.iter().try_for_each(|part| erase(file, *part))?;
        file.seek(SeekFrom::Start(die.identity.offset.into()))?;
        file.write_all(record)?;
        file.sync_all()
    };
    write(&mut file).map_err(io_error("could not write", path))
}

fn erase(file: &mut File, part: Part) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(part.offset.into()))?;
    let mut rest = usize::try_from(part.length).unwrap_or(0);
    let erased = [0xFF; PIECE];
    while rest > 0 {
        let piece = erased.get(..rest.min(PIECE)).unwrap_or_default();
        file.write_all(piece)?;
        rest -= piece.len();
    }
    Ok(())
}
