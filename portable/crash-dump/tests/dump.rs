//! Round trips between device and developer, recorded bytes, and what a hostile carrier may do.

#![expect(clippy::unwrap_used, reason = "tests: a panic is their failure")]

use bulkhead_crash_dump::developer::{DumpError, End, header, open};
use bulkhead_crash_dump::{
    BLOCK_LEN, Block, CodeMark, EndMark, Header, Place, REASON_ORDERED, Recipient, Record, Writer, code_crc,
    header_len, key_name, seal_for,
};
use bulkhead_device_identity::{device_id, public_key};

const DEVICE: [u8; 32] = [0x11; 32];
const ALICE: [u8; 32] = [0x22; 32];
const BOB: [u8; 32] = [0x33; 32];
const EVE: [u8; 32] = [0x44; 32];
const CONTENT_KEY: [u8; 32] = [0x55; 32];

/// Takes blocks out of a writer as a device would.
struct Maker {
    writer: Writer,
    dump: Vec<u8>,
    number: u32,
}

impl Maker {
    fn new(for_whom: &[[u8; 32]]) -> Self {
        let fixed = Header {
            device: *device_id(&public_key(&DEVICE)).as_bytes(),
            manifest: [0xA1; 32],
            id: [0xA2; 16],
            reason: REASON_ORDERED,
            recipients: u8::try_from(for_whom.len()).unwrap(),
            program_counter: 0x8000_0124,
            uptime_us: 5_000_000,
            wall_us: 1_790_000_000_000_000,
            sequence: 3,
            fault_count: 1,
        }
        .encode();
        let mut dump = fixed.to_vec();
        for (private, n) in for_whom.iter().zip(1..) {
            let recipient =
                Recipient { public: &public_key(private), device_private: &DEVICE, ephemeral: &[n; 32] };
            dump.extend(seal_for(&recipient, &fixed, &CONTENT_KEY).unwrap());
        }
        Self { writer: Writer::new(), dump, number: 0 }
    }

    fn take(&mut self, place: fn(u32) -> Place) {
        let plain = self.writer.block();
        let tag = Block::seal(&CONTENT_KEY, place(self.number), plain).unwrap();
        self.dump.extend(&*plain);
        self.dump.extend(tag);
        self.writer.block_taken();
        self.number += 1;
    }

    fn record(&mut self, record: &Record<'_>) {
        self.writer.record(record);
        if self.writer.is_full() {
            self.take(Place::Inner);
        }
    }

    fn memory(&mut self, address: u32, bytes: &[u8]) {
        self.record(&Record::Memory { address, len: u32::try_from(bytes.len()).unwrap() });
        for piece in bytes.chunks(256) {
            self.writer.memory(piece);
            if self.writer.is_full() {
                self.take(Place::Inner);
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.record(&Record::End(EndMark::Whole));
        self.take(Place::Last);
        self.dump
    }
}

fn core() -> [u32; 17] {
    core::array::from_fn(|n| u32::try_from(n).unwrap() * 0x0101_0101)
}

/// A small dump of everything there is.
fn small(for_whom: &[[u8; 32]]) -> Vec<u8> {
    let mut maker = Maker::new(for_whom);
    maker.record(&Record::Core(&core()));
    maker.record(&Record::System(&[7; 8]));
    maker.record(&Record::Float(&[9; 33]));
    maker.record(&Record::Faults { cfsr: 0x8200, sfsr: 0, address: Some(0x3800_0000) });
    maker.record(&Record::Vectors(0x8000_0000));
    maker.record(&Record::Build(b"0.1.0"));
    maker.memory(0x2820_0000, b"stack me up!");
    maker.record(&Record::Code(CodeMark { address: 0x8000_0000, len: 4, crc: code_crc(0, b"code") }));
    maker.finish()
}

/// Memory with runs of every length around the ends of pieces, controls and blocks.
fn awkward_memory(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let word = if next() % 3 == 0 { [0; 4] } else { next().to_le_bytes()[..4].try_into().unwrap() };
        let times = match next() % 8 {
            0 => 1 + next() % 400,
            1 => 1 + next() % 5,
            _ => 1,
        };
        (0..times).for_each(|_| bytes.extend(word));
    }
    bytes.truncate(len);
    bytes
}

/// Memory in which nothing repeats.
fn noise(len: usize) -> Vec<u8> {
    (0_u32..).flat_map(|n| n.wrapping_mul(0x9E37_79B1).to_le_bytes()).take(len).collect()
}

#[test]
fn what_the_device_wrote_is_what_each_named_developer_reads() {
    let dump = small(&[ALICE, BOB]);
    for private in [ALICE, BOB] {
        let opened = open(&dump, &private).unwrap();
        assert_eq!(opened.device_public, public_key(&DEVICE));
        assert_eq!((opened.core, opened.system), (Some(core()), Some([7; 8])));
        assert_eq!(opened.float, Some([9; 33]));
        assert_eq!(opened.faults.unwrap().address, Some(0x3800_0000));
        assert_eq!(opened.memory.len(), 1);
        assert_eq!(opened.memory[0].bytes, b"stack me up!");
        assert_eq!(opened.code.unwrap().crc, code_crc(code_crc(0, b"co"), b"de"));
        assert_eq!(opened.build.as_deref(), Some("0.1.0"));
        assert_eq!(opened.end, End::Marked(EndMark::Whole));
        assert_eq!(opened.header.sequence, 3);
    }
}

#[test]
fn memory_of_any_shape_comes_back_word_for_word() {
    for seed in 0..40 {
        let memory = awkward_memory(4 * (1 + (usize::try_from(seed).unwrap() * 977) % 9000), seed);
        let mut maker = Maker::new(&[ALICE]);
        maker.memory(0x2820_0000, &memory);
        maker.memory(0x2830_0000, &memory[..4]);
        let dump = maker.finish();
        let opened = open(&dump, &ALICE).unwrap();
        assert_eq!(opened.memory[0].bytes, memory, "seed {seed}");
        assert_eq!(opened.memory[1].bytes, memory[..4], "seed {seed}");
    }
}

#[test]
fn memory_that_could_not_be_read_on_ends_where_it_does() {
    let mut maker = Maker::new(&[ALICE]);
    maker.record(&Record::Memory { address: 0x2820_0000, len: 512 });
    maker.writer.memory(&noise(256));
    maker.writer.memory_ends();
    maker.memory(0x2821_0000, b"next");
    let opened = open(&maker.finish(), &ALICE).unwrap();
    assert_eq!((opened.memory[0].bytes.len(), opened.memory[1].bytes.as_slice()), (256, &b"next"[..]));
    assert_eq!(opened.end, End::Marked(EndMark::Whole));
}

#[test]
fn half_a_megabyte_of_zeros_is_one_block() {
    let mut maker = Maker::new(&[ALICE]);
    maker.memory(0x2820_0000, &vec![0; 512 << 10]);
    let dump = maker.finish();
    assert_eq!(dump.len(), header_len(1) + BLOCK_LEN);
    assert_eq!(open(&dump, &ALICE).unwrap().memory[0].bytes.len(), 512 << 10);
}

#[test]
fn nobody_else_opens_it_and_is_told_whose_it_is() {
    let dump = small(&[ALICE, BOB]);
    let names = [ALICE, BOB].map(|private| key_name(&public_key(&private)));
    assert_eq!(open(&dump, &EVE), Err(DumpError::OtherKey(names.to_vec())));
    assert_eq!(header(&dump).unwrap().1, names);
    let has = |wanted: &[u8]| dump.windows(wanted.len()).any(|bytes| bytes == wanted);
    assert!(!has(b"stack me up!") && !has(&CONTENT_KEY) && !has(b"0.1.0"));
}

#[test]
fn every_changed_byte_is_noticed() {
    let dump = small(&[ALICE]);
    let whole = open(&dump, &ALICE).unwrap();
    for at in 0..dump.len() {
        let mut changed = dump.clone();
        changed[at] ^= 1;
        match open(&changed, &ALICE) {
            Err(_) => {}
            Ok(opened) => panic!("byte {at} was changed unnoticed: {}", opened == whole),
        }
    }
}

#[test]
fn a_dump_that_ends_early_is_read_as_far_as_it_goes_and_never_taken_for_whole() {
    let memory = noise(20_000);
    let mut maker = Maker::new(&[ALICE]);
    maker.record(&Record::Core(&core()));
    maker.memory(0x2820_0000, &memory);
    let dump = maker.finish();
    let blocks = (dump.len() - header_len(1)) / BLOCK_LEN;
    assert!(blocks > 3, "{blocks}");
    for len in 0..dump.len() {
        let whole_blocks = len.saturating_sub(header_len(1)) / BLOCK_LEN;
        match open(&dump[..len], &ALICE) {
            Err(DumpError::NotADump | DumpError::Truncated) => assert_eq!(whole_blocks, 0, "{len}"),
            Err(error) => panic!("{len}: {error}"),
            Ok(opened) => {
                assert_eq!(opened.end, End::Cut(u32::try_from(whole_blocks).unwrap()));
                assert_eq!(opened.core, Some(core()));
                let have = &opened.memory[0].bytes;
                assert_eq!(*have, memory[..have.len()], "{len}");
            }
        }
    }
    // Blocks of an older dump that still lie behind the cut are none of this one's.
    let mut stale = dump[..header_len(1) + BLOCK_LEN].to_vec();
    stale.extend(&small(&[ALICE])[header_len(1)..]);
    assert!(matches!(open(&stale, &ALICE).unwrap().end, End::Cut(1)));
}

#[test]
fn blocks_in_another_order_are_no_dump() {
    let mut maker = Maker::new(&[ALICE]);
    maker.memory(0x2820_0000, &noise(20_000));
    let mut dump = maker.finish();
    let (first, rest) = dump[header_len(1)..].split_at_mut(BLOCK_LEN);
    first.swap_with_slice(&mut rest[..BLOCK_LEN]);
    assert_eq!(open(&dump, &ALICE), Err(DumpError::Forged));
}

#[test]
fn another_devices_key_does_not_pass() {
    let fixed = Header { device: [1; 16], recipients: 1, ..Header::default() }.encode();
    let recipient = Recipient { public: &public_key(&ALICE), device_private: &DEVICE, ephemeral: &[1; 32] };
    let mut dump = fixed.to_vec();
    dump.extend(seal_for(&recipient, &fixed, &CONTENT_KEY).unwrap());
    dump.extend([0; BLOCK_LEN]);
    assert_eq!(open(&dump, &ALICE), Err(DumpError::OtherDevice));
}

#[test]
fn a_piece_that_announces_what_no_device_has_is_refused() {
    for (address, len) in [(0, 0xFFFF_FFFC), (0xFFFF_FFFC, 8), (1, 4), (0, 6), (0, 17 << 20)] {
        let mut maker = Maker::new(&[ALICE]);
        maker.record(&Record::Memory { address, len });
        assert!(
            matches!(open(&maker.finish(), &ALICE), Err(DumpError::Malformed(_))),
            "{address:#x}+{len:#x}"
        );
    }
}

/// The dump of [`small`] for one developer, as the first version of the format wrote it. Never to be changed.
const GOLDEN: &str = include_str!("golden.hex");

#[test]
fn recorded_dump_is_still_written_and_read() {
    let dump = small(&[ALICE]);
    let hex: String = dump.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden: String = GOLDEN.split_whitespace().collect();
    assert_eq!(hex, golden);
    assert!(open(&dump, &ALICE).is_ok());
}
