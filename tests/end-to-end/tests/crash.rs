//! Crash dumps, from the crash to GDB: who can read them, and what power cuts and broken links do to them.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::time::{Duration, Instant};

use bulkhead_cloud_api::FaultKind;
use bulkhead_end_to_end::crash::{
    CRIME_WITH_A_HISTORY, diary, gdb_on_core, holds_nothing_of, newest, wait_crash,
};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::meter::Meter;
use bulkhead_end_to_end::scenes::log_line;

/// Exit code of the tool for a file that is not what it should be.
const FILE: i32 = 9;
/// Exit code of the tool when the device declined.
const DEVICE_DECLINED: i32 = 7;
/// Where the external flash keeps crash dumps, from the start of non-volatile memory.
const DUMPS_AT: u64 = 0x30_0000;

/// As [`debuggable`]; the bundle names nobody.
fn crashing(more: &[&str]) -> (Fleet, Device) {
    running(more, |fleet| fleet.new_device("crashing").unwrap())
}

/// A fleet whose device runs the hostile application, in a bundle that names the tool's debug key.
fn debuggable(more: &[&str]) -> (Fleet, Device) {
    debuggable_behind(more, |fleet| fleet.new_device("crashing").unwrap())
}

fn debuggable_behind(more: &[&str], behind: impl FnOnce(&Fleet) -> Device) -> (Fleet, Device) {
    running(&[&["--debug-key", "debug.key"], more].concat(), behind)
}

/// A fleet whose device runs the hostile application. In `more`, options of `app bundle`, `debug.key` stands for the
/// tool's own.
fn running(more: &[&str], behind: impl FnOnce(&Fleet) -> Device) -> (Fleet, Device) {
    let mut fleet = Fleet::start().unwrap();
    fleet.tool.run(&["key", "generate", "--debug"]).unwrap();
    let mut device = behind(&fleet);
    fleet.power_on(&mut device).unwrap();
    let key = fleet.tool.home().join("keys").join("debug.key").to_string_lossy().into_owned();
    let more: Vec<&str> = more.iter().map(|word| if *word == "debug.key" { &key } else { *word }).collect();
    let bundle = fleet.owner.sign(&fleet.programs.app("hostile-c").unwrap(), "hostile", "1", &more).unwrap();
    fleet.tool.run(&["app", "push", &bundle.path.to_string_lossy()]).unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    (fleet, device)
}

/// The places of the frames of a backtrace, as `file:line`.
fn places(text: &str) -> Vec<&str> {
    let frames = text.lines().filter(|line| line.starts_with('#'));
    frames.filter_map(|line| line.split_once(" at ")?.1.split_whitespace().next()).collect()
}

#[test]
fn a_crash_of_the_hostile_application_opens_in_gdb_and_the_server_cannot_read_it() {
    let (fleet, mut device) = debuggable(&[]);
    let program = fleet.programs.app("hostile-c").unwrap();
    let elf = program.to_string_lossy().into_owned();
    fleet.commit_crime(&mut device, CRIME_WITH_A_HISTORY, FaultKind::SecureAccess).unwrap();
    let crash = wait_crash(&fleet, &device, 0).unwrap();
    let id = crash.id.to_string();
    assert_eq!(crash.fault, Some(FaultKind::SecureAccess));
    assert_eq!(crash.bundle.as_deref(), Some("hostile 1"));
    log_line(&fleet, &device, "crash dump of").unwrap();
    println!("{}", fleet.tool.run(&["crash", "ls", &device.id]).unwrap());

    // GDB, as a distribution ships it.
    let core = fleet.folder.path().join("core");
    let output = core.to_string_lossy().into_owned();
    println!("{}", fleet.tool.run(&["crash", "pull", &id, "--elf", &elf, "-o", &output]).unwrap());
    let commands = [
        "backtrace",
        "info registers",
        "frame function post",
        "info locals",
        "print/x diary[1]",
        "print parcel",
    ];
    let text = gdb_on_core(&program, &core, &commands).unwrap();
    println!("{text}");
    for wanted in ["weigh (", "in post (", "main ()", "pages = 41", "SIGSEGV", "xpsr"] {
        assert!(text.contains(wanted), "`{wanted}` in:\n{text}");
    }
    let second = u32::from_le_bytes(diary()[4..8].try_into().unwrap());
    assert!(text.contains(&format!("$1 = {second:#x}")), "a variable in RAM: {text}");

    // The same without GDB.
    let shown = fleet.tool.run(&["crash", "show", &id, "--elf", &elf]).unwrap();
    println!("{shown}");
    for wanted in ["in weigh at", "in post at", "in main at", "AUVIOL", "SecureAccess"] {
        assert!(shown.contains(wanted), "`{wanted}` in:\n{shown}");
    }
    let places = places(&shown);
    assert!(places.len() >= 3, "{shown}");
    for place in places.iter().take(3) {
        assert!(text.contains(&format!(") at {place}\n")), "`{place}` is not how GDB names it");
    }
    let document = fleet.tool.json(&["crash", "show", &id, "--elf", &elf]).unwrap();
    let functions: Vec<_> = document["backtrace"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|frame| frame["function"].as_str())
        .collect();
    assert!(functions.starts_with(&["weigh", "post"]), "{functions:?}");
    assert_eq!(document["complete"], true);

    // What the server has of it: the header, and nothing of RAM. The control is the core file.
    let opened = std::fs::read(&core).unwrap();
    assert!(opened.windows(64).any(|bytes| bytes == diary()), "the core file holds the diary");
    assert!(holds_nothing_of(fleet.server.data(), &diary()).unwrap() > 2);
    let sealed = fleet.api.crash_dump(&id).unwrap();
    for symbol in ["weigh", "parcel", "diary", "hostile"] {
        assert!(!sealed.windows(symbol.len()).any(|bytes| bytes == symbol.as_bytes()), "{symbol}");
    }
    let audit = fleet.tool.run(&["audit"]).unwrap();
    assert!(audit.contains("fetch-crash"), "{audit}");

    // Another program, another key, a dump that was cut or changed: each is told apart.
    let other = fleet.programs.app("hello-c-v1").unwrap().to_string_lossy().into_owned();
    let refused = fleet.tool.refused(&["crash", "show", &id, "--elf", &other]).unwrap();
    assert_eq!(refused.code, FILE, "{}", refused.text);
    assert!(refused.text.contains("is not the program that crashed"), "{}", refused.text);
    let stranger = fleet.folder.path().join("stranger.key").to_string_lossy().into_owned();
    fleet.tool.run(&["key", "generate", "--debug", "-o", &stranger]).unwrap();
    let refused = fleet.tool.refused(&["crash", "show", &id, "--key", &stranger]).unwrap();
    assert!(refused.text.contains("sealed for other keys"), "{}", refused.text);
    let file = fleet.folder.path().join("sealed.dump");
    let path = file.to_string_lossy().into_owned();
    fleet.tool.run(&["crash", "pull", &id, "--sealed", "-o", &path]).unwrap();
    assert!(fleet.tool.run(&["crash", "show", &path, "--elf", &elf]).unwrap().contains("in weigh at"));
    assert!(sealed.len() > 16 * 1024, "{} bytes", sealed.len());
    std::fs::write(&file, &sealed[..sealed.len() - 1024]).unwrap();
    assert!(fleet.tool.run(&["crash", "show", &path]).unwrap().contains("incomplete"));
    let mut changed = sealed.clone();
    changed[300] ^= 1;
    std::fs::write(&file, changed).unwrap();
    let refused = fleet.tool.refused(&["crash", "show", &path]).unwrap();
    assert!(refused.text.contains("was changed"), "{}", refused.text);
}

#[test]
fn every_way_to_fall_leaves_a_dump_and_a_hung_handler_unwinds_to_what_it_interrupted() {
    let (fleet, mut device) = debuggable(&[]);
    let program = fleet.programs.app("hostile-c").unwrap();
    let elf = program.to_string_lossy().into_owned();
    let falls = [
        ('f', FaultKind::BadExecution),
        ('l', FaultKind::InterruptFlood),
        ('n', FaultKind::InterruptsMasked),
        ('i', FaultKind::StackOverflow),
    ];
    for (crime, kind) in falls {
        let before = newest(&fleet, &device).unwrap();
        fleet.commit_crime(&mut device, crime, kind).unwrap();
        let crash = wait_crash(&fleet, &device, before).unwrap();
        assert_eq!(crash.fault, Some(kind));
        let id = crash.id.to_string();
        let shown = fleet.tool.run(&["crash", "show", &id, "--elf", &elf]).unwrap();
        println!("{shown}");
        let wanted: &[&str] = match crime {
            'f' => &["by the link register alone", "in main at"],
            'l' => &["in software0_handler at", "interrupted by the frame above", "in main at"],
            'n' => &["in main at"],
            // Stopped at its limit the stack has room for a frame, so nothing is lost or guessed.
            _ => &["StackOverflow", "fell below its limit", "#31 ", "in recurse at"],
        };
        for wanted in wanted {
            assert!(shown.contains(wanted), "{crime}: `{wanted}` in:\n{shown}");
        }
        if crime == 'l' {
            let core = fleet.folder.path().join("core-handler");
            fleet.tool.run(&["crash", "pull", &id, "-o", &core.to_string_lossy()]).unwrap();
            let text = gdb_on_core(&program, &core, &["backtrace"]).unwrap();
            println!("{text}");
            assert!(text.contains("signal handler called") && text.contains("main ()"), "{text}");
        }
        if crime == 'i' {
            // The limit that start-up code set held: the stack reached neither .bss nor .data.
            let core = fleet.folder.path().join("core-overflow");
            fleet.tool.run(&["crash", "pull", &id, "-o", &core.to_string_lossy()]).unwrap();
            let command = "print (unsigned int)$sp >= (unsigned int)&_heap_start";
            let text = gdb_on_core(&program, &core, &[command]).unwrap();
            assert!(text.contains("$1 = 1"), "{text}");
        }
    }
}

#[test]
fn without_a_debug_key_nothing_of_the_application_is_kept() {
    let (fleet, mut device) = crashing(&[]);
    let before = dumps(&device);
    fleet.commit_crime(&mut device, CRIME_WITH_A_HISTORY, FaultKind::SecureAccess).unwrap();
    let refused = fleet.tool.refused(&["crash", "take", &device.id]).unwrap();
    assert_eq!(refused.code, DEVICE_DECLINED, "{}", refused.text);
    fleet
        .wait(&device, "the application to be up again", Duration::from_secs(30), |seen| {
            seen.reported
                .as_ref()
                .is_some_and(|r| r.application == bulkhead_cloud_api::ApplicationState::Running)
        })
        .unwrap();
    assert_eq!(newest(&fleet, &device).unwrap(), 0);
    assert!(dumps(&device) == before, "the flash for dumps was written to");
}

#[test]
fn a_dump_can_be_taken_of_an_application_that_goes_on() {
    let (fleet, device) = debuggable(&["--crash-memory", "none"]);
    fleet.tool.run(&["crash", "take", &device.id]).unwrap();
    let crash = wait_crash(&fleet, &device, 0).unwrap();
    assert_eq!(crash.fault, None);
    let elf = fleet.programs.app("hostile-c").unwrap().to_string_lossy().into_owned();
    let document = fleet.tool.json(&["crash", "show", &crash.id.to_string(), "--elf", &elf]).unwrap();
    assert_eq!(document["memory"].as_array().unwrap().len(), 0, "registers alone");
    assert!(document["registers"]["core"].is_array());
    let seen = fleet.look(&device).unwrap();
    assert_eq!(seen.reported.unwrap().fault, None, "it was not stopped");
    let typed = device.application_console().len();
    device.type_to_application('D').unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !device.application_console()[typed..].contains("refused") {
        assert!(Instant::now() < deadline, "the application does not answer any more");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The part of external flash in which the device keeps dumps.
fn dumps(device: &Device) -> Vec<u8> {
    let memory = std::fs::read(&device.memory).unwrap();
    memory[usize::try_from(DUMPS_AT).unwrap()..][..1 << 20].to_vec()
}

/// Waits until the first slot holds a header and three blocks.
fn wait_for_capture(device: &Device) {
    use std::os::unix::fs::FileExt as _;
    let memory = std::fs::File::open(&device.memory).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let (mut magic, mut third) = ([0; 4], [0xFF; 16]);
    while magic != *b"BCH1" || third == [0xFF; 16] {
        assert!(Instant::now() < deadline, "no dump is written: {}", device.console_tail());
        memory.read_exact_at(&mut magic, DUMPS_AT).unwrap();
        memory.read_exact_at(&mut third, DUMPS_AT + 3 * 1024).unwrap();
    }
}

#[test]
fn power_that_fails_during_a_capture_leaves_what_was_captured() {
    let (fleet, mut device) = debuggable(&["--crash-memory", "all"]);
    device.type_to_application(CRIME_WITH_A_HISTORY).unwrap();
    wait_for_capture(&device);
    device.cut_power();
    fleet.power_on(&mut device).unwrap();
    let crash = wait_crash(&fleet, &device, 0).unwrap();
    let elf = fleet.programs.app("hostile-c").unwrap().to_string_lossy().into_owned();
    let document = fleet.tool.json(&["crash", "show", &crash.id.to_string(), "--elf", &elf]).unwrap();
    println!("complete: {}, {} bytes", document["complete"], crash.size_bytes);
    let functions: Vec<_> = document["backtrace"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|frame| frame["function"].as_str())
        .collect();
    assert!(functions.starts_with(&["weigh", "post"]), "{functions:?}");
}

#[test]
fn an_upload_goes_on_where_the_link_or_the_power_broke() {
    let mut meter = None;
    let (fleet, mut device) = debuggable_behind(&["--crash-memory", "all"], |fleet| {
        let relay = Meter::start(fleet.server.devices).unwrap();
        let device = fleet.new_device_behind("crashing", relay.address()).unwrap();
        meter = Some(relay);
        device
    });
    let meter = meter.unwrap();
    // Within the dump of some seventeen blocks, however much else is said.
    meter.cut_after(9_000);
    device.type_to_application(CRIME_WITH_A_HISTORY).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while meter.cut_is_due() {
        assert!(Instant::now() < deadline, "the link was not cut: {}", device.console_tail());
        std::thread::sleep(Duration::from_millis(5));
    }
    device.cut_power();
    fleet.power_on(&mut device).unwrap();
    let crash = wait_crash(&fleet, &device, 0).unwrap();
    let document = fleet.tool.json(&["crash", "show", &crash.id.to_string()]).unwrap();
    assert_eq!(document["complete"], true);
    // The device forgets it, and offers it to nobody again.
    device.cut_power();
    fleet.power_on(&mut device).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(fleet.api.crashes(Some(&device.id), 10).unwrap().len(), 1);
}
