//! Debug sessions on their way through the server: who may, how they end, and what they must not hold up.

use std::time::Duration;

use bulkhead_link_protocol::*;
use serde_json::{Value, json};

use crate::harness::{FakeDevice, Recipe, Said, TestServer, bundle};

/// Frames of a device that nobody reads: more than the server keeps.
const UNREAD_FRAMES: u32 = 200;

fn online(server: &TestServer, number: u8) -> (String, FakeDevice) {
    let id = server.own(number);
    let mut device = FakeDevice::connect(server.device_address(), &server.keys(number));
    device.running = Some([7; 32]);
    device.expect("established", |said| matches!(said, Said::Established));
    device.hello(None);
    device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
    server.wait_for("its application", &format!("/api/v1/devices/{id}"), |device| {
        device["reported"]["running"].is_string()
    });
    (id, device)
}

/// Grants a session and sends its first message.
fn open(server: &TestServer, id: &str, device: &mut FakeDevice) -> u32 {
    let path = format!("/api/v1/devices/{id}/debug");
    let granted = server.ask("POST", &path, json!({ "takeover": false })).ok();
    let session = granted["session"].as_u64().and_then(|n| u32::try_from(n).ok()).expect("a number");
    assert_eq!(post(server, &server.admin, session, vec![1; 96]), 204);
    let said = device.expect("the session", |said| matches!(said, Said::DebugOpen(..)));
    let Said::DebugOpen(number, first) = said else { unreachable!("{said:?}") };
    assert_eq!((number, first), (session, vec![1; 96]), "handed on as it is");
    session
}

fn post(server: &TestServer, token: &str, session: u32, bytes: Vec<u8>) -> u16 {
    server.ask_as(Some(token), "POST", &frames(session), bytes).status
}

fn frames(session: u32) -> String {
    format!("/api/v1/debug/{session}/frames")
}

/// The stream of a session.
fn stream(server: &TestServer, token: &str, session: u32) -> impl std::io::Read {
    let agent =
        ureq::Agent::config_builder().timeout_per_read(Some(Duration::from_secs(10))).build().new_agent();
    let request = ureq::http::Request::builder()
        .uri(server.url(&frames(session)))
        .header("authorization", format!("Bearer {token}"));
    let body = agent.run(request.body(()).expect("request")).expect("stream").into_body();
    body.into_reader()
}

/// All that a stream says.
fn read_to_end(mut stream: impl std::io::Read) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("ends");
    all
}

fn say(device: &mut FakeDevice, session: u32, bytes: &[u8]) {
    device.send(&DeviceMessage::DebugFrame(DebugFrame { session, bytes: bytes.into() }));
}

#[test]
fn slow_developer_loses_the_session_and_holds_up_nothing_else_of_the_link() {
    let server = TestServer::start();
    let (id, mut device) = online(&server, 1);
    let path = format!("/api/v1/devices/{id}");
    let since = server.get(&path)["link"]["since"].clone();
    let session = open(&server, &id, &mut device);
    // Nobody reads what the device says.
    for _ in 0..UNREAD_FRAMES {
        say(&mut device, session, &[3; 900]);
    }
    device.log(1, "as fast as ever");
    let closed = |said: &Said| matches!(said, Said::DebugClose(number) if *number == session);
    device.expect("the session's end", closed);
    server.wait_for("its log", &format!("/api/v1/logs?device={id}"), |page| {
        page["items"]
            .as_array()
            .is_some_and(|items| items.iter().any(|item| item["text"] == "as fast as ever"))
    });
    let shown = server.get(&path);
    assert_eq!((&shown["online"], &shown["link"]["since"]), (&json!(true), &since), "the same link");
    // What the developer reads at last ends with the reason.
    let stream = read_to_end(stream(&server, &server.admin, session));
    let kept = stream.len() / 902;
    assert!(kept > 0 && kept < UNREAD_FRAMES as usize, "{kept} frames were kept");
    assert_eq!(stream.get(kept * 902..kept * 902 + 2), Some(&[0xFF, 0xFF][..]), "the end is told");
}

#[test]
fn developer_who_sends_more_than_the_device_takes_loses_the_session_and_not_the_link() {
    let server = TestServer::start();
    let (id, mut device) = online(&server, 1);
    let (file, images) = bundle(&Recipe::default());
    let pushed = server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file).ok();
    let path = format!("/api/v1/devices/{id}");
    server.ask("PUT", &format!("{path}/target"), json!({ "bundle": pushed["manifest"] })).ok();
    let offer = device.offer();
    let since = server.get(&path)["link"]["since"].clone();
    let session = open(&server, &id, &mut device);
    server.clog(&id, &mut device, offer.manifest, images[0].0);
    // More than waits for a device, one after the other: no more than a hasty developer's.
    for _ in 0..100 {
        post(&server, &server.admin, session, vec![2; 40]);
    }
    assert_eq!(read_to_end(stream(&server, &server.admin, session)), [0xFF, 0xFF, 133], "the end is told");
    let shown = server.get(&path);
    assert_eq!((&shown["online"], &shown["link"]["since"]), (&json!(true), &since), "the same link");
}

#[test]
fn session_ends_with_the_token_that_opened_it() {
    let server = TestServer::start();
    let (id, mut device) = online(&server, 1);
    let token = server.token("debugger");
    let path = format!("/api/v1/devices/{id}/debug");
    let granted = server.ask_as(Some(&token), "POST", &path, b"{}".to_vec()).ok();
    let session = granted["session"].as_u64().and_then(|n| u32::try_from(n).ok()).expect("a number");
    assert_eq!(post(&server, &token, session, vec![1; 96]), 204);
    device.expect("the session", |said| matches!(said, Said::DebugOpen(..)));
    let stream = stream(&server, &token, session);
    server.revoke(&token);
    assert_eq!(read_to_end(stream), [0xFF, 0xFF, 134]);
    device.expect("the session's end", |said| matches!(said, Said::DebugClose(_)));
}

#[test]
fn another_token_neither_reads_nor_sends_in_a_session_and_who_may_not_debug_opens_none() {
    let server = TestServer::start();
    let (id, mut device) = online(&server, 1);
    let session = open(&server, &id, &mut device);
    let other = server.token("debugger");
    assert_eq!(post(&server, &other, session, vec![2; 40]), 404);
    assert_eq!(server.ask_as(Some(&other), "GET", &frames(session), Vec::new()).status, 404);
    let path = format!("/api/v1/devices/{id}/debug");
    let body = json!({ "takeover": true }).to_string().into_bytes();
    for role in ["viewer", "developer", "operator"] {
        let token = server.token(role);
        assert_eq!(server.ask_as(Some(&token), "POST", &path, body.clone()).status, 403, "{role}");
    }
    // The session's own token still can.
    assert_eq!(post(&server, &server.admin, session, vec![2; 40]), 204);
    let said = device.expect("a message", |said| matches!(said, Said::DebugFrame(..)));
    assert!(matches!(said, Said::DebugFrame(number, bytes) if number == session && bytes == [2; 40]));
    assert_eq!(server.ask("POST", &path, Value::Null).status / 100, 4, "a body is asked for");
}
