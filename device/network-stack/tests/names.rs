//! Names: the hypervisor's and the application's, with resolvers that are right, wrong, silent or hostile.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

mod simulated;

use std::cell::Cell;
use std::rc::Rc;

use bulkhead_network_stack::{Begun, Connection};
use bulkhead_syscall_abi::{SocketReason, SocketState};
use simulated::{ECHO, ROUTER, World, answer, name};

/// Knows `peer.example` and what it is also called, and no other name.
fn zone(query: &[u8]) -> Vec<Vec<u8>> {
    match name(query).as_str() {
        "peer.example" => vec![answer(query, 0, &[ROUTER.octets()])],
        "two.example" => vec![answer(query, 0, &[ROUTER.octets(), [10, 0, 2, 77]])],
        "alias.example" => vec![alias(query)],
        "empty.example" => vec![answer(query, 0, &[])],
        "broken.example" => vec![answer(query, 2, &[])],
        _ => vec![answer(query, 3, &[])],
    }
}

/// `alias.example` is `peer.example`, which is the router.
fn alias(query: &[u8]) -> Vec<u8> {
    let target = [4, b'p', b'e', b'e', b'r', 7, b'e', b'x', b'a', b'm', b'p', b'l', b'e', 0];
    let mut out = answer(query, 0, &[]);
    out[7] = 2;
    out.extend([0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 14]);
    let at = u8::try_from(out.len()).unwrap();
    out.extend(target);
    out.extend([0xC0, at, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    out.extend(ROUTER.octets());
    out
}

/// Connects the application's first stream and returns where it ends.
fn connect(world: &mut World, host: &str) -> (SocketState, SocketReason, u64) {
    let now_ms = world.now_ms;
    world.stack.application().abort(0);
    world.stack.application().open(0, 0);
    assert_eq!(world.stack.application().connect(0, host, ECHO, now_ms), Begun::Done);
    let took_ms = world.until(60_000, |world| {
        let state = world.stack.application().look(0).state.unwrap();
        !matches!(state, SocketState::Resolving | SocketState::Connecting)
    });
    let look = world.stack.application().look(0);
    (look.state.unwrap(), look.reason, took_ms)
}

#[test]
fn names_are_found_by_the_hypervisor_and_by_the_application() {
    let mut world = World::new(Box::new(zone));
    for host in ["peer.example", "two.example", "alias.example", "10.0.2.2"] {
        assert_eq!(world.link(host), Connection::Open, "{host}");
        assert_eq!(connect(&mut world, host).0, SocketState::Connected, "{host}");
        world.stack.close();
    }
}

#[test]
fn a_name_that_there_is_not_ends_both_at_once_and_both_go_on() {
    let mut world = World::new(Box::new(zone));
    for host in ["nowhere.example", "empty.example", "broken.example"] {
        assert_eq!(world.link(host), Connection::Closed, "{host}");
        let (state, reason, took_ms) = connect(&mut world, host);
        assert_eq!((state, reason), (SocketState::Closed, SocketReason::NameUnknown), "{host}");
        assert!(took_ms < 100, "{took_ms} ms");
    }
    for host in ["", ".", "a..b", &"x".repeat(64), &"x.".repeat(130)] {
        assert_eq!(connect(&mut world, host).1, SocketReason::NameUnknown, "{host}");
    }
    assert_eq!(world.link("peer.example"), Connection::Open);
}

#[test]
fn a_silent_resolver_is_given_up_and_is_not_taken_for_an_unknown_name() {
    let mut world = World::new(Box::new(|_| Vec::new()));
    let (state, reason, took_ms) = connect(&mut world, "peer.example");
    assert_eq!((state, reason), (SocketState::Closed, SocketReason::ResolverSilent));
    assert!((10_000..21_000).contains(&took_ms), "{took_ms} ms");
    assert_eq!(world.link("peer.example"), Connection::Closed);
}

#[test]
fn a_resolver_that_answers_late_is_heard() {
    let asked = Cell::new(0);
    let mut world = World::new(Box::new(move |query| {
        asked.set(asked.get() + 1);
        // The first two queries are lost; both stacks ask again.
        if asked.get() % 3 == 0 { zone(query) } else { Vec::new() }
    }));
    assert_eq!(connect(&mut world, "peer.example").0, SocketState::Connected);
    assert_eq!(world.link("peer.example"), Connection::Open);
}

/// Answers that must not be taken: of them, none leads where the attacker points.
fn hostile(query: &[u8]) -> Vec<Vec<u8>> {
    const ATTACKER: [u8; 4] = [10, 0, 2, 66];
    let good = answer(query, 0, &[ATTACKER]);
    let changed = |at: usize, value: u8| {
        let mut bad = good.clone();
        bad[at] = value;
        bad
    };
    let mut out = vec![
        changed(0, good[0] ^ 1), // Another query's.
        changed(2, 0x01),        // A query.
        changed(2, 0xF9),        // Another kind of message.
        changed(5, 0),           // Without a question.
        changed(5, 2),           // With two.
        changed(13, b'X'),       // To another question.
        changed(7, 255),         // Fewer answers than it says.
        changed(6, 255),
    ];
    out.extend((0..query.len()).map(|len| good[..len].to_vec()));
    out
}

/// Answers about another name: one that points at itself, into the header, beyond the end.
fn astray(query: &[u8]) -> Vec<Vec<u8>> {
    let name_at = query.len();
    let pointers = [u8::try_from(name_at).unwrap(), 0, 11, 255];
    let astray = pointers.map(|pointer| {
        let mut bad = answer(query, 0, &[[10, 0, 2, 66]]);
        bad[name_at + 1] = pointer;
        bad
    });
    astray.into()
}

#[test]
fn hostile_answers_are_not_taken_and_the_right_one_after_them_is() {
    let mut world = World::new(Box::new(|query| {
        let mut all = hostile(query);
        let n = all.len();
        // As many as a burst may hold, some of the cut ones, then the right one.
        all.drain(8..n - 5);
        all.extend(zone(query));
        all
    }));
    assert_eq!(world.link("peer.example"), Connection::Open);
    assert_eq!(connect(&mut world, "peer.example").0, SocketState::Connected);
    assert_eq!(world.stack.application().look(0).peer.address, ROUTER.octets());
}

#[test]
fn each_hostile_answer_alone_changes_nothing() {
    let next = Rc::new(Cell::new(0));
    let turn = Rc::clone(&next);
    let mut world = World::new(Box::new(move |query| {
        let mut all = hostile(query);
        all.extend(astray(query));
        let at = turn.get();
        turn.set(at + 1);
        if at < all.len() { vec![all[at].clone()] } else { zone(query) }
    }));
    // Retransmissions walk through all of them; the address of the attacker is never reached.
    for _ in 0..40 {
        let (state, reason, _) = connect(&mut world, "peer.example");
        let peer = world.stack.application().look(0).peer.address;
        assert_ne!(peer, [10, 0, 2, 66], "the attacker's address was taken");
        if state == SocketState::Connected {
            assert!(next.get() > 20, "{} answers", next.get());
            return;
        }
        assert!(matches!(reason, SocketReason::ResolverSilent | SocketReason::NameUnknown));
    }
    panic!("the right answer was never taken");
}

#[test]
fn noise_for_answers_stops_nobody() {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut world = World::new(Box::new(move |query| {
        let mut noise = (0..8).map(|_| {
            let mut one = answer(query, 0, &[ROUTER.octets()]);
            for byte in one.iter_mut().skip(2) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                if state.is_multiple_of(3) {
                    *byte = state.to_le_bytes()[3];
                }
            }
            one
        });
        let mut all: Vec<_> = noise.by_ref().collect();
        all.extend(zone(query));
        all
    }));
    for _ in 0..50 {
        let state = connect(&mut world, "peer.example").0;
        assert!(matches!(state, SocketState::Connected | SocketState::Closed));
        world.stack.application().abort(0);
        world.run(20);
    }
}

/// The suite must be able to fail: a resolver that lies with a valid answer is believed, as DNS is.
#[test]
fn a_valid_lie_is_seen_by_this_suite() {
    let mut world = World::new(Box::new(|query| vec![answer(query, 0, &[[10, 0, 2, 66]])]));
    connect(&mut world, "peer.example");
    assert_eq!(world.stack.application().look(0).peer.address, [10, 0, 2, 66]);
}
