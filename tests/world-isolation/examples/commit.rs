//! Commits the crimes named by letters and shows the transcript: `... --example commit -- abD`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use anyhow::{Context, Result};
use bulkhead_world_isolation::{Crime, Scene, shown};

fn main() -> Result<()> {
    let letters = std::env::args().nth(1).context("usage: commit LETTERS, as in apps/hostile-c")?;
    let mut scene = Scene::install("hostile-c", "hostile ready")?;
    for letter in letters.chars() {
        let crime = Crime::ALL.iter().flat_map(|group| group.iter()).find(|crime| crime.letter == letter);
        let verdict = scene.commit(crime.with_context(|| format!("no crime `{letter}`"))?);
        print!("{}", shown(scene.events()));
        match verdict {
            Ok(()) => println!("{letter}: contained"),
            Err(error) => println!("{letter}: {error:#}"),
        }
    }
    Ok(())
}
