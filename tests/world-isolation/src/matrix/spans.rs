//! What is not the application's: every span of the board's description, and of the chip, in every alias.

use bulkhead_board_description::{Board, Part};

/// Bit of an address that tells the alias of one world from that of the other (SSE-200, IDAU).
const ALIAS: u32 = 1 << 28;

/// A span of addresses with a name.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// For people.
    pub name: String,
    /// First address.
    pub first: u32,
    /// Last address.
    pub last: u32,
    /// Attacked with every instruction, not with a choice of them.
    pub thoroughly: bool,
}

/// Peripherals of the chip that `board.toml` gives to nobody, by their non-secure address. AN505 and SSE-200 memory maps.
const UNASSIGNED: &[(&str, u32)] = &[
    ("timer 1", 0x4000_1000),
    ("dual timer", 0x4000_2000),
    ("slow timer", 0x4002_F000),
    ("watchdog", 0x4008_1000),
    ("system information", 0x4002_0000),
    ("system control", 0x4002_1000),
    ("secure control, non-secure half", 0x4008_0000),
    ("protection controller of internal memory 0", 0x4008_3000),
    ("protection controller of internal memory 3", 0x4008_6000),
    ("GPIO 0", 0x4010_0000),
    ("GPIO 3", 0x4010_3000),
    ("DMA controller 0", 0x4011_0000),
    ("DMA controller 1", 0x4011_1000),
    ("DMA controller 2", 0x4011_2000),
    ("DMA controller 3", 0x4011_3000),
    ("UART 2", 0x4020_2000),
    ("UART 4", 0x4020_4000),
    ("SPI 0", 0x4020_5000),
    ("I2C 0", 0x4020_7000),
    ("board configuration", 0x4030_0000),
    ("board I/O", 0x4030_2000),
    ("power policy unit", 0x4002_2000),
    ("protection controller of SSRAM 1", 0x4800_7000),
    ("protection controller of SSRAM 2", 0x4800_8000),
    ("protection controller of SSRAM 3", 0x4800_9000),
];
const PAGE: u32 = 0x1000;

/// Memories of the chip that are nobody's.
const MEMORIES: &[(&str, u32, u32)] = &[
    ("internal memory 0", 0x2000_0000, 0x8000),
    ("internal memory 3", 0x2001_8000, 0x8000),
    ("SSRAM 2 behind the hypervisor's", 0x2802_0000, 0x1000),
    ("SSRAM 3 behind the application's", 0x2828_0000, 0x1000),
    ("nothing at all", 0x6000_0000, 0x1000),
    ("nothing behind the peripherals", 0x4F00_0000, 0x1000),
    ("nothing behind non-volatile memory", 0x8100_0000, 0x1000),
    ("vendor space", 0xE010_0000, 0x1000),
];

/// Everything that the application does not own.
pub fn foreign(board: &Board) -> Vec<Foreign> {
    let mut all = Vec::new();
    let mut add = |name: &str, base: u32, length: u32, thoroughly: bool| {
        let last = base.wrapping_add(length).wrapping_sub(1);
        all.push(Foreign { name: name.to_owned(), first: base, last, thoroughly });
    };
    let both = |add: &mut dyn FnMut(&str, u32, u32, bool), name: &str, base: u32, length: u32, thoroughly| {
        add(name, base, length, thoroughly);
        add(&format!("{name}, other alias"), base ^ ALIAS, length, false);
    };
    let kept = &board.hypervisor;
    both(&mut add, "code of the hypervisor", kept.code.base, kept.code.length, true);
    both(&mut add, "gateways", kept.gateways.base, kept.gateways.length, true);
    both(&mut add, "memory of the hypervisor", kept.memory.base, kept.memory.length, true);
    for own in &board.application.region {
        add(&format!("{}, secure alias", own.name), own.base ^ ALIAS, own.length, false);
    }
    for own in &board.application.peripheral {
        add(&format!("{}, secure alias", own.name), own.base ^ ALIAS, own.length, false);
    }
    for peripheral in &board.hypervisor_peripheral {
        both(&mut add, &peripheral.name, peripheral.base, peripheral.length, true);
    }
    let memory = &board.non_volatile;
    let die = &memory.die;
    let parts: [(&str, Part, bool); 8] = [
        ("journal", die.journal, false),
        ("manifests", die.manifests, false),
        ("identity", die.identity, true),
        ("entropy", die.entropy, false),
        ("owner's keys", die.keys, false),
        ("ledger", die.ledger, false),
        ("breakpoints", die.breakpoints, false),
        ("staging", memory.external.staging, true),
    ];
    for (name, part, thoroughly) in parts {
        both(&mut add, name, memory.base + part.offset, part.length, thoroughly);
    }
    for (name, base) in UNASSIGNED {
        both(&mut add, name, *base, PAGE, false);
    }
    for (name, base, length) in MEMORIES {
        add(name, *base, *length, false);
        if *base < 0x4000_0000 {
            add(&format!("{name}, other alias"), base ^ ALIAS, *length, false);
        }
    }
    all
}
