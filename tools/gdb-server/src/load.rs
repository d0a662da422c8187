//! `load`: what GDB writes to flash becomes a bundle, signed by whoever may, and goes to the device as an update.

use bulkhead_debug_protocol::RegionKind;

use crate::device::DeviceError;
use crate::session::{Reaction, Session};
use crate::transfer::{pair, split_once};

/// Most bytes of a program.
const PROGRAM_LEN_MAX: usize = 16 * 1024 * 1024;
/// What GDB is told of erasable memory: the number means nothing to an update.
pub(crate) const BLOCK_LEN: u32 = 4096;

/// A part of a program: where it is to lie, and its bytes.
pub type Part = (u32, Vec<u8>);

/// Makes a bundle of a program, and has the device run it.
pub trait Loader {
    /// Returns when the device runs it.
    ///
    /// # Errors
    /// Why it does not, in words.
    fn load(&mut self, program: &[Part]) -> Result<(), String>;
}

impl Session {
    /// Whoever may load programs.
    pub fn set_loader(&mut self, loader: Box<dyn Loader>) {
        self.loader = Some(loader);
    }

    /// Answers `vFlashErase`, `vFlashWrite` and `vFlashDone`.
    pub(crate) fn flash(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        let text = |text: &str| Ok(Reaction::Answer(text.into()));
        if self.loader.is_none() {
            return text("E.no key to sign with: begin `bulkhead debug` with --signing-key");
        }
        if let Some(span) = packet.strip_prefix(b"vFlashErase:") {
            let known = pair(span, b',').is_some_and(|(address, _)| self.is_code(address));
            return text(if known { "OK" } else { "E.MEMTYPE" });
        }
        if let Some(rest) = packet.strip_prefix(b"vFlashWrite:") {
            let Some((address, data)) = split_once(rest, b':') else { return text("E01") };
            let Some(address) = crate::transfer::number(address).filter(|at| self.is_code(*at)) else {
                return text("E.MEMTYPE");
            };
            if self.written.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + data.len() > PROGRAM_LEN_MAX
            {
                return text("E.the program is too long");
            }
            match self.written.last_mut() {
                Some((at, bytes)) if u32::try_from(bytes.len()).is_ok_and(|len| *at + len == address) => {
                    bytes.extend_from_slice(data);
                }
                _ => self.written.push((address, data.to_vec())),
            }
            return text("OK");
        }
        self.loaded()
    }

    fn is_code(&self, address: u32) -> bool {
        self.memory.region(address, 1).is_some_and(|region| region.kind == RegionKind::Code)
    }

    /// All is written: the device shall run it.
    fn loaded(&mut self) -> Result<Reaction, DeviceError> {
        let program = std::mem::take(&mut self.written);
        let Some(loader) = self.loader.as_mut().filter(|_| !program.is_empty()) else {
            return Ok(Reaction::Answer(b"OK".into()));
        };
        if let Err(why) = loader.load(&program) {
            return Ok(Reaction::Answer(format!("E.{why}").into_bytes()));
        }
        self.pending.clear();
        self.ahead.forget();
        // The device ended the session when it changed its application; another one is on its way.
        self.expect_loss();
        self.begin_again()?;
        Ok(Reaction::Answer(b"OK".into()))
    }
}
