//! `cargo xtask test`: everything that must hold before a change goes in, cheap to dear.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::toolchain::Toolchain;
use crate::workspace::Workspace;
use crate::{apps, image, process, requirements, tidy};

/// The board whose image the emulated tests run.
const BOARD: &str = "mps2-an505";

/// Suites with a step of their own: they are slow, or need images and QEMU.
const OWN_STEP: &[&str] = &[
    "bulkhead-power-cut",
    "bulkhead-update-model",
    "bulkhead-world-isolation",
    "bulkhead-end-to-end",
    "bulkhead-step-oracle",
];

/// Tests counted over all steps.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// Runs every step; stops at the first that fails.
///
/// # Errors
/// The step that failed, by name.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let started = Instant::now();
    let mut tally = Tally::default();
    step("set-up", || requirements::setup(workspace))?;
    // Taken after set-up, before anything is built: a build or test that rewrites the tree shows at the end.
    let before = tree(workspace);
    step("format", || process::run(process::cargo(workspace.root()).args(["fmt", "--all", "--check"])))?;
    step("tidy", || tidy::run(workspace))?;
    step("clippy, host", || clippy_host(workspace))?;
    step("clippy, chip", || clippy_chip(workspace))?;
    step("unit and integration tests", || unit_tests(workspace, &mut tally))?;
    step("power cuts", || {
        suite(workspace, "bulkhead-power-cut", &mut tally)?;
        suite(workspace, "bulkhead-update-model", &mut tally)
    })?;
    step("image and applications", || {
        image::build(workspace, BOARD)?;
        apps::build_all(workspace).map(|_| ())
    })?;
    step("server and tool", || product(workspace))?;
    step("isolation of the worlds, in QEMU", || suite(workspace, "bulkhead-world-isolation", &mut tally))?;
    step("end to end, in QEMU", || suite(workspace, "bulkhead-end-to-end", &mut tally))?;
    step("step oracle, in QEMU", || suite(workspace, "bulkhead-step-oracle", &mut tally))?;
    step("generated files unchanged", || {
        if tree(workspace) != before {
            bail!(
                "the run changed files of the tree: `git status` shows which; commit them or mend the generator"
            );
        }
        println!("nothing in the tree changed");
        Ok(())
    })?;
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    println!("test: ok ({:.0} s)", started.elapsed().as_secs_f32());
    Ok(())
}

/// Builds the programs that the emulated tests, the demo and the soak start.
///
/// # Errors
/// The build failed.
pub(crate) fn product(workspace: &Workspace) -> Result<()> {
    let mut command = process::cargo(workspace.root());
    command.args(["build", "--locked", "--package", "bulkhead-cloud-server", "--package", "bulkhead-cli"]);
    process::run(&mut command)
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let started = Instant::now();
    work().with_context(|| format!("test failed in step `{name}`"))?;
    println!("== {name}: ok ({:.1} s)", started.elapsed().as_secs_f32());
    Ok(())
}

fn clippy_host(workspace: &Workspace) -> Result<()> {
    // Without a package named: the default members, which are all but the board images.
    let mut command = process::cargo(workspace.root());
    command.args(["clippy", "--locked", "--all-targets", "--keep-going", "--quiet", "--", "-D", "warnings"]);
    process::run(&mut command)
}

fn clippy_chip(workspace: &Workspace) -> Result<()> {
    let toolchain = Toolchain::choose()?;
    let mut command = toolchain.image_cargo(workspace, "clippy")?;
    command.args(["--locked", "--keep-going", "--quiet", "--package", &format!("bulkhead-board-{BOARD}")]);
    command.arg("--target-dir").arg(workspace.target().join("firmware-build").join(toolchain.name()));
    command.args(["--", "-D", "warnings"]);
    process::run(&mut command)?;
    apps::clippy(workspace, &toolchain)
}

fn unit_tests(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let mut command = process::cargo(workspace.root());
    command.args(["test", "--locked", "--workspace", "--exclude", &format!("bulkhead-board-{BOARD}")]);
    command.args(["--exclude", apps::RUST_SDK]);
    for package in OWN_STEP.iter().copied().map(str::to_owned).chain(apps::crates(workspace)?) {
        command.args(["--exclude", &package]);
    }
    counted(&mut command, tally)?;
    // Without the features that only an application has a use for.
    let mut command = process::cargo(workspace.root());
    command.args(["test", "--locked", "--package", apps::RUST_SDK, "--features", "async,nal"]);
    counted(&mut command, tally)
}

/// The tests of one package.
fn suite(workspace: &Workspace, package: &str, tally: &mut Tally) -> Result<()> {
    let mut command = process::cargo(workspace.root());
    command.args(["test", "--locked", "--package", package]);
    counted(&mut command, tally)
}

/// Runs a test command, passing its lines on and adding up its results.
fn counted(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {}", process::shown(command)))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("failed to read the output of the tests")?;
            println!("{line}");
            add(tally, &line);
        }
    }
    let status = child.wait().context("failed to wait for the tests")?;
    if !status.success() {
        println!("\n{} passed, {} failed", tally.passed, tally.failed);
        bail!("{} ended with {status}", process::shown(command));
    }
    Ok(())
}

/// Reads cargo's `test result: ok. 10 passed; 0 failed; ...`.
fn add(tally: &mut Tally, line: &str) {
    let Some(rest) = line.strip_prefix("test result: ") else { return };
    let words: Vec<&str> = rest.split_whitespace().collect();
    for pair in words.windows(2) {
        if let [number, word] = pair
            && let Ok(number) = number.parse::<u64>()
        {
            match *word {
                "passed;" => tally.passed += number,
                "failed;" => tally.failed += number,
                _ => {}
            }
        }
    }
}

/// The state of the tree: what differs from the last commit, and how. Empty without git.
fn tree(workspace: &Workspace) -> String {
    let git = |arguments: &[&str]| {
        process::output(Command::new("git").current_dir(workspace.root()).args(arguments)).unwrap_or_default()
    };
    git(&["status", "--porcelain"]) + &git(&["diff", "HEAD"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_suites_are_added_up() {
        let mut tally = Tally::default();
        add(&mut tally, "test result: ok. 10 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        add(&mut tally, "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        add(&mut tally, "test some::test ... ok");
        assert_eq!(tally, Tally { passed: 13, failed: 2 });
    }
}
