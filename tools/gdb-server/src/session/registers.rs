//! Registers as GDB numbers and sizes them, and single registers of peripherals.

use bulkhead_debug_protocol::{RegionKind, Register, RegisterFile, WRITE_LEN_MAX};

use super::{Reaction, Session};
use crate::description::{self, Named};
use crate::device::{Answered, DeviceError, Order};
use crate::memory::Range;
use crate::transfer::{hex, number, split_once, unhex};

impl Session {
    /// Whether the device shows registers for floating point.
    pub(crate) fn has_float(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.registers.float.is_some())
    }

    /// The value of a register in digits, if it is known.
    pub(super) fn digits(registers: &RegisterFile, named: &Named) -> Option<String> {
        let words: Option<Vec<u32>> = named.words().map(|word| registers.get(Register(word))).collect();
        Some(words?.iter().map(|word| hex(&word.to_le_bytes())).collect())
    }

    /// All registers of the thread that GDB looks at.
    pub(super) fn all_registers(&mut self) -> Result<String, DeviceError> {
        let Some(registers) = self.registers_of(self.selected)? else { return Ok("E01".into()) };
        // GDB's numbers have gaps, which take no room in this packet.
        let text =
            |named: &Named| Self::digits(&registers, named).unwrap_or_else(|| "x".repeat(2 * named.len()));
        Ok(description::registers(self.has_float()).map(text).collect())
    }

    pub(super) fn register(&mut self, digits: &[u8]) -> Result<String, DeviceError> {
        let named = number(digits).and_then(|number| description::find(number, self.has_float()));
        let registers = self.registers_of(self.selected)?;
        let digits = named.zip(registers).and_then(|(named, registers)| Self::digits(&registers, named));
        Ok(digits.unwrap_or_else(|| "E01".into()))
    }

    pub(super) fn write_register(&mut self, text: &[u8]) -> Result<Reaction, DeviceError> {
        let (register, value) = split_once(text, b'=').unwrap_or_default();
        let named = number(register).and_then(|number| description::find(number, self.has_float()));
        let bytes = named.and_then(|named| unhex(value).filter(|bytes| bytes.len() == named.len()));
        let done = match named.zip(bytes) {
            Some((named, bytes)) => self.note_words(named, &bytes)?,
            None => false,
        };
        Ok(Reaction::Answer(if done { b"OK".into() } else { b"E01".into() }))
    }

    fn note_words(&mut self, named: &Named, bytes: &[u8]) -> Result<bool, DeviceError> {
        for (word, bytes) in named.words().zip(bytes.as_chunks::<4>().0) {
            if !self.note_register(word, u32::from_le_bytes(*bytes))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a register as far as GDB can see; the device hears of it with the next request.
    fn note_register(&mut self, register: u8, value: u32) -> Result<bool, DeviceError> {
        let stop = self.stop.as_mut().and_then(|stop| stop.registers.get_mut(Register(register)));
        let Some(place) = stop else { return Ok(false) };
        if *place != value {
            *place = value;
            self.note(Order::Register { register, value })?;
        }
        Ok(true)
    }

    pub(super) fn write_all_registers(&mut self, digits: &[u8]) -> Result<Reaction, DeviceError> {
        let Some(bytes) = unhex(digits) else { return Ok(Reaction::Answer(b"E01".into())) };
        let mut rest = bytes.as_slice();
        for named in description::registers(self.has_float()) {
            let Some((value, behind)) = rest.split_at_checked(named.len()) else { break };
            self.note_words(named, value)?;
            rest = behind;
        }
        Ok(Reaction::Answer(b"OK".into()))
    }

    /// Width of each access to registers in a range, if it lies in them; they are read once, and never ahead.
    fn device_width(&self, address: u32, len: u32) -> Option<u8> {
        let region = self.memory.region(address, len)?;
        let is_aligned = |width: u32| address.is_multiple_of(width) && len.is_multiple_of(width);
        let width = if is_aligned(4) {
            4
        } else if is_aligned(2) {
            2
        } else {
            1
        };
        (region.kind == RegionKind::Device).then_some(width)
    }

    /// Reads registers of a peripheral or of the processor; `None`: the range is none of theirs.
    pub(super) fn read_device(&mut self, address: u32, len: u32) -> Option<Result<Reaction, DeviceError>> {
        let width = self.device_width(address, len)?;
        let answers = self.ask(&[Order::ReadExact { range: Range { address, len }, width }]);
        Some(answers.map(|answers| {
            let bytes = answers.into_iter().filter_map(|answer| match answer {
                Answered::Memory { bytes, .. } => Some(bytes),
                _ => None,
            });
            Reaction::Answer(hex(&bytes.collect::<Vec<_>>().concat()).into_bytes())
        }))
    }

    /// Writes registers of a peripheral or of the processor, at once; `None` as for [`Self::read_device`].
    pub(super) fn write_device(
        &mut self,
        address: u32,
        bytes: &[u8],
    ) -> Option<Result<Reaction, DeviceError>> {
        let width = self.device_width(address, u32::try_from(bytes.len()).ok()?)?;
        if bytes.len() > WRITE_LEN_MAX {
            return Some(Ok(Reaction::Answer(b"E01".into())));
        }
        let order = Order::WriteExact { address, bytes: bytes.to_vec(), width };
        Some(self.ask(&[order]).map(|_| Reaction::Answer(b"OK".into())))
    }
}
