//! The same engine on the virtual board's geometry, with power that fails at random operations.

#![expect(clippy::expect_used, reason = "a test suite, whose figures are worth reading")]

use bulkhead_bundle_format::{
    AreaImage, AreaKind, Manifest, ManifestFields, Medium, Policy, Revisions, Signer, encode_manifest,
};
use bulkhead_flash_simulator::{Cut, Moment, Power, Reading, SimulatedFlash};
use bulkhead_link_protocol::{Digest, FETCH_LEN_MAX, FetchFrom};
use bulkhead_nor_flash::FlashAddress;
use bulkhead_update_engine::{DeviceFacts, Engine, Layout, Memory, Part, Step, Workspace};

/// Die flash of 1.2 MiB, external flash of 8 MiB: parts as long as those of `boards/mps2-an505/board.toml`.
const LAYOUT: Layout = Layout {
    die_application: Part::new(0, 0x10_0000),
    die_journal: Part::new(0x10_0000, 0x8000),
    die_manifests: Part::new(0x10_8000, 0x8000),
    die_keys: Part::new(0x11_0000, 0x6000),
    external_application: Part::new(0, 0x10_0000),
    external_staging: Part::new(0x10_0000, 0x80_0000),
};
const DIE_LEN: u32 = 0x12_0000;
const EXTERNAL_LEN: u32 = 0x90_0000;
const OWNER: [u8; 32] = [3; 32];

struct Release {
    digest: Digest,
    envelope: Vec<u8>,
    code: Vec<u8>,
    constants: Vec<u8>,
}

/// Bytes without pattern, the same for the same seed.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect()
}

fn release(sequence: u64, code: Vec<u8>, constants: Vec<u8>) -> Release {
    let area = |id, medium, base, page_size, image| AreaImage {
        id,
        medium,
        base,
        length: u32::try_from(<[u8]>::len(image)).expect("small"),
        kind: AreaKind::Code,
        page_size,
        image,
    };
    let areas = [area(1, Medium::Die, 0, 8192, &code), area(2, Medium::External, 0x3000, 4096, &constants)];
    let any = Revisions { least: 0, greatest: 9 };
    let payload = encode_manifest(&ManifestFields {
        update_id: [1; 16],
        sequence,
        security_counter: 0,
        device_class: "mps2-an505",
        board_revisions: any,
        abi: any,
        name: "real",
        version: "1",
        areas: &areas,
        policy: Policy::default(),
    })
    .expect("consistent");
    let digest = Manifest::parse(&payload).expect("just encoded").digest();
    Release { digest, envelope: Signer::from_secret(&OWNER).sign(&payload), code, constants }
}

struct Bench {
    power: Power,
    die: SimulatedFlash,
    external: SimulatedFlash,
    fetched: u32,
}

impl Bench {
    fn new() -> Self {
        let power = Power::new();
        let die = SimulatedFlash::die(DIE_LEN, 8192, &power);
        let external = SimulatedFlash::external(EXTERNAL_LEN, 4096, &power);
        Self { power, die, external, fetched: 0 }
    }

    /// One power session; returns what runs at its end.
    fn session(
        &mut self,
        label: u32,
        cut: Option<Cut>,
        reading: Reading,
        release: &Release,
    ) -> Option<Digest> {
        self.die.power_on(self.die.cells().clone(), |_| reading);
        self.external.power_on(self.external.cells().clone(), |_| reading);
        self.power.on(label, cut);
        let mut work = Box::new(Workspace::new());
        let key = Signer::from_secret(&OWNER).public_key();
        let facts = DeviceFacts {
            device_class: "mps2-an505",
            board_revision: 1,
            abi: 1,
            device_id: [0xD1; 16],
            owner_keys: &[key],
            storage_root: [5; 32],
        };
        let mut engine = Engine::new(LAYOUT, facts, &mut work);
        let mut mem = Memory { die: &mut self.die, external: &mut self.external };
        engine.boot(&mut mem).expect("the layout is right");
        let mut offered = false;
        loop {
            let step = engine.step(&mut mem);
            if !self.power.is_on() {
                return None;
            }
            match step {
                Step::Working => continue,
                Step::StartApplication(..) => {
                    engine.commit_trial();
                    continue;
                }
                Step::ReadyToApply | Step::ReadyToRevert => {
                    engine.allow_apply();
                    continue;
                }
                Step::Idle | Step::NoApplication => {}
            }
            if !offered {
                offered = true;
                let len = u32::try_from(release.envelope.len()).expect("small");
                engine.offer(release.digest, len, false);
                continue;
            }
            if let Some(request) = engine.wanted_plan() {
                engine.unavailable(request.manifest);
                continue;
            }
            let Some(fetch) = engine.wanted() else { return engine.running() };
            assert!(fetch.len <= FETCH_LEN_MAX);
            self.fetched += fetch.len;
            let source = match (fetch.from, fetch.area) {
                (FetchFrom::Envelope, _) => &release.envelope,
                (FetchFrom::Area, 1) => &release.code,
                (FetchFrom::Area, _) => &release.constants,
                (FetchFrom::Patch | FetchFrom::Permit | FetchFrom::KeySet, _) => {
                    panic!("nobody offered that")
                }
            };
            let mut offset = fetch.offset;
            for piece in source[offset as usize..(offset + fetch.len) as usize].chunks(960) {
                engine.chunk(fetch.from, fetch.area, offset, piece);
                offset += u32::try_from(piece.len()).expect("small");
            }
        }
    }

    fn holds(&self, release: &Release) -> bool {
        let constants_at = (LAYOUT.external_application.start.0 + 0x3000) as usize;
        self.die.cells().stable(0..release.code.len()).as_ref() == Some(&release.code)
            && self.external.cells().stable(constants_at..constants_at + release.constants.len()).as_ref()
                == Some(&release.constants)
    }
}

/// 65 pages of code and 226 of constants, the last of each not full; an envelope of more than one fetch.
fn releases() -> (Release, Release) {
    let (code, constants) = (noise(0x8_1234, 1), noise(0xE_1001, 2));
    let (mut new_code, mut new_constants) = (code.clone(), constants.clone());
    for at in [0x10, 0x2_0000, 0x8_1200] {
        new_code[at] ^= 0x55;
    }
    new_code.extend([7; 300]);
    new_constants[0x5_0000..0x5_2000].fill(9);
    let releases = (release(1, code, constants), release(2, new_code, new_constants));
    assert!(releases.1.envelope.len() > FETCH_LEN_MAX as usize);
    releases
}

#[test]
fn an_update_on_the_real_geometry_fetches_only_the_pages_that_differ() {
    let (old, new) = releases();
    let mut bench = Bench::new();
    assert_eq!(bench.session(0, None, Reading::Before, &old), Some(old.digest));
    assert!(bench.holds(&old));
    bench.fetched = 0;
    assert_eq!(bench.session(0, None, Reading::Before, &new), Some(new.digest));
    assert!(bench.holds(&new));
    let envelope = u32::try_from(new.envelope.len()).expect("small");
    let last_page = u32::try_from(new.code.len() % 8192).expect("small");
    assert_eq!(bench.fetched - envelope, 2 * 8192 + last_page + 2 * 4096);
    let operations = bench.power.operations();
    println!("{operations} operations, {} bytes fetched, {envelope} of them the envelope", bench.fetched);
}

#[test]
fn random_power_cuts_on_the_real_geometry_end_in_the_new_application() {
    let (old, new) = releases();
    let mut bench = Bench::new();
    assert_eq!(bench.session(0, None, Reading::Before, &old), Some(old.digest));
    for (label, random) in (1..).zip(noise(24, 0xC0FFEE)) {
        let moment = if random % 5 == 0 { Moment::After } else { Moment::Inside(random % 4) };
        let cut = Some(Cut { operation: u32::from(random % 12), moment });
        let ended = bench.session(label, cut, Reading::Mixed(label), &new);
        assert!(ended.is_none_or(|digest| digest == new.digest));
    }
    assert_eq!(bench.session(99, None, Reading::Mixed(99), &new), Some(new.digest), "seed 0xC0FFEE");
    assert!(bench.holds(&new));
    assert!((0..66).all(|page| bench.die.erase_count(FlashAddress(page * 8192)) <= 1 + 1 + 24));
}
