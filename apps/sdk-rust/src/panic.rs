//! Last words of an application.

use core::panic::PanicInfo;

use crate::{Level, restart, text};

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    text::log_args(Level::Error, format_args!("{info}"));
    let _ = restart();
    loop {
        core::hint::spin_loop();
    }
}
