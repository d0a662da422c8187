//! Rows that give wild arguments to every system call, made from the table of calls: a new slot is attacked at once.

use bulkhead_board_description::Board;
use bulkhead_syscall_abi::{Argument, Call, SYSTEM_CALLS};

use super::row::{Back, Class, Expected, Place, Row};
use super::spans::Foreign;

/// Slots that are tried although no call has them.
const UNKNOWN: &[u32] = &[60, 61, 62, 63];
/// Numbers for arguments that are none.
const NUMBERS: &[u32] = &[0, 1, 3, 0x8000_0000, 0xFFFF_FFFF];
/// How often a call is raced.
const ROUNDS: u32 = 200;

/// What an argument is, as far as an attacker cares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ArgumentKind {
    /// Leads to memory.
    Pointer,
    /// How much of it.
    Length,
    /// Anything else.
    Number,
}

/// What `argument` is.
pub fn kind(argument: &Argument) -> ArgumentKind {
    if argument.c_type.contains('*') {
        ArgumentKind::Pointer
    } else if argument.name.contains("length") || argument.name.contains("size") {
        ArgumentKind::Length
    } else {
        ArgumentKind::Number
    }
}

/// A number that the call takes, so that it comes as far as the pointer.
fn plausible(argument: &Argument) -> u32 {
    match (kind(argument), argument.name) {
        (ArgumentKind::Length, _) => 64,
        (_, "level") => 2,
        (_, "area") => 3,
        _ => 0,
    }
}

fn arguments(call: &Call, pointer: u32, length: Option<u32>) -> Vec<u32> {
    let mut words = vec![call.slot];
    words.extend(call.arguments.iter().map(|argument| match kind(argument) {
        ArgumentKind::Pointer => pointer,
        ArgumentKind::Length => length.unwrap_or_else(|| plausible(argument)),
        ArgumentKind::Number => plausible(argument),
    }));
    words
}

/// Addresses no call may touch: the spans' edges, and ranges that begin in the application's memory and do not end there.
fn wild(board: &Board, spans: &[Foreign]) -> Vec<(u32, String)> {
    let mut wild: Vec<(u32, String)> = Vec::new();
    for span in spans.iter().filter(|span| span.first != 0) {
        wild.push((span.first, span.name.clone()));
        if span.thoroughly {
            wild.push((span.last & !7, format!("end of {}", span.name)));
        }
    }
    for own in &board.application.region {
        wild.push((own.base + own.length, format!("behind {}", own.name)));
        wild.push((own.base + own.length - 1, format!("last byte of {}", own.name)));
        wild.push((own.base - 1, format!("byte before {}", own.name)));
    }
    for own in &board.application.peripheral {
        wild.push((own.base, format!("{}, no memory", own.name)));
    }
    for address in [8, 0xE000_ED08, 0xE000_EDD0, 0xE002_ED08, 0xFFFF_FFFC, 0xFFFF_FFFF] {
        wild.push((address, "nowhere".into()));
    }
    wild
}

pub(crate) fn rows(board: &Board, spans: &[Foreign]) -> Vec<Row> {
    let class = Class::Calls;
    let wild = wild(board, spans);
    let ram = board.application.region.iter().find(|own| own.name == "ram").map_or(0, |own| own.base);
    let mut rows = Vec::new();
    for call in SYSTEM_CALLS {
        let has_pointer = call.arguments.iter().any(|argument| kind(argument) == ArgumentKind::Pointer);
        let has_length = call.arguments.iter().any(|argument| kind(argument) == ArgumentKind::Length);
        for place in Place::ALL {
            // Who asks to sleep does, for as long as it said: only what is refused is tried.
            let numbers = if call.name.contains("sleep") { &NUMBERS[..1] } else { NUMBERS };
            for number in numbers {
                let mut words = vec![call.slot];
                words.extend(call.arguments.iter().map(|_| *number));
                // Who asks to be restarted is.
                let expected = Expected::ReturnedOrRestarted(Back::Clean);
                let row = Row::new(class, "CALL", place, &words, call.name, expected);
                rows.push(if call.name.contains("restart") { row.that_restarts() } else { row });
            }
            if !has_pointer {
                continue;
            }
            for (index, (address, on)) in wild.iter().enumerate() {
                // From its thread everything; from elsewhere a part, another for each call.
                if place != Place::Thread && !(index + call.slot as usize).is_multiple_of(9) {
                    continue;
                }
                let on = format!("{}, {on}", call.name);
                let words = arguments(call, *address, None);
                rows.push(Row::new(class, "CALL", place, &words, &on, Expected::Returned(Back::Refused)));
            }
            let lengths = [0x8_0001, 0x7FFF_FFFF, 0xFFFF_FFFF, 0u32.wrapping_sub(ram)];
            for length in lengths.iter().filter(|_| has_length) {
                let words = arguments(call, ram + 0x7_0000, Some(*length));
                rows.push(Row::new(class, "CALL", place, &words, call.name, Expected::Returned(Back::Clean)));
            }
        }
        // Only what is a pointer first can be raced: the application lends the same buffer to each.
        let first = call.arguments.first().map(kind);
        if first == Some(ArgumentKind::Pointer) || call.name == "bh_log_write" {
            let expected = Expected::Returned(Back::Zeros);
            rows.push(Row::new(
                Class::Races,
                "RACE",
                Place::Thread,
                &[ROUNDS, call.slot],
                call.name,
                expected,
            ));
        }
    }
    for slot in UNKNOWN {
        for place in Place::ALL {
            // The page may end before them: then it is a jump to no gateway.
            let expected = Expected::StoppedOrReturned(Back::Refused);
            rows.push(Row::new(class, "CALL", place, &[*slot, 0, 0, 0, 0], "no such call", expected));
        }
    }
    rows
}
