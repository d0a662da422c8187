//! `cargo xtask bench isolation`: what the hypervisor's work costs the application, in instructions.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the result of a bench")]

use anyhow::{Context as _, Result, bail};
use bulkhead_end_to_end::deadline::{
    self, Bench, CHECK_INS, Cost, EMPTY_CALL_BELOW, FALSE_CONDITION, LATE_BELOW, LEFT_IDLE, LEFT_STAGING,
    LOGPOINT, WINDOWS, Window, cost, ratio,
};
use bulkhead_end_to_end::without_hypervisor;
use bulkhead_figures::{Row, publish, target_folder};

fn main() -> Result<()> {
    let without = without_hypervisor::windows(WINDOWS)?;
    let alone = deadline::alone(&without)?;
    println!("without a hypervisor: {:?}", cost(&without, alone));
    let mut bench = Bench::start()?;
    let calls = bench.calls()?;
    let idle = bench.windows('i', WINDOWS)?;
    let mut costs = vec![("idle, online", cost(&idle, alone))];
    let mut told = |name: &'static str, windows: Vec<Window>| {
        let cost = cost(&windows, alone);
        println!("{name}: {cost:?}");
        costs.push((name, cost));
        cost
    };
    told("handshaking", bench.handshaking()?);
    told("flooding logs", bench.windows('l', WINDOWS)?);
    told("own connection, both ways", bench.connected()?);
    told("messages and flash", bench.asking('a')?);
    told("messages and flash, own memory protection on", bench.asking('m')?);
    let staging = told("staging an update", bench.staging()?);
    told("debugged, a condition that never holds", bench.debugged("3", FALSE_CONDITION)?);
    told("debugged, a logpoint", bench.debugged("4", LOGPOINT)?);
    let kept = bench.check_ins()?;
    report((&costs, &cost(&without, alone)), &staging, &calls, kept)
}

fn report(
    (costs, without): (&[(&str, Cost)], &Cost),
    staging: &Cost,
    calls: &[(String, u64)],
    kept: u64,
) -> Result<()> {
    const NONE: &str = "none published";
    let mut rows = Vec::new();
    for (name, cost) in costs {
        let row = |what: &str, value| {
            Row::count(format!("{name}: {what}"), value, "instructions", "aim", Some(LATE_BELOW))
        };
        rows.push(row("worst added latency", cost.worst));
        rows.push(row("99.9 % added latency", cost.p999));
        rows.push(Row {
            name: format!("{name}: processor left to the application"),
            value: cost.cpu_left,
            unit: "%",
            peer: "the same program without a hypervisor".into(),
            peer_value: Some(without.cpu_left),
        });
    }
    for (name, cost) in calls {
        rows.push(Row::count(format!("system call {name}"), *cost, "instructions", NONE, None));
    }
    let check_ins = ratio(kept, CHECK_INS) * 100.0;
    rows.push(Row {
        name: "check-ins kept while the application masks everything and spins".into(),
        value: check_ins,
        unit: "%",
        peer: "aim".into(),
        peer_value: Some(100.0),
    });
    print!("{}", publish(&target_folder(), "isolation", &rows)?);
    let worst = costs.iter().map(|(_, cost)| cost.worst).max().unwrap_or_default();
    let idle = costs.first().context("nothing was measured")?.1;
    let empty = calls.iter().find(|(name, _)| name == "nop").context("the empty call was not measured")?.1;
    let aims = [
        ("worst_added_latency", worst < LATE_BELOW),
        ("cpu_left_idle", idle.cpu_left >= LEFT_IDLE),
        ("cpu_left_staging", staging.cpu_left >= LEFT_STAGING),
        ("empty_call", empty < EMPTY_CALL_BELOW),
        ("checkins", kept == CHECK_INS),
    ];
    println!(
        "bench isolation: worst_added_latency={worst} cpu_left_idle={:.2} cpu_left_staging={:.2} empty_call={empty} \
         checkins={check_ins:.0}",
        idle.cpu_left, staging.cpu_left
    );
    let missed: Vec<&str> = aims.iter().filter(|(_, is_met)| !is_met).map(|(name, _)| *name).collect();
    if !missed.is_empty() {
        bail!("aims missed: {}", missed.join(", "));
    }
    Ok(())
}
