//! Whatever a server hands out as a crash dump is one or an error, also where the blocks themselves open.
#![no_main]

use bulkhead_crash_dump::developer::open;
use bulkhead_crash_dump::{Block, Header, PLAIN_LEN, Place, Recipient, seal_for};
use bulkhead_device_identity::{device_id, public_key};

const DEVICE: [u8; 32] = [0x11; 32];
const DEVELOPER: [u8; 32] = [0x22; 32];
const CONTENT_KEY: [u8; 32] = [0x55; 32];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // As it comes.
    let _ = open(bytes, &DEVELOPER);
    // As the stream of a device that writes what it likes.
    let fixed =
        Header { device: *device_id(&public_key(&DEVICE)).as_bytes(), recipients: 1, ..Header::default() }
            .encode();
    let recipient =
        Recipient { public: &public_key(&DEVELOPER), device_private: &DEVICE, ephemeral: &[0x66; 32] };
    let mut dump = fixed.to_vec();
    dump.extend(seal_for(&recipient, &fixed, &CONTENT_KEY).expect("the key is one"));
    let blocks = bytes.len().div_ceil(PLAIN_LEN);
    for (number, piece) in (0..).zip(bytes.chunks(PLAIN_LEN)) {
        let mut plain = [0; PLAIN_LEN];
        plain[..piece.len()].copy_from_slice(piece);
        let place = if number as usize + 1 == blocks { Place::Last(number) } else { Place::Inner(number) };
        let tag = Block::seal(&CONTENT_KEY, place, &mut plain).expect("seals");
        dump.extend(plain);
        dump.extend(tag);
    }
    if let Ok(opened) = open(&dump, &DEVELOPER) {
        let held: usize = opened.memory.iter().map(|piece| piece.bytes.len()).sum();
        assert!(held <= bulkhead_crash_dump::developer::MEMORY_LEN_MAX);
        let _ = bulkhead_crash_report::core_file(&opened);
    }
});
