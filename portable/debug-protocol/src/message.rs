//! Messages: a type, a number, then pairs of a small integer and a map.

use bulkhead_keyed_cbor::{Decode, Encode, Malformed, Reader, Writer as Items};

use crate::bodies::*;
use crate::limits::MESSAGE_LEN_MAX;

/// Why bytes are no message; the peer's fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unreadable {
    /// Longer than `MESSAGE_LEN_MAX`.
    TooLong,
    /// Not what the specification prescribes.
    Malformed,
}

/// What a message is, from its first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageType {
    /// Developer to device.
    Request = 1,
    /// Device to developer, answering a request.
    Reply = 2,
    /// Device to developer, by itself.
    Event = 3,
}

/// One pair of a message, by its number.
pub trait Wire<'b>: Sized {
    /// The number.
    fn number(&self) -> u32;
    /// Writes the body.
    fn encode_body(&self, items: &mut Items<'_>);
    /// Reads the body of `number`; `None` for one of a later version, whose body is skipped.
    ///
    /// # Errors
    /// The body is malformed.
    fn decode_body(number: u32, reader: &mut Reader<'b>) -> Result<Option<Self>, Malformed>;
}

macro_rules! wire {
    ($(#[$doc:meta])* $name:ident { $($variant:ident($body:ty) = $number:literal, $vdoc:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum $name<'b> { $(#[doc = $vdoc] $variant($body)),* }

        impl<'b> Wire<'b> for $name<'b> {
            fn number(&self) -> u32 {
                match self { $(Self::$variant(_) => $number),* }
            }
            fn encode_body(&self, items: &mut Items<'_>) {
                let body: &dyn Encode = match self { $(Self::$variant(body) => body),* };
                body.encode(items);
            }
            fn decode_body(number: u32, reader: &mut Reader<'b>) -> Result<Option<Self>, Malformed> {
                let body = match number {
                    $($number => Decode::decode(reader).map(|body| Some(Self::$variant(body))),)*
                    _ => reader.skip().map(|()| None),
                };
                body.ok_or(Malformed)
            }
        }
    };
}

wire! {
    /// What a request asks for.
    Operation {
        Hello(Hello) = 1, "Opens a session.";
        Halt(Nothing) = 2, "Stops the application.";
        Resume(Resume) = 3, "Lets it run.";
        ReadMemory(ReadMemory) = 4, "Reads memory.";
        WriteMemory(WriteMemory<'b>) = 5, "Writes memory.";
        ReadRegisters(Nothing) = 6, "Reads the registers.";
        WriteRegister(WriteRegister) = 7, "Writes a register.";
        Crc(Crc) = 8, "Asks for a checksum.";
        SetProbe(SetProbe<'b>) = 9, "Puts a probe in place.";
        ClearProbe(At) = 10, "Takes a probe away.";
        SetWatch(Watch) = 11, "Watches memory.";
        ClearWatch(Watch) = 12, "Watches it no longer.";
        Reset(Reset) = 13, "Restarts the application.";
        Detach(Nothing) = 14, "Ends the session: everything is taken away and the application runs.";
        Alive(Nothing) = 15, "Does nothing: who debugs is there, and a halted application stays halted.";
        Through(Through) = 20, "Runs to a return, tells of it, and goes on inside a range.";
        Along(Along) = 22, "Has memory told along with the next stop.";
        Forget(Nothing) = 21, "Takes probes and watches away, and leaves the application where it is.";
    }
}

wire! {
    /// What a reply answers.
    #[cfg_attr(
        target_pointer_width = "32",
        expect(clippy::large_enum_variant, reason = "no allocator to box it; one exists at a time")
    )]
    Answer {
        Refused(Refused) = 0, "Not carried out, nor what is behind it.";
        Welcome(Welcome<'b>) = 1, "To `Hello`.";
        Region(Region) = 2, "One region, behind `Welcome`.";
        Done(Nothing) = 3, "Carried out.";
        Memory(Memory<'b>) = 4, "A piece of memory.";
        Registers(Registers) = 5, "The registers.";
        Checksum(Checksum) = 6, "The checksum.";
        Watching(Watching) = 7, "Watched from now on.";
        Kept(Kept) = 20, "Behind `Welcome`: the session goes on.";
    }
}

wire! {
    /// What a device says by itself.
    Event {
        Stopped(Stopped<'b>) = 1, "The application stands still.";
        Log(Log<'b>) = 2, "A probe printed.";
        Console(Console<'b>) = 3, "The application wrote.";
        ApplicationReset(ApplicationReset<'b>) = 4, "It was restarted.";
        Snapshot(Stopped<'b>) = 5, "A probe took a picture; the application runs on.";
        Passed(Stopped<'b>) = 6, "The place of `Through` was reached; the application runs on.";
        Seen(Memory<'b>) = 7, "Memory, as it was at the event before it in the same message.";
    }
}

/// The pairs of a message, one after the other.
#[derive(Clone, Debug)]
pub struct Pairs<'b> {
    reader: Reader<'b>,
}

impl<'b> Pairs<'b> {
    /// The next pair: `None` at the end, `Some(None)` for a number of a later version.
    ///
    /// # Errors
    /// The rest cannot be read.
    pub fn next_pair<T: Wire<'b>>(&mut self) -> Result<Option<Option<T>>, Unreadable> {
        if self.reader.is_at_end() {
            return Ok(None);
        }
        let number = u32::decode(&mut self.reader).ok_or(Unreadable::Malformed)?;
        T::decode_body(number, &mut self.reader).map(Some).map_err(|Malformed| Unreadable::Malformed)
    }

    /// Where the next pair begins in the message, in bytes.
    #[must_use]
    pub fn position(&self) -> usize {
        self.reader.position()
    }

    /// Goes on at a position that an earlier call returned.
    pub fn set_position(&mut self, position: usize) {
        self.reader.set_position(position);
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request<'b> {
    /// Number of the request, repeated by its reply.
    pub sequence: u32,
    /// Its operations.
    pub operations: Pairs<'b>,
}

/// A reply, or a piece of one, as it arrived.
#[derive(Clone, Debug)]
pub struct Reply<'b> {
    /// Another piece of this reply follows.
    pub more: bool,
    /// Number of the request.
    pub sequence: u32,
    /// Its answers.
    pub answers: Pairs<'b>,
}

/// The type of a message; `None` for one of a later version.
#[must_use]
pub fn message_type(bytes: &[u8]) -> Option<MessageType> {
    match bytes.first()? {
        1 => Some(MessageType::Request),
        2 => Some(MessageType::Reply),
        3 => Some(MessageType::Event),
        _ => None,
    }
}

fn open(bytes: &[u8], wanted: MessageType) -> Result<Reader<'_>, Unreadable> {
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(Unreadable::TooLong);
    }
    let mut reader = Reader::new(bytes);
    match u8::decode(&mut reader) {
        Some(kind) if kind == wanted as u8 => Ok(reader),
        Some(_) | None => Err(Unreadable::Malformed),
    }
}

/// Reads a request.
///
/// # Errors
/// It is not one.
pub fn parse_request(bytes: &[u8]) -> Result<Request<'_>, Unreadable> {
    let mut reader = open(bytes, MessageType::Request)?;
    let sequence = u32::decode(&mut reader).ok_or(Unreadable::Malformed)?;
    Ok(Request { sequence, operations: Pairs { reader } })
}

/// Reads a reply.
///
/// # Errors
/// It is not one.
pub fn parse_reply(bytes: &[u8]) -> Result<Reply<'_>, Unreadable> {
    let mut reader = open(bytes, MessageType::Reply)?;
    let more = reader.truth().ok_or(Unreadable::Malformed)?;
    let sequence = u32::decode(&mut reader).ok_or(Unreadable::Malformed)?;
    Ok(Reply { more, sequence, answers: Pairs { reader } })
}

/// Reads the first event of a message; `None` for one of a later version.
///
/// # Errors
/// It is not one.
pub fn parse_event(bytes: &[u8]) -> Result<Option<Event<'_>>, Unreadable> {
    parse_events(bytes)?.next_pair().map(Option::flatten)
}

/// Reads a message of events.
///
/// # Errors
/// It is not one.
pub fn parse_events(bytes: &[u8]) -> Result<Pairs<'_>, Unreadable> {
    let reader = open(bytes, MessageType::Event)?;
    Ok(Pairs { reader })
}

/// Writes one message, pair by pair.
#[derive(Debug)]
pub struct Writer<'o> {
    items: Items<'o>,
}

impl<'o> Writer<'o> {
    fn begin(out: &'o mut [u8], kind: MessageType) -> Option<Self> {
        let len = out.len().min(MESSAGE_LEN_MAX);
        let mut items = Items::new(out.get_mut(..len)?);
        items.number(kind as u64);
        Self { items }.whole()
    }

    fn whole(self) -> Option<Self> {
        self.items.written()?;
        Some(self)
    }

    /// Begins a request; `None` where `out` has no room for its head.
    #[must_use]
    pub fn request(out: &'o mut [u8], sequence: u32) -> Option<Self> {
        let mut writer = Self::begin(out, MessageType::Request)?;
        writer.items.number(sequence.into());
        writer.whole()
    }

    /// Begins a reply, as its last piece.
    #[must_use]
    pub fn reply(out: &'o mut [u8], sequence: u32) -> Option<Self> {
        let mut writer = Self::begin(out, MessageType::Reply)?;
        writer.items.truth(false);
        writer.items.number(sequence.into());
        writer.whole()
    }

    /// Begins a message of events.
    #[must_use]
    pub fn events(out: &'o mut [u8]) -> Option<Self> {
        Self::begin(out, MessageType::Event)
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.position()
    }

    /// Never: a message has a head.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a pair; `false` where there is no room for it, and then nothing was added.
    #[must_use]
    pub fn push<'b>(&mut self, pair: &impl Wire<'b>) -> bool {
        let before = self.len();
        self.items.number(pair.number().into());
        pair.encode_body(&mut self.items);
        let written = self.items.written().is_some();
        if !written {
            self.items.rewind(before);
        }
        written
    }

    /// Ends the message, with the mark that another piece of the reply follows if `more`.
    #[must_use]
    pub fn finish(self, more: MoreFollows) -> usize {
        let len = self.items.position();
        if let (MoreFollows::Yes, Some(flag)) = (more, self.items.into_inner().get_mut(1)) {
            *flag = 0xF5;
        }
        len
    }
}

/// Whether a message is followed by another piece of the same reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MoreFollows {
    /// It ends the reply.
    No,
    /// It does not.
    Yes,
}

/// Writes an event; `None` where it does not fit.
#[must_use]
pub fn encode_event(out: &mut [u8], event: &Event<'_>) -> Option<usize> {
    let mut writer = Writer::events(out)?;
    writer.push(event).then(|| writer.finish(MoreFollows::No))
}

/// Reads whatever a peer sent, as a fuzzer does; it must neither panic nor hang.
pub fn fuzz_message(bytes: &[u8]) {
    fn drain<'b, T: Wire<'b>>(mut pairs: Pairs<'b>) {
        while let Ok(Some(_)) = pairs.next_pair::<T>() {}
    }
    if let Ok(request) = parse_request(bytes) {
        drain::<Operation<'_>>(request.operations);
    }
    if let Ok(reply) = parse_reply(bytes) {
        drain::<Answer<'_>>(reply.answers);
    }
    if let Ok(events) = parse_events(bytes) {
        drain::<Event<'_>>(events);
    }
}
