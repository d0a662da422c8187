//! Half-words of the application's code that stand aside for `BKPT`.

use bulkhead_debug_protocol::Action;

use crate::next::PLACES_MAX;
use crate::target::{AccessRefused, DebugTarget, Memory};

/// Most probes at once.
pub const PROBES_MAX: usize = 32;

/// Most actions of all probes that do not stop in one second. Whoever does more is silenced until the second is over: the
/// application is not to be slowed down without end.
pub const ACTIONS_PER_SECOND_MAX: u32 = 100;

const SECOND_US: u64 = 1_000_000;

/// Turns the address of a probe, which is even, into the key of its command among the expressions.
pub(crate) const COMMAND: u32 = 1;

/// What a probe does, and how often it still may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Behaviour {
    pub(crate) action: Action,
    pub(crate) left: Option<u32>,
}

/// `BKPT 0xBB`: what is put in place. The number means nothing; the agent knows its places.
pub(crate) const BREAKPOINT: u16 = 0xBEBB;

/// One place in code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Patch {
    address: u32,
    /// What the code holds, while `BREAKPOINT` is in its place.
    original: Option<u16>,
    behaviour: Behaviour,
}

const PLAIN: Behaviour = Behaviour { action: Action::Stop, left: None };

impl Patch {
    fn plant(&mut self, target: &mut impl DebugTarget) -> Result<(), AccessRefused> {
        if self.original.is_none() {
            self.original = Some(target.patch(self.address, BREAKPOINT)?);
        }
        Ok(())
    }

    fn lift(&mut self, target: &mut impl DebugTarget) {
        if let Some(original) = self.original.take() {
            // It was patched a moment ago: the same call cannot fail now.
            let _ = target.patch(self.address, original);
        }
    }
}

/// The developer's probes and the places where a step ends.
#[derive(Debug)]
pub(crate) struct Probes {
    probes: [Option<Patch>; PROBES_MAX],
    temporaries: [Option<Patch>; PLACES_MAX],
    /// When the second began in which actions are counted, how many there were, and whether they are over.
    second_began_us: u64,
    actions: u32,
    silenced: bool,
}

impl Probes {
    pub(crate) const fn new() -> Self {
        Self {
            probes: [None; PROBES_MAX],
            temporaries: [None; PLACES_MAX],
            second_began_us: 0,
            actions: 0,
            silenced: false,
        }
    }

    pub(crate) fn has(&self, address: u32) -> bool {
        self.probes.iter().flatten().any(|patch| patch.address == address)
    }

    /// What the code holds at an address, while the processor finds a breakpoint there.
    pub(crate) fn original(&self, address: u32) -> Option<u16> {
        self.probes.iter().flatten().find(|patch| patch.address == address)?.original
    }

    /// What the probe at an address does.
    pub(crate) fn action(&self, address: u32) -> Option<Action> {
        let patch = self.probes.iter().flatten().find(|patch| patch.address == address)?;
        (patch.behaviour.left != Some(0)).then_some(patch.behaviour.action)
    }

    /// Counts an action at an address; `false` if it is one too many.
    pub(crate) fn spend(&mut self, address: u32, now_us: u64) -> bool {
        if now_us.saturating_sub(self.second_began_us) >= SECOND_US {
            (self.second_began_us, self.actions) = (now_us, 0);
        }
        self.actions = self.actions.saturating_add(1);
        self.silenced = self.actions > ACTIONS_PER_SECOND_MAX;
        let patch = self.probes.iter_mut().flatten().find(|patch| patch.address == address);
        if let Some(left) = patch.and_then(|patch| patch.behaviour.left.as_mut()).filter(|_| !self.silenced) {
            *left = left.saturating_sub(1);
        }
        !self.silenced
    }

    /// Whether probes that were silenced may speak again.
    pub(crate) fn may_speak_again(&mut self, now_us: u64) -> bool {
        let over = now_us.saturating_sub(self.second_began_us) >= SECOND_US;
        over && core::mem::take(&mut self.silenced)
    }

    /// Adds a probe, not planted yet, or changes what one does; `false` if there is no room.
    pub(crate) fn add(&mut self, address: u32, behaviour: Behaviour) -> bool {
        if let Some(patch) = self.probes.iter_mut().flatten().find(|patch| patch.address == address) {
            patch.behaviour = behaviour;
            return true;
        }
        let Some(place) = self.probes.iter_mut().find(|place| place.is_none()) else { return false };
        *place = Some(Patch { address, original: None, behaviour });
        true
    }

    /// Takes a probe away; one that is not there is as good.
    pub(crate) fn remove(&mut self, address: u32, target: &mut impl DebugTarget) {
        for place in &mut self.probes {
            if let Some(mut patch) = place.take_if(|patch| patch.address == address) {
                patch.lift(target);
            }
        }
    }

    /// Plants every probe that may act but one at `except`, and lifts the others.
    ///
    /// # Errors
    /// A probe is at no code of the application's; the others are planted.
    pub(crate) fn plant(
        &mut self,
        except: Option<u32>,
        target: &mut impl DebugTarget,
    ) -> Result<(), AccessRefused> {
        let mut outcome = Ok(());
        for patch in self.probes.iter_mut().flatten() {
            let Behaviour { action, left } = patch.behaviour;
            let is_silent = left == Some(0) || self.silenced && action != Action::Stop;
            if Some(patch.address) == except || is_silent {
                patch.lift(target);
            } else {
                outcome = outcome.and(patch.plant(target));
            }
        }
        outcome
    }

    /// Ends a step at `address`, unless a probe does.
    pub(crate) fn plant_temporary(&mut self, address: u32, target: &mut impl DebugTarget) {
        let known = self.temporaries.iter().flatten().any(|patch| patch.address == address);
        let planted = self.probes.iter().flatten().any(|p| p.address == address && p.original.is_some());
        if known || planted {
            return;
        }
        if let Some(place) = self.temporaries.iter_mut().find(|place| place.is_none()) {
            let mut patch = Patch { address, original: None, behaviour: PLAIN };
            // Where no code is, the instruction faults, and that ends the step as well.
            if patch.plant(target).is_ok() {
                *place = Some(patch);
            }
        }
    }

    pub(crate) fn lift_temporaries(&mut self, target: &mut impl DebugTarget) {
        for place in &mut self.temporaries {
            if let Some(mut patch) = place.take() {
                patch.lift(target);
            }
        }
    }

    /// Lifts all; the probes are remembered.
    pub(crate) fn lift(&mut self, target: &mut impl DebugTarget) {
        self.lift_temporaries(target);
        self.probes.iter_mut().flatten().for_each(|patch| patch.lift(target));
    }

    /// Lifts and forgets all.
    pub(crate) fn clear(&mut self, target: &mut impl DebugTarget) {
        self.lift(target);
        self.probes = [None; PROBES_MAX];
    }

    /// Whether a planted half-word lies in `[address, address + len)`.
    pub(crate) fn touches(&self, address: u32, len: usize) -> bool {
        self.planted().any(|(at, _)| {
            let inside = usize::try_from(at.wrapping_sub(address)).is_ok_and(|offset| offset < len);
            inside || at.wrapping_add(1) == address && len > 0
        })
    }

    fn planted(&self) -> impl Iterator<Item = (u32, u16)> {
        let all = self.probes.iter().chain(&self.temporaries).flatten();
        all.filter_map(|patch| Some((patch.address, patch.original?)))
    }

    /// Puts what the code holds over what was read from `address`.
    pub(crate) fn unveil(&self, address: u32, bytes: &mut [u8]) {
        for (at, original) in self.planted() {
            for (at, byte) in [at, at.wrapping_add(1)].into_iter().zip(original.to_le_bytes()) {
                let offset = usize::try_from(at.wrapping_sub(address)).ok();
                if let Some(place) = offset.and_then(|offset| bytes.get_mut(offset)) {
                    *place = byte;
                }
            }
        }
    }
}

/// The application's memory as if nothing was patched.
pub(crate) struct Unpatched<'a, T> {
    pub(crate) target: &'a mut T,
    pub(crate) probes: &'a Probes,
}

impl<T: DebugTarget> Memory for Unpatched<'_, T> {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        self.target.read(address, out)?;
        self.probes.unveil(address, out);
        Ok(())
    }

    fn is_secure(&self, address: u32) -> bool {
        self.target.is_secure(address)
    }

    fn vector_table(&self) -> u32 {
        self.target.vector_table()
    }
}
