//! Commits rows on several devices at once.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail};

use super::row::{Class, Row};
use crate::scene::{Scene, Setting};

/// Rows in a row on one device before another takes the next.
const BATCH: usize = 24;
/// Slow rows are dealt out by themselves.
const SLOW_BATCH: usize = 2;
/// Escapes after which it is pointless to go on.
const ESCAPES_MAX: usize = 200;

/// What became of the rows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows and escapes of each class.
    pub classes: BTreeMap<Class, (usize, usize)>,
    /// What escaped and how.
    pub escapes: Vec<String>,
}

impl Report {
    /// Rows that were judged.
    pub fn n_rows(&self) -> usize {
        self.classes.values().map(|(rows, _)| rows).sum()
    }

    fn add(&mut self, row: &Row, escape: Option<String>) {
        let (rows, escapes) = self.classes.entry(row.class).or_default();
        *rows += 1;
        *escapes += usize::from(escape.is_some());
        self.escapes.extend(escape);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for escape in &self.escapes {
            writeln!(f, "ESCAPED  {escape}")?;
        }
        writeln!(f, "{:<34}{:>6}{:>10}", "class", "rows", "escapes")?;
        for (class, (rows, escapes)) in &self.classes {
            writeln!(f, "{class:<34}{rows:>6}{escapes:>10}")?;
        }
        Ok(())
    }
}

/// Commits `rows` on `n_devices` devices whose hypervisor is `image` (the built one if none is named).
///
/// # Errors
/// A device could not be made. An escape is none: it stands in the report.
pub fn run(rows: &[Row], n_devices: usize, image: Option<&Path>) -> Result<Report> {
    let (slow, quick): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.longest > super::row::LONGEST);
    let batches = slow.chunks(SLOW_BATCH).chain(quick.chunks(BATCH)).map(<[&Row]>::to_vec);
    let queue: Mutex<VecDeque<Vec<&Row>>> = Mutex::new(batches.collect());
    let report = Mutex::new(Report::default());
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let devices: Vec<_> =
            (0..n_devices).map(|_| scope.spawn(|| commit_all(&queue, &report, image))).collect();
        devices
            .into_iter()
            .map(|device| device.join().unwrap_or_else(|_| bail!("a device's thread ended")))
            .collect()
    });
    for result in results {
        result?;
    }
    Ok(report.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn commit_all(
    queue: &Mutex<VecDeque<Vec<&Row>>>,
    report: &Mutex<Report>,
    image: Option<&Path>,
) -> Result<()> {
    let setting = Setting { image, restarts_at_once: true, has_peer: true, arguments: &[] };
    let mut scene = Scene::set("hostile-c", &setting)?;
    let mut number = 0;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(batch) = next else { return Ok(()) };
        for row in batch {
            number += 1;
            let outcome = scene.commit_row(row, number);
            let escape = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(escape)) => Some(format!("{}: {}: {escape}\n{}", row.class, row.name, scene.recent())),
                Err(ended) => Some(format!("{}: {}: {ended:#}", row.class, row.name)),
            };
            let escaped = escape.is_some();
            let n_escapes = {
                let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                report.add(row, escape);
                report.escapes.len()
            };
            if n_escapes >= ESCAPES_MAX {
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return Ok(());
            }
            // Frames that a row left on a secure stack, and a save of floating-point registers that is still due to one, are
            // met by the next row as long as the application lives: that would not be innocent.
            if escaped || row.class == Class::SecureStacks {
                scene.restart()?;
            }
        }
    }
}
