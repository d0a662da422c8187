#![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]

extern crate std;

use std::string::ToString as _;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::application::FaultStatus;
use bulkhead_bundle_format::CrashRange;
use bulkhead_crash_dump::EndMark;
use bulkhead_crash_dump::developer::{Dump, End, open};
use bulkhead_debug_agent::{AccessRefused, Interrupts, Memory, Width};
use bulkhead_debug_protocol::{Region, RegionKind, Register, Words};
use bulkhead_device_identity::{device_id, public_key};
use bulkhead_flash_simulator::{Cut, Moment, Power, SimulatedFlash};
use bulkhead_link_protocol::{CrashOffer, DeviceMessage, FaultKind};
use bulkhead_nor_flash::{FlashError, Geometry};

const DEVICE: [u8; 32] = [0x11; 32];
const ALICE: [u8; 32] = [0x22; 32];
const SECTOR: u32 = 4096;
const PART: (FlashAddress, u32) = (FlashAddress(0), 8 * 8 * SECTOR);
const RAM: u32 = 0x2820_0000;
const RAM_LEN: u32 = 0x4000;
const SECRET: u32 = 0x3800_0000;
const CODE: &[u8] = b"all of the code";

/// An application that stands still: its RAM, and beside it what is not its own.
struct Still {
    ram: Vec<u8>,
    held: bool,
    asked_outside: u32,
}

impl Memory for Still {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        let at = address.checked_sub(RAM).map(|at| at as usize);
        let inside = at.and_then(|at| self.ram.get(at..at.checked_add(out.len())?));
        match inside {
            Some(bytes) => out.copy_from_slice(bytes),
            None => {
                self.asked_outside += 1;
                return Err(AccessRefused::Forbidden);
            }
        }
        Ok(())
    }
    fn is_secure(&self, address: u32) -> bool {
        address >= SECRET
    }
    fn vector_table(&self) -> u32 {
        0x8000_0000
    }
}

impl DebugTarget for Still {
    fn hold(&mut self) {
        self.held = true;
    }
    fn run(&mut self, _: Interrupts) {
        self.held = false;
    }
    fn registers(&mut self) -> RegisterFile {
        RegisterFile::default()
    }
    fn write_register(&mut self, _: Register, _: u32) -> Result<(), AccessRefused> {
        Err(AccessRefused::Unsupported)
    }
    fn read_exact(&mut self, _: u32, _: &mut [u8], _: Width) -> Result<(), AccessRefused> {
        Err(AccessRefused::Unsupported)
    }
    fn write(&mut self, _: u32, _: &[u8], _: Width) -> Result<(), AccessRefused> {
        Err(AccessRefused::Unsupported)
    }
    fn patch(&mut self, _: u32, _: u16) -> Result<u16, AccessRefused> {
        Err(AccessRefused::Unsupported)
    }
    fn now_us(&self) -> u64 {
        0
    }
    fn build(&self) -> &'static [u8] {
        b"0.1.0"
    }
    fn region(&self, index: usize) -> Option<Region> {
        let code = Region { address: 0x8000_0000, len: 0x1000, kind: RegionKind::Code };
        let ram = Region { address: RAM, len: RAM_LEN, kind: RegionKind::Ram };
        [code, ram].get(index).copied()
    }
}

/// A server that takes what it is offered from the beginning, and what it has to be told about it.
#[derive(Default)]
struct Server {
    offered: Option<CrashOffer>,
    received: Vec<u8>,
    kept: Vec<Vec<u8>>,
}

const NO_LINK: Option<&mut Server> = None;

impl Way for Server {
    fn has_room_for_crash(&self) -> bool {
        true
    }
    fn send(&mut self, message: &DeviceMessage<'_>) -> bool {
        match message {
            DeviceMessage::CrashOffer(offer) => {
                self.received.clear();
                self.offered = Some(*offer);
            }
            DeviceMessage::CrashPiece(piece) => {
                assert_eq!(piece.offset as usize, self.received.len());
                self.received.extend_from_slice(piece.bytes);
            }
            other => panic!("{other:?}"),
        }
        true
    }
}

impl Server {
    /// Answers what was sent.
    fn answer(&mut self, crash: &mut Crash<'_>) {
        let Some(CrashOffer { crash: id, len }) = self.offered else { return };
        if self.received.is_empty() {
            crash.wanted(&CrashWanted { crash: id, offset: 0 });
        } else if self.received.len() == len as usize {
            self.kept.push(core::mem::take(&mut self.received));
            self.offered = None;
            crash.done(&CrashDone { crash: id, kept: true });
        }
    }
}

/// Flash that cannot be read in a place.
struct Broken<'f>(&'f mut SimulatedFlash, core::ops::Range<u32>);

impl NorFlash for Broken<'_> {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
        let end = at.0 + u32::try_from(out.len()).unwrap();
        if at.0 < self.1.end && end > self.1.start {
            Err(FlashError::Unreadable)
        } else {
            self.0.read(at, out)
        }
    }
    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.program(at, bytes)
    }
    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        self.0.erase(at)
    }
}

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        self.0 = self.0.wrapping_add(1);
        out.fill(self.0);
    }
}

struct Bench {
    power: Power,
    flash: SimulatedFlash,
    die: SimulatedFlash,
    target: Still,
    entropy: Counting,
    now_ms: u64,
}

impl Bench {
    fn new() -> Self {
        let power = Power::new();
        let mut die = SimulatedFlash::die(8192, 4096, &power);
        let flash = SimulatedFlash::external(PART.1, SECTOR, &power);
        power.on(0, None);
        let mut unit = [0xFF; 16];
        unit[..CODE.len()].copy_from_slice(CODE);
        die.program(FlashAddress(4096), &unit).unwrap();
        // Numbers that do not repeat: nothing of it can be packed.
        let words = (0..RAM_LEN / 4).map(|n| n.wrapping_mul(0x9E37_79B1));
        let ram = words.flat_map(u32::to_le_bytes).collect();
        let target = Still { ram, held: false, asked_outside: 0 };
        Self { power, flash, die, target, entropy: Counting(0), now_ms: 5_000 }
    }

    fn crash<'s>(&mut self, storage: &'s mut CrashStorage) -> Crash<'s> {
        Crash::new((DEVICE, *device_id(&public_key(&DEVICE)).as_bytes()), storage, &mut self.flash, PART)
    }

    /// Polls until the dump is made; what was told of it.
    fn finish(&mut self, crash: &mut Crash<'_>) -> Option<Told> {
        let mut steps = 0;
        while crash.is_capturing() {
            self.now_ms += 1;
            let before = self.power.operations();
            let flash = (&mut self.die, &mut self.flash);
            if crash.poll(self.now_ms, flash, &mut self.target, &mut self.entropy, NO_LINK) {
                self.target.run(Interrupts::Allowed);
            }
            steps += 1;
            assert!(self.power.operations() - before <= 6, "a step erases and writes little");
            assert!(steps < 2_000, "it comes to an end");
        }
        crash.take_told()
    }

    /// The oldest dump, opened, and taken.
    fn take(&mut self, crash: &mut Crash<'_>) -> Option<Dump> {
        let waiting = crash.ring.oldest()?;
        let mut dump = vec![0; waiting.len as usize];
        let mut at = 0;
        while at < dump.len() {
            let offset = u32::try_from(at).unwrap();
            at += crash.ring.read_dump(&mut self.flash, waiting.slot, offset, &mut dump[at..]).unwrap();
        }
        crash.ring.take(&mut self.flash, waiting.slot);
        Some(open(&dump, &ALICE).unwrap())
    }
}

fn scene(now_ms: u64, memory: Option<CrashMemory>) -> Scene {
    let numbered = Words(core::array::from_fn(|n| u32::try_from(n).unwrap()));
    let mut registers = RegisterFile { core: numbered, ..RegisterFile::default() };
    registers.core.0[13] = RAM + RAM_LEN - 128;
    registers.system.0[0] = RAM + RAM_LEN - 128;
    let status = FaultStatus { cfsr: 0, sfsr: 8 };
    Scene {
        offence: Some(Offence {
            kind: FaultKind::SecureAccess,
            program_counter: 0x124,
            address: Some(SECRET),
            status,
        }),
        fault_count: 1,
        now_us: now_ms * 1000,
        wall_us: None,
        manifest: [7; 32],
        registers: Some(registers),
        vectors: 0x8000_0000,
        code: Some((FlashAddress(4096), u32::try_from(CODE.len()).unwrap())),
        code_address: 0x8000_0000,
        keys: DebugKeys::new(&[public_key(&ALICE)]).unwrap(),
        memory,
    }
}

fn ranges(ranges: &[(u32, u32)]) -> Option<CrashMemory> {
    let ranges: Vec<_> =
        ranges.iter().map(|(address, len)| CrashRange { address: *address, len: *len }).collect();
    Some(CrashMemory::new(&ranges).unwrap())
}

#[test]
fn a_dump_holds_registers_stack_memory_and_what_the_code_was() {
    let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
    let mut crash = bench.crash(&mut storage);
    crash.begin(&scene(bench.now_ms, ranges(&[(RAM, 512)])));
    assert!(crash.is_capturing() && crash.is_busy());
    let told = bench.finish(&mut crash).unwrap();
    assert!(told.to_string().contains("sealed in"), "{told}");
    let dump = bench.take(&mut crash).unwrap();
    assert_eq!(dump.end, End::Marked(EndMark::Whole));
    assert_eq!(dump.core.unwrap()[..4], [0, 1, 2, 3]);
    assert_eq!(dump.faults.unwrap().sfsr, 8);
    assert_eq!(dump.build.as_deref(), Some("0.1.0"));
    let pieces: Vec<_> = dump.memory.iter().map(|piece| (piece.address, piece.bytes.len())).collect();
    assert_eq!(
        pieces,
        [(RAM + RAM_LEN - 192, 192), (RAM, 512)],
        "the stack first, once, up to the end of RAM"
    );
    assert_eq!(dump.memory[1].bytes, bench.target.ram[..512]);
    assert_eq!(dump.code.unwrap().crc, bulkhead_crash_dump::code_crc(0, CODE));
    assert_eq!((dump.header.reason, dump.header.sequence), (0, 0));
    assert_eq!(crash.ring.oldest(), None);
}

#[test]
fn without_a_word_in_the_policy_all_memory_is_in_it_and_with_an_empty_one_none() {
    let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
    let mut crash = bench.crash(&mut storage);
    crash.begin(&scene(bench.now_ms, None));
    bench.finish(&mut crash);
    let dump = bench.take(&mut crash).unwrap();
    assert_eq!(dump.memory[1].bytes, bench.target.ram);
    crash.begin(&scene(bench.now_ms, ranges(&[])));
    bench.finish(&mut crash);
    let dump = bench.take(&mut crash).unwrap();
    assert_eq!((dump.memory.len(), dump.end), (0, End::Marked(EndMark::Whole)));
}

#[test]
fn a_range_outside_of_the_applications_memory_is_left_out_and_the_rest_is_there() {
    let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
    let mut crash = bench.crash(&mut storage);
    let wild = [(SECRET, 256), (RAM + RAM_LEN - 256, 512), (0, 4), (RAM, 8)];
    crash.begin(&scene(bench.now_ms, ranges(&wild)));
    bench.finish(&mut crash);
    let dump = bench.take(&mut crash).unwrap();
    let pieces: Vec<_> = dump.memory[1..].iter().map(|piece| (piece.address, piece.bytes.len())).collect();
    assert_eq!(pieces, [(SECRET, 0), (RAM + RAM_LEN - 256, 256), (0, 0), (RAM, 8)]);
    assert_eq!(bench.target.asked_outside, 3);
}

#[test]
fn what_does_not_fit_is_left_out_and_the_dump_says_so() {
    let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
    let mut crash = bench.crash(&mut storage);
    // Twice the RAM does not fit in thirty-one blocks.
    crash.begin(&scene(bench.now_ms, ranges(&[(RAM, RAM_LEN), (RAM, RAM_LEN)])));
    bench.finish(&mut crash);
    let dump = bench.take(&mut crash).unwrap();
    assert_eq!(dump.end, End::Marked(EndMark::Full));
    assert_eq!(dump.memory[1].bytes, bench.target.ram);
    let second = &dump.memory[2].bytes;
    assert!(second.len() > 8_000 && *second == bench.target.ram[..second.len()], "{}", second.len());
}

#[test]
fn what_takes_too_long_is_left_out_and_the_application_is_let_go() {
    let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
    let mut crash = bench.crash(&mut storage);
    // In the middle of the memory, and before its first range.
    for steps in [6, 4] {
        let ordered = Scene { offence: None, ..scene(bench.now_ms, None) };
        crash.begin_held(&ordered, &mut bench.target);
        assert!(bench.target.held);
        for _ in 0..steps {
            let flash = (&mut bench.die, &mut bench.flash);
            crash.poll(bench.now_ms, flash, &mut bench.target, &mut bench.entropy, NO_LINK);
        }
        bench.now_ms += 10_000;
        bench.finish(&mut crash);
        assert!(!bench.target.held);
        let dump = bench.take(&mut crash).unwrap();
        assert_eq!(dump.end, End::Marked(EndMark::Late));
        assert_eq!(dump.header.reason, bulkhead_crash_dump::REASON_ORDERED);
        assert!(dump.core.is_some() && dump.memory.len() < 3);
    }
}

#[test]
fn nobody_named_means_nothing_captured() {
    let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
    let mut crash = bench.crash(&mut storage);
    let operations = bench.power.operations();
    crash.begin(&Scene { keys: DebugKeys::default(), ..scene(bench.now_ms, None) });
    assert_eq!((crash.is_capturing(), bench.finish(&mut crash)), (false, None));
    assert_eq!(bench.power.operations(), operations, "flash is not touched");
}

#[test]
fn crashing_without_end_wears_flash_sixteen_times_a_day() {
    let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
    let mut crash = bench.crash(&mut storage);
    let day_ms = 24 * 3_600_000;
    let (start, mut made, mut refused) = (bench.now_ms, 0, 0);
    while bench.now_ms - start < 10 * day_ms {
        crash.begin(&scene(bench.now_ms, ranges(&[])));
        match bench.finish(&mut crash).unwrap() {
            Told::Captured { .. } => made += 1,
            Told::TooMany => refused += 1,
            other => panic!("{other}"),
        }
        while bench.take(&mut crash).is_some() {}
        bench.now_ms += 20 * 60_000;
    }
    assert!((160..=168).contains(&made), "{made} dumps in ten days");
    assert!(refused > 500);
    assert!(bench.flash.erase_count(FlashAddress(0)) <= 22);
}

#[test]
fn eight_dumps_that_nobody_fetches_silence_the_ninth_and_stay() {
    let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
    let mut crash = bench.crash(&mut storage);
    for n in 0..12 {
        bench.now_ms += REFILL_MS;
        crash.begin(&scene(bench.now_ms, ranges(&[])));
        let told = bench.finish(&mut crash).unwrap();
        assert_eq!(told == Told::NoSlot, n >= 8, "{n}: {told}");
    }
    for n in 0..8 {
        assert_eq!(bench.take(&mut crash).unwrap().header.sequence, n);
    }
}

/// Cuts the power in each operation of a capture; whatever is there afterwards opens, and begins as the whole would.
#[test]
fn a_power_cut_anywhere_in_a_capture_leaves_a_beginning_that_opens() {
    let (mut found, mut cut) = (0, 0);
    for operation in 0.. {
        let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
        let mut crash = bench.crash(&mut storage);
        bench.power.on(1, Some(Cut { operation, moment: Moment::Inside(1) }));
        crash.begin(&scene(bench.now_ms, None));
        bench.finish(&mut crash);
        let whole = bench.power.is_on();
        bench.power.on(2, None);
        bench.flash.power_on(bench.flash.cells().clone(), |_| bulkhead_flash_simulator::Reading::Before);
        let mut again = CrashStorage::new();
        let mut crash = bench.crash(&mut again);
        let Some(waiting) = crash.ring.oldest() else { continue };
        let mut dump = vec![0; waiting.len as usize];
        let mut at = 0;
        while at < dump.len() {
            let offset = u32::try_from(at).unwrap();
            at += crash.ring.read_dump(&mut bench.flash, waiting.slot, offset, &mut dump[at..]).unwrap();
        }
        match open(&dump, &ALICE) {
            Ok(opened) => {
                found += 1;
                assert_eq!(opened.core.unwrap()[..4], [0, 1, 2, 3]);
                // The last operation only says how long the dump is, which shows without it.
                assert!(!whole || opened.end == End::Marked(EndMark::Whole));
                cut += u32::from(matches!(opened.end, End::Cut(_)));
                for piece in &opened.memory {
                    let at = (piece.address - RAM) as usize;
                    assert_eq!(piece.bytes, bench.target.ram[at..at + piece.bytes.len()]);
                }
            }
            // The first block itself was cut.
            Err(error) => assert!(!whole, "operation {operation}: {error}"),
        }
        // And the next crash finds a slot.
        crash.begin(&scene(bench.now_ms, ranges(&[])));
        assert!(matches!(bench.finish(&mut crash), Some(Told::Captured { .. })));
        if whole {
            break;
        }
    }
    assert!(cut > 20 && found > cut, "{found} beginnings, {cut} of them cut");
}

#[test]
fn a_dump_that_cannot_be_read_is_left_out_and_the_next_one_arrives() {
    // Nowhere; in the middle of the first dump's blocks; where its id lies.
    for (broken, n_kept) in [(0..0, 2), (5_000..5_001, 1), (120..121, 1)] {
        let (mut bench, mut storage) = (Bench::new(), CrashStorage::new());
        let mut crash = bench.crash(&mut storage);
        for _ in 0..2 {
            crash.begin(&scene(bench.now_ms, None));
            assert!(matches!(bench.finish(&mut crash), Some(Told::Captured { .. })));
        }
        let (mut server, mut told) = (Server::default(), Vec::new());
        for _ in 0..1_000 {
            let mut flash = Broken(&mut bench.flash, broken.clone());
            let flash = (&mut bench.die, &mut flash);
            crash.poll(bench.now_ms, flash, &mut bench.target, &mut bench.entropy, Some(&mut server));
            server.answer(&mut crash);
            told.extend(crash.take_told());
        }
        assert_eq!(told, vec![Told::Unreadable; 2 - n_kept], "{broken:?}");
        let sequences: Vec<_> =
            server.kept.iter().map(|dump| open(dump, &ALICE).unwrap().header.sequence).collect();
        assert_eq!(sequences, (2 - u32::try_from(n_kept).unwrap()..2).collect::<Vec<_>>(), "{broken:?}");
        assert!(!crash.is_busy() && crash.ring.oldest().is_none(), "{broken:?}");
    }
}
