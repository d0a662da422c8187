//! One device: flash that outlives power, and power sessions on it.

use std::sync::OnceLock;

use bulkhead_bundle_format::{Medium, Signer};
use bulkhead_flash_simulator::{Cells, Cut, Power, Reading, Recorded, SimulatedFlash};
use bulkhead_link_protocol::{Digest, FetchFrom, UpdateStage};
use bulkhead_nor_flash::{FlashAddress, NorFlash};
use bulkhead_update_engine::{
    DeviceFacts, Engine, Layout, LayoutError, Memory, Part, Rules, StartCause, Step, Trial, Workspace,
};

use crate::bundle::{Bundle, OWNER};

/// Page of the die in bytes: a journal record and four marks.
pub const DIE_PAGE: u32 = 256;
/// Sector of external flash in bytes: a die page fits one record, a sector needs two.
pub const SECTOR: u32 = 512;

/// 4 application pages, 4 of the journal, two slots of 3; 2 external pages, 16 sectors of staging.
pub const LAYOUT: Layout = Layout {
    die_application: Part::new(0, 4 * DIE_PAGE),
    die_journal: Part::new(4 * DIE_PAGE, 4 * DIE_PAGE),
    die_manifests: Part::new(8 * DIE_PAGE, 6 * DIE_PAGE),
    external_application: Part::new(0, 2 * SECTOR),
    external_staging: Part::new(2 * SECTOR, 16 * SECTOR),
};
const DIE_SIZE: u32 = 14 * DIE_PAGE;
const EXTERNAL_SIZE: u32 = 18 * SECTOR;

/// Steps of one power session before it counts as hanging.
const STEPS_MAX: u32 = 5_000;

fn owner_keys() -> &'static [[u8; 32]] {
    static KEYS: OnceLock<[[u8; 32]; 1]> = OnceLock::new();
    KEYS.get_or_init(|| [Signer::from_secret(&OWNER).public_key()])
}

/// What both memories hold while power is off.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Flash on the die.
    pub die: Cells,
    /// Flash beside the chip.
    pub external: Cells,
}

impl World {
    /// Labels of the sessions whose cuts tore what is still torn.
    pub fn cuts(&self) -> Vec<u32> {
        let mut cuts = [self.die.cuts(), self.external.cuts()].concat();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// The same for equal worlds and, in practice, for no others.
    pub fn fingerprint(&self) -> u128 {
        u128::from(self.die.fingerprint()) << 64 | u128::from(self.external.fingerprint())
    }

    /// Whether every page of `bundle` is there, and no cell of it is torn.
    pub fn holds(&self, bundle: &Bundle) -> bool {
        bundle.areas.iter().all(|area| {
            let (cells, part) = match area.medium {
                Medium::Die => (&self.die, LAYOUT.die_application),
                Medium::External => (&self.external, LAYOUT.external_application),
            };
            area.pages().all(|(offset, page)| {
                let start = (part.start.0 + offset) as usize;
                cells.stable(start..start + page.len()) == Some(page)
            })
        })
    }
}

/// What the server does in one power session.
#[derive(Clone, Copy, Debug)]
pub enum Server<'b> {
    /// Nothing: the device is offline.
    Silent,
    /// Offers this bundle as soon as the engine rests, and sends what is asked for.
    Offers(&'b Bundle),
}

/// How a new version fares on trial.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Health {
    /// It works; a server that is there acknowledges it.
    #[default]
    Good,
    /// Nobody says that it works.
    Unconfirmed,
    /// It crashes.
    Crashes,
}

/// An application was started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Started {
    /// Which.
    pub manifest: Digest,
    /// Why.
    pub cause: StartCause,
    /// Whether every cell of it was there, and none torn.
    pub safe: bool,
}

/// What one power session led to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The memories when the engine had nothing left to do, or when power failed.
    pub world: World,
    /// Whether power failed.
    pub cut: bool,
    /// Starts of an application, in order.
    pub started: Vec<Started>,
    /// What runs at the end.
    pub running: Option<Digest>,
    /// Last stage of the update, if there was one.
    pub stage: Option<UpdateStage>,
    /// Last reason.
    pub reason: Option<String>,
    /// What has to be fetched to go back.
    pub wanted_back: Option<Digest>,
    /// The trial that goes on.
    pub trial: Option<Trial>,
    /// Flash operations.
    pub operations: u32,
    /// Spans of areas that the server was asked for, as area and offset.
    pub fetched: Vec<(FetchFrom, u32, u32)>,
    /// Whether a cancel was accepted, if there was one.
    pub cancelled: Option<bool>,
    /// Steps until rest or power failure.
    pub steps: u32,
    /// Whether the engine came to no rest.
    pub hung: bool,
    /// What each cut would have left, if recording.
    pub recorded: Vec<Recorded>,
    /// Programs of a unit that was not erased.
    pub programs_twice: u32,
    /// Erases of each application page of the die, then of each external one.
    pub page_erases: Vec<u32>,
}

/// Something that comes in between.
#[derive(Clone, Copy, Debug)]
pub enum Interruption<'b> {
    /// The update is cancelled.
    Cancel,
    /// The link goes down and comes back.
    LoseLink,
    /// The owner wants something else.
    Offer(&'b Bundle),
    /// The owner insists.
    Force(&'b Bundle),
    /// A debugger, or the application, overwrites this page of the application on the die.
    WritePage(u32),
}

/// A device that is about to be powered on.
#[derive(Clone, Debug)]
pub struct Device<'b> {
    /// Every bundle that may be on it, to judge starts by.
    pub known: Vec<&'b Bundle>,
    /// What the server does.
    pub server: Server<'b>,
    /// Label of this power session.
    pub session: u32,
    /// Where power fails.
    pub cut: Option<Cut>,
    /// Whether to record what every cut would leave.
    pub record: bool,
    /// Whether the hypervisor lets a ready update be applied.
    pub allow_apply: bool,
    /// Whether external flash answers.
    pub external_alive: bool,
    /// Bits of a byte of die flash that a worn cell cannot hold.
    pub stuck: Option<(u32, u8)>,
    /// What comes in between, and before which step.
    pub interruption: Option<(u32, Interruption<'b>)>,
    /// Whether the server sends wrong bytes for every page.
    pub lies: bool,
    /// How a new version fares.
    pub health: Health,
}

impl<'b> Device<'b> {
    /// A device on which these bundles may be found, offline.
    pub fn new(known: &[&'b Bundle]) -> Self {
        Self {
            known: known.to_vec(),
            server: Server::Silent,
            session: 0,
            cut: None,
            record: false,
            allow_apply: true,
            external_alive: true,
            stuck: None,
            interruption: None,
            lies: false,
            health: Health::Good,
        }
    }

    /// A device as it comes from the factory.
    pub fn blank() -> World {
        let power = Power::new();
        World {
            die: SimulatedFlash::die(DIE_SIZE, DIE_PAGE, &power).cells().clone(),
            external: SimulatedFlash::external(EXTERNAL_SIZE, SECTOR, &power).cells().clone(),
        }
    }

    /// A device that `bundle` was installed on over the air.
    pub fn with(bundle: &Bundle) -> World {
        let device = Device { server: Server::Offers(bundle), ..Device::new(&[bundle]) };
        let outcome = device.run::<bulkhead_update_engine::Sound>(Self::blank(), |_| Reading::Before);
        assert_eq!(outcome.running, Some(bundle.digest), "{:?}", outcome.reason);
        outcome.world
    }

    /// Powers on, and runs until the engine rests or power fails.
    pub fn run<R: Rules>(&self, world: World, reading: impl Fn(u32) -> Reading) -> Outcome {
        let power = Power::new();
        let mut die = SimulatedFlash::die(DIE_SIZE, DIE_PAGE, &power);
        let mut external = SimulatedFlash::external(EXTERNAL_SIZE, SECTOR, &power);
        die.power_on(world.die, &reading);
        external.power_on(world.external, &reading);
        power.on(self.session, self.cut);
        if self.record {
            power.record();
        }
        if !self.external_alive {
            external.kill();
        }
        if let Some((at, mask)) = self.stuck {
            die.wear(FlashAddress(at), bulkhead_flash_simulator::Wear::Holds(mask));
        }
        let mut work = Workspace::new();
        let facts = DeviceFacts {
            device_class: "tiny",
            board_revision: 1,
            abi: 1,
            owner_keys: owner_keys(),
            storage_root: [9; 32],
        };
        let mut session = Session {
            device: self,
            engine: Engine::<R>::with_rules(LAYOUT, facts, &mut work),
            offered: false,
            server: self.server,
            started: Vec::new(),
            fetched: Vec::new(),
            cancelled: None,
            forced: false,
            steps: 0,
        };
        let rested = session.run(&power, &mut die, &mut external).expect("the layout is right");
        let status = session.engine.status();
        let (stage, reason) = (status.map(|s| s.stage), status.and_then(|s| s.reason).map(str::to_owned));
        let page_erases =
            [(&die, LAYOUT.die_application, DIE_PAGE), (&external, LAYOUT.external_application, SECTOR)];
        Outcome {
            cut: !power.is_on(),
            hung: !rested,
            running: session.engine.running(),
            stage,
            reason,
            wanted_back: status.and_then(|s| s.wanted_back),
            trial: session.engine.trial(),
            operations: power.operations(),
            recorded: power.recorded(),
            programs_twice: die.programs_twice(),
            page_erases: page_erases
                .iter()
                .flat_map(|(flash, part, page)| {
                    (0..part.length / page)
                        .map(move |n| flash.erase_count(part.start.plus(n * page).expect("in range")))
                })
                .collect(),
            started: session.started,
            cancelled: session.cancelled,
            steps: session.steps,
            fetched: session.fetched,
            world: World { die: die.cells().clone(), external: external.cells().clone() },
        }
    }
}

struct Session<'s, 'b, 'w, R: Rules> {
    device: &'s Device<'b>,
    engine: Engine<'w, R>,
    offered: bool,
    server: Server<'b>,
    started: Vec<Started>,
    fetched: Vec<(FetchFrom, u32, u32)>,
    cancelled: Option<bool>,
    steps: u32,
    forced: bool,
}

impl<'b, R: Rules> Session<'_, 'b, '_, R> {
    fn run(
        &mut self,
        power: &Power,
        die: &mut SimulatedFlash,
        external: &mut SimulatedFlash,
    ) -> Result<bool, LayoutError> {
        let mut mem = Memory { die, external };
        self.engine.boot(&mut mem)?;
        for n in 0..STEPS_MAX {
            self.steps = n;
            if let Some((_, interruption)) = self.device.interruption.filter(|(at, _)| *at == n) {
                self.interrupt(&mut mem, interruption);
            }
            let step = self.engine.step(&mut mem);
            if !power.is_on() {
                return Ok(true);
            }
            match step {
                Step::Working => {}
                Step::ReadyToApply | Step::ReadyToRevert if self.device.allow_apply => {
                    self.engine.allow_apply();
                }
                Step::StartApplication(manifest, cause) => {
                    let world =
                        World { die: mem.die.cells().clone(), external: mem.external.cells().clone() };
                    let bundle = self.device.known.iter().find(|bundle| bundle.digest == manifest);
                    let safe = bundle.is_some_and(|bundle| world.holds(bundle));
                    self.started.push(Started { manifest, cause, safe });
                    match self.device.health {
                        Health::Good => self.engine.confirm_locally(),
                        Health::Unconfirmed => {}
                        Health::Crashes => self.engine.fail_trial("it crashes"),
                    }
                }
                Step::ReadyToApply | Step::ReadyToRevert | Step::Idle | Step::NoApplication => {
                    if !self.acknowledge() && !self.serve() {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    fn interrupt(
        &mut self,
        mem: &mut Memory<'_, SimulatedFlash, SimulatedFlash>,
        interruption: Interruption<'b>,
    ) {
        match interruption {
            Interruption::Cancel => self.cancelled = Some(self.engine.cancel()),
            Interruption::LoseLink => self.engine.link_lost(),
            Interruption::Offer(bundle) | Interruption::Force(bundle) => {
                self.forced = matches!(interruption, Interruption::Force(_));
                self.server = Server::Offers(bundle);
                self.offered = false;
                self.serve();
            }
            // A debugger is parked while pages are copied and until the application is started.
            Interruption::WritePage(_) if !self.engine.status().is_some_and(|s| may_debug(s.stage)) => {}
            Interruption::WritePage(page) => {
                let at = LAYOUT.die_application.start.plus(page * DIE_PAGE).expect("in range");
                mem.die.erase(at).expect("power is on");
                mem.die.program(at, &[0x66; DIE_PAGE as usize]).expect("power is on");
            }
        }
    }

    /// Lets the server acknowledge what works; false if there is nothing to acknowledge.
    fn acknowledge(&mut self) -> bool {
        let healthy = self.engine.trial().is_some_and(|trial| trial.healthy);
        let online = matches!(self.server, Server::Offers(_));
        if healthy && online {
            self.engine.commit_trial();
        }
        healthy && online
    }

    /// Lets the server act; false if there is nothing for it to do.
    fn serve(&mut self) -> bool {
        let Server::Offers(bundle) = self.server else { return false };
        if !self.offered {
            self.offered = true;
            let len = u32::try_from(bundle.envelope.len()).expect("envelopes are small");
            self.engine.offer(bundle.digest, len, self.forced);
            return true;
        }
        let Some(fetch) = self.engine.wanted() else { return false };
        self.fetched.push((fetch.from, fetch.area, fetch.offset));
        let source = match fetch.from {
            FetchFrom::Envelope => Some(&bundle.envelope),
            FetchFrom::Area => bundle.areas.iter().find(|area| area.id == fetch.area).map(|area| &area.image),
            FetchFrom::Patch | FetchFrom::Permit | FetchFrom::KeySet => None,
        };
        let start = fetch.offset as usize;
        let Some(bytes) = source.and_then(|bytes| bytes.get(start..start + fetch.len as usize)) else {
            self.engine.unavailable(bundle.digest);
            return true;
        };
        let mut offset = fetch.offset;
        for piece in bytes.chunks(100) {
            let mut piece = piece.to_vec();
            if self.device.lies && fetch.from == FetchFrom::Area {
                piece[0] ^= 1;
            }
            self.engine.chunk(fetch.from, fetch.area, offset, &piece);
            offset += u32::try_from(piece.len()).expect("small");
        }
        true
    }
}

fn may_debug(stage: UpdateStage) -> bool {
    matches!(stage, UpdateStage::Checking | UpdateStage::Staging | UpdateStage::Ready)
}
