//! Files that hold an owner's signing key, or a developer's debug key.
//!
//! One line of text: a private key is `bulkhead-signing-key-1` and 64 hex digits, a public one
//! `bulkhead-signing-public-1` and 64 hex digits; of debug keys `bulkhead-debug-key-1` and `bulkhead-debug-public-1`. A private
//! key under a pass phrase has `-sealed-1` instead of `-1`, see `sealed`; whoever reads one without can sign, or debug.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bulkhead_bundle_format::{PublicKey, Signer};

use crate::sealed::{PASSPHRASE_LEN_MIN, SALT_LEN, SEALED_LEN, open, seal};

/// First word of a private key file.
const PRIVATE: &str = "bulkhead-signing-key-1";

/// First word of a public key.
const PUBLIC: &str = "bulkhead-signing-public-1";

/// First words of a developer's private and public debug key.
const DEBUG_PRIVATE: &str = "bulkhead-debug-key-1";
const DEBUG_PUBLIC: &str = "bulkhead-debug-public-1";

/// What a word ends with, and with what instead where the key is sealed.
const PLAIN_END: &str = "-1";
const SEALED_END: &str = "-sealed-1";

/// Longest key file in bytes.
const KEY_FILE_LEN_MAX: u64 = 1024;

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there already.
    #[error("{0} exists already; a key cannot be had back once it is overwritten")]
    Exists(PathBuf),
    /// Replacing a key was interrupted, and left this file.
    #[error("{0} is in the way: replacing a key was interrupted and left it; the key itself is as it was")]
    LeftOver(PathBuf),
    /// Others may read the private key.
    #[error("others may read the private key {0}: run `chmod 600` on it")]
    Readable(PathBuf),
    /// The file is no key of the wanted kind.
    #[error("{path} is no {wanted}")]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        wanted: &'static str,
    },
    /// The key is under a pass phrase, and none was given.
    #[error("the private key {0} is under a pass phrase")]
    Sealed(PathBuf),
    /// The pass phrase is another.
    #[error("the pass phrase of {0} is another, or the file was changed")]
    WrongPassphrase(PathBuf),
    /// The pass phrase is too short, or longer than can be.
    #[error("a pass phrase has at least {PASSPHRASE_LEN_MIN} characters")]
    UnfitPassphrase,
    /// The operating system gives no randomness.
    #[error("the operating system gives no random numbers: {0}")]
    NoRandomness(String),
    /// The operating system refused.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Makes a signing key and writes it to `path`, readable by its owner alone; never overwrites.
///
/// # Errors
/// [`KeyError::Exists`], [`KeyError::NoRandomness`], [`KeyError::Io`].
pub fn generate_key(path: &Path) -> Result<Signer, KeyError> {
    generate_key_sealed(path, None)
}

/// As [`generate_key`], under a pass phrase if one is given.
///
/// # Errors
/// As [`generate_key`]; [`KeyError::UnfitPassphrase`].
pub fn generate_key_sealed(path: &Path, passphrase: Option<&str>) -> Result<Signer, KeyError> {
    generate(path, PRIVATE, passphrase).map(|secret| Signer::from_secret(&secret))
}

/// As [`generate_key`], a developer's private X25519 key.
///
/// # Errors
/// As [`generate_key`].
pub fn generate_debug_key(path: &Path) -> Result<[u8; 32], KeyError> {
    generate_debug_key_sealed(path, None)
}

/// As [`generate_debug_key`], under a pass phrase if one is given.
///
/// # Errors
/// As [`generate_key_sealed`].
pub fn generate_debug_key_sealed(path: &Path, passphrase: Option<&str>) -> Result<[u8; 32], KeyError> {
    generate(path, DEBUG_PRIVATE, passphrase)
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| KeyError::NoRandomness(e.to_string()))?;
    Ok(bytes)
}

/// The line of a key file.
fn line(secret: &[u8; 32], word: &str, passphrase: Option<&str>) -> Result<String, KeyError> {
    let Some(passphrase) = passphrase else { return Ok(format!("{word} {}", hex(secret))) };
    if passphrase.chars().count() < PASSPHRASE_LEN_MIN {
        return Err(KeyError::UnfitPassphrase);
    }
    let (word, salt) = (sealed_word(word), random()?);
    let sealed = seal(secret, &word, passphrase, &salt).ok_or(KeyError::UnfitPassphrase)?;
    Ok(format!("{word} {} {}", hex(&salt), hex(&sealed)))
}

fn sealed_word(word: &str) -> String {
    format!("{}{SEALED_END}", word.trim_end_matches(PLAIN_END))
}

fn generate(path: &Path, word: &str, passphrase: Option<&str>) -> Result<[u8; 32], KeyError> {
    let secret = random()?;
    write_new(path, &line(&secret, word, passphrase)?)?;
    Ok(secret)
}

/// Writes a file that only its owner can read; never overwrites, and leaves none that is not whole.
fn write_new(path: &Path, line: &str) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { doing: "could not write", path: path.to_path_buf(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| {
        if e.kind() == ErrorKind::AlreadyExists { KeyError::Exists(path.to_path_buf()) } else { failed(e) }
    })?;
    writeln!(file, "{line}").and_then(|()| file.sync_all()).map_err(|source| {
        let _ = fs::remove_file(path);
        failed(source)
    })
}

/// Loads a signing key that [`generate_key`] wrote.
///
/// # Errors
/// [`KeyError::Readable`], [`KeyError::NotAKey`], [`KeyError::Io`].
pub fn load_key(path: &Path) -> Result<Signer, KeyError> {
    load_key_sealed(path, None)
}

/// As [`load_key`], opened with a pass phrase if one is given and needed.
///
/// # Errors
/// As [`load_key`]; [`KeyError::Sealed`], [`KeyError::WrongPassphrase`].
pub fn load_key_sealed(path: &Path, passphrase: Option<&str>) -> Result<Signer, KeyError> {
    load(path, PRIVATE, "signing key", passphrase).map(|secret| Signer::from_secret(&secret))
}

/// Loads a debug key that [`generate_debug_key`] wrote.
///
/// # Errors
/// As [`load_key`].
pub fn load_debug_key(path: &Path) -> Result<[u8; 32], KeyError> {
    load_debug_key_sealed(path, None)
}

/// As [`load_debug_key`], opened with a pass phrase if one is given and needed.
///
/// # Errors
/// As [`load_key_sealed`].
pub fn load_debug_key_sealed(path: &Path, passphrase: Option<&str>) -> Result<[u8; 32], KeyError> {
    load(path, DEBUG_PRIVATE, "debug key", passphrase)
}

/// A private key of either kind, opened to be put under another pass phrase.
pub struct OpenKey {
    word: &'static str,
    secret: [u8; 32],
}

impl OpenKey {
    /// Opens the key in `path`.
    ///
    /// # Errors
    /// As [`load_key_sealed`].
    pub fn open(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let loaded = |word| load(path, word, "private key", passphrase).map(|secret| Self { word, secret });
        match loaded(PRIVATE) {
            Err(KeyError::NotAKey { .. }) => loaded(DEBUG_PRIVATE),
            other => other,
        }
    }

    /// Writes it over the file that it came from, under `passphrase` or under none. The file is replaced as a whole: if anything
    /// fails it is as it was.
    ///
    /// # Errors
    /// [`KeyError::UnfitPassphrase`], [`KeyError::NoRandomness`], [`KeyError::Io`]; [`KeyError::LeftOver`]: an earlier try was
    /// interrupted, and left a file beside it.
    pub fn replace(&self, path: &Path, passphrase: Option<&str>) -> Result<(), KeyError> {
        let line = line(&self.secret, self.word, passphrase)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        write_new(&beside, &line).map_err(|error| match error {
            KeyError::Exists(beside) => KeyError::LeftOver(beside),
            other => other,
        })?;
        fs::rename(&beside, path).map_err(|source| {
            // What was written is the same key, and is not to lie about.
            let _ = fs::remove_file(&beside);
            KeyError::Io { doing: "could not replace", path: path.to_path_buf(), source }
        })
    }
}

fn load(
    path: &Path,
    word: &str,
    wanted: &'static str,
    passphrase: Option<&str>,
) -> Result<[u8; 32], KeyError> {
    let failed = |source| KeyError::Io { doing: "could not read", path: path.to_path_buf(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let not_a_key = || KeyError::NotAKey { path: path.to_path_buf(), wanted };
    if metadata.len() > KEY_FILE_LEN_MAX {
        return Err(not_a_key());
    }
    let text = fs::read_to_string(path).map_err(|e| match e.kind() {
        ErrorKind::InvalidData => not_a_key(),
        _ => failed(e),
    })?;
    let (plain, sealed) = (key_in(&text, word), sealed_in(&text, word));
    if plain.is_none() && sealed.is_none() {
        return Err(not_a_key());
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Readable(path.to_path_buf()));
    }
    let Some((salt, sealed)) = sealed else { return plain.ok_or_else(not_a_key) };
    let passphrase = passphrase.ok_or_else(|| KeyError::Sealed(path.to_path_buf()))?;
    let opened = open(&sealed, &sealed_word(word), passphrase, &salt);
    opened.ok_or_else(|| KeyError::WrongPassphrase(path.to_path_buf()))
}

/// Salt and sealed key in the text of a file.
fn sealed_in(text: &str, word: &str) -> Option<([u8; SALT_LEN], [u8; SEALED_LEN])> {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [first, salt, sealed] if *first == sealed_word(word) => Some((unhex(salt)?, unhex(sealed)?)),
        _ => None,
    }
}

/// A public debug key as one line of text, without a line's end.
pub fn write_public_debug_key(key: &[u8; 32]) -> String {
    format!("{DEBUG_PUBLIC} {}", hex(key))
}

/// Reads a line that [`write_public_debug_key`] wrote.
pub fn parse_public_debug_key(text: &str) -> Option<[u8; 32]> {
    key_in(text, DEBUG_PUBLIC)
}

/// A public key as one line of text, without a line's end.
pub fn write_public_key(key: &PublicKey) -> String {
    format!("{PUBLIC} {}", hex(key))
}

/// Reads a line that [`write_public_key`] wrote, or 64 hex digits alone.
pub fn parse_public_key(text: &str) -> Option<PublicKey> {
    key_in(text, PUBLIC).or_else(|| unhex(text.trim()))
}

fn key_in(text: &str, word: &str) -> Option<[u8; 32]> {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [first, digits] if *first == word => unhex(digits),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes?.try_into().ok()
}
