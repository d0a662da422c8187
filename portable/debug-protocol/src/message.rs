//! Messages: a type, a number, then pairs of a small integer and a map.

use minicbor::encode::write::{Cursor, EndOfSlice};
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decoder, Encoder};

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
    ///
    /// # Errors
    /// The writer is full.
    fn encode_body<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>>;
    /// Reads the body of `number`; `None` for one of a later version, whose body is skipped.
    ///
    /// # Errors
    /// The body is malformed.
    fn decode_body(number: u32, d: &mut Decoder<'b>) -> Result<Option<Self>, minicbor::decode::Error>;
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
            fn encode_body<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
                match self { $(Self::$variant(body) => { e.encode(body)?; })* }
                Ok(())
            }
            fn decode_body(number: u32, d: &mut Decoder<'b>) -> Result<Option<Self>, minicbor::decode::Error> {
                match number {
                    $($number => d.decode().map(|body| Some(Self::$variant(body))),)*
                    _ => d.skip().map(|()| None),
                }
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
    decoder: Decoder<'b>,
}

impl<'b> Pairs<'b> {
    /// The next pair: `None` at the end, `Some(None)` for a number of a later version.
    ///
    /// # Errors
    /// The rest cannot be read.
    pub fn next_pair<T: Wire<'b>>(&mut self) -> Result<Option<Option<T>>, Unreadable> {
        if self.decoder.position() >= self.decoder.input().len() {
            return Ok(None);
        }
        let number = self.decoder.u32().map_err(|_| Unreadable::Malformed)?;
        T::decode_body(number, &mut self.decoder).map(Some).map_err(|_| Unreadable::Malformed)
    }

    /// Where the next pair begins in the message, in bytes.
    #[must_use]
    pub fn position(&self) -> usize {
        self.decoder.position()
    }

    /// Goes on at a position that an earlier call returned.
    pub fn set_position(&mut self, position: usize) {
        self.decoder.set_position(position);
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

fn open(bytes: &[u8], wanted: MessageType) -> Result<Decoder<'_>, Unreadable> {
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(Unreadable::TooLong);
    }
    let mut decoder = Decoder::new(bytes);
    match decoder.u8() {
        Ok(kind) if kind == wanted as u8 => Ok(decoder),
        Ok(_) | Err(_) => Err(Unreadable::Malformed),
    }
}

/// Reads a request.
///
/// # Errors
/// It is not one.
pub fn parse_request(bytes: &[u8]) -> Result<Request<'_>, Unreadable> {
    let mut decoder = open(bytes, MessageType::Request)?;
    let sequence = decoder.u32().map_err(|_| Unreadable::Malformed)?;
    Ok(Request { sequence, operations: Pairs { decoder } })
}

/// Reads a reply.
///
/// # Errors
/// It is not one.
pub fn parse_reply(bytes: &[u8]) -> Result<Reply<'_>, Unreadable> {
    let mut decoder = open(bytes, MessageType::Reply)?;
    let more = decoder.bool().map_err(|_| Unreadable::Malformed)?;
    let sequence = decoder.u32().map_err(|_| Unreadable::Malformed)?;
    Ok(Reply { more, sequence, answers: Pairs { decoder } })
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
    let decoder = open(bytes, MessageType::Event)?;
    Ok(Pairs { decoder })
}

/// Writes one message, pair by pair.
#[derive(Debug)]
pub struct Writer<'o> {
    encoder: Encoder<Cursor<&'o mut [u8]>>,
}

impl<'o> Writer<'o> {
    fn begin(
        out: &'o mut [u8],
        head: impl FnOnce(&mut Encoder<Cursor<&'o mut [u8]>>) -> Result<(), EncodeError<EndOfSlice>>,
    ) -> Option<Self> {
        let len = out.len().min(MESSAGE_LEN_MAX);
        let mut encoder = Encoder::new(Cursor::new(out.get_mut(..len)?));
        head(&mut encoder).ok()?;
        Some(Self { encoder })
    }

    /// Begins a request; `None` where `out` has no room for its head.
    #[must_use]
    pub fn request(out: &'o mut [u8], sequence: u32) -> Option<Self> {
        Self::begin(out, |e| e.u8(MessageType::Request as u8)?.u32(sequence).map(drop))
    }

    /// Begins a reply, as its last piece.
    #[must_use]
    pub fn reply(out: &'o mut [u8], sequence: u32) -> Option<Self> {
        Self::begin(out, |e| e.u8(MessageType::Reply as u8)?.bool(false)?.u32(sequence).map(drop))
    }

    /// Begins a message of events.
    #[must_use]
    pub fn events(out: &'o mut [u8]) -> Option<Self> {
        Self::begin(out, |e| e.u8(MessageType::Event as u8).map(drop))
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.encoder.writer().position()
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
        let written = match self.encoder.u32(pair.number()) {
            Ok(encoder) => pair.encode_body(encoder).is_ok(),
            Err(_) => false,
        };
        if !written {
            self.encoder.writer_mut().set_position(before);
        }
        written
    }

    /// Ends the message, with the mark that another piece of the reply follows if `more`.
    #[must_use]
    pub fn finish(self, more: MoreFollows) -> usize {
        let cursor = self.encoder.into_writer();
        let len = cursor.position();
        if let (MoreFollows::Yes, Some(flag)) = (more, cursor.into_inner().get_mut(1)) {
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
