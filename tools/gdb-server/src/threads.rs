//! Threads of FreeRTOS, found in the application's memory with the names of its program's file.
//!
//! Nothing of it is on the device. What is read here are structures of the application, which may be torn or wrong: every
//! walk has an end, and what makes no sense is no thread.
//!
//! Layouts: `tasks.c` and `list.c` of FreeRTOS V10 and V11 without integrity checks and without the MPU; saved registers as
//! the port `ARM_CM33_NTZ` pushes them, with and without floating point.

use std::fmt::Write as _;

use bulkhead_debug_protocol::{Float, Register, RegisterFile};

use crate::device::DeviceError;
use crate::elf::Elf;
use crate::memory::Range;
use crate::session::Session;

/// The only thread of an application without a kernel, or before the kernel runs.
pub(crate) const ONLY: u32 = 1;
/// Most threads.
const THREADS_MAX: usize = 64;
/// Bytes of `List_t`, and of `ListItem_t`.
const LIST_LEN: u32 = 20;
/// Where the end of a list lies in it.
const LIST_END: u32 = 8;
/// Bytes of a task's control block that are looked at, its name last.
const TASK_LEN: u32 = 68;
const TASK_PRIORITY: usize = 44;
const TASK_NAME: usize = 52;
/// Lists by their names, and what a task in one does.
const LISTS: &[(&str, &str)] = &[
    ("pxReadyTasksLists", "ready"),
    ("xPendingReadyList", "ready"),
    ("xDelayedTaskList1", "blocked"),
    ("xDelayedTaskList2", "blocked"),
    ("xSuspendedTaskList", "suspended"),
    ("xTasksWaitingTermination", "deleted"),
];
/// Words that a context switch pushes below the processor's own frame: PSPLIM, EXC_RETURN, r4 to r11.
const PUSHED_WORDS: u32 = 10;
/// s16 to s31, where the task used floating point.
const PUSHED_FLOATS: u32 = 16;
/// Words of the processor's frame: the short one, and the one with floating point.
const FRAME_WORDS: [u32; 2] = [8, 26];

/// Where the kernel keeps its tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    current: u32,
    lists: Vec<(u32, &'static str)>,
}

impl Kernel {
    /// The kernel that a program was linked with, if it was.
    pub(crate) fn of(elf: &Elf) -> Option<Self> {
        let (current, _) = *elf.variables.get("pxCurrentTCB")?;
        elf.variables.get("pxReadyTasksLists")?;
        let mut lists = Vec::new();
        for (name, state) in LISTS {
            let Some((address, len)) = elf.variables.get(*name) else { continue };
            lists.extend((0..len / LIST_LEN).map(|index| (address + index * LIST_LEN, *state)));
        }
        Some(Self { current, lists })
    }
}

/// A task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Thread {
    /// Address of its control block.
    pub(crate) id: u32,
    name: String,
    what: String,
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    let bytes = bytes.get(offset..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The document that `qXfer:threads` hands out.
pub(crate) fn document(threads: &[Thread]) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?><threads>");
    for Thread { id, name, what } in threads {
        let _ = write!(out, "<thread id=\"{id:x}\" name=\"{}\">{what}</thread>", escaped(name));
    }
    out.push_str("</threads>");
    out
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '&' => "&amp;".into(),
            '"' => "&quot;".into(),
            c => c.to_string(),
        })
        .collect()
}

impl Session {
    /// Makes ranges of RAM known, in as few requests as they fit. What cannot be read stays unknown.
    fn fetch(&mut self, ranges: &[Range]) -> Result<(), DeviceError> {
        let mut questions: Vec<Range> = Vec::new();
        for range in ranges {
            let Some(question) = self.memory.question(range.address, range.len) else { continue };
            let inside = |asked: &Range| {
                question.address >= asked.address
                    && u64::from(question.address) + u64::from(question.len)
                        <= u64::from(asked.address) + u64::from(asked.len)
            };
            if self.memory.known(range.address, range.len).is_none() && !questions.iter().any(inside) {
                questions.push(question);
            }
        }
        self.learn(&questions)
    }

    fn words(&self, address: u32, len: u32) -> Option<Vec<u8>> {
        self.memory.known(address, len)
    }

    /// The thread that the processor is in.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) fn current_thread(&mut self) -> Result<u32, DeviceError> {
        let Some(kernel) = self.kernel.clone().filter(|_| self.stop.is_some()) else { return Ok(ONLY) };
        let current = Range { address: kernel.current, len: 4 };
        self.habits.looked(current);
        self.fetch(&[current])?;
        let task = self.words(kernel.current, 4).map_or(0, |bytes| word(&bytes, 0));
        Ok(if self.memory.region(task, TASK_LEN).is_some() { task } else { ONLY })
    }

    /// Every thread, the current one first.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) fn threads(&mut self) -> Result<Vec<Thread>, DeviceError> {
        if let Some(known) = &self.threads {
            return Ok(known.clone());
        }
        let current = self.current_thread()?;
        let mut found = Vec::new();
        if let Some(kernel) = self.kernel.clone().filter(|_| current != ONLY) {
            let tasks = self.tasks(&kernel)?;
            let whole: Vec<_> =
                tasks.iter().map(|(task, _)| Range { address: *task, len: TASK_LEN }).collect();
            self.fetch(&whole)?;
            for (task, state) in tasks {
                let state = if task == current { "running" } else { state };
                found.extend(self.words(task, TASK_LEN).and_then(|bytes| describe(task, state, &bytes)));
            }
        }
        found.sort_by_key(|thread| (thread.id != current, thread.id));
        if found.first().is_none_or(|first| first.id != current) {
            let name = if current == ONLY { "application" } else { "?" };
            found.insert(0, Thread { id: current, name: name.into(), what: "running".into() });
        }
        self.threads = Some(found.clone());
        Ok(found)
    }

    /// Walks all lists side by side: one request for the next item of each.
    fn tasks(&mut self, kernel: &Kernel) -> Result<Vec<(u32, &'static str)>, DeviceError> {
        let heads: Vec<_> =
            kernel.lists.iter().map(|(at, _)| Range { address: *at, len: LIST_LEN }).collect();
        self.fetch(&heads)?;
        let mut walks = Vec::new();
        for (list, state) in &kernel.lists {
            let Some(bytes) = self.words(*list, LIST_LEN) else { continue };
            if word(&bytes, 0) != 0 {
                walks.push((list + LIST_END, word(&bytes, 12), *state));
            }
        }
        let mut tasks: Vec<(u32, &'static str)> = Vec::new();
        for _ in 0..THREADS_MAX {
            walks.retain(|(end, item, _)| item != end && self.memory.region(*item, LIST_LEN).is_some());
            if walks.is_empty() || tasks.len() >= THREADS_MAX {
                break;
            }
            let items: Vec<_> =
                walks.iter().map(|(_, item, _)| Range { address: *item, len: LIST_LEN }).collect();
            self.fetch(&items)?;
            for (end, item, state) in &mut walks {
                let Some(bytes) = self.memory.known(*item, LIST_LEN) else {
                    *item = *end;
                    continue;
                };
                let task = word(&bytes, 12);
                if self.memory.region(task, TASK_LEN).is_some()
                    && !tasks.iter().any(|(known, _)| *known == task)
                {
                    tasks.push((task, *state));
                }
                *item = word(&bytes, 4);
            }
        }
        Ok(tasks)
    }

    /// The registers of a thread; `None` if there is no such thread, or they make no sense.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) fn registers_of(&mut self, thread: u32) -> Result<Option<RegisterFile>, DeviceError> {
        let Some(live) = self.stop.as_ref().map(|stop| stop.registers) else { return Ok(None) };
        if thread == 0 || thread == ONLY || thread == self.current_thread()? {
            return Ok(Some(live));
        }
        self.fetch(&[Range { address: thread, len: 4 }])?;
        let Some(top) = self.words(thread, 4).map(|bytes| word(&bytes, 0)) else { return Ok(None) };
        let longest = 4 * (PUSHED_WORDS + PUSHED_FLOATS + FRAME_WORDS[1]);
        self.fetch(&[Range { address: top, len: longest }])?;
        let mut stack = self.words(top, longest);
        if stack.is_none() {
            // Near the end of memory the short frame is all there is.
            let short = 4 * (PUSHED_WORDS + FRAME_WORDS[0]);
            self.fetch(&[Range { address: top, len: short }])?;
            stack = self.words(top, short);
        }
        Ok(stack.and_then(|stack| unstacked(&live, top, &stack)))
    }
}

/// A task, from its control block.
fn describe(task: u32, state: &str, bytes: &[u8]) -> Option<Thread> {
    let name: Vec<u8> = bytes.get(TASK_NAME..)?.iter().copied().take_while(|byte| *byte != 0).collect();
    let name = String::from_utf8(name).ok().filter(|name| !name.chars().any(char::is_control))?;
    let what = format!("{state}, priority {}", word(bytes, TASK_PRIORITY));
    Some(Thread { id: task, name, what })
}

/// The registers of a task that does not run, from what lies on its stack.
fn unstacked(live: &RegisterFile, top: u32, stack: &[u8]) -> Option<RegisterFile> {
    let at = |index: u32| Some(word(stack, usize::try_from(4 * index).ok()?));
    let exc_return = at(1)?;
    if exc_return >> 8 != 0x00FF_FFFF {
        return None;
    }
    let has_floats = exc_return & 0x10 == 0;
    let frame = PUSHED_WORDS + if has_floats { PUSHED_FLOATS } else { 0 };
    let frame_words = if has_floats { FRAME_WORDS[1] } else { FRAME_WORDS[0] };
    if stack.len() < usize::try_from(4 * (frame + frame_words)).ok()? {
        return None;
    }
    let mut registers = *live;
    for n in 0..8 {
        *registers.get_mut(Register(u8::try_from(4 + n).ok()?))? = at(2 + n)?;
    }
    for (index, register) in (0..).zip([0, 1, 2, 3, 12, 14, 15]) {
        *registers.get_mut(Register(register))? = at(frame + index)?;
    }
    let xpsr = at(frame + 7)?;
    *registers.get_mut(Register::XPSR)? = xpsr;
    let aligned = xpsr >> 9 & 1;
    let sp = top.wrapping_add(4 * (frame + frame_words + aligned));
    *registers.get_mut(Register::SP)? = sp;
    *registers.get_mut(Register::PSP)? = sp;
    *registers.get_mut(Register::PSPLIM)? = at(0)?;
    if registers.float.is_some() {
        let mut float = Float::default();
        if has_floats {
            for index in 0..16 {
                *float.0.get_mut(usize::try_from(index).ok()?)? = at(frame + 8 + index)?;
                *float.0.get_mut(usize::try_from(16 + index).ok()?)? = at(PUSHED_WORDS + index)?;
            }
            *float.0.get_mut(32)? = at(frame + 24)?;
        }
        registers.float = Some(float);
    }
    Some(registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn a_frame_without_floats_is_unstacked_and_one_with_them_and_nonsense_is_none() {
        let live = RegisterFile { float: Some(Float::default()), ..RegisterFile::default() };
        let mut words = vec![0x2000_1000, 0xFFFF_FFBC];
        words.extend(4..=11);
        words.extend([100, 101, 102, 103, 112, 0x8000_1235, 0x8000_2000, 1 << 24 | 1 << 9]);
        let short = unstacked(&live, 0x2000_2000, &stack(&words)).unwrap();
        assert_eq!((short.general(0), short.general(4), short.general(11)), (100, 4, 11));
        assert_eq!((short.general(12), short.general(14), short.pc()), (112, 0x8000_1235, 0x8000_2000));
        assert_eq!(short.sp(), 0x2000_2000 + 18 * 4 + 4, "with the word that aligned it");
        assert_eq!(short.get(Register::PSPLIM), Some(0x2000_1000));

        words[1] = 0xFFFF_FFAC;
        assert_eq!(unstacked(&live, 0x2000_2000, &stack(&words)), None, "its frame is longer");
        let mut long = words[..10].to_vec();
        long.extend(16..32);
        long.extend([100, 101, 102, 103, 112, 0x8000_1235, 0x8000_2000, 1 << 24]);
        long.extend(0..16);
        long.extend([0xF0, 0]);
        let long = unstacked(&live, 0x2000_2000, &stack(&long)).unwrap();
        let float = long.float.unwrap();
        assert_eq!((float.0[1], float.0[15], float.0[16], float.0[31], float.0[32]), (1, 15, 16, 31, 0xF0));
        assert_eq!(long.sp(), 0x2000_2000 + 52 * 4);

        words[1] = 0x1234;
        assert_eq!(unstacked(&live, 0x2000_2000, &stack(&words)), None);
    }

    #[test]
    fn names_of_threads_cannot_end_the_document() {
        let thread = Thread { id: 0x2000_0010, name: "<a\"&>".into(), what: "ready, priority 1".into() };
        let text = document(&[thread]);
        assert!(text.contains("id=\"20000010\" name=\"&lt;a&quot;&amp;&gt;\""), "{text}");
    }
}
