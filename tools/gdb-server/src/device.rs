//! Requests to the device, several operations at a time, and what it answers.

use bulkhead_debug_protocol::{
    Action, Along, Answer, At, Crc, Hello, Keeping, MESSAGE_LEN_MAX, MoreFollows, Nothing, Operation,
    PROTOCOL_VERSION, ReadMemory, RefusalReason, Region, RegisterFile, Reset, Resume, SetProbe, Through,
    Watch, WriteMemory, WriteRegister, Writer, parse_reply,
};

use crate::breakpoints::Expressions;
use crate::memory::Range;

/// Why the tunnel to the device took no message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct SendError(pub String);

/// The way to the device; what comes back arrives elsewhere, see [`crate::Arrived`].
pub trait ToDevice {
    /// Sends one message, at most `MESSAGE_LEN_MAX` bytes.
    ///
    /// # Errors
    /// [`SendError`]: the session is over.
    fn send(&mut self, message: &[u8]) -> Result<(), SendError>;
}

/// Why the device did not do as asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// The tunnel is gone.
    #[error("{0}")]
    Gone(String),
    /// The link is lost, and may come back.
    #[error("the link to the device is lost; it is tried again for a minute")]
    Away,
    /// No answer in time.
    #[error("the device does not answer")]
    Silent,
    /// It refused one operation, and those behind it.
    #[error("the device refused: {0:?}")]
    Refused(RefusalReason),
    /// What it said cannot be read: another generation.
    #[error("the device speaks another version of the debug protocol")]
    Unreadable,
}

/// One operation, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    Hello,
    Halt,
    Resume(Resume),
    Through(Through),
    Along(Range),
    Read(Range),
    ReadExact { range: Range, width: u8 },
    ReadRegisters,
    Write { address: u32, bytes: Vec<u8> },
    WriteExact { address: u32, bytes: Vec<u8>, width: u8 },
    Register { register: u8, value: u32 },
    Crc(Range),
    Set { address: u32, expressions: Expressions },
    Clear(u32),
    Watch(Watch),
    Unwatch(Watch),
    Reset { halt: bool },
    Forget,
    Detach,
    Alive,
}

impl Order {
    fn operation(&self) -> Operation<'_> {
        match self {
            Self::Hello => Operation::Hello(Hello { version: PROTOCOL_VERSION }),
            Self::Halt => Operation::Halt(Nothing {}),
            Self::Resume(resume) => Operation::Resume(*resume),
            Self::Through(through) => Operation::Through(*through),
            Self::Along(Range { address, len }) => Operation::Along(Along { address: *address, len: *len }),
            Self::Read(Range { address, len }) => {
                Operation::ReadMemory(ReadMemory { address: *address, len: *len, width: None })
            }
            Self::ReadExact { range: Range { address, len }, width } => {
                Operation::ReadMemory(ReadMemory { address: *address, len: *len, width: Some(*width) })
            }
            Self::WriteExact { address, bytes, width } => {
                Operation::WriteMemory(WriteMemory { address: *address, bytes, width: Some(*width) })
            }
            Self::ReadRegisters => Operation::ReadRegisters(Nothing {}),
            Self::Write { address, bytes } => {
                Operation::WriteMemory(WriteMemory { address: *address, bytes, width: None })
            }
            Self::Register { register, value } => {
                Operation::WriteRegister(WriteRegister { register: *register, value: *value })
            }
            Self::Crc(Range { address, len }) => Operation::Crc(Crc { address: *address, len: *len }),
            Self::Set { address, expressions: Expressions { condition, command, pictures } } => {
                Operation::SetProbe(SetProbe {
                    address: *address,
                    action: match (command.is_empty(), *pictures) {
                        (true, 0) => Action::Stop,
                        (true, _) => Action::Snapshot,
                        (false, _) => Action::Log,
                    },
                    condition: (!condition.is_empty()).then(|| condition.as_slice().into()),
                    command: (!command.is_empty()).then(|| command.as_slice().into()),
                    actions_max: (*pictures > 0).then_some(*pictures),
                })
            }
            Self::Clear(address) => Operation::ClearProbe(At { address: *address }),
            Self::Watch(watch) => Operation::SetWatch(*watch),
            Self::Unwatch(watch) => Operation::ClearWatch(*watch),
            Self::Reset { halt } => Operation::Reset(Reset { halt: *halt }),
            Self::Forget => Operation::Forget(Nothing {}),
            Self::Detach => Operation::Detach(Nothing {}),
            Self::Alive => Operation::Alive(Nothing {}),
        }
    }
}

/// One answer, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answered {
    Done,
    Welcome {
        halted: bool,
        probes_max: usize,
        watches_max: usize,
        manifest: Vec<u8>,
    },
    /// The session goes on; stops since it began.
    Kept(u32),
    Region(Region),
    Memory {
        address: u32,
        bytes: Vec<u8>,
    },
    Registers(Box<RegisterFile>),
    Checksum(u32),
    Watching(Keeping),
    Refused(RefusalReason),
}

/// The device as a place to send requests to, and the count of what that took.
pub struct Device {
    to: Box<dyn ToDevice>,
    sequence: u32,
    /// Requests sent; each waited for its reply.
    pub round_trips: u64,
    /// Bytes of all requests.
    pub bytes_sent: u64,
}

impl Device {
    /// The device behind `to`.
    pub fn new(to: Box<dyn ToDevice>) -> Self {
        Self { to, sequence: 0, round_trips: 0, bytes_sent: 0 }
    }

    /// Sends as many of `orders` as fit one request. Returns its number and how many orders were taken.
    pub(crate) fn request(&mut self, orders: &[Order]) -> Result<(u32, usize), DeviceError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut out = [0; MESSAGE_LEN_MAX];
        let mut writer = Writer::request(&mut out, self.sequence).ok_or(DeviceError::Unreadable)?;
        let taken = orders.iter().take_while(|order| writer.push(&order.operation())).count();
        let len = writer.finish(MoreFollows::No);
        let message = out.get(..len).unwrap_or_default();
        self.to.send(message).map_err(|SendError(why)| DeviceError::Gone(why))?;
        self.round_trips += 1;
        self.bytes_sent += u64::try_from(message.len()).unwrap_or_default();
        Ok((self.sequence, taken))
    }
}

/// Reads a piece of the reply to request `sequence` into `answers`; `Some(true)` when it was the last, `None` when it
/// is of another request.
pub(crate) fn read_reply(
    message: &[u8],
    sequence: u32,
    answers: &mut Vec<Answered>,
) -> Result<Option<bool>, DeviceError> {
    let mut reply = parse_reply(message).map_err(|_| DeviceError::Unreadable)?;
    if reply.sequence != sequence {
        return Ok(None);
    }
    while let Some(answer) = reply.answers.next_pair::<Answer<'_>>().map_err(|_| DeviceError::Unreadable)? {
        answers.extend(answer.map(owned));
    }
    Ok(Some(!reply.more))
}

fn owned(answer: Answer<'_>) -> Answered {
    match answer {
        Answer::Refused(refused) => Answered::Refused(refused.reason),
        Answer::Welcome(welcome) => Answered::Welcome {
            halted: welcome.halted,
            probes_max: usize::try_from(welcome.probes_max).unwrap_or_default(),
            watches_max: usize::try_from(welcome.watches_max).unwrap_or_default(),
            manifest: welcome.manifest.to_vec(),
        },
        Answer::Kept(kept) => Answered::Kept(kept.stops),
        Answer::Region(region) => Answered::Region(region),
        Answer::Done(Nothing {}) => Answered::Done,
        Answer::Memory(memory) => Answered::Memory { address: memory.address, bytes: memory.bytes.to_vec() },
        Answer::Registers(registers) => Answered::Registers(Box::new(RegisterFile {
            core: registers.core,
            system: registers.system,
            float: registers.float,
        })),
        Answer::Checksum(checksum) => Answered::Checksum(checksum.crc),
        Answer::Watching(watching) => Answered::Watching(watching.keeping),
    }
}
