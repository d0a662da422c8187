//! What a bench measured: rows, the table that a person reads and the file that a program reads.
//!
//! Every bench says the same of each figure: what, how much, of what unit, and what it is compared with.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

/// Columns of the first word of a table.
const NAME_COLUMNS: usize = 28;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What it is compared with, and where that figure is from.
    pub peer: String,
    /// The peer's figure, if there is one.
    pub peer_value: Option<f64>,
}

impl Row {
    /// A row of counts.
    pub fn count(
        name: impl Into<String>,
        value: u64,
        unit: &'static str,
        peer: impl Into<String>,
        peer_value: Option<u64>,
    ) -> Self {
        // Counts of benches are far below 2^52.
        let peer_value = peer_value.map(|value| value as f64);
        Self { name: name.into(), value: value as f64, unit, peer: peer.into(), peer_value }
    }

    /// Ours divided by the peer's.
    pub fn ratio(&self) -> Option<f64> {
        self.peer_value.map(|peer| self.value / peer)
    }
}

/// The table of `rows`, lines with their ends.
pub fn table(rows: &[Row]) -> String {
    let names = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(NAME_COLUMNS);
    let units = rows.iter().map(|row| row.unit.len()).max().unwrap_or(0).max("unit".len());
    let mut text = format!(
        "{:names$} {:>9} {:units$} {:>9} {:>6}  peer\n",
        "figure", "value", "unit", "peer's", "ratio"
    );
    for row in rows {
        let peer_value = row.peer_value.map_or_else(|| "-".into(), number);
        let ratio = row.ratio().map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        let value = number(row.value);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:names$} {value:>9} {:units$} {peer_value:>9} {ratio:>6}  {}",
            row.name, row.unit, row.peer
        );
    }
    text
}

/// Counts are whole; of the rest three digits say enough.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value.abs() < 10.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.1}")
    }
}

/// The folder of build products: `xtask` names it in `BULKHEAD_TARGET` to the programs it starts.
pub fn target_folder() -> PathBuf {
    std::env::var_os("BULKHEAD_TARGET").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// Writes `bench/NAME.json` in the folder `target`; returns the table and a line that says where the file is.
///
/// # Errors
/// The target folder is not writable.
pub fn publish(target: &Path, name: &str, rows: &[Row]) -> Result<String> {
    let list: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name, "value": row.value, "unit": row.unit,
                "peer": row.peer, "peer_value": row.peer_value, "ratio": row.ratio(),
            })
        })
        .collect();
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_string_pretty(&list)?)
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(format!("{}written to {}\n", table(rows), path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_counts_whole_and_a_missing_peer_as_a_dash() {
        let counts = Row::count("bytes", 12, "bytes", "none", Some(24));
        let text = table(&[counts.clone(), Row { value: 1.25, peer_value: None, ..counts }]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["bytes", "12", "bytes", "24", "0.50", "none"]);
        assert_eq!(lines[2], ["bytes", "1.250", "bytes", "-", "-", "none"]);
    }
}
