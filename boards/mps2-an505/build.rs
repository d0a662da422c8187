//! Generates linker script and constants of the image from `board.toml`.

use std::path::PathBuf;

/// Stack of the hypervisor's handlers in bytes: the application's share of it and the reserve for the fault of an overflow
/// (`device/armv8m-trustzone/src/arm/start.rs`) are 2.5 KiB, and all of it that was ever used is 1,244 bytes. The console
/// says the highest use whenever an application starts.
const STACK_BYTES: u32 = 5 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let board = bulkhead_board_description::Board::parse(&std::fs::read_to_string("board.toml")?)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("hypervisor.x"),
        bulkhead_board_description::hypervisor_linker_script(&board, STACK_BYTES),
    )?;
    std::fs::write(out.join("board.rs"), bulkhead_board_description::rust_constants(&board))?;
    println!("cargo::rustc-link-arg-bins=-T{}", out.join("hypervisor.x").display());
    println!("cargo::rerun-if-changed=board.toml");
    Ok(())
}
