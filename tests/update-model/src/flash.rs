//! What the device holds while power is off, and how torn cells read.

/// Pages of the application: as if one lay on the die and one outside.
pub(crate) const PAGES: usize = 2;
/// Pages of the journal.
pub(crate) const JOURNAL: usize = 3;

/// A version of the application: 0 was there first, 1 and 2 are offered.
pub(crate) type Version = u8;

/// What tears as one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cell<T> {
    /// Nothing was programmed since the last erase.
    Erased,
    /// This, at every boot.
    Holds(T),
    /// On its way to this or away from it: reads as this, as erased or as garbage, anew at each boot.
    Torn(T),
    /// Its first unit is torn and the rest erased: reads as erased or as begun, which is no more than that.
    Begun,
    /// Neither erased nor anything that passes a check, at every boot; or a torn cell as it reads at this boot.
    Garbage,
}

impl<T: Copy> Cell<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Holds(value) | Self::Torn(value) => Some(value),
            Self::Erased | Self::Begun | Self::Garbage => None,
        }
    }

    /// After an erase that was cut.
    pub(crate) fn half_erased(self) -> Self {
        match self {
            Self::Erased => Self::Erased,
            Self::Begun => Self::Begun,
            Self::Garbage => Self::Garbage,
            Self::Holds(value) | Self::Torn(value) => Self::Torn(value),
        }
    }

    pub(crate) fn read(self) -> Option<T> {
        if let Self::Holds(value) = self { Some(value) } else { None }
    }
}

/// The states of the journal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// `to` is whole.
    Committed,
    /// `to` is being written over `from`.
    Apply,
    /// `to` is whole and on trial.
    Trial,
    /// `from` is being put back.
    Revert,
}

impl State {
    pub(crate) const fn rank(self) -> u8 {
        match self {
            Self::Committed => 1,
            Self::Trial => 2,
            Self::Revert => 3,
            Self::Apply => 4,
        }
    }
}

/// What may be torn: for `Committed` a page of staging, for `Apply` and `Revert` a page of the application. For `Trial`
/// `first` counts its boots.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Mark {
    /// Pages before it are whole; boots of a trial.
    pub(crate) first: u8,
    /// What may be torn, counted from 1; 0: nothing.
    pub(crate) second: u8,
}

/// A record of the journal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Record {
    pub(crate) session: u8,
    pub(crate) state: State,
    pub(crate) to: Version,
    pub(crate) from: Version,
    pub(crate) mark: Mark,
}

/// Two copies of a record and a mark with the session of its record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Page {
    pub(crate) first: Cell<Record>,
    pub(crate) second: Cell<Record>,
    pub(crate) mark: Cell<(u8, Mark)>,
}

impl Page {
    pub(crate) const ERASED: Self = Self { first: Cell::Erased, second: Cell::Erased, mark: Cell::Erased };

    pub(crate) fn half_erased(self) -> Self {
        let Self { first, second, mark } = self;
        Self { first: first.half_erased(), second: second.half_erased(), mark: mark.half_erased() }
    }

    /// Whether it is complete at every boot.
    pub(crate) fn is_firm(&self) -> bool {
        self.complete().is_some() && matches!(self.second, Cell::Holds(_) | Cell::Garbage)
    }

    /// The record, if it counts: whole in its second copy, or in its first with the second begun.
    pub(crate) fn complete(&self) -> Option<Record> {
        let begun = !matches!(self.second, Cell::Erased);
        self.second.read().or(self.first.read().filter(|_| begun))
    }
}

/// The new and the old version that a page in staging was sealed for: its key.
pub(crate) type Sealed = (Version, Version);

/// Everything that outlives power.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Flash {
    pub(crate) journal: [Page; JOURNAL],
    pub(crate) application: [Cell<Version>; PAGES],
    /// Redo pages, then undo pages.
    pub(crate) staging: [Cell<Sealed>; 2 * PAGES],
    /// A page of the application has lost its content: to be without an application is right now.
    pub(crate) rotten: bool,
}

impl Flash {
    /// Version 0 runs.
    pub(crate) fn installed() -> Self {
        let record = Record { session: 1, state: State::Committed, to: 0, from: 0, mark: Mark::default() };
        let page = Page { first: Cell::Holds(record), second: Cell::Holds(record), mark: Cell::Erased };
        Self {
            journal: [page, Page::ERASED, Page::ERASED],
            application: [Cell::Holds(0); PAGES],
            staging: [Cell::Erased; 2 * PAGES],
            rotten: false,
        }
    }

    /// The same with sessions counted from the lowest that is left: only their differences matter.
    pub(crate) fn normal(mut self) -> Self {
        let sessions = self.journal.iter().flat_map(|page| {
            let copies = [page.first, page.second].map(|copy| copy.value().map(|record| record.session));
            [copies[0], copies[1], page.mark.value().map(|(session, _)| session)]
        });
        let least = sessions.flatten().min().unwrap_or(1).saturating_sub(1);
        let lower = |cell: &mut Cell<Record>| {
            if let Cell::Holds(record) | Cell::Torn(record) = cell {
                record.session -= least;
            }
        };
        for page in &mut self.journal {
            lower(&mut page.first);
            lower(&mut page.second);
            if let Cell::Holds((session, _)) | Cell::Torn((session, _)) = &mut page.mark {
                *session -= least;
            }
        }
        self
    }

    /// Every way in which this reads at one boot: without torn cells.
    pub(crate) fn readings(&self) -> Vec<Self> {
        let mut all = vec![*self];
        for n in 0..JOURNAL {
            all = spread(all, true, |flash| &mut flash.journal[n].first);
            all = spread(all, true, |flash| &mut flash.journal[n].second);
            all = spread(all, true, |flash| &mut flash.journal[n].mark);
        }
        for n in 0..PAGES {
            all = spread(all, false, |flash| &mut flash.application[n]);
        }
        for n in 0..2 * PAGES {
            all = spread(all, false, |flash| &mut flash.staging[n]);
        }
        all
    }
}

fn spread<T: Copy>(all: Vec<Flash>, erased: bool, cell: impl Fn(&mut Flash) -> &mut Cell<T>) -> Vec<Flash> {
    all.into_iter()
        .flat_map(|mut flash| {
            let reads = match *cell(&mut flash) {
                Cell::Torn(value) if erased => vec![Cell::Holds(value), Cell::Garbage, Cell::Erased],
                Cell::Torn(value) => vec![Cell::Holds(value), Cell::Garbage],
                Cell::Begun => vec![Cell::Begun, Cell::Erased],
                _ => return vec![flash],
            };
            let read = |read: Cell<T>| {
                let mut flash = flash;
                *cell(&mut flash) = read;
                flash
            };
            reads.into_iter().map(read).collect::<Vec<_>>()
        })
        .collect()
}
