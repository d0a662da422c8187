//! Half-words of the application's code that stand aside for `BKPT`.

use crate::next::PLACES_MAX;
use crate::target::{AccessRefused, DebugTarget, Memory};

/// Most probes at once.
pub const PROBES_MAX: usize = 32;

/// `BKPT 0xBB`: what is put in place. The number means nothing; the agent knows its places.
const BREAKPOINT: u16 = 0xBEBB;

/// One place in code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Patch {
    address: u32,
    /// What the code holds, while `BREAKPOINT` is in its place.
    original: Option<u16>,
}

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
}

impl Probes {
    pub(crate) const fn new() -> Self {
        Self { probes: [None; PROBES_MAX], temporaries: [None; PLACES_MAX] }
    }

    pub(crate) fn has(&self, address: u32) -> bool {
        self.probes.iter().flatten().any(|patch| patch.address == address)
    }

    /// Adds a probe, not planted yet; `false` if there is no room.
    pub(crate) fn add(&mut self, address: u32) -> bool {
        if self.has(address) {
            return true;
        }
        let Some(place) = self.probes.iter_mut().find(|place| place.is_none()) else { return false };
        *place = Some(Patch { address, original: None });
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

    /// Plants every probe but one at `except`, which is lifted.
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
            if Some(patch.address) == except {
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
            let mut patch = Patch { address, original: None };
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
