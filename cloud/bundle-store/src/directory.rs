//! Objects as files of a directory.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead_cloud_api::to_hex;

use crate::{Answer, BundleStore, BundleStoreError, ObjectDigest, digest_of};

/// Folder for files being written; emptied when the directory is opened.
const PARTIAL: &str = "partial";

/// Objects as files `ab/cdef...` below a directory.
#[derive(Clone, Debug)]
pub struct Directory {
    root: Arc<Path>,
    /// Makes names of files being written unique within this process, which alone owns the directory.
    next_partial: Arc<AtomicU64>,
}

impl Directory {
    /// Opens `root`, made if need be, and clears what a crash left half-written.
    ///
    /// # Errors
    /// [`BundleStoreError::Io`]: the directory cannot be made or cleared.
    pub fn open(root: &Path) -> Result<Self, BundleStoreError> {
        let partial = root.join(PARTIAL);
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        Ok(Self { root: root.into(), next_partial: Arc::default() })
    }

    fn path(&self, digest: ObjectDigest) -> PathBuf {
        let name = to_hex(&digest);
        let (folder, file) = name.split_at(2);
        self.root.join(folder).join(file)
    }

    fn put_blocking(&self, bytes: &[u8]) -> Result<ObjectDigest, BundleStoreError> {
        let digest = digest_of(bytes);
        let path = self.path(digest);
        if path.exists() {
            return Ok(digest);
        }
        let number = self.next_partial.fetch_add(1, Ordering::Relaxed);
        let partial = self.root.join(PARTIAL).join(number.to_string());
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        fs::rename(&partial, &path)?;
        // The names must survive as well: the folder's entry of the file, the root's entry of the folder.
        File::open(folder)?.sync_all()?;
        File::open(&self.root)?.sync_all()?;
        Ok(digest)
    }

    fn read_blocking(
        &self,
        digest: ObjectDigest,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, BundleStoreError> {
        let mut file = File::open(self.path(digest))?;
        let object_len = file.metadata()?.len();
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        if end.is_none_or(|end| end > object_len) {
            return Err(BundleStoreError::OutOfRange { object_len });
        }
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; len];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Runs file work off the threads that serve links.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, BundleStoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let this = self.clone();
        Box::pin(async move {
            let joined = tokio::task::spawn_blocking(move || work(this)).await;
            joined.unwrap_or_else(|error| Err(BundleStoreError::Io(std::io::Error::other(error))))
        })
    }
}

impl BundleStore for Directory {
    fn put(&self, bytes: Vec<u8>) -> Answer<'_, ObjectDigest> {
        self.blocking(move |this| this.put_blocking(&bytes))
    }

    fn read(&self, digest: ObjectDigest, offset: u64, len: usize) -> Answer<'_, Vec<u8>> {
        self.blocking(move |this| this.read_blocking(digest, offset, len))
    }

    fn len(&self, digest: ObjectDigest) -> Answer<'_, u64> {
        self.blocking(move |this| Ok(fs::metadata(this.path(digest))?.len()))
    }
}
