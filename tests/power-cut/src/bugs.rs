//! Engines with one deliberate mistake each. A suite that does not catch them all proves nothing.

use bulkhead_update_engine::seeded_bugs::{
    ConsumeFirst, EarlyFree, HeaderTrusted, MadeFromTorn, NaiveCounter, NoErase, NoInvalidate, NoJournal,
    NoLock, PopAfterSwitch, ResumeByCopy, RetryLimit, RingTooShort, RingTurnsUnsaid, SurvivingMarks,
    TornRingTrusted, TornStagingTrusted,
};
use bulkhead_update_engine::{Rules, Sound};

use crate::claim::{Claim, Exploration, Limits};
use crate::claims;
use crate::explore::explore;
use crate::replay::{explain, replay};

/// One mistake and where it shows.
#[derive(Clone, Copy)]
pub struct SeededBug {
    /// As the design calls it.
    pub name: &'static str,
    /// The claims that refute it, tried in this order.
    pub claims: &'static [&'static str],
    explore: fn(&Claim<'_>, Limits) -> Exploration,
    replay: fn(&Claim<'_>, &str) -> Result<Option<String>, String>,
    explain: fn(&Claim<'_>, &str) -> Result<Vec<String>, String>,
}

/// How a mistake was caught.
#[derive(Clone, Debug)]
pub struct Caught {
    /// The run that caught it.
    pub id: String,
    /// What was wrong.
    pub what: String,
    /// Recovered states until then.
    pub states: u64,
}

const fn bug<R: Rules>(name: &'static str, claims: &'static [&'static str]) -> SeededBug {
    SeededBug { name, claims, explore: explore::<R>, replay: replay::<R>, explain: explain::<R> }
}

/// Every mistake.
pub const ALL: [SeededBug; 17] = [
    bug::<ConsumeFirst>("consume-first", &["apply"]),
    bug::<EarlyFree>("early-free", &["trial-resets"]),
    bug::<NaiveCounter>("naive-counter", &["trial-resets"]),
    bug::<NoErase>("no-erase", &["apply"]),
    bug::<NoInvalidate>("no-invalidate", &["lost-program", "repair"]),
    bug::<NoLock>("no-lock", &["debugger-shared"]),
    bug::<PopAfterSwitch>("pop-after-switch", &["trial-resets"]),
    bug::<ResumeByCopy>("resume-by-copy", &["begun"]),
    bug::<RetryLimit>("retry-limit", &["begun"]),
    bug::<HeaderTrusted>("trust-the-header", &["apply"]),
    bug::<SurvivingMarks>("surviving-progress-marks", &["apply"]),
    bug::<NoJournal>("no-journal", &["apply"]),
    bug::<TornStagingTrusted>("torn-staging-trusted", &["update"]),
    bug::<MadeFromTorn>("made-from-torn", &["in-place-begun"]),
    bug::<TornRingTrusted>("torn-ring-trusted", &["in-place-begun"]),
    bug::<RingTooShort>("ring-too-short", &["turning-too-far"]),
    bug::<RingTurnsUnsaid>("ring-turns-unsaid", &["turning-gap"]),
];

impl SeededBug {
    /// Explores until the mistake shows. The run must lead back to it, and a sound engine must survive the same run.
    ///
    /// # Errors
    /// It was not caught, or the replay id does not replay; in words.
    pub fn catch(&self, limits: Limits) -> Result<Caught, String> {
        let mut states = 0;
        for name in self.claims {
            let claim = claims::named(name).ok_or_else(|| format!("no claim is called {name}"))?;
            let cuts = limits.cuts.min(claim.depth);
            let seen = (self.explore)(&claim, Limits { faults: 1, cuts, ..limits });
            states += seen.boots;
            let Some(fault) = seen.faults.into_iter().next() else { continue };
            if (self.replay)(&claim, &fault.id)?.is_none() {
                return Err(format!("{} does not lead back to the fault", fault.id));
            }
            if let Some(what) = replay::<Sound>(&claim, &fault.id)? {
                return Err(format!("the sound engine fails in the same run {}: {what}", fault.id));
            }
            let states = states - seen.boots + fault.after;
            return Ok(Caught { id: fault.id, what: fault.what, states });
        }
        Err(format!("not caught in {states} states"))
    }

    /// The story of a run with this mistake.
    ///
    /// # Errors
    /// The id is not one of `claim`.
    pub fn explain(&self, claim: &Claim<'_>, id: &str) -> Result<Vec<String>, String> {
        (self.explain)(claim, id)
    }
}
