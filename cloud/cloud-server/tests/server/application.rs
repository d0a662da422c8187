//! Messages and configuration, on their way through the server.

use bulkhead_device_gateway::Limits;
use bulkhead_link_protocol::*;
use serde_json::{Value, json};

use crate::harness::*;

fn online(server: &TestServer, device: u8) -> FakeDevice {
    online_again(server, device, 1)
}

/// A device that has connected so many times since it started.
fn online_again(server: &TestServer, device: u8, connect_count: u32) -> FakeDevice {
    let mut device = FakeDevice::connect(server.device_address(), &server.keys(device));
    device.connect_count = connect_count;
    device.expect("established", |said| matches!(said, Said::Established));
    device.hello(None);
    device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
    device
}

fn with_window(server: &TestServer, device: u8, bytes: u32, messages: u32) -> FakeDevice {
    tell_window(online(server, device), bytes, messages)
}

fn tell_window(mut device: FakeDevice, bytes: u32, messages: u32) -> FakeDevice {
    device.send(&DeviceMessage::MessageWindow(MessageWindow { bytes, messages }));
    device
}

fn say(device: &mut FakeDevice, run: u32, number: u32, text: &str) {
    let bytes = text.as_bytes().into();
    device.send(&DeviceMessage::Message(MessageUp { run, number, topic: 3, age_s: 60, bytes }));
    let stored =
        |said: &Said| matches!(said, Said::Stored(stored) if (stored.run, stored.number) == (run, number));
    device.expect("stored", stored);
}

fn queue(server: &TestServer, id: &str, text: &str) -> Value {
    server.ask("POST", &format!("/api/v1/devices/{id}/messages"), json!({ "text": text })).ok()
}

fn messages(server: &TestServer, query: &str) -> Vec<Value> {
    server.get(&format!("/api/v1/messages?limit=500{query}"))["items"].as_array().expect("items").clone()
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["text"].as_str().expect("text")).collect()
}

/// The next message that comes, as number and text.
fn next(device: &mut FakeDevice) -> (u32, String) {
    match device.expect("a message", |said| matches!(said, Said::Message { .. })) {
        Said::Message { number, topic, bytes } => {
            assert_eq!(topic, 0);
            (number, String::from_utf8(bytes).expect("text"))
        }
        other => panic!("{other:?}"),
    }
}

fn finish(device: &mut FakeDevice, number: u32, end: MessageEnd) {
    device.send(&DeviceMessage::MessageFinished(MessageFinished { number, end }));
}

#[test]
fn a_message_that_comes_twice_is_stored_once_and_another_run_is_another_message() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = online(&server, 1);
    say(&mut device, 7, 1, "one");
    say(&mut device, 7, 1, "one");
    drop(device);
    let mut device = online(&server, 1);
    say(&mut device, 7, 1, "one");
    say(&mut device, 7, 2, "two");
    say(&mut device, 8, 1, "after a power cut");
    let stored = messages(&server, &format!("&device={id}"));
    assert_eq!(texts(&stored), ["one", "two", "after a power cut"]);
    assert_eq!((&stored[0]["state"], &stored[0]["topic"]), (&json!("received"), &json!(3)));
    assert!(stored[0]["created_at"].as_str() < stored[0]["sent_at"].as_str(), "a minute old: {stored:?}");
}

#[test]
fn a_device_is_sent_no_more_than_its_window_and_in_order() {
    let server = TestServer::start();
    let id = server.own(1);
    for text in ["one", "two", "three"] {
        queue(&server, &id, text);
    }
    let mut silent = online(&server, 1);
    assert!(silent.hears_nothing_of(|said| matches!(said, Said::Message { .. })), "no window, no message");
    drop(silent);
    let mut device = with_window(&server, 1, 2048, 2);
    let (first, second) = (next(&mut device), next(&mut device));
    assert_eq!((&*first.1, &*second.1), ("one", "two"));
    assert!(first.0 < second.0 && device.hears_nothing_of(|said| matches!(said, Said::Message { .. })));
    finish(&mut device, first.0, MessageEnd::Delivered);
    assert_eq!(next(&mut device).1, "three");
    drop(device);
    let again = with_window(&server, 1, 20, 9);
    drop(again);
    let mut narrow = with_window(&server, 1, 2 * 16 + 6, 9);
    assert_eq!(next(&mut narrow), second, "what was not finished comes again");
    assert!(narrow.hears_nothing_of(|said| matches!(said, Said::Message { .. })), "no room for `three`");
    finish(&mut narrow, second.0, MessageEnd::Refused);
    assert_eq!(next(&mut narrow).1, "three");
    let path = format!("/api/v1/devices/{id}/messages?state=refused");
    server.wait_for("refused", &path, |page| page["items"].as_array().is_some_and(|items| items.len() == 1));
    let states: Vec<_> =
        messages(&server, "&direction=to-device").iter().map(|m| m["state"].clone()).collect();
    assert_eq!(states, ["delivered", "refused", "sent"]);
}

#[test]
fn what_expires_on_the_device_still_fills_its_window_until_the_device_starts_anew() {
    let server = TestServer::start();
    let id = server.own(1);
    let path = format!("/api/v1/devices/{id}/messages");
    let is_message = |said: &Said| matches!(said, Said::Message { .. });
    // It is there already, so that all of that time is the server's to send it.
    let mut device = with_window(&server, 1, 2048, 1);
    server.ask("POST", &path, json!({ "text": "short", "expires_in_s": 3 })).ok();
    let short = next(&mut device);
    assert_eq!(short.1, "short");
    drop(device);
    queue(&server, &id, "long");
    // What was never sent does expire: that it did shows that the other one's time is over, too.
    server.ask("POST", &path, json!({ "text": "never sent", "expires_in_s": 3 })).ok();
    let expired = format!("{path}?state=expired");
    let n_expired =
        |n: usize| move |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == n);
    let page = server.wait_for("expired", &expired, n_expired(1));
    assert_eq!(page["items"][0]["text"], "never sent");
    let mut device = tell_window(online_again(&server, 1, 2), 2048, 1);
    assert_eq!(next(&mut device), short, "it may lie there, so it comes first");
    assert!(device.hears_nothing_of(is_message), "and there is no room for another");
    drop(device);
    // A device that was off has none of it, and is not to see what is too late.
    let mut device = with_window(&server, 1, 2048, 1);
    let long = next(&mut device);
    assert_eq!(long.1, "long");
    server.wait_for("expired", &expired, n_expired(2));
    finish(&mut device, long.0, MessageEnd::Delivered);
    assert!(device.hears_nothing_of(is_message));
}

#[test]
fn messages_survive_a_restart_of_the_server() {
    let mut server = TestServer::start();
    let id = server.own(1);
    queue(&server, &id, "patience");
    server.restart();
    let mut device = with_window(&server, 1, 2048, 9);
    let (number, text) = next(&mut device);
    assert_eq!(text, "patience");
    server.stop();
    drop(device);
    server.restart();
    let mut device = with_window(&server, 1, 2048, 9);
    assert_eq!(next(&mut device).0, number, "the same number again");
    finish(&mut device, number, MessageEnd::Delivered);
    let path = format!("/api/v1/devices/{id}/messages?state=delivered");
    server.wait_for("delivered", &path, |page| page["items"][0]["attempts"] == 2);
}

#[test]
fn an_order_to_take_something_twice_or_a_body_that_is_none_is_refused() {
    let server = TestServer::start();
    let id = server.own(1);
    let path = format!("/api/v1/devices/{id}/messages");
    for (body, code) in [
        (json!({}), "invalid-request"),
        (json!({ "body": "?" }), "invalid-request"),
        (json!({ "body": "AA==", "text": "x" }), "invalid-request"),
        (json!({ "text": "" }), "message-too-long"),
        (json!({ "text": "x".repeat(961) }), "message-too-long"),
        (json!({ "text": "x", "expires_in_s": 0 }), "invalid-request"),
        (json!({ "text": "x", "expires_in_s": 4_000_000_000_u32 }), "invalid-request"),
        (json!({ "text": "x", "topic": -1 }), "invalid-request"),
        (json!({ "text": "x", "colour": "red" }), "invalid-request"),
    ] {
        assert_eq!(server.ask("POST", &path, body.clone()).code(), code, "{body}");
    }
    let viewer = server.token("viewer");
    let asked = server.ask_as(Some(&viewer), "POST", &path, br#"{"text":"x"}"#.to_vec());
    assert_eq!(asked.code(), "forbidden");
    assert_eq!(server.ask_as(Some(&viewer), "GET", "/api/v1/webhooks", Vec::new()).code(), "forbidden");
    for cursor in ["x", "-", "9999999999999999999999"] {
        assert_eq!(
            server.ask("GET", &format!("{path}?cursor={cursor}"), Value::Null).code(),
            "invalid-cursor"
        );
    }
    let hostile: &[&dyn Fn(&mut FakeDevice)] = &[
        &|device| {
            let empty = MessageUp { run: 1, number: 1, topic: 0, age_s: 0, bytes: (&[][..]).into() };
            device.send(&DeviceMessage::Message(empty));
        },
        &|device| {
            let long = [0; 980];
            let long = MessageUp { run: 1, number: 1, topic: 0, age_s: 0, bytes: (&long[..]).into() };
            device.send(&DeviceMessage::Message(long));
        },
    ];
    for send in hostile {
        let mut device = online(&server, 1);
        send(&mut device);
        device.expect("the end", |said| matches!(said, Said::Closed(_) | Said::Gone));
    }
    assert!(messages(&server, "").is_empty());
}

#[test]
fn messages_over_the_day_limit_stay_with_the_device_and_no_later_one_is_taken_before_them() {
    let limits = Limits { message_bytes_per_day: 100, ..Limits::default() };
    let server = TestServer::with_limits(limits);
    let id = server.own(1);
    let mut device = online(&server, 1);
    say(&mut device, 7, 1, "in time");
    let long = [b'x'; 90];
    for (number, bytes) in [(2, &long[..]), (3, &b"short"[..])] {
        let message = MessageUp { run: 7, number, topic: 3, age_s: 0, bytes: bytes.into() };
        device.send(&DeviceMessage::Message(message));
    }
    assert!(device.hears_nothing_of(|said| matches!(said, Said::Stored(_) | Said::Closed(_) | Said::Gone)));
    device.log(1, "still there");
    let path = format!("/api/v1/logs?device={id}");
    server.wait_for("log", &path, |page| page["items"][0]["text"] == "still there");
    assert_eq!(texts(&messages(&server, "")), ["in time"]);
}

#[test]
fn configuration_that_a_device_says_to_alternate_is_not_written_each_time() {
    let limits = Limits { stored_changes_per_s: 1, stored_change_burst: 5, ..Limits::default() };
    let server = TestServer::with_limits(limits);
    let id = server.own(1);
    let mut device = online(&server, 1);
    for revision in 1..=500 {
        tell(&mut device, revision, None);
    }
    let path = format!("/api/v1/devices/{id}/configuration");
    server.wait_for("the last word", &path, |configuration| configuration["applied"]["revision"] == 500);
    let events = server.get("/api/v1/events?limit=500");
    let written = events["items"].as_array().expect("items").iter().filter(|e| e["kind"] == "configuration");
    let count = written.count();
    assert!((1..100).contains(&count), "{count} events of 500");
}

#[test]
fn events_over_the_day_limit_are_not_written() {
    let limits = Limits { events_per_day: 10, ..Limits::default() };
    let server = TestServer::with_limits(limits);
    let id = server.own(1);
    let mut device = online(&server, 1);
    for number in 1..=30 {
        say(&mut device, 7, number, "again");
    }
    let events = server.get(&format!("/api/v1/events?device={id}&limit=500"));
    let of_messages = events["items"].as_array().expect("items").iter().filter(|e| e["kind"] == "message");
    assert_eq!(of_messages.count(), 9, "and one that it came online");
    assert_eq!(messages(&server, "").len(), 30, "all are stored");
}

fn set(server: &TestServer, path: &str, text: &str) -> u32 {
    let set = server.ask("PUT", path, json!({ "text": text })).ok();
    u32::try_from(set["version"].as_u64().expect("version")).expect("small")
}

fn offer(device: &mut FakeDevice) -> ConfigOffer {
    match device.expect("an offer", |said| matches!(said, Said::ConfigOffer(_))) {
        Said::ConfigOffer(offer) => offer,
        other => panic!("{other:?}"),
    }
}

fn entry(device: &mut FakeDevice, revision: u32, index: u32, have: u32) -> (String, u32, Option<Vec<u8>>) {
    device.send(&DeviceMessage::ConfigFetch(ConfigFetch { revision, index, have }));
    match device.expect("an entry", |said| matches!(said, Said::ConfigEntry { .. })) {
        Said::ConfigEntry { index: came, key, version, secret, value } => {
            assert_eq!((came, secret), (index, key == "key"));
            (key, version, value)
        }
        other => panic!("{other:?}"),
    }
}

fn tell(device: &mut FakeDevice, revision: u32, refused: Option<u32>) {
    let reason = refused.map(|_| ConfigRefused::FlashFailed);
    device.send(&DeviceMessage::ConfigState(ConfigState { revision, entries: 0, refused, reason }));
}

#[test]
fn a_device_is_offered_what_it_does_not_have_and_sent_only_what_changed() {
    let server = TestServer::start();
    let id = server.own(1);
    let own = |key: &str| format!("/api/v1/devices/{id}/configuration/{key}");
    let first = set(&server, "/api/v1/configuration/period", "60");
    let second = set(&server, &own("name"), "pump");
    let mut device = online(&server, 1);
    assert!(
        device.hears_nothing_of(|said| matches!(said, Said::ConfigOffer(_))),
        "it has not said what it has"
    );
    tell(&mut device, 0, None);
    assert_eq!(offer(&mut device), ConfigOffer { revision: second, entries: 2 });
    assert_eq!(entry(&mut device, second, 0, 0), ("name".into(), second, Some(b"pump".to_vec())));
    assert_eq!(entry(&mut device, second, 1, 0), ("period".into(), first, Some(b"60".to_vec())));
    tell(&mut device, second, None);
    let path = format!("/api/v1/devices/{id}/configuration");
    server.wait_for("in sync", &path, |configuration| configuration["in_sync"] == true);

    let third = set(&server, &own("period"), "5");
    assert!(third > second);
    assert_eq!(offer(&mut device), ConfigOffer { revision: third, entries: 2 });
    assert_eq!(entry(&mut device, third, 0, second), ("name".into(), second, None), "it did not change");
    assert_eq!(entry(&mut device, third, 0, 0).2, Some(b"pump".to_vec()), "but is there if asked for");
    assert_eq!(entry(&mut device, third, 1, second).2, Some(b"5".to_vec()));
    tell(&mut device, second, Some(third));
    server.wait_for("refusal", &path, |configuration| configuration["applied"]["reason"] == "flash-failed");
    assert!(device.hears_nothing_of(|said| matches!(said, Said::ConfigOffer(_))), "not again on this link");
    server.ask("DELETE", &own("period"), Value::Null);
    let offered = offer(&mut device);
    assert!(offered.revision > third);
    assert_eq!(entry(&mut device, offered.revision, 1, second).0, "period", "that of every device again");
    device.send(&DeviceMessage::ConfigFetch(ConfigFetch { revision: offered.revision, index: 2, have: 0 }));
    device.expect("the end", |said| matches!(said, Said::Closed(_) | Said::Gone));
}

#[test]
fn a_secret_goes_in_and_never_comes_out() {
    let server = TestServer::start();
    let id = server.own(1);
    let path = format!("/api/v1/devices/{id}/configuration");
    let secret = "tell-nobody-7c1f";
    let put = |body: Value| server.ask("PUT", &format!("{path}/key"), body);
    let mut answers = vec![put(json!({ "text": secret, "secret": true })).ok()];
    answers.push(put(json!({ "text": "tell-nobody-again" })).ok());
    answers.push(server.get(&path));
    answers.push(server.get("/api/v1/events?limit=500"));
    answers.push(server.get("/api/v1/audit?limit=500"));
    for answer in &answers {
        assert!(!answer.to_string().contains("tell-nobody"), "{answer}");
    }
    assert_eq!(answers[2]["items"][0]["secret"], true, "it stays a secret: {}", answers[2]);
    assert_eq!(answers[2]["items"][0]["length"], 17);
    let mut device = online(&server, 1);
    tell(&mut device, 0, None);
    let offer = offer(&mut device);
    assert_eq!(entry(&mut device, offer.revision, 0, 0).2, Some(b"tell-nobody-again".to_vec()));
}

#[test]
fn keys_and_values_that_no_device_could_hold_are_refused() {
    let server = TestServer::start();
    let put = |key: &str, body: Value| server.ask("PUT", &format!("/api/v1/configuration/{key}"), body);
    let text = |text: &str| json!({ "text": text });
    for (key, body, code) in [
        ("a%20b", text("x"), "invalid-request"),
        ("%C3%BC", text("x"), "invalid-request"),
        ("%FF", text("x"), "invalid-request"),
        (&*"k".repeat(33), text("x"), "invalid-request"),
        ("k", json!({}), "invalid-request"),
        ("k", json!({ "value": "Zg" }), "invalid-request"),
        ("k", text(&"v".repeat(513)), "value-too-long"),
    ] {
        assert_eq!(put(key, body).code(), code, "{key}");
    }
    put(&"k".repeat(32), text(&"v".repeat(512))).ok();
    assert_eq!(server.ask("DELETE", "/api/v1/configuration/none", Value::Null).code(), "not-found");
    for n in 0..23 {
        put(&format!("key-{n}"), text("")).ok();
    }
    assert_eq!(put("one-more", text("")).code(), "configuration-full");
    put("key-3", text("as before")).ok();
}
