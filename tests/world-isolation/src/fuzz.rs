//! Random calls of every gateway, and a search for the device's secrets in what the application can read.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_board_description::{Access, Board, MPS2_AN505};
use bulkhead_syscall_abi::{Call, SYSTEM_CALLS, slot};

use crate::matrix::{ArgumentKind, foreign, kind};
use crate::scene::{Scene, Setting};
use crate::transcript::{Event, Witness};
use crate::verdict::link_was_up;

/// Rounds between two looks at the application's memory.
const ROUNDS: u32 = 20_000;
/// Longest time for so many.
const LONGEST: Duration = Duration::from_secs(60);
/// Bytes in a row of a secret that count as a leak.
const CANARY: usize = 8;
/// QEMU's monitor, in the scene's folder.
const MONITOR: &str = "monitor";
/// How the application begins to tell the end.
const DONE: &str = "fuzz done, wrong ";

/// States of `apps/hostile-c/state.h`.
const N_STATES: usize = 10;

/// What was done and seen.
#[derive(Clone, Debug, Default)]
pub struct Fuzzed {
    /// Calls from the thread.
    pub n_calls: u64,
    /// Calls from interrupts, most of which came while another call worked.
    pub n_interrupts: u64,
    /// What each call answered: its slot, and the status.
    pub answers: BTreeSet<(u32, u32)>,
    /// How often each state of `apps/hostile-c/state.h` was reached: something waits for the application, a socket is
    /// connected.
    pub states: [u64; N_STATES],
}

/// Calls at random for `time`, beginning with `seed`; `image` is the hypervisor, the built one if none is named.
///
/// # Errors
/// The hypervisor faulted or lost its link, a register came back with something in it, or a secret was found; the text
/// says how to do it again.
pub fn fuzz(seed: u32, time: Duration, image: Option<&Path>) -> Result<Fuzzed> {
    let monitor = ["-qmp", "unix:{folder}/monitor,server=on,wait=off"];
    let setting = Setting { image, restarts_at_once: true, has_peer: true, arguments: &monitor };
    let mut scene = Scene::set("hostile-c", &setting)?;
    let mut fuzzed = Fuzzed::default();
    let end = Instant::now() + time;
    let mut seed = seed;
    while fuzzed.n_calls == 0 || Instant::now() < end {
        round(&mut scene, seed, &mut fuzzed)
            .with_context(|| format!("seed {seed:#x}; again: BULKHEAD_FUZZ_SEED={seed:#x} cargo test -p bulkhead-world-isolation --test random_calls"))?;
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    }
    Ok(fuzzed)
}

/// The table of calls as the application reads it.
fn table() -> String {
    let mut text = String::new();
    for call in SYSTEM_CALLS.iter().filter(|call| comes_back(call)) {
        let letters: String = call
            .arguments
            .iter()
            .map(|argument| match kind(argument) {
                ArgumentKind::Pointer => 'p',
                ArgumentKind::Length => 'l',
                ArgumentKind::Number => 'n',
            })
            .collect();
        text += &format!("{:x} {letters}\n", call.slot);
    }
    text
}

/// System registers, of both worlds.
const SYSTEM_EDGES: [u32; 4] = [0, 0xE000_ED00, 0xE002_ED00, 0xFFFF_FFF0];
/// As in `apps/hostile-c/fuzz.c`.
#[cfg(test)]
const EDGES_MAX: usize = 256;
/// An address is missed by as much, either way.
const AROUND: u32 = 32;

/// Where each thing begins that is not the application's, or is, as the application reads them.
fn edges(board: &Board) -> Vec<u32> {
    let starts = foreign(board).into_iter().map(|span| span.first);
    let regions = board.application.region.iter().flat_map(|own| [own.base, own.base + own.length]);
    let peripherals = board.application.peripheral.iter().map(|own| own.base);
    let mut edges: Vec<u32> = starts.chain(regions).chain(peripherals).chain(SYSTEM_EDGES).collect();
    // Its data lie at the start of its RAM and its stack at the end: what it does to itself proves nothing.
    for own in board.application.region.iter().filter(|own| own.access == Access::ReadWriteExecute) {
        for edge in &mut edges {
            *edge = match *edge {
                start if start == own.base => start - AROUND,
                end if end == own.base + own.length => end + AROUND,
                other => other,
            };
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Whether the application goes on after a call: who asks to be restarted is.
fn comes_back(call: &Call) -> bool {
    call.slot != slot::APPLICATION_RESTART
}

fn round(scene: &mut Scene, seed: u32, fuzzed: &mut Fuzzed) -> Result<()> {
    let from = scene.events().len();
    let edges: String = edges(&Board::parse(MPS2_AN505)?).iter().map(|edge| format!("{edge:x}\n")).collect();
    scene.type_text(&format!("#{}\n{edges}\n{seed:x} {ROUNDS:x}\n", table()))?;
    let over =
        |events: &[Event]| events.iter().any(|event| is_end(&event.seen)) || link_was_up(events).is_err();
    let ended = scene.wait(LONGEST, over, from)?;
    let events = scene.events().get(from..).unwrap_or_default().to_vec();
    if let Err(failure) = link_was_up(&events) {
        bail!("{failure}\n{}", scene.recent());
    }
    let line = events.iter().find_map(|event| match &event.seen {
        Witness::Application(line) => line.strip_prefix(DONE),
        _ => None,
    });
    let Some(line) = line.filter(|_| ended) else {
        bail!("the application did not come to the end\n{}", scene.recent());
    };
    let numbers: Vec<u64> =
        line.split([' ', ',']).filter_map(|word| u64::from_str_radix(word, 16).ok()).collect();
    let Some(([wrong, n_interrupts], counts)) = numbers.split_first_chunk() else {
        bail!("the application's report is not as expected: {line}");
    };
    let (states, answered) = counts.split_at_checked(N_STATES).unwrap_or_default();
    if *wrong != 0 {
        bail!("registers came back wrong: {wrong:#x}, bits as in apps/hostile-c/matrix_asm.h");
    }
    fuzzed.n_calls += u64::from(ROUNDS);
    fuzzed.n_interrupts += n_interrupts;
    for (call, seen) in SYSTEM_CALLS.iter().filter(|call| comes_back(call)).zip(answered) {
        for status in (0..u32::BITS).filter(|status| seen >> status & 1 != 0) {
            if !call.may_answer(status) {
                bail!(
                    "{} answered {status}, which portable/syscall-abi/src/table.rs does not state",
                    call.name
                );
            }
            fuzzed.answers.insert((call.slot, status));
        }
    }
    for (sum, more) in fuzzed.states.iter_mut().zip(states) {
        *sum += more;
    }
    search(scene)
}

fn is_end(seen: &Witness) -> bool {
    matches!(seen, Witness::Application(line) if line.starts_with(DONE) || line == "hostile ready")
}

/// Looks for the secrets that the device was provisioned with in all memory that the application can write to.
fn search(scene: &Scene) -> Result<()> {
    let board = Board::parse(MPS2_AN505)?;
    let ram = board.region("ram")?;
    let path = scene.folder().join("ram");
    dump(&scene.folder().join(MONITOR), ram.base, ram.length, &path)?;
    let memory = fs::read(&path).context("QEMU wrote no memory")?;
    if memory.iter().all(|byte| *byte == 0) {
        bail!("the application's memory reads as zeros: the search would prove nothing");
    }
    let secrets = scene.secrets();
    for (name, secret) in [
        ("the device's private key", secrets.device_private_key.as_slice()),
        ("the root of its storage keys", secrets.storage_root.as_slice()),
        ("the seed of its random numbers", secrets.entropy_seed.as_slice()),
    ] {
        if let Some(at) = find(&memory, secret) {
            bail!("{name} lies in the application's memory at {:#010x}", ram.base as usize + at);
        }
    }
    Ok(())
}

/// Where any [`CANARY`] bytes in a row of `secret` lie.
fn find(memory: &[u8], secret: &[u8]) -> Option<usize> {
    let canaries: Vec<&[u8]> = secret.windows(CANARY).collect();
    memory.windows(CANARY).position(|window| canaries.contains(&window))
}

/// Has QEMU write memory, as the processor sees it, to a file. `pmemsave` sees none of what lies behind a protection
/// controller.
fn dump(monitor: &Path, base: u32, length: u32, to: &Path) -> Result<()> {
    let mut stream = UnixStream::connect(monitor).context("QEMU's monitor does not answer")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let save = format!(
        "{{\"execute\":\"memsave\",\"arguments\":{{\"val\":{base},\"size\":{length},\"filename\":\"{}\"}}}}",
        to.display()
    );
    for command in ["{\"execute\":\"qmp_capabilities\"}", &save] {
        stream.write_all(command.as_bytes())?;
        loop {
            line.clear();
            if answers.read_line(&mut line)? == 0 {
                bail!("QEMU's monitor closed");
            }
            if line.contains("\"error\"") {
                bail!("QEMU's monitor: {line}");
            }
            if line.contains("\"return\"") {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::number;

    #[test]
    fn a_piece_of_a_secret_is_found_wherever_it_lies() {
        let secret: Vec<u8> = (100..132).collect();
        let mut memory = vec![0; 4096];
        assert_eq!(find(&memory, &secret), None);
        memory[1001..1009].copy_from_slice(&secret[5..13]);
        assert_eq!(find(&memory, &secret), Some(1001));
        memory[1008] = 0;
        assert_eq!(find(&memory, &secret), None, "seven bytes are chance");
    }

    #[test]
    fn every_part_of_non_volatile_memory_is_an_edge_and_its_own_stack_is_none() {
        let board = Board::parse(MPS2_AN505).unwrap();
        let edges = edges(&board);
        assert!(edges.len() < EDGES_MAX, "{} are more than apps/hostile-c/fuzz.c has room for", edges.len());
        for (name, part) in board.non_volatile.parts() {
            assert!(edges.contains(&(board.non_volatile.base + part.offset)), "{name}");
        }
        let ram = board.region("ram").unwrap();
        for edge in edges {
            assert!(edge.abs_diff(ram.base) >= AROUND && edge.abs_diff(ram.base + ram.length) >= AROUND);
        }
    }

    #[test]
    fn each_state_that_the_application_can_reach_is_counted() {
        assert_eq!(number("STREAM_WAITS") as usize + 1, N_STATES, "the last one");
    }

    #[test]
    fn every_call_but_the_one_for_a_restart_is_in_the_table() {
        let table = table();
        assert_eq!(table.lines().count(), SYSTEM_CALLS.len() - 1);
        assert!(table.contains("5 npl\n"), "log: level, text, length");
    }
}
