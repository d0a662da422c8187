//! The last words of a hypervisor that hit a bug of its own: kept over the restart, reported on the next connect.

use core::fmt::Write;
use core::panic::PanicInfo;

use bulkhead_armv8m_trustzone::critical::Shared;
use bulkhead_armv8m_trustzone::faults::SecureFault;
use bulkhead_armv8m_trustzone::start;

use crate::console;

/// Longest epitaph in bytes.
pub(crate) const LEN_MAX: usize = 120;

const MAGIC: u32 = 0xE917_A9B1;

struct Kept {
    magic: u32,
    check: u32,
    len: u32,
    text: [u8; LEN_MAX],
}

/// Neither cleared nor loaded at start: RAM keeps it over a restart, and a power-on leaves noise that the check refuses.
#[unsafe(link_section = ".noinit")]
static KEPT: Shared<Kept> = Shared::new(Kept { magic: 0, check: 0, len: 0, text: [0; LEN_MAX] });

/// Says, over a restart, that somebody ordered it.
const COMMANDED: u32 = 0xC033_A7DE;

/// As [`KEPT`].
#[unsafe(link_section = ".noinit")]
static ORDERED: Shared<u32> = Shared::new(0);

/// Whether the run before ended because somebody ordered it. Told once.
pub(crate) fn take_command() -> bool {
    ORDERED.with(|ordered| core::mem::take(ordered) == COMMANDED)
}

/// Restarts the chip on somebody's order.
pub(crate) fn restart_as_commanded() -> ! {
    ORDERED.with(|ordered| *ordered = COMMANDED);
    start::restart()
}

/// An epitaph as text.
pub(crate) type Text = heapless::String<LEN_MAX>;

/// Takes the epitaph of the last run, if it ended with one.
pub(crate) fn take() -> Option<Text> {
    KEPT.with(|kept| {
        let valid = kept.magic == MAGIC && kept.check == checksum(kept);
        kept.magic = 0;
        if !valid {
            return None;
        }
        let bytes = kept.text.get(..usize::try_from(kept.len).ok()?)?;
        let mut text = Text::new();
        text.push_str(core::str::from_utf8(bytes).ok()?).ok()?;
        Some(text)
    })
}

/// Keeps `text` and restarts the chip.
pub(crate) fn restart(text: core::fmt::Arguments<'_>) -> ! {
    let mut words = Text::new();
    // What is too long is cut.
    let _ = words.write_fmt(text);
    console::line(format_args!("hypervisor fault: {words}"));
    KEPT.with(|kept| {
        kept.magic = MAGIC;
        kept.len = u32::try_from(words.len()).unwrap_or(0);
        for (to, from) in kept.text.iter_mut().zip(words.bytes()) {
            *to = from;
        }
        kept.check = checksum(kept);
    });
    start::restart()
}

/// Stops for good: this image does not fit this board. Only a new image helps.
pub(crate) fn halt(reason: &str) -> ! {
    console::line(format_args!("hypervisor cannot start: {reason}"));
    loop {
        core::hint::spin_loop();
    }
}

fn checksum(kept: &Kept) -> u32 {
    kept.text.iter().fold(kept.len ^ 0x5A5A_5A5A, |sum, b| sum.rotate_left(5) ^ u32::from(*b))
}

/// A fault in secure code: ours.
#[unsafe(no_mangle)]
fn bulkhead_secure_fault(fault: SecureFault) -> ! {
    restart(format_args!(
        "exception {} at {:#010x}, cfsr {:#x}, sfsr {:#x}, hfsr {:#x}",
        fault.exception, fault.program_counter, fault.cfsr, fault.sfsr, fault.hfsr
    ))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => restart(format_args!("panic at {}:{}", at.file(), at.line())),
        None => restart(format_args!("panic")),
    }
}
