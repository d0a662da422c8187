//! Commits every row of the attack matrix in QEMU, then the rows that must find the seeded holes; prints the table.
//!
//! `cargo xtask attack-matrix`, or `cargo run -p bulkhead-world-isolation --bin attack-matrix -- [--only TEXT]
//! [--devices N] [--list]`. `--only`: rows whose class or name contains the text, and no seeded holes.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_world_isolation::matrix::{SEEDS, finds, rows, run};

const DEVICES: usize = 4;

fn main() -> Result<ExitCode> {
    let mut only = None;
    let mut n_devices = DEVICES;
    let mut list = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only" => only = Some(arguments.next().context("--only takes a text")?),
            "--devices" => {
                n_devices =
                    arguments.next().and_then(|n| n.parse().ok()).context("--devices takes a number")?;
            }
            "--list" => list = true,
            other => bail!("`{other}` is none of --only TEXT, --devices N, --list"),
        }
    }
    let mut all = rows(&Board::parse(MPS2_AN505)?);
    if let Some(text) = &only {
        all.retain(|row| row.name.contains(text) || row.class.to_string().contains(text));
    }
    if list {
        for row in &all {
            println!("{}: {}", row.class, row.name);
        }
        println!("{} rows", all.len());
        return Ok(ExitCode::SUCCESS);
    }
    let started = Instant::now();
    let report = run(&all, n_devices, None)?;
    print!("{report}");
    let mut n_found = 0;
    let seeds = if only.is_some() { &[] } else { SEEDS };
    for (seed, found) in finds(&all, seeds, n_devices)? {
        n_found += usize::from(found.is_ok());
        match found {
            Ok(escape) => println!("caught   {}: {escape}", seed.name),
            Err(why) => println!("MISSED   {}: {why}", seed.name),
        }
    }
    println!("{:.0} s", started.elapsed().as_secs_f32());
    let (n_rows, n_escapes) = (report.n_rows(), report.escapes.len());
    println!("attack-matrix: rows={n_rows} escapes={n_escapes} seeded={n_found}/{}", seeds.len());
    let good = n_escapes == 0 && n_found == seeds.len() && n_rows > 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
