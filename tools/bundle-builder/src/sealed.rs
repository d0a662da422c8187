//! Private keys under a pass phrase.
//!
//! One line: the kind's word, 32 hex digits of salt, and 96 of the sealed key. The sealing key is Argon2id of the pass phrase
//! (19 MiB, 2 passes, 1 lane: the least that OWASP's cheat sheet on password storage advises); the seal is
//! ChaCha20-Poly1305 with a nonce of zeros, which is used once: each file has a salt, and so a key, of its own.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, Tag};

/// Bytes of the salt.
pub(crate) const SALT_LEN: usize = 16;
/// Bytes of a sealed key.
pub(crate) const SEALED_LEN: usize = 32 + 16;
/// Shortest pass phrase, in characters.
pub const PASSPHRASE_LEN_MIN: usize = 8;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

fn cipher(passphrase: &str, salt: &[u8; SALT_LEN]) -> Option<ChaCha20Poly1305> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).ok()?;
    let mut key = [0; 32];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(passphrase.as_bytes(), salt, &mut key).ok()?;
    Some(ChaCha20Poly1305::new(&key.into()))
}

/// Seals a key; `word` is what the file begins with. `None`: the pass phrase is longer than can be.
pub(crate) fn seal(
    secret: &[u8; 32],
    word: &str,
    passphrase: &str,
    salt: &[u8; SALT_LEN],
) -> Option<[u8; SEALED_LEN]> {
    let mut out = [0; SEALED_LEN];
    let (text, place) = out.split_at_mut(32);
    text.copy_from_slice(secret);
    let tag = cipher(passphrase, salt)?.encrypt_in_place_detached(&Nonce::default(), word.as_bytes(), text);
    place.copy_from_slice(&tag.ok()?);
    Some(out)
}

/// Opens a key; `None`: the pass phrase is another, or the file was changed.
pub(crate) fn open(
    sealed: &[u8; SEALED_LEN],
    word: &str,
    passphrase: &str,
    salt: &[u8; SALT_LEN],
) -> Option<[u8; 32]> {
    let (text, tag) = sealed.split_at(32);
    let mut secret: [u8; 32] = text.try_into().ok()?;
    let tag = Tag::from_slice(tag);
    let opened = cipher(passphrase, salt)?.decrypt_in_place_detached(
        &Nonce::default(),
        word.as_bytes(),
        &mut secret,
        tag,
    );
    opened.ok().map(|()| secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_with_its_pass_phrase_and_word_alone() {
        let (secret, salt) = ([7; 32], [9; SALT_LEN]);
        let mut sealed = seal(&secret, "word", "correct horse", &salt).unwrap();
        assert_eq!(open(&sealed, "word", "correct horse", &salt), Some(secret));
        assert_eq!(open(&sealed, "word", "correct horsf", &salt), None);
        assert_eq!(open(&sealed, "other", "correct horse", &salt), None);
        assert_eq!(open(&sealed, "word", "correct horse", &[8; SALT_LEN]), None);
        sealed[0] ^= 1;
        assert_eq!(open(&sealed, "word", "correct horse", &salt), None);
    }
}
