//! Devices over real TCP: admitted, offered, served, followed.

use std::time::{Duration, Instant};

use crate::harness::*;
use bulkhead_bundle_format::{BUNDLE_HEADER_LEN, BundleHeader};
use bulkhead_cloud_api::{from_hex, to_hex};
use bulkhead_device_gateway::Limits;
use bulkhead_link_protocol::*;
use bulkhead_link_session::{Closed, RefusalReason};
use serde_json::{Value, json};

/// The bundle as the server shows it, its file, its images.
type Pushed = (Value, Vec<u8>, Images);

fn push(server: &TestServer, recipe: &Recipe) -> Pushed {
    let (file, images) = bundle(recipe);
    let pushed = server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file.clone()).ok();
    (pushed, file, images)
}

fn deploy(server: &TestServer, id: &str, bundle: &Value) -> Value {
    let body = json!({ "bundle": bundle["manifest"] });
    server.ask("PUT", &format!("/api/v1/devices/{id}/target"), body).ok()
}

fn stages(update: &Value) -> Vec<&str> {
    let stages = update["stages"].as_array().expect("stages");
    stages.iter().map(|reached| reached["stage"].as_str().expect("stage")).collect()
}

/// Each round reads as fast as it can, to look between the link's beginning and the storing of what came over it. Over the
/// older link the device says something between the handshake of the newer one and its hello.
#[test]
fn a_device_that_is_shown_on_a_new_link_is_shown_with_what_it_said_over_it() {
    let server = TestServer::start();
    let path = format!("/api/v1/devices/{}", server.own(1));
    let (mut before, mut older) = (json!(null), None::<FakeDevice>);
    for connect_count in 1..=30 {
        let mut device = FakeDevice::connect(server.device_address(), &server.keys(1));
        device.connect_count = connect_count;
        device.expect("established", |said| matches!(said, Said::Established));
        if let Some(older) = &mut older {
            let word = format!("before link {connect_count}");
            older.state(ApplicationState::Running, &word);
            server.wait_for("the older link's word", &path, |shown| shown["reported"]["reason"] == word);
        }
        device.hello(None);
        let deadline = Instant::now() + Duration::from_secs(30);
        let shown = loop {
            let shown = server.get(&path);
            if shown["online"] == true && shown["link"]["since"] != before {
                break shown;
            }
            assert!(Instant::now() < deadline, "the new link is not shown: {shown:#}");
        };
        assert_eq!(shown["reported"]["connect_count"], connect_count);
        (before, older) = (shown["link"]["since"].clone(), Some(device));
    }
}

#[test]
fn device_gets_exactly_the_bytes_that_were_pushed_and_its_stages_are_seen() {
    let server = TestServer::start();
    let id = server.own(1);
    let (pushed, file, images) = push(&server, &Recipe::default());
    let mut device = FakeDevice::connect(server.device_address(), &server.keys(1));
    device.expect("established", |said| matches!(said, Said::Established));
    let before_us = bulkhead_cloud_api::Timestamp::now().0;
    device.hello(None);
    let said = device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
    let Said::Welcome(welcome) = said else { panic!("{said:?}") };
    let clock_us = i64::try_from(welcome.wall_clock_us).expect("this century");
    assert!((before_us..before_us + 5_000_000).contains(&clock_us), "the server tells the time");
    let path = format!("/api/v1/devices/{id}");
    let shown = server.get(&path);
    assert_eq!((&shown["online"], &shown["reported"]["abi"]), (&json!(true), &json!(1)));

    assert_eq!(deploy(&server, &id, &pushed)["stage"], "pending");
    let offer = device.offer();
    assert_eq!(to_hex(&offer.manifest), pushed["manifest"].as_str().expect("digest"));
    let header = BundleHeader::parse(&file).expect("header");
    assert_eq!(offer.envelope_len, header.envelope_len);
    device.progress(offer.manifest, UpdateStage::Checking, 0, None);
    let envelope = device.fetch(offer.manifest, FetchFrom::Envelope, 0, offer.envelope_len).expect("there");
    let end = BUNDLE_HEADER_LEN + usize::try_from(offer.envelope_len).expect("small");
    assert!(envelope == file[BUNDLE_HEADER_LEN..end], "envelope differs");
    for (area, image) in &images {
        let len = u32::try_from(image.len()).expect("small");
        let fetched = device.fetch(offer.manifest, FetchFrom::Area, *area, len).expect("there");
        assert!(fetched == *image, "area {area} differs");
        device.progress(offer.manifest, UpdateStage::Staging, area + 1, None);
    }
    device.progress(offer.manifest, UpdateStage::Ready, 6, None);
    device.progress(offer.manifest, UpdateStage::Applying, 1, None);
    device.progress(offer.manifest, UpdateStage::Committed, 6, None);
    device.send(&DeviceMessage::State(State {
        application: ApplicationState::Running,
        running: Some(offer.manifest),
        fault: None,
        reason: None,
        on_trial: None,
        key_set_version: None,
        key_set_refusal: None,
        floors: None,
    }));
    let done = server.wait_for("commit", &path, |device| {
        device["update"]["stage"] == "committed" && device["reported"]["running"] == pushed["manifest"]
    });
    assert_eq!(stages(&done["update"]), ["pending", "checking", "staging", "ready", "applying", "committed"]);
    assert_eq!(done["running_bundle"], "hello 1.0.0");
}

#[test]
fn device_that_lost_power_while_applying_is_settled_when_it_comes_back_with_its_target() {
    let server = TestServer::start();
    let id = server.own(1);
    let (pushed, _, _) = push(&server, &Recipe::default());
    let mut device = server.connect(1);
    deploy(&server, &id, &pushed);
    let offer = device.offer();
    device.progress(offer.manifest, UpdateStage::Applying, 3, None);
    let path = format!("/api/v1/devices/{id}");
    server.wait_for("applying", &path, |device| device["update"]["stage"] == "applying");
    drop(device);
    server.wait_for("offline", &path, |device| device["online"] == false);

    let mut device = FakeDevice::connect(server.device_address(), &server.keys(1));
    device.running = Some(offer.manifest);
    device.expect("established", |said| matches!(said, Said::Established));
    device.hello(None);
    device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
    server.wait_for("commit", &path, |device| device["update"]["stage"] == "committed");
    let more = device.next_within(Duration::from_millis(300));
    assert!(!matches!(more, Some(Said::Offer(_))), "what runs is not offered again");
}

#[test]
fn target_set_while_the_device_was_away_is_offered_when_it_connects() {
    let server = TestServer::start();
    let id = server.own(1);
    let (pushed, _, _) = push(&server, &Recipe::default());
    deploy(&server, &id, &pushed);
    let mut device = server.connect(1);
    let offer = device.offer();
    assert_eq!(Ok(offer.manifest), from_hex(pushed["manifest"].as_str().expect("digest")));
}

#[test]
fn reason_of_a_refusal_is_shown_and_the_bundle_is_not_offered_again_unasked() {
    let server = TestServer::start();
    let id = server.own(1);
    let (pushed, _, _) = push(&server, &Recipe::default());
    let mut device = server.connect(1);
    deploy(&server, &id, &pushed);
    let offer = device.offer();
    assert!(!offer.forced);
    device.progress(offer.manifest, UpdateStage::Refused, 0, Some("the signature is wrong"));
    let path = format!("/api/v1/devices/{id}/updates");
    let refused = server.wait_for("refusal", &path, |page| page["items"][0]["stage"] == "refused");
    assert_eq!(refused["items"][0]["reason"], "the signature is wrong");
    drop(device);
    let mut device = server.connect(1);
    assert!(device.next_within(Duration::from_millis(300)).is_none());
    deploy(&server, &id, &pushed);
    let again = device.offer();
    assert_eq!(again.manifest, offer.manifest, "asked again, it is offered again");
    assert!(again.forced, "a device tries what it turned down only by force");
}

#[test]
fn unknown_device_is_refused_with_a_time_to_stay_away() {
    let server = TestServer::start();
    let mut device = FakeDevice::connect(server.device_address(), &server.keys(9));
    let said = device.expect("refusal", |said| matches!(said, Said::Closed(_)));
    let Said::Closed(Closed::Refused { reason, retry_in_s }) = said else { panic!("{said:?}") };
    assert_eq!((reason, retry_in_s), (RefusalReason::UnknownDevice, 60));
}

#[test]
fn wrong_realm_and_wrong_version_are_refused() {
    let server = TestServer::start();
    server.own(1);
    let mut keys = server.keys(1);
    keys.realm = [0; 16];
    let mut device = FakeDevice::connect(server.device_address(), &keys);
    let said = device.expect("refusal", |said| matches!(said, Said::Closed(_)));
    assert!(
        matches!(said, Said::Closed(Closed::Refused { reason: RefusalReason::Handshake, .. })),
        "{said:?}"
    );
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(server.device_address()).expect("connects");
    stream.write_all(&[99]).expect("writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("reads");
    assert_eq!(answer, [0, 0, 0, 5, 0, 0, 0, 60]);
}

#[test]
fn device_may_use_the_next_server_key() {
    let server = TestServer::start();
    server.own(1);
    let mut keys = server.keys(1);
    keys.server = keys.next_server;
    let mut device = FakeDevice::connect(server.device_address(), &keys);
    device.expect("established", |said| matches!(said, Said::Established));
}

#[test]
fn revoked_device_is_sent_away_and_not_let_in_again() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let path = format!("/api/v1/devices/{id}");
    server.ask("PATCH", &path, json!({ "revoked": true })).ok();
    device.expect("go away", |said| matches!(said, Said::Closed(Closed::GoAway { .. })));
    let mut device = FakeDevice::connect(server.device_address(), &server.keys(1));
    let said = device.expect("refusal", |said| matches!(said, Said::Closed(_)));
    assert!(matches!(said, Said::Closed(Closed::Refused { reason: RefusalReason::Revoked, .. })), "{said:?}");
}

#[test]
fn device_that_was_revoked_between_its_handshake_and_its_hello_is_sent_away() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = FakeDevice::connect(server.device_address(), &server.keys(1));
    device.expect("established", |said| matches!(said, Said::Established));
    server.ask("PATCH", &format!("/api/v1/devices/{id}"), json!({ "revoked": true })).ok();
    device.hello(None);
    let said =
        device.expect("an answer", |said| matches!(said, Said::Welcome(_) | Said::Closed(_) | Said::Gone));
    assert!(!matches!(said, Said::Welcome(_)), "{said:?}");
    let shown = server.get(&format!("/api/v1/devices/{id}"));
    assert_eq!((&shown["online"], &shown["reported"]), (&json!(false), &json!(null)));
}

#[test]
fn revoked_device_that_does_not_read_is_cut_off_and_heard_no_more() {
    let limits = Limits { farewell_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = TestServer::with_limits(limits);
    let id = server.own(1);
    let (pushed, _, images) = push(&server, &Recipe::default());
    let mut device = server.connect(1);
    deploy(&server, &id, &pushed);
    let offer = device.offer();
    server.clog(&id, &mut device, offer.manifest, images[0].0);
    let path = format!("/api/v1/devices/{id}");
    server.ask("PATCH", &path, json!({ "revoked": true })).ok();
    device.log(1, "I am still here");
    // Long before the server would take it for stuck.
    server.wait_for("end of the link", &path, |device| device["online"] == false);
    assert_eq!(server.get(&format!("/api/v1/logs?device={id}"))["items"], json!([]));
}

#[test]
fn unregistered_device_is_claimed_when_it_shows_the_token_that_its_owner_typed() {
    let server = TestServer::start();
    let keys = server.keys(4);
    let claim = json!({ "claim_token": to_hex(&Keys::CLAIM_TOKEN), "name": "valve" });
    let answer = server.ask("POST", &format!("/api/v1/devices/{}/claim", keys.id()), claim);
    assert_eq!(answer.status, 202);

    let mut liar = FakeDevice::connect(server.device_address(), &keys);
    liar.expect("established", |said| matches!(said, Said::Established));
    liar.hello(Some([1; 16]));
    liar.wait_for_end();

    let mut device = FakeDevice::connect(server.device_address(), &keys);
    device.expect("established", |said| matches!(said, Said::Established));
    device.hello(Some(Keys::CLAIM_TOKEN));
    device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
    let shown = server.get("/api/v1/devices/valve");
    assert_eq!((shown["id"].as_str(), &shown["claimed_by"]), (Some(keys.id().as_str()), &json!("admin")));
}

#[test]
fn second_connection_of_a_device_replaces_the_first() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut first = server.connect(1);
    let mut second = server.connect(1);
    first.wait_for_end();
    second.log(1, "still here");
    let path = format!("/api/v1/logs?device={id}");
    server.wait_for("log", &path, |page| page["items"][0]["text"] == "still here");
    assert_eq!(server.get(&format!("/api/v1/devices/{id}"))["online"], true);
}

#[test]
fn handshake_that_nobody_continues_does_not_end_the_true_link() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    // What a replayed first message achieves: a handshake without any sealed frame after it.
    let mut replay = FakeDevice::connect(server.device_address(), &server.keys(1));
    replay.expect("established", |said| matches!(said, Said::Established));
    assert!(device.next_within(Duration::from_millis(300)).is_none(), "the true link goes on");
    device.log(7, "alive");
    let path = format!("/api/v1/logs?device={id}");
    server.wait_for("log", &path, |page| page["items"][0]["text"] == "alive");
}

#[test]
fn device_reads_only_its_own_target() {
    let server = TestServer::start();
    let id = server.own(1);
    let (mine, _, images) = push(&server, &Recipe::default());
    let (other, _, _) = push(&server, &Recipe { version: "2.0.0", sequence: 2, ..Recipe::default() });
    let mut device = server.connect(1);
    deploy(&server, &id, &mine);
    let offer = device.offer();
    let other: Digest = from_hex(other["manifest"].as_str().expect("digest")).expect("hex");
    assert_eq!(device.fetch(other, FetchFrom::Envelope, 0, 10), None);
    assert_eq!(device.fetch([0; 32], FetchFrom::Envelope, 0, 10), None);
    assert_eq!(device.fetch(offer.manifest, FetchFrom::Area, 99, 10), None);
    let beyond = u32::try_from(images[1].1.len()).expect("small") + 1;
    assert_eq!(device.fetch(offer.manifest, FetchFrom::Area, images[1].0, beyond).map(|b| b.len()), None);
    assert!(device.fetch(offer.manifest, FetchFrom::Area, images[1].0, beyond - 1).is_some());
}

/// Has the device that was offered `bundle` say that it runs it.
fn commit(device: &mut FakeDevice, server: &TestServer, id: &str, bundle: &Value) -> Digest {
    deploy(server, id, bundle);
    let offer = device.offer();
    device.progress(offer.manifest, UpdateStage::Applying, 1, None);
    device.progress(offer.manifest, UpdateStage::Committed, 6, None);
    let path = format!("/api/v1/devices/{id}");
    server.wait_for("commit", &path, |device| device["update"]["stage"] == "committed");
    offer.manifest
}

#[test]
fn device_whose_trial_failed_gets_back_what_it_ran_before_and_nothing_that_it_did_not() {
    let server = TestServer::start();
    let id = server.own(1);
    let (old, ..) = push(&server, &Recipe::default());
    let (new, ..) = push(&server, &Recipe { version: "2.0.0", sequence: 2, ..Recipe::default() });
    let (of_another, ..) = push(&server, &Recipe { version: "3.0.0", sequence: 3, ..Recipe::default() });
    let of_another: Digest = from_hex(of_another["manifest"].as_str().expect("digest")).expect("hex");
    let mut device = server.connect(1);
    let old = commit(&mut device, &server, &id, &old);
    deploy(&server, &id, &new);
    let new = device.offer().manifest;
    device.wants_back(new, of_another);
    assert_eq!(device.fetch(of_another, FetchFrom::Envelope, 0, 10), None, "it never ran it");
    device.wants_back(new, old);
    let offer = device.offer();
    assert_eq!((offer.manifest, offer.forced), (old, true));
}

#[test]
fn deployment_that_came_after_a_failed_trial_is_not_undone_by_what_the_device_says_of_it() {
    let server = TestServer::start();
    let id = server.own(1);
    let (old, ..) = push(&server, &Recipe::default());
    let (new, ..) = push(&server, &Recipe { version: "2.0.0", sequence: 2, ..Recipe::default() });
    let (next, ..) = push(&server, &Recipe { version: "3.0.0", sequence: 3, ..Recipe::default() });
    let mut device = server.connect(1);
    let old = commit(&mut device, &server, &id, &old);
    deploy(&server, &id, &new);
    let new = device.offer().manifest;
    deploy(&server, &id, &next);
    let next = device.offer().manifest;
    // Of the update before, which failed while the owner deployed the next one.
    device.wants_back(new, old);
    device.progress(next, UpdateStage::Staging, 0, None);
    let path = format!("/api/v1/devices/{id}");
    let shown = server.wait_for("staging", &path, |device| device["update"]["stage"] == "staging");
    assert_eq!(shown["target"], to_hex(&next), "what the owner chose last");
}

/// What a device does that it must not.
type Crime<'a> = &'a dyn Fn(&mut FakeDevice);

#[test]
fn device_that_breaks_the_protocol_is_cut_off_and_may_come_back() {
    let server = TestServer::start();
    let id = server.own(1);
    let fetch = |len| Fetch { manifest: [0; 32], from: FetchFrom::Area, area: 0, offset: 0, len };
    let crimes: [(&str, Crime<'_>); 5] = [
        ("forged frame", &|device| device.send_raw(&[[0, 32].as_slice(), &[7; 32]].concat())),
        ("impossible length", &|device| device.send_raw(&[0xFF; 64])),
        ("empty fetch", &|device| device.send(&DeviceMessage::Fetch(fetch(0)))),
        ("huge fetch", &|device| device.send(&DeviceMessage::Fetch(fetch(u32::MAX)))),
        ("second hello", &|device| device.hello(None)),
    ];
    for (crime, commit) in crimes {
        let mut device = server.connect(1);
        commit(&mut device);
        device.wait_for_end();
        let path = format!("/api/v1/devices/{id}");
        let shown = server.wait_for(crime, &path, |device| device["online"] == false);
        assert_eq!(shown["online"], false, "{crime}");
    }
    server.connect(1);
}

#[test]
fn command_reaches_the_device_and_its_outcome_comes_back() {
    let server = TestServer::start();
    let id = server.own(1);
    let path = format!("/api/v1/devices/{id}/commands");
    let body = json!({ "command": "restart-application" });
    assert_eq!(server.ask("POST", &path, body.clone()).code(), "device-offline");
    let mut device = server.connect(1);
    for (accepted, outcome) in [(true, "accepted"), (false, "declined")] {
        let result = std::thread::scope(|scope| {
            let asking = scope.spawn(|| server.ask("POST", &path, body.clone()).ok());
            let said = device.expect("command", |said| matches!(said, Said::Command(_)));
            let Said::Command(command) = said else { panic!("{said:?}") };
            assert_eq!(command.kind, CommandKind::RestartApplication);
            device.send(&DeviceMessage::CommandDone(CommandDone { id: command.id, accepted }));
            asking.join().expect("answers")
        });
        assert_eq!(result["outcome"], outcome);
    }
}

#[test]
fn commands_that_a_device_never_answered_do_not_keep_later_ones_from_it() {
    let limits = Limits { command_timeout: Duration::from_millis(20), ..Limits::default() };
    let server = TestServer::with_limits(limits);
    let id = server.own(1);
    let path = format!("/api/v1/devices/{id}/commands");
    let body = json!({ "command": "restart-application" });
    let mut device = server.connect(1);
    for _ in 0..40 {
        assert_eq!(server.ask("POST", &path, body.clone()).ok()["outcome"], "unanswered");
        device.expect("command", |said| matches!(said, Said::Command(_)));
    }
}

#[test]
fn logs_over_the_day_limit_are_dropped_and_counted() {
    let server = TestServer::with_limits(Limits { log_bytes_per_day: 100, ..Limits::default() });
    let id = server.own(1);
    let mut device = server.connect(1);
    for sequence in 0..20 {
        device.log(sequence, "ten bytes!");
    }
    let path = format!("/api/v1/devices/{id}");
    let shown = server.wait_for("drops", &path, |device| device["link"]["log_records_dropped"] == 10);
    assert_eq!(shown["link"]["log_bytes_today"], 100);
    let logs = server.wait_for("logs", &format!("/api/v1/logs?device={id}"), |page| {
        page["items"].as_array().is_some_and(|items| items.len() == 10)
    });
    assert_eq!(logs["items"][0]["text"], "ten bytes!");
}

#[test]
fn flood_of_frames_waits_and_is_counted() {
    let limits = Limits { frames_per_s: 50, frame_burst: 10, ..Limits::default() };
    let server = TestServer::with_limits(limits);
    let id = server.own(1);
    let mut device = server.connect(1);
    for sequence in 0..40 {
        device.log(sequence, "x");
    }
    let path = format!("/api/v1/devices/{id}");
    let shown = server.wait_for("all frames", &path, |device| device["link"]["frames_in"] == 41);
    assert!(shown["link"]["frames_throttled"].as_u64() > Some(0), "{shown:#}");
}

/// Connects after those that a device may make at once, of which one has to be refused.
const CONNECTS_MAX: usize = 30;

#[test]
fn device_that_connects_too_often_is_told_to_wait_but_replays_do_not_count() {
    let limits = Limits { connect_burst: 3, ..Limits::default() };
    let server = TestServer::with_limits(limits);
    server.own(1);
    for _ in 0..6 {
        let mut replay = FakeDevice::connect(server.device_address(), &server.keys(1));
        replay.expect("established", |said| matches!(said, Said::Established));
    }
    for _ in 0..3 {
        server.connect(1);
    }
    // While it connects, a connect a second is given back to it.
    for _ in 0..CONNECTS_MAX {
        let mut device = FakeDevice::connect(server.device_address(), &server.keys(1));
        match device.expect("word", |said| matches!(said, Said::Closed(_) | Said::Established)) {
            Said::Established => device.hello(None),
            said => {
                let busy = matches!(said, Said::Closed(Closed::Refused { reason: RefusalReason::Busy, .. }));
                assert!(busy, "{said:?}");
                return;
            }
        }
        device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
    }
    panic!("{CONNECTS_MAX} more connects were let in");
}

#[test]
fn device_that_changes_its_state_in_a_frenzy_is_stored_seldom_and_ends_with_its_last_word() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    for number in 0..300_u32 {
        let application =
            if number % 2 == 0 { ApplicationState::Stopped } else { ApplicationState::BackingOff };
        device.state(application, &format!("change {number}"));
    }
    let path = format!("/api/v1/devices/{id}");
    server.wait_for("last word", &path, |device| device["reported"]["reason"] == "change 299");
    let events = server.get(&format!("/api/v1/events?device={id}&limit=500"));
    let changes = events["items"].as_array().expect("items");
    let count = changes.iter().filter(|event| event["kind"] == "device-state").count();
    assert!((1..60).contains(&count), "{count} changes stored");
}

#[test]
fn connection_that_says_nothing_or_no_hello_is_closed_in_time() {
    use std::io::Read as _;
    let limits = Limits { handshake_timeout: Duration::from_secs(2), ..Limits::default() };
    let server = TestServer::with_limits(limits);
    server.own(1);
    let mut mute = std::net::TcpStream::connect(server.device_address()).expect("connects");
    mute.set_read_timeout(Some(PATIENCE)).expect("sets");
    let mut answer = Vec::new();
    mute.read_to_end(&mut answer).expect("ends");
    assert!(answer.is_empty(), "no word to who says none");
    let mut half = FakeDevice::connect(server.device_address(), &server.keys(1));
    half.expect("established", |said| matches!(said, Said::Established));
    half.wait_for_end();
}

#[test]
fn garbage_from_anybody_costs_the_others_nothing() {
    use std::io::Write as _;
    const SEED: u64 = 0x5eed_cafe;
    let server = TestServer::start();
    server.own(1);
    let mut state = SEED;
    let mut next = || {
        // SplitMix64; the seed alone decides.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    for _ in 0..150 {
        let mut stream = std::net::TcpStream::connect(server.device_address()).expect("connects");
        let len = usize::from(next()[0]) * 8;
        let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).flatten().take(len).collect();
        if let Some(first) = bytes.first_mut() {
            // Half of them get past the version.
            *first = if *first < 128 { LINK_VERSION } else { *first };
        }
        // The server may have closed already.
        let _ = stream.write_all(&bytes);
    }
    let mut device = server.connect(1);
    device.log(1, "unharmed");
    let good = |page: &Value| page["items"][0]["text"] == "unharmed";
    server.wait_for("log (seed 0x5eedcafe)", "/api/v1/logs", good);
}

#[test]
fn silent_device_is_pinged_and_then_given_up() {
    let limits = Limits {
        keepalive: Duration::from_secs(1),
        pong_timeout: Duration::from_secs(3),
        ..Limits::default()
    };
    let server = TestServer::with_limits(limits);
    let id = server.own(1);
    let mut device = server.connect(1);
    // The session answers pings by itself, so a device that is merely quiet stays, longer than one that does not answer.
    assert!(device.next_within(Duration::from_secs(5)).is_none());
    let path = format!("/api/v1/devices/{id}");
    assert_eq!(server.get(&path)["online"], true);
    // Now it no longer runs, though its connection is open.
    server.wait_for("offline", &path, |device| device["online"] == false);
    let mut events = server.stream(&format!("/api/v1/events/stream?device={id}&cursor=0"), None);
    let reason = loop {
        let event = events.next().expect("event");
        if event["kind"] == "device-offline" {
            break event["data"]["reason"].clone();
        }
    };
    assert_eq!(reason, "nothing heard for too long");
}

#[test]
fn stopping_server_sends_devices_away_and_knows_them_again() {
    let mut server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    std::thread::scope(|scope| {
        scope.spawn(|| device.expect("go away", |said| matches!(said, Said::Closed(Closed::GoAway { .. }))));
        server.restart();
    });
    let _device = server.connect(1);
    assert_eq!(server.get(&format!("/api/v1/devices/{id}"))["online"], true);
}

#[test]
fn order_to_take_a_trial_back_is_repeated_until_the_device_obeyed() {
    let server = TestServer::start();
    let id = server.own(1);
    let (pushed, ..) = push(&server, &Recipe::default());
    let connect = |running, on_trial| {
        let mut device = FakeDevice::connect(server.device_address(), &server.keys(1));
        device.expect("established", |said| matches!(said, Said::Established));
        (device.running, device.on_trial) = (running, on_trial);
        device.hello(None);
        device
    };
    let revert = |outcome: &str| {
        let body = json!({ "command": "revert-update" });
        let answer = server.ask("POST", &format!("/api/v1/devices/{id}/commands"), body).ok();
        assert_eq!(answer["outcome"], outcome);
    };
    let ordered = |said: &Said| matches!(said, Said::Command(c) if c.kind == CommandKind::RevertUpdate);

    let mut device = connect(None, None);
    deploy(&server, &id, &pushed);
    let manifest = device.offer().manifest;
    device.progress(manifest, UpdateStage::Trial, 0, None);
    let updates = format!("/api/v1/devices/{id}/updates");
    server.wait_for("trial", &updates, |page| page["items"][0]["stage"] == "trial");
    // The power fails; the order comes while the device is away, and is not lost when power fails again.
    drop(device);
    server.wait_for("offline", &format!("/api/v1/devices/{id}"), |device| device["online"] == false);
    revert("kept");
    for _ in 0..2 {
        let mut device = connect(Some(manifest), Some(true));
        let said = device.expect("an order or a word of acknowledgement", |said| {
            ordered(said) || matches!(said, Said::Acknowledge)
        });
        assert!(ordered(&said), "what is to be taken back is not acknowledged");
        drop(device);
    }
    // Taken back, and given again later on: the old order says nothing about the new trial.
    let mut device = connect(None, None);
    device.progress(manifest, UpdateStage::Reverted, 0, Some("the owner ordered to go back"));
    server.wait_for("reverted", &updates, |page| page["items"][0]["stage"] == "reverted");
    deploy(&server, &id, &pushed);
    drop(device);
    let mut device = connect(Some(manifest), Some(true));
    device.expect("acknowledgement", |said| matches!(said, Said::Acknowledge));
}

#[test]
fn order_to_apply_is_said_with_each_further_offer_and_is_nothing_to_a_device_without_an_update() {
    let server = TestServer::start();
    let id = server.own(1);
    let (pushed, ..) = push(&server, &Recipe::default());
    let body = json!({ "command": "apply-now" });
    let path = format!("/api/v1/devices/{id}/commands");
    let apply = |answer: Option<(&mut FakeDevice, bool)>| {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| server.ask("POST", &path, body.clone()));
            if let Some((device, accepted)) = answer {
                let Said::Command(command) =
                    device.expect("the order", |said| matches!(said, Said::Command(_)))
                else {
                    unreachable!()
                };
                device.send(&DeviceMessage::CommandDone(CommandDone { id: command.id, accepted }));
            }
            asked.join().expect("ends")
        })
    };
    let updates = format!("/api/v1/devices/{id}/updates");
    let stage = |name: &'static str| {
        server.wait_for(name, &updates, |page| page["items"][0]["stage"] == name);
    };

    assert_eq!(apply(None).status, 409, "nothing to remember for a device that is away");
    let mut device = server.connect(1);
    deploy(&server, &id, &pushed);
    let offer = device.offer();
    assert!(!offer.forced);
    assert_eq!(apply(Some((&mut device, false))).ok()["outcome"], "declined");
    device.progress(offer.manifest, UpdateStage::Staging, 1, None);
    stage("staging");
    assert!(!server.get(&updates)["items"][0]["forced"].as_bool().expect("known"), "it was declined");
    assert_eq!(apply(Some((&mut device, true))).ok()["outcome"], "accepted");
    // The power fails: the device knows nothing of the order, but hears of it again.
    drop(device);
    let mut device = server.connect(1);
    assert!(device.offer().forced);
    device.progress(offer.manifest, UpdateStage::Committed, 0, None);
    stage("committed");

    // Away, with an update that waits for it.
    drop(device);
    server.wait_for("offline", &format!("/api/v1/devices/{id}"), |device| device["online"] == false);
    assert_eq!(apply(None).status, 409, "what is applied already is not applied again");
    let (second, ..) = push(&server, &Recipe { sequence: 9, ..Recipe::default() });
    deploy(&server, &id, &second);
    assert_eq!(apply(None).ok()["outcome"], "kept");
    assert!(server.connect(1).offer().forced);
}
