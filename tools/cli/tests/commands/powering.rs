//! The power switch of virtual devices.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::TestServer;
use crate::tool::Tool;

/// The head of an ELF file for Arm that starts in the hypervisor's code.
const IMAGE_HEAD: &[u8; 28] = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0\x01\0\0\0\x35\x02\0\x10";
const SIGTERM: i32 = 15;

#[test]
fn an_image_that_is_none_is_not_run() {
    let server = TestServer::start();
    let tool = Tool::logged_in(&server);
    tool.run(&["key", "generate"]).ok();
    tool.run(&["device", "new", "pump"]).ok();
    let text = tool.path("text");
    std::fs::write(&text, "hello").expect("writes");
    let refused = tool.run(&["device", "run", "pump", "--image", &text]);
    assert_eq!(refused.code, 9, "{refused:?}");
    assert!(refused.err.contains("is no hypervisor image"), "{}", refused.err);
}

#[test]
fn a_device_does_not_outlive_the_tool_that_was_told_to_end() {
    let server = TestServer::start();
    let tool = Tool::logged_in(&server);
    tool.run(&["key", "generate"]).ok();
    tool.run(&["device", "new", "pump"]).ok();
    let (image, machine) = (tool.path("image"), tool.path("machine"));
    std::fs::write(&image, IMAGE_HEAD).expect("writes");
    std::fs::write(&machine, "#!/bin/sh\nexec sleep 60\n").expect("writes");
    std::fs::set_permissions(&machine, std::fs::Permissions::from_mode(0o700)).expect("executable");
    let mut running = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .args(["device", "run", "pump", "--image", &image])
        .env("BULKHEAD_HOME", &tool.home)
        .env("BULKHEAD_QEMU", &machine)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    BufReader::new(running.stderr.take().expect("piped")).read_line(&mut line).expect("reads");
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    let process = Path::new("/proc").join(digits);
    assert!(process.exists(), "{line}");
    Command::new("kill").arg(running.id().to_string()).status().expect("kill");
    let ended = running.wait().expect("ends");
    assert_eq!(ended.signal(), Some(SIGTERM), "{ended}");
    let until = Instant::now() + Duration::from_secs(5);
    while process.exists() {
        assert!(Instant::now() < until, "QEMU goes on without the tool");
        std::thread::sleep(Duration::from_millis(20));
    }
}
