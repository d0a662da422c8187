//! Decodes the patch that is loaded, with the decoder of the update engine.
#![no_std]
#![no_main]

#[path = "../board.rs"]
#[expect(dead_code, reason = "the constants are the whole board's")]
mod board;
#[path = "../decoder_cost.rs"]
mod decoder_cost;

use core::convert::Infallible;

use bulkhead_delta::{Decoder, Limits, PatchIo, Progress, Refused};
use static_cell::ConstStaticCell;

use decoder_cost::Loaded;

/// Entries of the copy list that one call passes over, as the update engine does it.
const WORK_MAX: u32 = 64;
/// Bytes decoded at a time.
const PIECE_LEN: usize = 1024;

static DECODER: ConstStaticCell<Decoder> = ConstStaticCell::new(Decoder::new());
static PIECE: ConstStaticCell<[u8; PIECE_LEN]> = ConstStaticCell::new([0; PIECE_LEN]);

struct Memory<'l>(&'l Loaded);

fn read(from: &[u8], at: u32, out: &mut [u8]) {
    let start = usize::try_from(at).unwrap_or(usize::MAX);
    for (byte, source) in out.iter_mut().zip(from.get(start..).unwrap_or(&[])) {
        *byte = *source;
    }
}

impl PatchIo for Memory<'_> {
    type Error = Infallible;

    fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        read(self.0.patch, at, out);
        Ok(())
    }

    fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        read(self.0.old, at, out);
        Ok(())
    }

    fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        read(self.0.output, at, out);
        Ok(())
    }
}

fn decode(decoder: &mut Decoder, piece: &mut [u8], loaded: &mut Loaded) -> Result<(), Refused<Infallible>> {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| Refused::TooLong);
    let limits =
        Limits { patch_len: len(loaded.patch)?, old_len: len(loaded.old)?, new_len: len(loaded.new)? };
    decoder.open(&mut Memory(loaded), limits)?;
    while decoder.prepare(&mut Memory(loaded), WORK_MAX)? == Progress::More {}
    let mut at = 0;
    while at < loaded.new.len() {
        let count = piece.len().min(loaded.new.len() - at);
        let (piece, _) = piece.split_at_mut_checked(count).ok_or(Refused::OutOfOrder)?;
        decoder.decode(&mut Memory(loaded), piece)?;
        if let Some(room) = loaded.output.get_mut(at..at + count) {
            room.copy_from_slice(piece);
        }
        at += count;
    }
    Ok(())
}

/// First code after reset, interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn bulkhead_main() -> ! {
    let (decoder, piece) = (DECODER.take(), PIECE.take());
    decoder_cost::run(size_of::<Decoder>(), |loaded| decode(decoder, piece, loaded).is_ok())
}
