//! Power that several memories share, and where it fails.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use bulkhead_nor_flash::FlashAddress;

use crate::cells::Cells;

/// When, relative to one operation, power fails.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Moment {
    /// Nothing of the operation happened.
    Before,
    /// A program stops inside the unit that lies this many quarters of the span in (0 to 3, 3 is the last unit);
    /// an erase tears its whole block.
    Inside(u8),
    /// The operation is complete, the caller never learns of it.
    After,
}

/// One power failure: at which operation since power-on, and when.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Cut {
    /// Erases and programs before it in this power session.
    pub operation: u32,
    /// When.
    pub moment: Moment,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.moment {
            Moment::Before => write!(f, "{}b", self.operation),
            Moment::Inside(quarter) => write!(f, "{}i{quarter}", self.operation),
            Moment::After => write!(f, "{}a", self.operation),
        }
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no cut: expected e.g. 12b, 12i0 or 12a");
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, moment) = text.split_at(split);
        let moment = match moment {
            "b" => Moment::Before,
            "a" => Moment::After,
            _ => Moment::Inside(moment.strip_prefix('i').and_then(|q| q.parse().ok()).ok_or_else(wrong)?),
        };
        Ok(Self { operation: number.parse().map_err(|_| wrong())?, moment })
    }
}

/// What an operation did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TracedKind {
    /// A block was erased.
    Erase,
    /// Units were programmed.
    Program,
}

/// One operation of a power session, for whoever explains it; see [`Power::trace_operations`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Traced {
    /// Which memory, in the order in which the memories were made on this supply.
    pub memory: usize,
    /// What was done.
    pub kind: TracedKind,
    /// Where it began.
    pub at: FlashAddress,
    /// Bytes.
    pub len: usize,
}

/// What one memory would hold if power had failed there; see [`Power::record`].
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Where power would have failed.
    pub cut: Cut,
    /// Which memory the operation was on, in the order in which the memories were made on this supply.
    pub memory: usize,
    /// What that memory would hold.
    pub cells: Cells,
}

/// The supply of one device. Clones are the same supply.
#[derive(Clone, Debug, Default)]
pub struct Power(Rc<RefCell<Supply>>);

#[derive(Debug, Default)]
struct Supply {
    memories: usize,
    session: u32,
    operations: u32,
    cut: Option<Cut>,
    off: bool,
    recording: bool,
    recorded: Vec<Recorded>,
    tracing: bool,
    traced: Vec<Traced>,
}

impl Power {
    /// A supply that is on and never fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Power comes on; it will fail at `cut`, or never. Operations are counted from zero. `session` labels what
    /// the cut tears.
    pub fn on(&self, session: u32, cut: Option<Cut>) {
        let mut supply = self.0.borrow_mut();
        let memories = supply.memories;
        *supply = Supply { memories, session, cut, ..Supply::default() };
    }

    /// From now on writes down what every cut inside and after every operation would leave. A cut before an
    /// operation leaves what the one after its predecessor leaves.
    ///
    /// One recorded run yields what a run for each cut would yield, since a cut can do no more than freeze the
    /// memories: whatever the code under test knew is lost with its RAM.
    pub fn record(&self) {
        self.0.borrow_mut().recording = true;
    }

    /// Takes what was recorded, in order.
    pub fn recorded(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.0.borrow_mut().recorded)
    }

    /// From now on lists every operation; it is numbered as cuts number it.
    pub fn trace_operations(&self) {
        self.0.borrow_mut().tracing = true;
    }

    /// Takes what was listed, in order.
    pub fn traced(&self) -> Vec<Traced> {
        std::mem::take(&mut self.0.borrow_mut().traced)
    }

    pub(crate) fn trace(&self, operation: impl FnOnce() -> Traced) {
        let mut supply = self.0.borrow_mut();
        if supply.tracing {
            supply.traced.push(operation());
        }
    }

    /// Whether power is on.
    pub fn is_on(&self) -> bool {
        !self.0.borrow().off
    }

    /// Erases and programs since power came on, the cut one included.
    pub fn operations(&self) -> u32 {
        self.0.borrow().operations
    }

    pub(crate) fn session(&self) -> u32 {
        self.0.borrow().session
    }

    pub(crate) fn add_memory(&self) -> usize {
        let mut supply = self.0.borrow_mut();
        supply.memories += 1;
        supply.memories - 1
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.0.borrow().recording
    }

    pub(crate) fn note(&self, memory: usize, moment: Moment, cells: Cells) {
        let mut supply = self.0.borrow_mut();
        // The operation was counted already.
        let cut = Cut { operation: supply.operations - 1, moment };
        supply.recorded.push(Recorded { cut, memory, cells });
    }

    /// Counts one operation and says at which moment of it power fails, if at all.
    pub(crate) fn next_operation(&self) -> Option<Moment> {
        let mut supply = self.0.borrow_mut();
        let this = supply.operations;
        supply.operations += 1;
        let moment = supply.cut.filter(|cut| cut.operation == this).map(|cut| cut.moment);
        supply.off |= moment.is_some();
        moment
    }
}
