//! Our own update, run by the real engine on simulated flash, every operation listed.

use anyhow::{Context, Result, bail};
use bulkhead_bundle_format::{
    AreaImage, AreaKind, Manifest, ManifestFields, Medium, Policy, Revisions, Signer, encode_manifest,
};
use bulkhead_flash_simulator::{Power, Reading, SimulatedFlash, Traced, TracedKind};
use bulkhead_link_protocol::{Digest, FetchFrom};
use bulkhead_update_engine::{DeviceFacts, Engine, Layout, Memory, Part, Step, Workspace};

use crate::flash_work::{PAGE_LEN, Update, Work};

/// Parts as long as those of `boards/mps2-an505/board.toml`; the simulated memories are just large enough.
const LAYOUT: Layout = Layout {
    die_application: Part::new(0, 0x10_0000),
    die_journal: Part::new(0x10_0000, 0x8000),
    die_manifests: Part::new(0x10_8000, 0x8000),
    die_keys: Part::new(0x11_0000, 0x6000),
    external_application: Part::new(0, 0x1000),
    external_staging: Part::new(0x1000, 0x80_0000),
};
const DIE_LEN: u32 = 0x11_6000;
const EXTERNAL_LEN: u32 = 0x80_1000;
const SECTOR_LEN: u32 = 4096;
const DEVICE_CLASS: &str = "bench";
const OWNER: [u8; 32] = [3; 32];
/// The die is the first memory on the supply.
const DIE: usize = 0;
/// Most steps of an update; each page takes a few.
const STEPS_MAX: u32 = 1_000_000;

/// A signed release of one area of code.
struct Release<'i> {
    digest: Digest,
    envelope: Vec<u8>,
    image: &'i [u8],
}

impl<'i> Release<'i> {
    fn sign(sequence: u64, image: &'i [u8]) -> Result<Self> {
        let any = Revisions { least: 0, greatest: 9 };
        let areas = [AreaImage {
            id: 1,
            medium: Medium::Die,
            base: 0,
            length: u32::try_from(image.len())?,
            kind: AreaKind::Code,
            page_size: PAGE_LEN,
            image,
        }];
        let payload = encode_manifest(&ManifestFields {
            update_id: [u8::try_from(sequence)?; 16],
            sequence,
            security_counter: 0,
            device_class: DEVICE_CLASS,
            board_revisions: any,
            abi: any,
            name: "bench",
            version: "1",
            areas: &areas,
            policy: Policy::default(),
        })
        .ok()
        .context("the manifest of the bench is refused")?;
        let manifest = Manifest::parse(&payload).ok().context("the manifest of the bench is no manifest")?;
        let envelope = Signer::from_secret(&OWNER).sign(&payload);
        Ok(Self { digest: manifest.digest(), envelope, image })
    }

    /// What the server sends for that span.
    fn bytes(&self, from: FetchFrom, offset: u32, len: u32) -> Result<&[u8]> {
        let source = match from {
            FetchFrom::Envelope => &self.envelope,
            FetchFrom::Area => self.image,
            _ => bail!("the engine wants what nobody offered: {from:?}"),
        };
        let start = usize::try_from(offset)?;
        source.get(start..start + usize::try_from(len)?).context("the engine wants bytes that are not there")
    }
}

struct Device {
    power: Power,
    die: SimulatedFlash,
    external: SimulatedFlash,
}

/// Installs `old` over the air, then updates to `new`; returns what the update did to the die.
///
/// # Errors
/// An image is too long, or the engine ended with something else than the new image running.
pub(crate) fn run(old: &[u8], new: &[u8]) -> Result<Update> {
    let power = Power::new();
    let die = SimulatedFlash::die(DIE_LEN, PAGE_LEN, &power);
    let external = SimulatedFlash::external(EXTERNAL_LEN, SECTOR_LEN, &power);
    let mut device = Device { power, die, external };
    device.update(&Release::sign(1, old)?)?;
    device.update(&Release::sign(2, new)?)
}

impl Device {
    fn update(&mut self, release: &Release<'_>) -> Result<Update> {
        self.die.power_on(self.die.cells().clone(), |_| Reading::Before);
        self.external.power_on(self.external.cells().clone(), |_| Reading::Before);
        self.power.on(0, None);
        self.power.trace_operations();
        let mut work = Box::new(Workspace::new());
        let key = Signer::from_secret(&OWNER).public_key();
        let facts = DeviceFacts {
            device_class: DEVICE_CLASS,
            board_revision: 1,
            abi: 1,
            device_id: [0xD1; 16],
            owner_keys: &[key],
            storage_root: [5; 32],
        };
        let mut engine = Engine::new(LAYOUT, facts, &mut work);
        let mut mem = Memory { die: &mut self.die, external: &mut self.external };
        engine.boot(&mut mem).ok().context("the layout of the bench is refused")?;
        let (mut update, mut offered, mut is_running) = (Update::default(), false, true);
        for _ in 0..STEPS_MAX {
            let step = engine.step(&mut mem);
            let now = if is_running { &mut update.running } else { &mut update.stopped };
            count(self.power.traced(), now);
            match step {
                Step::Working => continue,
                Step::StartApplication(..) => {
                    is_running = true;
                    engine.commit_trial();
                    continue;
                }
                Step::ReadyToApply | Step::ReadyToRevert => {
                    is_running = false;
                    engine.allow_apply();
                    continue;
                }
                Step::Idle | Step::NoApplication => {}
            }
            if !offered {
                offered = true;
                engine.offer(release.digest, u32::try_from(release.envelope.len())?, false);
            } else if let Some(request) = engine.wanted_plan() {
                // Pages as they are: what crosses the link makes no difference to the die.
                engine.unavailable(request.manifest);
            } else if let Some(fetch) = engine.wanted() {
                let bytes = release.bytes(fetch.from, fetch.offset, fetch.len)?;
                engine.chunk(fetch.from, fetch.area, fetch.offset, bytes);
            } else if engine.running() == Some(release.digest) {
                return Ok(update);
            } else {
                bail!("the update ended with {:?}", engine.status());
            }
        }
        bail!("the update did not end")
    }
}

fn count(operations: Vec<Traced>, work: &mut Work) {
    for operation in operations.iter().filter(|operation| operation.memory == DIE) {
        match operation.kind {
            TracedKind::Erase => work.erase(operation.at.0 / PAGE_LEN),
            // An operation is never longer than its memory.
            TracedKind::Program => work.program(u32::try_from(operation.len).unwrap_or(DIE_LEN)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_changed_page_is_erased_once() {
        let old = vec![1; 5 * 8192];
        let mut new = old.clone();
        new[8192] = 2;
        new[3 * 8192] = 3;
        let update = run(&old, &new).unwrap();
        let erased: Vec<u32> = (0..5).map(|page| update.stopped.most_erases(page..page + 1)).collect();
        assert_eq!(erased, [0, 1, 0, 1, 0]);
        assert_eq!(update.running.most_erases(0..5), 0, "while the application runs nothing of it changes");
    }
}
