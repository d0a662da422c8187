//! Claims about the tunnel: two implementations of Noise understand each other, and nobody else understands them.
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use bulkhead_developer_seal::developer::{Forged, Tunnel, open};
use bulkhead_developer_seal::{ANSWER_LEN, Binding, DeviceKeys, DeviceTunnel, Refused, SEAL_LEN, answer};
use bulkhead_device_identity::public_key;

const DEVICE: [u8; 32] = [1; 32];
const DEVELOPER: [u8; 32] = [2; 32];
const KEYS: DeviceKeys = DeviceKeys { private: DEVICE, ephemeral: [3; 32] };
const BINDING: Binding = Binding { device: [4; 16], manifest: [5; 32], session: 6 };

fn session() -> (Tunnel, DeviceTunnel) {
    let (first, opening) = open(&DEVELOPER, &public_key(&DEVICE), &BINDING).unwrap();
    let (reply, device) = answer(&KEYS, &BINDING, &first, |key| *key == public_key(&DEVELOPER)).unwrap();
    (opening.finish(&reply).unwrap(), device)
}

fn sealed_by_device(device: &mut DeviceTunnel, text: &[u8]) -> Vec<u8> {
    let mut bytes = [text, &[0; SEAL_LEN]].concat();
    let len = device.seal(&mut bytes, text.len()).unwrap();
    bytes.truncate(len);
    bytes
}

#[test]
fn both_ends_read_what_the_other_sealed() {
    let (mut developer, mut device) = session();
    assert!(!device.is_proven());
    for n in 0..100_u8 {
        let mut sealed = developer.seal(&[n; 40]).unwrap();
        assert_eq!(device.open(&mut sealed), Some(40));
        assert_eq!(sealed[..40], [n; 40]);
        let sealed = sealed_by_device(&mut device, b"answer");
        assert_eq!(developer.open(&sealed).unwrap(), b"answer");
    }
    assert!(device.is_proven());
}

#[test]
fn another_developers_key_is_refused() {
    let (first, _) = open(&[9; 32], &public_key(&DEVICE), &BINDING).unwrap();
    let refused = answer(&KEYS, &BINDING, &first, |key| *key == public_key(&DEVELOPER)).err();
    assert_eq!(refused, Some(Refused::OtherKey));
}

/// What the server knows: every public key, the manifest, the session, and all that ever passed.
#[test]
fn who_has_public_keys_alone_cannot_begin_a_session() {
    let prologue =
        [&b"bulkhead/debug/1"[..], &BINDING.device, &BINDING.manifest, &6_u32.to_be_bytes()].concat();
    let forge = |public: [u8; 32], secret: [u8; 32]| {
        let mut developer = bulkhead_link_session::key_pair(&secret);
        developer.public = public;
        let ephemeral = bulkhead_link_session::key_pair(&[0x55; 32]);
        let mut noise = bulkhead_link_session::Noise::new(
            clatter::handshakepattern::noise_ik(),
            &prologue,
            true,
            Some(developer),
            Some(ephemeral),
            Some(public_key(&DEVICE)),
            None,
        )
        .unwrap();
        let mut first = [0; bulkhead_developer_seal::FIRST_LEN];
        clatter::traits::Handshaker::write_message(&mut noise, &[], &mut first).unwrap();
        answer(&KEYS, &BINDING, &first, |key| *key == public_key(&DEVELOPER)).err()
    };
    // The true pair is taken: the forger differs from the developer in nothing but the secret.
    assert_eq!(forge(public_key(&DEVELOPER), DEVELOPER), None);
    for secret in [[0x66; 32], public_key(&DEVELOPER), public_key(&DEVICE)] {
        let forged = forge(public_key(&DEVELOPER), secret);
        assert_eq!(forged, Some(Refused::Handshake), "a named key, and no secret to it");
    }
    let own = forge(public_key(&[0x66; 32]), [0x66; 32]);
    assert_eq!(own, Some(Refused::OtherKey), "a key of its own, which nobody named");
}

#[test]
fn a_handshake_for_another_device_manifest_or_session_is_refused() {
    let (first, _) = open(&DEVELOPER, &public_key(&DEVICE), &BINDING).unwrap();
    let others = [
        Binding { device: [0; 16], ..BINDING },
        Binding { manifest: [0; 32], ..BINDING },
        Binding { session: 7, ..BINDING },
    ];
    for other in others {
        assert_eq!(answer(&KEYS, &other, &first, |_| true).err(), Some(Refused::Handshake), "{other:?}");
    }
    let stranger = DeviceKeys { private: [8; 32], ..KEYS };
    assert_eq!(answer(&stranger, &BINDING, &first, |_| true).err(), Some(Refused::Handshake));
}

#[test]
fn who_replays_a_handshake_cannot_go_on() {
    let (first, opening) = open(&DEVELOPER, &public_key(&DEVICE), &BINDING).unwrap();
    let (reply, mut device) = answer(&KEYS, &BINDING, &first, |_| true).unwrap();
    let mut recorded = opening.finish(&reply).unwrap().seal(b"halt").unwrap();
    assert!(device.open(&mut recorded.clone()).is_some());
    let again = DeviceKeys { ephemeral: [7; 32], ..KEYS };
    let (_, mut device) = answer(&again, &BINDING, &first, |_| true).unwrap();
    assert_eq!(device.open(&mut recorded), None, "recorded for other ephemeral keys");
    assert!(!device.is_proven());
}

#[test]
fn changed_repeated_and_swapped_messages_are_refused() {
    let (mut developer, mut device) = session();
    let first = developer.seal(b"one").unwrap();
    let second = developer.seal(b"two").unwrap();
    assert_eq!(device.open(&mut second.clone()), None, "out of order");
    let (mut developer, mut device) = session();
    let sealed = developer.seal(b"one").unwrap();
    assert_eq!(device.open(&mut sealed.clone()), Some(3));
    assert_eq!(device.open(&mut sealed.clone()), None, "repeated");
    let (_, mut device) = session();
    assert_eq!(device.open(&mut first.clone()), None, "of another session");
    for at in 0..sealed.len() {
        let (mut developer, mut device) = session();
        let mut sealed = developer.seal(b"one").unwrap();
        sealed[at] ^= 1;
        assert_eq!(device.open(&mut sealed), None, "changed at {at}");
    }
    let (mut developer, mut device) = session();
    let sealed = sealed_by_device(&mut device, b"memory");
    assert!(developer.open(&sealed).is_ok());
    assert_eq!(developer.open(&sealed), Err(Forged), "repeated");
}

#[test]
fn an_answer_of_somebody_else_is_refused() {
    let (_, opening) = open(&DEVELOPER, &public_key(&DEVICE), &BINDING).unwrap();
    assert!(opening.finish(&[0; ANSWER_LEN]).is_err());
}
