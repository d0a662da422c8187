//! Files generated from a description: linker scripts, the C header of a board, the table of regions.

use std::fmt::Write;

use crate::{Access, Board};

/// Linker script of the hypervisor image.
///
/// The stack lies lowest in RAM, so that what overruns it meets the end of RAM and the stack limit, not data.
pub fn hypervisor_linker_script(board: &Board, stack_bytes: u32) -> String {
    let h = &board.hypervisor;
    format!(
        "/* Generated from boards/{name}/board.toml. */
MEMORY {{
  CODE (rx) : ORIGIN = {code:#x}, LENGTH = {code_len:#x}
  GATEWAYS (rx) : ORIGIN = {gates:#x}, LENGTH = {gates_len:#x}
  RAM (rwx) : ORIGIN = {ram:#x}, LENGTH = {ram_len:#x}
}}
ENTRY(bulkhead_reset)
EXTERN(bulkhead_vectors)
SECTIONS {{
  .vectors ORIGIN(CODE) : {{ KEEP(*(.vectors)) }} > CODE
  .text : ALIGN(4) {{ *(.text .text.*) }} > CODE
  .rodata : ALIGN(8) {{ *(.rodata .rodata.*) . = ALIGN(8); }} > CODE
  .gateways ORIGIN(GATEWAYS) : {{ KEEP(*(.gateways)) }} > GATEWAYS
  .door ORIGIN(GATEWAYS) + LENGTH(GATEWAYS) - 8 : {{ KEEP(*(.door)) }} > GATEWAYS
  .stack (NOLOAD) : {{ __stack_limit = .; . += {stack_bytes}; . = ALIGN(8); __stack_top = .; . += 8; }} > RAM
  .data : ALIGN(8) {{ __data_start = .; *(.data .data.*) . = ALIGN(8); __data_end = .; }} > RAM AT > CODE
  __data_load = LOADADDR(.data);
  .bss (NOLOAD) : ALIGN(8) {{ __bss_start = .; *(.bss .bss.* COMMON) . = ALIGN(8); __bss_end = .; }} > RAM
  .noinit (NOLOAD) : ALIGN(8) {{ *(.noinit .noinit.*) . = ALIGN(8); }} > RAM
  /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab*) }}
}}
",
        name = board.name,
        code = h.code.base,
        code_len = h.code.length,
        gates = h.gateways.base,
        gates_len = h.gateways.length,
        ram = h.memory.base,
        ram_len = h.memory.length,
    )
}

/// Linker script of an application on this board: vectors first in flash, constants marked `.external` in the
/// external area.
pub fn application_linker_script(board: &Board) -> String {
    let mut out = format!("/* Generated from boards/{}/board.toml. Do not edit. */\nMEMORY {{\n", board.name);
    for region in &board.application.region {
        let attributes = match region.access {
            Access::Read => "r",
            Access::ReadExecute => "rx",
            Access::ReadWriteExecute => "rwx",
        };
        let name = region.name.to_uppercase();
        let _ = writeln!(
            out,
            "  {name} ({attributes}) : ORIGIN = {:#x}, LENGTH = {:#x}",
            region.base, region.length
        );
    }
    out.push_str(
        "}
ENTRY(reset_handler)
SECTIONS {
  /* The second name is that of vendors' start-up code. */
  .vectors : { KEEP(*(.vectors)) KEEP(*(.isr_vector .isr_vector.*)) } > FLASH
  .text : ALIGN(4) {
    *(.text .text.*) KEEP(*(.init)) KEEP(*(.fini)) *(.rodata .rodata.*) . = ALIGN(4);
  } > FLASH
  .ARM.extab : ALIGN(4) { *(.ARM.extab*) } > FLASH
  .ARM.exidx : ALIGN(4) { __exidx_start = .; *(.ARM.exidx*) __exidx_end = .; } > FLASH
  .preinit_array : ALIGN(4) {
    __preinit_array_start = .; KEEP(*(.preinit_array)) __preinit_array_end = .;
  } > FLASH
  /* Those with a priority first, in its order; then those without, as the files were given. */
  .init_array : ALIGN(4) {
    _constructors_start = .; __init_array_start = .;
    KEEP(*(SORT_BY_INIT_PRIORITY(.init_array.*)))
    KEEP(*(.init_array))
    _constructors_end = .; __init_array_end = .;
  } > FLASH
  .fini_array : ALIGN(4) {
    __fini_array_start = .;
    KEEP(*(SORT_BY_INIT_PRIORITY(.fini_array.*)))
    KEEP(*(.fini_array))
    __fini_array_end = .;
  } > FLASH
  .external : ALIGN(4) { KEEP(*(.external .external.*)) } > EXTERNAL
  .data : ALIGN(4) { _data_start = .; *(.data .data.*) . = ALIGN(4); _data_end = .; } > RAM AT > FLASH
  _data_load = LOADADDR(.data);
  .bss (NOLOAD) : ALIGN(4) { _bss_start = .; *(.bss .bss.* COMMON) . = ALIGN(4); _bss_end = .; } > RAM
  /* The stack's limit, too: a debugger watches whole blocks of 32 bytes, and what shares one with a stack by stepping. */
  _heap_start = ALIGN(32);
  _stack_top = ORIGIN(RAM) + LENGTH(RAM);
  /* The same by the names that vendors' files use. */
  PROVIDE(_estack = _stack_top);
  PROVIDE(_sidata = _data_load);
  PROVIDE(_sdata = _data_start);
  PROVIDE(_edata = _data_end);
  PROVIDE(_sbss = _bss_start);
  PROVIDE(_ebss = _bss_end);
  PROVIDE(__bss_start__ = _bss_start);
  PROVIDE(__bss_end__ = _bss_end);
  PROVIDE(end = _heap_start);
  PROVIDE(_end = _heap_start);
  PROVIDE(_Min_Heap_Size = 0);
  PROVIDE(_Min_Stack_Size = 0x4000);
}
",
    );
    out
}

/// `memory.x` for applications that the `cortex-m-rt` crate starts, with the symbol that the SDK for Rust wants.
pub fn cortex_m_rt_memory(board: &Board) -> String {
    let mut out = format!("/* Generated from boards/{}/board.toml. Do not edit. */\nMEMORY {{\n", board.name);
    for region in &board.application.region {
        let name = region.name.to_uppercase();
        let _ = writeln!(out, "  {name} : ORIGIN = {:#x}, LENGTH = {:#x}", region.base, region.length);
    }
    let _ = writeln!(out, "}}\n_bulkhead_gateways = {:#x};", board.hypervisor.gateways.base);
    out
}

/// `device.x` for `cortex-m-rt` with its feature `device`: a handler that the application does not define is the
/// default one.
pub fn cortex_m_rt_handlers(board: &Board) -> String {
    let mut out = format!("/* Generated from boards/{}/board.toml. Do not edit. */\n", board.name);
    let mut handler = |name: &str, index: usize| {
        let _ = writeln!(out, "PROVIDE({}{index} = DefaultHandler);", name.to_uppercase());
    };
    for peripheral in &board.application.peripheral {
        (0..peripheral.interrupts.len()).for_each(|index| handler(&format!("{}_", peripheral.name), index));
    }
    (0..board.application.software_interrupts.len()).for_each(|index| handler("software", index));
    out
}

/// C header with the addresses and interrupt lines that the application owns.
pub fn application_board_header(board: &Board) -> String {
    let mut out = format!(
        "/* Generated from boards/{}/board.toml. Do not edit. */\n#ifndef BH_BOARD_H\n#define BH_BOARD_H\n\n",
        board.name
    );
    let _ = writeln!(out, "#define BH_BOARD_CLOCK_HZ {}u", board.clock_hz);
    let _ = writeln!(out, "#define BH_BOARD_GATEWAYS {:#x}u", board.hypervisor.gateways.base);
    for region in &board.application.region {
        let name = region.name.to_uppercase();
        let _ = writeln!(out, "#define BH_BOARD_{name}_BASE {:#x}u", region.base);
        let _ = writeln!(out, "#define BH_BOARD_{name}_LENGTH {:#x}u", region.length);
    }
    for peripheral in &board.application.peripheral {
        let name = peripheral.name.to_uppercase();
        let _ = writeln!(out, "#define BH_BOARD_{name}_BASE {:#x}u", peripheral.base);
        for (index, line) in peripheral.interrupts.iter().enumerate() {
            let _ = writeln!(out, "#define BH_BOARD_{name}_INTERRUPT_{index} {line}u");
        }
    }
    for (index, line) in board.application.software_interrupts.iter().enumerate() {
        let _ = writeln!(out, "#define BH_BOARD_SOFTWARE_INTERRUPT_{index} {line}u");
    }
    out.push_str("\n#endif\n");
    out
}

/// Rust constants for the board crate: the same description, at compile time.
pub fn rust_constants(board: &Board) -> String {
    let mut out = String::from("// Generated from board.toml.\n");
    let mut constant = |name: &str, kind: &str, value: String| {
        let _ = writeln!(out, "pub(crate) const {name}: {kind} = {value};");
    };
    let nv = &board.non_volatile;
    constant("DEVICE_CLASS", "&str", format!("{:?}", board.device_class));
    constant("BOARD_REVISION", "u32", board.revision.to_string());
    constant("CLOCK_HZ", "u32", board.clock_hz.to_string());
    constant(
        "GATEWAYS",
        "(u32, u32)",
        span(board.hypervisor.gateways.base, board.hypervisor.gateways.length),
    );
    constant("WORKER_SHARE_PERCENT", "u32", board.worker.share_percent.to_string());
    constant("WORKER_VECTORS", "(u32, u32)", span(board.worker.vectors.base, board.worker.vectors.length));
    let regions: Vec<_> = board
        .application
        .region
        .iter()
        .map(|r| {
            let writable = r.access == Access::ReadWriteExecute;
            format!("({:#x}, {:#x}, {writable})", r.base, r.length)
        })
        .collect();
    constant("APPLICATION_REGIONS", "&[(u32, u32, bool)]", format!("&[{}]", regions.join(", ")));
    let peripherals: Vec<_> = board.application.peripheral.iter().map(|p| span(p.base, p.length)).collect();
    constant("APPLICATION_PERIPHERALS", "&[(u32, u32)]", format!("&[{}]", peripherals.join(", ")));
    let mut lines: Vec<_> =
        board.application.peripheral.iter().flat_map(|p| p.interrupts.iter().copied()).collect();
    lines.extend(&board.application.software_interrupts);
    let text: Vec<_> = lines.iter().map(u32::to_string).collect();
    constant("APPLICATION_LINES", "&[u8]", format!("&[{}]", text.join(", ")));
    for p in &board.hypervisor_peripheral {
        constant(&format!("{}_BASE", p.name.to_uppercase()), "u32", format!("{:#x}", p.base));
        if p.interrupts.is_empty() {
            continue;
        }
        let text: Vec<_> = p.interrupts.iter().map(u32::to_string).collect();
        constant(&format!("{}_LINES", p.name.to_uppercase()), "&[u8]", format!("&[{}]", text.join(", ")));
    }
    // Each memory is addressed from its own start; external flash starts with the application's part.
    let external_start = nv.external.application.offset;
    constant("DIE_BASE", "u32", format!("{:#x}", nv.base));
    constant("DIE_LENGTH", "u32", format!("{:#x}", external_start));
    constant("DIE_PAGE_BYTES", "u32", nv.die.page_bytes.to_string());
    constant("DIE_UNIT_BYTES", "u32", nv.die.unit_bytes.to_string());
    constant("EXTERNAL_BASE", "u32", format!("{:#x}", nv.base + external_start));
    constant("EXTERNAL_LENGTH", "u32", format!("{:#x}", nv.length - external_start));
    constant("EXTERNAL_SECTOR_BYTES", "u32", nv.external.sector_bytes.to_string());
    for (name, part, start) in [
        ("DIE_APPLICATION", nv.die.application, 0),
        ("DIE_JOURNAL", nv.die.journal, 0),
        ("DIE_MANIFESTS", nv.die.manifests, 0),
        ("DIE_IDENTITY", nv.die.identity, 0),
        ("DIE_ENTROPY", nv.die.entropy, 0),
        ("DIE_KEYS", nv.die.keys, 0),
        ("DIE_LEDGER", nv.die.ledger, 0),
        ("DIE_BREAKPOINTS", nv.die.breakpoints, 0),
        ("EXTERNAL_APPLICATION", nv.external.application, external_start),
        ("EXTERNAL_CONFIGURATION", nv.external.configuration, external_start),
        ("EXTERNAL_CRASHES", nv.external.crashes, external_start),
        ("EXTERNAL_STAGING", nv.external.staging, external_start),
    ] {
        constant(name, "(u32, u32)", span(part.offset - start, part.length));
    }
    out
}

fn span(base: u32, length: u32) -> String {
    format!("({base:#x}, {length:#x})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_texts_hold_the_boards_addresses() {
        let board = Board::parse(crate::MPS2_AN505).unwrap();
        assert!(hypervisor_linker_script(&board, 4096).contains("ORIGIN = 0x10000000"));
        assert!(application_linker_script(&board).contains("FLASH (rx) : ORIGIN = 0x80000000"));
        assert!(application_linker_script(&board).contains("PROVIDE(_estack = _stack_top);"));
        assert!(cortex_m_rt_memory(&board).contains("_bulkhead_gateways = 0x101ff000;"));
        assert!(cortex_m_rt_handlers(&board).contains("PROVIDE(SOFTWARE0 = DefaultHandler);"));
        assert!(application_board_header(&board).contains("BH_BOARD_UART1_BASE 0x40201000u"));
        assert!(rust_constants(&board).contains("EXTERNAL_STAGING: (u32, u32) = (0x600000, 0x800000)"));
    }
}
