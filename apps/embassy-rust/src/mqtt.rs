//! A conversation with an MQTT broker, over a stream of the SDK and a client from crates.io that was not changed for it.

use bulkhead_sdk::console::{self, Typed};
use bulkhead_sdk::socket::Stream;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use rust_mqtt::Bytes;
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::Client;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{ConnectOptions, PublicationOptions, SubscriptionOptions, TopicReference};
use rust_mqtt::types::{MqttString, TopicFilter, TopicName};

/// How often the console is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often the broker hears from us.
const PING_EVERY: Duration = Duration::from_secs(20);

type Talk<'c> = Client<'c, 'c, Stream, BumpBuffer<'c>, 1, 1, 1, 0, 0, 0, 0>;

/// What went wrong, for the console.
type Failure = &'static str;

/// Waits to be told where the broker is, and talks with it until one of them has enough.
#[embassy_executor::task]
pub(crate) async fn talk() {
    console::start();
    let mut typed = Typed::<96>::new();
    loop {
        typed.clear();
        while !typed.take() {
            Timer::after(LOOK_EVERY).await;
        }
        let mut words = typed.as_str().split(' ');
        let (Some("mqtt"), Some(host), Some(port)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(port) = port.parse() else { continue };
        if let Err(failure) = converse(host, port).await {
            console::line(format_args!("mqtt failed: {failure}"));
            log::warn!("embassy: mqtt: {failure}");
        }
    }
}

async fn converse(host: &str, port: u16) -> Result<(), Failure> {
    let stream = Stream::open().map_err(|_| "no socket is free")?;
    stream.connected(host, port).await.map_err(|_| "the broker is not reached")?;
    let mut memory = [0; 1024];
    let mut memory = BumpBuffer::new(&mut memory);
    let mut client = Talk::new(&mut memory);
    let name = MqttString::try_from("embassy").map_err(|_| "no name")?;
    let options = ConnectOptions::new().clean_start();
    client.connect(stream, &options, Some(name)).await.map_err(|_| "the broker does not let us in")?;
    let told = TopicFilter::new(topic("embassy/told")?).ok_or("no filter")?;
    client.subscribe(told, &SubscriptionOptions::new()).await.map_err(|_| "not subscribed")?;
    next(&mut client).await?;
    console::line(format_args!("mqtt ready"));
    let said = TopicName::new(topic("embassy/said")?).ok_or("no topic")?;
    let options = PublicationOptions::new(TopicReference::Name(said));
    client.publish(&options, Bytes::from("hello 1".as_bytes())).await.map_err(|_| "not published")?;
    loop {
        // Looking for the next packet may be given up without losing a byte of it.
        match select(client.poll_header(), Timer::after(PING_EVERY)).await {
            Either::First(header) => {
                let header = header.map_err(|_| "the broker has gone")?;
                let event = client.poll_body(header).await.map_err(|_| "the broker is not understood")?;
                if let Event::Publish(publish) = event {
                    let text = core::str::from_utf8(publish.message.as_bytes()).unwrap_or("(no text)");
                    console::line(format_args!("told {text}"));
                }
                forget(&mut client);
            }
            Either::Second(()) => client.ping().await.map_err(|_| "the broker has gone")?,
        }
    }
}

fn topic(text: &'static str) -> Result<MqttString<'static>, Failure> {
    MqttString::try_from(text).map_err(|_| "no topic")
}

/// Waits for one packet and drops it.
async fn next(client: &mut Talk<'_>) -> Result<(), Failure> {
    client.poll().await.map_err(|_| "the broker has gone")?;
    forget(client);
    Ok(())
}

/// Frees the memory of packets.
fn forget(client: &mut Talk<'_>) {
    // SAFETY: what the client returned before was dropped by its callers, who kept nothing of it.
    unsafe { client.buffer_mut().reset() };
}
