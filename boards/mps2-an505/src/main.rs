//! Hypervisor image of the virtual board: the parts are put together here, and nowhere else.
//!
//! Start-up divides the chip between the worlds and ends in the worker, which reads what the factory wrote and builds the
//! hypervisor. From then on the worker does the hypervisor's work, slice by slice: the tick and the Ethernet interrupt
//! wake it, gateways and faults leave word for it, and the executor shares the processor between it and the application.
#![no_std]
#![no_main]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod board;
mod console;
mod debug;
mod epitaph;
mod gateway;
mod partition;
mod provisioned;
mod registers;
mod work;

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
    world::worker::set_share(board::WORKER_SHARE_PERCENT);
    world::worker::start()
}
