//! Reading a console that QEMU writes to a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::lines::Lines;

/// Lines kept for error messages.
const LAST_LINES: usize = 12;

/// Bytes read at once.
const PIECE: usize = 4096;

/// The lines of one run, read in order, each once.
#[derive(Debug)]
pub struct Console {
    path: PathBuf,
    offset: u64,
    lines: Lines,
    last: VecDeque<String>,
}

impl Console {
    /// Reads what is appended to `path` from now on.
    pub fn from_end(path: &Path) -> Self {
        let offset = path.metadata().map_or(0, |m| m.len());
        Self { path: path.to_path_buf(), offset, lines: Lines::default(), last: VecDeque::new() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next complete line, without its end; `None` if there is none yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        if self.lines.is_empty() {
            self.read_more()?;
        }
        let line = self.lines.pop();
        if let Some(line) = &line {
            self.last.push_back(line.clone());
            if self.last.len() > LAST_LINES {
                self.last.pop_front();
            }
        }
        Ok(line)
    }

    /// The last lines that were read, and what has come of the next one.
    pub fn last_lines(&self) -> String {
        let mut lines: Vec<_> = self.last.iter().cloned().collect();
        lines.extend(self.lines.partial());
        lines.join("\n")
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // QEMU has not created it yet.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut piece = [0; PIECE];
        loop {
            let len = file.read(&mut piece)?;
            if len == 0 {
                return Ok(());
            }
            self.offset += len as u64;
            self.lines.add(piece.get(..len).unwrap_or_default());
        }
    }
}
