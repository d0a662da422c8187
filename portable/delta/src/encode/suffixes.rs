//! Suffix arrays in linear time, by induced sorting.
//!
//! # Source
//! G. Nong, S. Zhang, W. H. Chan: Linear Suffix Array Construction by Almost Pure Induced-Sorting, 2009; T. Kasai et
//! al.: Linear-Time Longest-Common-Prefix Computation in Suffix Arrays, 2001.

use alloc::vec;
use alloc::vec::Vec;

const NONE: u32 = u32::MAX;

/// The suffixes of a text in order, where each stands, and how much neighbours share.
#[derive(Debug)]
pub(super) struct Suffixes {
    /// Starts of the suffixes, in lexical order.
    pub(super) order: Vec<u32>,
    /// Where the suffix at a position stands in `order`.
    pub(super) rank: Vec<u32>,
    /// Bytes that a suffix shares with the one in front of it in `order`.
    pub(super) shared: Vec<u32>,
}

impl Suffixes {
    pub(super) fn of(text: &[u8]) -> Self {
        let letters: Vec<u32> = text.iter().map(|byte| u32::from(*byte)).collect();
        let order = sort(&letters, 256);
        let mut rank = vec![0; text.len()];
        for (place, start) in (0u32..).zip(&order) {
            rank[index(*start)] = place;
        }
        let shared = shared(text, &order, &rank);
        Self { order, rank, shared }
    }
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn shared(text: &[u8], order: &[u32], rank: &[u32]) -> Vec<u32> {
    let mut shared = vec![0; text.len()];
    let mut len = 0usize;
    for start in 0..text.len() {
        let place = index(rank[start]);
        if place == 0 {
            len = 0;
            continue;
        }
        let before = index(order[place - 1]);
        len += text[start + len..].iter().zip(&text[before + len..]).take_while(|(a, b)| a == b).count();
        shared[place] = u32::try_from(len).unwrap_or(NONE);
        len = len.saturating_sub(1);
    }
    shared
}

/// Starts of the buckets of each letter, and where the last one ends.
fn buckets(text: &[u32], letters: usize) -> Vec<u32> {
    let mut starts = vec![0; letters + 1];
    for letter in text {
        starts[index(*letter) + 1] += 1;
    }
    for letter in 0..letters {
        starts[letter + 1] += starts[letter];
    }
    starts
}

/// Sorts the suffixes of `text`, whose letters are below `letters`.
fn sort(text: &[u32], letters: usize) -> Vec<u32> {
    let len = text.len();
    if len == 0 {
        return Vec::new();
    }
    // A suffix is small when it is less than the one behind it.
    let mut small = vec![false; len];
    for at in (0..len - 1).rev() {
        small[at] = text[at] < text[at + 1] || (text[at] == text[at + 1] && small[at + 1]);
    }
    let starts = buckets(text, letters);
    let leftmost = |at: usize| at > 0 && small[at] && !small[at - 1];
    let marks: Vec<u32> =
        (0u32..).zip(0..len).filter(|(_, at)| leftmost(*at)).map(|(mark, _)| mark).collect();
    let mut order = induce(text, &small, &starts, &marks);
    if marks.len() < 2 {
        return order;
    }
    // Name the pieces between marks by their rank; equal pieces get equal names.
    let piece_end: Vec<u32> =
        marks.iter().skip(1).copied().chain([u32::try_from(len - 1).unwrap_or(NONE)]).collect();
    let mut number = vec![NONE; len];
    for (place, mark) in (0u32..).zip(&marks) {
        number[index(*mark)] = place;
    }
    let mut names = vec![0u32; marks.len()];
    let (mut name, mut before): (u32, Option<usize>) = (0, None);
    for mark in order.iter().filter(|at| leftmost(index(**at))) {
        let place = index(number[index(*mark)]);
        if let Some(before) = before {
            let piece = |place: usize| &text[index(marks[place])..=index(piece_end[place])];
            let last = |place: usize| place + 1 == marks.len();
            if last(before) || last(place) || piece(before) != piece(place) {
                name += 1;
            }
        }
        names[place] = name;
        before = Some(place);
    }
    let sorted: Vec<u32> = sort(&names, index(name) + 1).iter().map(|place| marks[index(*place)]).collect();
    order = induce(text, &small, &starts, &sorted);
    order
}

/// Sorts all suffixes, given the marks in their order.
fn induce(text: &[u32], small: &[bool], starts: &[u32], marks: &[u32]) -> Vec<u32> {
    let mut order = vec![NONE; text.len()];
    let mut tails: Vec<u32> = starts[1..].to_vec();
    for mark in marks.iter().rev() {
        let tail = &mut tails[index(text[index(*mark)])];
        *tail -= 1;
        order[index(*tail)] = *mark;
    }
    let mut heads: Vec<u32> = starts.to_vec();
    let mut put_large = |order: &mut [u32], at: u32| {
        let head = &mut heads[index(text[index(at)])];
        order[index(*head)] = at;
        *head += 1;
    };
    put_large(&mut order, u32::try_from(text.len() - 1).unwrap_or(NONE));
    for place in 0..text.len() {
        if let Some(at) = order[place].checked_sub(1).filter(|_| order[place] != NONE)
            && !small[index(at)]
        {
            put_large(&mut order, at);
        }
    }
    tails = starts[1..].to_vec();
    for place in (0..text.len()).rev() {
        if let Some(at) = order[place].checked_sub(1).filter(|_| order[place] != NONE)
            && small[index(at)]
        {
            let tail = &mut tails[index(text[index(at)])];
            *tail -= 1;
            order[index(*tail)] = at;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_sorted_as_by_comparison() {
        let mut seed = 1u32;
        for letters in [1, 2, 3, 200] {
            for len in 0..150usize {
                let text: Vec<u8> = (0..len)
                    .map(|_| {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        u8::try_from((seed >> 16) % letters).unwrap()
                    })
                    .collect();
                let mut expected: Vec<u32> = (0..u32::try_from(len).unwrap()).collect();
                expected.sort_by_key(|start| &text[*start as usize..]);
                assert_eq!(Suffixes::of(&text).order, expected, "{text:?}");
            }
        }
    }
}
