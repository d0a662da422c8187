//! Bytes of every operation, answer and event. Golden files are never edited, only added.
#![expect(clippy::indexing_slicing, reason = "a test may fail")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::fmt::Write as _;

use bulkhead_debug_protocol::*;
use minicbor::bytes::ByteSlice;

const GOLDEN: &str = include_str!("golden/messages-1.txt");
/// What came later.
const GOLDEN_2: &str = include_str!("golden/messages-2.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn request(operation: Operation<'_>) -> String {
    let mut out = [0; MESSAGE_LEN_MAX];
    let mut writer = Writer::request(&mut out, 7).unwrap();
    assert!(writer.push(&operation));
    let len = writer.finish(MoreFollows::No);
    let mut read = parse_request(&out[..len]).unwrap();
    assert_eq!(read.sequence, 7);
    assert_eq!(read.operations.next_pair(), Ok(Some(Some(operation))));
    assert_eq!(read.operations.next_pair::<Operation<'_>>(), Ok(None));
    hex(&out[..len])
}

fn reply(answer: Answer<'_>) -> String {
    let mut out = [0; MESSAGE_LEN_MAX];
    let mut writer = Writer::reply(&mut out, 300).unwrap();
    assert!(writer.push(&answer));
    let len = writer.finish(MoreFollows::Yes);
    let mut read = parse_reply(&out[..len]).unwrap();
    assert!(read.more && read.sequence == 300);
    assert_eq!(read.answers.next_pair(), Ok(Some(Some(answer))));
    hex(&out[..len])
}

fn event(event: Event<'_>) -> String {
    let mut out = [0; MESSAGE_LEN_MAX];
    let len = encode_event(&mut out, &event).unwrap();
    assert_eq!(parse_event(&out[..len]), Ok(Some(event)));
    hex(&out[..len])
}

fn stopped() -> Stopped<'static> {
    let mut core = Core::default();
    core.0.iter_mut().zip(1..).for_each(|(word, n)| *word = n);
    Stopped {
        reason: StopReason::Watched,
        core,
        system: System::default(),
        float: Some(Float::default()),
        stack_address: 0x2000_0000,
        stack: b"stack",
        watch: Some(Watch { address: 0x2000_0004, len: 4, kind: WatchKind::Access }),
        faults: Some(Faults { cfsr: 1, hfsr: 2, sfsr: 3, mmfar: 4, bfar: 5 }),
        time_us: 1 << 40,
    }
}

fn messages() -> Vec<(&'static str, String)> {
    let watch = Watch { address: 0x2000_0000, len: 4, kind: WatchKind::Write };
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    let range = Resume {
        run: Run::Range,
        low: Some(0x1000),
        high: Some(0x1010),
        steps_max: Some(9),
        interrupts: Some(true),
    };
    let probe =
        SetProbe { address: 0x1000, action: Action::Stop, condition: None, command: None, actions_max: None };
    let full = SetProbe {
        action: Action::Log,
        condition: Some(<&ByteSlice>::from(&[0x22_u8, 1, 0x27][..])),
        command: Some(<&ByteSlice>::from(&[0x27_u8][..])),
        actions_max: Some(5),
        ..probe
    };
    let welcome = Welcome {
        version: 1,
        halted: true,
        probes_max: 32,
        watches_max: 4,
        manifest: &[0xAA; 32],
        build: b"0.1.0",
    };
    let region = Region { address: 0x2000_0000, len: 0x1_0000, kind: RegionKind::Ram };
    let registers = Registers { core: Core::default(), system: System::default(), float: None };
    vec![
        ("hello", request(Operation::Hello(Hello { version: PROTOCOL_VERSION }))),
        ("halt", request(Operation::Halt(Nothing {}))),
        ("continue", request(Operation::Resume(resume))),
        ("range", request(Operation::Resume(range))),
        ("read", request(Operation::ReadMemory(ReadMemory { address: 0x1000, len: 64, width: Some(4) }))),
        (
            "write",
            request(Operation::WriteMemory(WriteMemory { address: 0x1000, bytes: b"ab", width: None })),
        ),
        ("read registers", request(Operation::ReadRegisters(Nothing {}))),
        ("write register", request(Operation::WriteRegister(WriteRegister { register: 15, value: 256 }))),
        ("crc", request(Operation::Crc(Crc { address: 0x1000, len: 0x8000 }))),
        ("breakpoint", request(Operation::SetProbe(probe))),
        ("logpoint", request(Operation::SetProbe(full))),
        ("clear probe", request(Operation::ClearProbe(At { address: 0x1000 }))),
        ("set watch", request(Operation::SetWatch(watch))),
        ("clear watch", request(Operation::ClearWatch(watch))),
        ("reset", request(Operation::Reset(Reset { halt: true }))),
        ("detach", request(Operation::Detach(Nothing {}))),
        ("refused", reply(Answer::Refused(Refused { index: 2, reason: RefusalReason::Forbidden }))),
        ("welcome", reply(Answer::Welcome(welcome))),
        ("region", reply(Answer::Region(region))),
        ("done", reply(Answer::Done(Nothing {}))),
        ("memory", reply(Answer::Memory(Memory { address: 0x1000, bytes: b"abcd" }))),
        ("registers", reply(Answer::Registers(registers))),
        ("checksum", reply(Answer::Checksum(Checksum { crc: 0xFFFF_FFFF }))),
        ("stopped", event(Event::Stopped(stopped()))),
        ("log", event(Event::Log(Log { address: 0x1000, text: b"x=1\n", lost: 0 }))),
        ("console", event(Event::Console(Console { text: b"hi" }))),
        ("application reset", event(Event::ApplicationReset(ApplicationReset { manifest: &[1; 32] }))),
        ("snapshot", event(Event::Snapshot(stopped()))),
    ]
}

fn messages_2() -> Vec<(&'static str, String)> {
    let watching = |keeping| reply(Answer::Watching(Watching { keeping }));
    vec![
        ("alive", request(Operation::Alive(Nothing {}))),
        ("watching guarded", watching(Keeping::Guarded)),
        ("watching stepped", watching(Keeping::Stepped)),
        ("not allowed", reply(Answer::Refused(Refused { index: 2, reason: RefusalReason::NotAllowed }))),
    ]
}

#[test]
fn a_run_through_a_function_has_its_golden_bytes() {
    let through =
        Through { place: 0x1006, stack_pointer: 0x2000_0100, low: 0x1000, high: 0x1010, steps_max: Some(9) };
    let (order, told) = (request(Operation::Through(through)), event(Event::Passed(stopped())));
    let kept = reply(Answer::Kept(Kept { stops: 3 }));
    let forget = request(Operation::Forget(Nothing {}));
    let now = format!("through: {order}\npassed: {told}\nkept: {kept}\nforget: {forget}\n");
    assert_eq!(now, include_str!("golden/messages-3.txt"), "\n{now}");
}

#[test]
fn memory_along_with_a_stop_has_its_golden_bytes() {
    let order = request(Operation::Along(Along { address: 0x2000_0400, len: 64 }));
    let told = event(Event::Seen(Memory { address: 0x2000_0400, bytes: b"abcd" }));
    let now = format!("along: {order}\nseen: {told}\n");
    assert_eq!(now, include_str!("golden/messages-4.txt"), "\n{now}");
}

#[test]
fn every_message_has_its_golden_bytes() {
    for (messages, golden) in [(messages(), GOLDEN), (messages_2(), GOLDEN_2)] {
        let now = messages.iter().fold(String::new(), |mut text, (name, bytes)| {
            writeln!(text, "{name}: {bytes}").unwrap();
            text
        });
        assert_eq!(now, golden, "\n{now}");
    }
}

#[test]
fn unknown_numbers_and_keys_are_skipped() {
    // Request 7: number 99 with {5: [1, 2]}, then `hello` with an unknown key 9.
    let bytes = [1, 7, 24, 99, 0xA1, 5, 0x82, 1, 2, 1, 0xA2, 0, 1, 9, 0x61, b'x'];
    let mut request = parse_request(&bytes).unwrap();
    assert_eq!(request.operations.next_pair::<Operation<'_>>(), Ok(Some(None)));
    assert_eq!(request.operations.next_pair(), Ok(Some(Some(Operation::Hello(Hello { version: 1 })))));
}

#[test]
fn a_full_stop_event_fits_a_message() {
    let mut out = [0; MESSAGE_LEN_MAX];
    let mut event = stopped();
    event.core.0.fill(u32::MAX);
    event.stack = &[0xFF; STACK_LEN_MAX];
    event.time_us = u64::MAX;
    event.faults = Some(Faults { cfsr: !0, hfsr: !0, sfsr: !0, mmfar: !0, bfar: !0 });
    let len = encode_event(&mut out, &Event::Snapshot(event)).unwrap();
    assert!(len <= 700, "{len}");
}

#[test]
fn a_piece_of_memory_fits_a_message() {
    let mut out = [0; MESSAGE_LEN_MAX];
    let mut writer = Writer::reply(&mut out, u32::MAX).unwrap();
    assert!(writer.push(&Answer::Memory(Memory { address: !0, bytes: &[0xFF; MEMORY_PIECE_LEN_MAX] })));
    assert!(!writer.push(&Answer::Memory(Memory { address: !0, bytes: &[0xFF; MEMORY_PIECE_LEN_MAX] })));
    let len = writer.finish(MoreFollows::No);
    assert!(parse_reply(&out[..len]).unwrap().answers.next_pair::<Answer<'_>>().unwrap().is_some());
}

#[test]
fn damaged_messages_are_refused_and_never_panic() {
    for (_, text) in messages() {
        let whole: Vec<u8> =
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                fuzz_message(&bytes);
                fuzz_message(&bytes[..at]);
            }
        }
    }
}
