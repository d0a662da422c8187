//! The application as the debug agent reaches it on this board.

use bulkhead_armv8m_trustzone as world;
use bulkhead_chip_mps2_an505::Breakpoints;
use bulkhead_debug_agent::{AccessRefused, DebugTarget, Hop, Interrupts, Memory, Width};
use bulkhead_debug_protocol::{Float, Region, RegionKind, Register, RegisterFile, Words};
use world::debug::{RegisterRefused, Registers};
use world::hop::{HALVES_MAX, HalfWord};
use world::memory_check::{copy_in, copy_out};

use crate::{board, registers};

/// Longest access of an exact width in bytes.
const WORD: usize = 4;

/// The application; for the executor alone.
pub(crate) struct Target {
    breakpoints: Breakpoints,
    /// What the application's thread was seen with, while it is looked at without being held.
    seen: Option<Registers>,
}

impl Target {
    pub(crate) fn new(breakpoints: Breakpoints) -> Self {
        Self { breakpoints, seen: None }
    }

    /// From here on the application's registers are those; `None`: those that it has.
    pub(crate) fn see(&mut self, seen: Option<Registers>) {
        self.seen = seen;
    }

    /// What stands at a place of code, which may be replaced for a moment.
    fn reserve(&mut self, address: u32) -> Option<u16> {
        if !is_writable(address, 2) {
            return self.breakpoints.reserve(address as usize);
        }
        let mut stood = [0; 2];
        copy_in(address, &mut stood).then(|| u16::from_le_bytes(stood))
    }
}

fn width_bytes(width: Width) -> usize {
    match width {
        Width::Any | Width::Word => WORD,
        Width::Half => 2,
        Width::Byte => 1,
    }
}

/// Whether a range can be touched with accesses of exactly this width.
fn is_aligned(address: u32, len: usize, width: Width) -> bool {
    let bytes = width_bytes(width);
    (address as usize).is_multiple_of(bytes) && len.is_multiple_of(bytes)
}

/// Whether the range lies in memory that the application may write to. All of the rest is flash.
fn is_writable(address: u32, len: u32) -> bool {
    board::APPLICATION_REGIONS.iter().any(|(base, length, writable)| {
        let end = address.checked_sub(*base).and_then(|offset| offset.checked_add(len));
        *writable && end.is_some_and(|end| end <= *length)
    })
}

impl Memory for Target {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        // The check is made for each piece, so that its time is bounded.
        for (index, piece) in out.chunks_mut(256).enumerate() {
            let offset = u32::try_from(index * 256).map_err(|_| AccessRefused::Forbidden)?;
            let address = address.checked_add(offset).ok_or(AccessRefused::Forbidden)?;
            if !copy_in(address, piece) {
                return Err(AccessRefused::Forbidden);
            }
        }
        Ok(())
    }

    fn is_secure(&self, address: u32) -> bool {
        world::debug::is_secure(address)
    }

    fn vector_table(&self) -> u32 {
        world::debug::vector_table()
    }
}

impl DebugTarget for Target {
    fn hold(&mut self) {
        world::debug::hold();
    }

    fn run(&mut self, interrupts: Interrupts) {
        world::debug::release(interrupts == Interrupts::Held);
    }

    fn registers(&mut self) -> RegisterFile {
        let registers = self.seen.unwrap_or_else(world::debug::registers);
        let (core, system) = (Words(registers.core), Words(registers.system));
        RegisterFile { core, system, float: None }
    }

    fn float(&mut self) -> Option<Float> {
        world::debug::float_registers().map(Words)
    }

    fn write_register(&mut self, register: Register, value: u32) -> Result<(), AccessRefused> {
        let written = match usize::from(register.0) {
            34 => world::debug::write_float(32, value),
            number @ 64..=95 => world::debug::write_float(number - 64, value),
            number @ 0..=15 => world::debug::write_core(number, value),
            25 => world::debug::write_core(16, value),
            number @ 26..=33 => world::debug::write_system(number - 26, value),
            _ => Err(RegisterRefused::Unknown),
        };
        written.map_err(|refused| match refused {
            RegisterRefused::Unknown => AccessRefused::Unsupported,
            RegisterRefused::OutsideMemory => AccessRefused::Forbidden,
        })
    }

    fn read_exact(&mut self, address: u32, out: &mut [u8], width: Width) -> Result<(), AccessRefused> {
        if !is_aligned(address, out.len(), width) {
            return Err(AccessRefused::Unsupported);
        }
        match registers::place(address, out.len(), registers::Intent::Read) {
            Some(place) => registers::read(place, out, width_bytes(width)),
            // In memory the width makes no difference.
            None => self.read(address, out),
        }
    }

    fn write(&mut self, address: u32, bytes: &[u8], width: Width) -> Result<(), AccessRefused> {
        if width != Width::Any && !is_aligned(address, bytes.len(), width) {
            return Err(AccessRefused::Unsupported);
        }
        if width != Width::Any
            && let Some(place) = registers::place(address, bytes.len(), registers::Intent::Write)
        {
            return registers::write(place, bytes, width_bytes(width));
        }
        if copy_out(address, bytes) { Ok(()) } else { Err(AccessRefused::Forbidden) }
    }

    fn patch(&mut self, address: u32, half: u16) -> Result<u16, AccessRefused> {
        let mut stood = [0; 2];
        if address & 1 != 0 || !copy_in(address, &mut stood) {
            return Err(AccessRefused::Forbidden);
        }
        if is_writable(address, 2) {
            if !copy_out(address, &half.to_le_bytes()) {
                return Err(AccessRefused::Forbidden);
            }
        } else if self.breakpoints.patch(address as usize, half).is_none() {
            return Err(AccessRefused::Forbidden);
        }
        world::debug::code_changed();
        Ok(u16::from_le_bytes(stood))
    }

    fn prepare_hop(&mut self, hop: &Hop) -> bool {
        // Where no code is, the instruction faults, and that ends the hop as well.
        let is_ready = hop.places.into_iter().flatten().all(|address| {
            let is_code = copy_in(address, &mut [0; 2]);
            !is_code || self.reserve(address).is_some()
        });
        if !is_ready {
            self.cancel_hop(hop);
        }
        is_ready
    }

    fn cancel_hop(&mut self, hop: &Hop) {
        for address in hop.places.into_iter().flatten() {
            self.breakpoints.settle(address as usize);
        }
    }

    fn hop(&mut self, hop: &Hop) -> bool {
        let mut halves = [HalfWord::default(); HALVES_MAX];
        let mut count = 1;
        let [first, places @ ..] = &mut halves;
        *first = HalfWord { address: hop.at, during: hop.original, after: hop.breakpoint };
        for address in hop.places.into_iter().flatten() {
            if let Some(after) = self.reserve(address)
                && let Some(half) = places.get_mut(count - 1)
            {
                *half = HalfWord { address, during: hop.breakpoint, after };
                count += 1;
            }
        }
        let seen = self.seen.map(|seen| seen.core);
        let halves = halves.get(..count).unwrap_or_default();
        let done = seen.is_some_and(|core| world::hop::hop(core, halves));
        self.cancel_hop(hop);
        done
    }

    fn now_us(&self) -> u64 {
        world::tick::now_us()
    }

    fn build(&self) -> &'static [u8] {
        env!("CARGO_PKG_VERSION").as_bytes()
    }

    fn region(&self, index: usize) -> Option<Region> {
        let memories = board::APPLICATION_REGIONS.iter().map(|(address, len, writable)| {
            let kind = if *writable { RegionKind::Ram } else { RegionKind::Code };
            Region { address: *address, len: *len, kind }
        });
        memories.chain(registers::regions()).nth(index)
    }

    fn guards_max(&self) -> usize {
        world::guards::available()
    }

    fn guard(&mut self, index: usize, range: Option<(u32, u32)>) {
        world::guards::set(index, range);
    }
}
