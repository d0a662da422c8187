//! One power session: the caller's loop around the engine, with a server, an application and what comes in between.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bulkhead_bundle_format::AreaKind;
use bulkhead_flash_simulator::{Power, SimulatedFlash};
use bulkhead_link_protocol::{
    Digest, FetchFrom, PatchOffer, PatchOffers, Plan, PlanRequest, StagingMode, UpdateStage,
};
use bulkhead_nor_flash::FlashAddress;
use bulkhead_update_engine::{Cancelled, Engine, LayoutError, Memory, Rules, StartCause, Status, Step};

use crate::bundle::Bundle;
use crate::device::{Device, Health, Interruption, Server, Started, World};
use crate::shape::Shape;

/// Steps of one power session before it counts as hanging.
const STEPS_MAX: u32 = 5_000;

pub(crate) struct Session<'s, 'b, 'w, R: Rules> {
    device: &'s Device<'b>,
    shape: &'static Shape,
    pub(crate) engine: Engine<'w, R>,
    /// What the server offers and was not offered yet.
    next: Vec<&'b Bundle>,
    /// What the server offered last.
    offered: Option<&'b Bundle>,
    online: bool,
    pub(crate) started: Vec<Started>,
    pub(crate) fetched: Vec<(FetchFrom, u32, u32)>,
    pub(crate) cancelled: Option<Cancelled>,
    pub(crate) was_ahead: bool,
    pub(crate) steps: u32,
    forced: bool,
    pub(crate) story: Vec<String>,
    told: String,
    operations_told: usize,
    /// What the server has ready for the offered bundle.
    patches: AreaPatches,
}

impl<'s, 'b, 'w, R: Rules> Session<'s, 'b, 'w, R> {
    pub(crate) fn new(device: &'s Device<'b>, shape: &'static Shape, engine: Engine<'w, R>) -> Self {
        let mut next = match device.server {
            Server::Silent => Vec::new(),
            Server::Offers(bundle) => vec![bundle],
            Server::OffersInTurn(bundles) => bundles.to_vec(),
        };
        next.reverse();
        Self {
            device,
            shape,
            engine,
            online: !next.is_empty(),
            next,
            offered: None,
            started: Vec::new(),
            fetched: Vec::new(),
            cancelled: None,
            was_ahead: false,
            steps: 0,
            forced: false,
            story: Vec::new(),
            told: String::new(),
            operations_told: 0,
            patches: Vec::new(),
        }
    }

    pub(crate) fn run(
        &mut self,
        power: &Power,
        die: &mut SimulatedFlash,
        external: &mut SimulatedFlash,
    ) -> Result<bool, LayoutError> {
        let mut mem = Memory { die, external };
        let boot = self.engine.boot(&mut mem)?;
        if self.device.explain {
            self.story.push(format!("boot: {boot:?}, {}", self.status()));
        }
        for n in 0..STEPS_MAX {
            self.steps = n;
            if let Some((_, interruption)) = self.device.interruption.filter(|(at, _)| *at == n) {
                self.interrupt(&mut mem, interruption);
            }
            let step = self.engine.step(&mut mem);
            if self.device.explain {
                self.tell(power, step);
            }
            if !power.is_on() {
                return Ok(true);
            }
            match step {
                Step::Working => {}
                Step::ReadyToApply | Step::ReadyToRevert if self.device.allow_apply => {
                    self.engine.allow_apply();
                }
                Step::StartApplication(manifest, cause) => {
                    let (die, external) = (mem.die.cells().clone(), mem.external.cells().clone());
                    let world = World { shape: self.shape, die, external };
                    let bundle = self.device.known.iter().find(|bundle| bundle.digest == manifest);
                    let safe = bundle.is_some_and(|bundle| world.holds(bundle));
                    self.started.push(Started { manifest, cause, safe });
                    match self.device.health {
                        Health::Good => self.engine.confirm_locally(),
                        Health::Unconfirmed => {}
                        Health::Crashes => self.engine.fail_trial("it crashes"),
                        Health::Resets if cause == StartCause::Trial => return Ok(true),
                        Health::Resets => {}
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
            Interruption::Cancel => {
                self.was_ahead = self.engine.is_update_ahead();
                self.cancelled = Some(self.engine.cancel());
            }
            Interruption::LoseLink => self.engine.link_lost(),
            Interruption::LoseExternal => mem.external.kill(),
            Interruption::Offer(bundle) | Interruption::Force(bundle) => {
                self.forced = matches!(interruption, Interruption::Force(_));
                self.next = vec![bundle];
                self.online = true;
                self.offer_next();
            }
            // A debugger is parked while pages are copied and until the application is started.
            Interruption::WritePage(_) if !self.engine.status().is_some_and(|s| may_debug(s.stage)) => {}
            Interruption::WritePage(page) => {
                let at = FlashAddress(self.shape.layout.die_application.start.0 + page * self.shape.die_page);
                mem.die.overwrite(at, &vec![0x66; self.shape.die_page as usize]);
            }
        }
    }

    /// Lets the server acknowledge what works; false if there is nothing to acknowledge.
    fn acknowledge(&mut self) -> bool {
        let healthy = self.engine.trial().is_some_and(|trial| trial.healthy);
        if healthy && self.online {
            self.engine.commit_trial();
        }
        healthy && self.online
    }

    /// Lets the server act; false if there is nothing for it to do.
    fn serve(&mut self) -> bool {
        if let Some(bundle) = self.offered
            && let Some(request) = self.engine.wanted_plan()
        {
            self.plan(bundle, &request);
            return true;
        }
        let Some(fetch) = self.offered.and_then(|_| self.engine.wanted()) else { return self.offer_next() };
        let Some(bundle) = self.offered else { return false };
        self.fetched.push((fetch.from, fetch.area, fetch.offset));
        let source = match fetch.from {
            FetchFrom::Envelope => Some(&bundle.envelope),
            FetchFrom::Area => bundle.areas.iter().find(|area| area.id == fetch.area).map(|area| &area.image),
            FetchFrom::Patch => {
                self.patches.iter().find(|(area, _)| *area == fetch.area).map(|(_, patch)| patch)
            }
            FetchFrom::Permit | FetchFrom::KeySet => None,
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

    /// Answers a plan request with patches for every area, if the bundle is to have some.
    fn plan(&mut self, bundle: &Bundle, request: &PlanRequest) {
        if !bundle.is_patched {
            return self.engine.unavailable(bundle.digest);
        }
        let base = self.device.known.iter().copied().find(|known| Some(known.digest) == request.base);
        self.patches = patches(base, bundle);
        if self.device.lies {
            self.patches.iter_mut().for_each(|(_, patch)| patch.iter_mut().for_each(|byte| *byte ^= 0x55));
        }
        let offers: Vec<_> = self
            .patches
            .iter()
            .map(|(area, patch)| PatchOffer { area: *area, len: u32::try_from(patch.len()).expect("small") })
            .collect();
        self.engine.plan(&Plan {
            manifest: request.manifest,
            base: request.base,
            mode: bundle.mode,
            patches: PatchOffers::new(&offers).expect("few areas"),
            needed_len: 0,
        });
    }

    fn offer_next(&mut self) -> bool {
        let Some(bundle) = self.next.pop() else { return false };
        self.offered = Some(bundle);
        let len = u32::try_from(bundle.envelope.len()).expect("envelopes are small");
        self.engine.offer(bundle.digest, len, self.forced);
        true
    }

    fn status(&self) -> String {
        self.engine.status().map_or("nothing is under way".to_owned(), |status| {
            let why = status.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            let Status { stage, pages_done, pages_total, .. } = status;
            format!("{stage:?} of {}, page {pages_done} of {pages_total}{why}", self.name(&status.manifest))
        })
    }

    fn name(&self, digest: &Digest) -> String {
        let index = self.device.known.iter().position(|bundle| bundle.digest == *digest);
        index.map_or("something unknown".to_owned(), |n| format!("bundle {n}"))
    }

    fn tell(&mut self, power: &Power, step: Step) {
        for done in power.traced() {
            let place = self.shape.place(done.memory, done.at.0 as usize);
            let n = self.operations_told;
            self.story.push(format!("operation {n}: {:?} {place}, {} bytes", done.kind, done.len));
            self.operations_told += 1;
        }
        if !power.is_on() {
            return self.story.push("power fails in that operation".to_owned());
        }
        let status = self.status();
        if status != self.told {
            self.story.push(format!("step {}: {status}", self.steps));
            self.told = status;
        }
        match step {
            Step::Working | Step::Idle => {}
            Step::StartApplication(manifest, cause) => {
                self.story.push(format!("starts {} ({cause:?})", self.name(&manifest)));
            }
            _ => self.story.push(format!("{step:?}")),
        }
    }
}

fn may_debug(stage: UpdateStage) -> bool {
    matches!(stage, UpdateStage::Checking | UpdateStage::Staging | UpdateStage::Ready)
}

type AreaPatches = Vec<(u32, Vec<u8>)>;
type PatchesKey = (Option<Digest>, Digest, bool, Option<u32>);

/// The patches from `base` to `bundle`: made once, for they are asked for at every boot.
fn patches(base: Option<&Bundle>, bundle: &Bundle) -> AreaPatches {
    static MADE: Mutex<BTreeMap<PatchesKey, AreaPatches>> = Mutex::new(BTreeMap::new());
    let in_place = bundle.mode == StagingMode::InPlace;
    let key = (base.map(|base| base.digest), bundle.digest, in_place, bundle.window_len);
    let mut made = MADE.lock().expect("no thread died");
    let make = || {
        let areas = bundle.areas.iter().filter(|area| area.kind != AreaKind::ApplicationOwned);
        areas.filter_map(|area| Some((area.id, bundle.patch(base, area.id)?))).collect()
    };
    made.entry(key).or_insert_with(make).clone()
}
