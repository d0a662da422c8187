//! The body: new bytes, and where the prediction of copied ones fails.

mod correction;
mod prediction;

use crate::PatchIo;
use crate::bytes::ByteModel;
use crate::coder::{Coder, Wire};
use crate::copies::{Copy, Origin};
use crate::header::{Header, InstructionSet};
use crate::image::{Earlier, OldImage};
use crate::learned::{LearnedArray, RecentShifts};
use crate::map::AddressMap;
use crate::mixer::{INPUTS, Weights, hash};
use crate::model::CounterArray;

use correction::COUNTERS;
use prediction::{FLAG_FIRST, FLAG_USES_FIRST, FLAGS};

/// Lists of recent shifts: of targets in the image and in RAM; of bytes, halfwords and words.
const CLASSES: usize = 5;

/// First set of weights for flags; the ones below are for bytes.
const FLAG_WEIGHTS: usize = 16;

/// What surrounds the unit that is coded next.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) header: &'a Header,
    pub(crate) old: &'a mut OldImage,
    pub(crate) earlier: Earlier<'a>,
    /// The entry of the copy list in use, and where it starts in the new image.
    pub(crate) copy: Copy,
    pub(crate) copy_at: u32,
    /// Position in the new image.
    pub(crate) at: u32,
    /// Where the segment ends.
    pub(crate) end: u32,
}

/// A few bytes of the new image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Piece {
    pub(crate) value: u32,
    pub(crate) len: u32,
}

/// State of the body's coder; all but the map starts cold in every segment.
#[derive(Debug)]
pub(crate) struct Body {
    /// Where addresses went. Complete before the first byte is coded; its spare memory is the byte model's.
    pub(crate) map: AddressMap,
    bytes: ByteModel,
    weights: Weights,
    flags: CounterArray<{ FLAGS * INPUTS }>,
    counters: CounterArray<COUNTERS>,
    code: LearnedArray<96>,
    ram: LearnedArray<64>,
    numbers: LearnedArray<192>,
    recent: [RecentShifts; CLASSES],
    /// Of the last predictions, the latest in the lowest bit: 1 is a failure.
    history: u32,
    /// Units since the last failure.
    since: u32,
    /// The last four bytes, the latest lowest.
    last: u32,
}

impl Body {
    pub(crate) const fn new() -> Self {
        Self {
            map: AddressMap::new(),
            bytes: ByteModel::new(),
            weights: Weights::new(),
            flags: CounterArray::new(),
            counters: CounterArray::new(),
            code: LearnedArray::new(),
            ram: LearnedArray::new(),
            numbers: LearnedArray::new(),
            recent: [RecentShifts::new(); CLASSES],
            history: 0,
            since: 0,
            last: 0,
        }
    }

    /// Forgets everything but the map: a segment starts.
    pub(crate) fn reset(&mut self) {
        self.bytes.reset(self.map.spare());
        self.weights.reset();
        self.flags.row().reset(FLAG_FIRST, FLAG_USES_FIRST);
        self.counters.row().reset(1 << 15, 0);
        self.code.reset();
        self.ram.reset();
        self.numbers.reset();
        self.recent = [RecentShifts::new(); CLASSES];
        (self.history, self.since, self.last) = (0, 0, 0);
    }

    /// Codes the next piece of the new image.
    pub(crate) fn piece<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        scene: &mut Scene<'_>,
    ) -> Piece {
        let copy_starts = scene.copy_at.saturating_add(scene.copy.literals);
        let piece = if scene.at < copy_starts {
            let room = copy_starts.min(scene.end).saturating_sub(scene.at);
            self.literal(wire, scene, room)
        } else {
            self.copied(wire, scene, scene.at.saturating_sub(copy_starts))
        };
        let bits = 8 * piece.len;
        self.last = self.last.unbounded_shl(bits) | piece.value.swap_bytes().unbounded_shr(32 - bits);
        piece
    }

    fn byte<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        contexts: [u32; INPUTS],
        set: usize,
        truth: u32,
    ) -> u32 {
        let Self { map, bytes, weights, .. } = self;
        bytes.byte(map.spare(), (weights, set), wire, &contexts, truth & 0xFF)
    }

    /// New bytes: halfwords, high byte first, or single bytes.
    fn literal<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        scene: &mut Scene<'_>,
        room: u32,
    ) -> Piece {
        let truth = wire.coder.truth(scene.at);
        // What would stand here if the copy behind reached further ahead.
        let ahead = scene.copy_at.saturating_add(scene.copy.literals).saturating_sub(scene.at);
        let alike = match (scene.copy.from, scene.copy.source.checked_sub(ahead)) {
            (Origin::Old, Some(source)) => scene.old.read(wire.memories, source) & 0xFFFF,
            _ => 0,
        };
        let (b1, b2, b3, b4) =
            (self.last & 0xFF, self.last >> 8 & 0xFF, self.last >> 16 & 0xFF, self.last >> 24);
        if scene.header.instructions == InstructionSet::Thumb && scene.at & 1 == 0 && room >= 2 {
            let place = scene.at & 2;
            let contexts = [
                1 << 24,
                2 << 24 | b1,
                3 << 24 | b1 << 8 | b2,
                4 << 24 | b1 << 16 | b3 << 8,
                5 << 24 | b4 << 9 | place << 7 | b3,
                16 << 24 | alike,
            ];
            let high = self.byte(wire, contexts, 0, truth >> 8);
            let contexts = [
                6 << 24 | b2,
                7 << 24 | high,
                hash(8 << 24 | high << 16 | b1 << 8 | b2, 1),
                hash(9 << 24 | high << 16 | b1 << 8 | b3, 1),
                10 << 24 | high << 16 | b4 << 8 | place,
                hash(17 << 24 | high << 16 | alike, 1),
            ];
            let low = self.byte(wire, contexts, 1, truth);
            return Piece { value: high << 8 | low, len: 2 };
        }
        let contexts = [
            11 << 24,
            12 << 24 | b1,
            13 << 24 | b1 << 8 | b2,
            14 << 24 | b1 << 16 | b2 << 8 | b3,
            15 << 24 | b4 << 8 | b2,
            16 << 24 | b1 << 8 | alike & 0xFF,
        ];
        let value = self.byte(wire, contexts, 2, truth);
        Piece { value, len: 1 }
    }
}
