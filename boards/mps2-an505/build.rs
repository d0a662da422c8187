//! Generates linker script and constants of the image from `board.toml`.

use std::path::PathBuf;

/// Main stack of the hypervisor in bytes; its highest use is printed by `cargo xtask bench footprint`.
const STACK_BYTES: u32 = 8 * 1024;

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
