//! Claims about identity records.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bulkhead_device_identity::*;

const SIGNING: [[u8; 32]; 2] = [[0xA1; 32], [0xA2; 32]];

fn identity() -> Identity<'static> {
    Identity {
        device_private_key: [1; 32],
        storage_root: [2; 32],
        entropy_seed: [3; 32],
        realm_id: [4; 16],
        server_keys: ServerKeys { current: [5; 32], next: Some([6; 32]) },
        server_host: "10.0.2.2",
        server_port: 7443,
        signing_keys: &SIGNING,
        claim_token: [7; 16],
    }
}

fn record(identity: &Identity<'_>) -> Vec<u8> {
    let mut page = [0xFF; 8192];
    let len = identity.write(&mut page).unwrap();
    page[..len].to_vec()
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    let keys = [[9; 32]; SIGNING_KEYS_MAX];
    for id in [
        identity(),
        Identity { server_keys: ServerKeys { current: [5; 32], next: None }, ..identity() },
        Identity { server_host: &long, signing_keys: &keys, server_port: 65535, ..identity() },
        Identity { server_host: "::1", ..identity() },
    ] {
        let mut page = vec![0xFF; 8192];
        let len = id.write(&mut page).unwrap();
        assert!(len <= IDENTITY_LEN_MAX, "{len}");
        assert_eq!(Identity::parse(&page), Ok(id));
        assert_eq!(Identity::parse(&page[..len]), Ok(id));
    }
    assert_eq!(long.len(), HOST_LEN_MAX);
}

#[test]
fn every_changed_bit_and_every_cut_is_noticed() {
    let record = record(&identity());
    for bit in 0..record.len() * 8 {
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Identity::parse(&changed).is_err(), "bit {bit} changed nothing");
    }
    for len in 0..record.len() {
        assert!(Identity::parse(&record[..len]).is_err(), "accepted {len} bytes");
    }
}

#[test]
fn errors_tell_a_blank_page_from_a_damaged_one() {
    assert_eq!(Identity::parse(&[0xFF; 8192]), Err(IdentityError::Blank));
    assert_eq!(Identity::parse(&[0; 8192]), Err(IdentityError::Magic));
    assert_eq!(Identity::parse(&[]), Err(IdentityError::Length));
    let mut newer = record(&identity());
    newer[5] = 2;
    assert_eq!(Identity::parse(&newer), Err(IdentityError::Version(2)));
    let mut damaged = record(&identity());
    damaged[100] ^= 1;
    assert_eq!(Identity::parse(&damaged), Err(IdentityError::Crc));
    assert_eq!(identity().write(&mut [0; 100]), Err(IdentityError::BufferTooSmall));
}

#[test]
fn impossible_servers_and_key_counts_are_not_written() {
    let too_long = "a.".repeat(130) + "a";
    for host in ["", "a..b", "http://a", "a b", "a:1", "1.2.3", "1.2.3.256", "-a.b", "é.example", &too_long]
    {
        let id = Identity { server_host: host, ..identity() };
        assert_eq!(id.write(&mut [0; 1024]), Err(IdentityError::Server), "{host}");
    }
    let id = Identity { server_port: 0, ..identity() };
    assert_eq!(id.write(&mut [0; 1024]), Err(IdentityError::Server));
    for keys in [&[][..], &[[1; 32]; 5]] {
        let id = Identity { signing_keys: keys, ..identity() };
        assert_eq!(id.write(&mut [0; 1024]), Err(IdentityError::SigningKeys));
    }
    for host in ["localhost", "10.0.2.2", "fe80::1", "gateway.example.org", "a_b.example"] {
        assert!(is_host(host), "{host}");
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let text = format!("{:?}", identity());
    for secret in ["private", "storage", "entropy", "claim", "1, 1, 1", "7, 7, 7"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains("10.0.2.2"));
}

#[test]
fn golden_bytes_of_version_1_never_change() {
    let hex: String = record(&identity()).iter().map(|b| format!("{b:02x}")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/identity-1.hex");
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(hex, golden.split_whitespace().collect::<String>());
}
