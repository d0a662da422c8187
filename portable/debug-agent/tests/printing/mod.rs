//! Claims about probes that print and take pictures.

use bulkhead_debug_agent::{ACTIONS_PER_SECOND_MAX, Text, command};
use bulkhead_debug_protocol::*;
use minicbor::bytes::ByteSlice;

use crate::simulated::{CODE, RAM, Simulated};
use crate::{Bench, LOOP, probe, r0_is};

/// What GDB makes of `printf format,arguments`: the last argument first, then channel and function, then the format.
pub(crate) fn printf(format: &str, arguments: &[&[u8]]) -> Vec<u8> {
    let mut code: Vec<u8> = arguments.iter().rev().flat_map(|argument| argument.iter().copied()).collect();
    let len = u16::try_from(format.len() + 1).unwrap().to_be_bytes();
    code.extend([0x22, 0, 0x22, 0, 0x34, u8::try_from(arguments.len()).unwrap(), len[0], len[1]]);
    code.extend(format.bytes());
    code.extend([0, 0x27]);
    code
}

fn long(value: i64) -> Vec<u8> {
    [&[0x25][..], &value.to_be_bytes()].concat()
}

fn printed(format: &str, arguments: &[i64]) -> Result<String, String> {
    let mut target = Simulated::new(LOOP);
    target.ram[..6].copy_from_slice(b"hello\0");
    let pushed: Vec<Vec<u8>> = arguments.iter().copied().map(long).collect();
    let pushed: Vec<&[u8]> = pushed.iter().map(Vec::as_slice).collect();
    let mut text = Text::default();
    let registers = target.registers;
    let done = command(&printf(format, &pushed), &registers, &mut target, &mut text);
    let text = String::from_utf8_lossy(text.as_bytes()).into_owned();
    if done.is_ok() { Ok(text) } else { Err(text) }
}

#[test]
fn formats_print_what_c_prints() {
    let ram = i64::from(RAM);
    let cases: &[(&str, &[i64], &str)] = &[
        ("plain", &[], "plain"),
        ("%d %i %u", &[-1, 7, -1], "-1 7 4294967295"),
        ("%x %X %o %#x %#o", &[255, 255, 8, 255, 8], "ff FF 10 0xff 010"),
        ("[%5d|%-5d|%05d|%+d|% d]", &[42, 42, -42, 42, 42], "[   42|42   |-0042|+42| 42]"),
        ("[%.3d|%8.3x]", &[7, 10], "[007|     00a]"),
        ("%lld %llx %ld", &[1 << 40, 1 << 40, (1 << 40) | 5], "1099511627776 10000000000 5"),
        ("%hhd %zu", &[5, 6], "5 6"),
        ("%c%c%%", &[0x41, 0x42], "AB%"),
        ("%p", &[ram], "0x20000000"),
        ("[%s|%.2s|%7s|%-7s]", &[ram, ram, ram, ram], "[hello|he|  hello|hello  ]"),
        ("%d", &[0], "0"),
        ("%lld", &[i64::MIN], "-9223372036854775808"),
        ("a\\tb\\n\\x\\\\\\101\\\"", &[], "a\tb\nx\\A\""),
    ];
    for (format, arguments, wanted) in cases {
        assert_eq!(printed(format, arguments), Ok((*wanted).to_owned()), "{format}");
    }
}

#[test]
fn what_cannot_be_printed_is_an_error_and_everything_ends() {
    for (format, arguments) in [
        ("%d", &[][..]),
        ("%f", &[1]),
        ("%", &[1]),
        ("%s", &[4]),
        ("%s", &[-1]),
        ("%n", &[i64::from(RAM)]),
        ("\\", &[]),
    ] {
        assert!(printed(format, arguments).is_err(), "{format}");
    }
    assert_eq!(printed("%999999999999999999999d", &[1]).unwrap().len(), LOG_LEN_MAX);
    assert_eq!(printed(&"x".repeat(400), &[]).unwrap().len(), LOG_LEN_MAX);
    let mut target = Simulated::new(LOOP);
    let registers = target.registers;
    for code in
        [&[0x34][..], &[0x34, 200, 0, 1, 0], &[0x34, 0, 0xFF, 0xFF, 0], &[0x34, 0, 0, 2, b'x', b'x', 0x27]]
    {
        let mut text = Text::default();
        assert!(command(code, &registers, &mut target, &mut text).is_err(), "{code:02x?}");
        assert!(
            bulkhead_debug_agent::evaluate(code, &registers, &mut target).is_err(),
            "a condition prints nothing"
        );
    }
}

pub(crate) fn set<'a>(
    address: u32,
    action: Action,
    condition: Option<&'a [u8]>,
    command: Option<&'a [u8]>,
    actions_max: Option<u32>,
) -> Operation<'a> {
    let condition = condition.map(<&ByteSlice>::from);
    let command = command.map(<&ByteSlice>::from);
    Operation::SetProbe(SetProbe { address, action, condition, command, actions_max })
}

/// Texts of all records, and how many were lost.
pub(crate) fn records(bench: &mut Bench) -> (Vec<String>, u32) {
    let mut lost = 0;
    let mut texts = Vec::new();
    for message in &bench.heard {
        if let Ok(Some(Event::Log(log))) = parse_event(message) {
            texts.push(String::from_utf8_lossy(log.text).into_owned());
            lost += log.lost;
        }
    }
    (texts, lost)
}

#[test]
fn a_logpoint_prints_each_time_and_never_stops_the_application() {
    let mut bench = Bench::at_start(LOOP);
    let code = printf("r0=%d\\n", &[&[0x26, 0, 0]]);
    bench.ask(&[set(CODE + 0x0C, Action::Log, None, Some(&code), None), probe(CODE + 0x0A)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0A));
    assert_eq!(records(&mut bench), (vec!["r0=3\n".into(), "r0=2\n".into(), "r0=1\n".into()], 0));
    let free = crate::trace_of(LOOP, bench.target.trace.len());
    assert_eq!(bench.target.trace, free, "it went the way that it goes without a debugger");
}

#[test]
fn conditions_and_counts_bound_a_logpoint() {
    let cases = [(Some(r0_is(2)), None, vec!["2"]), (None, Some(2), vec!["3", "2"])];
    for (condition, actions_max, wanted) in cases {
        let mut bench = Bench::at_start(LOOP);
        let code = printf("%d", &[&[0x26, 0, 0]]);
        bench.ask(&[
            set(CODE + 0x0C, Action::Log, condition.as_deref(), Some(&code), actions_max),
            probe(CODE + 0x0A),
        ]);
        bench.resume(Run::Continue);
        assert_eq!(records(&mut bench).0, wanted);
    }
}

#[test]
fn a_step_onto_a_logpoint_prints_once_and_a_step_off_it_does_not() {
    let mut bench = Bench::at_start(LOOP);
    let code = printf("x", &[]);
    bench.ask(&[set(CODE + 0x02, Action::Log, None, Some(&code), None)]);
    bench.resume(Run::Step);
    bench.resume(Run::Step);
    assert_eq!(records(&mut bench).0, ["x"]);
}

#[test]
fn what_cannot_be_evaluated_says_so_and_goes_on() {
    let mut bench = Bench::at_start(LOOP);
    let code = printf("v=%s", &[&[0x22, 4]]);
    bench.ask(&[set(CODE + 0x0C, Action::Log, None, Some(&code), Some(1)), probe(CODE + 0x0A)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0A));
    assert_eq!(records(&mut bench).0, ["v= (cannot be evaluated)\n"]);
}

#[test]
fn one_that_prints_too_much_is_silenced_until_the_second_is_over() {
    // b .
    let mut bench = Bench::at_start(&[0x3001, 0xE7FD]);
    let code = printf("x", &[]);
    bench.ask(&[set(CODE, Action::Log, None, Some(&code), None)]);
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    bench.ask(&[Operation::Resume(resume)]);
    bench.turn(400);
    let most = usize::try_from(ACTIONS_PER_SECOND_MAX).unwrap();
    assert_eq!(records(&mut bench).0.len(), most);
    assert_eq!(bench.target.code[..2], [0x01, 0x30], "it runs at its own speed");
    bench.target.now_us += 1_000_000;
    bench.agent.tick(&mut bench.target);
    bench.turn(2);
    let (texts, lost) = records(&mut bench);
    assert!(texts.len() > most && lost >= 1, "{} {lost}", texts.len());
}

#[test]
fn a_picture_is_taken_and_the_application_goes_on() {
    let mut bench = Bench::at_start(LOOP);
    bench.ask(&[set(CODE + 0x0C, Action::Snapshot, Some(&r0_is(2)), None, Some(1)), probe(CODE + 0x0A)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0A));
    let pictures: Vec<_> = bench
        .heard
        .iter()
        .filter_map(|message| match parse_event(message) {
            Ok(Some(Event::Snapshot(picture))) => {
                Some((picture.core.0[0], picture.core.0[15], picture.stack.len()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(pictures, [(2, CODE + 0x0C, 320)]);
}

#[test]
fn a_logpoint_without_a_command_and_a_breakpoint_with_one_are_malformed() {
    let mut bench = Bench::at_start(LOOP);
    let refused = format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::Malformed }));
    let code = printf("x", &[]);
    assert_eq!(bench.ask(&[set(CODE, Action::Log, None, None, None)]), std::slice::from_ref(&refused));
    assert_eq!(bench.ask(&[set(CODE, Action::Stop, None, Some(&code), None)]), [refused]);
}
