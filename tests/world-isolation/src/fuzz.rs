//! Random calls of every gateway, and a search for the device's secrets in what the application can read.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_syscall_abi::{Call, SYSTEM_CALLS};

use crate::matrix::{ArgumentKind, kind};
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

/// What was done and seen.
#[derive(Clone, Debug, Default)]
pub struct Fuzzed {
    /// Calls from the thread.
    pub n_calls: u64,
    /// Calls from interrupts, most of them amid another call.
    pub n_interrupts: u64,
    /// How often each status was answered, 15 for all that are greater.
    pub statuses: [u64; 16],
}

/// Calls at random for `time`, beginning with `seed`; `image` is the hypervisor, the built one if none is named.
///
/// # Errors
/// The hypervisor faulted or lost its link, a register came back with something in it, or a secret was found; the text
/// says how to do it again.
pub fn fuzz(seed: u32, time: Duration, image: Option<&Path>) -> Result<Fuzzed> {
    let monitor = ["-qmp", "unix:{folder}/monitor,server=on,wait=off"];
    let setting = Setting { image, restarts_at_once: true, arguments: &monitor };
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

/// The table of calls as the application reads it. Who asks to be restarted, or to sleep, does: those are left out.
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

/// Whether the application goes on after a call.
fn comes_back(call: &Call) -> bool {
    !call.name.contains("restart") && !call.name.contains("sleep")
}

fn round(scene: &mut Scene, seed: u32, fuzzed: &mut Fuzzed) -> Result<()> {
    let from = scene.events().len();
    scene.type_text(&format!("#{}\n{seed:x} {ROUNDS:x}\n", table()))?;
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
    let [wrong, n_interrupts, statuses @ ..] = numbers.as_slice() else {
        bail!("the application's report is not as expected: {line}");
    };
    if *wrong != 0 {
        bail!("registers came back wrong: {wrong:#x}, bits as in apps/hostile-c/matrix_asm.h");
    }
    fuzzed.n_calls += u64::from(ROUNDS);
    fuzzed.n_interrupts += n_interrupts;
    for (sum, more) in fuzzed.statuses.iter_mut().zip(statuses) {
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
    fn every_call_that_comes_back_is_in_the_table() {
        let table = table();
        assert_eq!(table.lines().count(), SYSTEM_CALLS.len() - 2);
        assert!(table.contains("5 npl\n"), "log: level, text, length");
    }
}
