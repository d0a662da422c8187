//! Who owns what, from `board.toml` into SAU, protection controllers and interrupt controller.

use bulkhead_armv8m_trustzone as world;
use bulkhead_chip_mps2_an505::{Sram3Share, assign_peripheral, assign_sram3};
use world::interrupts::{InterruptLine, enable, set_priority};
use world::partition::{Attribution, SauRegion, configure};
use world::worker::{DoorPlace, build_door};

use crate::board;

/// Regions of the SAU on this chip.
const REGIONS_MAX: usize = 8;
/// Lines that the application may own: as many as `armv8m-trustzone` can unwind when all are active.
const LINES_MAX: usize = 16;

/// Priority of the hypervisor's device interrupts.
const DEVICE_PRIORITY: u8 = 0x20;

/// Divides the chip.
///
/// # Errors
/// A sentence that names what in `board.toml` does not fit this chip.
pub(crate) fn divide() -> Result<(), &'static str> {
    let mut regions = heapless::Vec::<SauRegion, REGIONS_MAX>::new();
    let mut add = |base, length, attribution| {
        regions
            .push(SauRegion { base, length, attribution })
            .map_err(|_| "board.toml has more regions than the SAU")
    };
    for (base, length, _) in board::APPLICATION_REGIONS {
        add(*base, *length, Attribution::NonSecure)?;
    }
    for (base, length) in board::APPLICATION_PERIPHERALS {
        if !assign_peripheral(*base) {
            return Err("board.toml gives away a peripheral that this chip cannot");
        }
        add(*base, *length, Attribution::NonSecure)?;
    }
    let (base, length) = board::GATEWAYS;
    add(base, length, Attribution::Gateways)?;

    let (base, length) = memory();
    let (table, table_length) = board::WORKER_VECTORS;
    if !assign_sram3(Sram3Share { base, length: length.saturating_add(table_length) }) {
        return Err("board.toml puts the application's memory where the chip has no blocks for it");
    }
    let mut lines = heapless::Vec::<InterruptLine, LINES_MAX>::new();
    for number in board::APPLICATION_LINES {
        let line =
            InterruptLine::new(*number).ok_or("board.toml names an interrupt line that does not exist")?;
        lines.push(line).map_err(|_| "board.toml gives the application too many interrupt lines")?;
    }
    configure(&regions, &lines).map_err(|_| "board.toml has more regions than the SAU")?;
    let region = (0..).zip(board::APPLICATION_REGIONS).find(|(_, (_, _, writable))| *writable);
    let region = region.map_or(0, |(number, _)| number);
    if !build_door(DoorPlace { region, table, length: table_length }) {
        return Err("board.toml has too little room for worker.vectors, or not on 1 KiB");
    }
    world::memory_check::set_memories(board::APPLICATION_REGIONS);
    let (first, length) = memory();
    world::faults::set_application_memory(first, first.saturating_add(length));
    world::start::refuse_application_reset();
    for number in board::ETHERNET_LINES {
        if let Some(line) = InterruptLine::new(*number) {
            set_priority(line, DEVICE_PRIORITY);
            enable(line);
        }
    }
    Ok(())
}

/// First address and length of the application's RAM.
pub(crate) fn memory() -> (u32, u32) {
    let writable = board::APPLICATION_REGIONS.iter().find(|(_, _, writable)| *writable);
    writable.map_or((0, 0), |(base, length, _)| (*base, *length))
}

/// Whether the application owns this interrupt line.
pub(crate) fn owns_line(line: u32) -> bool {
    board::APPLICATION_LINES.iter().any(|l| u32::from(*l) == line)
}
