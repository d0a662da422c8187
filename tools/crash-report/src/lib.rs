//! From an opened crash dump to a core file for GDB, and to a backtrace without it.
//!
//! [`core_file`] writes what stock GDB opens. [`Program`] is the ELF file that the bundle was made from; [`backtrace`]
//! unwinds by its call frame information and says of each frame how it was found, so that a guess is never taken for
//! knowledge.
#![forbid(unsafe_code)]

mod backtrace;
mod core_file;
mod faults;
mod memory;
mod program;

pub use backtrace::{Found, Frame, backtrace, frame_is_missing};
pub use core_file::core_file;
pub use faults::{fault_words, signal};
pub use memory::Memory;
pub use program::{Match, Program, ProgramError};
