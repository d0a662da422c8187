//! A device, or somebody who poses as one, that sends the server anything.
#![no_main]

use bulkhead_link_protocol::PLAINTEXT_LEN_MAX;
use bulkhead_link_session::server::{FIRST_LEN, ServerHandshake, ServerKeys, ServerSession};
use bulkhead_link_session::{DeviceSession, Keepalive, LinkKeys};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let keys = ServerKeys { current: [9; 32], next: Some([11; 32]), realm_id: [5; 16] };
    if let Some(first) = bytes.first_chunk::<FIRST_LEN>() {
        let _ = ServerHandshake::read(first, &keys);
    }
    // A link that was opened honestly, then fed with what was sent.
    let mut session = honest(&keys);
    let mut rest = bytes;
    while let Some((prefix, after)) = rest.split_first_chunk::<2>() {
        let Ok(len) = ServerSession::ciphertext_len(*prefix) else { return };
        let Some((ciphertext, after)) = after.split_at_checked(len) else { return };
        assert!(
            session.open(ciphertext, &mut [0; PLAINTEXT_LEN_MAX]).is_err(),
            "a forged frame was believed"
        );
        assert!(!session.is_confirmed());
        rest = after;
    }
});

fn honest(keys: &ServerKeys) -> ServerSession {
    let link = LinkKeys {
        device_private_key: [7; 32],
        server_public_key: bulkhead_device_identity::public_key(&keys.current),
        realm_id: keys.realm_id,
    };
    let mut device = DeviceSession::new(link, [3; 32], Keepalive::default(), 0);
    device.run_handshake_step(0);
    let mut first = [0; FIRST_LEN];
    assert_eq!(device.poll_transmit(&mut first), FIRST_LEN);
    ServerHandshake::read(&first, keys).expect("an honest device").accept().expect("an honest device").1
}
