//! A developer without the tool's manners: sends a device what no GDB would.

use anyhow::{Context, Result, bail};
use bulkhead_cloud_api::{DebugStreamEnd, OpenDebug, ProblemCode, from_hex};
use bulkhead_cloud_client::{Client, ClientError, DebugRecord, DebugRecords};
use bulkhead_debug_protocol::{
    Answer, Event, MESSAGE_LEN_MAX, MessageType, MoreFollows, Operation, ReadMemory, StopReason, Writer,
    message_type, parse_event, parse_reply,
};
use bulkhead_developer_seal::Binding;
use bulkhead_developer_seal::developer::{Tunnel, open};
use bulkhead_device_identity::device_id;

use crate::debugger::FREE_WITHIN;
use crate::waiting::{Seen, until};

/// A developer with a session.
pub struct Developer {
    client: Client,
    session: u32,
    records: DebugRecords,
    tunnel: Tunnel,
    sequence: u32,
    last: Vec<u8>,
    stops: Vec<Stop>,
}

/// A stop as the device told it.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// Why.
    pub reason: StopReason,
    /// The program counter.
    pub pc: u32,
    /// r0 to r12, sp, lr, pc, xpsr.
    pub core: [u32; 17],
    /// The device's clock in microseconds.
    pub time_us: u64,
}

impl Developer {
    /// Opens a session at `device` with the private key `key`.
    ///
    /// # Errors
    /// The server or the device refused.
    pub fn open(client: &Client, device: &str, key: &[u8; 32]) -> Result<Self> {
        // A session whose developer was killed a moment ago lasts until the server has noticed.
        let granted = until("the session before to end", FREE_WITHIN, || {
            match client.open_debug(device, &OpenDebug { takeover: false, continues: None }) {
                Ok(granted) => Ok(Seen::Answer(granted)),
                Err(ClientError::Problem(problem)) if problem.code == ProblemCode::DebugHeld => {
                    Ok(Seen::NotYet(problem.to_string()))
                }
                Err(error) => Err(error.into()),
            }
        })?;
        let public: [u8; 32] = from_hex(&granted.public_key).context("no key")?;
        let binding = Binding {
            device: *device_id(&public).as_bytes(),
            manifest: granted.manifest.0,
            session: granted.session,
        };
        let (first, opening) = open(key, &public, &binding)?;
        let mut records = client.debug_records(granted.session)?;
        client.send_debug(granted.session, &first)?;
        let Some(DebugRecord::Message(answer)) = records.next() else { bail!("the device refused") };
        let answer = answer.as_slice().try_into().context("the answer has another length")?;
        let tunnel = opening.finish(answer)?;
        Ok(Self {
            client: client.clone(),
            session: granted.session,
            records,
            tunnel,
            sequence: 0,
            last: Vec::new(),
            stops: Vec::new(),
        })
    }

    fn send(&mut self, operations: &[Operation<'_>]) -> Result<()> {
        self.sequence += 1;
        let mut room = [0; MESSAGE_LEN_MAX];
        let mut writer = Writer::request(&mut room, self.sequence).context("no room")?;
        if !operations.iter().all(|operation| writer.push(operation)) {
            bail!("too many operations for a request");
        }
        let len = writer.finish(MoreFollows::No);
        self.last = self.tunnel.seal(room.get(..len).unwrap_or_default())?;
        Ok(self.client.send_debug(self.session, &self.last)?)
    }

    /// Sends the last message once more, as somebody in between could.
    ///
    /// # Errors
    /// The server refused.
    pub fn repeat(&mut self) -> Result<()> {
        Ok(self.client.send_debug(self.session, &self.last)?)
    }

    /// Sends a message that somebody in between changed.
    ///
    /// # Errors
    /// The server refused.
    pub fn send_changed(&mut self) -> Result<()> {
        let mut sealed = self.tunnel.seal(b"whatever it was")?;
        if let Some(byte) = sealed.first_mut() {
            *byte ^= 1;
        }
        Ok(self.client.send_debug(self.session, &sealed)?)
    }

    /// A word of the application's memory.
    ///
    /// # Errors
    /// The session ended, or the device refused.
    pub fn word(&mut self, address: u32) -> Result<u32> {
        self.send(&[Operation::ReadMemory(ReadMemory { address, len: 4, width: None })])?;
        loop {
            let message = self.receive()?;
            let Ok(mut reply) = parse_reply(&message) else { continue };
            return match reply.answers.next_pair::<Answer<'_>>() {
                Ok(Some(Some(Answer::Memory(memory)))) => {
                    Ok(u32::from_le_bytes(memory.bytes.try_into().context("not a word")?))
                }
                other => bail!("{address:#x} was not read: {other:?}"),
            };
        }
    }

    /// Asks, and returns the answers, printed.
    ///
    /// # Errors
    /// The session ended.
    pub fn ask(&mut self, operations: &[Operation<'_>]) -> Result<Vec<String>> {
        self.send(operations)?;
        let mut answers = Vec::new();
        loop {
            let message = self.receive()?;
            if message_type(&message) != Some(MessageType::Reply) {
                continue;
            }
            let mut reply = parse_reply(&message).map_err(|_| anyhow::anyhow!("an unreadable reply"))?;
            while let Ok(Some(Some(answer))) = reply.answers.next_pair::<Answer<'_>>() {
                answers.push(format!("{answer:?}"));
            }
            if !reply.more {
                return Ok(answers);
            }
        }
    }

    /// Waits for the application to stop.
    ///
    /// # Errors
    /// The session ended.
    pub fn stop(&mut self) -> Result<StopReason> {
        self.stopped().map(|stop| stop.reason)
    }

    /// As [`Self::stop`], with where and when.
    ///
    /// # Errors
    /// The session ended.
    pub fn stopped(&mut self) -> Result<Stop> {
        while self.stops.is_empty() {
            self.receive()?;
        }
        Ok(self.stops.remove(0))
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        match self.records.next() {
            Some(DebugRecord::Message(sealed)) => {
                let message = self.tunnel.open(&sealed)?;
                if let Ok(Some(Event::Stopped(stopped))) = parse_event(&message) {
                    let [.., pc, _] = stopped.core.0;
                    self.stops.push(Stop {
                        reason: stopped.reason,
                        pc,
                        core: stopped.core.0,
                        time_us: stopped.time_us,
                    });
                }
                Ok(message)
            }
            Some(DebugRecord::Ended(why)) => bail!("the session ended: {why:?}"),
            None => bail!("the stream broke"),
        }
    }

    /// Waits for the end of the session.
    pub fn end(mut self) -> Option<DebugStreamEnd> {
        self.records.find_map(|record| match record {
            DebugRecord::Ended(why) => Some(why),
            DebugRecord::Message(_) => None,
        })
    }
}
