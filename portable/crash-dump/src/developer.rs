//! The developer's end: opens a dump as far as it goes.

use std::vec::Vec;

use sha2::{Digest as _, Sha256};
use snow::Builder;

use crate::NOISE_PROTOCOL;
use crate::block::{BLOCK_LEN, Block, PLAIN_LEN, Place};
use crate::header::{FIXED_LEN, Header, HeaderFault, header_len};
use crate::record::{
    CodeMark, EndMark, REPEAT, REPEAT_LEAST, REPEAT_LONG, TAG_BUILD, TAG_CODE, TAG_CORE, TAG_END, TAG_FAULTS,
    TAG_FLOAT, TAG_MEMORY, TAG_SYSTEM, TAG_VECTORS,
};
use crate::seal::{ENTRY_LEN, MESSAGE_LEN, NAME_LEN, key_name, prologue};

/// Most memory that a dump may hold, in bytes: repeated words make a short dump long.
pub const MEMORY_LEN_MAX: usize = 16 << 20;
/// Most pieces of memory.
const PIECES_MAX: usize = 64;

/// Why a dump was not opened. Each variant says whose fault it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DumpError {
    /// The bytes are no dump.
    NotADump,
    /// A newer device made it.
    Version(u8),
    /// It ends within the header, or before the first block is whole.
    Truncated,
    /// It is sealed for others: the names of their keys.
    OtherKey(Vec<[u8; NAME_LEN]>),
    /// It names this key, but was changed, or no device made it.
    Forged,
    /// Another device than the header names made it.
    OtherDevice,
    /// The device wrote what the format does not allow.
    Malformed(&'static str),
}

impl core::fmt::Display for DumpError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotADump => f.write_str("this is no crash dump"),
            Self::Version(version) => {
                write!(f, "the dump is of version {}, newer than this tool", char::from(*version))
            }
            Self::Truncated => f.write_str("the dump ends before its first block does"),
            Self::OtherKey(names) => {
                f.write_str("the dump is sealed for other keys than this one:")?;
                names.iter().try_for_each(|name| {
                    f.write_str(" ")?;
                    name.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
                })
            }
            Self::Forged => f.write_str("the dump was changed on its way, or is none of a device"),
            Self::OtherDevice => f.write_str("the dump was made by another device than it says"),
            Self::Malformed(what) => write!(f, "the dump holds {what}"),
        }
    }
}

impl std::error::Error for DumpError {}

/// How far a dump goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The device ended it, and says how.
    Marked(EndMark),
    /// Power failed while it was written, or somebody cut it: so many blocks are whole.
    Cut(u32),
}

/// A piece of the application's memory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    /// First address.
    pub address: u32,
    /// What lay there.
    pub bytes: Vec<u8>,
}

/// Fault status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Faults {
    /// Configurable fault status.
    pub cfsr: u32,
    /// Secure fault status.
    pub sfsr: u32,
    /// Address that was touched, if the processor told.
    pub address: Option<u32>,
}

/// An opened dump.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dump {
    /// Header.
    pub header: Header,
    /// Public key of the device that made it; the device's id is a digest of it.
    pub device_public: [u8; 32],
    /// r0 to r12, sp, lr, pc, xpsr; `None` where the application stood inside a system call.
    pub core: Option<[u32; 17]>,
    /// msp, psp, primask, basepri, faultmask, control, msplim, psplim.
    pub system: Option<[u32; 8]>,
    /// s0 to s31, fpscr.
    pub float: Option<[u32; 33]>,
    /// Fault status.
    pub faults: Option<Faults>,
    /// Address of the vector table.
    pub vectors: Option<u32>,
    /// What the code was.
    pub code: Option<CodeMark>,
    /// Version of the hypervisor.
    pub build: Option<std::string::String>,
    /// Memory, in the order in which it was written.
    pub memory: Vec<Piece>,
    /// How far it goes.
    pub end: End,
}

/// Reads the header alone, and the names of the keys that a dump is sealed for.
///
/// # Errors
/// [`DumpError`].
pub fn header(dump: &[u8]) -> Result<(Header, Vec<[u8; NAME_LEN]>), DumpError> {
    let header = Header::parse(dump).map_err(|fault| match fault {
        HeaderFault::NotADump => DumpError::NotADump,
        HeaderFault::Version(version) => DumpError::Version(version),
        HeaderFault::Malformed => DumpError::Malformed("a number outside its range"),
    })?;
    let entries = dump.get(FIXED_LEN..header_len(header.recipients)).ok_or(DumpError::Truncated)?;
    let names = entries.chunks_exact(ENTRY_LEN).filter_map(|entry| entry.first_chunk().copied());
    Ok((header, names.collect()))
}

/// Opens a dump with a developer's private key.
///
/// # Errors
/// [`DumpError`]. A dump that ends early is no error: [`Dump::end`] tells.
pub fn open(dump: &[u8], private: &[u8; 32]) -> Result<Dump, DumpError> {
    let (found, names) = header(dump)?;
    let name = key_name(&bulkhead_public(private));
    let index = names.iter().position(|other| *other == name).ok_or(DumpError::OtherKey(names))?;
    let fixed = dump.first_chunk::<FIXED_LEN>().ok_or(DumpError::Truncated)?;
    let at = FIXED_LEN + index * ENTRY_LEN + NAME_LEN;
    let message = dump.get(at..at + MESSAGE_LEN).ok_or(DumpError::Truncated)?;
    let (content_key, device_public) = open_key(private, fixed, message).ok_or(DumpError::Forged)?;
    if Sha256::digest(device_public).first_chunk::<16>() != Some(&found.device) {
        return Err(DumpError::OtherDevice);
    }
    let sealed = dump.get(header_len(found.recipients)..).unwrap_or_default();
    let (stream, blocks, ended) = open_blocks(sealed, &content_key)?;
    let mut opened = Dump {
        header: found,
        device_public,
        core: None,
        system: None,
        float: None,
        faults: None,
        vectors: None,
        code: None,
        build: None,
        memory: Vec::new(),
        end: End::Cut(blocks),
    };
    read_records(&stream, ended, &mut opened)?;
    Ok(opened)
}

fn bulkhead_public(private: &[u8; 32]) -> [u8; 32] {
    bulkhead_link_session::key_pair(private).public
}

fn open_key(private: &[u8; 32], fixed: &[u8; FIXED_LEN], message: &[u8]) -> Option<([u8; 32], [u8; 32])> {
    let builder = Builder::new(NOISE_PROTOCOL.parse().ok()?);
    let prologue = prologue(fixed);
    let mut noise =
        builder.local_private_key(private).ok()?.prologue(&prologue).ok()?.build_responder().ok()?;
    let mut content_key = [0; 32];
    if noise.read_message(message, &mut content_key) != Ok(32) {
        return None;
    }
    Some((content_key, noise.get_remote_static()?.try_into().ok()?))
}

/// The content of all blocks that are whole, how many, and whether the last one was the dump's last.
fn open_blocks(sealed: &[u8], content_key: &[u8; 32]) -> Result<(Vec<u8>, u32, bool), DumpError> {
    let mut stream = Vec::new();
    let mut number = 0;
    let (blocks, _) = sealed.as_chunks::<BLOCK_LEN>();
    for block in blocks {
        if let Some(plain) = Block::open(content_key, Place::Last(number), block) {
            stream.extend(plain);
            return Ok((stream, number + 1, true));
        }
        let Some(plain) = Block::open(content_key, Place::Inner(number), block) else { break };
        stream.extend(plain);
        number += 1;
    }
    match (number, blocks.is_empty()) {
        (0, true) => Err(DumpError::Truncated),
        (0, false) => Err(DumpError::Forged),
        _ => Ok((stream, number, false)),
    }
}

/// Reads a stream's records until its end. `ended`: the stream is whole.
fn read_records(stream: &[u8], ended: bool, dump: &mut Dump) -> Result<(), DumpError> {
    let mut reader = Reader(stream);
    loop {
        let Some((tag, payload)) = reader.record() else {
            // Where the stream was cut, the record that it was cut in is lost with it.
            return if ended { Err(DumpError::Malformed("a record that does not end")) } else { Ok(()) };
        };
        match tag {
            TAG_CORE => dump.core = Some(words(payload)?),
            TAG_SYSTEM => dump.system = Some(words(payload)?),
            TAG_FLOAT => dump.float = Some(words(payload)?),
            TAG_FAULTS => {
                let [cfsr, sfsr, address, known] = words(payload)?;
                dump.faults = Some(Faults { cfsr, sfsr, address: (known != 0).then_some(address) });
            }
            TAG_VECTORS => dump.vectors = Some(words::<1>(payload)?[0]),
            TAG_CODE => {
                let [address, len, crc] = words(payload)?;
                dump.code = Some(CodeMark { address, len, crc });
            }
            TAG_BUILD => dump.build = Some(std::string::String::from_utf8_lossy(payload).into_owned()),
            TAG_MEMORY => {
                let [address, len] = words(payload)?;
                let whole = read_memory(&mut reader, address, len, dump)?;
                if !whole && ended {
                    return Err(DumpError::Malformed("memory that does not end"));
                }
            }
            TAG_END => {
                dump.end = End::Marked(match payload {
                    [0] => EndMark::Whole,
                    [1] => EndMark::Full,
                    [2] => EndMark::Late,
                    _ => return Err(DumpError::Malformed("an end of an unknown kind")),
                });
                return Ok(());
            }
            _ => {} // Of a later device.
        }
    }
}

/// Reads the words of one piece; returns whether all came before the stream's end or the next record.
fn read_memory(reader: &mut Reader<'_>, address: u32, len: u32, dump: &mut Dump) -> Result<bool, DumpError> {
    let wanted = usize::try_from(len).unwrap_or(usize::MAX);
    let before: usize = dump.memory.iter().map(|piece| piece.bytes.len()).sum();
    let too_much = wanted.checked_add(before).is_none_or(|all| all > MEMORY_LEN_MAX);
    if too_much || address.checked_add(len).is_none() || (address | len) & 3 != 0 {
        return Err(DumpError::Malformed("memory that no device has"));
    }
    if dump.memory.len() >= PIECES_MAX {
        return Err(DumpError::Malformed("too many pieces of memory"));
    }
    let mut bytes = Vec::new();
    let mut whole = true;
    while bytes.len() < wanted {
        let Some((repeated, n)) = reader.control() else {
            whole = false;
            break;
        };
        let room = (wanted - bytes.len()) / 4;
        if repeated && n == 0 {
            break; // The device could not read on.
        }
        if n == 0 || n > room {
            return Err(DumpError::Malformed("more memory than it announces"));
        }
        let Some(from) = reader.take(if repeated { 4 } else { 4 * n }) else {
            whole = false;
            break;
        };
        let times = if repeated { n } else { 1 };
        (0..times).for_each(|_| bytes.extend(from));
    }
    dump.memory.push(Piece { address, bytes });
    Ok(whole)
}

fn words<const N: usize>(payload: &[u8]) -> Result<[u32; N], DumpError> {
    let (words, rest) = payload.as_chunks::<4>();
    let words: &[[u8; 4]; N] = words
        .try_into()
        .ok()
        .filter(|_| rest.is_empty())
        .ok_or(DumpError::Malformed("a record of a wrong length"))?;
    Ok(words.map(u32::from_le_bytes))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn record(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, low, high] = self.array()?;
        Some((tag, self.take(usize::from(u16::from_le_bytes([low, high])))?))
    }

    /// Whether one word is repeated, and how many words there are.
    fn control(&mut self) -> Option<(bool, usize)> {
        let [control] = self.array()?;
        Some(match control {
            REPEAT_LONG => (true, usize::try_from(u32::from_le_bytes(self.array()?)).unwrap_or(usize::MAX)),
            REPEAT.. => (true, usize::from(control - REPEAT) + REPEAT_LEAST as usize),
            plain => (false, usize::from(plain) + 1),
        })
    }
}

const _: () = assert!(PLAIN_LEN < BLOCK_LEN);
