//! Flash with anything in it: the engine comes to rest and never starts what is not a whole, signed release.
//!
//! Input: a state on the way of an honest update, changes to it, then what a hostile server says.
#![no_main]

use bulkhead_fuzz::{Served, boot, snapshots};
use bulkhead_link_protocol::StagingMode;
use bulkhead_update_engine::Sound;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [state_high, state_low, changes, mend, rest @ ..] = input else { return };
    let states = snapshots();
    let mut world = states[usize::from(u16::from_be_bytes([*state_high, *state_low])) % states.len()].clone();
    let mut rest = rest;
    for _ in 0..changes % 16 {
        let [memory, high, low, len, after @ ..] = rest else { break };
        let (bytes, after) = after.split_at(usize::from(*len).min(after.len()));
        let at = usize::from(u16::from_be_bytes([*high, *low]));
        if memory % 2 == 0 {
            world.die.damage(at, bytes)
        } else {
            world.external.damage(at, bytes)
        }
        rest = after;
    }
    (0..4).filter(|page| mend >> page & 1 == 1).for_each(|page| world.mend_journal(page));
    boot::<Sound>(&mut world, &Served::Hostile(rest), None);
    // What the hostile server left behind is a state like any other: an honest one gets through from there, or the
    // device stays online without an application; the engine checks what it starts.
    let mode = if changes & 0x80 == 0 { StagingMode::RedoAndUndo } else { StagingMode::InPlace };
    boot::<Sound>(&mut world, &Served::Honest(1, mode), None);
});
