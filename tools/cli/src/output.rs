//! Where every word is printed: data on standard output, all else on standard error.

use std::io::{self, IsTerminal as _, Write as _};

use bulkhead_cloud_api::Timestamp;
use serde::Serialize;

use crate::failure::Failure;

/// What a word means, for those who can see colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Quiet,
}

/// How to print.
pub(crate) struct Output {
    pub(crate) json: bool,
    colours: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, colours: wanted && !json && io::stdout().is_terminal() }
    }

    /// One word in a tone.
    pub(crate) fn toned(&self, tone: Tone, word: &str) -> String {
        let colour = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Quiet => "2",
        };
        if self.colours { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() }
    }

    /// A document of data: JSON if asked for, else the lines that `lines` makes.
    pub(crate) fn data(&self, document: &impl Serialize, lines: impl FnOnce() -> Vec<String>) {
        if self.json {
            self.json_line(document, true);
        } else {
            for line in lines() {
                self.line(&line);
            }
        }
    }

    /// One item of something that goes on: a line of JSON if asked for, else the line that `line` makes.
    pub(crate) fn item(&self, item: &impl Serialize, line: impl FnOnce() -> String) {
        if self.json {
            self.json_line(item, false);
        } else {
            self.line(&line());
        }
    }

    fn json_line(&self, document: &impl Serialize, pretty: bool) {
        let text =
            if pretty { serde_json::to_string_pretty(document) } else { serde_json::to_string(document) };
        self.line(&text.unwrap_or_default());
    }

    /// One line of data. A closed pipe ends the program quietly, as `head` expects.
    pub(crate) fn line(&self, line: &str) {
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// Something worth knowing that is not the data asked for.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// That something without an end has begun. As JSON it is an object with `event`, apart from the data as well.
    pub(crate) fn began(&self, event: &str, text: &str) {
        if self.json {
            self.note(&serde_json::json!({ "event": event }).to_string());
        } else {
            self.note(&format!("{text}; Ctrl-C ends it"));
        }
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        let mut err = io::stderr().lock();
        let _ = if self.json {
            writeln!(err, "{}", serde_json::to_string(&failure.json()).unwrap_or_default())
        } else {
            writeln!(err, "error: {}\nnext: {}", failure.what, failure.next_step)
        };
    }
}

/// Rows in columns as wide as need be, two blanks apart. Escape sequences take no room.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |cell: &str| {
        let mut escaped = false;
        cell.chars()
            .filter(|c| {
                let visible = !escaped && *c != '\x1b';
                escaped = *c == '\x1b' || (escaped && *c != 'm');
                visible
            })
            .count()
    };
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| all.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    let line = |row: &&Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide.saturating_sub(width(cell)))));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// A time that somebody laid down, in the largest unit that keeps it exact.
pub(crate) fn duration(seconds: u32) -> String {
    match seconds {
        1.. if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        1.. if seconds.is_multiple_of(60) && seconds >= 120 => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// How long ago something was, in one unit.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now.0 - at.0).max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Text that came from a device or another person, made harmless for a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_colours() {
        let rows = vec![vec!["\x1b[32myes\x1b[0m".to_owned(), "x".to_owned()], vec!["no".into(), "y".into()]];
        let lines = table(&["ONLINE", "NAME"], &rows);
        assert_eq!(lines, ["ONLINE  NAME", "\x1b[32myes\x1b[0m     x", "no      y"]);
    }

    #[test]
    fn log_of_a_hostile_device_cannot_move_the_cursor() {
        assert_eq!(harmless("a\x1b[2Jb\r\n"), "a\u{FFFD}[2Jb\u{FFFD}\u{FFFD}");
    }
}
