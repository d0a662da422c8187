//! Hands dumps to the server, oldest first: one is offered, sent from where the server has it, and forgotten when the
//! server says that it is kept.

use bulkhead_crash_dump::PLAIN_LEN;
use bulkhead_link_protocol::{
    CRASH_PIECE_LEN_MAX, CrashDone, CrashId, CrashOffer, CrashPiece, CrashWanted, DeviceMessage,
};
use bulkhead_nor_flash::{FlashError, NorFlash};

use super::ring::{Ring, Waiting};
use crate::link::Link;

/// Where the id lies in a dump's header.
const ID_AT: u32 = 56;

/// What dumps travel on.
pub(crate) trait Way {
    /// Whether a piece of a dump can be queued.
    fn has_room_for_crash(&self) -> bool;
    /// Queues a message; `false` if there is no room.
    fn send(&mut self, message: &DeviceMessage<'_>) -> bool;
}

impl Way for Link<'_> {
    fn has_room_for_crash(&self) -> bool {
        self.has_room_for_crash()
    }
    fn send(&mut self, message: &DeviceMessage<'_>) -> bool {
        self.send(message)
    }
}

/// What happens on this link.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Upload {
    /// Nothing was offered yet.
    #[default]
    Idle,
    /// Offered; the server has not said from where it wants it.
    Offered(Waiting, CrashId),
    /// Being sent; so many bytes are gone.
    Sending(Waiting, CrashId, u32),
    /// The server has it.
    Kept(Waiting),
    /// The server wants none on this link.
    Unwanted,
}

impl Upload {
    /// Whether there is something to send.
    pub(crate) const fn is_busy(&self) -> bool {
        match self {
            Self::Sending(waiting, _, sent) => *sent < waiting.len,
            Self::Kept(_) => true,
            Self::Idle | Self::Offered(..) | Self::Unwanted => false,
        }
    }

    /// Sends one message at most. `room` is for a piece.
    ///
    /// # Errors
    /// The dump whose turn it was cannot be read. It rests until power comes on again, and the next one has its turn.
    pub(crate) fn poll(
        &mut self,
        link: &mut impl Way,
        ring: &mut Ring,
        flash: &mut impl NorFlash,
        room: &mut [u8; PLAIN_LEN],
    ) -> Result<(), FlashError> {
        match *self {
            Self::Idle => {
                let Some(waiting) = ring.oldest().filter(|_| link.has_room_for_crash()) else {
                    return Ok(());
                };
                let mut crash = CrashId::default();
                let read = ring.read_dump(flash, waiting.slot, ID_AT, &mut crash);
                self.or_skip(read, waiting, ring)?;
                if link.send(&DeviceMessage::CrashOffer(CrashOffer { crash, len: waiting.len })) {
                    *self = Self::Offered(waiting, crash);
                }
            }
            Self::Sending(waiting, crash, sent) if sent < waiting.len && link.has_room_for_crash() => {
                let room = room.get_mut(..CRASH_PIECE_LEN_MAX).unwrap_or_default();
                let read = ring.read_dump(flash, waiting.slot, sent, room);
                let len = self.or_skip(read, waiting, ring)?;
                let bytes = room.get(..len).unwrap_or_default().into();
                if link.send(&DeviceMessage::CrashPiece(CrashPiece { crash, offset: sent, bytes })) {
                    let len = u32::try_from(len).unwrap_or(u32::MAX);
                    *self = Self::Sending(waiting, crash, sent.saturating_add(len));
                }
            }
            Self::Kept(waiting) => {
                ring.take(flash, waiting.slot);
                *self = Self::Idle;
            }
            Self::Offered(..) | Self::Sending(..) | Self::Unwanted => {}
        }
        Ok(())
    }

    /// What was read; if nothing was, the dump would otherwise be the oldest for ever, and no other be sent.
    fn or_skip(
        &mut self,
        read: Result<usize, FlashError>,
        waiting: Waiting,
        ring: &mut Ring,
    ) -> Result<usize, FlashError> {
        if read.is_err() {
            ring.abandon(waiting.slot);
            *self = Self::Idle;
        }
        read
    }

    /// The server wants what was offered.
    pub(crate) fn wanted(&mut self, wanted: &CrashWanted) {
        if let Self::Offered(waiting, crash) | Self::Sending(waiting, crash, _) = *self
            && crash == wanted.crash
            && wanted.offset <= waiting.len
        {
            *self = Self::Sending(waiting, crash, wanted.offset);
        }
    }

    /// The server is done with it.
    pub(crate) fn done(&mut self, done: &CrashDone) {
        if let Self::Offered(waiting, crash) | Self::Sending(waiting, crash, _) = *self
            && crash == done.crash
        {
            *self = if done.kept { Self::Kept(waiting) } else { Self::Unwanted };
        }
    }
}
