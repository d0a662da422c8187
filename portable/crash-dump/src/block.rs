//! Blocks of a fixed length under the content key.

use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};

/// Bytes of the dump's content in one block.
pub const PLAIN_LEN: usize = 1008;
/// Bytes of one sealed block.
pub const BLOCK_LEN: usize = PLAIN_LEN + TAG_LEN;
const TAG_LEN: usize = 16;

/// Which block of a dump.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Block of this number, counted from 0, and others follow.
    Inner(u32),
    /// The last block, of this number.
    Last(u32),
}

impl Place {
    fn nonce(self) -> Nonce {
        let (number, last) = match self {
            Self::Inner(number) => (number, 0),
            Self::Last(number) => (number, 1),
        };
        let [a, b, c, d] = number.to_le_bytes();
        [last, 0, 0, 0, a, b, c, d, 0, 0, 0, 0].into()
    }
}

/// Content on its way into a block, or out of one.
pub struct Block;

impl Block {
    /// Seals `plain` in place and returns the tag that follows it.
    pub fn seal(content_key: &[u8; 32], place: Place, plain: &mut [u8; PLAIN_LEN]) -> Option<[u8; 16]> {
        let cipher = ChaCha20Poly1305::new(content_key.into());
        let tag = cipher.encrypt_in_place_detached(&place.nonce(), &[], plain).ok()?;
        Some(tag.into())
    }

    /// Opens a sealed block; `None` if it is not this block of this dump.
    pub fn open(content_key: &[u8; 32], place: Place, sealed: &[u8; BLOCK_LEN]) -> Option<[u8; PLAIN_LEN]> {
        let cipher = ChaCha20Poly1305::new(content_key.into());
        let mut plain = *sealed.first_chunk::<PLAIN_LEN>()?;
        let tag = Tag::from(*sealed.last_chunk::<TAG_LEN>()?);
        cipher.decrypt_in_place_detached(&place.nonce(), &[], &mut plain, &tag).ok()?;
        Some(plain)
    }
}
