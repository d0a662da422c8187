//! Bundle bytes by digest.
//!
//! An object is named by SHA-256 of its bytes, written once and never changed, so areas that two bundles share
//! lie here once. [`Directory`] is what a server uses; [`Memory`] is for tests; both keep the laws of
//! [`BundleStore`], which `conformance` checks. An S3 bucket will be the third.
#![forbid(unsafe_code)]

#[cfg(test)]
mod conformance;
mod directory;
mod memory;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use sha2::{Digest as _, Sha256};

pub use directory::Directory;
pub use memory::Memory;

/// SHA-256 of an object's bytes.
pub type ObjectDigest = [u8; 32];

/// A future that any implementor may return.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, BundleStoreError>> + Send + 'a>>;

/// Why bytes could not be stored or read.
#[derive(Debug)]
pub enum BundleStoreError {
    /// There is no object of that digest.
    NotFound,
    /// The span reaches beyond the object. The caller's fault.
    OutOfRange {
        /// Length of the object in bytes.
        object_len: u64,
    },
    /// The memory beneath failed.
    Io(std::io::Error),
}

impl fmt::Display for BundleStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no object of that digest"),
            Self::OutOfRange { object_len } => write!(f, "span ends beyond the object's {object_len} bytes"),
            Self::Io(error) => write!(f, "bundle store: {error}"),
        }
    }
}

impl std::error::Error for BundleStoreError {}

impl From<std::io::Error> for BundleStoreError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound { Self::NotFound } else { Self::Io(error) }
    }
}

/// Objects by digest.
///
/// # Laws (run by `conformance` against every implementation)
/// 1. What `put` returned can be read until it is removed, also after a crash, whole or not at all.
/// 2. Putting the same bytes again changes nothing and succeeds.
/// 3. A span is answered exactly or with `OutOfRange`, never short.
pub trait BundleStore: Send + Sync {
    /// Stores `bytes` and returns their digest once they would survive a power cut.
    fn put(&self, bytes: Vec<u8>) -> Answer<'_, ObjectDigest>;

    /// Reads `len` bytes from `offset` of an object.
    fn read(&self, digest: ObjectDigest, offset: u64, len: usize) -> Answer<'_, Vec<u8>>;

    /// Length of an object in bytes.
    fn len(&self, digest: ObjectDigest) -> Answer<'_, u64>;
}

pub(crate) fn digest_of(bytes: &[u8]) -> ObjectDigest {
    Sha256::digest(bytes).into()
}
