//! Our patch of each pair beside everybody else's.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_delta::{EncodeOptions, decode_all, encode};
use bulkhead_figures::Row;

use crate::pairs::Pair;
use crate::peers::{Patch, Peers};

/// Columns of the table: a heading, and what the names of its settings begin with and hold.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("heatshrink", "detools ", "heatshrink"),
    ("crle", "detools ", "crle"),
    ("lzma", "detools ", " lzma"),
    ("lzma-4k", "detools ", "raw LZMA"),
    ("bsdiff4", "bsdiff4", ""),
    ("hdiff", "hdiffpatch ", ""),
    ("hdiff-lite", "hpatchlite ", ""),
    ("xdelta3", "xdelta3 ", ""),
];

/// Everybody's patches of one pair.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) pair: Pair,
    new_len: usize,
    /// Our patch.
    pub(crate) ours: Vec<u8>,
    encoding: Duration,
    peers: Vec<Patch>,
}

impl Compared {
    /// Makes every patch of `pair` and decodes it.
    ///
    /// # Errors
    /// A file is missing, a peer failed, or a patch does not make the new image.
    fn make(pair: &Pair, peers: &Peers) -> Result<Self> {
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("failed to read {}", path.display()));
        let (old, new) = (read(&pair.old)?, read(&pair.new)?);
        let peers = peers.patches(pair)?;
        let started = Instant::now();
        let ours = encode(&old, &new, &EncodeOptions::default());
        let encoding = started.elapsed();
        let decoded = decode_all(&old, &ours, u32::try_from(new.len())?);
        match decoded {
            Ok(decoded) if decoded == new => {}
            Ok(_) => bail!("our patch of {} makes another image", pair.name),
            Err(refused) => bail!("our patch of {} is refused: {refused:?}", pair.name),
        }
        Ok(Self { pair: pair.clone(), new_len: new.len(), ours, encoding, peers })
    }

    /// The shortest patch of a peer whose name `wanted` accepts.
    fn shortest(&self, wanted: impl Fn(&str) -> bool) -> Option<&Patch> {
        self.peers.iter().filter(|patch| wanted(&patch.name)).min_by_key(|patch| patch.len)
    }

    /// Ours beside the shortest of all peers.
    ///
    /// # Errors
    /// There is no peer.
    pub(crate) fn row(&self) -> Result<Row> {
        let best = self.shortest(|_| true).context("no peer made a patch")?;
        let ours = u64::try_from(self.ours.len())?;
        let name = format!("{}, bytes sent", self.pair.name);
        Ok(Row::count(name, ours, "bytes", best.name.clone(), Some(best.len)))
    }
}

/// Compares all pairs, as many at a time as there are processors; the order stays.
///
/// # Errors
/// That of the first pair that failed.
pub(crate) fn compare(pairs: &[Pair], peers: &Peers) -> Result<Vec<Compared>> {
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(pair) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let compared = Compared::make(pair, peers);
                    made.lock().unwrap_or_else(PoisonError::into_inner).push(compared);
                }
            });
        }
    });
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut found = made.drain(..).collect::<Result<Vec<_>>>()?;
    found.sort_by_key(|compared| pairs.iter().position(|pair| pair.name == compared.pair.name));
    Ok(found)
}

/// The best of every family of settings on every pair.
pub(crate) fn families(all: &[Compared]) -> String {
    let mut text = format!("{:18} {:>8} {:>8}", "bytes sent", "image", "ours");
    for (heading, ..) in FAMILIES {
        text.push_str(&format!(" {heading:>10}"));
    }
    text.push_str(" encoding\n");
    for compared in all {
        text.push_str(&format!(
            "{:18} {:>8} {:>8}",
            compared.pair.name,
            compared.new_len,
            compared.ours.len()
        ));
        for (_, start, part) in FAMILIES {
            let best = compared.shortest(|name| name.starts_with(start) && name.contains(part));
            text.push_str(&format!(
                " {:>10}",
                best.map_or_else(|| "-".into(), |patch| patch.len.to_string())
            ));
        }
        text.push_str(&format!(" {:>6.1} s\n", compared.encoding.as_secs_f64()));
    }
    text
}
