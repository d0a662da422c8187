//! Waiting for conditions instead of for time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(50);

/// Asks `condition` until it answers, and returns the answer.
///
/// # Errors
/// The time is up; the text says what was awaited and what was seen last. Errors of `condition` end the wait.
pub fn until<T>(what: &str, at_most: Duration, mut condition: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let deadline = Instant::now() + at_most;
    loop {
        let last = match condition()? {
            Seen::Answer(answer) => return Ok(answer),
            Seen::NotYet(text) => text,
        };
        if Instant::now() >= deadline {
            bail!("waited {} s for {what}; last seen: {last}", at_most.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

/// What one look at a condition found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen<T> {
    /// It holds.
    Answer(T),
    /// It does not hold; the text says what is there instead.
    NotYet(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_says_what_it_saw() {
        let mut looks = 0;
        let result: Result<()> = until("the moon", Duration::from_millis(120), || {
            looks += 1;
            Ok(Seen::NotYet(format!("look {looks}")))
        });
        let text = result.unwrap_err().to_string();
        assert!(text.contains("the moon") && text.contains("look ") && looks > 1, "{text}");
    }

    #[test]
    fn an_answer_ends_the_wait() {
        assert_eq!(until("x", Duration::from_secs(5), || Ok(Seen::Answer(7))).unwrap(), 7);
    }
}
