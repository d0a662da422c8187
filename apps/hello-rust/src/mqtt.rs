//! A conversation with an MQTT broker, by a client from crates.io that knows nothing of Bulkhead, only `embedded-nal`.

use core::net::IpAddr;

use bulkhead_sdk::console;
use bulkhead_sdk::socket_nal::{Network, NetworkError};
use minimq::broker::{Broker as _, IpBroker};
use minimq::embedded_time::clock::Error as ClockError;
use minimq::embedded_time::rate::Fraction;
use minimq::embedded_time::{Clock, Instant};
use minimq::{ConfigBuilder, Error, Minimq, Publication};

use crate::talk::{Failure, Idle, now_us};

/// Milliseconds of the hypervisor's clock.
struct Milliseconds;

impl Clock for Milliseconds {
    type T = u32;
    const SCALING_FACTOR: Fraction = Fraction::new(1, 1000);

    fn try_now(&self) -> Result<Instant<Self>, ClockError> {
        // It may wrap; the client compares what lies close together.
        let low = u32::try_from(now_us() / 1000 % (1 << 32)).unwrap_or_default();
        Ok(Instant::new(low))
    }
}

/// Says hello to `hello-rust/said`, and on the console what is published to `hello-rust/told`, until the broker has gone.
pub(crate) fn talk(address: IpAddr, port: u16, idle: Idle<'_>) -> Result<(), Failure> {
    let mut memory = [0; 1024];
    let mut broker = IpBroker::new(address);
    broker.set_port(port);
    let Ok(config) = ConfigBuilder::new(broker, &mut memory).client_id("hello-rust") else { return Ok(()) };
    let mut mqtt: Minimq<'_, _, _, _> = Minimq::new(Network::default(), Milliseconds, config);
    let (mut subscribed, mut ready) = (false, false);
    loop {
        let heard = mqtt.poll(|_, _, message, _| {
            let text = core::str::from_utf8(message).unwrap_or("(no text)");
            console::line(format_args!("told {text}"));
        });
        match heard {
            // More may wait behind it.
            Ok(Some(())) => continue,
            // The broker knows nothing of us yet, or not any more.
            Err(Error::SessionReset) => subscribed = false,
            Ok(None) => {}
            Err(Error::Network(error)) => return Err(Failure::Network(error)),
            Err(error) => return Err(Failure::Mqtt(error)),
        }
        let client = mqtt.client();
        if client.is_connected() && !subscribed {
            client.subscribe(&["hello-rust/told".into()], &[]).map_err(failed)?;
            subscribed = true;
        } else if subscribed && !ready && !client.subscriptions_pending() {
            client.publish(Publication::new("hello-rust/said", b"hello 1".as_slice())).map_err(|error| {
                match error {
                    minimq::PubError::Error(error) => failed(error),
                    minimq::PubError::Serialization(()) => Failure::Differs,
                }
            })?;
            console::line(format_args!("mqtt ready"));
            ready = true;
        }
        idle();
    }
}

fn failed(error: Error<NetworkError>) -> Failure {
    match error {
        Error::Network(error) => Failure::Network(error),
        other => Failure::Mqtt(other),
    }
}
