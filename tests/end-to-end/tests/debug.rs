//! Stock GDB at a device behind the server: stops, looks, steps, lets go; and who may not.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::time::Duration;

use bulkhead_cloud_api::DebugStreamEnd;
use bulkhead_debug_protocol::*;
use bulkhead_end_to_end::debugger::Debugging;
use bulkhead_end_to_end::developer::Developer;
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::recorder::Recorder;
use bulkhead_end_to_end::scenes::log_line;
use bulkhead_end_to_end::tool::Tool;

/// Exit code of the tool when the device refused.
const DEVICE_REFUSED: i32 = 7;
/// Exit code of the tool when the server refused.
const SERVER_REFUSED: i32 = 5;

/// A device whose application names a developer, who is not the owner of the fleet.
struct Scene {
    fleet: Fleet,
    device: Device,
    /// The file of the program that it runs.
    program: String,
    /// The developer's tool, not logged in.
    named: Tool,
}

fn scene() -> Scene {
    let (mut fleet, device) = Fleet::start_with_device("debugged").unwrap();
    let named = Tool::new(&fleet.programs.tool, &fleet.folder.path().join("developer"));
    let key = make_key(&named);
    let program = fleet.programs.app("hello-c-v1").unwrap();
    let bundle = fleet.owner.sign(&program, "hello", "1", &["--debug-key", &key]).unwrap();
    fleet.tool.run(&["app", "push", &bundle.path.to_string_lossy()]).unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    Scene { fleet, device, program: program.to_string_lossy().into_owned(), named }
}

impl Scene {
    /// The developer, without GDB, with the application halted.
    fn halted(&self) -> Developer {
        let file = self.named.home().join("keys").join("debug.key");
        let private = bulkhead_bundle_builder::load_debug_key(&file).unwrap();
        let mut developer = Developer::open(&self.fleet.api, &self.device.id, &private).unwrap();
        developer.ask(&[Operation::Hello(Hello { version: 1 }), Operation::Halt(Nothing {})]).unwrap();
        assert_eq!(developer.stop().unwrap(), StopReason::Halted);
        developer
    }
}

/// Makes a debug key of `tool`; returns its public half.
fn make_key(tool: &Tool) -> String {
    let made = tool.json(&["key", "generate", "--debug"]).unwrap();
    made.get("public_key").and_then(|key| key.as_str()).unwrap().to_owned()
}

#[test]
fn gdb_breaks_looks_steps_and_lets_go_and_the_server_reads_none_of_it() {
    let Scene { fleet, device, program, named } = scene();
    let recorder = Recorder::start(&fleet.server.url).unwrap();
    named.run(&["login", &recorder.url(), "--token", &fleet.server.token]).unwrap();
    let link = fleet.look(&device).unwrap().link.unwrap().since;

    let debugging = Debugging::start(&named, &device.id, &["--elf", &program]).unwrap();
    let text = debugging
        .gdb(
            &program,
            &[
                "break bh_text_append_number",
                "continue",
                "backtrace",
                "print ticks",
                "print/x table[1]",
                "stepi",
                "next",
                "finish",
                "delete",
                "break systick_handler",
                "continue",
                "backtrace",
                "delete",
                "break systick_handler if ticks % 50 == 7",
                "continue",
                "print ticks % 50",
                "info breakpoints",
                "monitor status",
                "detach",
            ],
        )
        .unwrap();
    println!("{text}\n{}", debugging.said());
    for wanted in [
        "Breakpoint 1, bh_text_append_number",
        "main ()",
        "Breakpoint 2, systick_handler",
        "signal handler called",
    ] {
        assert!(text.contains(wanted), "`{wanted}` in:\n{text}");
    }
    assert!(text.contains("$1 = "), "{text}");
    assert!(text.contains("$4 = 7"), "the condition: {text}");
    assert!(text.contains("target evals"), "it is evaluated on the device: {text}");
    assert!(text.contains("$2 = 0x9e3779b2"), "a constant of version 1: {text}");
    assert!(!debugging.said().contains("does not match"), "{}", debugging.said());

    // The application goes on, over the same link, with its code whole.
    log_line(&fleet, &device, "hello v1 second").unwrap();
    log_line(&fleet, &device, "a debugger is attached").unwrap();
    assert_eq!(fleet.look(&device).unwrap().link.unwrap().since, link, "the device stayed online");

    let relayed = recorder.bytes();
    assert!(relayed.len() > 1000, "{} bytes were relayed", relayed.len());
    let has = |wanted: &[u8]| relayed.windows(wanted.len()).any(|bytes| bytes == wanted);
    assert!(has(b"/api/v1/debug/"), "the relay was looked at");
    let code = std::fs::read(&program).unwrap();
    // A piece of the table of constants, as it lies in the device's memory and in the program's file.
    let constant = [0x9E37_79B1_u32.wrapping_add(1), 0x9E37_79B1_u32.wrapping_mul(2).wrapping_add(1)];
    let constant: Vec<u8> = constant.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert!(code.windows(8).any(|bytes| bytes == constant), "the test looks for what is there");
    assert!(!has(&constant) && !has(b"systick_handler") && !has(b"bh_text"));

    let audit = fleet.tool.run(&["audit"]).unwrap();
    assert!(audit.contains("open-debug"), "{audit}");
}

#[test]
fn who_is_not_named_does_not_debug_and_the_application_runs_on() {
    let Scene { fleet, device, named, .. } = scene();
    make_key(&fleet.tool);
    let refused = fleet.tool.refused(&["debug", &device.id, "--port", "0"]).unwrap();
    assert_eq!(refused.code, DEVICE_REFUSED, "{}", refused.text);
    assert!(refused.text.contains("names other developers"), "{}", refused.text);
    log_line(&fleet, &device, "a debugger was refused").unwrap();

    // One who is named, and one after the other.
    named.run(&["login", &fleet.server.url, "--token", &fleet.server.token]).unwrap();
    let mut first = Debugging::start(&named, &device.id, &[]).unwrap();
    let held = named.refused(&["debug", &device.id, "--port", "0"]).unwrap();
    assert_eq!(held.code, SERVER_REFUSED, "{}", held.text);
    assert!(held.text.contains("--takeover"), "{}", held.text);
    let _second = Debugging::start(&named, &device.id, &["--takeover"]).unwrap();
    first
        .running()
        .wait_for("the first to be told", Duration::from_secs(20), |line| {
            line.contains("took over").then_some(())
        })
        .unwrap();
}

/// Where nothing is the application's: secure RAM, the hypervisor's code, its gateways, journal, identity and entropy, the
/// processor's debug registers and the hypervisor's view of its others, peripherals that are not the application's, and
/// spans that begin inside and end outside.
const FOREIGN: &[(u32, u32)] = &[
    (0x3800_0000, 4),
    (0x1000_0000, 64),
    (0x101F_F000, 4),
    (0x8010_0000, 16),
    (0x8011_0000, 64),
    (0x8011_6000, 4),
    (0x8012_0000, 4),
    (0x8080_0000, 64),
    (0xE000_1000, 4),
    (0xE000_2000, 4),
    (0xE002_ED08, 4),
    (0xE000_EDF0, 4),
    (0xE000_EDFC, 4),
    (0xE000_EE04, 4),
    (0xE000_EFB8, 4),
    (0xE000_EDEC, 8),
    (0xE000_EFFC, 8),
    (0x5020_0000, 4),
    (0x4020_0000, 4),
    (0x4020_1FFC, 8),
    (0x0000_0000, 4),
    (0x800F_FFFC, 8),
    (0x2827_FFFC, 8),
    (0x281F_FFFC, 8),
    (0xFFFF_FFFC, 16),
];

#[test]
fn nothing_but_the_applications_memory_is_reached_whatever_a_developer_sends() {
    let scene = scene();
    let mut developer = scene.halted();
    let Scene { fleet, device, .. } = &scene;
    let link = fleet.look(device).unwrap().link.unwrap().since;
    let refused = |reason| vec![format!("{:?}", Answer::Refused(Refused { index: 0, reason }))];
    for &(address, len) in FOREIGN {
        let bytes = &[0xEE; 64][..len as usize];
        let probe =
            SetProbe { address, action: Action::Stop, condition: None, command: None, actions_max: None };
        let operations = [
            Operation::ReadMemory(ReadMemory { address, len, width: None }),
            Operation::ReadMemory(ReadMemory { address, len, width: Some(4) }),
            Operation::WriteMemory(WriteMemory { address, bytes, width: None }),
            Operation::WriteMemory(WriteMemory { address, bytes, width: Some(4) }),
            Operation::Crc(Crc { address, len }),
        ];
        for operation in operations {
            let answers = developer.ask(&[operation]).unwrap();
            assert_eq!(answers, refused(RefusalReason::Forbidden), "{operation:?}");
        }
        if len == 4 {
            let answers = developer.ask(&[Operation::SetProbe(probe)]).unwrap();
            assert_eq!(answers, refused(RefusalReason::Forbidden), "{address:#x}");
        }
    }
    let register = |register, value| Operation::WriteRegister(WriteRegister { register, value });
    for stack_pointer in [0x3800_1000, 0, 0xFFFF_FFF0, 0x2820_0000] {
        let answers = developer.ask(&[register(13, stack_pointer)]).unwrap();
        assert_eq!(answers, refused(RefusalReason::Forbidden), "sp {stack_pointer:#x}");
    }
    // Into the hypervisor's code: what the application could try as well, and it faults.
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    developer.ask(&[register(15, 0x1000_0100), Operation::Resume(resume)]).unwrap();
    assert_eq!(developer.stop().unwrap(), StopReason::Fault);
    developer.ask(&[Operation::Detach(Nothing {})]).unwrap();
    drop(developer);
    // Without a developer the fault is the application's own: it is contained, and the device was never away.
    log_line(fleet, device, "BadExecution").unwrap();
    assert_eq!(fleet.look(device).unwrap().link.unwrap().since, link);
}

#[test]
fn an_application_that_is_stepped_without_end_keeps_neither_its_developer_nor_its_owner_waiting() {
    let scene = scene();
    let link = scene.fleet.look(&scene.device).unwrap().link.unwrap().since;
    let mut developer = scene.halted();
    // Everything is inside this range, and it does not come to its end while the test lasts.
    let (low, high) = (Some(0), Some(0xFFFF_FFFE));
    let range = Resume { run: Run::Range, low, high, steps_max: Some(1 << 24), interrupts: None };
    developer.ask(&[Operation::Resume(range)]).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    developer.ask(&[Operation::Halt(Nothing {})]).unwrap();
    assert_eq!(developer.stop().unwrap(), StopReason::Halted);
    developer.ask(&[Operation::Resume(range)]).unwrap();
    scene.fleet.tool.run(&["device", "restart", &scene.device.id]).unwrap();
    log_line(&scene.fleet, &scene.device, "hello v1 starts, wake reason 4").unwrap();
    assert_eq!(scene.fleet.look(&scene.device).unwrap().link.unwrap().since, link);
}

#[test]
fn a_repeated_message_ends_the_session_and_the_application_runs() {
    let scene = scene();
    let mut developer = scene.halted();
    developer.repeat().unwrap();
    assert_eq!(developer.end(), Some(DebugStreamEnd::Broken));
    log_line(&scene.fleet, &scene.device, "the debugger is gone").unwrap();
}

#[test]
fn a_changed_message_ends_the_session_and_the_application_runs() {
    let scene = scene();
    let mut developer = scene.halted();
    developer.send_changed().unwrap();
    assert_eq!(developer.end(), Some(DebugStreamEnd::Broken));
    log_line(&scene.fleet, &scene.device, "the debugger is gone").unwrap();
}

#[test]
fn a_bundle_without_debug_keys_is_debugged_by_nobody() {
    let (mut fleet, device) = Fleet::start_with_device("closed").unwrap();
    let bundle = fleet.push("hello-c-v1", "hello", "1").unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    make_key(&fleet.tool);
    let refused = fleet.tool.refused(&["debug", &device.id, "--port", "0"]).unwrap();
    assert_eq!(refused.code, DEVICE_REFUSED, "{}", refused.text);
    assert!(refused.text.contains("--debug-key"), "it says what to do: {}", refused.text);
}
