//! `cargo xtask bench NAME`: figures, each with the command that made it and a peer's to compare with.

mod firmware_pairs;
mod footprint;

use anyhow::{Result, bail};
use bulkhead_figures::publish;

use crate::workspace::Workspace;
use crate::{image, requirements, system};

/// Programs of the board that decode one patch, and the same without a decoder.
const DECODER_PROGRAMS: &[&str] = &["decoder-cost", "decoder-cost-frame"];

/// Measures, prints a table and writes `target/bench/NAME.json`.
///
/// # Errors
/// No such figure, or the measurement failed.
pub(crate) fn run(workspace: &Workspace, name: &str) -> Result<()> {
    match name {
        "footprint" => {
            print!("{}", publish(workspace.target(), name, &footprint::measure(workspace)?)?);
            Ok(())
        }
        // Needs both ends of the link, so it lives with the whole-system tests; it writes the same file.
        "link" => system::run(workspace, "bench-link", &[]),
        "device" => {
            system::prepare(workspace)?;
            system::run(workspace, "bench-device", &[])
        }
        "update" => {
            requirements::setup(workspace)?;
            requirements::bring_peers()?;
            firmware_pairs::build(workspace)?;
            for program in DECODER_PROGRAMS {
                image::build_program(workspace, system::BOARD, program)?;
            }
            system::run_delta_bench(workspace, &[])
        }
        "debug" => {
            system::prepare(workspace)?;
            system::run(workspace, "bench-debug", &[])
        }
        "isolation" => {
            system::prepare(workspace)?;
            system::run(workspace, "bench-isolation", &[])
        }
        _ => bail!("no bench `{name}`; there are: footprint, link, device, update, debug, isolation"),
    }
}

/// Compares the patches of one pair of images.
///
/// # Errors
/// A file is missing, or the measurement failed.
pub(crate) fn run_pair(workspace: &Workspace, old: &str, new: &str) -> Result<()> {
    requirements::bring_peers()?;
    // The program is started at the root of the tree; a person names files from where they are.
    let paths = [std::path::absolute(old)?, std::path::absolute(new)?];
    system::run_delta_bench(workspace, &paths)
}
