//! Claims about agent expressions.

use crate::simulated::{RAM, Simulated};
use bulkhead_debug_agent::{Unanswered, evaluate};

fn value(code: &[u8]) -> Result<i64, Unanswered> {
    let mut target = Simulated::new(&[0xBF00]);
    target.ram[..4].copy_from_slice(&0xFFFF_FF85_u32.to_le_bytes());
    target.registers.core.0[3] = 40;
    let registers = target.registers;
    evaluate(code, &registers, &mut target)
}

#[test]
fn each_operation_does_what_the_manual_says() {
    let [r0, r1, r2, r3] = RAM.to_be_bytes();
    let word = [0x24, r0, r1, r2, r3];
    let cases: &[(&[u8], i64)] = &[
        (&[0x22, 7, 0x22, 5, 0x02, 0x27], 12),
        (&[0x22, 7, 0x22, 5, 0x03, 0x27], 2),
        (&[0x22, 7, 0x22, 5, 0x04, 0x27], 35),
        (&[0x22, 7, 0x22, 2, 0x05, 0x27], 3),
        (&[0x22, 7, 0x22, 4, 0x08, 0x27], 3),
        (&[0x22, 1, 0x22, 5, 0x09, 0x27], 32),
        (&[0x22, 0, 0x0E, 0x27], 1),
        (&[0x22, 6, 0x22, 3, 0x0F, 0x27], 2),
        (&[0x22, 6, 0x22, 3, 0x10, 0x27], 7),
        (&[0x22, 6, 0x22, 3, 0x11, 0x27], 5),
        (&[0x22, 0, 0x12, 0x27], -1),
        (&[0x22, 6, 0x22, 6, 0x13, 0x27], 1),
        (&[0x22, 6, 0x22, 7, 0x14, 0x27], 1),
        (&[0x22, 0, 0x12, 0x22, 7, 0x15, 0x27], 0),
        (&[0x22, 0x85, 0x16, 8, 0x27], -123),
        (&[0x23, 0xFF, 0x85, 0x2A, 8, 0x27], 0x85),
        (&[0x26, 0, 3, 0x27], 40),
        (&[0x22, 1, 0x22, 2, 0x2B, 0x03, 0x27], 1),
        (&[0x22, 9, 0x28, 0x04, 0x27], 81),
        (&[0x22, 9, 0x22, 1, 0x29, 0x27], 9),
        (&[0x22, 9, 0x22, 1, 0x32, 1, 0x27], 9),
        // a b c becomes c a b.
        (&[0x22, 1, 0x22, 2, 0x22, 3, 0x33, 0x29, 0x29, 0x27], 3),
        // Taken, over a constant.
        (&[0x22, 1, 0x20, 0, 8, 0x22, 5, 0x27, 0x22, 6, 0x27], 6),
        (&[0x21, 0, 6, 0x22, 5, 0x27, 0x22, 6, 0x27], 6),
    ];
    for (code, wanted) in cases {
        assert_eq!(value(code), Ok(*wanted), "{code:02x?}");
    }
    assert_eq!(value(&[&word[..], &[0x17, 0x27]].concat()), Ok(0x85));
    assert_eq!(value(&[&word[..], &[0x18, 0x16, 16, 0x27]].concat()), Ok(-123));
    assert_eq!(value(&[&word[..], &[0x19, 0x27]].concat()), Ok(0xFFFF_FF85));
}

#[test]
fn whatever_the_code_it_ends() {
    let bad: &[&[u8]] = &[
        &[],
        &[0x27],
        &[0x02],
        &[0x22],
        &[0x21, 0, 0],
        &[0x22, 1, 0x22, 0, 0x05, 0x27],
        &[0x22, 1, 0x22, 64, 0x09, 0x27],
        &[0x26, 0, 99, 0x27],
        &[0x22, 0, 0x19, 0x27],
        &[0x22, 0, 0x16, 0, 0x27],
        &[0x32, 200, 0x27],
        &[0x0C, 0x27],
    ];
    for code in bad {
        assert_eq!(value(code), Err(Unanswered), "{code:02x?}");
    }
    assert_eq!(value(&[0x22; 100]), Err(Unanswered), "the stack is bounded");
    // Every pair of operations, from some values.
    for first in 0..=255 {
        for second in 0..=255 {
            let _ = value(&[0x22, 3, 0x25, 128, 0, 0, 0, 0, 0, 0, 0, 0x22, 0, first, second, 0, 1, 0x27]);
        }
    }
}
