//! The device's memory as far as it is known.

use std::collections::HashMap;

use bulkhead_debug_protocol::{Region, RegionKind};

use crate::elf::Span;

/// Bytes that are known or not known together.
const GRAIN: u32 = 16;
/// Bytes that a question about RAM asks for at least.
const AHEAD_RAM: u32 = 256;
/// Bytes that a question about code asks for at least: it does not change.
const AHEAD_CODE: u32 = 1024;
/// Longest question in bytes; see `READ_LEN_MAX` of the protocol.
const QUESTION_LEN_MAX: u32 = 16 * 1024;

type Grain = [u8; GRAIN as usize];

/// A range of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Range {
    pub(crate) address: u32,
    pub(crate) len: u32,
}

impl Range {
    /// The range and what is around it, so that all of it is learnt.
    pub(crate) fn in_grains(self) -> Self {
        let address = self.address / GRAIN * GRAIN;
        let len = self.len.saturating_add(self.address - address);
        Self { address, len: len.checked_next_multiple_of(GRAIN).unwrap_or(len) }
    }
}

/// What is known of each address, and until when.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    regions: Vec<Region>,
    /// Proved to be the same on the device.
    code_of_elf: Vec<Span>,
    /// Until the application runs.
    ram: HashMap<u32, Grain>,
    /// Until another application starts.
    code: HashMap<u32, Grain>,
}

impl Memory {
    pub(crate) fn new(regions: Vec<Region>) -> Self {
        Self { regions, ..Self::default() }
    }

    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions
    }

    pub(crate) fn proved(&mut self, span: Span) {
        self.code_of_elf.push(span);
    }

    /// The application ran: nothing of its memory is known any more.
    pub(crate) fn ran(&mut self) {
        self.ram.clear();
    }

    /// Another application may run: nothing is known.
    pub(crate) fn restarted(&mut self) {
        self.ram.clear();
        self.code.clear();
        self.code_of_elf.clear();
    }

    /// The region that holds a whole range.
    pub(crate) fn region(&self, address: u32, len: u32) -> Option<&Region> {
        self.regions.iter().find(|region| {
            let end = address.checked_sub(region.address).and_then(|offset| offset.checked_add(len));
            end.is_some_and(|end| end <= region.len)
        })
    }

    fn byte(&self, address: u32) -> Option<u8> {
        let in_elf = self.code_of_elf.iter().find_map(|span| {
            let offset = usize::try_from(address.checked_sub(span.address)?).ok()?;
            span.bytes.get(offset).copied()
        });
        let (grain, offset) = (address / GRAIN, usize::try_from(address % GRAIN).unwrap_or_default());
        let known = || self.code.get(&grain).or_else(|| self.ram.get(&grain))?.get(offset).copied();
        in_elf.or_else(known)
    }

    /// The bytes of a range, if all are known.
    pub(crate) fn known(&self, address: u32, len: u32) -> Option<Vec<u8>> {
        (0..len).map(|offset| self.byte(address.checked_add(offset)?)).collect()
    }

    /// What to ask the device for, so that a range becomes known: more than the range, where that costs nothing.
    /// `None`: the range is no memory.
    pub(crate) fn question(&self, address: u32, len: u32) -> Option<Range> {
        let region = self.region(address, len)?;
        let ahead = match region.kind {
            RegionKind::Code => AHEAD_CODE,
            RegionKind::Ram => AHEAD_RAM,
            RegionKind::Device => return Some(Range { address, len }),
        };
        let region_end = region.address.saturating_add(region.len);
        let first = (0..len).map(|offset| address + offset).find(|at| self.byte(*at).is_none())?;
        let start = (first / GRAIN * GRAIN).max(region.address);
        let end = address.saturating_add(len).max(start.saturating_add(ahead)).next_multiple_of(GRAIN);
        let end = end.min(region_end).min(start.saturating_add(QUESTION_LEN_MAX));
        Some(Range { address: start, len: end - start })
    }

    /// Takes what the device said; bytes at the edges that are no whole grain are forgotten.
    pub(crate) fn learn(&mut self, address: u32, bytes: &[u8]) {
        let is_code = self.region(address, 1).is_some_and(|region| region.kind == RegionKind::Code);
        let is_device = self.region(address, 1).is_none_or(|region| region.kind == RegionKind::Device);
        if is_device {
            return;
        }
        let skip = address.next_multiple_of(GRAIN) - address;
        let whole = bytes.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
        let first = address.div_ceil(GRAIN);
        let place = if is_code { &mut self.code } else { &mut self.ram };
        for (grain, bytes) in (first..).zip(whole.as_chunks::<{ GRAIN as usize }>().0) {
            place.insert(grain, *bytes);
        }
    }

    /// Takes what GDB wrote.
    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) {
        for (at, byte) in (address..).zip(bytes) {
            let offset = usize::try_from(at % GRAIN).unwrap_or_default();
            let grain = self.ram.get_mut(&(at / GRAIN)).and_then(|grain| grain.get_mut(offset));
            if let Some(place) = grain {
                *place = *byte;
            }
        }
    }
}
