//! `cargo xtask bench update`: our patches beside other people's, each of them decoded.
//!
//! Without arguments it compares every known pair; with two files, these. `xtask` builds our own images beforehand.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the result of a bench")]

mod apply_cost;
mod comparison;
mod decoder_cost;
mod flash_work;
mod models;
mod our_apply;
mod pairs;
mod peers;
mod score;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bulkhead_figures::{Row, publish, target_folder};

use crate::comparison::{compare, families};
use crate::peers::Peers;
use crate::score::{Ratio, Score};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[PathBuf]) -> Result<()> {
    let folder = std::path::absolute(target_folder().join("bench/update"))?;
    let peers = Peers::fetch(&folder)?;
    match arguments {
        [] => all_pairs(&folder, &peers),
        [old, new] => one_pair(old, new, &folder, &peers),
        _ => bail!("two files are compared, an old and a new image; {} were given", arguments.len()),
    }
}

fn all_pairs(folder: &Path, peers: &Peers) -> Result<()> {
    let all = compare(&pairs::all(peers.public(), &folder.join("firmware"))?, peers)?;
    print!("{}", families(&all));
    let mut rows = Vec::new();
    let mut ratios = Vec::new();
    for compared in &all {
        let row = compared.row()?;
        let value = row.ratio().context("a row without a peer")?;
        let pair = &compared.pair;
        ratios.push(Ratio { processor: pair.processor, change: pair.change, value });
        rows.push(row);
    }
    let Score { geomean, large, worst } = Score::of(&ratios);
    let mean = |name: &str, value| Row {
        name: name.into(),
        value,
        unit: "ratio",
        peer: "the best of each pair".into(),
        peer_value: Some(1.0),
    };
    rows.push(mean("geometric mean, Cortex-M", geomean));
    rows.push(mean("the same, large changes", large));
    rows.push(mean("worst, controls included", worst));
    rows.extend(decoder_cost::measure(&all, &target_folder())?);
    let (cost, table) = apply_cost::measure(&all)?;
    rows.extend(cost);
    println!("\n{table}");
    print!("{}", publish(&target_folder(), "update", &rows)?);
    println!("bench update: geomean={geomean:.3} large={large:.3} worst={worst:.3}");
    Ok(())
}

fn one_pair(old: &Path, new: &Path, folder: &Path, peers: &Peers) -> Result<()> {
    let pair = pairs::from_files(old, new, folder)?;
    let all = compare(&[pair], peers)?;
    print!("{}", families(&all));
    let rows = all.iter().map(comparison::Compared::row).collect::<Result<Vec<_>>>()?;
    println!();
    print!("{}", publish(&target_folder(), "update-pair", &rows)?);
    Ok(())
}
