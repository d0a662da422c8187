//! What is not the application's: every span of the board's description, and of the chip, in every alias.

use bulkhead_board_description::{Board, NonVolatile, Part};

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

/// How the keys of those parts of non-volatile memory end that are the application's.
const APPLICATIONS: &str = ".application";
/// Parts of non-volatile memory that hold secrets.
const SECRETS: &[&str] = &["die.identity", "external.configuration", "external.staging"];

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
    for (name, part) in memory.parts().into_iter().filter(|(name, _)| !name.ends_with(APPLICATIONS)) {
        both(&mut add, name, memory.base + part.offset, part.length, SECRETS.contains(&name));
    }
    for (index, gap) in gaps(memory).into_iter().enumerate() {
        let name = format!("nobody's non-volatile memory {index}");
        both(&mut add, &name, memory.base + gap.offset, gap.length, false);
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

/// What lies between the parts of non-volatile memory, and behind the last.
fn gaps(memory: &NonVolatile) -> Vec<Part> {
    let mut parts: Vec<Part> = memory.parts().into_iter().map(|(_, part)| part).collect();
    parts.sort_by_key(|part| part.offset);
    parts.push(Part { offset: memory.length, length: 0 });
    let mut gaps = Vec::new();
    let mut end = 0;
    for part in parts {
        if part.offset > end {
            gaps.push(Part { offset: end, length: part.offset - end });
        }
        end = part.offset + part.length;
    }
    gaps
}

#[cfg(test)]
mod tests {
    use bulkhead_board_description::MPS2_AN505;

    use super::*;

    /// Whether the first and the last byte of `span` lie in one of `spans`, none of which is cut in two by another.
    fn lies_in(span: (u32, u32), spans: &[(u32, u32)]) -> bool {
        spans.iter().any(|(first, last)| *first <= span.0 && span.1 <= *last)
    }

    #[test]
    fn every_byte_of_non_volatile_memory_is_the_applications_or_attacked() {
        let board = Board::parse(MPS2_AN505).unwrap();
        let memory = &board.non_volatile;
        let foreign: Vec<(u32, u32)> = foreign(&board).iter().map(|span| (span.first, span.last)).collect();
        let own: Vec<(u32, u32)> =
            board.application.region.iter().map(|own| (own.base, own.base + (own.length - 1))).collect();
        let first = (memory.base..=memory.base + (memory.length - 1)).step_by(PAGE as usize);
        for page in first.map(|first| (first, first + (PAGE - 1))) {
            let (is_own, is_foreign) = (lies_in(page, &own), lies_in(page, &foreign));
            assert!(is_own != is_foreign, "{:#010x}: own {is_own}, attacked {is_foreign}", page.0);
        }
    }

    #[test]
    fn every_part_that_holds_a_secret_is_attacked_with_everything() {
        let board = Board::parse(MPS2_AN505).unwrap();
        let foreign = foreign(&board);
        for name in SECRETS {
            assert!(foreign.iter().any(|span| span.name == *name && span.thoroughly), "{name}");
        }
    }
}
