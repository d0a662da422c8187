//! Claims about the bytes of the link's messages. Golden lines are never edited, only added.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bulkhead_keyed_cbor::{Decode as _, Encode as _, Reader, Writer};
use bulkhead_link_protocol::*;

const FAULT: Fault = Fault {
    kind: FaultKind::SecureAccess,
    program_counter: 0x8000_0124,
    address: Some(0x3800_0000),
    count: 3,
    restart_in_s: Some(4),
};

fn device_messages() -> Vec<(&'static str, DeviceMessage<'static>)> {
    use DeviceMessage as M;
    let least = Hello {
        hypervisor: "0.1.0",
        device_class: "mps2-an505",
        board_revision: 1,
        abi: 1,
        running: None,
        boot_reason: BootReason::PowerOn,
        application: ApplicationState::None,
        connect_count: 1,
        fault: None,
        epitaph: None,
        claim_token: None,
        on_trial: None,
        key_set_version: None,
        floors: None,
    };
    let full = Hello {
        running: Some([0xAB; 32]),
        boot_reason: BootReason::HypervisorFault,
        application: ApplicationState::BackingOff,
        connect_count: 70_000,
        fault: Some(FAULT),
        epitaph: Some("watchdog"),
        claim_token: Some([0xCD; 16]),
        ..least.clone()
    };
    let trial_hello =
        Hello { running: Some([0xAB; 32]), on_trial: Some(true), key_set_version: Some(2), ..least.clone() };
    let state = State {
        application: ApplicationState::BackingOff,
        running: Some([0xAB; 32]),
        fault: Some(FAULT),
        reason: Some("touched secure memory"),
        on_trial: None,
        key_set_version: None,
        key_set_refusal: None,
        floors: None,
    };
    let floors = Some(Floors { sequence: 1_700_000_000, security_counter: 3, permits: 1 });
    let owned_hello = Hello { key_set_version: Some(2), floors, ..least.clone() };
    let owned_state = State {
        application: ApplicationState::Running,
        running: None,
        fault: None,
        reason: None,
        key_set_version: Some(2),
        key_set_refusal: Some("the key set is too long"),
        floors,
        ..state.clone()
    };
    let progress = Progress {
        manifest: [0xAB; 32],
        stage: UpdateStage::Refused,
        pages_done: 0,
        pages_total: 300,
        reason: Some("the signature is wrong"),
        code: None,
        mode: None,
        bytes_received: None,
        downtime_ms: None,
        page_erases: None,
        wanted_back: None,
        apply_in_s: None,
        trial: None,
    };
    let trial = Progress {
        stage: UpdateStage::Trial,
        pages_done: 300,
        reason: Some("the application confirmed"),
        code: Some(ReasonCode::Unconfirmed),
        mode: Some(StagingMode::Redo),
        bytes_received: Some(5_000_000_000),
        downtime_ms: Some(4_200),
        page_erases: Some(100_000),
        wanted_back: Some([0xEF; 32]),
        ..progress
    };
    let postponed = Progress { apply_in_s: Some(3_600), downtime_ms: Some(350), ..progress };
    let tried = TrialState { starts: 2, starts_max: 3, healthy: true };
    let wear = Wear {
        application: 70_000,
        applies: 900,
        journal: 5_000,
        journal_pages: 4,
        manifests: 1_000,
        staging: u32::MAX,
        owned: 7,
        crashes: None,
        configuration: None,
    };
    let wear_of_all = Wear { crashes: Some(160), configuration: Some(u32::MAX), ..wear };
    let request = PlanRequest {
        manifest: [0xAB; 32],
        base: Some([0xEF; 32]),
        staging_len: 8 << 20,
        sector_len: 4096,
        patch_version: 1,
    };
    vec![
        ("hello-least", M::Hello(least)),
        ("hello-full", M::Hello(full)),
        ("state", M::State(state.clone())),
        ("ping", M::Ping(Ping { token: 7 })),
        ("pong", M::Pong(Ping { token: u32::MAX })),
        ("command-done", M::CommandDone(CommandDone { id: 5, accepted: true })),
        (
            "fetch",
            M::Fetch(Fetch {
                manifest: [0xAB; 32],
                from: FetchFrom::Area,
                area: 1,
                offset: 65536,
                len: 8192,
            }),
        ),
        ("progress", M::Progress(progress)),
        (
            "log",
            M::Log(Log {
                source: LogSource::Application,
                level: 2,
                uptime_us: 5_000_000_000,
                sequence: 9,
                lost: 1,
                text: "hello, world",
            }),
        ),
        ("hello-trial", M::Hello(trial_hello)),
        ("state-trial", M::State(State { on_trial: Some(true), reason: None, ..state })),
        ("progress-trial", M::Progress(trial)),
        ("hello-owned", M::Hello(owned_hello)),
        ("state-owned", M::State(owned_state)),
        (
            "fetch-key-set",
            M::Fetch(Fetch { manifest: [0; 32], from: FetchFrom::KeySet, area: 0, offset: 0, len: 300 }),
        ),
        (
            "fetch-permit",
            M::Fetch(Fetch { manifest: [0xAB; 32], from: FetchFrom::Permit, area: 0, offset: 0, len: 140 }),
        ),
        ("plan-request", M::PlanRequest(request)),
        ("progress-postponed", M::Progress(Progress { stage: UpdateStage::Ready, ..postponed })),
        ("progress-tried", M::Progress(Progress { trial: Some(tried), ..progress })),
        ("wear", M::Wear(wear)),
        ("wear-of-all", M::Wear(wear_of_all)),
        ("debug-frame", M::DebugFrame(debug_frame())),
        ("message-up", M::Message(message_up(&[0xEE; 3]))),
        ("message-window", M::MessageWindow(MessageWindow { bytes: 2048, messages: 16 })),
        ("message-finished", M::MessageFinished(MessageFinished { number: 7, end: MessageEnd::Refused })),
        ("config-fetch", M::ConfigFetch(ConfigFetch { revision: 1_700_000_000, index: 2, have: 0 })),
        ("config-state", M::ConfigState(config_state())),
        (
            "config-refused",
            M::ConfigState(ConfigState {
                refused: Some(1_700_000_001),
                reason: Some(ConfigRefused::TooMany),
                ..config_state()
            }),
        ),
        ("debug-closed", M::DebugClosed(DebugClosed { session: 9, end: DebugEnd::OtherKey })),
        ("crash-offer", M::CrashOffer(CrashOffer { crash: [0xAB; 16], len: 8192 })),
        ("crash-piece", M::CrashPiece(crash_piece(&[1, 2, 3]))),
        ("plan-request-first", M::PlanRequest(PlanRequest { base: None, patch_version: 0, ..request })),
    ]
}

fn server_messages() -> Vec<(&'static str, ServerMessage<'static>)> {
    use ServerMessage as M;
    let patches = PatchOffers::new(&[PatchOffer { area: 1, len: 712 }, PatchOffer { area: 2, len: 70_000 }]);
    let plan = Plan {
        manifest: [0xAB; 32],
        base: Some([0xEF; 32]),
        mode: StagingMode::RedoAndUndo,
        patches: patches.unwrap(),
        needed_len: 1 << 20,
    };
    let chunk = Chunk { from: FetchFrom::Area, area: 1, offset: 65536, bytes: (&[1, 2, 3][..]).into() };
    vec![
        (
            "welcome",
            M::Welcome(Welcome { wall_clock_us: 1_700_000_000_000_000, keepalive_max_s: 600, log_level: 2 }),
        ),
        ("server-ping", M::Ping(Ping { token: 7 })),
        ("server-pong", M::Pong(Ping { token: 7 })),
        ("go-away", M::GoAway(GoAway { reconnect_in_s: 30 })),
        ("command", M::Command(Command { id: 5, kind: CommandKind::ApplyNow })),
        (
            "offer",
            M::Offer(Offer { manifest: [0xAB; 32], envelope_len: 1234, forced: false, permit_len: None }),
        ),
        ("chunk", M::Chunk(chunk)),
        ("unavailable", M::Unavailable(Unavailable { manifest: [0xAB; 32] })),
        ("acknowledge", M::Acknowledge(Acknowledge { manifest: [0xAB; 32] })),
        (
            "offer-permit",
            M::Offer(Offer { manifest: [0xAB; 32], envelope_len: 9, forced: true, permit_len: Some(200) }),
        ),
        ("plan", M::Plan(plan)),
        (
            "plan-refused",
            M::Plan(Plan { base: None, mode: StagingMode::Refused, patches: PatchOffers::default(), ..plan }),
        ),
        ("debug-open", M::DebugOpen(debug_frame())),
        (
            "message-down",
            M::Message(MessageDown { number: 7, topic: 300, bytes: (&[0xEE_u8; 3][..]).into() }),
        ),
        ("message-stored", M::MessageStored(MessageStored { run: 70_000, number: 3 })),
        ("config-offer", M::ConfigOffer(ConfigOffer { revision: 1_700_000_000, entries: 3 })),
        ("config-entry", M::ConfigEntry(config_entry(Some((&[0xEE_u8; 3][..]).into())))),
        ("config-entry-unchanged", M::ConfigEntry(config_entry(None))),
        ("server-debug-frame", M::DebugFrame(debug_frame())),
        ("debug-close", M::DebugClose(DebugClose { session: 9 })),
        ("command-crash", M::Command(Command { id: 5, kind: CommandKind::TakeCrash })),
        ("crash-wanted", M::CrashWanted(CrashWanted { crash: [0xAB; 16], offset: 960 })),
        ("crash-done", M::CrashDone(CrashDone { crash: [0xAB; 16], kept: true })),
        ("key-set-offer", M::KeySetOffer(KeySetOffer { version: 2, len: 300 })),
    ]
}

fn debug_frame() -> DebugFrame<'static> {
    DebugFrame { session: 9, bytes: (&[0xEE_u8; 3][..]).into() }
}

fn crash_piece(bytes: &[u8]) -> CrashPiece<'_> {
    CrashPiece { crash: [0xAB; 16], offset: 960, bytes: bytes.into() }
}

fn message_up(bytes: &[u8]) -> MessageUp<'_> {
    MessageUp { run: 70_000, number: 3, topic: 1, age_s: 90, bytes: bytes.into() }
}

fn config_state() -> ConfigState {
    ConfigState { revision: 1_700_000_000, entries: 3, refused: None, reason: None }
}

fn config_entry(value: Option<&'static minicbor::bytes::ByteSlice>) -> ConfigEntry<'static> {
    ConfigEntry { revision: 1_700_000_000, index: 2, key: "wifi/key", version: 9, secret: true, value }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn encoded<'b, M: Wire<'b>>(message: &M) -> Vec<u8> {
    let mut out = [0; PLAINTEXT_LEN_MAX];
    let len = encode(message, &mut out).unwrap();
    out[..len].to_vec()
}

#[test]
fn golden_bytes_of_every_message_never_change() {
    let device = device_messages().into_iter().map(|(name, m)| format!("{name} {}", hex(&encoded(&m))));
    let server = server_messages().into_iter().map(|(name, m)| format!("{name} {}", hex(&encoded(&m))));
    let lines: Vec<_> = device.chain(server).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/messages-1.txt");
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    for line in golden.lines() {
        assert!(lines.iter().any(|now| now == line), "changed or gone: {line}");
    }
    let is_new = |line: &&String| !golden.lines().any(|then| then == *line);
    let new: Vec<_> = lines.iter().filter(is_new).map(String::as_str).collect();
    assert!(new.is_empty(), "append to the golden file:\n{}", new.join("\n"));
}

#[test]
fn every_message_comes_back_as_it_was_sent() {
    for (name, message) in device_messages() {
        let bytes = encoded(&message);
        assert_eq!(decode(&bytes), Ok(Frame::Known(message)), "{name}");
    }
    for (name, message) in server_messages() {
        let bytes = encoded(&message);
        assert_eq!(decode(&bytes), Ok(Frame::Known(message)), "{name}");
    }
}

#[test]
fn keys_kinds_and_lanes_of_later_versions_are_skipped() {
    // Ping with a key 9 that holds a nested array.
    let later = [0x00, 0x03, 0xA2, 0x00, 0x07, 0x09, 0x82, 0x01, 0x61, b'x'];
    assert_eq!(decode(&later), Ok(Frame::Known(DeviceMessage::Ping(Ping { token: 7 }))));
    for (lane, kind) in [(0, 0x7F), (6, 0x01), (0xFF, 0xFF)] {
        assert_eq!(decode::<DeviceMessage<'_>>(&[lane, kind, 0xA0]), Ok(Frame::Unknown { lane, kind }));
        assert_eq!(decode::<ServerMessage<'_>>(&[lane, kind]), Ok(Frame::Unknown { lane, kind }));
    }
}

#[test]
fn cut_messages_are_refused_and_named() {
    for (name, message) in device_messages() {
        let bytes = encoded(&message);
        for len in 0..bytes.len() {
            let refused = decode::<DeviceMessage<'_>>(&bytes[..len]).unwrap_err();
            let (lane, kind) = (bytes[0], bytes[1]);
            let expected = if len < 2 { FrameError::Length(len) } else { FrameError::Body { lane, kind } };
            assert_eq!(refused, expected, "{name}, {len} bytes");
        }
    }
    let long = [0; PLAINTEXT_LEN_MAX + 1];
    assert_eq!(decode::<DeviceMessage<'_>>(&long), Err(FrameError::Length(1025)));
}

#[test]
fn a_message_that_does_not_fit_is_not_written() {
    let text = "x".repeat(PLAINTEXT_LEN_MAX);
    let log = |text| {
        let source = LogSource::Application;
        DeviceMessage::Log(Log { source, level: 0, uptime_us: 0, sequence: 0, lost: 0, text })
    };
    let mut out = [0; 2 * PLAINTEXT_LEN_MAX];
    assert_eq!(encode(&log(&text), &mut out), Err(FrameError::DoesNotFit));
    assert!(encode(&log(&text[..LOG_TEXT_LEN_MAX]), &mut out).is_ok());
    let bytes = encoded(&log("abc"));
    for len in 0..bytes.len() {
        assert_eq!(encode(&log("abc"), &mut out[..len]), Err(FrameError::DoesNotFit));
    }
}

#[test]
fn the_largest_chunk_fits_a_frame() {
    let bytes = [0xEE; CHUNK_LEN_MAX];
    let chunk =
        Chunk { from: FetchFrom::Envelope, area: u32::MAX, offset: u32::MAX, bytes: (&bytes[..]).into() };
    assert!(encoded(&ServerMessage::Chunk(chunk)).len() <= PLAINTEXT_LEN_MAX);
}

#[test]
fn the_largest_message_and_entry_fit_a_frame() {
    let bytes = [0xEE; MESSAGE_LEN_MAX];
    let most = u32::MAX;
    let up = MessageUp { run: most, number: most, topic: most, age_s: most, bytes: (&bytes[..]).into() };
    assert!(encoded(&DeviceMessage::Message(up)).len() <= PLAINTEXT_LEN_MAX);
    let down = MessageDown { number: most, topic: most, bytes: (&bytes[..]).into() };
    assert!(encoded(&ServerMessage::Message(down)).len() <= PLAINTEXT_LEN_MAX);
    let (key, value) = ("k".repeat(CONFIG_KEY_LEN_MAX), [0xEE_u8; CONFIG_VALUE_LEN_MAX]);
    let value = Some((&value[..]).into());
    let entry = ConfigEntry { revision: most, index: most, key: &key, version: most, secret: true, value };
    assert!(encoded(&ServerMessage::ConfigEntry(entry)).len() <= PLAINTEXT_LEN_MAX);
}

#[test]
fn the_largest_piece_of_a_debug_session_fits_a_frame() {
    let bytes = [0xEE; DEBUG_BYTES_MAX];
    let frame = DebugFrame { session: u32::MAX, bytes: (&bytes[..]).into() };
    assert!(encoded(&DeviceMessage::DebugFrame(frame)).len() <= PLAINTEXT_LEN_MAX);
}

#[test]
fn the_largest_piece_of_a_crash_dump_fits_a_frame() {
    let bytes = [0xEE; CRASH_PIECE_LEN_MAX];
    let piece = CrashPiece { offset: u32::MAX, ..crash_piece(&bytes) };
    assert!(encoded(&DeviceMessage::CrashPiece(piece)).len() <= PLAINTEXT_LEN_MAX);
}

#[test]
fn reason_code_of_a_later_version_is_unknown() {
    let later = [0xA1, 0x00, 0x19, 0xFF, 0xFF];
    let code = |bytes: &[u8]| ReasonCode::decode(&mut Reader::new(bytes));
    assert_eq!(code(&later[2..]), Some(ReasonCode::Unknown));
    for (number, wanted) in ReasonCode::ALL.iter().enumerate() {
        let mut bytes = [0; 3];
        wanted.encode(&mut Writer::new(&mut bytes));
        assert_eq!(minicbor::decode::<usize>(&bytes).unwrap(), number, "{wanted:?}");
        assert_eq!(code(&bytes), Some(*wanted));
    }
}

#[test]
fn plan_with_too_many_or_empty_patches_is_refused() {
    let nine = [PatchOffer { area: 1, len: 1 }; PATCHES_MAX + 1];
    assert_eq!(PatchOffers::new(&nine), None);
    for bytes in [&[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0x81, 0x82, 0x01, 0x00], &[0x81, 0x81, 0x01]] {
        assert_eq!(PatchOffers::decode(&mut Reader::new(bytes)), None, "{bytes:02x?}");
    }
}
