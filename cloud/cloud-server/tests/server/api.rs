//! The REST API: who may do what, what is refused, what is streamed.

use crate::harness::*;
use bulkhead_bundle_format::Revisions;
use bulkhead_link_protocol::{DeviceMessage, MessageUp};
use serde_json::{Value, json};

#[test]
fn each_role_may_do_what_the_specification_says_and_nothing_else() {
    let server = TestServer::start();
    let id = server.own(1);
    let device = format!("/api/v1/devices/{id}");
    let (target, claim, commands) =
        (format!("{device}/target"), format!("{device}/claim"), format!("{device}/commands"));
    let registration = server.keys(50).registration().to_string();
    // Allowed requests may fail for other reasons than the role; only 403 `forbidden` counts here.
    let table: &[(&str, &str, &str, &[&str])] = &[
        ("GET", "/api/v1/devices", "", &["viewer", "developer", "operator", "admin"]),
        ("GET", &device, "", &["viewer", "developer", "operator", "admin"]),
        ("GET", "/api/v1/bundles", "", &["viewer", "developer", "operator", "admin"]),
        ("GET", "/api/v1/events", "", &["viewer", "developer", "operator", "admin"]),
        ("GET", "/api/v1/logs", "", &["viewer", "developer", "operator", "admin"]),
        ("GET", "/api/v1/whoami", "", &["viewer", "developer", "operator", "factory", "admin"]),
        ("POST", "/api/v1/bundles", "no bundle", &["developer", "admin"]),
        ("PUT", &target, r#"{"bundle":"none"}"#, &["developer", "operator", "admin"]),
        ("POST", &commands, r#"{"command":"apply-now"}"#, &["developer", "operator", "admin"]),
        ("PATCH", &device, "{}", &["operator", "admin"]),
        ("POST", &claim, r#"{"claim_token":"00"}"#, &["operator", "admin"]),
        ("POST", "/api/v1/devices", &registration, &["factory", "admin"]),
        ("GET", "/api/v1/tokens", "", &["admin"]),
        ("POST", "/api/v1/tokens", "{}", &["admin"]),
        ("DELETE", "/api/v1/tokens/none", "", &["admin"]),
        ("GET", "/api/v1/audit", "", &["admin"]),
    ];
    for role in ["viewer", "developer", "operator", "factory", "admin"] {
        let token = server.token(role);
        for (method, path, body, allowed) in table {
            let answer = server.ask_as(Some(&token), method, path, body.as_bytes().to_vec());
            let forbidden = answer.status == 403 && answer.code() == "forbidden";
            assert_eq!(!forbidden, allowed.contains(&role), "{role} {method} {path}: {answer:?}");
        }
    }
    for (method, path, body, _) in table {
        for token in [None, Some("bht_00_11"), Some("nonsense")] {
            let answer = server.ask_as(token, method, path, body.as_bytes().to_vec());
            assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{method} {path}");
        }
    }
}

#[test]
fn token_that_was_revoked_works_no_more() {
    let server = TestServer::start();
    let body = json!({ "account": "ada", "name": "laptop", "roles": ["viewer"] });
    let made = server.ask("POST", "/api/v1/tokens", body).ok();
    let secret = made["secret"].as_str().expect("secret");
    let who = || server.ask_as(Some(secret), "GET", "/api/v1/whoami", Vec::new()).status;
    assert_eq!(who(), 200);
    let id = made["token"]["id"].as_str().expect("id");
    assert_eq!(server.ask("DELETE", &format!("/api/v1/tokens/{id}"), Value::Null).status, 204);
    assert_eq!(who(), 401);
    let list = server.get("/api/v1/tokens").to_string();
    let secret_part = secret.rsplit('_').next().expect("secret");
    assert!(!list.contains(secret_part), "a list shows no secrets");
}

#[test]
fn damaged_bundles_are_refused_each_with_its_reason_and_nothing_is_kept() {
    let server = TestServer::start();
    let (file, _) = bundle(&Recipe::default());
    let mut flipped_image = file.clone();
    *flipped_image.last_mut().expect("bytes") ^= 1;
    let mut flipped_manifest = file.clone();
    flipped_manifest[12] ^= 0x40;
    let cases: [(&str, Vec<u8>, u16, &str); 8] = [
        ("empty", Vec::new(), 422, "bundle-malformed"),
        ("text", b"hello, world".to_vec(), 422, "bundle-malformed"),
        ("cut in the header", file[..10].to_vec(), 422, "bundle-truncated"),
        ("cut in an image", file[..file.len() - 1].to_vec(), 422, "bundle-truncated"),
        ("one byte more", [file.as_slice(), &[0]].concat(), 422, "bundle-oversized"),
        ("flipped bit in an image", flipped_image, 422, "bundle-digest-mismatch"),
        ("flipped bit in the envelope", flipped_manifest, 422, "bundle-malformed"),
        (
            "longer than any bundle",
            vec![0; bulkhead_cloud_api::BUNDLE_FILE_LEN_MAX + 1],
            413,
            "bundle-too-large",
        ),
    ];
    for (what, bytes, status, code) in cases {
        let answer = server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", bytes);
        assert_eq!((answer.status, answer.code()), (status, code), "{what}: {}", answer.json);
        assert!(answer.json["next_step"].as_str().is_some_and(|next| !next.is_empty()), "{what}");
    }
    assert_eq!(server.get("/api/v1/bundles")["items"], json!([]));
}

#[test]
fn bundle_signed_anew_replaces_the_envelope_that_devices_refused() {
    let server = TestServer::start();
    let push = |file: &[u8]| server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file.to_vec());
    let (good, _) = bundle(&Recipe::default());
    let mut badly_signed = good.clone();
    // A bit of the key id, which only the owner's keys can judge.
    badly_signed[20] ^= 0x40;
    let first = push(&badly_signed).ok();
    let second = push(&good).ok();
    assert_eq!(first["manifest"], second["manifest"], "the manifest is the same");
    let path = format!("/api/v1/bundles/{}/file", second["manifest"].as_str().expect("digest"));
    assert!(server.ask("GET", &path, Value::Null).bytes == good, "the newer envelope is served");
}

#[test]
fn every_cut_of_a_bundle_is_refused() {
    let server = TestServer::start();
    let (file, _) = bundle(&Recipe::default());
    for len in (0..file.len()).step_by(997) {
        let answer = server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file[..len].to_vec());
        assert_eq!(answer.status, 422, "{len} bytes: {}", answer.json);
    }
}

#[test]
fn bundle_is_found_by_each_of_its_names_and_comes_back_byte_for_byte() {
    let server = TestServer::start();
    let (file, _) = bundle(&Recipe::default());
    let push = || server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file.clone());
    let pushed = push();
    assert_eq!(pushed.status, 201);
    let again = push();
    assert_eq!((again.status, &again.json), (200, &pushed.json), "pushing again changes nothing");
    let digest = pushed.json["manifest"].as_str().expect("digest").to_owned();
    for name in [digest.as_str(), &digest[..8], "hello", "hello@1.0.0"] {
        let found = server.get(&format!("/api/v1/bundles/{name}"));
        assert_eq!(found["manifest"].as_str(), Some(digest.as_str()), "{name}");
    }
    for name in ["hello@9", &digest[..7], "00000000", "%2e%2e%2fetc"] {
        let answer = server.ask("GET", &format!("/api/v1/bundles/{name}"), Value::Null);
        assert_eq!((answer.status, answer.code()), (404, "bundle-not-found"), "{name}");
    }
    let path = format!("/api/v1/bundles/{digest}/file");
    let fetched = server.ask("GET", &path, Value::Null);
    assert!(fetched.bytes == file, "the file differs");
}

#[test]
fn bundle_that_does_not_fit_is_refused_before_the_device_hears_of_it() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let only_two = Revisions { least: 2, greatest: 2 };
    let cases = [
        (Recipe { version: "1", class: "toaster", ..Recipe::default() }, "bundle-class-mismatch"),
        (Recipe { version: "2", board: only_two, ..Recipe::default() }, "bundle-board-mismatch"),
        (Recipe { version: "3", abi: only_two, ..Recipe::default() }, "bundle-abi-mismatch"),
    ];
    let target = format!("/api/v1/devices/{id}/target");
    for (recipe, code) in cases {
        let (file, _) = bundle(&recipe);
        let pushed = server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file).ok();
        let answer = server.ask("PUT", &target, json!({ "bundle": pushed["manifest"] }));
        assert_eq!((answer.status, answer.code()), (409, code), "{}", answer.json);
    }
    assert_eq!(server.ask("PUT", &target, json!({ "bundle": "none" })).code(), "bundle-not-found");
    let heard = device.next_within(std::time::Duration::from_millis(300));
    assert!(heard.is_none(), "{heard:?}");
    assert_eq!(server.get(&format!("/api/v1/devices/{id}"))["target"], Value::Null);
}

#[test]
fn nothing_is_deployed_to_a_device_that_nobody_claimed() {
    let server = TestServer::start();
    let registered = server.ask("POST", "/api/v1/devices", server.keys(2).registration()).ok();
    let (file, _) = bundle(&Recipe::default());
    server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file).ok();
    let path = format!("/api/v1/devices/{}", registered["id"].as_str().expect("id"));
    let answer = server.ask("PUT", &format!("{path}/target"), json!({ "bundle": "hello" }));
    assert_eq!((answer.status, answer.code()), (409, "not-claimed"));
    let claim = json!({ "claim_token": "00".repeat(16) });
    let answer = server.ask("POST", &format!("{path}/claim"), claim);
    assert_eq!((answer.status, answer.code()), (403, "claim-token-wrong"));
}

#[test]
fn malformed_requests_are_problems_and_never_a_server_error() {
    let server = TestServer::start();
    // One byte more than the server reads, so that it has read all of it when it answers.
    let long = "x".repeat((2 << 20) + 1);
    let long_json = format!("{{{}", &long[1..]);
    let cases = [
        ("GET", "/api/v1/devices?cursor=x", "", "invalid-cursor"),
        ("GET", "/api/v1/logs?cursor=x", "", "invalid-cursor"),
        ("GET", "/api/v1/devices?limit=-1", "", "invalid-request"),
        ("GET", "/api/v1/devices?colour=red", "", "invalid-request"),
        ("GET", "/api/v1/logs?level=loud", "", "invalid-request"),
        ("GET", "/api/v1/devices/%ff", "", "invalid-request"),
        ("GET", "/api/v1/devices/BD00", "", "device-not-found"),
        ("POST", "/api/v1/devices", "{}", "invalid-request"),
        ("POST", "/api/v1/devices", r#"{"public_key":"zz"}"#, "invalid-request"),
        ("POST", "/api/v1/devices", "{", "invalid-request"),
        ("POST", "/api/v1/tokens", r#"{"account":"a","name":"b","roles":[]}"#, "invalid-request"),
        ("POST", "/api/v1/tokens", r#"{"account":"a\n","name":"b","roles":["viewer"]}"#, "invalid-request"),
        ("POST", "/api/v1/tokens", r#"{"account":"a","name":"b","roles":["king"]}"#, "invalid-request"),
        ("POST", "/api/v1/devices", &long_json, "request-too-large"),
        ("GET", "/api/v1/debug/abc/frames", "", "invalid-request"),
        ("POST", "/api/v1/debug/4294967296/frames", "x", "invalid-request"),
        ("POST", "/api/v1/debug/1/frames", "", "message-too-long"),
        ("POST", "/api/v1/debug/1/frames", &long[..1009], "message-too-long"),
        ("POST", "/api/v1/debug/1/frames", &long, "request-too-large"),
        ("GET", "/api/v1/nothing", "", "not-found"),
        ("GET", "/nothing", "", "not-found"),
        ("DELETE", "/api/v1/info", "", "method-not-allowed"),
    ];
    for (method, path, body, code) in cases {
        let answer = server.ask_as(Some(&server.admin), method, path, body.as_bytes().to_vec());
        let shown = &body[..body.len().min(80)];
        assert_eq!(answer.code(), code, "{method} {path} {shown}: {answer:?}");
        assert_eq!(answer.json["type"], format!("urn:bulkhead:problem:{code}"));
        assert_eq!(answer.json["status"], answer.status);
    }
}

#[test]
fn follower_misses_nothing_and_goes_on_after_its_last_id() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    device.log(0, "before");
    server.wait_for("log", &format!("/api/v1/logs?device={id}"), |page| page["items"][0]["text"] == "before");
    let mut live = server.stream("/api/v1/logs/stream", None);
    let mut with_tail = server.stream("/api/v1/logs/stream?tail=5", None);
    for sequence in 1..=30 {
        device.log(sequence, &format!("line {sequence}"));
    }
    assert_eq!(with_tail.next().expect("record")["text"], "before");
    let mut last_id = 0;
    for sequence in 1..=10 {
        let record = live.next().expect("record");
        assert_eq!(record["text"], format!("line {sequence}"));
        last_id = record["id"].as_i64().expect("id");
    }
    drop(live);
    let mut again = server.stream(&format!("/api/v1/logs/stream?device={id}"), Some(last_id));
    for sequence in 11..=30 {
        assert_eq!(again.next().expect("record")["text"], format!("line {sequence}"));
    }
}

#[test]
fn stream_that_broke_before_anything_came_goes_on_where_it_began() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    device.log(0, "before");
    let logs = format!("/api/v1/logs?device={id}");
    server.wait_for("log", &logs, |page| page["items"][0]["text"] == "before");
    let paths = ["/api/v1/logs/stream", "/api/v1/events/stream", "/api/v1/messages/stream"];
    let places = paths.map(|path| server.stream(path, None).place());
    device.log(1, "meanwhile");
    server.wait_for("log", &logs, |page| page["items"][1]["text"] == "meanwhile");
    server.ask("PATCH", &format!("/api/v1/devices/{id}"), json!({ "name": "pump" })).ok();
    let said = MessageUp { run: 1, number: 1, topic: 3, age_s: 60, bytes: b"hello"[..].into() };
    device.send(&DeviceMessage::Message(said));
    device.expect("stored", |said| matches!(said, Said::Stored(_)));
    for (path, place) in paths.into_iter().zip(places) {
        let mut again = server.stream(path, Some(place));
        assert_eq!(again.place(), place, "{path}");
        assert_eq!(again.next().expect("an item")["id"], place + 1, "{path}");
    }
}

#[test]
fn events_tell_the_story_of_a_device_in_order() {
    let server = TestServer::start();
    let id = server.own(1);
    drop(server.connect(1));
    let path = format!("/api/v1/events?device={id}");
    let page = server.wait_for("offline", &path, |page| page["items"].to_string().contains("device-offline"));
    let kinds: Vec<_> = page["items"].as_array().expect("items").iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["device-registered", "device-claimed", "device-online", "device-offline"]);
}

#[test]
fn streams_end_with_the_token_that_opened_them_and_no_others_do() {
    let server = TestServer::start();
    let (revoked, kept) = (server.token("viewer"), server.token("viewer"));
    let body = json!({ "account": "ada", "name": "short", "roles": ["viewer"], "expires_in_s": 4 });
    let short =
        server.ask("POST", "/api/v1/tokens", body).ok()["secret"].as_str().expect("secret").to_owned();
    let mut expiring = server.stream_as(&short, "/api/v1/events/stream", None);
    let paths = ["/api/v1/events/stream", "/api/v1/logs/stream", "/api/v1/messages/stream"];
    let streams: Vec<_> = paths.iter().map(|path| server.stream_as(&revoked, path, None)).collect();
    let mut other = server.stream_as(&kept, "/api/v1/events/stream", None);
    server.revoke(&revoked);
    for mut stream in streams {
        assert!(stream.next().is_none(), "nothing more is told");
    }
    assert!(expiring.next().is_none(), "nor after its time");
    server.own(1);
    assert!(other.next().is_some());
}

#[test]
fn streams_end_when_the_server_stops() {
    let mut server = TestServer::start();
    let mut stream = server.stream("/api/v1/events/stream", None);
    let begun = std::time::Instant::now();
    server.stop();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "took {:?}", begun.elapsed());
    assert!(stream.next().is_none());
}

#[test]
fn server_comes_back_at_the_same_address() {
    let mut server = TestServer::start();
    let address = server.url("");
    server.restart_at(address.trim_start_matches("http://").parse().expect("address"));
    assert_eq!(server.url(""), address);
    server.get("/api/v1/info");
}

#[test]
fn list_is_paged_without_gap_or_repetition() {
    let server = TestServer::start();
    for device in 1..=5 {
        server.own(device);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v1/devices?limit=2{cursor}"));
        seen.extend(page["items"].as_array().expect("items").iter().map(|device| device["id"].to_string()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let all = server.get("/api/v1/devices");
    let all: Vec<_> =
        all["items"].as_array().expect("items").iter().map(|device| device["id"].to_string()).collect();
    assert_eq!((seen.len(), &seen), (5, &all));
}

#[test]
fn server_keeps_its_identity_and_its_directory_to_itself() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut server = TestServer::start();
    let before = server.get("/api/v1/info");
    assert!(server.start_another().contains("another server uses"), "{}", server.start_another());
    for secret in ["link-current.key", "link-next.key", "endpoints.json"] {
        let mode = server.data_dir.join(secret).metadata().expect("file").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret}");
    }
    let endpoints = std::fs::read_to_string(server.data_dir.join("endpoints.json")).expect("endpoints");
    let endpoints: Value = serde_json::from_str(&endpoints).expect("JSON");
    assert_eq!(endpoints["api"], server.url(""));
    assert_eq!(endpoints["devices"], server.device_address().to_string());
    server.restart();
    assert!(!server.gave_a_token_again());
    let after = server.get("/api/v1/info");
    assert_eq!(before["realm_id"], after["realm_id"]);
    assert_eq!(before["server_public_keys"], after["server_public_keys"]);
}

#[test]
fn every_mutation_is_in_the_audit_log() {
    let server = TestServer::start();
    let id = server.own(1);
    let (file, _) = bundle(&Recipe::default());
    server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file).ok();
    server.ask("PUT", &format!("/api/v1/devices/{id}/target"), json!({ "bundle": "hello" })).ok();
    server.token("viewer");
    let page = server.get("/api/v1/audit");
    let actions: Vec<_> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .rev()
        .map(|entry| entry["action"].as_str().expect("action").to_owned())
        .collect();
    assert_eq!(
        actions,
        ["register-device", "claim-device: Claimed", "push-bundle", "deploy", "create-token"]
    );
}

#[test]
fn health_is_open_to_all() {
    let server = TestServer::start();
    for path in ["/healthz", "/readyz", "/api/v1/info", "/api/v1/openapi.json"] {
        assert_eq!(server.ask_as(None, "GET", path, Vec::new()).status, 200, "{path}");
    }
}

#[test]
fn committed_openapi_document_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../cloud-api/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == bulkhead_cloud_server::openapi_document(),
        "run `cargo run -p bulkhead-cloud-server -- openapi > cloud/cloud-api/openapi.json` and commit the file"
    );
}
