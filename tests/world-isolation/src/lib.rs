//! Every crime of the hostile application, in QEMU.
//!
//! A [`Scene`] is a device with the real hypervisor and a server of its own; the hostile application arrives over the
//! link and is told which [`Crime`] to commit. Everything that the two consoles and the server saw goes into a
//! transcript, and [`judge`] alone decides, from the transcript, whether the crime was contained. Normative text:
//! `docs/spec/isolation.md`.
#![forbid(unsafe_code)]

mod crime;
mod fuzz;
mod gateway;
pub mod matrix;
mod peer;
mod scene;
mod transcript;
mod verdict;

pub use crime::{Containment, Crime};
pub use fuzz::{Fuzzed, fuzz};
pub use gateway::{Application, Gateway};
pub use peer::Peer;
pub use scene::{Scene, Setting};
pub use transcript::{Event, Witness, shown};
pub use verdict::{Failure, Limits, is_over, judge};
