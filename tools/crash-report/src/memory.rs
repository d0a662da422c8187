//! The application's memory as a dump holds it, with the program's own bytes behind it.

use bulkhead_crash_dump::developer::{Dump, Piece};

/// Memory by address.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pieces: Vec<Piece>,
}

impl Memory {
    /// What `dump` holds. Where pieces overlap, the one that was read first counts.
    pub fn of(dump: &Dump) -> Self {
        let mut memory = Self::default();
        dump.memory.iter().for_each(|piece| memory.add(piece.address, &piece.bytes));
        memory.pieces.sort_by_key(|piece| piece.address);
        memory
    }

    /// Adds what of a piece is not there yet.
    fn add(&mut self, address: u32, bytes: &[u8]) {
        let (start, end) = (u64::from(address), u64::from(address) + bytes.len() as u64);
        let mut spans = vec![(start, end)];
        for known in &self.pieces {
            let (first, last) =
                (u64::from(known.address), u64::from(known.address) + known.bytes.len() as u64);
            spans = spans
                .into_iter()
                .flat_map(|(from, to)| [(from, to.min(first)), (from.max(last), to)])
                .filter(|(from, to)| from < to)
                .collect();
        }
        for (from, to) in spans {
            let at = |place: u64| usize::try_from(place - start).unwrap_or(usize::MAX);
            if let (Some(bytes), Ok(address)) = (bytes.get(at(from)..at(to)), u32::try_from(from)) {
                self.pieces.push(Piece { address, bytes: bytes.to_vec() });
            }
        }
    }

    /// The pieces, by rising address, none overlapping another.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The word at `address`.
    pub fn word(&self, address: u32) -> Option<u32> {
        let piece = self.pieces.iter().rfind(|piece| piece.address <= address)?;
        let at = usize::try_from(address - piece.address).ok()?;
        piece.bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_first_counts_where_pieces_overlap() {
        let mut memory = Memory::default();
        memory.add(0x100, &[1; 8]);
        memory.add(0xF8, &[2; 24]);
        memory.add(0x104, &[3; 4]);
        memory.pieces.sort_by_key(|piece| piece.address);
        let spans: Vec<_> = memory.pieces().iter().map(|piece| (piece.address, piece.bytes.len())).collect();
        assert_eq!(spans, [(0xF8, 8), (0x100, 8), (0x108, 8)]);
        assert_eq!(memory.word(0x104), Some(0x0101_0101));
        assert_eq!(memory.word(0x10C), Some(0x0202_0202));
        assert_eq!((memory.word(0x110), memory.word(0xF0)), (None, None));
    }
}
