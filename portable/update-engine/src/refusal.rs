//! Why an offered manifest is refused before anything of it is downloaded.

use core::fmt;

use bulkhead_bundle_format::{Mismatch, PermitRefused, Refused};
use bulkhead_link_protocol::ReasonCode;

use crate::api::OwnedArea;

/// The variant says whose fault it was; the text says what to do about it where that is not plain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The owner: envelope or manifest is malformed, or nobody signed it whom this device obeys.
    Bundle(Refused),
    /// The owner: signed by a key that the present key set does not list; holds the set's version.
    NotInKeySet(u32),
    /// The owner: signed by a key that has ended; holds when, in seconds since 1970.
    SignerEnded(u64),
    /// The owner, or whoever signed it: the permit is no permit.
    Permit(PermitRefused),
    /// The owner or the server: a permit for another device or another manifest.
    PermitElsewhere,
    /// The owner or the server: the permit was used up, or is for a later time.
    PermitNumber { permit: u32, device: u32 },
    /// The owner: made for another class, board or ABI.
    Device(Mismatch),
    /// The server: it sent another manifest than it offered.
    OtherManifest,
    /// The server or the owner: envelope of a length that no slot takes.
    EnvelopeLen { len: u32, longest: u32 },
    /// The owner: an older application than the newest that was committed here.
    OlderSequence { committed: u64, offered: u64 },
    /// The owner: a security counter below the highest that was committed here.
    LowerCounter { committed: u32, offered: u32 },
    /// The owner: pages that are not the erase blocks of their memory.
    PageSize { area: u32, page: u32, erase: u32 },
    /// The owner: an area ends beyond its memory.
    AreaDoesNotFit { area: u32, end: u64, room: u32 },
    /// The owner: an area that the running application owns is not the new one's.
    OwnedAreaLost(OwnedArea),
    /// The owner: more pages than can be counted.
    TooManyPages,
    /// The owner: nothing to start.
    NoCode,
    /// The owner, or the board's designer: staging is too small for redo and undo pages.
    StagingTooSmall { needed: u64, there: u32 },
}

impl Refusal {
    /// The number that programs act upon.
    pub(crate) const fn code(&self) -> ReasonCode {
        match self {
            Self::Bundle(_) | Self::NotInKeySet(_) | Self::SignerEnded(_) => ReasonCode::BadSignature,
            Self::Permit(_) | Self::PermitElsewhere | Self::PermitNumber { .. } => ReasonCode::BadPermit,
            Self::Device(_) => ReasonCode::WrongDevice,
            Self::OtherManifest => ReasonCode::OtherManifest,
            Self::OlderSequence { .. } => ReasonCode::OlderSequence,
            Self::LowerCounter { .. } => ReasonCode::LowerCounter,
            Self::EnvelopeLen { .. }
            | Self::PageSize { .. }
            | Self::AreaDoesNotFit { .. }
            | Self::OwnedAreaLost(_)
            | Self::TooManyPages
            | Self::NoCode => ReasonCode::DoesNotFit,
            Self::StagingTooSmall { .. } => ReasonCode::NoRoom,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(refused) => write!(f, "{refused}"),
            Self::NotInKeySet(version) => {
                write!(
                    f,
                    "signed by a key that key set {version} does not list; sign it with one that is listed"
                )
            }
            Self::SignerEnded(at) => {
                write!(
                    f,
                    "signed by a key that ended {at} s after 1970; sign it with another, or list the key anew"
                )
            }
            Self::Permit(refused) => write!(f, "the permit is refused: {refused}"),
            Self::PermitElsewhere => write!(f, "the permit is for another device or another manifest"),
            Self::PermitNumber { permit, device } => {
                write!(f, "the permit has number {permit}, this device takes number {device}; make a new one")
            }
            Self::Device(mismatch) => write!(f, "made for another device: {mismatch}"),
            Self::OtherManifest => write!(f, "the server sent another manifest than it offered"),
            Self::EnvelopeLen { len, longest } => {
                write!(f, "the envelope of {len} bytes is outside the 1 to {longest} this device takes")
            }
            Self::OlderSequence { committed, offered } => {
                write!(
                    f,
                    "sequence {offered} is older than {committed}, which was committed here, and no permit came"
                )
            }
            Self::LowerCounter { committed, offered } => {
                write!(f, "security counter {offered} is below {committed}, which was committed here")
            }
            Self::PageSize { area, page, erase } => {
                write!(f, "area {area} has pages of {page} bytes, its memory erases {erase}")
            }
            Self::AreaDoesNotFit { area, end, room } => {
                write!(f, "area {area} ends at byte {end}, its memory has {room}")
            }
            Self::OwnedAreaLost(OwnedArea { id, medium, base, length }) => {
                write!(f, "area {id} belongs to the running application: ")?;
                write!(f, "keep it with --owned {}:{base:#x}+{length:#x}, ", medium.name())?;
                write!(f, "or lose what is in it with --give-up-owned")
            }
            Self::TooManyPages => write!(f, "the manifest has too many pages"),
            Self::NoCode => write!(f, "no area holds code on the die"),
            Self::StagingTooSmall { needed, there } => {
                write!(f, "staging would take {needed} sectors, this device has {there}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use bulkhead_bundle_format::Medium;

    #[test]
    fn the_way_out_of_a_lost_area_is_told_to_its_end() {
        const BIG: u32 = u32::MAX;
        let area = OwnedArea { id: BIG, medium: Medium::External, base: BIG, length: BIG };
        let reason = Reason::of(Refusal::OwnedAreaLost(area));
        let text = reason.text().unwrap_or_default();
        assert!(
            text.ends_with(
                "--owned external:0xffffffff+0xffffffff, or lose what is in it with --give-up-owned"
            ),
            "{text}"
        );
    }
}
