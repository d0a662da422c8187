//! Hands dumps to the server, oldest first: one is offered, sent from where the server has it, and forgotten when the
//! server says that it is kept.

use bulkhead_crash_dump::PLAIN_LEN;
use bulkhead_link_protocol::{
    CRASH_PIECE_LEN_MAX, CrashDone, CrashId, CrashOffer, CrashPiece, CrashWanted, DeviceMessage,
};
use bulkhead_nor_flash::NorFlash;

use super::ring::{Ring, Waiting};
use crate::link::Link;

/// Where the id lies in a dump's header.
const ID_AT: u32 = 56;

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
    pub(crate) fn poll(
        &mut self,
        link: &mut Link<'_>,
        ring: &mut Ring,
        flash: &mut impl NorFlash,
        room: &mut [u8; PLAIN_LEN],
    ) {
        match *self {
            Self::Idle => {
                let Some(waiting) = ring.oldest().filter(|_| link.has_room_for_crash()) else { return };
                let mut crash = CrashId::default();
                let read = ring.read_dump(flash, waiting.slot, ID_AT, &mut crash);
                let offer = DeviceMessage::CrashOffer(CrashOffer { crash, len: waiting.len });
                if read == Ok(crash.len()) && link.send(&offer) {
                    *self = Self::Offered(waiting, crash);
                }
            }
            Self::Sending(waiting, crash, sent) if sent < waiting.len && link.has_room_for_crash() => {
                let room = room.get_mut(..CRASH_PIECE_LEN_MAX).unwrap_or_default();
                let Ok(len) = ring.read_dump(flash, waiting.slot, sent, room) else { return };
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
