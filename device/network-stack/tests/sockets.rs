//! The application's sockets beside the hypervisor's link: bytes arrive whole, and neither is in the other's way.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

mod simulated;

use bulkhead_network_stack::{Begun, Connection};
use bulkhead_syscall_abi::{SOCKET_STREAMS_MAX, SOCKETS_MAX, SocketAddress, SocketReason, SocketState};
use simulated::{ECHO, LINK, ROUTER, World, answer};

const STREAMS: usize = SOCKET_STREAMS_MAX as usize;
const SLOTS: usize = SOCKETS_MAX as usize;
/// Longest round trip of the link that counts as undisturbed, on a wire without delay.
const ROUND_TRIP_MAX_MS: u64 = 10;

fn world() -> World {
    World::new(Box::new(|query| vec![answer(query, 3, &[])]))
}

fn connect(world: &mut World, index: usize, host: &str, port: u16) {
    let now_ms = world.now_ms;
    let sockets = world.stack.application();
    sockets.open(index, 0);
    assert_eq!(sockets.connect(index, host, port, now_ms), Begun::Done);
}

fn settle(world: &mut World, index: usize) -> (SocketState, SocketReason) {
    world.until(60_000, |world| {
        let state = world.stack.application().look(index).state.unwrap();
        !matches!(state, SocketState::Resolving | SocketState::Connecting)
    });
    let look = world.stack.application().look(index);
    (look.state.unwrap(), look.reason)
}

fn byte(index: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ at >> 8 ^ index).to_le_bytes()[0]
}

/// Sends so many bytes over each stream and takes the echo.
fn echo(world: &mut World, total: usize) {
    let (mut sent, mut received) = ([0; STREAMS], [0; STREAMS]);
    world.until(600_000, |world| {
        let sockets = world.stack.application();
        for index in 0..STREAMS {
            let piece: Vec<u8> =
                (sent[index]..total.min(sent[index] + 400)).map(|at| byte(index, at)).collect();
            sent[index] += sockets.send(index, &piece);
            let mut buffer = [0; 512];
            let n = sockets.receive(index, &mut buffer);
            for (offset, got) in buffer[..n].iter().enumerate() {
                assert_eq!(*got, byte(index, received[index] + offset), "stream {index}");
            }
            received[index] += n;
        }
        received.iter().all(|n| *n == total)
    });
}

#[test]
fn four_streams_at_once_bring_every_byte_in_order_over_a_wire_that_loses_frames() {
    for lose_one_of in [0, 13] {
        let mut world = world();
        for index in 0..STREAMS {
            connect(&mut world, index, "10.0.2.2", ECHO);
        }
        for index in 0..STREAMS {
            assert_eq!(settle(&mut world, index).0, SocketState::Connected);
        }
        world.wire.borrow_mut().lose_one_of = lose_one_of;
        echo(&mut world, 20_000);
        world.wire.borrow_mut().lose_one_of = 0;
        let now_ms = world.now_ms;
        for index in 0..STREAMS {
            world.stack.application().close(index, now_ms);
        }
        world.until(10_000, |world| (0..STREAMS).all(|index| world.stack.application().is_free(index)));
    }
}

#[test]
fn the_end_of_a_stream_is_told_with_its_reason() {
    let mut world = world();
    connect(&mut world, 0, "10.0.2.2", ECHO);
    settle(&mut world, 0);
    world.stack.application().send(0, b"last");
    world.stack.application().shutdown(0);
    world.until(5_000, |world| world.stack.application().look(0).state == Some(SocketState::Closed));
    assert_eq!(world.stack.application().look(0).reason, SocketReason::ClosedByPeer);
    let mut buffer = [0; 8];
    assert_eq!(world.stack.application().receive(0, &mut buffer), 4, "what had arrived is still there");
    for (host, port, expected) in [
        ("10.0.2.2", 9, SocketReason::RefusedByPeer),
        ("10.0.2.99", 9, SocketReason::TimedOut),
        ("10.0.2.15", 9, SocketReason::Forbidden),
        ("127.0.0.1", 9, SocketReason::Forbidden),
        ("224.0.0.1", 9, SocketReason::Forbidden),
    ] {
        world.stack.application().abort(0);
        connect(&mut world, 0, host, port);
        assert_eq!(settle(&mut world, 0), (SocketState::Closed, expected), "{host}:{port}");
        assert_eq!(world.stack.application().receive(0, &mut buffer), 0, "nothing of the connection before");
    }
}

#[test]
fn a_stream_whose_end_nobody_acknowledges_times_out() {
    let mut world = world();
    connect(&mut world, 0, "10.0.2.2", ECHO);
    assert_eq!(settle(&mut world, 0).0, SocketState::Connected);
    world.run(40_000);
    assert_eq!(settle(&mut world, 0).0, SocketState::Connected, "nothing waits for the peer");
    world.wire.borrow_mut().lose_one_of = 1;
    world.stack.application().shutdown(0);
    let closed = |world: &mut World| world.stack.application().look(0).state == Some(SocketState::Closed);
    let waited_ms = world.until(31_000, closed);
    assert!(waited_ms >= 30_000, "{waited_ms}");
    assert_eq!(world.stack.application().look(0).reason, SocketReason::TimedOut);
}

#[test]
fn datagrams_go_to_whom_they_are_sent_and_a_connected_socket_hears_its_peer_alone() {
    let mut world = world();
    let (first, second) = (STREAMS, STREAMS + 1);
    world.stack.application().open(first, 5683);
    world.stack.application().open(second, 0);
    let to = |port| SocketAddress { address: ROUTER.octets(), port, reserved: 0 };
    world.stack.application().send_to(first, Some(to(ECHO)), b"ping");
    world.run(5);
    let mut buffer = [0; 1152];
    assert_eq!(world.stack.application().receive_from(first, &mut buffer), Some((4, to(ECHO))));
    assert_eq!(buffer.first_chunk(), Some(b"ping"));
    let long = [7; 1152];
    world.stack.application().send_to(first, Some(to(ECHO)), &long);
    world.run(5);
    assert_eq!(world.stack.application().receive_from(first, &mut buffer), Some((1152, to(ECHO))));
    // The second one is connected to a port on which nobody echoes, and hears nothing of the first one's peer.
    let now_ms = world.now_ms;
    world.stack.application().connect(second, "10.0.2.2", 4000, now_ms);
    world.stack.application().send_to(second, Some(to(ECHO)), b"ping");
    world.run(5);
    assert_eq!(world.stack.application().receive_from(second, &mut buffer), None);
}

#[test]
fn a_datagram_for_nobody_keeps_the_next_one_waiting_for_two_questions_and_no_longer() {
    let mut world = world();
    let socket = STREAMS;
    world.stack.application().open(socket, 0);
    let to = |last| SocketAddress { address: [10, 0, 2, last], port: ECHO, reserved: 0 };
    let heard = |world: &mut World, bytes: &[u8]| {
        world.stack.application().send_to(socket, Some(to(2)), bytes);
        world.run(5);
        world.stack.application().receive_from(socket, &mut [0; 1152]) == Some((bytes.len(), to(2)))
    };
    for last in [100, 101] {
        assert!(heard(&mut world, b"before"));
        world.stack.application().send_to(socket, Some(to(last)), b"lost");
        world.run(1_000);
        assert_eq!(world.stack.application().look(socket).room, 0, "it may still be answered");
        let waited_ms = world.until(3_000, |world| world.stack.application().look(socket).room > 0);
        assert!(waited_ms >= 400, "{waited_ms}");
        assert!(heard(&mut world, b"after"));
    }
    // What had arrived can be taken meanwhile, and does not hold the rest up for good if it is not.
    for (take_after_ms, kept) in [(2_000, true), (5_000, false)] {
        world.stack.application().send_to(socket, Some(to(2)), b"kept");
        world.run(5);
        world.stack.application().send_to(socket, Some(to(100)), b"lost");
        world.run(take_after_ms);
        let taken = world.stack.application().receive_from(socket, &mut [0; 1152]);
        assert_eq!(taken, kept.then_some((4, to(2))));
        world.until(10, |world| world.stack.application().look(socket).room > 0);
    }
}

#[test]
fn a_slot_that_asked_for_nobody_does_not_keep_its_next_peer_waiting() {
    let mut world = world();
    connect(&mut world, 0, "10.0.2.2", ECHO);
    assert_eq!(settle(&mut world, 0).0, SocketState::Connected);
    world.stack.application().abort(0);
    connect(&mut world, 0, "10.0.2.100", ECHO);
    world.run(100);
    world.stack.application().abort(0);
    connect(&mut world, 0, "10.0.2.2", ECHO);
    let waited_ms =
        world.until(3_000, |world| world.stack.application().look(0).state == Some(SocketState::Connected));
    assert!(waited_ms <= ROUND_TRIP_MAX_MS, "{waited_ms} ms");
}

/// Longest until somebody beside one neighbour that never answers is heard: each of the two has a turn.
const HEARD_WITHIN_MS: u64 = 300;

/// One millisecond in which `dead` sends to a neighbour that never answers, whenever it is let.
fn step_beside(world: &mut World, dead: usize) {
    let nobody = SocketAddress { address: [10, 0, 2, 100], port: ECHO, reserved: 0 };
    world.stack.application().send_to(dead, Some(nobody), b"lost");
    world.step();
}

#[test]
fn a_neighbour_that_never_answers_keeps_no_other_datagram_from_its_peer() {
    for (dead, alive) in [(STREAMS, STREAMS + 1), (STREAMS + 1, STREAMS)] {
        for offset_ms in (0..2_600).step_by(100) {
            let mut world = world();
            world.stack.application().open(dead, 0);
            world.stack.application().open(alive, 0);
            for _ in 0..offset_ms {
                step_beside(&mut world, dead);
            }
            let router = SocketAddress { address: ROUTER.octets(), port: ECHO, reserved: 0 };
            world.stack.application().send_to(alive, Some(router), b"live");
            let waited_ms = world.until(10_000, |world| {
                step_beside(world, dead);
                world.stack.application().receive_from(alive, &mut [0; 1152]).is_some()
            });
            assert!(waited_ms <= HEARD_WITHIN_MS, "{dead} dead for {offset_ms} ms: {waited_ms} ms");
        }
    }
}

#[test]
fn a_neighbour_that_never_answers_keeps_no_stream_and_no_name_waiting() {
    // A name has two neighbours to ask for, one after the other.
    for (host, within_ms) in [("10.0.2.2", HEARD_WITHIN_MS), ("a.host", 2 * HEARD_WITHIN_MS)] {
        for offset_ms in (0..2_600).step_by(100) {
            let mut world = World::new(Box::new(|query| vec![answer(query, 0, &[ROUTER.octets()])]));
            world.stack.application().open(STREAMS, 0);
            for _ in 0..offset_ms {
                step_beside(&mut world, STREAMS);
            }
            connect(&mut world, 0, host, ECHO);
            let waited_ms = world.until(10_000, |world| {
                step_beside(world, STREAMS);
                world.stack.application().look(0).state == Some(SocketState::Connected)
            });
            assert!(waited_ms <= within_ms, "{host}, dead for {offset_ms} ms: {waited_ms} ms");
        }
    }
}

#[test]
fn a_stream_goes_on_beside_a_neighbour_that_never_answers_when_its_own_has_been_forgotten() {
    let mut world = world();
    connect(&mut world, 0, "10.0.2.2", ECHO);
    assert_eq!(settle(&mut world, 0).0, SocketState::Connected);
    world.stack.application().open(STREAMS, 0);
    // smoltcp remembers a neighbour for a minute after it was last heard.
    for idle_ms in (61_000..63_000).step_by(130) {
        for _ in 0..idle_ms {
            step_beside(&mut world, STREAMS);
        }
        world.stack.application().send(0, b"live");
        let waited_ms = world.until(10_000, |world| {
            step_beside(world, STREAMS);
            world.stack.application().receive(0, &mut [0; 8]) > 0
        });
        assert!(waited_ms <= HEARD_WITHIN_MS, "idle for {idle_ms} ms: {waited_ms} ms");
    }
}

#[test]
fn questions_for_neighbours_are_bounded_whatever_is_sent() {
    let mut world = world();
    world.wire.borrow_mut().sent.clear();
    for _ in 0..10_000 {
        flood(&mut world);
        world.step();
    }
    let is_question = |frame: &&Vec<u8>| frame.get(12..14) == Some(&[8, 6]) && frame.get(21) == Some(&1);
    let questions = world.wire.borrow().sent.iter().filter(is_question).count();
    assert!((50..=11 * 10 + 2).contains(&questions), "{questions} in 10 s");
}

#[test]
fn the_links_own_peer_is_not_reached_and_no_port_of_the_hypervisor_is_taken() {
    let mut world = world();
    assert_eq!(world.link("10.0.2.2"), Connection::Open);
    connect(&mut world, 0, "10.0.2.2", LINK);
    assert_eq!(settle(&mut world, 0), (SocketState::Closed, SocketReason::Forbidden));
    world.wire.borrow_mut().sent.clear();
    for round in 0..200 {
        connect(&mut world, 0, "10.0.2.2", ECHO);
        world.run(2);
        let local_port = world.stack.application().look(0).local_port;
        assert!((32_768..=49_151).contains(&local_port), "round {round}: {local_port}");
        world.stack.application().abort(0);
    }
    assert_eq!(world.stack.connection(), Connection::Open);
}

/// The link's round trips, in milliseconds, while `disturb` goes on each millisecond.
fn round_trips(world: &mut World, for_ms: u64, mut disturb: impl FnMut(&mut World)) -> u64 {
    let (until_ms, mut longest) = (world.now_ms + for_ms, 0);
    while world.now_ms < until_ms {
        assert_eq!(world.stack.send(b"?"), 1);
        let since_ms = world.now_ms;
        world.until(30_000, |world| {
            disturb(world);
            world.stack.receive(<[u8]>::len) > 0
        });
        longest = longest.max(world.now_ms - since_ms);
        for _ in 0..500 {
            disturb(world);
            world.step();
        }
    }
    longest
}

/// Everything that an application can do to the network: streams and datagrams to hosts that do not exist, so that every
/// frame asks for a neighbour, and as many bytes as it is let.
fn flood(world: &mut World) {
    let now_ms = world.now_ms;
    let sockets = world.stack.application();
    for index in 0..SLOTS {
        if sockets.is_free(index) {
            sockets.open(index, 0);
        }
        if index < STREAMS {
            if sockets.look(index).state == Some(SocketState::Open) {
                let host = format!("10.0.2.{}", 100 + (now_ms + index as u64) % 100);
                sockets.connect(index, if index == 0 { "10.0.2.2" } else { &host }, ECHO, now_ms);
            }
            sockets.send(index, &[1; 512]);
            if now_ms.is_multiple_of(50) && index != 0 {
                sockets.abort(index);
            }
        } else {
            let last = if index % 2 == 0 { 2 } else { 100 + u8::try_from(now_ms % 100).unwrap() };
            let to = SocketAddress { address: [10, 0, 2, last], port: ECHO, reserved: 0 };
            sockets.send_to(index, Some(to), &[2; 1152]);
        }
    }
}

#[test]
fn an_application_that_floods_does_not_slow_the_link_down() {
    let mut world = world();
    assert_eq!(world.link("10.0.2.2"), Connection::Open);
    let alone = round_trips(&mut world, 5_000, |_| {});
    // Longer than a neighbour is remembered, so that the link has to ask for its router in the middle of the flood.
    let flooded = round_trips(&mut world, 200_000, flood);
    assert!(
        alone <= ROUND_TRIP_MAX_MS && flooded <= ROUND_TRIP_MAX_MS,
        "alone {alone} ms, flooded {flooded} ms"
    );
    assert!(world.wire.borrow().sent.len() > 100_000, "that was no flood");
}

/// Answers whatever question was asked since `n_seen` frames had been sent, for hosts that do not exist.
fn answer_for_nobody(world: &mut World, n_seen: &mut usize) {
    let mut wire = world.wire.borrow_mut();
    let sent = wire.sent.split_off(*n_seen);
    for frame in &sent {
        if frame[12..14] == [8, 6] && frame[21] == 1 && frame[41] >= 100 {
            let mut answer = frame.clone();
            answer[..6].copy_from_slice(&frame[6..12]);
            answer[21] = 2;
            answer[22..28].copy_from_slice(&[2, 0, 0, 0, 0, frame[41]]);
            answer[28..32].copy_from_slice(&frame[38..42]);
            answer[32..42].copy_from_slice(&frame[22..32]);
            wire.to_device.push_back(answer);
        }
    }
    wire.sent.extend(sent);
    *n_seen = wire.sent.len();
}

#[test]
fn more_neighbours_of_the_application_than_are_remembered_push_out_none_of_the_links() {
    let mut world = world();
    assert_eq!(world.link("10.0.2.2"), Connection::Open);
    let mut n_seen = world.wire.borrow().sent.len();
    let longest = round_trips(&mut world, 30_000, |world| {
        flood(world);
        answer_for_nobody(world, &mut n_seen);
    });
    assert!(longest <= ROUND_TRIP_MAX_MS, "{longest} ms");
}

#[test]
fn frames_for_the_application_that_nobody_takes_do_not_block_the_link() {
    let mut world = world();
    assert_eq!(world.link("10.0.2.2"), Connection::Open);
    // An echo that is never received: the window closes, and segments keep coming.
    let longest = round_trips(&mut world, 20_000, |world| {
        let now_ms = world.now_ms;
        let sockets = world.stack.application();
        if sockets.is_free(0) {
            sockets.open(0, 0);
            sockets.connect(0, "10.0.2.2", ECHO, now_ms);
        }
        sockets.send(0, &[3; 512]);
    });
    assert!(longest <= ROUND_TRIP_MAX_MS, "{longest} ms");
}

/// The suite must be able to fail: a disturbance that does reach the link is seen.
#[test]
fn a_link_that_is_slowed_down_is_seen_by_this_suite() {
    let mut world = world();
    assert_eq!(world.link("10.0.2.2"), Connection::Open);
    let longest = round_trips(&mut world, 5_000, |world| {
        // Every other frame is lost: what a shared queue that overflows would do.
        world.wire.borrow_mut().lose_one_of = 2;
    });
    assert!(longest > ROUND_TRIP_MAX_MS, "{longest} ms");
}

#[test]
fn frames_of_noise_stop_nobody() {
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    println!("seed {seed:#x}");
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut world = world();
    connect(&mut world, 0, "10.0.2.2", ECHO);
    settle(&mut world, 0);
    world.stack.application().open(STREAMS, 5683);
    let mut buffer = [0; 1152];
    for _ in 0..20_000 {
        let mut frame = {
            let wire = world.wire.borrow();
            wire.heard[usize::try_from(random()).unwrap() % wire.heard.len()].clone()
        };
        for _ in 0..=random() % 4 {
            let at = usize::try_from(random()).unwrap() % frame.len();
            frame[at] = random().to_le_bytes()[2];
        }
        let len =
            if random() % 8 == 0 { usize::try_from(random()).unwrap() % frame.len() } else { frame.len() };
        frame.truncate(len);
        world.wire.borrow_mut().to_device.push_back(frame);
        if random() % 16 == 0 {
            let to = SocketAddress { address: ROUTER.octets(), port: ECHO, reserved: 0 };
            world.stack.application().send_to(STREAMS, Some(to), b"ping");
            world.stack.application().send(0, b"ping");
        }
        world.step();
        world.stack.application().receive(0, &mut buffer);
        world.stack.application().receive_from(STREAMS, &mut buffer);
    }
    // The address may be lost by a forged answer of DHCP; the stack is not.
    world.run(60_000);
    assert!(world.stack.network().is_up());
}

#[test]
fn a_network_that_is_lost_ends_every_socket() {
    let mut world = world();
    world.short_lease();
    let mut world = {
        // The lease is renewed with the short one before it is taken away.
        world.take_address_away();
        world
    };
    connect(&mut world, 0, "10.0.2.2", ECHO);
    world.stack.application().open(STREAMS, 0);
    settle(&mut world, 0);
    world.now_ms += 100_000_000;
    world.run(200);
    assert!(!world.stack.network().is_up());
    for index in [0, STREAMS] {
        let look = world.stack.application().look(index);
        assert_eq!(
            (look.state, look.reason),
            (Some(SocketState::Closed), SocketReason::NetworkLost),
            "{index}"
        );
    }
}
