//! A small device with an update on its way, stopped at every step.

use std::sync::OnceLock;

use bulkhead_checksum::crc32;
use bulkhead_bundle_format::{
    AreaImage, AreaKind, Manifest, ManifestFields, Medium, Policy, Revisions, Signer, encode_manifest,
};
use bulkhead_delta::{Effort, EncodeOptions, encode};
use bulkhead_link_protocol::{Digest, FetchFrom, PatchOffer, PatchOffers, Plan, PlanRequest, StagingMode};
use bulkhead_nor_flash::{Geometry, Rewrite};
use bulkhead_update_engine::{DeviceFacts, Engine, Layout, Memory, Part, Rules, Sound, Step, Workspace};

use crate::RamFlash;

/// Page of the die in bytes.
pub const DIE_PAGE: u32 = 256;

const SECTOR: u32 = 512;

const LAYOUT: Layout = Layout {
    die_application: Part::new(0, 4 * DIE_PAGE),
    die_journal: Part::new(4 * DIE_PAGE, 4 * DIE_PAGE),
    die_manifests: Part::new(8 * DIE_PAGE, 6 * DIE_PAGE),
    die_keys: Part::new(14 * DIE_PAGE, 9 * DIE_PAGE),
    external_application: Part::new(0, 2 * SECTOR),
    external_staging: Part::new(2 * SECTOR, 16 * SECTOR),
};

/// Steps after which an engine counts as hanging.
const STEPS_MAX: usize = 20_000;

/// Offers and wrong answers that a hostile server has in one run.
const SERVED_MAX: usize = 64;

/// What is left of a device when power is off.
#[derive(Clone)]
pub struct World {
    /// Flash on the die.
    pub die: RamFlash,
    /// Flash beside the chip.
    pub external: RamFlash,
}

impl World {
    fn blank() -> Self {
        let die = Geometry {
            erase_size: DIE_PAGE,
            program_unit: 16,
            size: 23 * DIE_PAGE,
            erased_byte: 0xFF,
            rewrite: Rewrite::Never,
        };
        let external = Geometry {
            erase_size: SECTOR,
            program_unit: 1,
            size: 18 * SECTOR,
            erased_byte: 0xFF,
            rewrite: Rewrite::ClearsBits,
        };
        Self { die: RamFlash::new(die), external: RamFlash::new(external) }
    }

    /// Makes the CRC of both copies of the record in journal page `page` right again, so that what is behind it is
    /// looked at.
    pub fn mend_journal(&mut self, page: u32) {
        let start = (LAYOUT.die_journal.start.0 + page % 4 * DIE_PAGE) as usize;
        let crc = crc32(0, &self.die.bytes[start..start + 92]).to_le_bytes();
        self.die.damage(start + 92, &crc);
        let record = self.die.bytes[start..start + 96].to_vec();
        self.die.damage(start + 96, &record);
    }
}

struct Release {
    digest: Digest,
    envelope: Vec<u8>,
    code: Vec<u8>,
    constants: Vec<u8>,
}

fn owner() -> Signer {
    Signer::from_secret(&[0x42; 32])
}

fn release(sequence: u64, code: &[u8], constants: &[u8]) -> Release {
    let pages = |fills: &[u8], len: u32| -> Vec<u8> {
        fills.iter().flat_map(|fill| vec![*fill; len as usize]).collect()
    };
    let (code, constants) = (pages(code, DIE_PAGE), pages(constants, SECTOR));
    let area = |id, medium, kind, page_size, image| AreaImage {
        id,
        medium,
        base: 0,
        length: <[u8]>::len(image) as u32,
        kind,
        page_size,
        image,
    };
    let areas = [
        area(1, Medium::Die, AreaKind::Code, DIE_PAGE, &code),
        area(2, Medium::External, AreaKind::Constant, SECTOR, &constants),
    ];
    let payload = encode_manifest(&ManifestFields {
        update_id: [sequence as u8; 16],
        sequence,
        security_counter: 1,
        device_class: "tiny",
        board_revisions: Revisions { least: 1, greatest: 1 },
        abi: Revisions { least: 1, greatest: 1 },
        name: "n",
        version: "v",
        areas: &areas,
        policy: Policy::default(),
    })
    .expect("the fields agree");
    let digest = Manifest::parse(&payload).expect("just encoded").digest();
    Release { digest, envelope: owner().sign(&payload), code, constants }
}

fn releases() -> &'static [Release; 2] {
    static RELEASES: OnceLock<[Release; 2]> = OnceLock::new();
    RELEASES.get_or_init(|| [release(1, &[1, 2, 3], &[4]), release(2, &[1, 7, 8, 9], &[5, 6])])
}

/// What the server does.
pub enum Served<'a> {
    /// Offers a good release, which is staged in that way, and sends what is asked for.
    Honest(usize, StagingMode),
    /// Sends these bytes, whatever is asked for.
    Hostile(&'a [u8]),
}

/// Every state of flash on the way from a blank device over the first release to the second, in each of two ways.
pub fn snapshots() -> &'static [World] {
    static SNAPSHOTS: OnceLock<Vec<World>> = OnceLock::new();
    SNAPSHOTS.get_or_init(|| {
        let mut world = World::blank();
        let mut all = Vec::new();
        boot::<Sound>(&mut world, &Served::Honest(0, StagingMode::RedoAndUndo), Some(&mut all));
        for mode in [StagingMode::RedoAndUndo, StagingMode::InPlace] {
            boot::<Sound>(&mut world.clone(), &Served::Honest(1, mode), Some(&mut all));
        }
        all
    })
}

/// Powers a device on and runs it until it rests. Panics if it hangs or starts what is not a whole release.
pub fn boot<R: Rules>(world: &mut World, served: &Served<'_>, mut record: Option<&mut Vec<World>>) {
    let mut work = Workspace::new();
    let keys = [owner().public_key()];
    let facts = DeviceFacts {
        device_class: "tiny",
        board_revision: 1,
        abi: 1,
        device_id: [0xD1; 16],
        owner_keys: &keys,
        storage_root: [9; 32],
    };
    let mut engine = Engine::<R>::with_rules(LAYOUT, facts, &mut work);
    let mut hostile = Hostile::new(served);
    let mut mem = Memory { die: &mut world.die, external: &mut world.external };
    engine.boot(&mut mem).expect("the layout is right");
    let mut offered = false;
    for _ in 0..STEPS_MAX {
        let step = engine.step(&mut mem);
        if let Some(all) = record.as_deref_mut() {
            let changed = all.last().is_none_or(|last| {
                last.die.bytes != mem.die.bytes || last.external.bytes != mem.external.bytes
            });
            if changed {
                all.push(World { die: mem.die.clone(), external: mem.external.clone() });
            }
        }
        match step {
            Step::Working => {}
            Step::ReadyToApply | Step::ReadyToRevert => engine.allow_apply(),
            Step::StartApplication(digest, _) => {
                assert_whole(&digest, mem.die, mem.external);
                engine.commit_trial();
            }
            Step::Idle | Step::NoApplication => {
                let went_on = match served {
                    Served::Honest(n, mode) => serve(&mut engine, &releases()[*n], *mode, &mut offered),
                    Served::Hostile(_) => hostile.serve(&mut engine),
                };
                if !went_on {
                    return;
                }
            }
        }
    }
    panic!("no rest after {STEPS_MAX} steps");
}

fn assert_whole(digest: &Digest, die: &RamFlash, external: &RamFlash) {
    let release =
        releases().iter().find(|r| r.digest == *digest).expect("an unknown application was started");
    assert!(die.bytes.starts_with(&release.code), "started with other code");
    assert!(external.bytes.starts_with(&release.constants), "started with other constants");
}

/// Patches of the second release's areas from the first, or from nothing.
fn patches(base: Option<Digest>) -> &'static [(u32, Vec<u8>); 2] {
    static PATCHES: OnceLock<[[(u32, Vec<u8>); 2]; 2]> = OnceLock::new();
    let made = PATCHES.get_or_init(|| {
        let [first, second] = releases();
        let options = EncodeOptions { effort: Effort::Quick, ..EncodeOptions::default() };
        let from = |code: &[u8], constants: &[u8]| {
            [(1, encode(code, &second.code, &options)), (2, encode(constants, &second.constants, &options))]
        };
        [from(&[], &[]), from(&first.code, &first.constants)]
    });
    &made[usize::from(base.is_some())]
}

/// The second release goes by patches, the first as it is.
fn plan<R: Rules>(engine: &mut Engine<'_, R>, request: &PlanRequest, mode: StagingMode) {
    let [first, second] = releases();
    if request.manifest != second.digest || request.base.is_some_and(|base| base != first.digest) {
        return engine.unavailable(request.manifest);
    }
    let offers =
        patches(request.base).each_ref().map(|(area, patch)| PatchOffer { area: *area, len: patch.len() as u32 });
    engine.plan(&Plan {
        manifest: request.manifest,
        base: request.base,
        mode,
        patches: PatchOffers::new(&offers).expect("two areas"),
        needed_len: 0,
    });
}

fn serve<R: Rules>(
    engine: &mut Engine<'_, R>,
    release: &Release,
    mode: StagingMode,
    offered: &mut bool,
) -> bool {
    if let Some(request) = engine.wanted_plan() {
        plan(engine, &request, mode);
        return true;
    }
    if let Some(fetch) = engine.wanted() {
        let bytes = match (fetch.from, fetch.area) {
            (FetchFrom::Envelope, _) => &release.envelope,
            (FetchFrom::Area, 1) => &release.code,
            (FetchFrom::Area, _) => &release.constants,
            (FetchFrom::Patch, area) => {
                let all = patches(engine.running());
                &all.iter().find(|(id, _)| *id == area).expect("it was offered").1
            }
            (FetchFrom::Permit | FetchFrom::KeySet, _) => panic!("nobody offered that"),
        };
        let span = bytes.get(fetch.offset as usize..(fetch.offset + fetch.len) as usize);
        engine.chunk(fetch.from, fetch.area, fetch.offset, span.expect("the engine asks within the area"));
        return true;
    }
    !std::mem::replace(offered, true) && {
        engine.offer(release.digest, release.envelope.len() as u32, false);
        true
    }
}

struct Hostile<'a> {
    bytes: &'a [u8],
    rounds: usize,
}

impl<'a> Hostile<'a> {
    fn new(served: &Served<'a>) -> Self {
        let bytes = if let Served::Hostile(bytes) = served { *bytes } else { &[] };
        Self { bytes, rounds: 0 }
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    fn number(&mut self) -> usize {
        self.take(2).iter().fold(0, |n, byte| n << 8 | usize::from(*byte))
    }

    /// A plan that nobody in their right mind would make.
    fn plan<R: Rules>(&mut self, engine: &mut Engine<'_, R>, request: &PlanRequest) {
        let modes =
            [StagingMode::RedoAndUndo, StagingMode::Redo, StagingMode::InPlace, StagingMode::Refused];
        let offers: Vec<_> = (0..self.number() % 9)
            .map(|_| PatchOffer { area: self.number() as u32 % 4, len: self.number() as u32 * 64 })
            .collect();
        engine.plan(&Plan {
            manifest: request.manifest,
            base: request.base.filter(|_| self.number() % 2 == 0),
            mode: modes[self.number() % 4],
            patches: PatchOffers::new(&offers).unwrap_or_default(),
            needed_len: self.number() as u32,
        });
    }

    fn serve<R: Rules>(&mut self, engine: &mut Engine<'_, R>) -> bool {
        self.rounds += 1;
        if self.bytes.is_empty() || self.rounds > SERVED_MAX {
            return false;
        }
        if let Some(request) = engine.wanted_plan() {
            match self.number() % 4 {
                0 => plan(engine, &request, StagingMode::RedoAndUndo),
                2 => plan(engine, &request, StagingMode::InPlace),
                _ => self.plan(engine, &request),
            }
            return true;
        }
        let wanted = engine.wanted();
        match (self.number() % 9, wanted) {
            (0, _) => engine.offer([self.rounds as u8; 32], self.number() as u32 * 4, false),
            (1, _) => {
                let release = &releases()[self.number() % 2];
                engine.offer(release.digest, release.envelope.len() as u32, false);
            }
            (2, _) => _ = engine.cancel(),
            (7, _) => {
                engine.set_clock(self.number() as u64);
                engine.offer_key_set(self.number() as u32 % 4, self.number() as u32 % 600);
            }
            (8, _) => {
                let release = &releases()[self.number() % 2];
                let permit_len = Some(self.number() as u32 % 300);
                engine.offer_with_permit(release.digest, release.envelope.len() as u32, false, permit_len);
            }
            (3, Some(fetch)) => engine.unavailable(fetch.manifest),
            // Out of turn: another place than the one asked for.
            (4, _) => {
                let (area, offset, len) = (self.number(), self.number(), self.number() % 1200);
                engine.chunk(FetchFrom::Area, area as u32, offset as u32, self.take(len));
            }
            (5, Some(fetch)) => {
                let len = self.number().min(fetch.len as usize);
                let bytes = self.take(len);
                engine.chunk(fetch.from, fetch.area, fetch.offset, bytes);
            }
            // What the right server would send, one byte of it changed or none.
            (_, Some(fetch)) if fetch.from != FetchFrom::Patch => {
                if let Some(release) = releases().iter().find(|r| r.digest == fetch.manifest) {
                    let mut release = Release {
                        digest: release.digest,
                        envelope: release.envelope.clone(),
                        code: release.code.clone(),
                        constants: release.constants.clone(),
                    };
                    let (at, change) = (self.number(), self.number() as u8);
                    for bytes in [&mut release.envelope, &mut release.code, &mut release.constants] {
                        let len = bytes.len();
                        bytes[at % len] ^= change;
                    }
                    serve(engine, &release, StagingMode::RedoAndUndo, &mut true);
                }
            }
            (_, Some(_) | None) => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use bulkhead_update_engine::seeded_bugs::HeaderTrusted;

    use super::*;

    /// Boots from every state of the update with one byte of the application changed.
    fn starts_a_damaged_application<R: Rules>() -> bool {
        snapshots().iter().any(|world| {
            let mut world = world.clone();
            world.die.damage(5, &[0x77]);
            catch_unwind(move || boot::<R>(&mut world, &Served::Hostile(&[]), None)).is_err()
        })
    }

    #[test]
    fn an_engine_that_trusts_headers_is_caught() {
        assert!(snapshots().len() > 20, "{}", snapshots().len());
        assert!(!starts_a_damaged_application::<Sound>());
        assert!(starts_a_damaged_application::<HeaderTrusted>());
    }
}
