//! Random bytes for the application: a generator of its own, and a pool from which gateways hand them out.
//!
//! The generator is keyed once from the hypervisor's and never touches that again, so that the application can neither
//! learn nor use up what the device's keys are drawn from. Each piece that is drawn replaces the key (fast key erasure),
//! and what was handed out is erased: who sees this memory later learns nothing of what was drawn before. The worker
//! draws and gateways only copy, since the application's interrupts wait for a gateway.

use bulkhead_hardware_ports::Entropy;
use bulkhead_syscall_abi::{RANDOM_LEN_MAX, Status};
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use chacha20::{ChaCha20, Nonce};

use crate::calls::{ApplicationMemory, MailboxAccess};

const KEY_LEN: usize = 32;
/// Bytes that are drawn at a time.
const PIECE_LEN: usize = 64;
/// Pieces in the pool: two of the longest calls.
const PIECES: usize = 8;
const POOL_LEN: usize = PIECES * PIECE_LEN;
/// With less, a call of the greatest length finds too little.
const SHORT: usize = RANDOM_LEN_MAX as usize;

type Piece = [u8; PIECE_LEN];

/// The generator. It has no random source but its key.
pub(crate) struct Generator([u8; KEY_LEN]);

impl Generator {
    pub(crate) fn new(entropy: &mut impl Entropy) -> Self {
        let mut key = [0; KEY_LEN];
        entropy.fill(&mut key);
        Self(key)
    }

    /// The first bytes of the key's stream are the next key, those behind them the piece.
    fn draw(&mut self) -> Piece {
        let mut stream = ChaCha20::new(&self.0.into(), &Nonce::default());
        self.0.fill(0);
        stream.apply_keystream(&mut self.0);
        let mut piece = [0; PIECE_LEN];
        stream.apply_keystream(&mut piece);
        piece
    }

    /// Fills the pool, if it is short.
    #[inline(never)]
    pub(crate) fn serve(&mut self, mailbox: &impl MailboxAccess) {
        let missing = mailbox.with(|m| m.random.missing());
        for _ in 0..missing {
            let piece = self.draw();
            mailbox.with(|m| m.random.add(&piece));
        }
    }
}

/// What was drawn and not handed out. All zeros at first, so that it takes no room in flash.
pub(crate) struct Pool {
    bytes: [u8; POOL_LEN],
    ready: usize,
}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; POOL_LEN], ready: 0 }
    }

    /// Whether the executor has something to do.
    pub(crate) const fn is_short(&self) -> bool {
        self.ready < SHORT
    }

    /// Pieces that there is room for, if it is short.
    const fn missing(&self) -> usize {
        if self.is_short() { (POOL_LEN - self.ready) / PIECE_LEN } else { 0 }
    }

    /// Takes a piece in, if there is room.
    fn add(&mut self, piece: &Piece) {
        if let Some(room) = self.bytes.get_mut(self.ready..).and_then(|room| room.first_chunk_mut()) {
            *room = *piece;
            self.ready += PIECE_LEN;
        }
    }

    /// Hands `len` bytes to `give`, and forgets them if it took them; `None` if there are not so many.
    fn hand_out(&mut self, len: usize, give: impl FnOnce(&[u8]) -> bool) -> Option<bool> {
        let rest = self.ready.checked_sub(len)?;
        let bytes = self.bytes.get_mut(rest..self.ready)?;
        let given = give(bytes);
        if given {
            bytes.fill(0);
            self.ready = rest;
        }
        Some(given)
    }
}

pub(crate) fn read(
    address: u32,
    len: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let Some(bytes) = usize::try_from(len).ok().filter(|len| (1..=SHORT).contains(len)) else {
        return Status::ArgumentRefused;
    };
    match mailbox.with(|m| m.random.hand_out(bytes, |bytes| memory.copy_out(address, bytes))) {
        Some(true) => Status::Ok,
        None if memory.may_write(address, len) => Status::Busy,
        None | Some(false) => Status::PointerRefused,
    }
}

#[cfg(test)]
#[path = "random_tests.rs"]
mod tests;
