//! Every row, made from the board's description and the table of system calls.

use std::time::Duration;

use bulkhead_board_description::Board;
use bulkhead_link_protocol::FaultKind;

use super::row::{Back, Class, Expected, Place, Row};
use super::spans::{Foreign, foreign};
use super::{calls, registers};

const LOADS: &[&str] = &[
    "LDRB", "LDRH", "LDR", "LDRD", "LDM", "LDMDB", "LDREX", "LDREXB", "LDREXH", "LDA", "LDAB", "LDAEX",
    "LDRT", "LDRSH", "VLDR", "VLDM", "POP", "TBB", "LDR_PC",
];
const STORES: &[&str] = &[
    "STRB", "STRH", "STR", "STRD", "STM", "STMDB", "STL", "STLB", "STRT", "VSTR", "VSTM", "PUSH", "STREX",
    "STLEX",
];
const LOADS_CHOSEN: &[&str] = &["LDRB", "LDR", "LDM"];
const STORES_CHOSEN: &[&str] = &["STRB", "STR", "STM"];
const JUMPS: &[&str] = &["BX", "BLX", "BX_ARM", "MOV_PC", "POP_PC"];

/// Longest access in bytes.
const REACH: u32 = 16;
/// Half-words of the gateway page are all entered up to here, and then now and then.
const GATEWAYS_DENSE_BYTES: u32 = 64 * bulkhead_syscall_abi::GATEWAY_STRIDE_BYTES;
const GATEWAYS_SPARSE_STEP: u32 = 0x7E;
/// A handler that never ends is watched for two seconds.
const FLOOD_LONGEST: Duration = Duration::from_secs(12);

/// Bits of an answer of `TT` that only the secure world may see: regions of SAU and IDAU, NSR, NSRW, S.
const TEST_TARGET_SECURE: u32 = 0xFFF2_FF00;

/// xPSR: Thumb state.
const THUMB: u32 = 1 << 24;

const SECURE_ACCESS: &[FaultKind] = &[FaultKind::SecureAccess];
const BAD_EXECUTION: &[FaultKind] = &[FaultKind::BadExecution];
/// A stack that leads out of memory; where an access to it faults before the exception does, the access is named.
const STACK: &[FaultKind] = &[FaultKind::StackOverflow];
const ANY: &[FaultKind] = &[];

/// Every row of the matrix for `board`.
pub fn rows(board: &Board) -> Vec<Row> {
    let spans = foreign(board);
    let mut rows = Vec::new();
    accesses(&spans, &mut rows);
    straddles(board, &mut rows);
    executions(&spans, &mut rows);
    gateways(board, &mut rows);
    stacks(board, &spans, &mut rows);
    returns(&mut rows);
    secure_stacks(&mut rows);
    entries(&mut rows);
    rows.extend(registers::rows());
    rows.extend(calls::rows(board, &spans));
    floods(board, &mut rows);
    rows
}

fn stopped(kinds: &'static [FaultKind], touched: Option<(u32, u32)>) -> Expected {
    Expected::Stopped { kinds, touched }
}

/// A load or store of `address` that must be stopped.
fn access(class: Class, operation: &str, place: Place, address: u32, on: &str) -> Row {
    // Where a load of several words begins to fault is the processor's choice.
    let touched = Some((address, address.saturating_add(REACH)));
    let expected = match operation {
        // The monitor may refuse the store before anything else is looked at.
        "STREX" | "STLEX" => Expected::StoppedOrReturned(Back::Zeros),
        // The fault that it leads to is stacked there as well, or cannot be.
        "POP" | "PUSH" => stopped(STACK, None),
        _ => stopped(SECURE_ACCESS, touched),
    };
    Row::new(class, operation, place, &[address], on, expected)
}

fn accesses(spans: &[Foreign], rows: &mut Vec<Row>) {
    for span in spans {
        let last = span.last & !3;
        for (class, all, chosen) in
            [(Class::Read, LOADS, LOADS_CHOSEN), (Class::Write, STORES, STORES_CHOSEN)]
        {
            let operations = if span.thoroughly { all } else { chosen };
            for operation in operations {
                rows.push(access(class, operation, Place::Thread, span.first, &span.name));
            }
            if span.thoroughly {
                let middle = (span.first + (span.last - span.first) / 2) & !0xF;
                for address in [middle, last] {
                    rows.push(access(class, chosen[0], Place::Thread, address, &span.name));
                }
                for place in [Place::Handler, Place::Unprivileged, Place::ProcessStack] {
                    for operation in [chosen[0], chosen[1], chosen[2]] {
                        rows.push(access(class, operation, place, span.first, &span.name));
                    }
                }
            } else {
                rows.push(access(class, chosen[1], Place::Handler, last, &span.name));
            }
        }
    }
}

/// Accesses that begin in the application's own memory and end behind it, or the other way round.
fn straddles(board: &Board, rows: &mut Vec<Row>) {
    for own in &board.application.region {
        let end = own.base + own.length;
        let name = format!("across the end of {}", own.name);
        for (operation, address) in [
            ("LDR", end - 2),
            ("LDR", end - 1),
            ("LDRSH", end - 1),
            ("LDRD", end - 4),
            ("LDM", end - 8),
            ("LDM", end - 4),
            ("VLDM", end - 8),
        ] {
            rows.push(access(Class::Read, operation, Place::Thread, address, &name));
        }
        for (operation, address) in
            [("STR", end - 2), ("STRH", end - 1), ("STRD", end - 4), ("STM", end - 8), ("VSTM", end - 4)]
        {
            rows.push(access(Class::Write, operation, Place::Thread, address, &name));
        }
        let name = format!("across the start of {}", own.name);
        for (class, operation, below) in [
            (Class::Read, "LDR", 2),
            (Class::Read, "LDRD", 4),
            (Class::Read, "LDM", 8),
            (Class::Write, "STR", 1),
            (Class::Write, "STM", 4),
        ] {
            rows.push(access(class, operation, Place::Thread, own.base - below, &name));
        }
    }
}

fn executions(spans: &[Foreign], rows: &mut Vec<Row>) {
    let class = Class::Execute;
    for span in spans {
        // The gateways themselves may be entered: they have a class of their own.
        let jumps = if span.thoroughly && span.name != "gateways" { JUMPS } else { &JUMPS[..1] };
        let first = if span.name == "gateways" { span.first + 2 } else { span.first };
        for operation in jumps {
            rows.push(Row::new(
                class,
                operation,
                Place::Thread,
                &[first],
                &span.name,
                stopped(BAD_EXECUTION, None),
            ));
        }
        let last = span.last & !1;
        rows.push(Row::new(class, "BX", Place::Handler, &[last], &span.name, stopped(BAD_EXECUTION, None)));
    }
    let one =
        |operation, place, kinds| Row::new(class, operation, place, &[0], "itself", stopped(kinds, None));
    for place in Place::ALL {
        rows.push(one("UNDEFINED", place, &[FaultKind::UsageFault]));
        rows.push(one("BXNS", place, &[FaultKind::UsageFault]));
        rows.push(one("BLXNS", place, &[FaultKind::UsageFault]));
        rows.push(one("TEST_TARGET_ALTERNATE", place, &[FaultKind::UsageFault]));
        rows.push(one("BREAKPOINT", place, &[FaultKind::Breakpoint]));
        rows.push(one("SEMIHOSTING", place, &[FaultKind::Breakpoint]));
        for span in spans.iter().filter(|span| span.thoroughly) {
            // What the application is told of memory that is not its own: nothing.
            let expected = Expected::Returned(Back::Unchanged(TEST_TARGET_SECURE));
            rows.push(Row::new(class, "TEST_TARGET", place, &[span.first], &span.name, expected));
        }
    }
    rows.push(one("SUPERVISOR_CALL", Place::Handler, ANY));
    // The next application says that it is ready only if it finds its registers as after a reset.
    rows.push(one("LEAVE_CHANGED", Place::Thread, &[FaultKind::UsageFault]));
}

/// Every half-word of the gateway page that is no entry.
fn gateways(board: &Board, rows: &mut Vec<Row>) {
    let page = board.hypervisor.gateways;
    let dense = (0..GATEWAYS_DENSE_BYTES).step_by(2);
    let sparse = (GATEWAYS_DENSE_BYTES..page.length).step_by(GATEWAYS_SPARSE_STEP as usize);
    for offset in dense.chain(sparse) {
        let is_entry = offset.is_multiple_of(bulkhead_syscall_abi::GATEWAY_STRIDE_BYTES);
        if is_entry && offset < GATEWAYS_DENSE_BYTES {
            continue; // See the class of calls.
        }
        let place = if offset % 16 == 2 { Place::Handler } else { Place::Thread };
        let expected = stopped(BAD_EXECUTION, None);
        rows.push(Row::new(Class::Gateways, "BX", place, &[page.base + offset], "page", expected));
    }
}

fn stacks(board: &Board, spans: &[Foreign], rows: &mut Vec<Row>) {
    let class = Class::Stacks;
    for span in spans.iter().filter(|span| span.thoroughly || span.name.contains("secure alias")) {
        let address = (span.first + 0x100) & !7;
        let operations: &[&str] = if span.thoroughly {
            &["MSP_INTERRUPT", "PSP_INTERRUPT", "MSP_SUPERVISOR_CALL", "FLOAT_INTERRUPT"]
        } else {
            &["MSP_INTERRUPT", "PSP_INTERRUPT"]
        };
        for operation in operations {
            rows.push(Row::new(
                class,
                operation,
                Place::Thread,
                &[address],
                &span.name,
                stopped(STACK, None),
            ));
        }
        rows.push(Row::new(
            class,
            "LAZY_FLOAT",
            Place::Thread,
            &[address],
            &span.name,
            stopped(SECURE_ACCESS, None),
        ));
        let table = span.first & !0x3FF;
        for operation in ["VTOR_INTERRUPT", "VTOR_SUPERVISOR_CALL"] {
            rows.push(Row::new(class, operation, Place::Thread, &[table], &span.name, stopped(ANY, None)));
        }
    }
    for own in board.application.region.iter().filter(|own| own.name == "ram") {
        // A frame that lies half in its memory and half below.
        for (operation, above) in [("MSP_INTERRUPT", 16), ("PSP_INTERRUPT", 8), ("MSP_INTERRUPT", 0)] {
            let address = own.base + above;
            rows.push(Row::new(
                class,
                operation,
                Place::Thread,
                &[address],
                "start of memory",
                stopped(STACK, None),
            ));
        }
    }
    // The emulator stacks nothing and goes on; a chip faults as it stacks.
    let open = Expected::StoppedOrReturned(Back::Anything);
    rows.push(Row::new(class, "FLOAT_FORBIDDEN", Place::Thread, &[], "next exception", open));
    for slot in [0, 3, 5] {
        let expected = Expected::StoppedOrReturned(Back::Clean);
        rows.push(
            Row::new(class, "EAGER_FLOAT", Place::Thread, &[slot], "slot", expected).within(FLOOD_LONGEST),
        );
    }
    let usage = stopped(&[FaultKind::UsageFault], None);
    rows.push(Row::new(class, "FLOAT_OFF", Place::Thread, &[], "itself", usage));
    for place in [Place::Thread, Place::ProcessStack] {
        let expected = Expected::StoppedOrReturned(Back::Anything);
        rows.push(Row::new(class, "DEACTIVATE", place, &[], "its own handler", expected));
    }
    // SVCall, PendSV, SysTick, MemManage, UsageFault; then each of them and all that are not its own.
    for bits in [1 << 7, 1 << 10, 1 << 11, 1 << 0, 1 << 3, 0xFFFF_FFFF] {
        let expected = Expected::StoppedOrReturned(Back::Anything);
        rows.push(Row::new(class, "PRETEND_ACTIVE", Place::Thread, &[bits], "SHCSR", expected));
    }
    let gateway = board.hypervisor.gateways.base;
    for (vector, on) in [
        (gateway | 1, "a gateway"),
        (gateway | 5, "behind the entry of a gateway"),
        (board.hypervisor.code.base | 0x401, "code of the hypervisor"),
        (board.hypervisor.memory.base | 1, "memory of the hypervisor"),
        (gateway, "a gateway, not as Thumb code"),
        (0, "nowhere"),
    ] {
        rows.push(Row::new(class, "VECTOR", Place::Thread, &[vector], on, stopped(BAD_EXECUTION, None)));
    }
    for (address, state, on) in [
        (gateway + 4, THUMB, "behind the entry of a gateway"),
        (gateway + 2, THUMB, "inside the entry of a gateway"),
        (board.hypervisor.code.base | 0x400, THUMB, "code of the hypervisor"),
        (gateway, 0, "a gateway, not as Thumb code"),
        (gateway, THUMB | 3, "a gateway, as a handler of HardFault"),
    ] {
        rows.push(Row::new(
            class,
            "FRAME",
            Place::Thread,
            &[address, state],
            on,
            stopped(BAD_EXECUTION, None),
        ));
    }
    // A call like any other, but with conditions and flags that no compiler sets; it returns to where chance has it.
    for state in [THUMB, THUMB | 0x0000_0C00, THUMB | 0x0600_0000, THUMB | 0x0000_FC00, THUMB | 0xF80F_0000] {
        let expected = Expected::StoppedOrReturned(Back::Anything);
        let row = Row::new(class, "FRAME", Place::Thread, &[gateway, state], "a gateway", expected);
        rows.push(row);
    }
    for address in [0, 8, 0xE000_ED08, 0xFFFF_FFF8] {
        rows.push(Row::new(class, "MSP_INTERRUPT", Place::Thread, &[address], "nowhere", stopped(ANY, None)));
    }
    for operation in ["MSPLIM_PUSH", "PSPLIM_PUSH"] {
        for limit in [0x3800_0000, 0xFFFF_FFF8] {
            rows.push(Row::new(class, operation, Place::Thread, &[limit], "limit", stopped(STACK, None)));
        }
    }
}

fn returns(rows: &mut Vec<Row>) {
    let class = Class::Returns;
    let magic = (0xFFFF_FF80..=0xFFFF_FFFF).chain([
        0xFEFF_FFFE,
        0xFEFF_FFFF,
        0xFF00_0000,
        0xFF00_0001,
        0xFFAA_5541,
        0xFE00_0000,
        0xFE00_0001,
    ]);
    for value in magic {
        let thread = stopped(BAD_EXECUTION, None);
        rows.push(Row::new(class, "POP_PC", Place::Thread, &[value], "magic", thread));
        let name = if value & 0x40 == 0 { "own world" } else { "secure world" };
        // A return into its own world is its own affair; one into the secure world is none.
        let expected = Expected::StoppedOrReturned(Back::Zeros);
        rows.push(Row::new(class, "BX", Place::Handler, &[value], name, expected));
        for place in [Place::Thread, Place::Handler] {
            let expected = stopped(BAD_EXECUTION, None);
            rows.push(Row::new(class, "CALL_RETURNING_TO", place, &[value, value % 3], "gateway", expected));
        }
    }
    // Not its own code, but no magic either: the gateway returns, and the application faults in its own world.
    for address in [0, 0x1000_0400, 0x3800_0000, 0x101F_F004, 0x6000_0000] {
        for place in [Place::Thread, Place::Handler] {
            let expected = stopped(BAD_EXECUTION, None);
            rows.push(Row::new(class, "CALL_RETURNING_TO", place, &[address, 0], "gateway", expected));
        }
    }
}

/// What an application leaves on secure stacks; how far it gets depends on when the timer hits.
fn secure_stacks(rows: &mut Vec<Row>) {
    let class = Class::SecureStacks;
    let expected = Expected::StoppedOrReturned(Back::Anything);
    for place in [Place::Thread, Place::Handler] {
        for (times, period, slot) in [
            (3, 261, 5),
            (40, 261, 5),
            (400, 397, 5),
            (2000, 611, 5),
            (400, 253, 0),
            (2000, 231, 0),
            (400, 351, 3),
        ] {
            let row = Row::new(
                class,
                "LEAK_STACK",
                place,
                &[times, period, slot],
                "times, period, slot",
                expected.clone(),
            );
            rows.push(row.within(FLOOD_LONGEST));
        }
    }
    for milliseconds in [50, 400] {
        let row = Row::new(class, "NEST", Place::Thread, &[milliseconds], "ms", expected.clone());
        rows.push(row.within(FLOOD_LONGEST));
    }
}

/// What a handler finds in its registers that interrupts the hypervisor's work in the thread's place.
fn entries(rows: &mut Vec<Row>) {
    const INTERRUPTS_MAX: u32 = 16_000;
    for place in [Place::Thread, Place::ProcessStack] {
        let expected = Expected::Returned(Back::SeenClean);
        let row = Row::new(
            Class::Entries,
            "FOUND_AT_ENTRY",
            place,
            &[INTERRUPTS_MAX],
            "interrupts at most",
            expected,
        );
        rows.push(row.within(FLOOD_LONGEST));
    }
}

fn floods(board: &Board, rows: &mut Vec<Row>) {
    const FLOOD: &[FaultKind] = &[FaultKind::InterruptFlood];
    let own = &board.application;
    let lines = own.peripheral.iter().flat_map(|peripheral| &peripheral.interrupts);
    for line in lines.chain(&own.software_interrupts) {
        for operation in ["FLOOD", "HANG"] {
            let row =
                Row::new(Class::Floods, operation, Place::Thread, &[*line], "line", stopped(FLOOD, None));
            rows.push(row.within(FLOOD_LONGEST));
        }
    }
    for exception in [14, 15] {
        let row = Row::new(
            Class::Floods,
            "FLOOD_SYSTEM",
            Place::Thread,
            &[exception],
            "exception",
            stopped(FLOOD, None),
        );
        rows.push(row.within(FLOOD_LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_board_description::MPS2_AN505;

    use super::*;

    #[test]
    fn every_row_asks_for_an_operation_that_the_application_knows() {
        let rows = rows(&Board::parse(MPS2_AN505).unwrap());
        assert!(rows.len() > 10_000, "{} rows", rows.len());
        let unknown: Vec<&str> =
            rows.iter().filter(|row| row.operation == 0).map(|row| row.name.as_str()).collect();
        assert_eq!(unknown, [""; 0]);
    }
}
