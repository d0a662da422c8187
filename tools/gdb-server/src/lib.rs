//! Speaks GDB's remote serial protocol on the laptop, and the device's own, batched protocol to the device.
//!
//! GDB asks for a device's memory a few bytes at a time and for its registers one by one: over a cellular link each
//! question costs a tenth of a second. So its protocol ends here, next to it, and what it asks for is answered from what
//! the device pushed with the last stop, from the program's ELF file, or from one batch that fetches more than was asked
//! for. The invariant: nothing that the device may have changed is answered from memory, and no peripheral is read ahead.
//!
//! ```text
//! gdb -> packet -> Session (registers, memory, breakpoints as GDB sees them) -> Device (requests, replies, events)
//! ```
#![forbid(unsafe_code)]

mod ahead;
mod breakpoints;
mod description;
mod device;
mod elf;
mod habits;
mod lines;
mod load;
mod look;
mod memory;
mod monitor;
mod packet;
mod reunion;
mod serve;
mod session;
mod snapshots;
mod threads;
mod transfer;
mod watchpoints;

pub use device::{Device, DeviceError, SendError, ToDevice};
pub use elf::{Elf, ElfError};
pub use load::{Loader, Part};
pub use packet::{FromGdb, PACKET_LEN_MAX, Packets, checksum, frame};
pub use serve::{Arrived, Serving, serve};
pub use session::{Control, Reaction, Session};
