//! Threads of FreeRTOS, as stock GDB shows them.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use bulkhead_end_to_end::debugger::{Debugging, debuggable};

#[test]
fn every_task_has_a_name_a_state_and_a_backtrace_of_its_own() {
    tasks_are_shown("freertos-c-v1");
}

#[test]
fn a_kernel_without_a_tick_shows_its_tasks_as_well() {
    tasks_are_shown("freertos-c-v2");
}

fn tasks_are_shown(program: &str) {
    let bench = debuggable(program, |fleet| Ok(fleet.server.devices)).unwrap();
    let debugging =
        Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &bench.program]).unwrap();
    let commands = [
        "break bh_log_text",
        "continue",
        "info threads",
        "backtrace",
        "thread apply all backtrace 6",
        "print sizeof(*pxCurrentTCB) > 0",
        "next",
        "info threads",
        "delete",
        "detach",
    ];
    let text = debugging.gdb(&bench.program, &commands).unwrap();
    for wanted in ["\"measure-1\"", "\"measure-2\"", "\"report\"", "\"listen\"", "\"IDLE\"", "\"Tmr Svc\""] {
        let console = bench.device.console_tail();
        assert!(text.contains(wanted), "no {wanted} in:\n{text}\n{console}");
    }
    for wanted in ["(running, priority", "(blocked, priority", "(ready, priority 0)"] {
        assert!(text.contains(wanted), "no {wanted} in:\n{text}");
    }
    // Each stack is unwound from what the context switch saved.
    for wanted in ["measure (sensor=", "report (unused=", "listen (unused=", "prvIdleTask", "prvTimerTask"] {
        assert!(text.contains(wanted), "no frame of {wanted} in:\n{text}");
    }
    assert!(!debugging.said().contains("does not match"), "{}", debugging.said());
}

/// GDB counts the stops, so each is a whole one: caught on the device, told, looked at, gone on from.
#[test]
fn two_hundred_stops_in_the_tick_of_an_operating_system_are_two_hundred_stops_and_no_crash() {
    let bench = debuggable("freertos-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let debugging =
        Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &bench.program]).unwrap();
    let commands =
        ["break xTaskIncrementTick", "ignore 1 200", "continue", "info breakpoints", "delete", "detach"];
    let text = debugging.gdb(&bench.program, &commands).unwrap();
    assert!(text.contains("breakpoint already hit 201 times"), "{text}");
    let console = bench.device.console_tail();
    assert!(!console.contains("application stopped"), "{console}");
}

/// Line of the application's source that holds `text`.
fn line_of(text: &str) -> usize {
    let source = include_str!("../../../apps/freertos-c/main.c");
    source.lines().position(|line| line.contains(text)).unwrap() + 1
}

/// Two tasks of one priority come to the same line at the same tick: while one is looked at, the other takes its place.
#[test]
fn a_logpoint_that_two_tasks_share_prints_once_for_each_time_that_each_of_them_comes() {
    let bench = debuggable("freertos-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let debugging =
        Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &bench.program]).unwrap();
    let logpoint = format!(
        "dprintf main.c:{},\"sensor %u number %u\\n\", sample.sensor, sample.number",
        line_of("xTaskDelayUntil(&woken")
    );
    let at = |stop: &str, number: u32| {
        let line = line_of("!= received[");
        format!("{stop} main.c:{line} if sample.sensor == 1 && sample.number % 64 == {number}")
    };
    // It begins where a round of numbers begins, however far the application is by the time that GDB has come.
    let (begin, end) = (at("tbreak", 1), at("break", 60));
    let commands =
        ["set dprintf-style agent", &begin, "continue", &logpoint, &end, "continue", "delete", "detach"];
    let text = debugging.gdb(&bench.program, &commands).unwrap();
    for sensor in [1, 2] {
        let start = format!("sensor {sensor} number ");
        let numbers: Vec<u32> =
            text.lines().filter_map(|line| line.strip_prefix(&start)?.trim().parse().ok()).collect();
        assert!(numbers.len() > 20, "{text}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "sensor {sensor}: {numbers:?}");
    }
    assert!(!bench.device.console_tail().contains("application stopped"), "{}", bench.device.console_tail());
}
