//! Replay ids: the way to a state, written down and walked again.

use std::fmt::Write;

use bulkhead_flash_simulator::{Cells, Reading};
use bulkhead_update_engine::Rules;

use crate::claim::{Claim, PathStep, Readings, verdict};
use crate::damage::Damage;
use crate::device::{Device, Interruption, Outcome, Server, World};
use crate::explore::{reading_of, run};

fn format_readings(readings: &[Reading]) -> String {
    let letter = |reading: &Reading| match reading {
        Reading::Before => "b".to_owned(),
        Reading::After => "a".to_owned(),
        Reading::Erased => "e".to_owned(),
        Reading::Unreadable => "u".to_owned(),
        Reading::Mixed(seed) => format!("m{seed}"),
    };
    if readings.is_empty() { "-".to_owned() } else { readings.iter().map(letter).collect() }
}

fn parse_readings(text: &str) -> Option<Readings> {
    let mut readings = Vec::new();
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        readings.push(match letter {
            'b' => Reading::Before,
            'a' => Reading::After,
            'e' => Reading::Erased,
            'u' => Reading::Unreadable,
            'm' => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let (seed, after) = rest.split_at(end);
                rest = after;
                Reading::Mixed(seed.parse().ok()?)
            }
            _ => return None,
        });
    }
    Some(readings)
}

/// `c@5`: a cancel before step 5. `l`: link lost; `x`: external flash lost; `o0`, `f0`: offer, forced offer of the claim's bundle 0; `w2`:
/// page 2 is overwritten.
fn format_interruption(claim: &Claim<'_>, (at, what): (u32, Interruption<'_>)) -> String {
    let index = |digest| claim.known.iter().position(|bundle| bundle.digest == digest).unwrap_or(0);
    match what {
        Interruption::Cancel => format!("~c@{at}"),
        Interruption::LoseLink => format!("~l@{at}"),
        Interruption::LoseExternal => format!("~x@{at}"),
        Interruption::Offer(bundle) => format!("~o{}@{at}", index(bundle.digest)),
        Interruption::Force(bundle) => format!("~f{}@{at}", index(bundle.digest)),
        Interruption::WritePage(page) => format!("~w{page}@{at}"),
    }
}

fn parse_interruption<'b>(claim: &Claim<'b>, text: &str) -> Option<(u32, Interruption<'b>)> {
    let (what, at) = text.split_once('@')?;
    let kind = what.chars().next()?;
    let number = || what.get(1..)?.parse::<u32>().ok();
    let bundle = || claim.known.get(usize::try_from(number()?).ok()?).copied();
    let what = match kind {
        'c' => Interruption::Cancel,
        'l' => Interruption::LoseLink,
        'x' => Interruption::LoseExternal,
        'o' => Interruption::Offer(bundle()?),
        'f' => Interruption::Force(bundle()?),
        'w' => Interruption::WritePage(number()?),
        _ => return None,
    };
    Some((at.parse().ok()?, what))
}

pub(crate) fn format_id(claim: &Claim<'_>, path: &[PathStep<'_>]) -> String {
    let step = |step: &PathStep<'_>| {
        let mut text = format_readings(&step.readings);
        if let Some(damage) = step.damage {
            text += &format!("^{}", damage.format());
        }
        if let Some(interruption) = step.interruption {
            text += &format_interruption(claim, interruption);
        }
        if let Some(cut) = step.cut {
            let _ = write!(text, ".{cut}");
        }
        text
    };
    format!("{}:{}", claim.name, path.iter().map(step).collect::<Vec<_>>().join("/"))
}

fn parse_id<'b>(claim: &Claim<'b>, id: &str) -> Option<Vec<PathStep<'b>>> {
    let path = id.strip_prefix(claim.name)?.strip_prefix(':')?;
    let mut steps = Vec::new();
    for text in path.split('/') {
        let (text, cut) = match text.split_once('.') {
            Some((text, cut)) => (text, Some(cut.parse().ok()?)),
            None => (text, None),
        };
        let (readings, interruption) = match text.split_once('~') {
            Some((readings, what)) => (readings, Some(parse_interruption(claim, what)?)),
            None => (text, None),
        };
        let (readings, damage) = match readings.split_once('^') {
            Some((readings, what)) => (readings, Some(Damage::parse(what)?)),
            None => (readings, None),
        };
        steps.push(PathStep { damage, readings: parse_readings(readings)?, interruption, cut });
    }
    // Every session is cut but the last.
    let (last, before) = steps.split_last()?;
    let well_formed = last.cut.is_none() && before.iter().all(|step| step.cut.is_some());
    well_formed.then_some(steps)
}

/// Goes the way that a replay id describes, with real cuts, and says what is wrong at its end, if anything is.
///
/// # Errors
/// The id is not one of `claim`.
pub fn replay<R: Rules>(claim: &Claim<'_>, id: &str) -> Result<Option<String>, String> {
    walk::<R>(claim, id, &mut |_| ())
}

/// As [`replay`], telling every operation, what is torn, how it reads, and what the engine decides.
///
/// # Errors
/// The id is not one of `claim`.
pub fn explain<R: Rules>(claim: &Claim<'_>, id: &str) -> Result<Vec<String>, String> {
    let mut story = Vec::new();
    let what = walk::<R>(claim, id, &mut |line| story.push(line))?;
    story.push(match what {
        Some(what) => format!("WRONG: {what}"),
        None => "nothing is wrong with that".to_owned(),
    });
    Ok(story)
}

fn walk<R: Rules>(
    claim: &Claim<'_>,
    id: &str,
    tell: &mut dyn FnMut(String),
) -> Result<Option<String>, String> {
    let steps = parse_id(claim, id).ok_or_else(|| format!("`{id}` is no replay id of `{}`", claim.name))?;
    let mut world = claim.start.clone();
    for (session, step) in (0..).zip(&steps) {
        let device = claim.device(session, step.damage);
        let device = Device { cut: step.cut, interruption: step.interruption, explain: true, ..device };
        tell_session(claim, session, step, &world, tell);
        let outcome = run::<R>(&device, &world, &step.readings);
        tell_outcome(claim, &outcome, tell);
        if step.cut.is_some() {
            world = outcome.world;
            continue;
        }
        let outcome = claim.settle::<R>(session, step.damage, outcome);
        if let Some(what) = verdict(claim, &outcome, &claim.ends_in) {
            return Ok(Some(what));
        }
        if let Some(ends_in) = &claim.offline_ends_in {
            tell("the same boot without a server:".to_owned());
            let device = Device { server: Server::Silent, ..device };
            let outcome = run::<R>(&device, &world, &step.readings);
            tell_outcome(claim, &outcome, tell);
            return Ok(verdict(claim, &outcome, ends_in).map(|what| format!("offline: {what}")));
        }
    }
    Ok(None)
}

fn tell_session(
    claim: &Claim<'_>,
    session: u32,
    step: &PathStep<'_>,
    world: &World,
    tell: &mut dyn FnMut(String),
) {
    let server = match claim.server(session) {
        Server::Silent => "no server".to_owned(),
        Server::Offers(bundle) => format!("the server offers {}", name(claim, bundle.digest)),
        Server::OffersInTurn(bundles) => format!("the server offers {} bundles in turn", bundles.len()),
    };
    let cut = step.cut.map_or("not cut".to_owned(), |cut| format!("cut at {cut}"));
    tell(format!("\npower session {session}: {server}, {cut}"));
    if let Some(damage) = step.damage {
        tell(format!("  broken: {damage:?}"));
    }
    if let Some(interruption) = step.interruption {
        tell(format!("  meanwhile {}", format_interruption(claim, interruption)));
    }
    let cuts = world.cuts();
    let mut torn = |memory, cells: &Cells| {
        for (run, cut) in cells.torn() {
            let place = world.shape.place(memory, run.start);
            let reading = reading_of(&cuts, &step.readings, cut);
            let len = run.len();
            tell(format!("  torn by session {cut}: {place}, {len} bytes, read as {reading:?}"));
        }
    };
    torn(0, &world.die);
    torn(1, &world.external);
}

fn tell_outcome(claim: &Claim<'_>, outcome: &Outcome, tell: &mut dyn FnMut(String)) {
    for line in &outcome.story {
        tell(format!("  {line}"));
    }
    if !outcome.cut {
        let running = outcome.running.map_or("no application".to_owned(), |digest| name(claim, digest));
        tell(format!("  at the end: {running} runs"));
    }
    for started in outcome.started.iter().filter(|started| !started.safe) {
        let name = name(claim, started.manifest);
        tell(format!("  UNSAFE: {name} was started although cells of it are torn or missing"));
    }
}

fn name(claim: &Claim<'_>, digest: bulkhead_link_protocol::Digest) -> String {
    let index = claim.known.iter().position(|bundle| bundle.digest == digest);
    index.map_or("something unknown".to_owned(), |n| format!("bundle {n}"))
}
