//! Claims about a link: `clatter` on the device against `snow` on the server.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bulkhead_device_identity::{device_id, public_key};
use bulkhead_link_protocol::*;
use bulkhead_link_session::server::*;
use bulkhead_link_session::*;

const DEVICE: [u8; 32] = [0x11; 32];
const SERVER: [u8; 32] = [0x22; 32];
const REALM: [u8; 16] = [0x33; 16];

fn server_keys() -> ServerKeys {
    ServerKeys { current: SERVER, next: Some([0x44; 32]), realm_id: REALM }
}

fn link_keys() -> LinkKeys {
    LinkKeys { device_private_key: DEVICE, server_public_key: public_key(&SERVER), realm_id: REALM }
}

fn device() -> DeviceSession {
    DeviceSession::new(link_keys(), [0x55; 32], Keepalive::default(), 0)
}

/// Everything that the device wants to send, taken in pieces of `piece` bytes.
fn transmit(device: &mut DeviceSession, piece: usize) -> Vec<u8> {
    let mut out = vec![0; piece];
    let mut all = Vec::new();
    loop {
        match device.poll_transmit(&mut out) {
            0 => return all,
            len => all.extend(&out[..len]),
        }
    }
}

/// Hands `bytes` to the device, running jobs, and returns its events as text.
fn deliver(device: &mut DeviceSession, mut bytes: &[u8], now_ms: u64) -> Vec<String> {
    let mut events = Vec::new();
    loop {
        device.run_handshake_step(now_ms);
        let taken = device.receive(bytes, now_ms);
        bytes = &bytes[taken..];
        let mut told = 0;
        while let Some(event) = device.poll_event(now_ms) {
            events.push(format!("{event:?}"));
            told += 1;
        }
        if taken == 0 && told == 0 && !device.run_handshake_step(now_ms) {
            return events;
        }
    }
}

fn first(device: &mut DeviceSession) -> [u8; FIRST_LEN] {
    assert!(device.run_handshake_step(0));
    transmit(device, 64).try_into().unwrap()
}

/// A link whose handshake is over.
fn connected() -> (DeviceSession, ServerSession) {
    let mut device = device();
    let first = first(&mut device);
    let (answer, server) = ServerHandshake::read(&first, &server_keys()).unwrap().accept().unwrap();
    assert_eq!(deliver(&mut device, &answer, 0), ["Established"]);
    assert!(device.is_established());
    (device, server)
}

fn hello() -> DeviceMessage<'static> {
    DeviceMessage::Hello(Hello {
        hypervisor: "0.1.0",
        device_class: "mps2-an505",
        board_revision: 1,
        abi: 1,
        running: Some([7; 32]),
        boot_reason: BootReason::PowerOn,
        application: ApplicationState::Running,
        connect_count: 1,
        fault: None,
        epitaph: None,
        claim_token: None,
        on_trial: None,
        key_set_version: None,
        floors: None,
    })
}

fn log(sequence: u32, text: &str) -> DeviceMessage<'_> {
    let source = LogSource::Application;
    DeviceMessage::Log(Log { source, level: 2, uptime_us: 5, sequence, lost: 0, text })
}

fn welcome(keepalive_max_s: u32) -> ServerMessage<'static> {
    ServerMessage::Welcome(Welcome { wall_clock_us: 1_700_000_000_000_000, keepalive_max_s, log_level: 2 })
}

fn sealed(server: &mut ServerSession, messages: &[ServerMessage<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|message| server.seal(message, &mut out).unwrap());
    out
}

/// Frames of a byte stream, opened.
fn open(server: &mut ServerSession, mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    let mut plaintext = [0; PLAINTEXT_LEN_MAX];
    while let Some((prefix, rest)) = bytes.split_first_chunk() {
        let (ciphertext, rest) = rest.split_at(ServerSession::ciphertext_len(*prefix).unwrap());
        messages.push(format!("{:?}", server.open(ciphertext, &mut plaintext).unwrap()));
        bytes = rest;
    }
    messages
}

#[test]
fn two_implementations_of_noise_understand_each_other() {
    for piece in [1, 2, 63, 64, 1042, 5000] {
        let mut device = device();
        device.run_handshake_step(0);
        let first: [u8; FIRST_LEN] = transmit(&mut device, piece).try_into().unwrap();
        let handshake = ServerHandshake::read(&first, &server_keys()).unwrap();
        assert_eq!(handshake.device_public_key(), &public_key(&DEVICE));
        assert_eq!(handshake.device_id(), device_id(&public_key(&DEVICE)));
        let (answer, mut server) = handshake.accept().unwrap();
        assert!(!server.is_confirmed());
        // The answer and the first frames in one segment, cut anywhere.
        let mut segment = answer.to_vec();
        let chunk =
            Chunk { from: FetchFrom::Area, area: 1, offset: 2, bytes: (&[9; CHUNK_LEN_MAX][..]).into() };
        segment.extend(sealed(&mut server, &[welcome(0), ServerMessage::Chunk(chunk)]));
        let mut events = Vec::new();
        for part in segment.chunks(piece) {
            events.extend(deliver(&mut device, part, 0));
        }
        assert_eq!(events.len(), 3, "{events:?}");
        assert_eq!(events[0], "Established");
        assert!(events[1].starts_with("Message(Welcome("), "{}", events[1]);
        assert_eq!(events[2], format!("{:?}", Event::Message(ServerMessage::Chunk(chunk))));
        device.send(&hello()).unwrap();
        let text = "x".repeat(LOG_TEXT_LEN_MAX);
        device.send(&log(1, &text)).unwrap();
        let frames = transmit(&mut device, piece);
        let expected = [hello(), log(1, &text)].map(|m| format!("{:?}", Frame::Known(m)));
        assert_eq!(open(&mut server, &frames), expected);
        assert!(server.is_confirmed());
    }
}

#[test]
fn a_connect_costs_395_bytes_with_tcp_and_595_with_the_first_report() {
    let (mut device, mut server) = connected();
    device.send(&hello()).unwrap();
    let up = transmit(&mut device, 2000);
    let down = sealed(&mut server, &[welcome(0)]);
    open(&mut server, &up);
    assert_eq!((FIRST_LEN, ANSWER_LEN, up.len(), down.len()), (97, 50, 85, 35));
    // TCP over IPv4: SYN and SYN-ACK 44 each with the MSS option, 40 for each other segment. Acknowledgements ride
    // on the answers, but for the last one of each phase.
    let opened = 44 + 44 + 40;
    let handshake = opened + (40 + FIRST_LEN) + (40 + ANSWER_LEN) + 40;
    let connect = handshake + (40 + up.len()) + (40 + down.len());
    println!("connect: handshake {handshake}, with hello and welcome {connect} bytes over TCP/IPv4");
    assert_eq!((handshake, connect), (395, 595));
}

#[test]
fn a_keepalive_and_its_answer_cost_46_bytes() {
    let (mut device, mut server) = connected();
    device.handle_timeout(device.poll_timeout().unwrap());
    let ping = transmit(&mut device, 100);
    let pong = sealed(&mut server, &[ServerMessage::Pong(Ping { token: 1 })]);
    println!("keepalive: {} + {}", ping.len(), pong.len());
    assert_eq!((ping.len(), pong.len()), (23, 23));
}

#[test]
fn first_bytes_for_another_key_realm_or_version_are_refused() {
    let good = first(&mut device());
    let read = |first: &[u8; FIRST_LEN], keys: &ServerKeys| ServerHandshake::read(first, keys).map(|_| ());
    assert_eq!(read(&good, &server_keys()), Ok(()));
    let none = HandshakeError::Message;
    assert_eq!(read(&good, &ServerKeys { current: [0x44; 32], next: None, realm_id: REALM }), Err(none));
    assert_eq!(read(&good, &ServerKeys { realm_id: [0; 16], ..server_keys() }), Err(none));
    // The key that was current has become the next one, or the other way about.
    assert_eq!(read(&good, &ServerKeys { current: [1; 32], next: Some(SERVER), realm_id: REALM }), Ok(()));
    let mut newer = good;
    newer[0] = 2;
    assert_eq!(read(&newer, &server_keys()), Err(HandshakeError::Version(2)));
    // The first 32 bytes are the ephemeral key, whose top bit X25519 ignores but the hash does not.
    for bit in 8..good.len() * 8 {
        let mut changed = good;
        changed[bit / 8] ^= 1 << (bit % 8);
        if bit % 7 == 0 || bit < 300 {
            assert_eq!(read(&changed, &server_keys()), Err(none), "bit {bit}");
        }
    }
}

#[test]
fn a_changed_answer_ends_the_handshake() {
    let mut device = device();
    let first = first(&mut device);
    let (answer, _) = ServerHandshake::read(&first, &server_keys()).unwrap().accept().unwrap();
    for bit in (0..answer.len() * 8).step_by(5) {
        let mut device = self::device();
        device.run_handshake_step(0);
        transmit(&mut device, 100);
        let mut changed = answer;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(deliver(&mut device, &changed, 0), ["Closed(HandshakeFailed)"], "bit {bit}");
        assert_eq!(device.poll_timeout(), None);
    }
    assert_eq!(deliver(&mut device, &answer, 0), ["Established"]);
}

#[test]
fn a_refusal_reaches_the_device_with_its_reason() {
    for reason in [RefusalReason::Busy, RefusalReason::Revoked, RefusalReason::Other(900)] {
        for cut in 0..REFUSAL_LEN {
            let mut device = device();
            first(&mut device);
            let bytes = refusal(reason, 77);
            let (a, b) = bytes.split_at(cut);
            assert_eq!(deliver(&mut device, a, 0).len(), 0);
            let closed = Closed::Refused { reason, retry_in_s: 77 };
            assert_eq!(deliver(&mut device, b, 0), [format!("{:?}", Event::Closed(closed))]);
        }
    }
}

#[test]
fn changed_replayed_reordered_and_cut_frames_are_refused_by_the_device() {
    let forged = ["Closed(FrameForged)"];
    let (mut device, mut server) = connected();
    let frame = sealed(&mut server, &[welcome(0)]);
    assert_eq!(deliver(&mut device, &frame, 0).len(), 1);
    assert_eq!(deliver(&mut device, &frame, 0), forged, "a replay was accepted");
    assert_eq!(device.send(&hello()), Err(SendError::NotEstablished));
    assert_eq!(transmit(&mut device, 100), []);

    let (mut device, mut server) = connected();
    sealed(&mut server, &[welcome(0)]);
    assert_eq!(deliver(&mut device, &sealed(&mut server, &[welcome(0)]), 0), forged, "a gap was accepted");

    let len = sealed(&mut connected().1, &[welcome(0)]).len();
    for at in 2..len {
        let (mut device, mut server) = connected();
        let mut frame = sealed(&mut server, &[welcome(0)]);
        frame[at] ^= 0x10;
        assert_eq!(deliver(&mut device, &frame, 0), forged, "byte {at}");
        assert_eq!(deliver(&mut device, &frame, 0), [""; 0], "told twice");
    }
    let (mut device, mut server) = connected();
    let frame = sealed(&mut server, &[welcome(0)]);
    assert_eq!(deliver(&mut device, &frame[..len - 1], 0), [""; 0]);
    let another = [frame[len - 1] ^ 1];
    assert_eq!(deliver(&mut device, &another, 0), forged);
    for announced in [0_u16, 1, 17, 1041, 0xFFFF] {
        let (mut device, _) = connected();
        let closed = format!("Closed(FrameLength({announced}))");
        assert_eq!(deliver(&mut device, &announced.to_be_bytes(), 0), [closed]);
    }
}

#[test]
fn changed_replayed_and_cut_frames_are_refused_by_the_server() {
    let mut plaintext = [0; PLAINTEXT_LEN_MAX];
    let (mut device, mut server) = connected();
    device.send(&hello()).unwrap();
    let frame = transmit(&mut device, 2000);
    assert!(server.open(&frame[2..], &mut plaintext).is_ok());
    assert_eq!(server.open(&frame[2..], &mut plaintext), Err(SessionError::FrameForged));
    for at in 2..frame.len() {
        let (mut device, mut server) = connected();
        device.send(&hello()).unwrap();
        let mut frame = transmit(&mut device, 2000);
        frame[at] ^= 1;
        assert_eq!(server.open(&frame[2..], &mut plaintext), Err(SessionError::FrameForged), "byte {at}");
        assert!(!server.is_confirmed());
        frame[at] ^= 1;
        assert_eq!(server.open(&frame[2..at], &mut plaintext), Err(SessionError::FrameForged), "{at} bytes");
    }
    let long = [0; CIPHERTEXT_LEN_MAX + 1];
    assert_eq!(server.open(&long, &mut plaintext), Err(SessionError::FrameLength(1041)));
    for len in [0, 17, 1041, u16::MAX] {
        let refused = ServerSession::ciphertext_len(len.to_be_bytes());
        assert_eq!(refused, Err(SessionError::FrameLength(len)));
    }
}

#[test]
fn a_replayed_first_message_confirms_nothing() {
    let mut device = device();
    let first = first(&mut device);
    let (_, mut honest) = ServerHandshake::read(&first, &server_keys()).unwrap().accept().unwrap();
    let (answer, _) = ServerHandshake::read(&first, &server_keys()).unwrap().accept().unwrap();
    deliver(&mut device, &answer, 0);
    device.send(&hello()).unwrap();
    let frame = transmit(&mut device, 2000);
    let mut plaintext = [0; PLAINTEXT_LEN_MAX];
    assert_eq!(honest.open(&frame[2..], &mut plaintext), Err(SessionError::FrameForged));
    assert!(!honest.is_confirmed());
}

#[test]
fn control_overtakes_updates_and_updates_overtake_logs() {
    let (mut device, mut server) = connected();
    let mut logs = 0;
    while device.send(&log(logs, "a flood of words, again and again")).is_ok() {
        logs += 1;
    }
    assert!(logs > 20, "{logs}");
    assert_eq!(device.send(&log(0, "a flood of words, again and again")), Err(SendError::LaneFull));
    // One frame of the flood is half gone when something urgent comes.
    let mut out = [0; 30];
    assert_eq!(device.poll_transmit(&mut out), 30);
    let mut bytes = out.to_vec();
    let fetch = Fetch { manifest: [1; 32], from: FetchFrom::Envelope, area: 0, offset: 0, len: 8192 };
    device.send(&DeviceMessage::Fetch(fetch)).unwrap();
    device.send(&DeviceMessage::CommandDone(CommandDone { id: 5, accepted: true })).unwrap();
    bytes.extend(transmit(&mut device, 1042));
    let messages = open(&mut server, &bytes);
    assert_eq!(messages.len(), logs as usize + 2);
    assert!(messages[0].starts_with("Known(Log("));
    assert!(messages[1].starts_with("Known(CommandDone("), "{}", messages[1]);
    assert!(messages[2].starts_with("Known(Fetch("), "{}", messages[2]);
    assert!(messages[3].starts_with("Known(Log("));
    assert!(!device.wants_to_transmit());
    assert!(device.send(&log(0, "room again")).is_ok());
}

#[test]
fn what_a_debugger_is_told_overtakes_full_queues_of_updates_and_logs() {
    let (mut device, mut server) = connected();
    while device.send(&log(0, "a flood of words, again and again")).is_ok() {}
    let fetch = Fetch { manifest: [1; 32], from: FetchFrom::Envelope, area: 0, offset: 0, len: 8192 };
    while device.send(&DeviceMessage::Fetch(fetch)).is_ok() {}
    let stop = DebugFrame { session: 3, bytes: (&[5; 500][..]).into() };
    device.send(&DeviceMessage::DebugFrame(stop)).unwrap();
    assert!(!device.has_room_for_debug(), "one message at a time: its developer sets the pace");
    device.send(&DeviceMessage::CommandDone(CommandDone { id: 5, accepted: true })).unwrap();
    let bytes = transmit(&mut device, 1042);
    let messages = open(&mut server, &bytes);
    assert!(messages[0].starts_with("Known(CommandDone("), "{}", messages[0]);
    assert!(messages[1].starts_with("Known(DebugFrame("), "{}", messages[1]);
    assert!(messages[2].starts_with("Known(Fetch("), "{}", messages[2]);
    assert!(device.has_room_for_debug());
}

#[test]
fn the_largest_report_fits_the_control_lane() {
    let (mut device, mut server) = connected();
    let text = "e".repeat(REASON_LEN_MAX);
    let fault = Fault {
        kind: FaultKind::SecureAccess,
        program_counter: u32::MAX,
        address: Some(u32::MAX),
        count: u32::MAX,
        restart_in_s: Some(u32::MAX),
    };
    let DeviceMessage::Hello(hello) = hello() else { unreachable!() };
    let hello = Hello { fault: Some(fault), epitaph: Some(&text), claim_token: Some([1; 16]), ..hello };
    let state = State {
        application: ApplicationState::BackingOff,
        running: None,
        fault: Some(fault),
        reason: Some(&text),
        on_trial: None,
        key_set_version: None,
        key_set_refusal: None,
        floors: None,
    };
    device.send(&DeviceMessage::Hello(hello)).unwrap();
    device.send(&DeviceMessage::State(state.clone())).unwrap();
    device.send(&DeviceMessage::State(state)).unwrap();
    assert_eq!(open(&mut server, &transmit(&mut device, 4096)).len(), 3);
}

#[test]
fn a_silent_link_is_pinged_then_given_up() {
    let (mut device, mut server) = connected();
    let due = device.poll_timeout().unwrap();
    assert_eq!(due, 240_000);
    device.handle_timeout(due - 1);
    assert!(!device.wants_to_transmit());
    device.handle_timeout(due);
    let ping = transmit(&mut device, 100);
    assert_eq!(open(&mut server, &ping), ["Known(Ping(Ping { token: 1 }))"]);
    let pong = sealed(&mut server, &[ServerMessage::Pong(Ping { token: 1 })]);
    assert_eq!(deliver(&mut device, &pong, due + 900), [""; 0]);
    assert_eq!(device.keepalive().interval_ms(), 360_000, "an answer lets the interval grow");
    let due = device.poll_timeout().unwrap();
    assert_eq!(due, 240_900 + 360_000);
    device.handle_timeout(due);
    let end = device.poll_timeout().unwrap();
    assert_eq!(end, due + PING_TIMEOUT_MS);
    // A pong to an older ping is no answer.
    let stale = sealed(&mut server, &[ServerMessage::Pong(Ping { token: 1 })]);
    deliver(&mut device, &stale, due + 1);
    device.handle_timeout(end);
    assert_eq!(device.poll_event(end), Some(Event::Closed(Closed::Silent)));
    assert_eq!(device.poll_event(end), None);
    assert_eq!(device.poll_timeout(), None);
    assert!(device.keepalive().interval_ms() < 360_000);
}

#[test]
fn bytes_that_drip_in_do_not_keep_a_dead_link() {
    let (mut device, mut server) = connected();
    let frame = sealed(&mut server, &[welcome(0), welcome(0)]);
    let (first, second) = frame.split_at(frame.len() / 2);
    assert_eq!(deliver(&mut device, first, 1000).len(), 1);
    // The second frame stalls after one byte, and one more comes each second.
    let mut now_ms = 2000;
    for byte in second.iter().chain(&[0; 100]) {
        deliver(&mut device, &[*byte], now_ms);
        if device.poll_timeout().is_none() {
            break;
        }
        now_ms += 4000;
        device.handle_timeout(now_ms);
        if let Some(event) = device.poll_event(now_ms) {
            assert_eq!(event, Event::Closed(Closed::Silent));
            assert_eq!(now_ms, 2000 + FRAME_TIMEOUT_MS);
            return;
        }
    }
    panic!("a dripping link was kept");
}

#[test]
fn any_authentic_frame_answers_a_ping() {
    let (mut device, mut server) = connected();
    let due = device.poll_timeout().unwrap();
    device.handle_timeout(due);
    assert_eq!(device.poll_timeout(), Some(due + PING_TIMEOUT_MS));
    deliver(&mut device, &sealed(&mut server, &[welcome(0)]), due + 5);
    assert_eq!(device.poll_timeout(), Some(due + 5 + 240_000));
}

#[test]
fn the_server_is_answered_and_obeyed() {
    let (mut device, mut server) = connected();
    let bytes = sealed(&mut server, &[welcome(60), ServerMessage::Ping(Ping { token: 9 })]);
    assert_eq!(deliver(&mut device, &bytes, 0).len(), 1);
    assert_eq!(device.poll_timeout(), Some(60_000));
    assert_eq!(open(&mut server, &transmit(&mut device, 100)), ["Known(Pong(Ping { token: 9 }))"]);
    let bytes = sealed(&mut server, &[ServerMessage::GoAway(GoAway { reconnect_in_s: 5 })]);
    assert_eq!(deliver(&mut device, &bytes, 0), ["Closed(GoAway { reconnect_in_s: 5 })"]);
}

#[test]
fn a_handshake_that_nobody_answers_ends() {
    let mut device = device();
    assert_eq!(device.poll_timeout(), Some(HANDSHAKE_TIMEOUT_MS));
    first(&mut device);
    device.handle_timeout(HANDSHAKE_TIMEOUT_MS);
    assert_eq!(device.poll_event(0), Some(Event::Closed(Closed::HandshakeTimeout)));
    let mut device = self::device();
    let job = device.take_handshake_job().unwrap();
    device.connection_lost();
    device.finish_handshake_job(job.run(), 0);
    let lost = Closed::ConnectionLost { established: false };
    assert_eq!(device.poll_event(0), Some(Event::Closed(lost)));
    assert!(!device.wants_to_transmit());
}

#[test]
fn a_job_that_is_run_twice_gives_the_same_bytes() {
    let mut device = device();
    let job = device.take_handshake_job().unwrap();
    assert!(device.take_handshake_job().is_none());
    job.run();
    device.finish_handshake_job(job.run(), 0);
    assert_eq!(transmit(&mut device, 200), first(&mut self::device()));
}

#[test]
fn both_ends_change_keys_after_the_same_frame() {
    let (mut device, mut server) = connected();
    let mut plaintext = [0; PLAINTEXT_LEN_MAX];
    let mut out = [0; 64];
    let message = DeviceMessage::Pong(Ping { token: 0 });
    let pong = ServerMessage::Pong(Ping { token: 0 });
    let mut down = Vec::new();
    for n in 0..REKEY_FRAMES + 3 {
        device.send(&message).unwrap();
        let len = device.poll_transmit(&mut out);
        assert!(server.open(&out[2..len], &mut plaintext).is_ok(), "frame {n} up");
        down.clear();
        server.seal(&pong, &mut down).unwrap();
        assert_eq!(device.receive(&down, 0), down.len());
        assert_eq!(device.poll_event(0), None, "frame {n} down");
    }
}

#[test]
fn the_session_stays_within_its_memory() {
    let (session, job) = (size_of::<DeviceSession>(), size_of::<HandshakeJob>());
    println!("DeviceSession {session} bytes, HandshakeJob {job} bytes");
    // Six lanes, each with a queue of a frame or more, and a frame each way.
    assert!(session <= 10 * 1024, "{session}");
    assert!(job <= 2048, "{job}");
}

#[test]
fn golden_bytes_of_message_1_never_change() {
    let hex: String = first(&mut device()).iter().map(|b| format!("{b:02x}")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/first-1.hex");
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(hex, golden.split_whitespace().collect::<String>());
}
