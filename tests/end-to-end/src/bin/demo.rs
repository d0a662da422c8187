//! `cargo xtask demo`: the whole loop, each claim checked as it is told.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::process::ExitCode;
use std::time::Duration;

use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::scenes;
use bulkhead_end_to_end::story::Story;

fn main() -> ExitCode {
    let once = std::env::args().any(|argument| argument == "--once");
    let mut story = Story::default();
    match scenes::play(&mut story) {
        Ok((fleet, device)) => {
            println!("\n{} claims held.", story.claims());
            println!("demo: ok");
            if !once {
                stay(&fleet, device);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("\n{error:#}");
            println!("demo: failed");
            ExitCode::FAILURE
        }
    }
}

/// Keeps everything up until QEMU or the person ends it.
fn stay(fleet: &Fleet, mut device: Device) {
    let id = &device.id;
    let home = fleet.tool.home().display();
    println!("\nEverything stays up; Ctrl-C ends it. In another terminal, in this folder:\n");
    println!("  export BULKHEAD_HOME={home} PATH=\"{}:$PATH\"", tool_folder(fleet));
    println!("  bulkhead device show demo                      what the server knows of {id}");
    println!("  bulkhead logs -f demo                          its log, live");
    println!("  bulkhead app bundle target/apps/hello-c-v1.elf --name hello --version 3 -o hello-3.bundle");
    println!("  bulkhead deploy -d demo ./hello-3.bundle       sign and deploy version 1 as a new release");
    println!(
        "  bulkhead debug demo --elf target/apps/hello-c-v2.elf --gdb   GDB at the device, through the server"
    );
    println!("  bulkhead crash ls demo                         what crashed, and how to open it in GDB");
    println!("  bulkhead device restart demo --hypervisor      all of the device");
    println!("  curl -s {}/api/v1/info", fleet.server.url);
    println!("\nserver   {}", fleet.server.url);
    println!("device   {}, console in {}", device.memory.display(), device.console.display());
    while device.still_runs().is_ok() {
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("the device ended");
}

fn tool_folder(fleet: &Fleet) -> String {
    fleet.programs.tool.parent().map(|folder| folder.display().to_string()).unwrap_or_default()
}
