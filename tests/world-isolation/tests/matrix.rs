//! Every row of the attack matrix is contained, and every hole made on purpose is found.

use anyhow::{Result, bail};
use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_world_isolation::matrix::{SEEDS, finds, rows, run};

/// Devices at once.
const DEVICES: usize = 4;

#[test]
fn every_row_of_the_attack_matrix_is_contained_and_every_hole_is_found() -> Result<()> {
    let all = rows(&Board::parse(MPS2_AN505)?);
    let report = run(&all, DEVICES, None)?;
    println!("{report}");
    let mut missed = Vec::new();
    for (seed, found) in finds(&all, SEEDS, DEVICES)? {
        match found {
            Ok(escape) => println!("caught: {}: {escape}", seed.name),
            Err(why) => missed.push(format!("{}: {why}", seed.name)),
        }
    }
    let n_found = SEEDS.len() - missed.len();
    let (n_rows, n_escapes) = (report.n_rows(), report.escapes.len());
    println!("attack-matrix: rows={n_rows} escapes={n_escapes} seeded={n_found}/{}", SEEDS.len());
    if n_rows != all.len() || n_escapes != 0 || !missed.is_empty() {
        bail!("{} of {} rows judged\n{report}\nholes missed: {missed:?}", n_rows, all.len());
    }
    Ok(())
}
