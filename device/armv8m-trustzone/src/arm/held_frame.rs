//! The frame of an application that is held, kept where its debugger cannot write.
//!
//! The processor pushed it just below the application's stack pointer. A debugger that calls a function puts arguments in
//! that place before it moves the pointer. So the frame is taken when the application is held, and put back, wherever its
//! stack pointer is by then, when it goes on.

use core::sync::atomic::{AtomicU32, Ordering};

use super::exception::FLOAT_FRAME_BYTES;
use super::memory_check::{copy_in, copy_out};

/// A frame with floating-point state, or with room for it; without: the first eight words.
pub(super) const WORDS_MAX: usize = FLOAT_FRAME_BYTES as usize / 4;

static FRAME: [AtomicU32; WORDS_MAX] = [const { AtomicU32::new(0) }; WORDS_MAX];
/// Words that are kept; 0 for none.
static KEPT: AtomicU32 = AtomicU32::new(0);

/// Whether there is one.
pub(super) fn is_kept() -> bool {
    KEPT.load(Ordering::Relaxed) != 0
}

/// Takes the frame of `bytes` bytes at `at`, unless it cannot be read.
pub(super) fn keep(at: u32, bytes: usize) {
    let mut frame = [0; 4 * WORDS_MAX];
    let Some(read) = frame.get_mut(..bytes) else { return forget() };
    if !copy_in(at, read) {
        return forget();
    }
    for (word, bytes) in FRAME.iter().zip(read.as_chunks::<4>().0) {
        word.store(u32::from_le_bytes(*bytes), Ordering::Relaxed);
    }
    KEPT.store(u32::try_from(bytes / 4).unwrap_or_default(), Ordering::Relaxed);
}

/// Puts it at `at`, if there is one, and keeps it no longer. Where it may not be written the stack stays as it is.
pub(super) fn put_back(at: u32) {
    let words = usize::try_from(KEPT.swap(0, Ordering::Relaxed)).unwrap_or_default();
    let mut frame = [0; 4 * WORDS_MAX];
    for (bytes, word) in frame.as_chunks_mut::<4>().0.iter_mut().zip(&FRAME) {
        *bytes = word.load(Ordering::Relaxed).to_le_bytes();
    }
    if let Some(kept) = frame.get(..4 * words) {
        let _ = copy_out(at, kept);
    }
}

/// There is none any more.
pub(super) fn forget() {
    KEPT.store(0, Ordering::Relaxed);
}

/// Word `index` of the frame that is kept.
pub(super) fn word(index: usize) -> Option<u32> {
    kept(index).map(|word| word.load(Ordering::Relaxed))
}

/// Changes word `index`; `false`: no frame is kept that has one.
pub(super) fn set_word(index: usize, value: u32) -> bool {
    let word = kept(index);
    if let Some(word) = word {
        word.store(value, Ordering::Relaxed);
    }
    word.is_some()
}

fn kept(index: usize) -> Option<&'static AtomicU32> {
    let is_kept = u32::try_from(index).is_ok_and(|index| index < KEPT.load(Ordering::Relaxed));
    FRAME.get(index).filter(|_| is_kept)
}
