//! What the tool promises.

use std::os::unix::fs::PermissionsExt as _;

use bulkhead_bundle_format::BundleFile;
use bulkhead_cloud_api::from_hex;
use bulkhead_link_protocol::{Digest, UpdateStage};
use bulkhead_virtual_device::read_identity;
use serde_json::{Value, json};

use crate::harness::{FakeDevice, Keys, Said, TestServer};
use crate::tool::Tool;

/// A server, a tool logged in to it with a signing key, and an owned device with its name.
fn fleet() -> (TestServer, Tool, String) {
    let server = TestServer::start();
    let tool = Tool::logged_in(&server);
    tool.run(&["key", "generate"]).ok();
    let id = server.own(1);
    tool.run(&["device", "rename", &id, "pump"]).ok();
    (server, tool, id)
}

#[test]
fn failures_end_with_the_documented_codes_and_say_what_to_do_next() {
    let server = TestServer::start();
    let (stranger, tool) = (Tool::new(), Tool::logged_in(&server));
    let viewer = Tool::new();
    viewer.run(&["login", &server.url(""), "--token", &server.token("viewer")]).ok();
    let nothing = tool.path("nothing");
    let text = tool.path("text");
    std::fs::write(&text, "not a bundle").expect("writes");
    let cases: &[(&Tool, &[&str], i32)] = &[
        (&stranger, &["frobnicate"], 2),
        (&stranger, &["device", "ls"], 3),
        (&stranger, &["login", &server.url(""), "--token", "bht_00_00"], 3),
        (&stranger, &["login", &server.url("")], 3),
        (&viewer, &["token", "ls"], 3),
        (&viewer, &["app", "push", &text], 3),
        (&tool, &["device", "show", "nobody"], 4),
        (&tool, &["deploy", "-d", "nobody", "none"], 4),
        (&tool, &["token", "revoke", "none"], 4),
        (&tool, &["app", "push", &text], 5),
        (&tool, &["login", "http://127.0.0.1:1", "--token", "x"], 6),
        (&tool, &["--server", "http://127.0.0.1:1", "device", "ls"], 6),
        (&tool, &["app", "push", &nothing], 9),
        (&tool, &["app", "bundle", &nothing], 9),
        (&tool, &["deploy", "-d", "nobody", &nothing], 9),
        (&tool, &["device", "new", "pump"], 9),
        (&tool, &["device", "new", "../pump"], 9),
        (&tool, &["device", "run", "pump"], 9),
        (&tool, &["key", "show"], 9),
    ];
    for (who, arguments, code) in cases {
        let ended = who.run(arguments);
        assert_eq!(ended.code, *code, "{arguments:?}: {ended:?}");
        assert_eq!(ended.out, "", "{arguments:?}: data on a failure");
        assert!(*code == 2 || ended.err.contains("\nnext: "), "{arguments:?}: {}", ended.err);
        if *code != 2 {
            let ended = who.run(&[&["--json"], *arguments].concat());
            let error: Value = serde_json::from_str(ended.err.trim()).expect("one line of JSON");
            assert_eq!(error["exit_code"], *code, "{arguments:?}");
        }
    }
}

#[test]
fn login_that_fails_remembers_nothing_and_one_that_succeeds_tells_nobody_else() {
    let server = TestServer::start();
    let tool = Tool::new();
    assert_eq!(tool.run(&["login", &server.url(""), "--token", "bht_00_00"]).code, 3);
    assert!(!tool.home.join("config.json").exists());
    tool.run(&["login", &server.url("/"), "--token", &server.admin]).ok();
    let mode = tool.home.join("config.json").metadata().expect("file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(tool.run(&["whoami", "--json"]).json()["token"]["account"], "admin");
    // Another server must not get this server's token.
    let other = TestServer::start();
    let ended = tool.run(&["--server", &other.url(""), "whoami"]);
    assert!(ended.err.contains("no `Authorization: Bearer` header"), "{ended:?}");
    tool.run(&["logout"]).ok();
    assert_eq!(tool.run(&["whoami"]).code, 3);
}

#[test]
fn doctor_tells_of_a_token_that_others_may_read() {
    let server = TestServer::start();
    let tool = Tool::logged_in(&server);
    let config = tool.home.join("config.json");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).expect("sets");
    let ended = tool.run(&["doctor", "--json"]);
    assert_eq!(ended.code, 10, "{ended:?}");
    let checks: Value = serde_json::from_str(&ended.out).expect("JSON");
    let bad: Vec<_> =
        checks.as_array().expect("list").iter().filter(|check| check["outcome"] == "bad").collect();
    assert_eq!((bad.len(), &bad[0]["name"]), (1, &json!("configuration")));
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).expect("sets");
    tool.run(&["doctor"]).ok();
}

#[test]
fn bundle_is_reproducible_and_signed_by_the_key_that_was_made() {
    let tool = Tool::new();
    let made = tool.run(&["key", "generate", "--json"]).json();
    assert_eq!(tool.run(&["key", "generate"]).code, 9, "a key is never overwritten");
    let public = made["public_key"].as_str().expect("key").split_whitespace().nth(1).expect("digits");
    let public: [u8; 32] = from_hex(public).expect("hex");
    let first = std::fs::read(tool.bundle("1.0.0", "7")).expect("bundle");
    let again = std::fs::read(tool.bundle("1.0.0", "7")).expect("bundle");
    assert!(first == again, "equal input gives equal bytes");
    let read = BundleFile::verify(&first, &[public]).expect("verifies");
    assert_eq!((read.manifest.name, read.manifest.version, read.manifest.sequence), ("hello", "1.0.0", 7));
    assert!(BundleFile::verify(&first, &[[1; 32]]).is_err());
    let truncated = tool.program("no.bin", 6 + 2);
    std::fs::write(&truncated, [0; 64]).expect("writes");
    let ended = tool.run(&["app", "bundle", &truncated]);
    assert!(ended.code == 9 && ended.err.contains("vector table"), "{ended:?}");
}

#[test]
fn device_that_the_tool_made_is_admitted_and_claimed_by_its_token() {
    let server = TestServer::start();
    let tool = Tool::logged_in(&server);
    tool.run(&["key", "generate"]).ok();
    let made = tool.run(&["device", "new", "pump", "--json"]).json();
    let memory = made["memory"].as_str().expect("path");
    let (keys, host, port, signers) = read_identity(memory.as_ref(), |identity| {
        let keys = Keys {
            private: identity.device_private_key,
            server: identity.server_keys.current,
            next_server: identity.server_keys.next.expect("two keys"),
            realm: identity.realm_id,
        };
        (keys, identity.server_host.to_owned(), identity.server_port, identity.signing_keys.len())
    })
    .expect("reads");
    assert_eq!((host.as_str(), port, signers), ("10.0.2.2", server.device_address().port(), 1));
    assert_eq!(keys.id(), made["id"].as_str().expect("id"));
    let mut device = FakeDevice::connect(server.device_address(), &keys);
    device.expect("established", |said| matches!(said, Said::Established));
    device.hello(None);
    device.expect("welcome", |said| matches!(said, Said::Welcome(_)));

    let token = made["claim_token"].as_str().expect("token");
    assert_eq!(tool.run(&["device", "claim", "pump", &"0".repeat(32)]).code, 5);
    tool.run(&["device", "claim", "pump", token]).ok();
    assert_eq!(tool.run(&["device", "claim", "pump", token]).code, 5, "a token is spent once");
    let shown = tool.run(&["device", "show", "pump", "--json"]).json();
    assert_eq!((&shown["claimed_by"], &shown["online"]), (&json!("admin"), &json!(true)));
    let list = tool.run(&["device", "ls"]).ok();
    assert!(list.contains("pump") && list.contains("yes"), "{list}");

    let taken = tool.run(&["device", "new", "pump", "--memory", &tool.path("second.nvm")]);
    assert_eq!(taken.code, 5, "{taken:?}");
    assert!(!tool.home.join("second.nvm").exists(), "no file without a registration");
}

#[test]
fn deploy_pushes_waits_and_shows_the_stages() {
    let (server, tool, _) = fleet();
    let mut device = server.connect(1);
    let bundle = tool.bundle("1.0.0", "1");
    let play = |device: &mut FakeDevice, last: UpdateStage, reason: Option<&str>| -> Digest {
        let manifest = device.offer().manifest;
        device.progress(manifest, UpdateStage::Checking, 0, None);
        if reason.is_none() {
            device.progress(manifest, UpdateStage::Staging, 2, None);
        }
        device.progress(manifest, last, 2, reason);
        manifest
    };
    let ended = std::thread::scope(|scope| {
        let deploying = scope.spawn(|| tool.run(&["deploy", "-d", "pump", &bundle, "--json"]));
        play(&mut device, UpdateStage::Committed, None);
        deploying.join().expect("ends")
    });
    let lines: Vec<Value> =
        ended.ok().lines().map(|line| serde_json::from_str(line).expect("JSON a line")).collect();
    assert_eq!(lines.last().expect("lines")["stage"], "committed");

    let (ended, manifest) = std::thread::scope(|scope| {
        let deploying = scope.spawn(|| tool.run(&["deploy", "-d", "pump", "hello@1.0.0"]));
        let manifest = play(&mut device, UpdateStage::Refused, Some("the signature is\x1b[2J wrong"));
        (deploying.join().expect("ends"), manifest)
    });
    assert_eq!((ended.code, ended.out.as_str()), (7, ""));
    assert!(ended.err.contains("refused: the signature is\u{FFFD}[2J wrong"), "{}", ended.err);
    assert!(ended.err.contains("\nnext: bundle it again as the reason says"), "{}", ended.err);
    let status = tool.run(&["update", "status", "pump", "--json"]).json();
    assert_eq!(status[0]["manifest"], bulkhead_cloud_api::to_hex(&manifest));
    assert_eq!(status[0]["stage"], "refused");
}

#[test]
fn deploy_to_a_device_that_is_away_ends_in_time_and_goes_on_by_itself() {
    let (server, tool, _) = fleet();
    let bundle = tool.bundle("1.0.0", "1");
    let ended = tool.run(&["deploy", "-d", "pump", &bundle, "--timeout", "1"]);
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.err.contains("\nnext: it begins once the device is connected"), "{}", ended.err);
    let update = tool.run(&["deploy", "-d", "pump", "hello", "--no-wait", "--json"]).json();
    assert_eq!(update["stage"], "pending");
    server.connect(1).offer();
}

#[test]
fn log_of_a_device_is_followed_line_by_line() {
    let (server, tool, id) = fleet();
    let mut device = server.connect(1);
    device.log(1, "first");
    server.wait_for("log", "/api/v1/logs", |page| page["items"][0]["text"] == "first");
    let mut following = tool.follow(&["logs", "pump", "-f", "--json"]);
    let record: Value = serde_json::from_str(&following.next_line()).expect("JSON");
    assert_eq!((&record["text"], record["device_id"].as_str()), (&json!("first"), Some(id.as_str())));
    for number in 0..20 {
        device.log(number, &format!("line {number}"));
        let record: Value = serde_json::from_str(&following.next_line()).expect("JSON");
        assert_eq!(record["text"], format!("line {number}"));
    }
    let shown = tool.run(&["logs", "pump", "-n", "1"]).ok();
    assert!(shown.trim_end().ends_with("app info  line 19"), "{shown}");
}

#[test]
fn log_is_taken_up_again_after_the_server_restarted() {
    let (mut server, tool, _) = fleet();
    let mut device = server.connect(1);
    let mut following = tool.follow(&["logs", "-f", "--json", "-n", "10"]);
    device.log(1, "before");
    assert!(following.next_line().contains("before"));
    drop(device);
    let address = server.url("");
    server.restart_at(address.trim_start_matches("http://").parse().expect("address"));
    server.connect(1).log(2, "after");
    assert!(following.next_line().contains("after"));
}

#[test]
fn completion_is_written_for_every_shell() {
    let tool = Tool::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(tool.run(&["completion", shell]).ok().contains("bulkhead"), "{shell}");
    }
}

#[test]
fn difference_of_two_bundles_is_what_an_update_sends() {
    let tool = Tool::new();
    tool.run(&["key", "generate"]).ok();
    let (old, new) = (tool.bundle("1.0.0", "1"), tool.bundle("2.0.0", "2"));
    let from_nothing = tool.run(&["app", "diff", "-", &new, "--json"]).json();
    let (sent, image) = (&from_nothing[0]["sent_bytes"], &from_nothing[0]["image_bytes"]);
    assert!(sent.as_u64() > Some(0) && sent.as_u64() <= image.as_u64(), "{from_nothing:#}");
    // The same program in both: nothing is sent.
    let same = tool.run(&["app", "diff", &old, &new, "--json"]).json();
    assert_eq!((&same[0]["pages_differ"], &same[0]["sent_bytes"]), (&json!(0), &json!(0)));
    let folder = tool.path("patches");
    let shown = tool.run(&["app", "diff", "-", &new, "-o", &folder]).ok();
    assert!(
        shown.contains("AS PATCH") && std::path::Path::new(&folder).join("area-1.patch").exists(),
        "{shown}"
    );
    let wrong = tool.run(&["app", "diff", "-", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    assert!(wrong.code == 9 && wrong.err.contains("next: give bundles"), "{}", wrong.err);
}

#[test]
fn bundle_comes_back_as_it_was_pushed() {
    let (_server, tool, _) = fleet();
    let bundle = tool.bundle("2.0.0", "2");
    let pushed = tool.run(&["app", "push", &bundle, "--json"]).json();
    let copy = tool.path("copy.bundle");
    tool.run(&["app", "pull", "hello", "-o", &copy]).ok();
    assert!(std::fs::read(&copy).expect("copy") == std::fs::read(&bundle).expect("bundle"));
    let list = tool.run(&["app", "ls", "--json"]).json();
    assert_eq!(list, json!([pushed]));
}
