//! Which parts of the new image resemble which parts of the old one, or earlier parts of the new one.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::suffixes::Suffixes;
use super::text::Images;
use crate::copies::Origin;
use crate::header::InstructionSet;

/// A part of the new image that resembles another part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    /// Where it starts and ends in the new image.
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) from: Origin,
    /// Position in the new image minus position in the source.
    pub(super) shift: i32,
}

/// What a longer match gains and what a wrong byte costs while a match grows.
const GAIN: i32 = 2;
const LOSS: i32 = 3;

/// Growth stops this far below its best score.
const PATIENCE: i32 = 60;

/// Neighbours in the suffix array that are tried in each direction, and those that are passed over in search of
/// the best.
const NEIGHBOURS: usize = 40;
const SEARCHED: usize = 60;

/// Copies from the new image start this far back at least.
const BACK_MIN: usize = 8;

/// Bytes around a unit that the decoder may read besides it; they must be inside the window of an update in place.
const READ_AROUND: i64 = 96;

/// Shortest exact matches that are followed, in the images as they are and with addresses masked.
const EXACT_MIN: u32 = 6;
const MASKED_MIN: u32 = 7;

/// Finds matches, ordered by where they start.
pub(super) fn find_matches(images: &Images<'_>, old_window_len: Option<u32>) -> Vec<Match> {
    let mut text = images.old.to_vec();
    text.extend_from_slice(images.new);
    let mut found = Search { images, text: &text, window: old_window_len }.run(EXACT_MIN);
    if images.header.instructions == InstructionSet::Thumb {
        let text = images.normalized();
        found.extend(Search { images, text: &text, window: old_window_len }.run(MASKED_MIN));
    }
    found.sort_by_key(|found| (found.start, found.end, found.shift));
    found
}

struct Search<'a> {
    images: &'a Images<'a>,
    /// The old image, then the new one.
    text: &'a [u8],
    window: Option<u32>,
}

impl Search<'_> {
    /// Whether the byte at `place` of the text may be copied to `at` of the new image.
    fn usable(&self, place: usize, at: usize) -> bool {
        let in_new = place.checked_sub(self.images.old.len());
        let reaches = self.window.is_none_or(|window| {
            let back = i64::try_from(at).unwrap_or(0) - i64::try_from(in_new.unwrap_or(place)).unwrap_or(0);
            back + READ_AROUND <= i64::from(window)
        });
        reaches && in_new.is_none_or(|source| source + BACK_MIN <= at)
    }

    fn run(&self, len_min: u32) -> Vec<Match> {
        let suffixes = Suffixes::of(self.text);
        let old_len = self.images.old.len();
        let mut found = Vec::new();
        // Where the longest match of each shift ends that is already known.
        let mut known: BTreeMap<(bool, i32), u32> = BTreeMap::new();
        let mut len_before = 0;
        for at in 0..self.images.new.len() {
            let candidates = self.candidates(&suffixes, at, len_min);
            let best = candidates.iter().map(|(len, _)| *len).max().unwrap_or(0);
            // A plain continuation of what was found one byte earlier is no news.
            if best >= len_min && best + 1 > len_before {
                let least = len_min.max(best * 2 / 3);
                for (len, place) in candidates.into_iter().filter(|(len, _)| *len >= least) {
                    let (from, source) = match place.checked_sub(old_len) {
                        Some(source) => (Origin::New, source),
                        None => (Origin::Old, place),
                    };
                    let (position, source32) =
                        (u32::try_from(at).unwrap_or(0), u32::try_from(source).unwrap_or(0));
                    let shift = position.wrapping_sub(source32).cast_signed();
                    let end = position.saturating_add(len);
                    if known.get(&(from == Origin::New, shift)).is_some_and(|known| *known >= end) {
                        continue;
                    }
                    let (start, end) = self.grown(at, source, from, len);
                    known.insert((from == Origin::New, shift), end);
                    found.push(Match { start, end, from, shift });
                }
            }
            len_before = best;
        }
        found
    }

    /// Exact matches at `at`: their lengths and places in the text.
    fn candidates(&self, suffixes: &Suffixes, at: usize, len_min: u32) -> Vec<(u32, usize)> {
        let mut found: Vec<(u32, usize)> = Vec::new();
        let rank = usize::try_from(suffixes.rank[self.images.old.len() + at]).unwrap_or(0);
        let mut longest = 0;
        for up in [true, false] {
            let mut len = u32::MAX;
            let mut kept = 0;
            let mut best_here = 0;
            for step in 1..=SEARCHED {
                let place = if up { rank.checked_sub(step) } else { rank.checked_add(step) };
                let Some(place) = place.filter(|place| *place < suffixes.order.len()) else { break };
                len = len.min(suffixes.shared[if up { place + 1 } else { place }]);
                if len < len_min || kept >= NEIGHBOURS || len < best_here * 2 / 3 {
                    break;
                }
                let source = usize::try_from(suffixes.order[place]).unwrap_or(0);
                if self.usable(source, at) {
                    // A match does not run from the old image on into the new one.
                    let room = self.images.old.len().checked_sub(source).unwrap_or(usize::MAX);
                    let len = len.min(u32::try_from(room).unwrap_or(u32::MAX));
                    if len >= len_min {
                        best_here = best_here.max(len);
                        longest = longest.max(len);
                        kept += 1;
                        found.push((len, source));
                    }
                }
            }
        }
        found.retain(|(len, _)| *len >= longest * 2 / 3);
        found
    }

    /// A match grown at both ends across bytes that differ: where it starts and ends in the new image.
    fn grown(&self, at: usize, source: usize, from: Origin, len: u32) -> (u32, u32) {
        let old_len = self.images.old.len();
        let new = &self.text[old_len..];
        let other = match from {
            Origin::Old => &self.text[..old_len],
            Origin::New => new,
        };
        let len = usize::try_from(len).unwrap_or(0);
        let ahead = grow(new[at + len..].iter().zip(&other[source + len..]));
        let back = grow(new[..at].iter().rev().zip(other[..source].iter().rev()));
        (u32::try_from(at - back).unwrap_or(0), u32::try_from(at + len + ahead).unwrap_or(0))
    }
}

/// How many pairs of bytes are worth taking.
fn grow<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> usize {
    let (mut score, mut best, mut taken) = (0, 0, 0);
    for (count, (a, b)) in pairs.enumerate() {
        score += if a == b { GAIN } else { -LOSS };
        if score > best {
            (best, taken) = (score, count + 1);
        }
        if score < best - PATIENCE {
            break;
        }
    }
    taken
}
