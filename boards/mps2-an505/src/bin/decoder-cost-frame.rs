//! The same program without a decoder: it copies, so that nothing but the decoder is missing.
#![no_std]
#![no_main]

#[path = "../board.rs"]
#[expect(dead_code, reason = "the constants are the whole board's")]
mod board;
#[path = "../decoder_cost.rs"]
mod decoder_cost;

use decoder_cost::Loaded;

fn copy(loaded: &mut Loaded) -> bool {
    // Something of each part, so that no part is left out by the compiler.
    let from = if loaded.patch.len() > loaded.old.len() { loaded.old } else { loaded.new };
    for (byte, source) in loaded.output.iter_mut().zip(from) {
        *byte = *source;
    }
    true
}

/// First code after reset, interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn bulkhead_main() -> ! {
    decoder_cost::run(0, copy)
}
