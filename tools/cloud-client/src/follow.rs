//! Server-sent events: reads a stream and, when it breaks, goes on where it was.

use std::io::{BufRead as _, BufReader};
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::BodyReader;

use crate::{Client, ClientError, Outgoing};

/// Attempts to come back before giving up; the pauses between them add up to about a minute.
const ATTEMPTS_MAX: u32 = 10;
/// Longest pause before an attempt.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Items of a stream, without end.
pub struct Follow<T> {
    client: Client,
    path: String,
    reader: Option<BufReader<BodyReader<'static>>>,
    last_id: Option<i64>,
    failed: u32,
    item: PhantomData<T>,
}

impl<T: DeserializeOwned> Follow<T> {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self { client, path, reader: None, last_id: None, failed: 0, item: PhantomData }
    }

    /// Opens the stream now, so that nothing is missed between this call and the first [`Iterator::next`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open(&mut self) -> Result<(), ClientError> {
        let mut request = Outgoing::new("GET", &self.path);
        request.last_event_id = self.last_id;
        let response = self.client.send(request)?;
        self.reader = Some(BufReader::new(response.into_body().into_reader()));
        Ok(())
    }

    /// Reads up to the end of one item, and heeds each id: a stream begins with one that has no item, so that what comes while
    /// it is broken is not missed even if nothing came before. `None`: the stream ended or broke.
    fn read(&mut self) -> Option<String> {
        let reader = self.reader.as_mut()?;
        let (mut id, mut data, mut line) = (None, String::new(), String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let text = line.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                if id.is_some() || !data.is_empty() {
                    self.failed = 0;
                }
                self.last_id = id.take().or(self.last_id);
                if !data.is_empty() {
                    return Some(data);
                }
            } else if let Some(value) = text.strip_prefix("data:") {
                data.push_str(value.strip_prefix(' ').unwrap_or(value));
            } else if let Some(value) = text.strip_prefix("id:") {
                id = value.trim().parse().ok();
            }
        }
    }
}

impl<T: DeserializeOwned> Iterator for Follow<T> {
    type Item = Result<T, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.reader.is_none()
                && let Err(error) = self.open()
            {
                self.failed += 1;
                let lasting = !matches!(error, ClientError::Unreachable { .. });
                // A first attempt that fails is told at once: most likely the address is wrong.
                let first = self.failed == 1 && self.last_id.is_none();
                if lasting || first || self.failed > ATTEMPTS_MAX {
                    return Some(Err(error));
                }
                std::thread::sleep(Duration::from_secs(1 << self.failed.min(4)).min(PAUSE_MAX));
                continue;
            }
            let Some(data) = self.read() else {
                self.reader = None;
                std::thread::sleep(Duration::from_millis(200));
                continue;
            };
            // An item of a newer server that cannot be read is skipped, like a field that is not known.
            if let Ok(item) = serde_json::from_str(&data) {
                return Some(Ok(item));
            }
        }
    }
}
