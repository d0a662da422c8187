//! Every state, breadth first, one power cut further on each level.

use std::collections::HashSet;
use std::fmt;

use crate::flash::{Cell, Flash, PAGES};
use crate::protocol::{Fault, Rules, Session};

/// How far to search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The rules that are kept.
    pub rules: Rules,
    /// Power cuts in a row.
    pub cuts: u32,
    /// Whether a page of the application may lose its content while power is off, once.
    pub rot: bool,
}

/// States after so many cuts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Level {
    /// Cuts.
    pub cuts: u32,
    /// States of flash that were not seen after fewer.
    pub states: usize,
    /// Power sessions from them, one for each reading and each turn of events.
    pub sessions: u64,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// All levels that were searched.
    pub levels: Vec<Level>,
    /// What went wrong first, and the flash it began with.
    pub fault: Option<(Fault, Flash)>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: usize = self.levels.iter().map(|level| level.states).sum();
        let sessions: u64 = self.levels.iter().map(|level| level.sessions).sum();
        let cuts = self.levels.last().map_or(0, |level| level.cuts);
        match &self.fault {
            None => write!(f, "nothing wrong up to {cuts} cuts in {states} states, {sessions} sessions"),
            Some((fault, _)) => {
                write!(f, "{fault} after {cuts} cuts, in {states} states, {sessions} sessions")
            }
        }
    }
}

/// Searches until something is wrong or all is seen.
pub fn search(search: Search) -> Found {
    let mut level = HashSet::from([Flash::installed()]);
    let mut seen = HashSet::new();
    let mut levels = Vec::new();
    for cuts in 0..=search.cuts {
        if search.rot {
            level.extend(level.clone().iter().flat_map(rotten));
        }
        let (mut next, mut sessions) = (HashSet::new(), 0);
        for flash in &level {
            let last = cuts == search.cuts;
            let keep = |left: Flash| {
                if !last {
                    next.insert(left.normal());
                }
            };
            let (n, fault) = boot(flash, search.rules, keep);
            sessions += n;
            if let Some(fault) = fault {
                levels.push(Level { cuts, states: level.len(), sessions });
                return Found { levels, fault: Some((fault, *flash)) };
            }
        }
        levels.push(Level { cuts, states: level.len(), sessions });
        seen.extend(level);
        level = next.into_iter().filter(|flash| !seen.contains(flash)).collect();
    }
    Found { levels, fault: None }
}

/// Each page of the application loses its content, if none has yet.
fn rotten(flash: &Flash) -> Vec<Flash> {
    let rot = |page: usize| {
        let mut flash = Flash { rotten: true, ..*flash };
        flash.application[page] = Cell::Garbage;
        flash
    };
    if flash.rotten { Vec::new() } else { (0..PAGES).map(rot).collect() }
}

/// Boots from `flash` with each reading and each turn of events; gives `keep` whatever a cut would leave.
fn boot(flash: &Flash, rules: Rules, mut keep: impl FnMut(Flash)) -> (u64, Option<Fault>) {
    let mut sessions = 0;
    for view in flash.readings() {
        let (mut script, mut fresh) = (Vec::new(), 0);
        loop {
            let mut session = Session::new(rules, *flash, view, script, fresh, &mut keep);
            let ended = session.run();
            sessions += 1;
            if let Err(fault) = ended {
                return (sessions, Some(fault));
            }
            // The last choice that can still be made otherwise.
            script = session.into_script();
            while script.last().is_some_and(|(choice, of)| choice + 1 >= *of) {
                script.pop();
            }
            let Some((choice, _)) = script.last_mut() else { break };
            *choice += 1;
            fresh = script.len();
        }
    }
    (sessions, None)
}
