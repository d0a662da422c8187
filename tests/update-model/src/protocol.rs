//! One power session of the protocol, with every choice left to whoever asks.

use std::fmt;

use crate::flash::{Cell, Flash, JOURNAL, Mark, PAGES, Page, Record, State, Version};

/// Boots that a trial survives without anybody's word.
const BOOTS_MAX: u8 = 2;

/// Which of the rules R1 to R8 of `docs/spec/update.md` are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules([bool; 8]);

impl Rules {
    /// All of them.
    pub const SOUND: Self = Self([true; 8]);

    /// All but rule `n`, 1 to 8.
    pub fn without(n: usize) -> Self {
        Self(std::array::from_fn(|rule| rule + 1 != n))
    }

    /// Without this one as well.
    pub fn and_without(self, n: usize) -> Self {
        Self(std::array::from_fn(|rule| self.0[rule] && rule + 1 != n))
    }

    fn keeps(self, n: usize) -> bool {
        self.0[n - 1]
    }
}

/// What must never happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// An application was started of which a page is torn, missing or another version's.
    UnsafeStart,
    /// An apply that was begun was given up although nothing was lost.
    GaveUp,
    /// Power held, nothing was lost, and there is no application.
    NoApplication,
    /// A unit of the journal was programmed twice between erases.
    ProgrammedTwice,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnsafeStart => "an unsafe start",
            Self::GaveUp => "an apply that was begun is given up",
            Self::NoApplication => "no application although nothing was lost",
            Self::ProgrammedTwice => "a unit programmed twice",
        })
    }
}

/// Choices made so far: which, of how many.
pub(crate) type Script = Vec<(usize, usize)>;

/// A session that runs until power holds to its end; what a cut at any operation leaves is handed out on the way.
pub(crate) struct Session<'k> {
    rules: Rules,
    /// The cells as they are.
    flash: Flash,
    /// The cells as they read at this boot.
    view: Flash,
    script: Script,
    made: usize,
    /// Cuts before this choice were handed out by an earlier run of the same script.
    fresh: usize,
    keep: &'k mut dyn FnMut(Flash),
    /// The page of the newest complete record, and what is believed.
    newest: Option<usize>,
    firm: Option<usize>,
    record: Record,
    session_max: u8,
    blank: [bool; JOURNAL],
    ours: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Direction {
    Redo,
    Undo,
}

const NOTHING: Record =
    Record { session: 0, state: State::Committed, to: 0, from: 0, mark: Mark { first: 0, second: 0 } };

impl<'k> Session<'k> {
    pub(crate) fn new(
        rules: Rules,
        flash: Flash,
        view: Flash,
        script: Script,
        fresh: usize,
        keep: &'k mut dyn FnMut(Flash),
    ) -> Self {
        Self {
            rules,
            flash,
            view,
            script,
            made: 0,
            fresh,
            keep,
            newest: None,
            firm: None,
            record: NOTHING,
            session_max: 0,
            blank: [false; JOURNAL],
            ours: false,
        }
    }

    pub(crate) fn into_script(self) -> Script {
        self.script
    }

    /// One of `of` turns of events.
    fn choose(&mut self, of: usize) -> usize {
        if self.made == self.script.len() {
            self.script.push((0, of));
        }
        self.made += 1;
        self.script[self.made - 1].0
    }

    /// Boots, and carries on until nothing is left to do.
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        self.read_journal();
        if self.newest.is_none() {
            return Err(Fault::NoApplication);
        }
        let Record { state, to, mark, .. } = self.record;
        match state {
            State::Committed => self.start(to)?,
            State::Trial => {
                if mark.first + 1 > BOOTS_MAX {
                    return self.take_back();
                }
                self.write(Record { mark: Mark { first: mark.first + 1, second: 0 }, ..self.record });
                return self.trial();
            }
            State::Apply => return self.resume(Direction::Redo),
            State::Revert => return self.resume(Direction::Undo),
        }
        if self.flash.rotten {
            return Ok(());
        }
        // The server is silent, or offers one of the other two.
        match self.choose(3) {
            0 => Ok(()),
            n => self.update(others(to)[n - 1]),
        }
    }

    fn read_journal(&mut self) {
        let mut firmest = 0;
        for n in 0..JOURNAL {
            let page = self.view.journal[n];
            for copy in [page.first, page.second].into_iter().filter_map(Cell::read) {
                self.session_max = self.session_max.max(copy.session);
            }
            let Some(record) = page.complete() else { continue };
            if page.is_firm() && record.session > firmest {
                (self.firm, firmest) = (Some(n), record.session);
            }
            // R5.
            let key = |r: &Record| match self.rules.keeps(5) {
                true => (r.session, r.state.rank(), u8::MAX - r.mark.first),
                false => (r.session, 9 - r.state.rank(), r.mark.first),
            };
            if self.newest.is_none() || key(&record) > key(&self.record) {
                (self.newest, self.record) = (Some(n), record);
            }
        }
        let mark = self.newest.and_then(|page| self.view.journal[page].mark.read());
        if let Some((_, mark)) = mark.filter(|(session, _)| *session == self.record.session) {
            self.record.mark = mark;
        }
    }

    // Operations. What a cut inside and after each would leave is handed out.

    fn cut(&mut self, change: impl Fn(&mut Flash)) {
        if self.made >= self.fresh {
            let mut left = self.flash;
            change(&mut left);
            (self.keep)(left);
        }
    }

    fn operate(&mut self, inside: impl Fn(&mut Flash), after: impl Fn(&mut Flash)) {
        self.cut(inside);
        after(&mut self.flash);
        after(&mut self.view);
        self.cut(|_| ());
    }

    fn erase_journal(&mut self, page: usize) {
        if !self.blank[page] {
            self.operate(
                |flash| flash.journal[page] = flash.journal[page].half_erased(),
                |flash| flash.journal[page] = Page::ERASED,
            );
            self.blank[page] = true;
        }
    }

    /// R1, R3, R4.
    fn write(&mut self, record: Record) {
        let record = Record { session: self.session_max + 1, ..record };
        let before = self.newest.unwrap_or(JOURNAL - 1);
        let next = (1..JOURNAL).map(|n| (before + n) % JOURNAL).find(|page| Some(*page) != self.firm);
        let page = next.filter(|_| self.rules.keeps(3)).unwrap_or(before);
        self.erase_journal(page);
        self.blank[page] = false;
        self.operate(
            |flash| flash.journal[page].first = Cell::Torn(record),
            |flash| flash.journal[page].first = Cell::Holds(record),
        );
        // Torn in its first unit, or further on.
        self.cut(|flash| flash.journal[page].second = Cell::Begun);
        self.operate(
            |flash| flash.journal[page].second = Cell::Garbage,
            |flash| flash.journal[page].second = Cell::Holds(record),
        );
        (self.session_max, self.newest, self.record, self.ours) = (record.session, Some(page), record, true);
        self.firm = self.newest;
        for other in (0..JOURNAL).filter(|other| *other != before && *other != page) {
            if self.rules.keeps(4) {
                self.erase_journal(other);
            }
        }
    }

    /// R8, and R2: only this session's page takes a mark.
    fn mark(&mut self, mark: Mark) -> Result<(), Fault> {
        if !self.rules.keeps(8) {
            return Ok(());
        }
        let page = self.newest.unwrap_or(0);
        let reads_free = matches!(self.view.journal[page].mark, Cell::Erased);
        if !self.ours || !reads_free {
            self.write(Record { mark, ..self.record });
            return Ok(());
        }
        if !matches!(self.flash.journal[page].mark, Cell::Erased) {
            return Err(Fault::ProgrammedTwice);
        }
        let cell = (self.record.session, mark);
        self.operate(
            |flash| flash.journal[page].mark = Cell::Torn(cell),
            |flash| flash.journal[page].mark = Cell::Holds(cell),
        );
        self.record.mark = mark;
        Ok(())
    }

    fn open_session(&mut self) {
        // Without R2 the page of an earlier session is gone on in.
        self.ours |= !self.rules.keeps(2);
        if !self.ours {
            self.write(self.record);
        }
    }

    fn seal(&mut self, slot: usize, to: Version, from: Version) -> Result<(), Fault> {
        self.mark(Mark { first: 0, second: slot_number(slot) })?;
        self.erase_staging(slot);
        let sealed = (to, from);
        self.operate(
            |flash| flash.staging[slot] = Cell::Torn(sealed),
            |flash| flash.staging[slot] = Cell::Holds(sealed),
        );
        Ok(())
    }

    fn erase_staging(&mut self, slot: usize) {
        self.operate(
            |flash| flash.staging[slot] = flash.staging[slot].half_erased(),
            |flash| flash.staging[slot] = Cell::Erased,
        );
    }

    // The life of an update.

    /// Stages `to`, which another offer may replace on the way, and applies it.
    fn update(&mut self, mut to: Version) -> Result<(), Fault> {
        let from = self.record.to;
        let suspect = self.record.mark.second;
        self.open_session();
        self.make_certain(suspect, to, from)?;
        let mut raced = false;
        let mut page = 0;
        while page < PAGES {
            let undo = PAGES + page;
            if self.view.staging[undo].read() != Some((to, from)) {
                self.seal(undo, to, from)?;
            }
            if self.view.staging[page].read() != Some((to, from)) {
                self.seal(page, to, from)?;
            }
            page += 1;
            // A second update races the first.
            if !raced && self.choose(2) == 1 {
                raced = true;
                to = others(from).into_iter().find(|other| *other != to).unwrap_or(to);
                page = 0;
            }
        }
        self.write(Record { state: State::Apply, to, from, mark: Mark::default(), ..self.record });
        self.restore(0, Direction::Redo)
    }

    /// What an earlier session may have torn in staging is written again from what opens, or erased.
    fn make_certain(&mut self, suspect: u8, to: Version, from: Version) -> Result<(), Fault> {
        let Some(slot) = usize::from(suspect).checked_sub(1).filter(|slot| *slot < 2 * PAGES) else {
            return Ok(());
        };
        if !self.rules.keeps(8) {
            return Ok(());
        }
        if self.view.staging[slot].read() == Some((to, from)) {
            return self.seal(slot, to, from);
        }
        self.erase_staging(slot);
        Ok(())
    }

    fn resume(&mut self, direction: Direction) -> Result<(), Fault> {
        if self.rules.keeps(1) {
            self.open_session();
        }
        let Mark { first, second } = self.record.mark;
        if let Some(torn) = usize::from(second).checked_sub(1) {
            self.restore_page(torn, direction, true)?;
        }
        self.restore(usize::from(first), direction)
    }

    fn restore(&mut self, first: usize, direction: Direction) -> Result<(), Fault> {
        for page in first..PAGES {
            self.restore_page(page, direction, false)?;
        }
        let Record { to, from, .. } = self.record;
        if direction == Direction::Undo {
            self.check(from)?;
            let settled =
                Record { state: State::Committed, to: from, from, mark: Mark::default(), ..self.record };
            self.write(settled);
            return self.start(from);
        }
        self.check(to)?;
        self.write(Record { state: State::Trial, mark: Mark { first: 1, second: 0 }, ..self.record });
        self.trial()
    }

    fn restore_page(&mut self, page: usize, direction: Direction, forced: bool) -> Result<(), Fault> {
        let Record { to, from, .. } = self.record;
        let (wanted, slot) = match direction {
            Direction::Redo => (to, page),
            Direction::Undo => (from, PAGES + page),
        };
        if !forced && self.view.application[page].read() == Some(wanted) {
            return Ok(());
        }
        if self.view.staging[slot].read() != Some((to, from)) {
            return match direction {
                _ if self.flash.rotten => Ok(()),
                Direction::Redo => Err(Fault::GaveUp),
                Direction::Undo => Err(Fault::NoApplication),
            };
        }
        if !forced {
            let number = u8::try_from(page).unwrap_or(u8::MAX);
            self.mark(Mark { first: number, second: number + 1 })?;
        }
        self.operate(
            |flash| flash.application[page] = flash.application[page].half_erased(),
            |flash| flash.application[page] = Cell::Erased,
        );
        self.operate(
            |flash| flash.application[page] = Cell::Torn(wanted),
            |flash| flash.application[page] = Cell::Holds(wanted),
        );
        // Without R7 what was written is freed at once.
        if !self.rules.keeps(7) {
            self.erase_staging(slot);
        }
        Ok(())
    }

    /// The new version runs and waits for somebody's word.
    fn trial(&mut self) -> Result<(), Fault> {
        self.start(self.record.to)?;
        match self.choose(3) {
            0 => Ok(()),
            1 => {
                self.write(Record { state: State::Committed, mark: Mark::default(), ..self.record });
                Ok(())
            }
            _ => self.take_back(),
        }
    }

    fn take_back(&mut self) -> Result<(), Fault> {
        let Record { to, from, .. } = self.record;
        let there = |page: usize| {
            self.view.application[page].read() == Some(from)
                || self.view.staging[PAGES + page].read() == Some((to, from))
        };
        if !(0..PAGES).all(there) {
            // The old version is lost: the new one is kept until the server sends it.
            return if self.flash.rotten { Ok(()) } else { Err(Fault::NoApplication) };
        }
        self.write(Record { state: State::Revert, mark: Mark::default(), ..self.record });
        self.restore(0, Direction::Undo)
    }

    /// R6: whether every page reads as it should; without one there is no start.
    fn check(&mut self, version: Version) -> Result<(), Fault> {
        let whole = self.view.application.iter().all(|page| page.read() == Some(version));
        match whole || !self.rules.keeps(6) || self.flash.rotten {
            true => Ok(()),
            false => Err(Fault::NoApplication),
        }
    }

    fn start(&mut self, version: Version) -> Result<(), Fault> {
        self.check(version)?;
        let reads_whole = self.view.application.iter().all(|page| page.read() == Some(version));
        if self.rules.keeps(6) && !reads_whole {
            return Ok(());
        }
        let whole = self.flash.application.iter().all(|page| *page == Cell::Holds(version));
        if whole { Ok(()) } else { Err(Fault::UnsafeStart) }
    }
}

const fn others(version: Version) -> [Version; 2] {
    match version {
        0 => [1, 2],
        1 => [0, 2],
        _ => [0, 1],
    }
}

fn slot_number(slot: usize) -> u8 {
    u8::try_from(slot + 1).unwrap_or(u8::MAX)
}
