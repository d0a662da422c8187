//! Tells what is being shown, and checks it.

use std::time::Instant;

use anyhow::{Context, Result};

/// Prints claims as they are checked.
#[derive(Debug)]
pub struct Story {
    started: Instant,
    claims: u32,
}

impl Default for Story {
    fn default() -> Self {
        Self { started: Instant::now(), claims: 0 }
    }
}

impl Story {
    /// A heading: what happens next.
    #[expect(clippy::print_stdout, reason = "the demo's result is what it tells")]
    pub fn scene(&self, text: &str) {
        println!("\n{text}");
    }

    /// Something worth knowing which is no claim.
    #[expect(clippy::print_stdout, reason = "the demo's result is what it tells")]
    pub fn note(&self, text: &str) {
        println!("       {text}");
    }

    /// Checks a claim, and prints it with the time since the start.
    ///
    /// # Errors
    /// That of `check`, under the claim's name.
    #[expect(clippy::print_stdout, reason = "the demo's result is what it tells")]
    pub fn claim<T>(&mut self, text: &str, check: impl FnOnce() -> Result<T>) -> Result<T> {
        let value = check().with_context(|| format!("claim failed: {text}"))?;
        self.claims += 1;
        println!("  ok   {text} [{:.1} s]", self.started.elapsed().as_secs_f32());
        Ok(value)
    }

    /// Claims that held so far.
    pub fn claims(&self) -> u32 {
        self.claims
    }
}
