//! Hypervisor image of the virtual board: the parts are put together here, and nowhere else.
//!
//! Start-up divides the chip between the worlds, reads what the factory wrote, builds the hypervisor and ends in the
//! idle thread. From then on everything happens in exceptions: the tick and the Ethernet interrupt pend the executor,
//! the executor asks the hypervisor what to do, gateways and faults leave word for it.
#![no_std]
#![no_main]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod board;
mod console;
mod debug;
mod epitaph;
mod executor;
mod gateway;
mod partition;
mod provisioned;
mod registers;

use bulkhead_armv8m_trustzone as world;

/// First code after reset, interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn bulkhead_main() -> ! {
    world::start::paint_stack();
    console::start();
    console::line(format_args!("bulkhead {} on {}", env!("CARGO_PKG_VERSION"), board::DEVICE_CLASS));
    if let Err(reason) = partition::divide() {
        epitaph::halt(reason);
    }
    world::tick::start(board::CLOCK_HZ);
    executor::start();
    world::switch::enter_idle()
}
