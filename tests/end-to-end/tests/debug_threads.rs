//! Threads of FreeRTOS, as stock GDB shows them.

use bulkhead_end_to_end::debugger::{Debugging, debuggable};

#[test]
fn every_task_has_a_name_a_state_and_a_backtrace_of_its_own() {
    let bench = debuggable("freertos-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
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
    println!("{text}\n{}", debugging.said());
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
