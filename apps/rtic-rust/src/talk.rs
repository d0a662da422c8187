//! What is typed into the console leads to a peer, over a stream that is a reader and writer of `embedded-io-async`:
//! `tcp HOST PORT BYTES` connects, sends so many bytes, takes them back and compares.

use bulkhead_sdk::console;
use bulkhead_sdk::socket::{State, Stream};
use embedded_io_async::{Read, ReadExactError, Write};
use rtic_monotonics::systick::prelude::*;

use crate::Mono;

/// Bytes on their way at a time. The hypervisor takes more, so that writing never waits for our own reading.
const PIECE_LEN: usize = 512;
/// How long an answer is waited for. A connect is given up by the hypervisor before that.
const PATIENCE_S: u32 = 25;

/// A line from the console.
pub(crate) type Typed = console::Typed<320>;

/// What went wrong.
enum Failure {
    /// No socket is free, or the line names no peer.
    Refused,
    /// The peer or the network has gone: the status says why.
    Gone,
    /// A byte came back as another one.
    Differs,
}

/// Does what a line says, and says on the console how it went.
pub(crate) async fn obey(line: &str) {
    let mut words = line.split(' ');
    let (Some("tcp"), Some(host), Some(port)) = (words.next(), words.next(), words.next()) else { return };
    let Some(Ok(total)) = words.next().map(str::parse) else { return };
    let (Ok(port), Ok(mut stream)) = (port.parse(), Stream::open()) else { return };
    match Mono::timeout_after(PATIENCE_S.secs(), echo(&mut stream, host, port, total)).await {
        Ok(Ok(())) => console::line(format_args!("tcp ok {total}")),
        Ok(Err(Failure::Gone)) => match stream.status().map(|status| status.state) {
            // Whose fault it was.
            Ok(State::Closed(reason)) => console::line(format_args!("tcp failed: {reason:?}")),
            other => console::line(format_args!("tcp failed: {other:?}")),
        },
        Ok(Err(Failure::Refused)) => console::line(format_args!("tcp failed: Refused")),
        Ok(Err(Failure::Differs)) => console::line(format_args!("tcp failed: Differs")),
        Err(_) => console::line(format_args!("tcp failed: TooSlow")),
    }
}

async fn echo(stream: &mut Stream, host: &str, port: u16, total: u32) -> Result<(), Failure> {
    stream.connected(host, port).await.map_err(|error| match error {
        bulkhead_sdk::Error::NotConnected => Failure::Gone,
        _ => Failure::Refused,
    })?;
    let mut buffer = [0; PIECE_LEN];
    let mut done = 0;
    while done < total {
        let mut piece = 0;
        for (byte, place) in buffer.iter_mut().zip(done..total) {
            *byte = byte_at(total, place);
            piece += 1;
        }
        let bytes = buffer.get_mut(..piece).unwrap_or_default();
        stream.write_all(bytes).await.map_err(|_| Failure::Gone)?;
        bytes.fill(0);
        stream.read_exact(bytes).await.map_err(|error: ReadExactError<_>| match error {
            ReadExactError::UnexpectedEof | ReadExactError::Other(_) => Failure::Gone,
        })?;
        for byte in bytes {
            if *byte != byte_at(total, done) {
                return Err(Failure::Differs);
            }
            done += 1;
        }
    }
    Ok(())
}

/// The byte that belongs there: another one for each length.
const fn byte_at(seed: u32, at: u32) -> u8 {
    let [.., high] = seed.wrapping_add(at).wrapping_mul(2_654_435_761).to_le_bytes();
    high
}
