//! The application's console (UART1) over a Unix socket: read line by line, written byte by byte.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::lines::Lines;
use crate::{Error, io_error};

/// Longest wait for QEMU to open the socket.
const CONNECT: Duration = Duration::from_secs(10);

/// How often it is tried, and how often a console is looked at.
const POLL: Duration = Duration::from_millis(2);

/// Bytes read at once.
const PIECE: usize = 4096;

/// Lines kept for error messages.
const LAST_LINES: usize = 12;

/// Both directions of the application's console.
#[derive(Debug)]
pub struct ApplicationConsole {
    stream: UnixStream,
    lines: Lines,
    last: VecDeque<String>,
}

impl ApplicationConsole {
    /// Connects; QEMU waits for this before its first instruction, so no byte is lost. `None`: QEMU ended instead.
    pub(crate) fn connect(
        path: &Path,
        mut ended: impl FnMut() -> Result<bool, Error>,
    ) -> Result<Option<Self>, Error> {
        let start = Instant::now();
        let failed = || io_error("could not connect to", path);
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => {
                    stream.set_nonblocking(true).map_err(failed())?;
                    return Ok(Some(Self { stream, lines: Lines::default(), last: VecDeque::new() }));
                }
                Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                    return Err(failed()(e));
                }
                Err(e) if start.elapsed() >= CONNECT => return Err(failed()(e)),
                Err(_) if ended()? => return Ok(None),
                Err(_) => thread::sleep(POLL),
            }
        }
    }

    /// Sends bytes to the application.
    ///
    /// # Errors
    /// QEMU has ended, or the application has not read for so long that every buffer between is full.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next complete line, without its end; `None` if there is none yet.
    ///
    /// # Errors
    /// The socket cannot be read. That QEMU has ended is no error: there are just no more lines.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut piece = [0; PIECE];
        while self.lines.is_empty() {
            match self.stream.read(&mut piece) {
                Ok(0) => break,
                Ok(len) => self.lines.add(piece.get(..len).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
                Err(e) => return Err(e),
            }
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

    /// Waits until a line contains `wanted` and returns the line. Each line is looked at once.
    ///
    /// # Errors
    /// [`Error::NotSeen`] after `timeout`, with the last lines; [`Error::Io`].
    pub fn wait_for_line(&mut self, wanted: &str, timeout: Duration) -> Result<String, Error> {
        let start = Instant::now();
        loop {
            while let Some(line) =
                self.next_line().map_err(io_error("could not read", "the application's console"))?
            {
                if line.contains(wanted) {
                    return Ok(line);
                }
            }
            if start.elapsed() >= timeout {
                let mut last: Vec<_> = self.last.iter().cloned().collect();
                last.extend(self.lines.partial());
                let (wanted, waited_s) = (wanted.to_owned(), timeout.as_secs_f32());
                return Err(Error::NotSeen { wanted, waited_s, last: last.join("\n") });
            }
            thread::sleep(POLL);
        }
    }
}
