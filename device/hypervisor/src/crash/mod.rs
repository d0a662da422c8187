//! Crash dumps: what the application left behind, sealed for its developers, kept until the server has it.
//!
//! Three parts. [`capture`] reads the stopped application and seals what it reads, a bounded piece a slice. [`ring`]
//! keeps sealed dumps in external flash so that power may fail at any moment. [`upload`] hands them to the server.
//! Plaintext of the application never leaves this module: flash, link and server see blocks under a key that only the
//! developers whom the running bundle names can open.

mod capture;
mod ring;
mod upload;

use bulkhead_bundle_format::{CrashMemory, DebugKeys};
use bulkhead_crash_dump::Writer;
use bulkhead_debug_agent::DebugTarget;
use bulkhead_debug_protocol::RegisterFile;
use bulkhead_hardware_ports::Entropy;
use bulkhead_link_protocol::{CrashDone, CrashWanted};
use bulkhead_nor_flash::{FlashAddress, NorFlash};

use crate::application::Offence;

use capture::{Job, Progress};
use ring::Ring;
use upload::{Upload, Way};

/// Dumps that may be begun at once; a further one may be with every [`REFILL_MS`].
const BURST: u8 = 8;
/// Time in which one more dump may be begun, in milliseconds: sixteen a day. A slot is erased for every eighth dump, so
/// that a device that crashes for ever erases each sector 730 times a year.
const REFILL_MS: u64 = 90 * 60 * 1000;

/// Where and when a crash happened, and whose it is to see.
pub(crate) struct Scene {
    /// What happened; `None` for a dump that was ordered.
    pub(crate) offence: Option<Offence>,
    /// Faults since power came on.
    pub(crate) fault_count: u32,
    /// Microseconds since power came on.
    pub(crate) now_us: u64,
    /// Microseconds since 1970, if known.
    pub(crate) wall_us: Option<u64>,
    /// Manifest that runs.
    pub(crate) manifest: [u8; 32],
    /// Registers, if the application did not stand inside a system call.
    pub(crate) registers: Option<RegisterFile>,
    /// First address of its vector table.
    pub(crate) vectors: u32,
    /// Where its code begins on the die, as flash address, and how long it is.
    pub(crate) code: Option<(FlashAddress, u32)>,
    /// Where that is for the application.
    pub(crate) code_address: u32,
    /// Who may see it.
    pub(crate) keys: DebugKeys,
    /// What they want to see.
    pub(crate) memory: Option<CrashMemory>,
}

/// Memory of crash dumps, placed by the board: large values never cross its stack.
pub struct CrashStorage {
    writer: Writer,
    work: Work,
}

/// The dump that is being made, if there is one. `Option` would say `None` by a value that is not zero, for which a board has
/// to keep the whole storage in flash as well.
#[repr(u8)]
#[expect(clippy::large_enum_variant, reason = "there is one, in memory that a board sets aside for it")]
enum Work {
    Rest = 0,
    Dump(Job),
}

impl CrashStorage {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { writer: Writer::new(), work: Work::Rest }
    }
}

impl Default for CrashStorage {
    fn default() -> Self {
        Self::new()
    }
}

/// What the device's log should say of a dump.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// It is sealed in flash: its length in bytes, and how long that took in milliseconds.
    Captured {
        /// Bytes.
        len: u32,
        /// Milliseconds.
        took_ms: u64,
    },
    /// It was not begun: all slots hold dumps that the server has not taken.
    NoSlot,
    /// It was not begun: too many of late.
    TooMany,
    /// It was given up: flash failed.
    Failed,
    /// One that waited cannot be read, and is not sent.
    Unreadable,
}

impl core::fmt::Display for Told {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Captured { len, took_ms } => write!(f, "crash dump of {len} bytes sealed in {took_ms} ms"),
            Self::NoSlot => write!(f, "no crash dump: earlier ones wait to be uploaded"),
            Self::TooMany => write!(f, "no crash dump: too many of late"),
            Self::Failed => write!(f, "no crash dump: external flash failed"),
            Self::Unreadable => {
                write!(f, "a crash dump cannot be read, and is left out: external flash failed")
            }
        }
    }
}

/// Capture, ring and upload.
pub(crate) struct Crash<'w> {
    private: [u8; 32],
    device: [u8; 16],
    storage: &'w mut CrashStorage,
    ring: Ring,
    upload: Upload,
    tokens: u8,
    refill_at_ms: u64,
    told: Option<Told>,
    /// The application is held for the dump that is being made.
    holding: bool,
}

impl<'w> Crash<'w> {
    /// Reads what flash holds. `private` is the static key of `device`, `part` the part of external flash for dumps.
    #[inline(never)]
    pub(crate) fn new<X: NorFlash>(
        (private, device): ([u8; 32], [u8; 16]),
        storage: &'w mut CrashStorage,
        flash: &mut X,
        part: (FlashAddress, u32),
    ) -> Self {
        Self {
            private,
            device,
            storage,
            ring: Ring::read(flash, part),
            upload: Upload::default(),
            tokens: BURST,
            refill_at_ms: REFILL_MS,
            told: None,
            holding: false,
        }
    }

    /// Whether a dump is being made: the application must not be started.
    pub(crate) const fn is_capturing(&self) -> bool {
        matches!(self.storage.work, Work::Dump(_))
    }

    /// Whether the next slice should follow soon.
    pub(crate) const fn is_busy(&self) -> bool {
        self.is_capturing() || self.upload.is_busy()
    }

    /// Takes down what is lost when the application's context is thrown away. What lies in memory is read later.
    ///
    /// Does nothing if nobody may see it.
    #[inline(never)]
    pub(crate) fn begin(&mut self, scene: &Scene) {
        if scene.keys.is_empty() || self.is_capturing() {
            return;
        }
        let now_ms = scene.now_us / 1000;
        while now_ms >= self.refill_at_ms {
            self.refill_at_ms = self.refill_at_ms.saturating_add(REFILL_MS);
            self.tokens = self.tokens.saturating_add(1).min(BURST);
        }
        let Some(slot) = self.ring.free_slot() else {
            self.told = Some(Told::NoSlot);
            return;
        };
        let Some(tokens) = self.tokens.checked_sub(1) else {
            self.told = Some(Told::TooMany);
            return;
        };
        self.tokens = tokens;
        self.storage.writer.clear();
        self.storage.work = Work::Dump(Job::new(scene, slot, self.ring.next_sequence(), self.device));
    }

    /// As [`Self::begin`], with the application held while the dump is made; it goes on afterwards.
    pub(crate) fn begin_held(&mut self, scene: &Scene, target: &mut impl DebugTarget) {
        self.begin(scene);
        if self.is_capturing() {
            target.hold();
            self.holding = true;
        }
    }

    /// The application's context is thrown away: nothing is to be let go.
    pub(crate) const fn ended(&mut self) {
        self.holding = false;
    }

    /// One bounded piece of work. Returns whether the application that was held may go on.
    #[inline(never)]
    pub(crate) fn poll<X: NorFlash>(
        &mut self,
        now_ms: u64,
        (die, flash): (&mut impl NorFlash, &mut X),
        target: &mut impl DebugTarget,
        entropy: &mut impl Entropy,
        link: Option<&mut impl Way>,
    ) -> bool {
        let CrashStorage { writer, work } = &mut *self.storage;
        let Work::Dump(running) = work else {
            if let Some(link) = link
                && self.upload.poll(link, &mut self.ring, flash, writer.block()).is_err()
            {
                self.told = Some(Told::Unreadable);
            }
            return false;
        };
        let progress =
            running.step(now_ms, &self.private, &mut self.ring, writer, (die, flash), target, entropy);
        let told = match progress {
            Progress::Working => return false,
            Progress::Done { len } => {
                Told::Captured { len, took_ms: now_ms.saturating_sub(running.begun_ms()) }
            }
            Progress::Failed => {
                self.ring.abandon(running.slot());
                Told::Failed
            }
        };
        running.wipe();
        *work = Work::Rest;
        writer.clear();
        self.told = Some(told);
        core::mem::take(&mut self.holding)
    }

    /// The server wants a dump.
    pub(crate) fn wanted(&mut self, wanted: &CrashWanted) {
        self.upload.wanted(wanted);
    }

    /// The server is done with a dump.
    pub(crate) fn done(&mut self, done: &CrashDone) {
        self.upload.done(done);
    }

    /// The link is gone.
    pub(crate) fn link_lost(&mut self) {
        self.upload = Upload::default();
    }

    /// What the device's log should say.
    pub(crate) const fn take_told(&mut self) -> Option<Told> {
        self.told.take()
    }
}

#[cfg(test)]
mod tests;
