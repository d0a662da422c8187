//! What the owner signed, on its way through the server: key sets in order, permits, factory bundles.

use bulkhead_bundle_format::{
    BundleSigner, KeySetFields, Permit, Signer, encode_key_set, sign_key_set, sign_permit,
};
use bulkhead_cloud_api::{from_hex, to_hex};
use bulkhead_link_protocol::{FetchFrom, Floors};
use serde_json::{Value, json};

use crate::harness::*;

fn signer(n: u8) -> Signer {
    Signer::from_secret(&[n; 32])
}

/// Set `version` with root `root`, signed by `by`.
fn set(version: u32, root: u8, by: &[u8]) -> Vec<u8> {
    let signers = [BundleSigner { key: signer(100).public_key(), not_after_s: Some(2_000_000_000) }];
    let roots = [signer(root).public_key()];
    let fields = KeySetFields { version, made_at_s: 7, threshold: 1, roots: &roots, signers: &signers };
    let set = encode_key_set(&fields).expect("agrees");
    by.iter().fold(set, |set, by| sign_key_set(&set, &signer(*by)).expect("room"))
}

fn push(server: &TestServer, set: Vec<u8>) -> Answer {
    server.ask_as(Some(&server.admin), "POST", "/api/v1/key-sets", set)
}

fn push_bundle(server: &TestServer, recipe: &Recipe) -> String {
    let pushed = server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", bundle(recipe).0).ok();
    pushed["manifest"].as_str().expect("digest").to_owned()
}

fn online(server: &TestServer, device: u8, floors: Option<Floors>) -> FakeDevice {
    let mut device = FakeDevice::connect(server.device_address(), &server.keys(device));
    device.floors = floors;
    device.expect("established", |said| matches!(said, Said::Established));
    device.hello(None);
    device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
    device
}

#[test]
fn a_device_is_led_from_set_to_set_and_what_it_says_of_them_is_seen() {
    let server = TestServer::start();
    let id = server.own(1);
    let (first, second) = (set(1, 1, &[1]), set(2, 2, &[1, 2]));
    let pushed = push(&server, first.clone()).ok();
    assert_eq!((&pushed["version"], &pushed["threshold"]), (&json!(1), &json!(1)));
    assert_eq!(pushed["signers"][0]["not_after"], "2033-05-18T03:33:20.000000Z");
    let mut device = online(&server, 1, None);
    assert_eq!(device.key_set(), (1, first));
    push(&server, second.clone()).ok();
    device.tell_key_set(None, Some("nobody that I know signed it"));
    let path = format!("/api/v1/devices/{id}");
    let refusal = "nobody that I know signed it";
    server.wait_for("refusal", &path, |device| device["reported"]["key_set_refusal"] == refusal);
    device.tell_key_set(Some(1), None);
    assert_eq!(device.key_set(), (2, second));
    device.tell_key_set(Some(2), None);
    server.wait_for("version", &path, |device| device["reported"]["key_set_version"] == 2);
    let listed = server.get("/api/v1/key-sets");
    let versions: Vec<_> =
        listed["items"].as_array().expect("list").iter().map(|set| &set["version"]).collect();
    assert_eq!(versions, [&json!(2), &json!(1)]);
}

#[test]
fn sets_that_no_device_could_follow_are_refused_when_they_are_pushed() {
    let server = TestServer::start();
    push(&server, set(5, 1, &[1])).ok();
    let cases = [
        (b"nothing".to_vec(), "key-set-malformed"),
        (vec![0; 5000], "key-set-malformed"),
        (set(6, 2, &[1]), "key-set-unsigned"),
        (set(6, 2, &[2]), "key-set-unsigned"),
        (set(4, 1, &[1]), "key-set-version-taken"),
        (set(5, 2, &[1, 2]), "key-set-version-taken"),
    ];
    for (set, code) in cases {
        assert_eq!(push(&server, set).code(), code);
    }
    assert_eq!(push(&server, set(5, 1, &[1, 9])).status, 200, "the same set, with one more signature");
    let developer = server.token("developer");
    let refused = server.ask_as(Some(&developer), "POST", "/api/v1/key-sets", set(6, 1, &[1]));
    assert_eq!(refused.code(), "forbidden");
}

#[test]
fn what_is_too_old_needs_a_permit_which_travels_with_the_offer() {
    let server = TestServer::start();
    let id = server.own(1);
    let manifest = push_bundle(&server, &Recipe::default());
    let floors = Floors { sequence: u64::MAX / 4, security_counter: 0, permits: 2 };
    let mut device = online(&server, 1, Some(floors));
    let target = |permit: Option<&[u8]>| {
        let permit = permit.map(to_hex);
        let body = json!({ "bundle": manifest, "permit": permit });
        server.ask("PUT", &format!("/api/v1/devices/{id}/target"), body)
    };
    assert_eq!(target(None).code(), "bundle-older");
    let device_id = from_hex(&id[2..]).expect("id");
    let good = Permit { device_id, manifest: from_hex(&manifest).expect("digest"), number: 2 };
    let wrong = [
        Permit { device_id: [0; 16], ..good },
        Permit { manifest: [0; 32], ..good },
        Permit { number: 1, ..good },
    ];
    for permit in wrong {
        assert_eq!(target(Some(&sign_permit(&permit, &signer(1)))).code(), "permit-mismatch");
    }
    assert_eq!(target(Some(b"junk")).code(), "permit-mismatch");
    let signed = sign_permit(&good, &signer(1));
    target(Some(&signed)).ok();
    let offer = device.offer();
    assert_eq!(offer.permit_len, u32::try_from(signed.len()).ok());
    let fetched = device.fetch(offer.manifest, FetchFrom::Permit, 0, offer.permit_len.expect("there"));
    assert_eq!(fetched, Some(signed));
    assert_eq!(device.fetch([1; 32], FetchFrom::Permit, 0, 1), None, "for the offered bundle alone");
    assert_eq!(device.fetch([0; 32], FetchFrom::KeySet, 0, 1), None, "none was offered");
}

#[test]
fn the_factory_bundle_is_for_devices_that_run_nothing_and_were_never_given_anything() {
    let server = TestServer::start();
    let (fresh, used) = (server.own(1), server.own(2));
    let manifest = push_bundle(&server, &Recipe::default());
    let other = push_bundle(&server, &Recipe { version: "9", sequence: 99, ..Recipe::default() });
    let chosen = server.ask("PUT", "/api/v1/factory-bundles", json!({ "bundle": manifest })).ok();
    assert_eq!(chosen["device_class"], CLASS);
    let body = json!({ "bundle": other });
    server.ask("PUT", &format!("/api/v1/devices/{used}/target"), body).ok();
    let offered = |device: u8| to_hex(&online(&server, device, None).offer().manifest);
    assert_eq!(offered(1), manifest);
    assert_eq!(offered(2), other);
    let update: Value = server.get(&format!("/api/v1/devices/{fresh}"))["update"].clone();
    assert_eq!(update["created_by"], "server, factory bundle");
    assert_eq!(server.get("/api/v1/factory-bundles")["items"][0]["manifest"], manifest.as_str());
}
