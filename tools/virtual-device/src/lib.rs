//! A virtual board: provision its non-volatile memory, run it in QEMU, cut its power.
//!
//! [`provision`] is the factory: it writes the file that is the device's non-volatile memory. [`Qemu`] runs a device on
//! such a file and [`Running::kill`] is a power cut. The invariant: one device at a time uses a file, held by a lock
//! that lasts as long as QEMU does.
#![forbid(unsafe_code)]

mod application_console;
mod console;
mod image;
mod lines;
mod provision;
mod qemu;
mod secrets;

pub use application_console::ApplicationConsole;
pub use console::Console;
pub use image::{IMAGE_VARIABLE, find_image};
pub use provision::{Overwrite, Provisioned, Provisioning, provision, provision_beside, read_identity};
pub use qemu::{Gdb, QEMU_VARIABLE, Qemu, Running, Serial};
pub use secrets::DeviceSecrets;

use std::io;
use std::path::PathBuf;

/// The address under which the guest reaches the host's loopback, through QEMU's user network.
pub const HOST_AS_SEEN_BY_GUEST: &str = "10.0.2.2";

/// Why a virtual device could not be made or run. The text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there already: the caller has to say that it may go.
    #[error(
        "{0} exists already; a device's keys cannot be had back once it is overwritten (--force overwrites it)"
    )]
    Exists(PathBuf),
    /// The file is no non-volatile memory of this board.
    #[error("{path} is not the non-volatile memory of a virtual device: {why}")]
    NotNonVolatile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another QEMU runs on the same file.
    #[error("{0} is in use: another device runs on it")]
    InUse(PathBuf),
    /// QEMU is not installed.
    #[error(
        "qemu-system-arm is not installed: run `cargo xtask setup`, or `apt-get install qemu-system-arm`"
    )]
    NoQemu,
    /// There is no hypervisor image.
    #[error(
        "no hypervisor image at {0}: build it with `cargo xtask image mps2-an505`, or name one in {IMAGE_VARIABLE}"
    )]
    NoImage(PathBuf),
    /// The file is no hypervisor image.
    #[error("{path} is no hypervisor image: {why}")]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// QEMU ended by itself.
    #[error("QEMU ended ({status}){}", said(.stderr))]
    Ended {
        /// How.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// The console did not show what was waited for.
    #[error("`{wanted}` did not appear on the console within {waited_s} s; the last lines were:\n{last}")]
    NotSeen {
        /// What was waited for.
        wanted: String,
        /// How long, in seconds.
        waited_s: f32,
        /// The last lines.
        last: String,
    },
    /// The console goes where it cannot be read from.
    #[error("the console of this device is not kept in a file, so nothing can be waited for")]
    ConsoleNotKept,
    /// The application's console goes where it cannot be read from.
    #[error("the application's console of this device is not a socket, so nothing can be sent to it")]
    NoApplicationConsole,
    /// The identity cannot be written.
    #[error("the identity is impossible: {0}")]
    Identity(#[from] bulkhead_device_identity::IdentityError),
    /// The board's description is wrong: our own fault.
    #[error(transparent)]
    Board(#[from] bulkhead_board_description::BoardError),
    /// The operating system refused.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {}", stderr.trim_end()) }
}

/// Names what was done to which path in an I/O error.
pub(crate) fn io_error(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { doing, path, source }
}
