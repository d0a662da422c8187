//! RTIC: an async task on SysTick time, one bound to the line that the hypervisor pends, a resource they share.
#![no_std]
#![no_main]

mod board;

use rtic_monotonics::systick::prelude::*;

systick_monotonic!(Mono, 1000);

/// What `boards/mps2-an505` is clocked with.
const CLOCK_HZ: u32 = 20_000_000;

#[rtic::app(device = crate::board, peripherals = false, dispatchers = [SOFTWARE1])]
mod app {
    use bulkhead_sdk::notification::{self, Event};
    use bulkhead_sdk::update;
    use log::LevelFilter;

    use super::*;

    #[shared]
    struct Shared {
        notifications: u32,
    }

    #[local]
    struct Local {}

    #[init]
    fn init(cx: init::Context) -> (Shared, Local) {
        // A second logger cannot be there yet.
        let _ = bulkhead_sdk::logger::start(LevelFilter::Debug);
        log::info!("rtic starts, wake reason {:?}", bulkhead_sdk::wake_reason());
        Mono::start(cx.core.SYST, CLOCK_HZ);
        // The line is one of the board's, so it is not refused.
        let _ = notification::enable(board::Interrupt::SOFTWARE0 as u8);
        // The queue is empty: nothing was spawned yet.
        let _ = report::spawn();
        (Shared { notifications: 0 }, Local {})
    }

    #[task(priority = 1, shared = [notifications])]
    async fn report(mut cx: report::Context) {
        for second in 1u32.. {
            Mono::delay(1.secs()).await;
            let heard = cx.shared.notifications.lock(|heard| *heard);
            log::info!("rtic second {second}, {heard} notifications");
        }
    }

    #[task(binds = SOFTWARE0, priority = 2, shared = [notifications])]
    fn listen(mut cx: listen::Context) {
        while let Some(notification) = notification::next() {
            cx.shared.notifications.lock(|heard| *heard += 1);
            if let Event::UpdateReady(pages) = notification.event {
                log::info!("rtic: an update of {pages} pages is staged, applying it now");
                // Between the notification and now the owner may have withdrawn it.
                let _ = update::apply_now();
            }
        }
    }
}
