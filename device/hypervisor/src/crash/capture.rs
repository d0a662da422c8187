//! Makes one dump, a bounded piece a step, while the application stands still.

use bulkhead_bundle_format::{CrashRange, DebugKeys};
use bulkhead_crash_dump::{
    Block, CodeMark, ENTRY_LEN, EndMark, FIXED_LEN, Header, Place, REASON_ORDERED, Recipient, Record, Writer,
    code_crc, seal_for,
};
use bulkhead_debug_agent::DebugTarget;
use bulkhead_debug_protocol::{RegionKind, Words};
use bulkhead_hardware_ports::Entropy;
use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};

use super::Scene;
use super::ring::Ring;

/// Longest time for a dump in milliseconds: what has not been read by then is left out.
const TIME_MAX_MS: u64 = 3_000;
/// Bytes of memory that are read at once.
const PIECE_LEN: usize = 256;
/// Pieces of memory, or of code, of one step: bounds its time.
const PIECES_PER_STEP: usize = 16;
/// Bytes from a stack pointer upwards that are read before anything else.
const STACK_LEN: u32 = 8 * 1024;
/// Bytes beneath a stack pointer: what was pushed last and just popped.
const BELOW_STACK_LEN: u32 = 64;
/// Ranges of one dump: those of the policy or all regions, and three stacks.
const RANGES_MAX: usize = 8;
/// Blocks kept back for what follows memory.
const BLOCKS_RESERVED: u32 = 2;

/// What became of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    Working,
    Done { len: u32 },
    Failed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Flash is made ready.
    Erase,
    /// The content key is sealed for the developer of this number.
    Key(usize),
    /// Registers and the like.
    Registers,
    /// This range, from this offset on; the memory record was written if the offset is not 0.
    Memory { range: usize, offset: u32 },
    /// The code's checksum, up to this offset.
    Code { offset: u32, crc: u32 },
    /// The last block.
    End(EndMark),
}

/// A dump that is being made.
pub(crate) struct Job {
    slot: usize,
    header: Header,
    content_key: [u8; 32],
    keys: DebugKeys,
    core: Option<[u32; 17]>,
    system: Option<[u32; 8]>,
    float: Option<[u32; 33]>,
    faults: Option<(u32, u32, Option<u32>)>,
    vectors: u32,
    code: Option<(FlashAddress, u32)>,
    code_address: u32,
    policy: Option<bulkhead_bundle_format::CrashMemory>,
    ranges: heapless::Vec<CrashRange, RANGES_MAX>,
    blocks: u32,
    stage: Stage,
    begun_ms: u64,
}

impl Job {
    pub(crate) fn new(scene: &Scene, slot: usize, sequence: u32, device: [u8; 16]) -> Self {
        let offence = scene.offence.as_ref();
        let registers = scene.registers.as_ref();
        let Words(core) = registers.map(|registers| registers.core).unwrap_or_default();
        let at = offence.map_or(0, |offence| offence.program_counter);
        Self {
            slot,
            header: Header {
                device,
                manifest: scene.manifest,
                id: [0; 16],
                reason: offence.map_or(REASON_ORDERED, |offence| offence.kind as u8),
                recipients: u8::try_from(scene.keys.as_slice().len()).unwrap_or_default(),
                program_counter: if at == 0 { core[15] } else { at },
                uptime_us: scene.now_us,
                wall_us: scene.wall_us.unwrap_or_default(),
                sequence,
                fault_count: scene.fault_count,
            },
            content_key: [0; 32],
            keys: scene.keys,
            core: registers.map(|registers| registers.core.0),
            system: registers.map(|registers| registers.system.0),
            float: registers.and_then(|registers| registers.float).map(|float| float.0),
            faults: offence.map(|o| (o.status.cfsr, o.status.sfsr, o.address)),
            vectors: scene.vectors,
            code: scene.code,
            code_address: scene.code_address,
            policy: scene.memory,
            ranges: heapless::Vec::new(),
            blocks: 0,
            stage: Stage::Erase,
            begun_ms: scene.now_us / 1000,
        }
    }

    pub(crate) const fn slot(&self) -> usize {
        self.slot
    }

    /// Forgets the content key: from here on only the developers have it.
    pub(crate) fn wipe(&mut self) {
        self.content_key.fill(0);
    }

    pub(crate) const fn begun_ms(&self) -> u64 {
        self.begun_ms
    }

    /// One piece of work.
    #[expect(clippy::too_many_arguments, reason = "everything that a dump touches, and one caller")]
    pub(crate) fn step<X: NorFlash>(
        &mut self,
        now_ms: u64,
        private: &[u8; 32],
        ring: &mut Ring,
        writer: &mut Writer,
        (die, flash): (&mut impl NorFlash, &mut X),
        target: &mut impl DebugTarget,
        entropy: &mut impl Entropy,
    ) -> Progress {
        let late = now_ms.saturating_sub(self.begun_ms) > TIME_MAX_MS;
        let done = match self.stage {
            Stage::Erase => self.erase(ring, flash, target, entropy),
            Stage::Key(index) => self.seal_key(index, private, ring, flash, entropy),
            Stage::Memory { offset, .. } if late => {
                if offset > 0 {
                    writer.memory_ends();
                }
                self.stage = Stage::End(EndMark::Late);
                Ok(())
            }
            Stage::Code { .. } if late => {
                self.stage = Stage::End(EndMark::Late);
                Ok(())
            }
            Stage::Registers => {
                self.write_registers(writer, target.build());
                self.drain(ring, writer, flash)
            }
            Stage::Memory { range, offset } => {
                self.read_memory(range, offset, ring, writer, target);
                self.drain(ring, writer, flash)
            }
            Stage::Code { offset, crc } => {
                self.read_code(offset, crc, writer, die);
                self.drain(ring, writer, flash)
            }
            Stage::End(mark) => return self.end(mark, ring, writer, flash),
        };
        if done.is_ok() { Progress::Working } else { Progress::Failed }
    }

    fn erase(
        &mut self,
        ring: &mut Ring,
        flash: &mut impl NorFlash,
        target: &mut impl DebugTarget,
        entropy: &mut impl Entropy,
    ) -> Result<(), FlashError> {
        entropy.fill(&mut self.content_key);
        entropy.fill(&mut self.header.id);
        self.choose_ranges(target);
        ring.open(flash, self.slot)?;
        ring.write_header(flash, self.slot, 0, &self.header.encode())?;
        self.stage = Stage::Key(0);
        Ok(())
    }

    /// What is read, in this order: the stacks, then what the policy names, or everything that can be written to.
    fn choose_ranges(&mut self, target: &impl DebugTarget) {
        let regions = || (0..RANGES_MAX).map_while(|index| target.region(index));
        let ram = || regions().filter(|region| region.kind == RegionKind::Ram);
        if self.policy.is_some_and(|policy| policy.as_slice().is_empty()) {
            return;
        }
        let system = self.system.unwrap_or_default();
        let running = self.core.map_or(0, |core| core[13]);
        for (index, pointer) in [running, system[0], system[1]].into_iter().enumerate() {
            let known = index > 0 && pointer == running;
            // A stack that overflowed points below its memory: what it wrote last lies at the start of that.
            let home = ram().find(|region| {
                pointer.saturating_add(STACK_LEN) > region.address
                    && pointer <= region.address.saturating_add(region.len)
            });
            if let Some(region) = home.filter(|_| !known) {
                let end = region.address.saturating_add(region.len);
                let first = (pointer & !3).saturating_sub(BELOW_STACK_LEN).max(region.address);
                let len = end.min(pointer.saturating_add(STACK_LEN)).saturating_sub(first) & !3;
                self.add_range(CrashRange { address: first, len });
            }
        }
        match self.policy {
            Some(policy) => policy.as_slice().iter().for_each(|range| self.add_range(*range)),
            None => ram().for_each(|region| {
                self.add_range(CrashRange { address: region.address, len: region.len & !3 });
            }),
        }
    }

    fn add_range(&mut self, range: CrashRange) {
        if range.len > 0 {
            // There is room for all that a policy can name.
            let _ = self.ranges.push(range);
        }
    }

    fn seal_key(
        &mut self,
        index: usize,
        private: &[u8; 32],
        ring: &mut Ring,
        flash: &mut impl NorFlash,
        entropy: &mut impl Entropy,
    ) -> Result<(), FlashError> {
        let Some(public) = self.keys.as_slice().get(index) else {
            ring.commit_header(flash, self.slot, self.header.sequence, self.header.recipients)?;
            self.stage = Stage::Registers;
            return Ok(());
        };
        let mut ephemeral = [0; 32];
        entropy.fill(&mut ephemeral);
        let recipient = Recipient { public, device_private: private, ephemeral: &ephemeral };
        // A key that is none opens nothing: its entry stays empty, and the others are served.
        let entry = seal_for(&recipient, &self.header.encode(), &self.content_key).unwrap_or([0; ENTRY_LEN]);
        ring.write_header(flash, self.slot, FIXED_LEN + index * ENTRY_LEN, &entry)?;
        self.stage = Stage::Key(index + 1);
        Ok(())
    }

    fn write_registers(&mut self, writer: &mut Writer, build: &[u8]) {
        if let Some(core) = &self.core {
            writer.record(&Record::Core(core));
        }
        if let Some(system) = &self.system {
            writer.record(&Record::System(system));
        }
        if let Some(float) = &self.float {
            writer.record(&Record::Float(float));
        }
        if let Some((cfsr, sfsr, address)) = self.faults {
            writer.record(&Record::Faults { cfsr, sfsr, address });
        }
        writer.record(&Record::Vectors(self.vectors));
        writer.record(&Record::Build(build));
        self.stage = Stage::Memory { range: 0, offset: 0 };
    }

    /// Reads memory until a block is full, the range ends, or the step was long enough.
    fn read_memory(
        &mut self,
        range: usize,
        mut offset: u32,
        ring: &Ring,
        writer: &mut Writer,
        target: &mut impl DebugTarget,
    ) {
        let Some(CrashRange { address, len }) = self.ranges.get(range).copied() else {
            self.stage = Stage::Code { offset: 0, crc: 0 };
            return;
        };
        if self.blocks.saturating_add(BLOCKS_RESERVED) >= ring.blocks_max() {
            if offset > 0 {
                writer.memory_ends();
            }
            self.stage = Stage::End(EndMark::Full);
            return;
        }
        if offset == 0 {
            writer.record(&Record::Memory { address, len });
        }
        for _ in 0..PIECES_PER_STEP {
            let rest = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
            if rest == 0 || writer.is_full() {
                break;
            }
            let mut piece = [0; PIECE_LEN];
            let piece = piece.get_mut(..rest.min(PIECE_LEN)).unwrap_or_default();
            if target.read(address.wrapping_add(offset), piece).is_err() {
                writer.memory_ends();
                offset = len;
                break;
            }
            writer.memory(piece);
            offset = offset.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        }
        self.stage = if offset >= len {
            Stage::Memory { range: range + 1, offset: 0 }
        } else {
            Stage::Memory { range, offset }
        };
    }

    fn read_code(&mut self, mut offset: u32, mut crc: u32, writer: &mut Writer, die: &mut impl NorFlash) {
        let Some((at, len)) = self.code else {
            self.stage = Stage::End(EndMark::Whole);
            return;
        };
        for _ in 0..PIECES_PER_STEP {
            let rest = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX).min(PIECE_LEN);
            let mut piece = [0; PIECE_LEN];
            let piece = piece.get_mut(..rest).unwrap_or_default();
            if piece.is_empty() {
                writer.record(&Record::Code(CodeMark { address: self.code_address, len, crc }));
                self.stage = Stage::End(EndMark::Whole);
                return;
            }
            if at.plus(offset).is_none_or(|at| die.read(at, piece).is_err()) {
                self.stage = Stage::End(EndMark::Whole);
                return;
            }
            crc = code_crc(crc, piece);
            offset = offset.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        }
        self.stage = Stage::Code { offset, crc };
    }

    /// Writes the block that is full, if one is.
    fn drain(
        &mut self,
        ring: &Ring,
        writer: &mut Writer,
        flash: &mut impl NorFlash,
    ) -> Result<(), FlashError> {
        if writer.is_full() { self.write_block(Place::Inner, ring, writer, flash) } else { Ok(()) }
    }

    fn write_block(
        &mut self,
        place: fn(u32) -> Place,
        ring: &Ring,
        writer: &mut Writer,
        flash: &mut impl NorFlash,
    ) -> Result<(), FlashError> {
        let plain = writer.block();
        let tag =
            Block::seal(&self.content_key, place(self.blocks), plain).ok_or(FlashError::HardwareFault)?;
        ring.write_block(flash, self.slot, self.blocks, plain, &tag)?;
        writer.block_taken();
        self.blocks = self.blocks.saturating_add(1);
        Ok(())
    }

    fn end(
        &mut self,
        mark: EndMark,
        ring: &mut Ring,
        writer: &mut Writer,
        flash: &mut impl NorFlash,
    ) -> Progress {
        writer.record(&Record::End(mark));
        let mut finish = || {
            self.drain(ring, writer, flash)?;
            self.write_block(Place::Last, ring, writer, flash)?;
            ring.finish(flash, self.slot, self.header.sequence, self.header.recipients, self.blocks)
        };
        match finish() {
            Ok(len) => Progress::Done { len },
            Err(_) => Progress::Failed,
        }
    }
}
