//! Rows that give wild arguments to every system call, made from the table of calls: a new slot is attacked at once.

use std::time::Duration;

use bulkhead_board_description::Board;
use bulkhead_syscall_abi::{Argument, CONFIG_KEY_LEN_MAX, Call, SYSTEM_CALLS, SocketKind};

use super::row::{Back, Class, Expected, Place, Row, number};
use super::spans::Foreign;

/// Slots that are tried although no call has them.
const UNKNOWN: &[u32] = &[60, 61, 62, 63];
/// Numbers for arguments that are none.
const NUMBERS: &[u32] = &[0, 1, 3, 0x8000_0000, 0xFFFF_FFFF];
/// The state of a call that comes as far as its pointers in any.
const ANY_STATE: &str = "ANY_STATE";
/// Arguments that a call has at most.
const ARGUMENTS: usize = 4;
/// How often a call is raced, and how often one for which something has to wait each time.
const ROUNDS: u32 = 200;
const ROUNDS_IN_STATE: u32 = 50;
/// So many rounds take longer than another row.
const RACE_LONGEST: Duration = Duration::from_secs(30);

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

/// The state in which a call comes as far as each of its pointers, by its name in `apps/hostile-c/state.h`.
fn state(call: &Call) -> &'static str {
    match call.name {
        "bh_storage_result_read" => "STORAGE_WAITS",
        "bh_notification_next" => "NOTIFICATION_WAITS",
        "bh_message_receive" => "MESSAGE_WAITS",
        "bh_config_result_read" => "CONFIG_WAITS",
        "bh_power_wake_read" => "WAKE_WAITS",
        "bh_socket_send" | "bh_socket_send_to" => "DATAGRAM_OPEN",
        "bh_socket_receive" | "bh_socket_receive_from" => "DATAGRAM_WAITS",
        _ => ANY_STATE,
    }
}

/// What the call takes, in its state, so that it comes as far as the pointers behind.
fn valid(call: &Call, argument: &Argument) -> u32 {
    match (kind(argument), argument.name) {
        (ArgumentKind::Pointer, _) => number(match argument.c_type {
            address if address.contains("bh_socket_address") => "OWN_ADDRESS",
            record if record.contains("struct") => "OWN_STRUCT",
            word if word.contains("uint") => "OWN_WORD",
            _ => "OWN_BUFFER",
        }),
        (ArgumentKind::Length, _) if call.name == "bh_config_read" => CONFIG_KEY_LEN_MAX,
        (ArgumentKind::Length, _) => 64,
        (_, "socket") => number("OWN_HANDLE"),
        (_, "level") => 2,
        (_, "area") => 3,
        // Streams that are opened and forgotten leave the datagram sockets to those who set up a state.
        (_, "kind") => SocketKind::Stream as u32,
        (_, "port") => 9,
        _ => 0,
    }
}

/// Slot, arguments and state of a call of which all is valid but what `other` says.
fn words(call: &Call, mut other: impl FnMut(usize, &Argument) -> Option<u32>) -> Vec<u32> {
    let mut words = vec![call.slot];
    let arguments = call.arguments.iter().enumerate();
    words.extend(
        arguments.map(|(index, argument)| other(index, argument).unwrap_or_else(|| valid(call, argument))),
    );
    words.resize(1 + ARGUMENTS, 0);
    words.push(number(state(call)));
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
    let wild = wild(board, spans);
    let mut rows = Vec::new();
    for call in SYSTEM_CALLS {
        for place in Place::ALL {
            numbers(call, place, &mut rows);
            wild_pointers(call, place, &wild, &mut rows);
            lengths(board, call, place, &mut rows);
        }
        race(call, &mut rows);
    }
    for slot in UNKNOWN {
        for place in Place::ALL {
            // The page may end before them: then it is a jump to no gateway.
            let expected = Expected::StoppedOrReturned(Back::Refused);
            rows.push(Row::new(Class::Calls, "CALL", place, &[*slot, 0, 0, 0, 0], "no such call", expected));
        }
    }
    rows
}

fn numbers(call: &Call, place: Place, rows: &mut Vec<Row>) {
    // Who asks to sleep does, for as long as it said: only what is refused is tried.
    let numbers = if call.name.contains("sleep") { &NUMBERS[..1] } else { NUMBERS };
    for number in numbers {
        let mut words = vec![call.slot];
        words.extend(call.arguments.iter().map(|_| *number));
        // Who asks to be restarted is.
        let expected = Expected::ReturnedOrRestarted(Back::Clean);
        let row = Row::new(Class::Calls, "CALL", place, &words, call.name, expected);
        rows.push(if call.name.contains("restart") { row.that_restarts() } else { row });
    }
}

/// The places of the pointers among a call's arguments.
fn pointers(call: &Call) -> impl Iterator<Item = usize> {
    let arguments = call.arguments.iter().enumerate();
    arguments.filter(|(_, argument)| kind(argument) == ArgumentKind::Pointer).map(|(index, _)| index)
}

/// One wild pointer at a time, all else as it should be: nothing but the pointer can be what is refused.
fn wild_pointers(call: &Call, place: Place, wild: &[(u32, String)], rows: &mut Vec<Row>) {
    for pointer in pointers(call) {
        let name = call.arguments[pointer].name;
        for (index, (address, on)) in wild.iter().enumerate() {
            // From its thread everything; from elsewhere a part, another for each call.
            if place != Place::Thread && !(index + pointer + call.slot as usize).is_multiple_of(9) {
                continue;
            }
            let on = format!("{}, {name}: {on}", call.name);
            let words = words(call, |at, _| (at == pointer).then_some(*address));
            let expected = Expected::Returned(Back::PointerRefused);
            rows.push(Row::new(Class::Calls, "CALL", place, &words, &on, expected));
        }
    }
}

/// Lengths that lead out of the application's memory, or around the end of all addresses.
fn lengths(board: &Board, call: &Call, place: Place, rows: &mut Vec<Row>) {
    let has_length = call.arguments.iter().any(|argument| kind(argument) == ArgumentKind::Length);
    if !has_length || pointers(call).next().is_none() {
        return;
    }
    let ram = board.application.region.iter().find(|own| own.name == "ram").map_or(0, |own| own.base);
    for length in [0x8_0001, 0x7FFF_FFFF, 0xFFFF_FFFF, 0u32.wrapping_sub(ram)] {
        let words = words(call, |_, argument| match kind(argument) {
            ArgumentKind::Pointer => Some(ram + 0x7_0000),
            ArgumentKind::Length => Some(length),
            ArgumentKind::Number => None,
        });
        let expected = Expected::Returned(Back::Clean);
        rows.push(Row::new(Class::Calls, "CALL", place, &words, call.name, expected));
    }
}

/// The memory that a call was given changes while it runs.
fn race(call: &Call, rows: &mut Vec<Row>) {
    if pointers(call).next().is_some() {
        let mut words = words(call, |_, _| None);
        words.insert(0, if state(call) == ANY_STATE { ROUNDS } else { ROUNDS_IN_STATE });
        let expected = Expected::Returned(Back::Zeros);
        let row = Row::new(Class::Races, "RACE", Place::Thread, &words, call.name, expected);
        rows.push(row.within(RACE_LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_board_description::MPS2_AN505;

    use super::*;
    use crate::matrix::foreign;

    /// Pointers that no row reaches, since the state for it cannot be set up here.
    const UNREACHED: &[(&str, &str)] = &[];

    #[test]
    fn each_pointer_of_each_call_is_wild_alone_and_each_call_that_has_one_is_raced() {
        let board = Board::parse(MPS2_AN505).unwrap();
        let rows = rows(&board, &foreign(&board));
        let mut unreached = Vec::new();
        for call in SYSTEM_CALLS {
            for pointer in pointers(call).map(|index| call.arguments[index].name) {
                let on = format!("({}, {pointer}: ", call.name);
                let is_wild = |row: &&Row| {
                    row.name.contains(&on) && row.expected == Expected::Returned(Back::PointerRefused)
                };
                if rows.iter().filter(is_wild).count() < wild(&board, &foreign(&board)).len() {
                    unreached.push((call.name, pointer));
                }
            }
            let raced = rows.iter().any(|row| row.class == Class::Races && row.name.contains(call.name));
            assert_eq!(raced, pointers(call).next().is_some(), "{}", call.name);
        }
        assert_eq!(unreached, UNREACHED);
    }

    #[test]
    fn what_a_call_is_given_beside_a_wild_pointer_has_a_number_in_the_applications_headers() {
        for call in SYSTEM_CALLS {
            assert!(state(call) == ANY_STATE || number(state(call)) != 0, "{}", call.name);
            for pointer in pointers(call) {
                assert_ne!(valid(call, &call.arguments[pointer]), 0, "{}", call.name);
            }
        }
    }
}
