//! Figures as a table and as a file.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What was measured.
    pub name: &'static str,
    /// How much.
    pub value: u64,
    /// Of what.
    pub unit: &'static str,
    /// What it is compared with, and where that figure is from; peers are not measured here.
    pub peer: &'static str,
    /// The peer's figure, if one was published.
    pub peer_value: Option<u64>,
}

/// Prints a table and writes `target/bench/NAME.json`.
///
/// # Errors
/// The target folder is not writable.
#[expect(clippy::print_stdout, reason = "the result of a bench")]
pub fn publish(name: &str, rows: &[Row]) -> Result<()> {
    let mut list = Vec::new();
    println!("{:36} {:>8} {:12} {:>8} {:>6}  peer", "figure", "value", "unit", "peer's", "ratio");
    for row in rows {
        #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        let ratio = row.peer_value.map(|peer| row.value as f64 / peer as f64);
        let shown = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        println!(
            "{:36} {:>8} {:12} {:>8} {:>6}  {}",
            row.name,
            row.value,
            row.unit,
            shown(row.peer_value.map(|value| value.to_string())),
            shown(ratio.map(|ratio| format!("{ratio:.2}"))),
            row.peer
        );
        list.push(json!({
            "name": row.name, "value": row.value, "unit": row.unit,
            "peer": row.peer, "peer_value": row.peer_value, "ratio": ratio,
        }));
    }
    let target = std::env::var_os("BULKHEAD_TARGET").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_string_pretty(&list)?)
        .with_context(|| format!("failed to write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}
