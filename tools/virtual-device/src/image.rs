//! Where the hypervisor image is.

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bulkhead_board_description::{Board, MPS2_AN505};

use crate::{Error, io_error};

/// Environment variable that names the image.
pub const IMAGE_VARIABLE: &str = "BULKHEAD_IMAGE";

/// The image that `cargo xtask image mps2-an505` makes, from the workspace's root.
const BUILT: &str = "target/firmware/mps2-an505/hypervisor.elf";

/// Where an ELF file says for which processor it is, and where it starts; and all up to there, in bytes.
const MACHINE_AT: usize = 18;
const ENTRY_AT: usize = 24;
const ELF_HEAD_LEN: u64 = 28;

/// A file that only the workspace's root has, from there.
const LANDMARK: &str = "boards/mps2-an505/board.toml";

/// The image to run: `argument`, else the one that `BULKHEAD_IMAGE` names, else what the workspace around the current
/// folder (or around this program) has built.
///
/// # Errors
/// [`Error::NoImage`] names the place and how to build one, [`Error::NotAnImage`], [`Error::Io`].
pub fn find_image(argument: Option<&Path>) -> Result<PathBuf, Error> {
    let named = argument.map(Path::to_path_buf).or_else(|| env::var_os(IMAGE_VARIABLE).map(PathBuf::from));
    let path = named.unwrap_or_else(|| workspace_root().unwrap_or_default().join(BUILT));
    if !path.is_file() {
        return Err(Error::NoImage(path));
    }
    let mut head = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(ELF_HEAD_LEN).read_to_end(&mut head));
    read.map_err(io_error("could not read", &path))?;
    match refusal(&head, &Board::parse(MPS2_AN505)?) {
        None => Ok(path),
        Some(why) => Err(Error::NotAnImage { path, why }),
    }
}

/// Why a file that begins like this is no image: QEMU would load it without a word, and the processor would lock up.
fn refusal(head: &[u8], board: &Board) -> Option<&'static str> {
    const MAGIC_AND_CLASS_32: &[u8] = b"\x7fELF\x01";
    const ARM: u16 = 40;
    let word = head.get(ENTRY_AT..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_le_bytes);
    let machine = head.get(MACHINE_AT..).and_then(|rest| rest.first_chunk()).copied().map(u16::from_le_bytes);
    let (Some(entry), true) = (word, head.starts_with(MAGIC_AND_CLASS_32) && machine == Some(ARM)) else {
        return Some("it is no ELF file for Arm");
    };
    let code = board.hypervisor.code;
    let starts_there = entry.checked_sub(code.base).is_some_and(|inside| inside < code.length);
    (!starts_there)
        .then_some("it does not start where the hypervisor's code is; an application goes into a bundle")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_hypervisor_is_not_started() {
        let board = Board::parse(MPS2_AN505).unwrap();
        let elf = |class: u8, machine: u16, entry: u32| {
            let mut head = vec![0; ENTRY_AT];
            head[..5].copy_from_slice(&[0x7F, b'E', b'L', b'F', class]);
            head[MACHINE_AT..MACHINE_AT + 2].copy_from_slice(&machine.to_le_bytes());
            head.extend(entry.to_le_bytes());
            refusal(&head, &board)
        };
        assert_eq!(elf(1, 40, 0x1000_0235), None);
        let no_elf = Some("it is no ELF file for Arm");
        assert_eq!([elf(2, 40, 0x1000_0235), elf(1, 62, 0x1000_0235)], [no_elf; 2]);
        assert_eq!([refusal(b"hello", &board), refusal(b"\x7fELF\x01", &board)], [no_elf; 2]);
        for entry in [0x8000_0265, 0x0FFF_FFFF, 0x101F_F000, 0] {
            assert!(elf(1, 40, entry).is_some_and(|why| why.contains("does not start")), "{entry:#x}");
        }
    }
}
