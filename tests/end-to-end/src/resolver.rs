//! A DNS server on port 53 of the loopback, which says whatever a test wants. See [`crate::own_network`].

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// The name is unknown.
pub const NAME_UNKNOWN: u8 = 3;
/// The resolver failed.
pub const SERVER_FAILED: u8 = 2;

/// Where the header ends and the question begins.
const HEADER_LEN: usize = 12;

/// A query as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    bytes: Vec<u8>,
}

impl Query {
    /// The name that it asks for.
    pub fn name(&self) -> String {
        let (mut at, mut labels) = (HEADER_LEN, Vec::new());
        while let Some(len @ 1..) = self.bytes.get(at).map(|len| usize::from(*len)) {
            let label = self.bytes.get(at + 1..at + 1 + len).unwrap_or_default();
            labels.push(String::from_utf8_lossy(label).into_owned());
            at += 1 + len;
        }
        labels.join(".")
    }

    /// Where an answer's own bytes begin: behind header and question.
    pub fn answers_at(&self) -> usize {
        self.bytes.len()
    }

    /// A whole answer with these addresses.
    pub fn answer(&self, addresses: &[[u8; 4]]) -> Vec<u8> {
        self.head(0, u16::try_from(addresses.len()).unwrap_or(u16::MAX), addresses)
    }

    /// An answer that says why there is none.
    pub fn refusal(&self, code: u8) -> Vec<u8> {
        self.head(code, 0, &[])
    }

    /// An answer that says that it holds `count` addresses, whatever follows.
    pub fn head(&self, code: u8, count: u16, addresses: &[[u8; 4]]) -> Vec<u8> {
        let mut out = self.bytes.clone();
        let [high, low] = count.to_be_bytes();
        // An answer, recursion available; one question, as it came.
        for (at, byte) in [(2, 0x81), (3, 0x80 | code), (6, high), (7, low)] {
            if let Some(to) = out.get_mut(at) {
                *to = byte;
            }
        }
        for address in addresses {
            // The name is the question's; type A, class IN, a minute, four bytes.
            out.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            out.extend(address);
        }
        out
    }
}

/// The server. It ends with the process.
#[derive(Debug)]
pub struct Resolver {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Resolver {
    /// Answers each query with the datagrams that `zone` makes of it, one after the other.
    ///
    /// # Errors
    /// Port 53 is not free or not ours to take.
    pub fn start(mut zone: impl FnMut(&Query) -> Vec<Vec<u8>> + Send + 'static) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:53").context("failed to bind port 53")?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            let mut datagram = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut datagram) {
                let query = Query { bytes: datagram.get(..len).unwrap_or_default().to_vec() };
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(query.name());
                for answer in zone(&query) {
                    // A datagram may be lost.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self { asked })
    }

    /// The names that it was asked for so far, as often as it was.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
