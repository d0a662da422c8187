//! RTIC: an async task on SysTick time, one bound to the line that the hypervisor pends, a resource they share; and one
//! bound to the console, which spawns another that leads what is typed to a peer.
#![no_std]
#![no_main]

mod board;
mod talk;

use rtic_monotonics::systick::prelude::*;

systick_monotonic!(Mono, 1000);

/// What `boards/mps2-an505` is clocked with.
const CLOCK_HZ: u32 = 20_000_000;

#[rtic::app(device = crate::board, peripherals = false, dispatchers = [SOFTWARE1])]
mod app {
    use bulkhead_sdk::notification::{self, Event};
    use bulkhead_sdk::{console, socket, update};
    use log::LevelFilter;

    use super::*;
    use crate::talk::{self, Typed};

    #[shared]
    struct Shared {
        notifications: u32,
        /// The last whole line from the console.
        line: Typed,
    }

    #[local]
    struct Local {
        typed: Typed,
    }

    #[init]
    fn init(cx: init::Context) -> (Shared, Local) {
        // A second logger cannot be there yet.
        let _ = bulkhead_sdk::logger::start(LevelFilter::Debug);
        log::info!("rtic starts, wake reason {:?}", bulkhead_sdk::wake_reason());
        Mono::start(cx.core.SYST, CLOCK_HZ);
        // The line is one of the board's, so it is not refused.
        let _ = notification::enable(board::Interrupt::SOFTWARE0 as u8);
        console::start_with_interrupt();
        // The queue is empty: nothing was spawned yet.
        let _ = report::spawn();
        (Shared { notifications: 0, line: Typed::new() }, Local { typed: Typed::new() })
    }

    #[task(priority = 1, shared = [notifications])]
    async fn report(mut cx: report::Context) {
        for second in 1u32.. {
            Mono::delay(1.secs()).await;
            let heard = cx.shared.notifications.lock(|heard| *heard);
            log::info!("rtic second {second}, {heard} notifications");
        }
    }

    #[task(binds = UART1, priority = 2, local = [typed], shared = [line])]
    fn typed(mut cx: typed::Context) {
        while cx.local.typed.take() {
            cx.shared.line.lock(|line| *line = *cx.local.typed);
            cx.local.typed.clear();
            if converse::spawn().is_err() {
                log::warn!("rtic: still talking");
            }
        }
    }

    #[task(priority = 1, shared = [line])]
    async fn converse(mut cx: converse::Context) {
        let line = cx.shared.line.lock(|line| *line);
        talk::obey(line.as_str()).await;
    }

    #[task(binds = SOFTWARE0, priority = 2, shared = [notifications])]
    fn listen(mut cx: listen::Context) {
        while let Some(notification) = notification::next() {
            cx.shared.notifications.lock(|heard| *heard += 1);
            match notification.event {
                Event::UpdateReady(pages) => {
                    log::info!("rtic: an update of {pages} pages is staged, applying it now");
                    // Between the notification and now the owner may have withdrawn it.
                    let _ = update::apply_now();
                }
                Event::SocketChanged(change) => socket::wake(change),
                // The rest is not of interest here.
                _ => {}
            }
        }
    }
}
