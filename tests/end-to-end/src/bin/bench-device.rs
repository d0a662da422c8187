//! `cargo xtask bench device`: boot to online, and the price of a system call in instructions.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the result of a bench")]

use std::time::Instant;

use anyhow::{Context, Result};
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::scenes::log_line;
use bulkhead_figures::{Row, publish, target_folder};

/// Boots measured; the middle one is reported.
const BOOTS: usize = 5;

fn main() -> Result<()> {
    let mut fleet = Fleet::start()?;
    let mut device = fleet.new_device("bench")?;
    let mut boots_ms = Vec::new();
    for _ in 0..BOOTS {
        let started = Instant::now();
        fleet.power_on(&mut device)?;
        boots_ms.push(u64::try_from(started.elapsed().as_millis())?);
        fleet.cut_power(&mut device)?;
    }
    boots_ms.sort_unstable();
    let boot_ms = *boots_ms.get(BOOTS / 2).context("no boot was measured")?;

    device.count_instructions(0);
    fleet.power_on(&mut device)?;
    let bench = fleet.push("bench-c", "bench", "1")?;
    fleet.deploy(&device, &bench)?;
    let line = log_line(&fleet, &device, "bench calls")?;
    let number = |name: &str| -> Result<u64> {
        let mut words = line.split_whitespace().skip_while(|word| *word != name);
        let text = words.nth(1).with_context(|| format!("no `{name}` in: {line}"))?;
        Ok(text.parse()?)
    };
    // A microsecond is 1,000 instructions here.
    let calls = number("calls")?;
    let function = number("function_us")? * 1000 / calls;
    let system_call = number("system_call_us")? * 1000 / calls;
    let peer = "none published for a like path";
    let rows = [
        Row::count("boot to online, QEMU, wall clock", boot_ms, "ms", peer, None),
        Row::count(
            "empty system call, loop included",
            system_call,
            "instructions",
            "an empty function in the same loop",
            Some(function),
        ),
    ];
    print!("{}", publish(&target_folder(), "device", &rows)?);
    Ok(())
}
