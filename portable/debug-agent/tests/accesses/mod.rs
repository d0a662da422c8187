//! Claims about what instructions touch. The halves are an assembler's, the accesses those of the manual.

use bulkhead_debug_agent::Direction::{Both, Load, Store};
use bulkhead_debug_agent::{Access, Direction, access};

use crate::simulated::{CODE, RAM, Simulated};

/// Where r4 points, and what sp and the aligned program counter hold.
const AT: u32 = RAM + 0x100;
const SP: u32 = RAM + 0x200;
const LITERALS: u32 = CODE + 4;

type Touched = Option<(u32, u32, Direction)>;

/// An instruction at an address that is no multiple of 4.
fn touched(halves: &[u16], xpsr: u32) -> Touched {
    let mut code = vec![0xBF00];
    code.extend(halves);
    let mut target = Simulated::new(&code);
    let core = &mut target.registers.core.0;
    (core[4], core[5], core[13], core[15], core[16]) = (AT, 8, SP, CODE + 2, 1 << 24 | xpsr);
    let registers = target.registers;
    access(&registers, &mut target)
        .unwrap()
        .map(|Access { address, len, direction }| (address, len, direction))
}

const CASES: &[(&str, &[u16], Touched)] = &[
    ("ldr r0, [pc, #8]", &[0x4802], Some((LITERALS + 8, 4, Load))),
    ("str r1, [r4, r5]", &[0x5161], Some((AT + 8, 4, Store))),
    ("strh r1, [r4, r5]", &[0x5361], Some((AT + 8, 2, Store))),
    ("strb r1, [r4, r5]", &[0x5561], Some((AT + 8, 1, Store))),
    ("ldrsb r1, [r4, r5]", &[0x5761], Some((AT + 8, 1, Load))),
    ("ldr r1, [r4, r5]", &[0x5961], Some((AT + 8, 4, Load))),
    ("ldrh r1, [r4, r5]", &[0x5B61], Some((AT + 8, 2, Load))),
    ("ldrb r1, [r4, r5]", &[0x5D61], Some((AT + 8, 1, Load))),
    ("ldrsh r1, [r4, r5]", &[0x5F61], Some((AT + 8, 2, Load))),
    ("str r1, [r4, #8]", &[0x60A1], Some((AT + 8, 4, Store))),
    ("ldr r1, [r4, #8]", &[0x68A1], Some((AT + 8, 4, Load))),
    ("strb r1, [r4, #3]", &[0x70E1], Some((AT + 3, 1, Store))),
    ("ldrb r1, [r4, #3]", &[0x78E1], Some((AT + 3, 1, Load))),
    ("strh r1, [r4, #6]", &[0x80E1], Some((AT + 6, 2, Store))),
    ("ldrh r1, [r4, #6]", &[0x88E1], Some((AT + 6, 2, Load))),
    ("str r1, [sp, #16]", &[0x9104], Some((SP + 16, 4, Store))),
    ("ldr r1, [sp, #16]", &[0x9904], Some((SP + 16, 4, Load))),
    ("push {r0, r1, lr}", &[0xB503], Some((SP - 12, 12, Store))),
    ("pop {r0, r1, pc}", &[0xBD03], Some((SP, 12, Load))),
    ("stmia r4!, {r0, r1, r2}", &[0xC407], Some((AT, 12, Store))),
    ("ldmia r4!, {r0, r1}", &[0xCC03], Some((AT, 8, Load))),
    ("stmia.w r4, {r0, r8, r9}", &[0xE884, 0x0301], Some((AT, 12, Store))),
    ("ldmia.w r4!, {r0, r8}", &[0xE8B4, 0x0101], Some((AT, 8, Load))),
    ("stmdb r4!, {r0, r8, lr}", &[0xE924, 0x4101], Some((AT - 12, 12, Store))),
    ("ldmdb r4, {r0, r8}", &[0xE914, 0x0101], Some((AT - 8, 8, Load))),
    ("push.w {r4, r8, lr}", &[0xE92D, 0x4110], Some((SP - 12, 12, Store))),
    ("pop.w {r4, r8, pc}", &[0xE8BD, 0x8110], Some((SP, 12, Load))),
    ("ldrd r0, r1, [r4, #-8]", &[0xE954, 0x0102], Some((AT - 8, 8, Load))),
    ("strd r0, r1, [r4], #16", &[0xE8E4, 0x0104], Some((AT, 8, Store))),
    ("ldrd r0, r1, [r4, #8]!", &[0xE9F4, 0x0102], Some((AT + 8, 8, Load))),
    ("ldrd r0, r1, [pc, #-8]", &[0xE95F, 0x0102], Some((LITERALS - 8, 8, Load))),
    ("ldrex r0, [r4, #12]", &[0xE854, 0x0F03], Some((AT + 12, 4, Both))),
    ("strex r0, r1, [r4, #12]", &[0xE844, 0x1003], Some((AT + 12, 4, Store))),
    ("ldrexb r0, [r4]", &[0xE8D4, 0x0F4F], Some((AT, 1, Both))),
    ("strexh r0, r1, [r4]", &[0xE8C4, 0x1F50], Some((AT, 2, Store))),
    ("lda r0, [r4]", &[0xE8D4, 0x0FAF], Some((AT, 4, Load))),
    ("stlb r0, [r4]", &[0xE8C4, 0x0F8F], Some((AT, 1, Store))),
    ("stl r0, [r4]", &[0xE8C4, 0x0FAF], Some((AT, 4, Store))),
    ("ldaexh r0, [r4]", &[0xE8D4, 0x0FDF], Some((AT, 2, Both))),
    ("stlex r0, r1, [r4]", &[0xE8C4, 0x1FE0], Some((AT, 4, Store))),
    ("tbb [pc, r5]", &[0xE8DF, 0xF005], Some((LITERALS + 10, 1, Load))),
    ("tbh [r4, r5, lsl #1]", &[0xE8D4, 0xF015], Some((AT + 16, 2, Load))),
    ("tt r0, r4", &[0xE844, 0xF000], None),
    ("ldr.w r0, [r4, #291]", &[0xF8D4, 0x0123], Some((SP + 35, 4, Load))),
    ("str.w r0, [r4, #-4]", &[0xF844, 0x0C04], Some((AT - 4, 4, Store))),
    ("ldr.w r0, [r4], #-4", &[0xF854, 0x0904], Some((AT, 4, Load))),
    ("str.w r0, [r4, #4]!", &[0xF844, 0x0F04], Some((AT + 4, 4, Store))),
    ("ldr.w r0, [r4, r5, lsl #2]", &[0xF854, 0x0025], Some((AT + 32, 4, Load))),
    ("ldrsh.w r0, [r4, #2]", &[0xF9B4, 0x0002], Some((AT + 2, 2, Load))),
    ("ldrsb.w r0, [r4, #-1]", &[0xF914, 0x0C01], Some((AT - 1, 1, Load))),
    ("strb.w r0, [r4, r5]", &[0xF804, 0x0005], Some((AT + 8, 1, Store))),
    ("ldrt r0, [r4, #4]", &[0xF854, 0x0E04], Some((AT + 4, 4, Load))),
    ("ldr.w r0, [pc, #-12]", &[0xF85F, 0x000C], Some((LITERALS - 12, 4, Load))),
    ("pld [r4, #4]", &[0xF894, 0xF004], None),
    ("vldr s0, [r4, #8]", &[0xED94, 0x0A02], Some((AT + 8, 4, Load))),
    ("vstr d1, [r4, #-8]", &[0xED04, 0x1B02], Some((AT - 8, 8, Store))),
    ("vldr s0, [pc, #4]", &[0xED9F, 0x0A01], Some((LITERALS + 4, 4, Load))),
    ("vldmia r4!, {s0-s2}", &[0xECB4, 0x0A03], Some((AT, 12, Load))),
    ("vstmdb r4!, {d0-d1}", &[0xED24, 0x0B04], Some((AT - 16, 16, Store))),
    ("vpush {s16-s19}", &[0xED2D, 0x8A04], Some((SP - 16, 16, Store))),
    ("vpop {d8}", &[0xECBD, 0x8B02], Some((SP, 8, Load))),
    ("vmov r0, r1, d0", &[0xEC51, 0x0B10], None),
    ("vmov s0, r0", &[0xEE00, 0x0A10], None),
    ("sg", &[0xE97F, 0xE97F], None),
    ("movs r0, r1", &[0x4608], None),
    ("bl .", &[0xF7FF, 0xFFFE], None),
    ("cbz r0, .+8", &[0xB110], None),
    ("nop", &[0xBF00], None),
];

#[test]
fn each_load_and_store_touches_what_the_manual_says_and_others_nothing() {
    for (name, halves, wanted) in CASES {
        assert_eq!(touched(halves, 0), *wanted, "{name}");
    }
}

#[test]
fn a_load_in_a_failed_slot_of_an_it_block_touches_nothing() {
    // IT EQ with Z clear, and with Z set.
    let in_block = 0x0000_0800;
    assert_eq!(touched(&[0x68A1], in_block), None);
    assert_eq!(touched(&[0x68A1], in_block | 1 << 30), Some((AT + 8, 4, Load)));
}

#[test]
fn a_decoder_that_takes_loads_for_stores_is_caught_by_the_table() {
    let wrong = |touched: Touched| touched.map(|(at, len, _)| (at, len, Store));
    assert!(CASES.iter().any(|(_, halves, wanted)| wrong(touched(halves, 0)) != *wanted));
}

#[test]
fn whatever_the_halves_it_ends() {
    for first in 0..=u16::MAX {
        for second in [0, 0x0A20, 0x0B21, 0xF000, 0xFFFF, 0x0C04, 0x0FFF] {
            let _ = touched(&[first, second], 0);
        }
    }
}
