//! Memory that the developer wants to hear of with the next stop, because it was looked at after the last one.

use bulkhead_debug_protocol::{
    ALONG_LEN_MAX, ALONG_MAX, Along as Range, Event, Memory as Piece, RefusalReason, Writer,
};

use crate::probes::{Probes, Unpatched};
use crate::target::{DebugTarget, Memory as _};

/// Ranges, the oldest first.
#[derive(Debug)]
pub(crate) struct Along {
    ranges: [Option<Range>; ALONG_MAX],
}

impl Along {
    pub(crate) const fn new() -> Self {
        Self { ranges: [None; ALONG_MAX] }
    }

    pub(crate) fn clear(&mut self) {
        self.ranges = [None; ALONG_MAX];
    }

    /// Adds a range; the oldest makes room.
    pub(crate) fn add(&mut self, range: Range) -> Result<(), RefusalReason> {
        let fits = usize::try_from(range.len).is_ok_and(|len| (1..=ALONG_LEN_MAX).contains(&len));
        if !fits {
            return Err(RefusalReason::Malformed);
        }
        self.ranges.rotate_left(1);
        if let Some(last) = self.ranges.last_mut() {
            *last = Some(range);
        }
        Ok(())
    }

    /// Writes what is there now, as far as it may be read and there is room. Out of line: the bytes take room on the stack.
    #[inline(never)]
    pub(crate) fn tell(&self, writer: &mut Writer<'_>, probes: &Probes, target: &mut impl DebugTarget) {
        let mut bytes = [0; ALONG_LEN_MAX];
        for Range { address, len } in self.ranges.iter().flatten() {
            let len = usize::try_from(*len).unwrap_or_default();
            let Some(piece) = bytes.get_mut(..len) else { continue };
            if (Unpatched { target, probes }).read(*address, piece).is_ok() {
                // Without room it is asked for as if it had not been ordered.
                let _ = writer.push(&Event::Seen(Piece { address: *address, bytes: piece }));
            }
        }
    }
}
