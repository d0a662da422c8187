//! `cargo xtask bench NAME`: figures, each with the command that made it and a published one to compare with.

mod footprint;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::system;
use crate::workspace::Workspace;

/// One figure.
#[derive(Clone, Debug)]
struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// What the peer is and where its figure is from. Peers are not measured here.
    peer: &'static str,
    peer_value: f64,
}

/// Measures, prints a table and writes `target/bench/NAME.json`.
///
/// # Errors
/// No such figure, or the measurement failed.
pub(crate) fn run(workspace: &Workspace, name: &str) -> Result<()> {
    match name {
        "footprint" => publish(workspace, name, &footprint::measure(workspace)?),
        // Needs both ends of the link, so it lives with the whole-system tests; it writes the same file.
        "link" => system::run(workspace, "bench-link", &[]),
        "device" => {
            system::prepare(workspace)?;
            system::run(workspace, "bench-device", &[])
        }
        _ => bail!("no bench `{name}`; there are: footprint, link, device"),
    }
}

fn publish(workspace: &Workspace, name: &str, rows: &[Row]) -> Result<()> {
    let mut list = Vec::new();
    println!("{:34} {:>10} {:8} {:>10} {:>6}  peer", "figure", "value", "unit", "peer's", "ratio");
    for row in rows {
        let ratio = row.value / row.peer_value;
        println!(
            "{:34} {:>10.1} {:8} {:>10.1} {:>6.2}  {}",
            row.name, row.value, row.unit, row.peer_value, ratio, row.peer
        );
        list.push(json!({
            "name": row.name, "value": row.value, "unit": row.unit,
            "peer": row.peer, "peer_value": row.peer_value, "ratio": ratio,
        }));
    }
    let folder = workspace.target().join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let path = folder.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(&list)?;
    std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    println!("written to {}", workspace.relative(&path));
    Ok(())
}
