//! What can go wrong between a tool and a server.

use std::fmt;

use bulkhead_cloud_api::Problem;

/// Why a request came to nothing. The variant says whose fault it was.
#[derive(Clone, Debug)]
pub enum ClientError {
    /// The server answered that it will not, and why.
    Problem(Box<Problem>),
    /// No answer came, or a proxy's in place of the server's.
    Unreachable {
        /// Address of the server.
        server: String,
        /// Why, in the system's words or the proxy's.
        why: String,
    },
    /// The address is not one. The caller's fault.
    Address {
        /// What was given.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name of something on the server is empty. The caller's fault.
    Nameless,
    /// Something answered that is no Bulkhead server, or one of another generation.
    NotBulkhead {
        /// Address of the server.
        server: String,
        /// Its HTTP status.
        status: u16,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => write!(f, "{problem}"),
            Self::Unreachable { server, why } => write!(f, "no answer from {server}: {why}"),
            Self::Address { server, why } => write!(f, "`{server}` is no address of a server: {why}"),
            Self::Nameless => write!(f, "an id or name is empty"),
            Self::NotBulkhead { server, status } => {
                write!(f, "{server} answered (status {status}), but not as a Bulkhead server does")
            }
        }
    }
}

impl std::error::Error for ClientError {}
