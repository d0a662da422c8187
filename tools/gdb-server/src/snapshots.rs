//! `monitor snapshot`: registers and stack at a place in the code, of an application that does not stop for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bulkhead_debug_protocol::Stopped;

use crate::breakpoints::Expressions;
use crate::session::Session;

/// Pictures that are taken at a place, if nobody says.
const PICTURES: u32 = 1;
/// Words of the stack that are shown.
const STACK_WORDS: usize = 16;
const USAGE: &str = "\
say where, and how often if not once: `monitor snapshot ADDRESS [COUNT]`, or `monitor snapshot off`; of a function the address
is had by `eval \"monitor snapshot %#x\", &FUNCTION`
";

impl Session {
    /// Sets, clears or lists places of pictures; the device hears of it when the application goes on.
    pub(crate) fn snapshot_words(&mut self, words: &[&str]) -> String {
        let (place, count) = match words {
            [] => return self.snapshot_list(),
            ["off"] => {
                self.breakpoints.clear_pictures();
                return self.snapshot_list();
            }
            [place] => (address(place), Some(PICTURES)),
            [place, count] => (address(place), count.parse().ok().filter(|count| *count > 0)),
            _ => (None, None),
        };
        let (Some(place), Some(count)) = (place, count) else { return USAGE.into() };
        let place = place & !1;
        if self.memory.region(place, 2).is_none() {
            return format!("{place:#x} is none of the application's memory\n");
        }
        if self.breakpoints.has(place) {
            return format!("there is a breakpoint at {place:#x}; delete it first\n");
        }
        if self.breakpoints.count() >= self.probes_max {
            return format!("there are {} breakpoints, which is all that the device has\n", self.probes_max);
        }
        self.breakpoints.set(place, Expressions { pictures: count, ..Expressions::default() });
        self.snapshot_list()
    }

    fn snapshot_list(&self) -> String {
        let places: BTreeMap<u32, u32> = self.breakpoints.pictures().collect();
        if places.is_empty() {
            return "no snapshots are taken\n".into();
        }
        let words = places.iter().map(|(place, count)| format!("snapshots at {place:#x}, at most {count}\n"));
        words.collect()
    }
}

/// An address as a person or GDB's `eval` writes it.
fn address(text: &str) -> Option<u32> {
    let text = text.trim_start_matches('*');
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A picture for a person.
pub(crate) fn picture_words(picture: &Stopped<'_>) -> String {
    const NAMES: [&str; 17] = [
        "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc",
        "xpsr",
    ];
    let [.., sp, _, pc, _] = picture.core.0;
    let mut out = format!("[snapshot at {pc:#x}, {} us after the start]\n", picture.time_us);
    for (named, end) in NAMES.iter().zip(picture.core.0).zip([" ", " ", " ", "\n"].into_iter().cycle()) {
        let (name, value) = named;
        let _ = write!(out, "  {name:<4} {value:#010x}{end}");
    }
    out.push('\n');
    let skip = usize::try_from(sp.wrapping_sub(picture.stack_address)).unwrap_or(usize::MAX);
    let stack = picture.stack.get(skip..).unwrap_or_default();
    for (row, words) in (0_u32..).zip(stack.as_chunks::<4>().0.chunks(4).take(STACK_WORDS / 4)) {
        let _ = write!(out, "  {:#010x}:", sp.wrapping_add(16 * row));
        for word in words {
            let _ = write!(out, " {:#010x}", u32::from_le_bytes(*word));
        }
        out.push('\n');
    }
    out
}
