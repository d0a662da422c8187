//! How long the application stands still and what the die wears, ours beside the models.

use anyhow::{Context, Result};
use bulkhead_figures::Row;

use crate::comparison::Compared;
use crate::flash_work::{Images, PAGE_LEN, Programming, Update};
use crate::models::MODELS;
use crate::our_apply;

/// Pairs whose images are applied: few lines changed, and a release.
const PAIRS: &[&str] = &["synth12", "pyb-small", "pyb-release"];
/// What the longest apply is tried with.
const MEBIBYTE: usize = 1 << 20;

/// Ours and the models' on one pair.
struct Applied {
    name: String,
    images: Images,
    /// Pages of the new image that are not as they were.
    changed: Vec<u32>,
    ours: Update,
}

impl Applied {
    /// The fewest and the most erases that one page of the image took.
    fn erases_of_changed_pages(&self) -> (u32, u32) {
        let erases = |page: u32| self.ours.stopped.most_erases(page..page + 1);
        let least = self.changed.iter().map(|page| erases(*page)).min().unwrap_or(0);
        (least, self.ours.stopped.most_erases(0..self.images.longer()))
    }
}

/// The rows, and a table that says more than they do.
///
/// # Errors
/// A file is missing, or our update did not end as it must.
pub(crate) fn measure(all: &[Compared]) -> Result<(Vec<Row>, String)> {
    let mut applied = vec![apply("1 MiB, each page changed".into(), &noise(1), &noise(2))?];
    for compared in all.iter().filter(|compared| PAIRS.contains(&compared.pair.name.as_str())) {
        let read = |path: &std::path::Path| {
            std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))
        };
        let (old, new) = (read(&compared.pair.old)?, read(&compared.pair.new)?);
        applied.push(apply(compared.pair.name.clone(), &old, &new)?);
    }
    let mut rows = Vec::new();
    let mut text = format!(
        "{:26} {:24} {:>10} {:>10} {:>8} {:>8} {:>10}\n",
        "die flash, modelled", "way", "stopped ms", "by units", "erases", "stopped", "most a page"
    );
    for one in &applied {
        let application = 0..one.images.slot_pages();
        let mut line = |way: &str, update: &Update| {
            text.push_str(&format!(
                "{:26} {way:24} {:>10.0} {:>10.0} {:>8} {:>8} {:>10}\n",
                one.name,
                update.stopped.time_ms(Programming::Bursts),
                update.stopped.time_ms(Programming::Units),
                update.erase_count(),
                update.stopped.erase_count(),
                update.stopped.most_erases(application.clone()),
            ));
        };
        line("ours", &one.ours);
        let (least, most) = one.erases_of_changed_pages();
        rows.push(Row::count(
            format!("{}, most erases of a page", one.name),
            u64::from(most),
            "erases",
            format!("{} pages changed, each erased {least} times at least", one.changed.len()),
            Some(1),
        ));
        for model in MODELS {
            let theirs = (model.run)(one.images);
            line(model.name, &theirs);
            let stopped_ms = theirs.stopped.time_ms(Programming::Bursts);
            rows.push(Row {
                name: format!("{}, application stopped", one.name),
                value: one.ours.stopped.time_ms(Programming::Bursts),
                unit: "ms",
                peer: format!("{}, modelled", model.name),
                // Two banks stop the application for a reset only: no ratio says that.
                peer_value: (stopped_ms >= 1.0).then_some(stopped_ms),
            });
            rows.push(Row::count(
                format!("{}, die erases in all", one.name),
                u64::from(one.ours.erase_count()),
                "erases",
                format!("{}, modelled", model.name),
                Some(u64::from(theirs.erase_count())),
            ));
        }
    }
    Ok((rows, text))
}

fn apply(name: String, old: &[u8], new: &[u8]) -> Result<Applied> {
    let page = usize::try_from(PAGE_LEN)?;
    let images = Images {
        old_pages: u32::try_from(old.len().div_ceil(page))?,
        new_pages: u32::try_from(new.len().div_ceil(page))?,
    };
    let mut before = old.chunks(page);
    let changed = (0..).zip(new.chunks(page)).filter(|(_, bytes)| before.next() != Some(*bytes));
    let changed = changed.map(|(number, _)| number).collect();
    let ours = our_apply::run(old, new).with_context(|| name.clone())?;
    Ok(Applied { name, images, changed, ours })
}

/// Bytes without pattern, the same for the same seed.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut image = vec![0; MEBIBYTE];
    for byte in &mut image {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        [*byte, ..] = state.to_be_bytes();
    }
    image
}
