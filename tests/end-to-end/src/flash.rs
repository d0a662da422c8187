//! Looks at the non-volatile memory of a virtual device from outside, while it runs or after its power failed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bulkhead_board_description::{Board, MPS2_AN505};
use object::{Object, ObjectSegment};

/// The application's flash as an ELF file wants it: page by page.
#[derive(Clone, Debug)]
pub struct Image {
    pages: Vec<Vec<u8>>,
}

impl Image {
    /// Reads the segments that lie in the application's flash; what no segment covers is erased flash.
    ///
    /// # Errors
    /// The file cannot be read or is not ELF.
    pub fn read(elf: &Path) -> Result<Self> {
        let board = Board::parse(MPS2_AN505)?;
        let bytes = std::fs::read(elf).with_context(|| format!("failed to read {}", elf.display()))?;
        let file = object::File::parse(&*bytes).with_context(|| format!("{} is not ELF", elf.display()))?;
        let base = u64::from(board.region("flash")?.base);
        let length = u64::from(board.region("flash")?.length);
        let mut flat = Vec::new();
        for segment in file.segments() {
            let at = segment.address();
            if at < base || at >= base + length {
                continue;
            }
            let data = segment.data()?;
            let start = usize::try_from(at - base)?;
            let end = start + data.len();
            if flat.len() < end {
                flat.resize(end, 0xFF);
            }
            if let Some(place) = flat.get_mut(start..end) {
                place.copy_from_slice(data);
            }
        }
        let page_bytes = usize::try_from(board.non_volatile.die.page_bytes)?;
        Ok(Self { pages: flat.chunks(page_bytes).map(<[u8]>::to_vec).collect() })
    }

    /// Number of pages.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Numbers of the pages in which this image and `other` differ.
    pub fn differing(&self, other: &Self) -> Vec<usize> {
        let count = self.pages.len().max(other.pages.len());
        (0..count).filter(|page| self.pages.get(*page) != other.pages.get(*page)).collect()
    }
}

/// The file in which a virtual device keeps its memory.
#[derive(Debug)]
pub struct Memory {
    file: File,
    path: PathBuf,
    start: u64,
    page_bytes: usize,
}

impl Memory {
    /// Opens the file to look into it; nothing is ever written.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let board = Board::parse(MPS2_AN505)?;
        Ok(Self {
            file: File::open(path).with_context(|| format!("failed to open {}", path.display()))?,
            path: path.into(),
            start: u64::from(board.non_volatile.die.application.offset),
            page_bytes: usize::try_from(board.non_volatile.die.page_bytes)?,
        })
    }

    /// How many of `pages` hold at this moment what `image` has there.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn matching(&self, image: &Image, pages: &[usize]) -> Result<usize> {
        let mut count = 0;
        let mut buffer = vec![0; self.page_bytes];
        for page in pages {
            let Some(wanted) = image.pages.get(*page) else { continue };
            let Some(place) = buffer.get_mut(..wanted.len()) else { continue };
            let at = self.start + u64::try_from(page * self.page_bytes)?;
            self.file
                .read_exact_at(place, at)
                .with_context(|| format!("failed to read {}", self.path.display()))?;
            count += usize::from(place == wanted.as_slice());
        }
        Ok(count)
    }
}
