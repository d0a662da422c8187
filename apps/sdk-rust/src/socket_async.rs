//! Streams for `async`: who waits for a socket is woken by the notification about it.
//!
//! One task takes the notifications and passes each [`Change`] to [`wake`]. A task that waits leaves its waker before it
//! asks for the last time, so a notification in between is not lost.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use critical_section::Mutex;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

use crate::Error;
use crate::socket::{Change, Reason, State, Stream};

/// One for a reader and one for a writer of each socket.
const WAITING_MAX: usize =
    2 * (crate::abi::BH_SOCKET_STREAMS_MAX as usize + crate::abi::BH_SOCKET_DATAGRAMS_MAX as usize);

#[derive(Clone, Copy, Eq, PartialEq)]
enum Half {
    Reader,
    Writer,
}

type Waiting = [Option<(u32, Half, Waker)>; WAITING_MAX];

static WAITING: Mutex<RefCell<Waiting>> = Mutex::new(RefCell::new([const { None }; WAITING_MAX]));

/// Wakes whoever waits for this socket.
pub fn wake(change: Change) {
    critical_section::with(|cs| {
        for entry in WAITING.borrow_ref_mut(cs).iter_mut() {
            if let Some((_, _, waker)) = entry.take_if(|(handle, ..)| *handle == change.handle) {
                waker.wake();
            }
        }
    });
}

fn wait_for(handle: u32, half: Half, waker: &Waker) {
    critical_section::with(|cs| {
        let mut waiting = WAITING.borrow_ref_mut(cs);
        let same = |entry: &&mut Option<(u32, Half, Waker)>| {
            entry.as_ref().is_some_and(|(other, side, _)| (*other, *side) == (handle, half))
        };
        if let Some(entry) = waiting.iter_mut().find(same) {
            *entry = Some((handle, half, waker.clone()));
        } else if let Some(entry) = waiting.iter_mut().find(|entry| entry.is_none()) {
            *entry = Some((handle, half, waker.clone()));
        } else {
            // Entries of sockets that are gone fill the table: all are woken, and who still waits comes back.
            for entry in waiting.iter_mut() {
                if let Some((_, _, waker)) = entry.take() {
                    waker.wake();
                }
            }
            waker.wake_by_ref();
        }
    });
}

impl Stream {
    /// Connects, and waits until it is.
    ///
    /// # Errors
    /// [`Error::NotConnected`]: the status says why. [`Error::ArgumentRefused`]: no name, or port 0.
    pub async fn connected(&self, host: &str, port: u16) -> Result<(), Error> {
        poll_fn(|context| {
            wait_for(self.handle(), Half::Writer, context.waker());
            match self.connect(host, port) {
                // Another name waits for its turn, which is over soon.
                Err(Error::Busy) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                other => Poll::Ready(other),
            }
        })
        .await?;
        poll_fn(|context| {
            wait_for(self.handle(), Half::Writer, context.waker());
            Poll::Ready(match self.status() {
                Ok(status) => match status.state {
                    State::Connected | State::PeerDone => Ok(()),
                    State::Closed(_) => Err(Error::NotConnected),
                    State::Open | State::Resolving | State::Connecting | State::Unknown(_) => {
                        return Poll::Pending;
                    }
                },
                Err(error) => Err(error),
            })
        })
        .await
    }
}

impl Stream {
    /// Whether nothing more comes because nothing more was sent. Who shut the own half down before finds the stream closed
    /// by then.
    fn peer_has_sent_all(&self) -> bool {
        let state = self.status().map(|status| status.state);
        matches!(state, Ok(State::PeerDone | State::Closed(Reason::ClosedByPeer)))
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotConnected | Self::HandleUnknown => ErrorKind::NotConnected,
            Self::ArgumentRefused | Self::PointerRefused => ErrorKind::InvalidInput,
            Self::LimitReached => ErrorKind::OutOfMemory,
            _ => ErrorKind::Other,
        }
    }
}

impl ErrorType for Stream {
    type Error = Error;
}

impl Read for Stream {
    /// 0 bytes mean that the peer has sent all.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        poll_fn(|context| {
            wait_for(self.handle(), Half::Reader, context.waker());
            match self.receive(buffer) {
                Err(Error::NothingPending | Error::Busy) => Poll::Pending,
                Err(Error::NotConnected) if self.peer_has_sent_all() => Poll::Ready(Ok(0)),
                other => Poll::Ready(other),
            }
        })
        .await
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        if bytes.is_empty() {
            return Ok(0);
        }
        poll_fn(|context| {
            wait_for(self.handle(), Half::Writer, context.waker());
            match self.send(bytes) {
                Err(Error::Busy) => Poll::Pending,
                other => Poll::Ready(other),
            }
        })
        .await
    }

    /// What was written leaves by itself.
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::task::Context;

    use super::*;
    use crate::{abi, scripted};

    /// What a reader is told of a stream with nothing more to receive that is in this state.
    fn read_at_the_end(state: u32, reason: u32) -> Poll<Result<usize, Error>> {
        scripted::answer(move |slot, arguments| match slot {
            abi::SLOT_BH_SOCKET_RECEIVE => abi::BH_STATUS_NOT_CONNECTED,
            abi::SLOT_BH_SOCKET_STATUS_READ => {
                scripted::write_words(arguments[1], &scripted::socket_status(state, reason, 1));
                abi::BH_STATUS_OK
            }
            _ => abi::BH_STATUS_OK,
        });
        let mut stream = Stream::open().unwrap();
        let mut buffer = [0; 4];
        let mut context = Context::from_waker(Waker::noop());
        pin!(stream.read(&mut buffer)).poll(&mut context)
    }

    #[test]
    fn the_peers_end_is_no_error_whether_the_own_half_was_ended_before_or_not() {
        assert_eq!(read_at_the_end(abi::BH_SOCKET_STATE_PEER_DONE, 0), Poll::Ready(Ok(0)));
        let both_ended = abi::BH_SOCKET_REASON_CLOSED_BY_PEER;
        assert_eq!(read_at_the_end(abi::BH_SOCKET_STATE_CLOSED, both_ended), Poll::Ready(Ok(0)));
    }

    #[test]
    fn a_connection_that_was_broken_off_is_an_error() {
        let broken = abi::BH_SOCKET_REASON_RESET_BY_PEER;
        let read = read_at_the_end(abi::BH_SOCKET_STATE_CLOSED, broken);
        assert_eq!(read, Poll::Ready(Err(Error::NotConnected)));
    }
}
