//! Types letters to an application, each after a fresh start, and shows what came of it.
//!
//! `cargo run -p bulkhead-world-isolation --example commit -- hostile-c abD`. For trying new crimes; nothing is judged.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::time::Duration;

use anyhow::{Context, Result};
use bulkhead_world_isolation::{Scene, shown};

/// How long each crime is watched.
const WATCHED: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: commit APPLICATION LETTERS, as in apps/hostile-c";
    let (app, letters) = (arguments.next().context(usage)?, arguments.next().context(usage)?);
    let mut scene = Scene::install(&app, "hostile ready")?;
    for letter in letters.chars() {
        println!("-- {letter}");
        scene.restart()?;
        let from = scene.events().len();
        scene.type_to_application(letter)?;
        let watched = scene.wait(WATCHED, |_| false, from);
        print!("{}", shown(scene.events().get(from..).unwrap_or_default()));
        watched?;
    }
    Ok(())
}
