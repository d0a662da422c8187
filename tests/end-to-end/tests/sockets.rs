//! An application's own sockets, with real peers on this machine.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, bail};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::peers::{Broker, Echo, HOST, closed_port};
use bulkhead_end_to_end::waiting::{Seen, until};

/// Longest time for an answer: a connect that is given up takes 20 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

fn running(program: &str) -> (Fleet, Device) {
    let (mut fleet, device) = Fleet::start_with_device("talker").unwrap();
    let bundle = fleet.push(program, "talker", "1").unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    (fleet, device)
}

/// Types a line and returns the first line of the answer that begins with `name`.
fn ask(device: &Device, line: &str, name: &str) -> Result<String> {
    let before = device.application_console().len();
    device.type_line(&format!("{line}\n"))?;
    answer(device, before, name)
}

fn answer(device: &Device, before: usize, name: &str) -> Result<String> {
    until(&format!("the application's `{name}`"), ANSWER_WITHIN, || {
        let said = device.application_console();
        let new = said.get(before..).unwrap_or_default();
        if new.contains("ESCAPED") {
            bail!("{new}");
        }
        // The last line may not be whole.
        let whole = new.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(match whole.lines().find(|line| line.starts_with(name)) {
            Some(line) => Seen::Answer(line.to_owned()),
            None => Seen::NotYet(format!("{new}\nconsole:\n{}", device.console_tail())),
        })
    })
}

#[test]
fn bare_metal_c_speaks_tcp_and_udp_with_peers_and_hears_whose_fault_a_failure_is() {
    let (_fleet, device) = running("sockets-c");
    let peer = Echo::start().unwrap();
    for bytes in [1, 511, 512, 20_000] {
        let said = ask(&device, &format!("tcp {HOST} {} {bytes}", peer.tcp), "tcp").unwrap();
        assert_eq!(said, format!("tcp ok {bytes}"));
    }
    for bytes in [0, 1, 1152] {
        let said = ask(&device, &format!("udp {HOST} {} {bytes}", peer.udp), "udp").unwrap();
        assert_eq!(said, format!("udp ok {bytes}"));
    }
    let before = device.application_console().len();
    device.type_line(&format!("many {HOST} {} 3000\n", peer.tcp)).unwrap();
    until("four echoes at once", ANSWER_WITHIN, || {
        let said = device.application_console();
        let n = said.get(before..).unwrap_or_default().matches("many ok 3000").count();
        Ok(if n == 4 { Seen::Answer(()) } else { Seen::NotYet(said) })
    })
    .unwrap();
    for (line, said) in [
        (format!("tcp {HOST} {} 1", closed_port().unwrap()), "tcp closed for 2"), // Refused by the peer.
        ("tcp 10.0.2.99 9 1".to_owned(), "tcp closed for 4"),                     // Nobody there: timed out.
        ("tcp 127.0.0.1 9 1".to_owned(), "tcp closed for 8"),                     // Forbidden.
        ("tcp a..b 9 1".to_owned(), "tcp closed for 5"),                          // No name.
    ] {
        assert_eq!(ask(&device, &line, "tcp").unwrap(), said, "{line}");
    }
}

#[test]
fn the_end_of_an_application_breaks_its_connections_off_and_the_next_one_has_all_sockets() {
    let (_fleet, device) = running("sockets-c");
    let peer = Echo::start().unwrap();
    for round in 1..=6 {
        let before = device.application_console().len();
        assert_eq!(ask(&device, &format!("drop {HOST} {} 0", peer.tcp), "drop").unwrap(), "drop ok 0");
        answer(&device, before, "sockets ready").unwrap();
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
    assert_eq!(ask(&device, &format!("wrong {HOST} {} 0", peer.tcp), "wrong").unwrap(), "wrong ok 0");
    let link = fleet.server.devices.port();
    let said = ask(&device, &format!("tcp {HOST} {link} 1"), "tcp").unwrap();
    assert_eq!(said, "tcp closed for 8", "the hypervisor alone speaks to its server");
}

#[test]
fn an_application_that_floods_its_sockets_is_replaced_over_the_link_in_the_middle_of_it() {
    let (mut fleet, device) = running("sockets-c");
    let peer = Echo::start().unwrap();
    let said = ask(&device, &format!("flood {HOST} {} 2000", peer.udp), "flood").unwrap();
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
fn embassy_speaks_mqtt_with_mosquitto() {
    mqtt("embassy-rust", "embassy");
}

/// The application publishes to `NAME/said`, and says on its console what is published to `NAME/told`.
fn mqtt(program: &str, name: &str) {
    let (_fleet, device) = running(program);
    let broker = Broker::start().unwrap();
    let mut ears = broker.listen(&format!("{name}/said")).unwrap();
    let said = ask(&device, &format!("mqtt {HOST} {}", broker.port), "mqtt").unwrap();
    assert_eq!(said, "mqtt ready");
    let expected = format!("{name}/said hello 1");
    ears.wait_for("the application's message", ANSWER_WITHIN, |line| (line == expected).then_some(()))
        .unwrap();
    for text in ["one", "the second message, which is a little longer than the first"] {
        let before = device.application_console().len();
        broker.publish(&format!("{name}/told"), text).unwrap();
        assert_eq!(answer(&device, before, "told").unwrap(), format!("told {text}"));
    }
}
