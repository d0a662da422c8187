//! One device: flash that outlives power, and power sessions on it.

use std::sync::OnceLock;

use bulkhead_bundle_format::{Medium, Signer};
use bulkhead_flash_simulator::{Cells, Cut, Power, Reading, Recorded, SimulatedFlash};
use bulkhead_link_protocol::{Digest, FetchFrom, UpdateStage};
use bulkhead_nor_flash::FlashAddress;
use bulkhead_update_engine::{
    Cancelled, Changes, DeviceFacts, Engine, Rules, Sound, StartCause, Trial, Workspace,
};

use crate::bundle::{Bundle, OWNER};
use crate::damage::Damage;
use crate::session::Session;
use crate::shape::{SMALL, Shape};

fn owner_keys() -> &'static [[u8; 32]] {
    static KEYS: OnceLock<[[u8; 32]; 1]> = OnceLock::new();
    KEYS.get_or_init(|| [Signer::from_secret(&OWNER).public_key()])
}

/// What both memories hold while power is off.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Whose they are.
    pub shape: &'static Shape,
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
        let layout = &self.shape.layout;
        bundle.areas.iter().all(|area| {
            let (cells, part) = match area.medium {
                Medium::Die => (&self.die, layout.die_application),
                Medium::External => (&self.external, layout.external_application),
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
    /// Offers these one after the other, the next as soon as the engine rests.
    OffersInTurn(&'b [&'b Bundle]),
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
    /// Nobody says that it works, and it resets the chip as soon as it is started.
    Resets,
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
    /// What applying will write, or wrote.
    pub changes: Option<Changes>,
    /// The trial that goes on.
    pub trial: Option<Trial>,
    /// Flash operations.
    pub operations: u32,
    /// Spans of areas that the server was asked for, as area and offset.
    pub fetched: Vec<(FetchFrom, u32, u32)>,
    /// What came of a cancel, if there was one.
    pub cancelled: Option<Cancelled>,
    /// Whether there was an update to apply when it was cancelled.
    pub was_ahead: bool,
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
    /// What happened, in words, if that was asked for.
    pub story: Vec<String>,
}

/// Something that comes in between.
#[derive(Clone, Copy, Debug)]
pub enum Interruption<'b> {
    /// The update is cancelled.
    Cancel,
    /// The link goes down and comes back.
    LoseLink,
    /// External flash does not answer for the rest of the power session.
    LoseExternal,
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
    /// What is broken.
    pub damage: Option<Damage>,
    /// What comes in between, and before which step.
    pub interruption: Option<(u32, Interruption<'b>)>,
    /// Whether the server sends wrong bytes for every page.
    pub lies: bool,
    /// How a new version fares.
    pub health: Health,
    /// Whether to tell the story.
    pub explain: bool,
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
            damage: None,
            interruption: None,
            lies: false,
            health: Health::Good,
            explain: false,
        }
    }

    /// The small device as it comes from the factory.
    pub fn blank() -> World {
        Self::blank_of(&SMALL)
    }

    /// A device of that shape as it comes from the factory.
    pub fn blank_of(shape: &'static Shape) -> World {
        let power = Power::new();
        World {
            shape,
            die: SimulatedFlash::die(shape.die_size, shape.die_page, &power).cells().clone(),
            external: SimulatedFlash::external(shape.external_size, shape.sector, &power).cells().clone(),
        }
    }

    /// A device that `bundle` was installed on over the air.
    pub fn with(bundle: &Bundle) -> World {
        let device = Device { server: Server::Offers(bundle), ..Device::new(&[bundle]) };
        let shape = bundle.areas.first().map_or(&SMALL, |area| area.shape);
        let outcome = device.run::<Sound>(Self::blank_of(shape), |_| Reading::Before);
        assert_eq!(outcome.running, Some(bundle.digest), "{:?}", outcome.reason);
        outcome.world
    }

    /// Powers on, and runs until the engine rests or power fails.
    pub fn run<R: Rules>(&self, world: World, reading: impl Fn(u32) -> Reading) -> Outcome {
        let (power, shape) = (Power::new(), world.shape);
        let mut die = SimulatedFlash::die(shape.die_size, shape.die_page, &power);
        let mut external = SimulatedFlash::external(shape.external_size, shape.sector, &power);
        if let Some(damage) = self.damage {
            damage.strike(&mut die, &mut external);
        }
        die.power_on(world.die, &reading);
        external.power_on(world.external, &reading);
        power.on(self.session, self.cut);
        if self.record {
            power.record();
        }
        if self.explain {
            power.trace_operations();
        }
        let mut work = Workspace::new();
        let facts = DeviceFacts {
            device_class: "tiny",
            board_revision: 1,
            abi: 1,
            device_id: [0xD1; 16],
            owner_keys: owner_keys(),
            storage_root: [9; 32],
        };
        let engine = Engine::<R>::with_rules(shape.layout, facts, &mut work);
        let mut session = Session::new(self, shape, engine);
        let rested = session.run(&power, &mut die, &mut external).expect("the layout is right");
        let status = session.engine.status();
        let (stage, reason) = (status.map(|s| s.stage), status.and_then(|s| s.reason).map(str::to_owned));
        Outcome {
            cut: !power.is_on(),
            hung: !rested,
            running: session.engine.running(),
            stage,
            reason,
            wanted_back: status.and_then(|s| s.wanted_back),
            changes: status.and_then(|s| s.changes),
            trial: session.engine.trial(),
            operations: power.operations(),
            recorded: power.recorded(),
            programs_twice: die.programs_twice(),
            page_erases: page_erases(shape, &die, &external),
            started: session.started,
            cancelled: session.cancelled,
            was_ahead: session.was_ahead,
            steps: session.steps,
            fetched: session.fetched,
            story: session.story,
            world: World { shape, die: die.cells().clone(), external: external.cells().clone() },
        }
    }
}

fn page_erases(shape: &Shape, die: &SimulatedFlash, external: &SimulatedFlash) -> Vec<u32> {
    let parts = [
        (die, shape.layout.die_application, shape.die_page),
        (external, shape.layout.external_application, shape.sector),
    ];
    let count = |(flash, part, page): (&SimulatedFlash, bulkhead_update_engine::Part, u32)| {
        (0..part.length / page)
            .map(|n| flash.erase_count(FlashAddress(part.start.0 + n * page)))
            .collect::<Vec<_>>()
    };
    parts.into_iter().flat_map(count).collect()
}
