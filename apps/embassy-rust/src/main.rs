//! Embassy: async tasks, one of them woken by the interrupt line that the hypervisor pends for its news, and one that
//! speaks MQTT with a broker once `mqtt HOST PORT` is typed into the console.
#![no_std]
#![no_main]

mod mqtt;
mod time;

use bulkhead_sdk::notification::{self, Event};
use bulkhead_sdk::{socket, update};
use embassy_executor::Spawner;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Ticker};
use log::LevelFilter;

mod interrupts;

static SAMPLES: Channel<CriticalSectionRawMutex, u32, 4> = Channel::new();
/// Raised by the interrupt line of the hypervisor's notifications.
static NEWS: Signal<CriticalSectionRawMutex, ()> = Signal::new();

#[embassy_executor::task]
async fn measure() {
    let mut ticker = Ticker::every(Duration::from_millis(250));
    for number in 0.. {
        SAMPLES.send(number).await;
        ticker.next().await;
    }
}

#[embassy_executor::task]
async fn listen() {
    interrupts::start();
    loop {
        while let Some(notification) = notification::next() {
            match notification.event {
                Event::Online => log::info!("embassy: online"),
                Event::Offline => log::info!("embassy: offline"),
                Event::UpdateReady(pages) => {
                    log::info!("embassy: an update of {pages} pages is staged, applying it now");
                    // Between the notification and now the owner may have withdrawn it.
                    let _ = update::apply_now();
                }
                Event::SocketChanged(change) => socket::wake(change),
                // The rest is not of interest here.
                _ => {}
            }
        }
        NEWS.wait().await;
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    // A second logger cannot be there yet.
    let _ = bulkhead_sdk::logger::start(LevelFilter::Debug);
    log::info!("embassy starts, wake reason {:?}", bulkhead_sdk::wake_reason());
    time::start();
    if let (Ok(measure), Ok(listen), Ok(talk)) = (measure(), listen(), mqtt::talk()) {
        spawner.spawn(measure);
        spawner.spawn(listen);
        spawner.spawn(talk);
    } else {
        log::error!("embassy: a task was not spawned");
    }
    loop {
        let number = SAMPLES.receive().await;
        if number % 4 == 0 {
            log::info!("embassy sample {number}");
        }
    }
}
