//! What a dump says, as records in a stream that is cut into blocks.

use crate::block::PLAIN_LEN;

/// Longest record but memory, in bytes, and most that one piece of memory becomes.
const RECORD_LEN_MAX: usize = 300;

pub(crate) const TAG_CORE: u8 = 1;
pub(crate) const TAG_SYSTEM: u8 = 2;
pub(crate) const TAG_FLOAT: u8 = 3;
pub(crate) const TAG_FAULTS: u8 = 4;
pub(crate) const TAG_VECTORS: u8 = 5;
pub(crate) const TAG_CODE: u8 = 6;
pub(crate) const TAG_BUILD: u8 = 7;
pub(crate) const TAG_MEMORY: u8 = 16;
pub(crate) const TAG_END: u8 = 255;

/// Controls of encoded memory: from here on a repeated word, below it words as they are.
pub(crate) const REPEAT: u8 = 0x80;
/// A repeated word whose count follows as 4 bytes; a count of 0, without a word, ends the memory early.
pub(crate) const REPEAT_LONG: u8 = 0xFF;
/// Repetitions of control [`REPEAT`]; each further control adds one.
pub(crate) const REPEAT_LEAST: u32 = 2;
/// Equal words in a row from which on repeating is shorter.
const RUN_LEAST: usize = 3;
/// Words of one piece of memory at most.
const PIECE_WORDS_MAX: usize = 64;

/// What the application's code was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CodeMark {
    /// First byte.
    pub address: u32,
    /// Length in bytes.
    pub len: u32,
    /// [`crate::code_crc`] of it.
    pub crc: u32,
}

/// How a dump ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum EndMark {
    /// Everything that was asked for is in it.
    Whole = 0,
    /// There was no room for more.
    Full = 1,
    /// There was no time for more.
    Late = 2,
}

/// One record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Record<'a> {
    /// r0 to r12, sp, lr, pc, xpsr.
    Core(&'a [u32; 17]),
    /// msp, psp, primask, basepri, faultmask, control, msplim, psplim.
    System(&'a [u32; 8]),
    /// s0 to s31, fpscr.
    Float(&'a [u32; 33]),
    /// CFSR, SFSR, and the address that was touched, if the processor told.
    Faults {
        /// Configurable fault status.
        cfsr: u32,
        /// Secure fault status.
        sfsr: u32,
        /// Address.
        address: Option<u32>,
    },
    /// Address of the vector table.
    Vectors(u32),
    /// The code.
    Code(CodeMark),
    /// Version text of the hypervisor.
    Build(&'a [u8]),
    /// Memory follows, by [`Writer::memory`]: first address and length in bytes, both multiples of 4.
    Memory {
        /// First address.
        address: u32,
        /// Length in bytes.
        len: u32,
    },
    /// Nothing follows.
    End(EndMark),
}

/// Takes records, gives blocks.
pub struct Writer {
    block: [u8; PLAIN_LEN],
    beyond: [u8; RECORD_LEN_MAX],
    len: usize,
    run: Option<(u32, u32)>,
}

impl Writer {
    /// Empty.
    pub const fn new() -> Self {
        Self { block: [0; PLAIN_LEN], beyond: [0; RECORD_LEN_MAX], len: 0, run: None }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.block.fill(0);
        self.beyond.fill(0);
        self.len = 0;
        self.run = None;
    }

    /// Whether a block is to be taken before more is written.
    pub const fn is_full(&self) -> bool {
        self.len >= PLAIN_LEN
    }

    /// The next block's content, zeros behind its end, to be sealed where it lies.
    pub const fn block(&mut self) -> &mut [u8; PLAIN_LEN] {
        &mut self.block
    }

    /// The block was written: what reaches beyond it becomes the next one's start.
    pub fn block_taken(&mut self) {
        self.block.fill(0);
        for (place, byte) in self.block.iter_mut().zip(&self.beyond) {
            *place = *byte;
        }
        self.beyond.fill(0);
        self.len = self.len.saturating_sub(PLAIN_LEN);
    }

    /// Writes a record. Ends the memory before it.
    pub fn record(&mut self, record: &Record<'_>) {
        self.end_run();
        match record {
            Record::Core(words) => self.words(TAG_CORE, *words),
            Record::System(words) => self.words(TAG_SYSTEM, *words),
            Record::Float(words) => self.words(TAG_FLOAT, *words),
            Record::Faults { cfsr, sfsr, address } => {
                self.words(TAG_FAULTS, &[*cfsr, *sfsr, address.unwrap_or(0), u32::from(address.is_some())]);
            }
            Record::Vectors(address) => self.words(TAG_VECTORS, &[*address]),
            Record::Code(mark) => self.words(TAG_CODE, &[mark.address, mark.len, mark.crc]),
            Record::Build(text) => {
                let text = text.get(..text.len().min(64)).unwrap_or_default();
                self.head(TAG_BUILD, text.len());
                self.put(text);
            }
            Record::Memory { address, len } => self.words(TAG_MEMORY, &[*address, *len]),
            Record::End(mark) => {
                self.head(TAG_END, 1);
                self.put(&[*mark as u8]);
            }
        }
    }

    /// Writes a piece of the memory that was begun: whole words, at most 64 of them.
    pub fn memory(&mut self, piece: &[u8]) {
        let (words, _) = piece.as_chunks::<4>();
        let mut rest = words.get(..words.len().min(PIECE_WORDS_MAX)).unwrap_or_default();
        while let Some(first) = rest.first() {
            let word = u32::from_le_bytes(*first);
            let run = run_len(rest);
            let in_run = self.run.is_some_and(|(running, _)| running == word);
            if in_run || run >= RUN_LEAST || run == rest.len() {
                if !in_run {
                    self.end_run();
                }
                let count = self.run.map_or(0, |(_, count)| count);
                self.run = Some((word, count.saturating_add(u32::try_from(run).unwrap_or(u32::MAX))));
                rest = rest.get(run..).unwrap_or_default();
            } else {
                self.end_run();
                let n = plain_len(rest);
                self.put(&[u8::try_from(n.saturating_sub(1)).unwrap_or_default()]);
                self.put(rest.get(..n).unwrap_or_default().as_flattened());
                rest = rest.get(n..).unwrap_or_default();
            }
        }
    }

    /// The rest of the memory that was begun cannot be read.
    pub fn memory_ends(&mut self) {
        self.end_run();
        self.put(&[REPEAT_LONG]);
        self.put(&0_u32.to_le_bytes());
    }

    fn end_run(&mut self) {
        match self.run.take() {
            None => {}
            Some((word, 1)) => {
                self.put(&[0]);
                self.put(&word.to_le_bytes());
            }
            Some((word, count)) => {
                let short = count.checked_sub(REPEAT_LEAST).and_then(|more| u8::try_from(more).ok());
                match short.and_then(|more| more.checked_add(REPEAT)).filter(|c| *c != REPEAT_LONG) {
                    Some(control) => self.put(&[control]),
                    None => {
                        self.put(&[REPEAT_LONG]);
                        self.put(&count.to_le_bytes());
                    }
                }
                self.put(&word.to_le_bytes());
            }
        }
    }

    fn words(&mut self, tag: u8, words: &[u32]) {
        self.head(tag, words.len() * 4);
        for word in words {
            self.put(&word.to_le_bytes());
        }
    }

    fn head(&mut self, tag: u8, len: usize) {
        let [low, high] = u16::try_from(len).unwrap_or_default().to_le_bytes();
        self.put(&[tag, low, high]);
    }

    fn put(&mut self, bytes: &[u8]) {
        let places = self.block.iter_mut().chain(&mut self.beyond).skip(self.len);
        for (place, byte) in places.zip(bytes) {
            *place = *byte;
            self.len += 1;
        }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// Equal words from the start.
fn run_len(words: &[[u8; 4]]) -> usize {
    words.iter().take_while(|word| Some(*word) == words.first()).count()
}

/// Words from the start before the next run.
fn plain_len(words: &[[u8; 4]]) -> usize {
    let mut n = 1;
    while let Some(rest) = words.get(n..).filter(|rest| !rest.is_empty()) {
        let run = run_len(rest);
        if run >= RUN_LEAST || run == rest.len() {
            break;
        }
        n += 1;
    }
    n
}
