//! What the owner decides beside bundles: key sets, and permits to go back.
//!
//! A key set comes before any update: one that is being staged is put aside, and looked at anew under the new keys.
//! What was begun with the application stopped is ended first, and what runs goes on running, whoever signed it.

use bulkhead_bundle_format::{
    Envelope, Manifest as Signed, PERMIT_LEN_MAX, Permit, Refused, SIGNED_KEY_SET_LEN_MAX, SIGNERS_MAX,
    SignedKeySet, Tally,
};
use bulkhead_link_protocol::{Digest, FetchFrom};
use bulkhead_nor_flash::{FlashError, NorFlash};

use crate::api::{Floors, KeySetStatus};
use crate::engine::{Download, Engine, Phase};
use crate::journal::{Record, State};
use crate::keys::Keys;
use crate::layout::Memory;
use crate::manifest::Manifest;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::rules::Rules;

/// Where in the workspace records of the present set are read to, behind the set that is judged.
const PRESENT_AT: usize = 4096;
const _: () = assert!(SIGNED_KEY_SET_LEN_MAX <= PRESENT_AT);

impl<R: Rules> Engine<'_, R> {
    /// The server has a key set of this version, of so many bytes. Taken up as soon as no page is being written.
    pub fn offer_key_set(&mut self, version: u32, len: u32) {
        self.offered_keys = Some((version, len));
    }

    /// Tells the time, in seconds since 1970. Signers that have ended are refused from then on; nothing else depends on it.
    pub fn set_clock(&mut self, now_s: u64) {
        self.now_s = Some(now_s);
    }

    /// Whom the device obeys.
    pub fn key_set(&self) -> KeySetStatus<'_> {
        KeySetStatus { version: self.keys.version(), refused: self.keys_reason.text() }
    }

    /// What the device has behind it for good.
    pub fn floors(&self) -> Floors {
        let record = self.journal.record();
        Floors { sequence: record.sequence, security_counter: record.counter, permits: self.keys.permits() }
    }

    /// Begins with the key set that was offered. Returns whether it did.
    pub(crate) fn begin_key_set(&mut self) -> bool {
        let may_begin =
            self.verdict.is_none() && (self.may_be_dropped() || matches!(self.phase, Phase::KeySet));
        let Some((version, len)) = self.offered_keys.filter(|_| may_begin) else { return false };
        self.offered_keys = None;
        self.keys_reason = Reason::NONE;
        let present = self.keys.version().unwrap_or(0);
        if version <= present {
            self.keys_reason =
                Reason::of(format_args!("key set {version} is not newer than {present}, which counts here"));
            return true;
        }
        if !usize::try_from(len).is_ok_and(|len| (1..=SIGNED_KEY_SET_LEN_MAX).contains(&len)) {
            self.keys_reason = Reason::of("the key set is too long");
            return true;
        }
        if !matches!(self.phase, Phase::Idle | Phase::KeySet) {
            self.queued = self.queued.or(self.offered);
            self.give_up(self.stage, self.reason);
        }
        self.offered = None;
        self.download = Some(Download::new(FetchFrom::KeySet, 0, 0, len));
        self.phase = Phase::KeySet;
        true
    }

    /// Gives a key set up that is on its way: the server offers it again.
    pub(crate) fn drop_key_set(&mut self) {
        if matches!(self.phase, Phase::KeySet) {
            self.phase = Phase::Idle;
            self.download = None;
        }
    }

    pub(crate) fn refuse_keys(&mut self, reason: impl core::fmt::Display) {
        self.keys_reason = Reason::of(reason);
        self.phase = Phase::Idle;
        self.download = None;
    }

    /// The set has come: its form and version first.
    #[inline(never)]
    pub(crate) fn take_key_set<D: NorFlash, E: NorFlash>(&mut self, _: &mut Memory<'_, D, E>) {
        let len = self.download.take().and_then(|download| usize::try_from(download.len).ok()).unwrap_or(0);
        let present = self.keys.version().unwrap_or(0);
        match SignedKeySet::parse(self.work.whole().get(..len).unwrap_or_default()) {
            Err(refused) => self.refuse_keys(refused),
            Ok(signed) if signed.set.version <= present => {
                let version = signed.set.version;
                self.refuse_keys(format_args!("key set {version} is not newer than {present}"));
            }
            Ok(_) => self.phase = Phase::Signatures { next: 0, tally: Tally::default(), len },
        }
    }

    /// Checks one signature of the set; after the last, follows the set or refuses it.
    #[inline(never)]
    pub(crate) fn count_signature<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::Signatures { next, mut tally, len } = self.phase else { return };
        let (front, room) = self.work.whole().split_at_mut_checked(PRESENT_AT).unwrap_or_default();
        let Ok(signed) = SignedKeySet::parse(front.get(..len).unwrap_or_default()) else {
            return self.refuse_keys("the key set changed while it was looked at");
        };
        let Some(present) = self.keys.roots(mem.die, room) else {
            return self.refuse_keys("the present key set cannot be read");
        };
        match signed.count(next, present.keys, &mut tally) {
            Err(refused) => return self.refuse_keys(refused),
            Ok(true) => {
                self.phase = Phase::Signatures { next: next.saturating_add(1), tally, len };
                return;
            }
            Ok(false) => {}
        }
        let (old, new) = (present.threshold, signed.set.threshold);
        if tally.present() < old || tally.new_roots() < new {
            let (has_old, has_new) = (tally.present(), tally.new_roots());
            return self.refuse_keys(format_args!(
                "signed by {has_old} of the {old} present roots needed and {has_new} of the {new} new ones"
            ));
        }
        if self.keys.store::<R, D>(mem.die, signed.payload(), room).is_err() {
            return self.refuse_keys("die flash does not keep the key set");
        }
        // What was refused under the old keys may be right under the new ones.
        self.refused = None;
        self.phase = Phase::Idle;
    }

    /// Fetches the permit before anything else of the offer.
    pub(crate) fn ask_for_permit(&mut self, len: u32) {
        if !usize::try_from(len).is_ok_and(|len| (1..=PERMIT_LEN_MAX).contains(&len)) {
            return self.refuse(Refusal::PermitElsewhere);
        }
        self.download = Some(Download::new(FetchFrom::Permit, 0, 0, len));
        self.phase = Phase::Permit;
    }

    /// The permit has come.
    #[inline(never)]
    pub(crate) fn take_permit<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let len = self.download.take().and_then(|download| usize::try_from(download.len).ok()).unwrap_or(0);
        let Some(offered) = self.offered else { return self.fail("no offer") };
        let mut room = [[0; 32]; SIGNERS_MAX];
        let keys = self.keys.signers(self.now_s, &mut room);
        let read = Permit::verify(self.work.whole().get(..len).unwrap_or_default(), keys);
        let device = self.keys.permits();
        let judged = match read.map_err(Refusal::Permit) {
            Ok(permit) if permit.device_id != self.device_id || permit.manifest != offered.manifest => {
                Err(Refusal::PermitElsewhere)
            }
            Ok(Permit { number, .. }) if number != device => {
                Err(Refusal::PermitNumber { permit: number, device })
            }
            Ok(_) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        match judged {
            Ok(()) => {
                self.is_permitted = true;
                self.look_for_envelope(mem, offered);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// A permit is used up before the first page is touched: it never serves twice, at worst not at all.
    #[inline(never)]
    pub(crate) fn use_up_permit<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        target: &Manifest,
    ) -> Result<(), FlashError> {
        if !is_older(self.journal.record(), target) {
            return Ok(());
        }
        self.keys.use_permit::<R, D>(mem.die, self.work.whole())
    }
}

/// Whether `target` is older than what was committed here. What is committed is never too old for itself: a device that
/// went back by a permit may be mended.
pub(crate) fn is_older(record: &Record, target: &Manifest) -> bool {
    let is_committed = matches!(record.state, State::Committed | State::Trial) && record.to == target.digest;
    target.sequence < record.sequence && !is_committed
}

/// Whether the journal names this manifest: it was approved here before.
pub(crate) fn is_known(record: &Record, manifest: &Digest) -> bool {
    record.to == *manifest || record.from == *manifest
}

/// Checks the signature under the keys that count at `now_s`.
pub(crate) fn judge_signature<'a>(
    keys: &Keys<'_>,
    now_s: Option<u64>,
    envelope: &'a [u8],
) -> Result<Signed<'a>, Refusal> {
    let envelope = Envelope::parse(envelope).map_err(Refusal::Bundle)?;
    let mut room = [[0; 32]; SIGNERS_MAX];
    envelope.verify(keys.signers(now_s, &mut room)).map_err(|refused| match (refused, keys.version()) {
        (Refused::UnknownKey(id), Some(version)) => {
            keys.ended(&id, now_s).map_or(Refusal::NotInKeySet(version), Refusal::SignerEnded)
        }
        _ => Refusal::Bundle(refused),
    })
}
