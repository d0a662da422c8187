//! An identity page as a worn flash may hold it, with and without a right CRC.
#![no_main]

use bulkhead_checksum::crc32;
use bulkhead_device_identity::{IDENTITY_LEN_MAX, Identity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|page: &[u8]| {
    check(page);
    // The same bytes framed rightly, so that the CBOR behind the CRC is reached.
    let Ok(len) = u16::try_from(page.len()) else { return };
    let mut framed = Vec::from(*bulkhead_device_identity::IDENTITY_MAGIC);
    framed.extend(bulkhead_device_identity::IDENTITY_VERSION.to_be_bytes());
    framed.extend(len.to_be_bytes());
    framed.extend(page);
    let crc = crc32(0, &framed);
    framed.extend(crc.to_be_bytes());
    check(&framed);
});

fn check(page: &[u8]) {
    let Ok(identity) = Identity::parse(page) else { return };
    let mut out = [0; IDENTITY_LEN_MAX];
    let len = identity.write(&mut out).expect("what was read can be written");
    assert!(Identity::parse(&out[..len]).is_ok());
}
