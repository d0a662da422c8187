//! The judge must be able to say no: a good transcript, and one broken transcript for each way to fail.

use std::time::Duration;

use bulkhead_link_protocol::{ApplicationState, Fault, FaultKind, UpdateStage};
use bulkhead_world_isolation::*;

const STOPPED: Crime =
    Crime { letter: 'a', name: "stopped", containment: Containment::Stopped(FaultKind::SecureAccess) };
const REFUSED: Crime = Crime { letter: 'A', name: "refused", containment: Containment::Refused };
const STOP_LINE: &str = "[    0.129] application stopped: SecureAccess at pc 0x800002c6, restart in 2 s";

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(at_ms: u64, seen: Witness) -> Event {
    Event { at: ms(at_ms), seen }
}

fn console(at_ms: u64, line: &str) -> Event {
    at(at_ms, Witness::Console(line.into()))
}

fn application(at_ms: u64, line: &str) -> Event {
    at(at_ms, Witness::Application(line.into()))
}

fn state(at_ms: u64, application: ApplicationState, kind: FaultKind) -> Event {
    let fault = Fault { kind, program_counter: 4, address: None, count: 1, restart_in_s: Some(2) };
    at(at_ms, Witness::State { application, fault: Some(fault) })
}

/// With signs of life four times a second until 4 s, in order.
fn alive(mut events: Vec<Event>) -> Vec<Event> {
    events.extend((0..16).map(|i| at(i * 250 + 240, Witness::Ping)));
    events.extend((0..16).map(|i| at(i * 250 + 245, Witness::Pong)));
    events.sort_by_key(|event| event.at);
    events
}

fn stopped_well() -> Vec<Event> {
    alive(vec![
        application(10, "crime a"),
        console(20, STOP_LINE),
        console(21, "[    0.130] application stopped"),
        state(22, ApplicationState::BackingOff, FaultKind::SecureAccess),
        console(2030, "[    2.131] application starts (Faulted)"),
        application(2040, "hostile ready"),
        state(2050, ApplicationState::Running, FaultKind::SecureAccess),
    ])
}

fn refused_well() -> Vec<Event> {
    alive(vec![application(10, "crime A"), application(20, "refused")])
}

fn verdict(crime: &Crime, events: &[Event]) -> Result<(), Failure> {
    judge(crime, events, &Limits::default())
}

/// The transcript without the events that `which` picks.
fn without(events: &[Event], which: impl Fn(&Witness) -> bool) -> Vec<Event> {
    events.iter().filter(|event| !which(&event.seen)).cloned().collect()
}

/// The transcript with one more event, in order.
fn with(events: &[Event], more: Event) -> Vec<Event> {
    let mut events = [events, &[more]].concat();
    events.sort_by_key(|event| event.at);
    events
}

fn is_line(seen: &Witness, words: &str) -> bool {
    matches!(seen, Witness::Console(line) | Witness::Application(line) if line.contains(words))
}

#[test]
fn a_contained_crime_is_accepted() {
    assert_eq!(verdict(&STOPPED, &stopped_well()), Ok(()));
    let somehow = Crime { containment: Containment::StoppedSomehow, ..STOPPED };
    assert_eq!(verdict(&somehow, &stopped_well()), Ok(()));
    assert_eq!(verdict(&REFUSED, &refused_well()), Ok(()));
    let harmless = at(30, Witness::Progress(UpdateStage::Idle, None));
    assert_eq!(verdict(&STOPPED, &with(&stopped_well(), harmless)), Ok(()));
}

#[test]
fn nothing_is_proved_by_a_crime_that_was_not_committed() {
    for (crime, events) in [(STOPPED, stopped_well()), (REFUSED, refused_well())] {
        let events = without(&events, |seen| is_line(seen, "crime"));
        assert_eq!(verdict(&crime, &events), Err(Failure::NotCommitted));
        assert_eq!(verdict(&crime, &[]), Err(Failure::NotCommitted));
    }
}

#[test]
fn an_escape_is_rejected() {
    for (crime, events) in [(STOPPED, stopped_well()), (REFUSED, refused_well())] {
        assert_eq!(verdict(&crime, &with(&events, application(15, "ESCAPED"))), Err(Failure::Escaped));
    }
}

#[test]
fn a_missing_late_or_wrong_stop_is_rejected() {
    let good = stopped_well();
    let missing = without(&good, |seen| is_line(seen, "application stopped: "));
    assert_eq!(verdict(&STOPPED, &missing), Err(Failure::NotStopped));
    let late = with(&missing, console(6500, STOP_LINE));
    assert_eq!(verdict(&STOPPED, &late), Err(Failure::NotStopped));
    let again = with(&good, console(3000, STOP_LINE));
    assert!(matches!(verdict(&STOPPED, &again), Err(Failure::StoppedAgain(_))));
    let other = Crime { containment: Containment::Stopped(FaultKind::BusError), ..STOPPED };
    assert!(matches!(verdict(&other, &good), Err(Failure::OtherReason(_))));
    let endless = with(&missing, console(20, "application stopped: SecureAccess at pc 0x00000000"));
    assert!(matches!(verdict(&STOPPED, &endless), Err(Failure::NoBackOff(_))));
}

#[test]
fn a_fault_of_which_the_server_is_not_told_is_rejected() {
    let good = stopped_well();
    let untold = without(&good, |seen| matches!(seen, Witness::State { .. }));
    assert_eq!(verdict(&STOPPED, &untold), Err(Failure::NotReported));
    let otherwise = with(&untold, state(22, ApplicationState::BackingOff, FaultKind::BusError));
    assert_eq!(verdict(&STOPPED, &otherwise), Err(Failure::NotReported));
}

#[test]
fn a_restart_has_its_time() {
    let waiting = without(&stopped_well(), |seen| is_line(seen, "hostile ready"));
    assert_eq!(verdict(&STOPPED, &waiting), Err(Failure::NotRestarted));
    // By the hypervisor's own clock, whenever its lines were read.
    let starting = |line: &str| {
        let others = without(&stopped_well(), |seen| is_line(seen, "application starts"));
        with(&others, console(2030, line))
    };
    let unsaid = without(&stopped_well(), |seen| is_line(seen, "application starts"));
    assert_eq!(verdict(&STOPPED, &unsaid), Err(Failure::NotRestarted));
    let early = starting("[    0.629] application starts (Faulted)");
    assert_eq!(verdict(&STOPPED, &early), Err(Failure::RestartedEarly(ms(1500))));
    let late = starting("[    8.500] application starts (Faulted)");
    assert_eq!(verdict(&STOPPED, &late), Err(Failure::NotRestarted));
    let timeless = starting("application starts (Faulted)");
    assert_eq!(verdict(&STOPPED, &timeless), Err(Failure::NotRestarted));
    // Both lines read at once, by who was long away.
    let mut read_late = stopped_well();
    for event in &mut read_late {
        event.at = event.at.max(ms(2030));
    }
    assert_eq!(verdict(&STOPPED, &read_late), Ok(()));
}

#[test]
fn a_refusal_that_stops_the_application_or_never_comes_is_rejected() {
    let good = refused_well();
    let stopped = with(&good, console(30, STOP_LINE));
    assert!(matches!(verdict(&REFUSED, &stopped), Err(Failure::StoppedNeedlessly(_))));
    let silent = without(&good, |seen| is_line(seen, "refused"));
    assert_eq!(verdict(&REFUSED, &silent), Err(Failure::NotRefused));
}

#[test]
fn a_lost_link_is_rejected_whoever_saw_it() {
    for (crime, events) in [(STOPPED, stopped_well()), (REFUSED, refused_well())] {
        let hello = Witness::Hello { running: None, application: ApplicationState::None };
        for lost in [
            console(100, "[    0.200] link down: the connection was lost"),
            console(100, "[    0.200] link up, connect 2"),
            at(100, Witness::Closed("the device closed the link".into())),
            at(100, Witness::Connected),
            at(100, hello),
        ] {
            let told = verdict(&crime, &with(&events, lost.clone()));
            assert!(matches!(told, Err(Failure::LinkLost(_))), "{lost:?}: {told:?}");
        }
        let restarted = with(&events, console(100, "bulkhead 0.1.0 on mps2-an505"));
        assert!(matches!(verdict(&crime, &restarted), Err(Failure::HypervisorRestarted(_))));
    }
}

#[test]
fn a_silent_device_is_rejected() {
    for (crime, events) in [(STOPPED, stopped_well()), (REFUSED, refused_well())] {
        let mute = without(&events, |seen| *seen == Witness::Pong);
        assert_eq!(verdict(&crime, &mute), Err(Failure::Silent(13)));
        // Alive at first, then no more.
        let dying = with(&mute, at(500, Witness::Pong));
        assert_eq!(verdict(&crime, &dying), Err(Failure::Silent(13)));
        // A machine that stood still for long has asked for nothing meanwhile.
        let mut standing = events.clone();
        for event in standing.iter_mut().filter(|event| event.at > ms(1000)) {
            event.at += ms(60_000);
        }
        assert_eq!(verdict(&crime, &standing), Ok(()));
    }
}

#[test]
fn a_crime_is_over_when_its_end_and_a_later_sign_of_life_were_seen() {
    assert!(is_over(&STOPPED, &stopped_well()));
    assert!(is_over(&REFUSED, &refused_well()));
    assert!(is_over(&REFUSED, &[application(20, "ESCAPED")]));
    assert!(!is_over(&REFUSED, &without(&refused_well(), |seen| is_line(seen, "refused"))));
    assert!(!is_over(&STOPPED, &without(&stopped_well(), |seen| is_line(seen, "hostile ready"))));
    assert!(!is_over(&STOPPED, &without(&stopped_well(), |seen| is_line(seen, "application starts"))));
    let mut ends: Vec<_> = stopped_well();
    ends.retain(|event| event.at <= ms(2050));
    assert!(!is_over(&STOPPED, &ends), "no sign of life after the restart");
    let restart_untold = without(&stopped_well(), |seen| {
        matches!(seen, Witness::State { application: ApplicationState::Running, .. })
    });
    assert!(!is_over(&STOPPED, &restart_untold));
    // The server may hear of the restart before anybody has looked at the console.
    let mut late = without(&stopped_well(), |seen| is_line(seen, "hostile ready"));
    late.push(application(4000, "hostile ready"));
    assert!(is_over(&STOPPED, &late));
}
