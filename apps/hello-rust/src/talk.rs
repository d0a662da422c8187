//! What is typed into the console leads to a peer, through `embedded-nal`:
//!
//! * `tcp HOST PORT BYTES`: connects, sends so many bytes, takes them back and compares;
//! * `mqtt HOST PORT`: talks with a broker, see [`crate::mqtt`].

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use bulkhead_sdk::socket::Stream;
use bulkhead_sdk::socket_nal::{Network, NetworkError};
use bulkhead_sdk::{clock, console};
use embedded_nal::{AddrType, Dns, TcpClientStack, nb};

use crate::mqtt;

/// How long an answer is waited for. A connect is given up by the hypervisor before that.
const PATIENCE_US: u64 = 25_000_000;

/// What went wrong.
pub(crate) enum Failure {
    /// The network said so.
    Network(NetworkError),
    /// The MQTT client said so.
    Mqtt(minimq::Error<NetworkError>),
    /// A byte came back as another one.
    Differs,
    /// It took too long.
    TooSlow,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Whose fault it was.
            Self::Network(NetworkError::Closed(reason)) => write!(f, "{reason:?}"),
            Self::Network(error) => write!(f, "{error:?}"),
            Self::Mqtt(error) => write!(f, "{error:?}"),
            Self::Differs => f.write_str("Differs"),
            Self::TooSlow => f.write_str("TooSlow"),
        }
    }
}

/// What the application does while it waits.
pub(crate) type Idle<'i> = &'i mut dyn FnMut();

/// Does what a line says, and says on the console how it went.
pub(crate) fn obey(line: &str, idle: Idle<'_>) {
    let mut words = line.split(' ');
    let (Some(name), Some(host), Some(port)) = (words.next(), words.next(), words.next()) else { return };
    let Ok(port) = port.parse() else { return };
    match (name, words.next().and_then(|total| total.parse().ok())) {
        ("tcp", Some(total)) => match echo(host, port, total, idle) {
            Ok(()) => console::line(format_args!("tcp ok {total}")),
            Err(failure) => console::line(format_args!("tcp failed: {failure}")),
        },
        ("mqtt", None) => {
            if let Err(failure) = find(host, idle).and_then(|address| mqtt::talk(address, port, idle)) {
                console::line(format_args!("mqtt failed: {failure}"));
            }
        }
        _ => {}
    }
}

/// Asks until there is an answer.
fn wait<T>(idle: Idle<'_>, mut ask: impl FnMut() -> nb::Result<T, NetworkError>) -> Result<T, Failure> {
    let until_us = now_us().saturating_add(PATIENCE_US);
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(nb::Error::Other(error)) => return Err(Failure::Network(error)),
            Err(nb::Error::WouldBlock) if now_us() > until_us => return Err(Failure::TooSlow),
            Err(nb::Error::WouldBlock) => idle(),
        }
    }
}

pub(crate) fn now_us() -> u64 {
    // The clock runs from the start.
    clock::monotonic_us().unwrap_or_default()
}

/// An address as it is written, or what the name stands for.
fn find(host: &str, idle: Idle<'_>) -> Result<IpAddr, Failure> {
    let mut network = Network::default();
    match host.parse() {
        Ok(address) => Ok(address),
        Err(_) => wait(idle, || network.get_host_by_name(host, AddrType::IPv4)),
    }
}

fn echo(host: &str, port: u16, total: u32, idle: Idle<'_>) -> Result<(), Failure> {
    let peer = SocketAddr::new(find(host, idle)?, port);
    let mut network = Network::default();
    let mut stream: Stream = TcpClientStack::socket(&mut network).map_err(Failure::Network)?;
    wait(idle, || TcpClientStack::connect(&mut network, &mut stream, peer))?;
    let (mut sent, mut received) = (0, 0);
    let mut buffer = [0; 512];
    while received < total {
        // Both directions flow at the same time: the peer sends back before it has all.
        let received_now = wait(idle, || {
            let n = fill(&mut buffer, total, sent);
            let piece = buffer.get(..n).unwrap_or_default();
            if !piece.is_empty() {
                match TcpClientStack::send(&mut network, &mut stream, piece) {
                    Ok(n) => sent += u32::try_from(n).unwrap_or(u32::MAX),
                    Err(nb::Error::WouldBlock) => {}
                    Err(other) => return Err(other),
                }
            }
            TcpClientStack::receive(&mut network, &mut stream, &mut buffer)
        })?;
        for byte in buffer.iter().take(received_now) {
            if *byte != byte_at(total, received) {
                return Err(Failure::Differs);
            }
            received += 1;
        }
    }
    Ok(())
}

/// Writes the bytes from `at` on to the buffer; returns how many.
fn fill(buffer: &mut [u8], total: u32, at: u32) -> usize {
    let mut n = 0;
    for (byte, place) in buffer.iter_mut().zip(at..total) {
        *byte = byte_at(total, place);
        n += 1;
    }
    n
}

/// The byte that belongs there: another one for each length.
const fn byte_at(seed: u32, at: u32) -> u8 {
    let [.., high] = seed.wrapping_add(at).wrapping_mul(2_654_435_761).to_le_bytes();
    high
}
