//! The factory of virtual devices never loses a key that a server knows.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use bulkhead_virtual_device::read_identity;
use serde_json::Value;

use crate::harness::TestServer;
use crate::tool::Tool;

/// A tool with a signing key, logged in to `server` with a token of `role`.
fn factory(server: &TestServer, role: &str) -> Tool {
    let tool = Tool::new();
    tool.run(&["login", &server.url(""), "--token", &server.token(role)]).ok();
    tool.run(&["key", "generate"]).ok();
    tool
}

fn files(tool: &Tool) -> usize {
    std::fs::read_dir(tool.home.join("devices")).expect("folder").count()
}

#[test]
fn forced_device_that_the_server_refuses_leaves_the_old_one_as_it_was() {
    let server = TestServer::start();
    let tool = factory(&server, "factory");
    let made = tool.run(&["device", "new", "pump", "--json"]).json();
    let memory = made["memory"].as_str().expect("path");
    let before = std::fs::read(memory).expect("reads");
    let refused = tool.run(&["device", "new", "pump", "--force"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains("`bulkhead device rename pump OTHER`"), "{}", refused.err);
    assert!(std::fs::read(memory).expect("the old device's file") == before, "the old keys are gone");
    assert_eq!(files(&tool), 1, "something was left behind");

    server.ask("PATCH", "/api/v1/devices/pump", serde_json::json!({ "name": "old-pump" })).ok();
    let forced = tool.run(&["device", "new", "pump", "--force", "--json"]).json();
    let id = read_identity(memory.as_ref(), |identity| identity.device_id().to_string()).expect("reads");
    assert_eq!(forced["id"], id.as_str(), "the new device is in its place");
    assert_eq!(files(&tool), 1, "something was left behind");

    let folder = tool.home.to_str().expect("UTF-8");
    let nowhere = tool.run(&["device", "new", "valve", "--force", "--memory", folder]);
    assert_eq!(nowhere.code, 9, "{nowhere:?}");
    assert_eq!(server.ask("GET", "/api/v1/devices/valve", Value::Null).status, 404, "nobody heard of it");
}

#[test]
fn device_that_may_not_be_claimed_keeps_its_memory_and_the_line_to_claim_it_with() {
    let server = TestServer::start();
    let tool = factory(&server, "factory");
    let ended = tool.run(&["device", "new", "pump", "--claim"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("registered, but not claimed"), "{}", ended.err);
    let id = server.get("/api/v1/devices/pump")["id"].as_str().expect("id").to_owned();
    let memory = tool.home.join("devices/pump.nvm");
    let kept = read_identity(&memory, |identity| identity.device_id().to_string()).expect("the file stays");
    assert_eq!(kept, id);
    let line = ended.out.lines().find_map(|line| line.strip_prefix("claim   bulkhead ")).expect("the line");
    let operator = factory(&server, "operator");
    operator.run(&line.split(' ').collect::<Vec<_>>()).ok();
}

/// Answers with `info` once, and never again.
fn mute_server(info: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", info.len());
    let answer = [head.as_bytes(), info].concat();
    std::thread::spawn(move || {
        for answer in [&answer[..], b""] {
            let (mut peer, _) = listener.accept().expect("accepts");
            let asked = BufReader::new(peer.try_clone().expect("clones"));
            for line in asked.lines() {
                if line.expect("reads").is_empty() {
                    break;
                }
            }
            peer.write_all(answer).expect("writes");
        }
    });
    url
}

#[test]
fn device_of_which_the_server_may_have_heard_keeps_its_keys() {
    let server = TestServer::start();
    let tool = factory(&server, "factory");
    tool.run(&["device", "new", "pump"]).ok();
    let memory = tool.home.join("devices/pump.nvm");
    let before = std::fs::read(&memory).expect("reads");
    let info = server.ask("GET", "/api/v1/info", Value::Null).bytes;
    let ended = tool.run(&["--server", &mute_server(&info), "device", "new", "pump", "--force"]);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(std::fs::read(&memory).expect("reads") == before, "the old keys are gone");
    let what = ended.err.lines().next().expect("a line");
    let kept = what.rsplit(' ').next().expect("a path");
    let id = read_identity(kept.as_ref(), |identity| identity.device_id().to_string()).expect("is kept");
    assert!(ended.err.contains(&format!("`bulkhead device show {id}`")), "{}", ended.err);
}
