//! What decoding a patch costs this processor: a program without hypervisor, which ends with one line on UART 0.
//!
//! The bench that starts it puts images and patch into the non-volatile memory and lets virtual time count
//! instructions. There are two programs of this frame, one with the decoder and one without: the difference of their
//! sizes is what the decoder adds to an image.

use core::fmt::Write;
use core::panic::PanicInfo;

use bulkhead_armv8m_trustzone::faults::SecureFault;
use bulkhead_armv8m_trustzone::switch::{Interrupted, Order};
use bulkhead_armv8m_trustzone::worker::Pace;
use bulkhead_chip_mps2_an505::Uart;
use bulkhead_hardware_ports::Console;

use crate::board;

/// CMSDK timer 0 (DDI 0479, section 4.1) in its secure alias, where it is until somebody gives it away.
const TIMER0: usize = 0x5000_0000;
const TIMER_CTRL: usize = 0x0;
const TIMER_CTRL_ENABLE: u32 = 1;
const TIMER_VALUE: usize = 0x4;
const TIMER_RELOAD: usize = 0x8;

/// Where the bench puts things, from the start of non-volatile memory. The first page holds their lengths.
const OLD_AT: usize = 0x1000;
const PATCH_AT: usize = 0x40_0000;
const NEW_AT: usize = 0x80_0000;
const OUTPUT_AT: usize = 0xC0_0000;
/// Room for each of them in bytes.
const PART_LEN: usize = 0x3F_F000;

/// What a patch is made of and what it makes.
pub(crate) struct Loaded {
    pub(crate) old: &'static [u8],
    pub(crate) patch: &'static [u8],
    /// The real new image, to compare with.
    pub(crate) new: &'static [u8],
    pub(crate) output: &'static mut [u8],
}

/// Runs `decode` on what is loaded and says what it took; `ram_len` is what it keeps in RAM, in bytes.
pub(crate) fn run(ram_len: usize, decode: impl FnOnce(&mut Loaded) -> bool) -> ! {
    // SAFETY: UART 0 belongs to the secure world, and this program has one owner of it.
    let mut uart = unsafe { Uart::new(board::UART0_BASE) };
    let Some(mut loaded) = load() else { finish(&mut uart, format_args!("decoder-cost: nothing is loaded")) };
    start_timer();
    let before = timer();
    let decoded = decode(&mut loaded);
    // It counts down.
    let ticks = before.wrapping_sub(timer());
    let right = decoded && loaded.output == loaded.new;
    let verdict = if right { "right" } else { "wrong" };
    let bytes = loaded.new.len();
    finish(
        &mut uart,
        format_args!(
            "decoder-cost: {verdict} bytes {bytes} ticks {ticks} clock {} ram {ram_len}",
            board::CLOCK_HZ
        ),
    )
}

fn finish(uart: &mut Uart, line: core::fmt::Arguments<'_>) -> ! {
    let mut text = heapless::String::<160>::new();
    // A line that is too long is cut.
    let _ = text.write_fmt(line);
    uart.write(&text);
    uart.write("\n");
    loop {
        core::hint::spin_loop();
    }
}

/// None: a length is not one that the bench writes.
fn load() -> Option<Loaded> {
    let base = board::DIE_BASE as usize;
    // SAFETY: the first page of non-volatile memory, which nothing in this program writes to.
    let lengths = unsafe { core::ptr::read_volatile(base as *const [u32; 3]) };
    let [old_len, patch_len, new_len] = lengths.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
    if [old_len, patch_len, new_len].iter().any(|len| *len > PART_LEN) {
        return None;
    }
    // SAFETY: parts of non-volatile memory that nothing writes to, checked to lie in it.
    let part = |at: usize, len| unsafe { core::slice::from_raw_parts((base + at) as *const u8, len) };
    // SAFETY: a part that no other reference covers, since this is called once.
    let output = unsafe { core::slice::from_raw_parts_mut((base + OUTPUT_AT) as *mut u8, new_len) };
    Some(Loaded {
        old: part(OLD_AT, old_len),
        patch: part(PATCH_AT, patch_len),
        new: part(NEW_AT, new_len),
        output,
    })
}

fn start_timer() {
    for (register, value) in
        [(TIMER_RELOAD, u32::MAX), (TIMER_VALUE, u32::MAX), (TIMER_CTRL, TIMER_CTRL_ENABLE)]
    {
        // SAFETY: a register of the timer, which nothing else uses.
        unsafe { core::ptr::write_volatile((TIMER0 + register) as *mut u32, value) };
    }
}

fn timer() -> u32 {
    // SAFETY: a register of the timer.
    unsafe { core::ptr::read_volatile((TIMER0 + TIMER_VALUE) as *const u32) }
}

// What the exception vectors call. Interrupts stay masked, so none of it runs but the last two.

#[unsafe(no_mangle)]
extern "C" fn bulkhead_tick() {}

#[unsafe(no_mangle)]
extern "C" fn bulkhead_device_interrupt() {}

#[unsafe(no_mangle)]
fn bulkhead_build() {}

#[unsafe(no_mangle)]
fn bulkhead_poll(_: Interrupted) -> (Order, Pace) {
    (Order::Continue, Pace::Rest)
}

#[unsafe(no_mangle)]
extern "C" fn bulkhead_gateway(_: u32, _: u32, _: u32, _: u32, _: u32) -> u32 {
    0
}

#[unsafe(no_mangle)]
fn bulkhead_secure_fault(_: SecureFault) -> ! {
    // SAFETY: as in `run`, which does not go on.
    let mut uart = unsafe { Uart::new(board::UART0_BASE) };
    finish(&mut uart, format_args!("decoder-cost: fault"))
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: as in `run`, which does not go on.
    let mut uart = unsafe { Uart::new(board::UART0_BASE) };
    finish(&mut uart, format_args!("decoder-cost: panic"))
}
