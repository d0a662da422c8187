//! An application's own sockets, with real peers on this machine.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bulkhead_end_to_end::device::{ANSWER_WITHIN, Device};
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::peers::{Broker, CLOSED_PORT, Echo, HOST, WebServer};
use bulkhead_end_to_end::waiting::{Seen, until};

fn running(program: &str) -> (Fleet, Device) {
    let (mut fleet, device) = Fleet::start_with_device("talker").unwrap();
    let bundle = fleet.push(program, "talker", "1").unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    (fleet, device)
}

/// Lengths of echoes: one byte, around what one call takes, and more than fits into all buffers on the way.
const LENGTHS: &[usize] = &[1, 511, 512, 20_000];

/// The application gets its bytes back, and says what it makes of a peer that refuses it and of a text that is no name.
fn echoes(device: &Device, peer: &Echo, refused: &str, no_name: &str) {
    for bytes in LENGTHS {
        let before = peer.heard.load(Ordering::SeqCst);
        let said = device.ask(&format!("tcp {HOST} {} {bytes}", peer.tcp), "tcp").unwrap();
        assert_eq!(said, format!("tcp ok {bytes}"));
        // So says the application; this is what the peer says.
        assert_eq!(peer.heard.load(Ordering::SeqCst) - before, *bytes);
    }
    assert_eq!(device.ask(&format!("tcp {HOST} {CLOSED_PORT} 1"), "tcp").unwrap(), refused);
    assert_eq!(device.ask("tcp a..b 9 1", "tcp").unwrap(), no_name);
    // None of it kept it from its work, or a socket from whoever comes next.
    let said = device.ask(&format!("tcp {HOST} {} 1", peer.tcp), "tcp").unwrap();
    assert_eq!(said, "tcp ok 1");
    until("the application to close its streams", ANSWER_WITHIN, || {
        let open = peer.open.load(Ordering::SeqCst);
        Ok(if open == 0 { Seen::Answer(()) } else { Seen::NotYet(format!("{open} are open")) })
    })
    .unwrap();
}

#[test]
fn cpp_on_newlib_gets_its_bytes_back_and_fetches_pages_from_a_web_server() {
    let (_fleet, device) = running("hello-cpp");
    let peer = Echo::start().unwrap();
    echoes(&device, &peer, "tcp closed for 2", "tcp closed for 5");
    let mut web = WebServer::start().unwrap();
    for len in [0, 700, 30_000] {
        let page: Vec<u8> = (0..len).map(|at: u32| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        web.put("page.bin", &page).unwrap();
        let said = device.ask(&format!("http {HOST} {} /page.bin", web.port), "http").unwrap();
        assert_eq!(said, format!("http 200, {len} bytes, sum {}", fnv_1a(&page)));
    }
    web.asked("\"GET /page.bin HTTP/1.0\" 200").unwrap();
    let said = device.ask(&format!("http {HOST} {} /nothing", web.port), "http").unwrap();
    assert!(said.starts_with("http 404, "), "{said}");
}

fn fnv_1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(16_777_619))
}

/// The application gets datagrams of all lengths back.
fn datagrams(device: &Device, peer: &Echo) {
    for bytes in [0, 1, 1152] {
        let said = device.ask(&format!("udp {HOST} {} {bytes}", peer.udp), "udp").unwrap();
        assert_eq!(said, format!("udp ok {bytes}"));
    }
}

#[test]
fn bare_metal_rust_gets_its_bytes_back_through_embedded_nal() {
    let (_fleet, device) = running("hello-rust");
    let peer = Echo::start().unwrap();
    echoes(&device, &peer, "tcp failed: RefusedByPeer", "tcp failed: NameUnknown");
}

#[test]
fn rtic_gets_its_bytes_back_through_embedded_io_async() {
    let (_fleet, device) = running("rtic-rust");
    let peer = Echo::start().unwrap();
    echoes(&device, &peer, "tcp failed: RefusedByPeer", "tcp failed: NameUnknown");
}

#[test]
fn zig_gets_its_bytes_and_its_datagrams_back() {
    let (_fleet, device) = running("hello-zig");
    let peer = Echo::start().unwrap();
    echoes(&device, &peer, "tcp failed: RefusedByPeer", "tcp failed: NameUnknown");
    datagrams(&device, &peer);
}

#[test]
fn bare_metal_c_speaks_tcp_and_udp_with_peers_and_hears_whose_fault_a_failure_is() {
    let (_fleet, device) = running("sockets-c");
    let peer = Echo::start().unwrap();
    echoes(&device, &peer, "tcp closed for 2", "tcp closed for 5");
    datagrams(&device, &peer);
    let before = device.application_console().len();
    device.type_line(&format!("many {HOST} {} 3000\n", peer.tcp)).unwrap();
    until("four echoes at once", ANSWER_WITHIN, || {
        let said = device.application_console();
        let n = said.get(before..).unwrap_or_default().matches("many ok 3000").count();
        Ok(if n == 4 { Seen::Answer(()) } else { Seen::NotYet(said) })
    })
    .unwrap();
    for (line, said) in [
        ("tcp 10.0.2.99 9 1".to_owned(), "tcp closed for 4"), // Nobody there: timed out.
        ("tcp 127.0.0.1 9 1".to_owned(), "tcp closed for 8"), // Forbidden.
    ] {
        assert_eq!(device.ask(&line, "tcp").unwrap(), said, "{line}");
    }
}

#[test]
fn the_end_of_an_application_breaks_its_connections_off_and_the_next_one_has_all_sockets() {
    let (_fleet, device) = running("sockets-c");
    let peer = Echo::start().unwrap();
    for round in 1..=6 {
        let before = device.application_console().len();
        assert_eq!(device.ask(&format!("drop {HOST} {} 0", peer.tcp), "drop").unwrap(), "drop ok 0");
        device.answer(before, "sockets ready").unwrap();
        until("the peer to see the end", ANSWER_WITHIN, || {
            let ends = peer.ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let open = peer.open.load(Ordering::SeqCst);
            Ok(if ends.len() == round && open == 0 {
                Seen::Answer(())
            } else {
                Seen::NotYet(format!("{ends:?}"))
            })
        })
        .unwrap();
    }
}

#[test]
fn wrong_handles_pointers_lengths_and_addresses_are_refused_and_the_servers_own_port_is_not_reached() {
    let (fleet, device) = running("sockets-c");
    let peer = Echo::start().unwrap();
    assert_eq!(device.ask(&format!("wrong {HOST} {} 0", peer.tcp), "wrong").unwrap(), "wrong ok 0");
    let link = fleet.server.devices.port();
    let said = device.ask(&format!("tcp {HOST} {link} 1"), "tcp").unwrap();
    assert_eq!(said, "tcp closed for 8", "the hypervisor alone speaks to its server");
}

#[test]
fn an_application_that_floods_its_sockets_is_replaced_over_the_link_in_the_middle_of_it() {
    let (mut fleet, device) = running("sockets-c");
    let peer = Echo::start().unwrap();
    let said = device.ask(&format!("flood {HOST} {} 2000", peer.udp), "flood").unwrap();
    assert!(said.starts_with("flood ok"), "{said}");
    let since = fleet.look(&device).unwrap().link.map(|link| link.since);
    let other = fleet.push("hello-c-v1", "talker", "2").unwrap();
    // Longer than all of this may take: the update alone ends it.
    device.type_line(&format!("flood {HOST} {} 600000\n", peer.udp)).unwrap();
    fleet.deploy(&device, &other).unwrap();
    let seen = fleet.look(&device).unwrap();
    assert_eq!(seen.link.map(|link| link.since), since, "the link was lost; {}", device.console_tail());
}

#[test]
fn freertos_speaks_mqtt_with_mosquitto() {
    mqtt("freertos-c-v1", "freertos");
}

#[test]
fn freertos_without_a_tick_speaks_mqtt_with_mosquitto() {
    mqtt("freertos-c-v2", "freertos");
}

#[test]
fn bare_metal_rust_speaks_mqtt_with_mosquitto() {
    mqtt("hello-rust", "hello-rust");
}

#[test]
fn embassy_speaks_mqtt_with_mosquitto() {
    mqtt("embassy-rust", "embassy");
}

/// The application publishes to `NAME/said`, and says on its console what is published to `NAME/told`.
fn mqtt(program: &str, name: &str) {
    let (_fleet, device) = running(program);
    let mut broker = Broker::start().unwrap();
    let mut ears = broker.listen(&format!("{name}/said")).unwrap();
    let said = device.ask(&format!("mqtt {HOST} {}", broker.port), "mqtt").unwrap();
    assert_eq!(said, "mqtt ready");
    let expected = format!("{name}/said hello 1");
    ears.wait_for("the application's message", ANSWER_WITHIN, |line| (line == expected).then_some(()))
        .unwrap();
    for text in ["one", "the second message, which is a little longer than the first"] {
        let before = device.application_console().len();
        broker.publish(&format!("{name}/told"), text).unwrap();
        assert_eq!(device.answer(before, "told").unwrap(), format!("told {text}"));
    }
}
