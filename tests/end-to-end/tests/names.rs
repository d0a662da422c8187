//! Names, looked up by a real device at a resolver that is right, absent, silent or hostile.
//!
//! Each test runs in a network of its own, in which port 53 is free.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::own_network::in_own_network;
use bulkhead_end_to_end::peers::Echo;
use bulkhead_end_to_end::resolver::{NAME_UNKNOWN, Query, Resolver, SERVER_FAILED};

const PEER: &str = "peer.bulkhead.test";
const CROWDED: &str = "crowded.bulkhead.test";
const SERVER: &str = "server.bulkhead.test";
/// This machine as a device sees it.
const HERE: [u8; 4] = [10, 0, 2, 2];
/// Where nobody is.
const NOWHERE: [u8; 4] = [10, 0, 2, 66];
/// What `sockets-c` says when there is no such name, and when no resolver answers.
const NO_SUCH_NAME: &str = "tcp closed for 5";
const RESOLVER_SILENT: &str = "tcp closed for 6";
/// A refusal comes from the resolver, not from a timeout.
const AT_ONCE: Duration = Duration::from_secs(5);
/// A resolver is asked for 10 s; beyond this it is not given up.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(25);

/// Knows where the server and the peer are, and no other name.
fn zone(query: &Query) -> Vec<Vec<u8>> {
    match query.name().as_str() {
        PEER | SERVER => vec![query.answer(&[HERE])],
        // Nearly as long as a frame.
        CROWDED => vec![query.answer(&[HERE; 80])],
        _ => vec![query.refusal(NAME_UNKNOWN)],
    }
}

fn running(program: &str) -> (Fleet, Device) {
    let (mut fleet, device) = Fleet::start_with_device("caller").unwrap();
    let bundle = fleet.push(program, "caller", "1").unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    (fleet, device)
}

/// Lets the application connect to a name; what it says, and how long it took.
fn connect(device: &Device, name: &str, peer: &Echo) -> (String, Duration) {
    let since = Instant::now();
    let said = device.ask(&format!("tcp {name} {} 512", peer.tcp), "tcp").unwrap();
    (said, since.elapsed())
}

/// The device was never out of reach.
fn assert_link_stayed(fleet: &Fleet, device: &Device, body: impl FnOnce()) {
    let since = fleet.look(device).unwrap().link.map(|link| link.since);
    assert!(since.is_some());
    body();
    let seen = fleet.look(device).unwrap();
    assert_eq!(seen.link.map(|link| link.since), since, "the link was lost; {}", device.console_tail());
}

#[test]
fn a_device_finds_its_server_by_name_and_each_application_its_peer() {
    let test = "a_device_finds_its_server_by_name_and_each_application_its_peer";
    in_own_network(test, || {
        let resolver = Resolver::start(zone).unwrap();
        let peer = Echo::start().unwrap();
        let mut fleet = Fleet::start().unwrap();
        let mut device = fleet.new_device_of("caller", SERVER).unwrap();
        fleet.power_on(&mut device).unwrap();
        assert!(resolver.asked().iter().any(|name| name == SERVER), "{:?}", resolver.asked());
        let programs = ["sockets-c", "hello-cpp", "hello-rust", "rtic-rust", "hello-zig"];
        for (version, program) in programs.iter().enumerate() {
            let bundle = fleet.push(program, "caller", &version.to_string()).unwrap();
            fleet.deploy(&device, &bundle).unwrap();
            let (heard, asked) = (peer.heard.load(Ordering::SeqCst), resolver.asked().len());
            assert_eq!(connect(&device, PEER, &peer).0, "tcp ok 512", "{program}");
            assert_eq!(peer.heard.load(Ordering::SeqCst) - heard, 512, "{program}");
            assert!(resolver.asked().len() > asked, "{program} asked nobody");
        }
    })
    .unwrap();
}

#[test]
fn a_name_that_there_is_not_is_told_at_once_and_as_that() {
    in_own_network("a_name_that_there_is_not_is_told_at_once_and_as_that", || {
        let _resolver = Resolver::start(|query| match query.name().as_str() {
            "empty.bulkhead.test" => vec![query.answer(&[])],
            "failing.bulkhead.test" => vec![query.refusal(SERVER_FAILED)],
            _ => zone(query),
        })
        .unwrap();
        let peer = Echo::start().unwrap();
        let (fleet, device) = running("sockets-c");
        assert_link_stayed(&fleet, &device, || {
            for host in ["nowhere.bulkhead.test", "empty.bulkhead.test", "failing.bulkhead.test"] {
                let (said, took) = connect(&device, host, &peer);
                assert_eq!(said, NO_SUCH_NAME, "{host}");
                assert!(took < AT_ONCE, "{host}: {took:?}");
            }
            for host in [PEER, CROWDED] {
                assert_eq!(connect(&device, host, &peer).0, "tcp ok 512", "{host}");
            }
        });
    })
    .unwrap();
}

#[test]
fn a_resolver_that_is_absent_or_silent_is_given_up_and_heard_again_when_it_speaks() {
    let test = "a_resolver_that_is_absent_or_silent_is_given_up_and_heard_again_when_it_speaks";
    in_own_network(test, || {
        let peer = Echo::start().unwrap();
        let (fleet, device) = running("sockets-c");
        assert_link_stayed(&fleet, &device, || {
            let given_up = |host: &str| {
                let (said, took) = connect(&device, host, &peer);
                assert_eq!(said, RESOLVER_SILENT, "{host}");
                assert!(took < GIVEN_UP_WITHIN, "{host}: {took:?}");
            };
            given_up(PEER);
            let mut late = 0;
            let resolver = Resolver::start(move |query| match query.name().as_str() {
                "silent.bulkhead.test" => Vec::new(),
                "late.bulkhead.test" => {
                    late += 1;
                    // The first two queries are lost.
                    if late > 2 { vec![query.answer(&[HERE])] } else { Vec::new() }
                }
                _ => zone(query),
            })
            .unwrap();
            given_up("silent.bulkhead.test");
            let asked = resolver.asked().len();
            assert!(asked > 1, "it was asked {asked} times: a query may be lost");
            for host in [PEER, "late.bulkhead.test"] {
                assert_eq!(connect(&device, host, &peer).0, "tcp ok 512", "{host}");
            }
        });
    })
    .unwrap();
}

/// Answers that must not be taken. Each leads to `address`, where it leads anywhere.
fn hostile(query: &Query, kind: &str, address: [u8; 4]) -> Vec<u8> {
    let good = query.answer(&[address]);
    let changed = |at: usize, value: u8| {
        let mut bad = good.clone();
        bad[at] = value;
        bad
    };
    match kind {
        "foreign" => changed(0, good[0] ^ 1), // Another query's.
        "question" => changed(2, 0x01),
        "unasked" => changed(5, 0),   // About no question.
        "other" => changed(14, b'X'), // About another one.
        "greedy" => changed(6, 255),  // Fewer answers than it says.
        "cut" => good[..good.len() - 2].to_vec(),
        "header" => good[..12].to_vec(),
        "nothing" => Vec::new(),
        // The answer's name: points at itself, and beyond the end.
        "looping" => changed(query.answers_at() + 1, u8::try_from(query.answers_at()).unwrap()),
        "beyond" => changed(query.answers_at() + 1, 255),
        // A label longer than labels are, where the answer's name was.
        "label" => changed(query.answers_at(), 0x7F),
        // More than a frame carries, all of it addresses.
        "long" => query.answer(&[address; 300]),
        "noise" => good[..2]
            .iter()
            .copied()
            .chain((0..400).map(|at: u32| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]))
            .collect(),
        other => panic!("no answer is called {other}"),
    }
}

const HOSTILE: &[&str] = &[
    "foreign", "question", "unasked", "other", "greedy", "cut", "header", "nothing", "looping", "beyond",
    "label", "long", "noise",
];
/// Those that would do the most harm are also tried alone, which takes as long as a resolver is asked.
const WORST: &[&str] = &["foreign", "looping", "label", "long"];

#[test]
fn hostile_answers_are_not_taken_and_the_right_one_behind_them_is() {
    in_own_network("hostile_answers_are_not_taken_and_the_right_one_behind_them_is", || {
        // KIND.alone: nothing else comes, and it leads to the peer. KIND.before: the right one follows.
        let _resolver = Resolver::start(|query| match query.name().split_once('.') {
            Some((kind, "alone")) => vec![hostile(query, kind, HERE)],
            Some((kind, "before")) => vec![hostile(query, kind, NOWHERE), query.answer(&[HERE])],
            _ => zone(query),
        })
        .unwrap();
        let peer = Echo::start().unwrap();
        let (fleet, device) = running("sockets-c");
        assert_link_stayed(&fleet, &device, || {
            for kind in HOSTILE {
                assert_eq!(connect(&device, &format!("{kind}.before"), &peer).0, "tcp ok 512", "{kind}");
            }
            for kind in WORST {
                assert_eq!(connect(&device, &format!("{kind}.alone"), &peer).0, RESOLVER_SILENT, "{kind}");
            }
            for host in [PEER, CROWDED] {
                assert_eq!(connect(&device, host, &peer).0, "tcp ok 512", "{host}");
            }
        });
    })
    .unwrap();
}
