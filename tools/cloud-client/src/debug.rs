//! Debug sessions: a stream of what a device says, and a request for each message to it.

use std::io::Read;

use bulkhead_cloud_api::{DEBUG_STREAM_END, DebugSession, DebugStreamEnd, OpenDebug};
use ureq::BodyReader;

use crate::routes::device_path;
use crate::{Client, ClientError, Outgoing};

/// What a device says in a session, until it ends.
pub struct DebugRecords {
    reader: BodyReader<'static>,
}

/// One thing of a session's stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DebugRecord {
    /// A message of the device.
    Message(Vec<u8>),
    /// The session is over.
    Ended(DebugStreamEnd),
}

impl Client {
    /// Asks for a debug session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open_debug(&self, device: &str, open: &OpenDebug) -> Result<DebugSession, ClientError> {
        self.call("POST", &device_path(device, "/debug"), open)
    }

    /// Begins to read what the device says.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn debug_records(&self, session: u32) -> Result<DebugRecords, ClientError> {
        let response = self.send(Outgoing::new("GET", &format!("/api/v1/debug/{session}/frames")))?;
        Ok(DebugRecords { reader: response.into_body().into_reader() })
    }

    /// Hands a message to the device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn send_debug(&self, session: u32, message: &[u8]) -> Result<(), ClientError> {
        let path = format!("/api/v1/debug/{session}/frames");
        let content_type = Some("application/octet-stream");
        let request = Outgoing { content_type, body: message.to_vec(), ..Outgoing::new("POST", &path) };
        self.send(request).map(drop)
    }
}

impl Iterator for DebugRecords {
    type Item = DebugRecord;

    /// The next record; `None` when the connection broke.
    fn next(&mut self) -> Option<DebugRecord> {
        loop {
            let mut len = [0; 2];
            self.reader.read_exact(&mut len).ok()?;
            match u16::from_be_bytes(len) {
                0 => {}
                DEBUG_STREAM_END => {
                    let mut why = [0; 1];
                    self.reader.read_exact(&mut why).ok()?;
                    return Some(DebugRecord::Ended(DebugStreamEnd::from_number(u8::from_be_bytes(why))));
                }
                len => {
                    let mut message = vec![0; usize::from(len)];
                    self.reader.read_exact(&mut message).ok()?;
                    return Some(DebugRecord::Message(message));
                }
            }
        }
    }
}
