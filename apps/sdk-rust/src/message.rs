//! Messages to and from the owner's server.
//!
//! What [`send`] took is delivered at least once, over dropped links and restarts of the application, though not over a
//! power cut; the server recognises what it gets twice. What comes stays until [`Received::accept`] or
//! [`Received::refuse`], and comes again to the next instance of an application that did neither.

use crate::gateway::{call_2, call_3, call_4, checked, fill};
use crate::{Error, abi};

/// Longest message in bytes.
pub const LEN_MAX: usize = abi::BH_MESSAGE_LEN_MAX as usize;

/// A message that was copied into a buffer, and still waits to be finished.
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a message that is neither accepted nor refused comes again"]
pub struct Received<'b> {
    /// The same message again has the same id.
    pub id: u32,
    /// Chosen by the sender.
    pub topic: u32,
    /// The body.
    pub body: &'b [u8],
}

/// What waits, either way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Queues {
    version: u32,
    /// Messages that the server has not stored yet.
    pub outgoing: u32,
    /// Longest message that [`send`] would take now.
    pub outgoing_free: u32,
    /// Id up to which the server has stored messages; 0 for none.
    pub stored_id: u32,
    /// Messages that wait for the application.
    pub incoming: u32,
    /// Longest message that could arrive now.
    pub incoming_free: u32,
}
const _: () = assert!(size_of::<Queues>() == abi::SIZE_BH_MESSAGE_QUEUE);

#[derive(Default)]
#[repr(C)]
struct Raw {
    version: u32,
    id: u32,
    topic: u32,
    len: u32,
}
const _: () = assert!(size_of::<Raw>() == abi::SIZE_BH_MESSAGE);

/// Queues a message of 1 to [`LEN_MAX`] bytes; returns its id.
///
/// # Errors
/// [`Error::Busy`]: the queue is full; [`crate::notification::Event::MessageStored`] says when there is room.
/// [`Error::ArgumentRefused`]: it is empty or too long.
pub fn send(topic: u32, body: &[u8]) -> Result<u32, Error> {
    let mut id = 0_u32;
    let to = (&raw mut id).expose_provenance();
    let arguments = [topic as usize, body.as_ptr().expose_provenance(), body.len(), to];
    checked(call_4(abi::SLOT_BH_MESSAGE_SEND, arguments))?;
    Ok(id)
}

/// Copies the oldest message into `buffer`; it stays until it is accepted or refused.
///
/// # Errors
/// [`Error::NothingPending`]: there is none. [`Error::BufferTooSmall`]: it is longer than `buffer`.
pub fn receive(buffer: &mut [u8]) -> Result<Received<'_>, Error> {
    let mut raw = Raw { version: abi::BH_MESSAGE_VERSION, ..Raw::default() };
    let head = (&raw mut raw).expose_provenance();
    checked(call_3(
        abi::SLOT_BH_MESSAGE_RECEIVE,
        head,
        buffer.as_mut_ptr().expose_provenance(),
        buffer.len(),
    ))?;
    let body = buffer.get(..raw.len as usize).ok_or(Error::BufferTooSmall)?;
    Ok(Received { id: raw.id, topic: raw.topic, body })
}

impl Received<'_> {
    /// It was taken: the owner sees it as delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]: it was finished before.
    pub fn accept(self) -> Result<(), Error> {
        self.finish(abi::BH_MESSAGE_OUTCOME_ACCEPTED)
    }

    /// It is of no use to this application: the owner sees it as refused.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub fn refuse(self) -> Result<(), Error> {
        self.finish(abi::BH_MESSAGE_OUTCOME_REFUSED)
    }

    fn finish(self, outcome: u32) -> Result<(), Error> {
        checked(call_2(abi::SLOT_BH_MESSAGE_FINISH, self.id as usize, outcome as usize))
    }
}

/// What waits, either way.
///
/// # Errors
/// None that a sound application can cause.
pub fn queues() -> Result<Queues, Error> {
    let mut queues = Queues { version: abi::BH_MESSAGE_QUEUE_VERSION, ..Queues::default() };
    fill(abi::SLOT_BH_MESSAGE_QUEUE_READ, &mut queues)?;
    Ok(queues)
}
