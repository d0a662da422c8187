//! The factory step: a fresh non-volatile memory with an identity in it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
    provision_beside(path, provisioning)?.place()?;
    Ok(provisioning.identity.device_id())
}

/// As [`provision`], but what is at `path` stays as it is until [`Provisioned::place`].
///
/// # Errors
/// As [`provision`].
pub fn provision_beside(path: &Path, provisioning: &Provisioning<'_>) -> Result<Provisioned, Error> {
    let board = Board::parse(MPS2_AN505)?;
    let mut record = [0; IDENTITY_LEN_MAX];
    let len = provisioning.identity.write(&mut record)?;
    let record = record.get(..len).unwrap_or_default();

    let reserved = provisioning.overwrite == Overwrite::Never;
    if reserved {
        reserve(path)?;
    } else if path.is_dir() {
        // Told before anybody hears of the device, not by the last step.
        return Err(io_error("could not write", path)(ErrorKind::IsADirectory.into()));
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let provisioned = Provisioned { beside, path: path.to_path_buf(), reserved, kept: false, placed: false };
    write_memory(&provisioned.beside, &board, record)?;
    Ok(provisioned)
}

/// A memory that is complete, beside the place where it is to be. Dropped before it is placed or kept, it goes.
#[derive(Debug)]
pub struct Provisioned {
    beside: PathBuf,
    path: PathBuf,
    /// Whether an empty file of ours holds the place.
    reserved: bool,
    kept: bool,
    placed: bool,
}

impl Provisioned {
    /// From now on the file stays, whatever happens: somebody may count on the keys in it. Returns where it is.
    pub fn keep(&mut self) -> &Path {
        self.kept = true;
        &self.beside
    }

    /// Puts it in its place, over what is there.
    ///
    /// # Errors
    /// [`Error::Io`], which names the file that could not be moved.
    pub fn place(&mut self) -> Result<(), Error> {
        let moved = fs::rename(&self.beside, &self.path);
        moved.map_err(io_error("could not put in its place", &self.beside))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Provisioned {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        if self.reserved {
            let _ = fs::remove_file(&self.path);
        }
        if !self.kept {
            let _ = fs::remove_file(&self.beside);
        }
    }
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
