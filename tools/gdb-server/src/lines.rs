//! Which addresses belong to one line of the source.
//!
//! Compilers give a line with a call several entries in the line table, and GDB steps through one after the other. For the
//! device all that lie side by side are one range, so that a `step` or `next` inside a line costs one round trip.

use gimli::{Dwarf, EndianSlice, LittleEndian};

/// Addresses of one line, without a gap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Run {
    low: u32,
    high: u32,
}

/// What is known of lines that consist of several entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// In order of addresses.
    runs: Vec<Run>,
}

type Bytes<'b> = EndianSlice<'b, LittleEndian>;

/// An entry of a line table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u32,
    /// File and line; `None` behind the last entry of a sequence.
    place: Option<(u64, u64)>,
    /// A debugger may stop here. GDB goes on stepping where it may not.
    is_statement: bool,
}

impl Lines {
    /// Reads the line tables of a program whose sections `section` finds, and whose functions begin at `functions`, in order.
    /// What cannot be read is left out.
    pub(crate) fn read<'b>(section: impl Fn(&str) -> &'b [u8], functions: &[u32]) -> Self {
        let found =
            |id: gimli::SectionId| Ok::<_, gimli::Error>(Bytes::new(section(id.name()), LittleEndian));
        let Ok(dwarf) = Dwarf::load(found) else { return Self::default() };
        let mut runs = Vec::new();
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = dwarf.unit(header) else { continue };
            let Some(program) = unit.line_program.clone() else { continue };
            let mut rows = program.rows();
            let mut entries = Vec::new();
            while let Ok(Some((_, row))) = rows.next_row() {
                let Ok(address) = u32::try_from(row.address()) else { break };
                let line = row.line().map_or(0, std::num::NonZero::get);
                let place = (!row.end_sequence()).then_some((row.file_index(), line));
                add(&mut entries, Entry { address, place, is_statement: row.is_stmt() });
                if row.end_sequence() {
                    gather(&entries, functions, &mut runs);
                    entries.clear();
                }
            }
        }
        runs.sort_by_key(|run| run.low);
        Self { runs }
    }

    /// All of the line that a range is a part of; the range itself, where it is none.
    pub(crate) fn around(&self, low: u32, high: u32) -> (u32, u32) {
        let behind = self.runs.partition_point(|run| run.low <= low);
        let run = behind.checked_sub(1).and_then(|at| self.runs.get(at));
        run.filter(|run| high <= run.high && low < high).map_or((low, high), |run| (run.low, run.high))
    }
}

/// Adds an entry. Of several at one address GDB means the last that is a statement.
fn add(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.last_mut().filter(|last| last.address == entry.address && last.place.is_some()) {
        Some(last) if entry.place.is_some() && last.is_statement && !entry.is_statement => {}
        Some(last) => *last = entry,
        None => entries.push(entry),
    }
}

/// Adds the lines of one sequence that have more than one entry. The entry that a function begins with stays alone: a call of
/// the function has to leave the line that it stands in.
fn gather(entries: &[Entry], functions: &[u32], runs: &mut Vec<Run>) {
    let mut open: Option<(Run, (u64, u64), usize)> = None;
    for pair in entries.windows(2) {
        let [entry, next] = pair else { continue };
        let Some(place) = entry.place else { continue };
        let piece = Run { low: entry.address, high: next.address };
        let begins_function = functions.binary_search(&piece.low).is_ok();
        let goes_on = |its| (its == place || !entry.is_statement) && !begins_function;
        open = match open {
            Some((run, its, n)) if goes_on(its) => Some((Run { low: run.low, high: piece.high }, its, n + 1)),
            before => {
                close(before, runs);
                (!begins_function).then_some((piece, place, 1))
            }
        };
    }
    close(open, runs);
}

fn close(open: Option<(Run, (u64, u64), usize)>, runs: &mut Vec<Run>) {
    if let Some((run, _, 2..)) = open {
        runs.push(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A negative line is no statement, line 0 the end.
    fn lines(of: &[(u32, i64)], functions: &[u32]) -> Lines {
        let mut entries = Vec::new();
        for (address, line) in of {
            let place = (*line != 0).then_some((1, line.unsigned_abs()));
            add(&mut entries, Entry { address: *address, place, is_statement: *line > 0 });
        }
        let mut runs = Vec::new();
        gather(&entries, functions, &mut runs);
        Lines { runs }
    }

    #[test]
    fn entries_of_one_line_side_by_side_are_one_range_and_others_are_not() {
        let of =
            [(0x100, 7), (0x104, 8), (0x110, 8), (0x110, 8), (0x114, 8), (0x118, 9), (0x11A, 8), (0x120, 0)];
        let lines = lines(&of, &[0x100]);
        for part in [(0x104, 0x110), (0x110, 0x114), (0x114, 0x118), (0x106, 0x110)] {
            assert_eq!(lines.around(part.0, part.1), (0x104, 0x118));
        }
        for alone in [(0x100, 0x104), (0x118, 0x11A), (0x11A, 0x120), (0x100, 0x118), (0x200, 0x204), (0, 0)]
        {
            assert_eq!(lines.around(alone.0, alone.1), alone);
        }
    }

    #[test]
    fn where_gdb_would_not_stop_the_line_goes_on() {
        let of = [
            (0x100, 73),
            (0x100, -73),
            (0x104, -74),
            (0x106, -73),
            (0x108, 74),
            (0x108, -75),
            (0x10C, 75),
            (0x110, 0),
        ];
        let lines = lines(&of, &[]);
        assert_eq!(lines.around(0x100, 0x104), (0x100, 0x108));
        assert_eq!(lines.around(0x104, 0x106), (0x100, 0x108));
        assert_eq!(lines.around(0x108, 0x10C), (0x108, 0x10C));
    }

    #[test]
    fn a_function_on_one_line_is_left_by_a_call_of_itself() {
        let lines =
            lines(&[(0x100, 7), (0x104, 7), (0x108, 7), (0x10C, 7), (0x110, 7), (0x114, 0)], &[0x100, 0x10C]);
        assert_eq!(lines.around(0x104, 0x108), (0x104, 0x10C));
        assert_eq!(lines.around(0x100, 0x104), (0x100, 0x104));
        assert_eq!(lines.around(0x110, 0x114), (0x110, 0x114));
    }

    #[test]
    fn what_is_no_line_table_gives_no_lines() {
        assert_eq!(Lines::read(|_| b"nonsense of some length, more or less", &[]).around(1, 2), (1, 2));
    }
}
