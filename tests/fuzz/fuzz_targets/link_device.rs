//! A network that answers a device with anything, in pieces of any size.
#![no_main]

use bulkhead_link_session::{DeviceSession, Event, Keepalive, LinkKeys};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (piece, bytes) = input;
    let keys = LinkKeys { device_private_key: [7; 32], server_public_key: [9; 32], realm_id: [5; 16] };
    let mut session = DeviceSession::new(keys, [3; 32], Keepalive::default(), 0);
    session.run_handshake_step(0);
    let mut out = [0; 64];
    while session.poll_transmit(&mut out) > 0 {}
    let mut now_ms = 0;
    for chunk in bytes.chunks(usize::from(piece).max(1)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            now_ms += 1;
            let taken = session.receive(rest, now_ms);
            rest = &rest[taken..];
            let mut told = 0;
            while let Some(event) = session.poll_event(now_ms) {
                // Without the server's key nobody gets in.
                assert!(!matches!(event, Event::Established | Event::Message(_)));
                told += 1;
                assert!(told < 10, "a session must not tell for ever");
            }
            if taken == 0 && !session.run_handshake_step(now_ms) {
                break;
            }
        }
    }
    session.handle_timeout(now_ms + 60_000);
    let _ = session.poll_event(now_ms + 60_000);
});
