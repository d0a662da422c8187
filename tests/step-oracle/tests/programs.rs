//! What generated programs are made of.

use bulkhead_step_oracle::generate::generate;

/// Seeds that `cargo xtask test` steps.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=60;

/// Name, mask and value of the first half-word, mask and value of the second.
const WAYS: &[(&str, u16, u16, u16, u16)] = &[
    ("IT", 0xFF00, 0xBF00, 0, 0),
    ("B<c>", 0xF000, 0xD000, 0, 0),
    ("B<c>.W", 0xF800, 0xF000, 0xD000, 0x8000),
    ("B", 0xF800, 0xE000, 0, 0),
    ("B.W", 0xF800, 0xF000, 0xD000, 0x9000),
    ("BL", 0xF800, 0xF000, 0xD000, 0xD000),
    ("BX", 0xFF87, 0x4700, 0, 0),
    ("BLX", 0xFF87, 0x4780, 0, 0),
    ("CBZ", 0xFD00, 0xB100, 0, 0),
    ("CBNZ", 0xFD00, 0xB900, 0, 0),
    ("TBB [pc]", 0xFFFF, 0xE8DF, 0xFFF0, 0xF000),
    ("TBH [pc]", 0xFFFF, 0xE8DF, 0xFFF0, 0xF010),
    ("TBB", 0xFFFF, 0xE8DB, 0xFFF0, 0xF000),
    ("TBH", 0xFFFF, 0xE8DB, 0xFFF0, 0xF010),
    ("POP pc", 0xFF00, 0xBD00, 0, 0),
    ("POP.W pc", 0xFFFF, 0xE8BD, 0x8000, 0x8000),
    ("LDM pc", 0xFFDF, 0xE89B, 0x8000, 0x8000),
    ("LDMDB pc", 0xFFDF, 0xE91B, 0x8000, 0x8000),
    ("LDR pc, [rn, #+]", 0xFFFF, 0xF8DB, 0xF000, 0xF000),
    ("LDR pc, [rn, #-]", 0xFFFF, 0xF85B, 0xFF00, 0xFC00),
    ("LDR pc, [rn], #-", 0xFFFF, 0xF85B, 0xFF00, 0xF900),
    ("LDR pc, [rn], #+", 0xFFFF, 0xF85B, 0xFF00, 0xFB00),
    ("LDR pc, [rn, #-]!", 0xFFFF, 0xF85B, 0xFF00, 0xFD00),
    ("LDR pc, [rn, #+]!", 0xFFFF, 0xF85B, 0xFF00, 0xFF00),
    ("LDR pc, [rn, rm]", 0xFFFF, 0xF85B, 0xFFC0, 0xF000),
    ("LDR pc, literal ahead", 0xFFFF, 0xF8DF, 0xF000, 0xF000),
    ("LDR pc, literal behind", 0xFFFF, 0xF85F, 0xF000, 0xF000),
    ("MOV pc", 0xFF87, 0x4687, 0, 0),
    ("ADD pc", 0xFF87, 0x4487, 0, 0),
    ("SVC", 0xFF00, 0xDF00, 0, 0),
    ("BKPT", 0xFF00, 0xBE00, 0, 0),
    ("WFI", 0xFFFF, 0xBF30, 0, 0),
    ("WFE", 0xFFFF, 0xBF20, 0, 0),
    ("CPSID", 0xFFF8, 0xB670, 0, 0),
    ("CPSIE", 0xFFF8, 0xB660, 0, 0),
    ("MSR", 0xFFF0, 0xF380, 0xFF00, 0x8800),
    ("MRS", 0xFFFF, 0xF3EF, 0xF000, 0x8000),
    ("LDREX", 0xFFF0, 0xE850, 0x0F00, 0x0F00),
    ("STREX", 0xFFF0, 0xE840, 0x0F00, 0x0500),
    ("LDAEX", 0xFFF0, 0xE8D0, 0x0FFF, 0x0FEF),
    ("LDREXB", 0xFFF0, 0xE8D0, 0x0FFF, 0x0F4F),
    ("LDREXH", 0xFFF0, 0xE8D0, 0x0FFF, 0x0F5F),
    ("CLREX", 0xFFFF, 0xF3BF, 0xFFF0, 0x8F20),
    ("TT", 0xFFF0, 0xE840, 0xF0FF, 0xF000),
];

#[test]
fn the_programs_of_a_run_contain_every_way_that_leaves_the_straight_line() {
    let mut missing: Vec<&str> = WAYS.iter().map(|way| way.0).collect();
    for seed in SEEDS {
        let code = generate(seed, false).code.subject;
        let halves: Vec<u16> =
            code.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let has = |way: &(&str, u16, u16, u16, u16)| {
            halves.windows(2).any(|pair| pair[0] & way.1 == way.2 && pair[1] & way.3 == way.4)
        };
        missing.retain(|name| !WAYS.iter().any(|way| way.0 == *name && has(way)));
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_seed_gives_the_same_program_each_time_and_another_seed_another() {
    let program = generate(7, false);
    assert_eq!(program.code, generate(7, false).code);
    assert_eq!(program.registers, generate(7, false).registers);
    assert_ne!(program.code, generate(8, false).code);
    assert_ne!(program.code.subject, program.code.reference, "what waits is a NOP for the reference");
    assert_eq!(program.code.subject.len(), program.code.reference.len());
}
