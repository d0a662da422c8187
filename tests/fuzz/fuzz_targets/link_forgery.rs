//! Whoever sits on the wire: frames put into an honest link, and changes to an honest first message.
//!
//! Input: which of the two, the size of the pieces, then the bytes.
#![no_main]

use bulkhead_link_protocol::{Ping, ServerMessage};
use bulkhead_link_session::server::{FIRST_LEN, ServerHandshake, ServerKeys};
use bulkhead_link_session::{DeviceSession, Keepalive, LinkKeys};
use libfuzzer_sys::fuzz_target;

const SERVER: [u8; 32] = [2; 32];
const REALM: [u8; 16] = [3; 16];

fn device() -> DeviceSession {
    let keys = LinkKeys {
        device_private_key: [1; 32],
        server_public_key: bulkhead_device_identity::public_key(&SERVER),
        realm_id: REALM,
    };
    let mut device = DeviceSession::new(keys, [4; 32], Keepalive::default(), 0);
    device.run_handshake_step(0);
    device
}

fn first(device: &mut DeviceSession) -> [u8; FIRST_LEN] {
    let mut first = [0; FIRST_LEN];
    assert_eq!(device.poll_transmit(&mut first), FIRST_LEN);
    first
}

/// Hands bytes over; returns events. Ends, whatever the bytes are.
fn deliver(device: &mut DeviceSession, mut bytes: &[u8], piece: usize) -> usize {
    let mut events = 0;
    while !bytes.is_empty() {
        let taken = device.receive(&bytes[..piece.min(bytes.len())], 1);
        bytes = &bytes[taken..];
        let ran = device.run_handshake_step(1);
        let mut told = 0;
        while let Some(event) = device.poll_event(1) {
            told += 1;
            assert!(told <= 4, "events without bytes: {event:?}");
        }
        events += told;
        assert!(taken > 0 || told > 0 || ran, "bytes are neither taken nor refused");
    }
    events
}

fuzz_target!(|input: &[u8]| {
    let [mode, piece, bytes @ ..] = input else { return };
    let piece = usize::from(*piece).max(1);
    let keys = ServerKeys { current: SERVER, next: None, realm_id: REALM };
    match mode % 2 {
        // A device with a link, behind one good frame.
        0 => {
            let mut device = device();
            let first = first(&mut device);
            let handshake = ServerHandshake::read(&first, &keys).expect("a good handshake");
            let (answer, mut server) = handshake.accept().expect("a good handshake");
            let mut good = answer.to_vec();
            server.seal(&ServerMessage::Ping(Ping { token: 1 }), &mut good).expect("it fits");
            deliver(&mut device, &good, piece);
            assert!(device.is_established());
            let before = device.is_established();
            let events = deliver(&mut device, bytes, piece);
            assert!(before && events <= 1, "a frame was forged");
        }
        // A server that reads first bytes, some of them good.
        _ => {
            let mut first = first(&mut device());
            for (slot, change) in first.iter_mut().zip(bytes) {
                *slot ^= change;
            }
            let changed = bytes.iter().take(FIRST_LEN).any(|byte| *byte != 0);
            assert_eq!(ServerHandshake::read(&first, &keys).is_ok(), !changed, "a first message was forged");
        }
    }
});
