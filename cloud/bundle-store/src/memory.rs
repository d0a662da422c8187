//! Objects in memory, for tests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::{Answer, BundleStore, BundleStoreError, ObjectDigest, digest_of};

/// Objects in memory; gone with the process.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<HashMap<ObjectDigest, Vec<u8>>>,
}

impl Memory {
    fn with<T>(&self, digest: ObjectDigest, read: impl FnOnce(&[u8]) -> T) -> Result<T, BundleStoreError> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(&digest).map(|bytes| read(bytes)).ok_or(BundleStoreError::NotFound)
    }
}

impl BundleStore for Memory {
    fn put(&self, bytes: Vec<u8>) -> Answer<'_, ObjectDigest> {
        let digest = digest_of(&bytes);
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, bytes);
        Box::pin(std::future::ready(Ok(digest)))
    }

    fn read(&self, digest: ObjectDigest, offset: u64, len: usize) -> Answer<'_, Vec<u8>> {
        let span = self.with(digest, |bytes| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let found = start.checked_add(len).and_then(|end| bytes.get(start..end));
            found.map(<[u8]>::to_vec).ok_or(BundleStoreError::OutOfRange {
                object_len: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            })
        });
        Box::pin(std::future::ready(span.and_then(|found| found)))
    }

    fn len(&self, digest: ObjectDigest) -> Answer<'_, u64> {
        let len = self.with(digest, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Box::pin(std::future::ready(len))
    }
}
