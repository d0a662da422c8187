//! From a stream of bytes to lines.

use std::collections::VecDeque;

/// Complete lines that nobody took yet, and the start of the next one.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    complete: VecDeque<String>,
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes as they come; what is not UTF-8 is replaced.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&self.partial).trim_end_matches('\r').to_owned();
                self.complete.push_back(line);
                self.partial.clear();
            } else {
                self.partial.push(*byte);
            }
        }
    }

    /// Whether no complete line waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.complete.is_empty()
    }

    /// The oldest complete line, without its end.
    pub(crate) fn pop(&mut self) -> Option<String> {
        self.complete.pop_front()
    }

    /// What has come of the next line.
    pub(crate) fn partial(&self) -> Option<String> {
        (!self.partial.is_empty()).then(|| String::from_utf8_lossy(&self.partial).into_owned())
    }
}
