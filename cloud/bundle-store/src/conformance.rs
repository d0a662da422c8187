//! The laws of [`BundleStore`], checked against every implementation and against one that breaks them.

use std::path::PathBuf;

use bulkhead_cloud_api::to_hex;

use crate::*;

async fn check_laws(store: &dyn BundleStore) -> Result<(), String> {
    let bytes: Vec<u8> = (0..5000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let digest = store.put(bytes.clone()).await.map_err(|e| e.to_string())?;
    if digest != digest_of(&bytes) || store.put(bytes.clone()).await.ok() != Some(digest) {
        return Err("law 2: the same bytes have the same name".into());
    }
    if store.len(digest).await.ok() != Some(5000) {
        return Err("law 1: whole".into());
    }
    for (offset, len) in [(0, 5000), (0, 0), (5000, 0), (4999, 1), (17, 960)] {
        let start = usize::try_from(offset).expect("small");
        if store.read(digest, offset, len).await.ok().as_deref() != Some(&bytes[start..start + len]) {
            return Err(format!("law 3: {len} bytes at {offset}"));
        }
    }
    for (offset, len) in [(0, 5001), (5000, 1), (u64::MAX, 1), (1, usize::MAX), (u64::MAX, usize::MAX)] {
        if !matches!(
            store.read(digest, offset, len).await,
            Err(BundleStoreError::OutOfRange { object_len: 5000 })
        ) {
            return Err(format!("law 3: {len} bytes at {offset} are out of range"));
        }
    }
    match store.read([0; 32], 0, 1).await {
        Err(BundleStoreError::NotFound) => Ok(()),
        other => Err(format!("an unknown digest is not found, got {other:?}")),
    }
}

fn scratch() -> PathBuf {
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("randomness");
    std::env::temp_dir().join(format!("bulkhead-bundle-store-{}", to_hex(&random)))
}

#[tokio::test]
async fn memory_keeps_the_laws() {
    assert_eq!(check_laws(&Memory::default()).await, Ok(()));
}

#[tokio::test]
async fn directory_keeps_the_laws_and_its_objects_over_a_restart() {
    let root = scratch();
    assert_eq!(check_laws(&Directory::open(&root).expect("opens")).await, Ok(()));
    std::fs::write(root.join("partial").join("0"), b"torn").expect("leaves a torn file");
    let again = Directory::open(&root).expect("opens again");
    assert_eq!(check_laws(&again).await, Ok(()));
    assert!(!root.join("partial").join("0").exists(), "torn files are cleared");
    std::fs::remove_dir_all(root).expect("removes");
}

/// Answers spans short instead of refusing them.
struct Short(Memory);

impl BundleStore for Short {
    fn put(&self, bytes: Vec<u8>) -> Answer<'_, ObjectDigest> {
        self.0.put(bytes)
    }
    fn read(&self, digest: ObjectDigest, offset: u64, len: usize) -> Answer<'_, Vec<u8>> {
        self.0.read(digest, offset.min(5000), len.min(5000))
    }
    fn len(&self, digest: ObjectDigest) -> Answer<'_, u64> {
        self.0.len(digest)
    }
}

#[tokio::test]
async fn store_that_answers_short_is_rejected_by_this_suite() {
    let verdict = check_laws(&Short(Memory::default())).await;
    assert!(verdict.is_err_and(|why| why.starts_with("law 3")));
}
