//! Why an update ended as it did, as a number that programs can act upon; the text beside it is for people.

use bulkhead_keyed_cbor::{Decode, Encode, Reader, Writer};

macro_rules! reason_codes {
    ($($number:literal $name:ident $text:literal $doc:literal;)*) => {
        /// Why an update was refused, failed or was taken back. Numbers are normative, never reused, only added.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum ReasonCode { $(#[doc = $doc] $name = $number),* }

        impl ReasonCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as API, CLI and documents write it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The code with this number; a number of a later version is [`ReasonCode::Unknown`].
            const fn of_number(number: u16) -> Self {
                match number { $($number => Self::$name,)* _ => Self::Unknown }
            }
        }
    };
}

reason_codes! {
    0 Unknown "unknown" "A reason that has no code yet.";
    1 BadSignature "bad-signature" "The owner: malformed, or signed by nobody whom the device obeys.";
    2 WrongDevice "wrong-device" "The owner: made for another class, board revision or ABI.";
    3 OtherManifest "other-manifest" "The server: it sent another manifest than it offered.";
    4 OlderSequence "older-sequence" "The owner: older than what was committed, and no signed downgrade.";
    5 LowerCounter "lower-counter" "The owner: a security counter below the device's.";
    6 DoesNotFit "does-not-fit" "The owner: an area that the device's memory does not hold.";
    7 NoRoom "no-room" "The owner or the board: no staging mode fits into external flash.";
    8 NotAvailable "not-available" "The server: it does not have what it offered.";
    9 WrongContent "wrong-content" "The server: pages that do not have the manifest's digests.";
    10 FlashFailed "flash-failed" "Hardware: flash does not keep what is written to it.";
    11 Cancelled "cancelled" "The owner cancelled.";
    12 Replaced "replaced" "A newer offer came.";
    13 Unconfirmed "unconfirmed" "The application: it did not confirm within its trial.";
    14 ApplicationFault "application-fault" "The application: it faulted within its trial.";
    15 PagesChanged "pages-changed" "Somebody writes to the application's flash while an update is staged.";
    16 Ordered "ordered" "The owner ordered to go back.";
    17 StagingLost "staging-lost" "Hardware: what was staged cannot be read any more.";
    18 BadPermit "bad-permit" "The owner: a downgrade permit that does not fit this device and manifest.";
    19 KeySetRefused "key-set-refused" "The owner: a key set that is not signed as the present one demands.";
}

impl Encode for ReasonCode {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.number(*self as u64);
    }
}

impl<'b> Decode<'b> for ReasonCode {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        u16::decode(reader).map(Self::of_number)
    }
}
