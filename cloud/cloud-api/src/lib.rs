//! Types of the REST API, shared by server and clients.
//!
//! Normative text: `docs/spec/rest-api.md` and the generated `openapi.json` beside this crate. A type here is
//! the one place where a field of the API is named; the server fills it, clients read it. Clients skip fields
//! that they do not know.
#![forbid(unsafe_code)]

mod bytes;
mod configuration;
mod crash;
mod debug;
mod device;
mod fleet;
mod id;
mod message;
mod owner;
mod problem;
mod time;
mod token;

pub use bytes::{as_text, from_base64, to_base64};
pub use configuration::*;
pub use crash::*;
pub use debug::*;
pub use device::*;
pub use fleet::*;
pub use id::{BundleReference, DeviceId, ManifestDigest, TextError, from_hex, to_hex};
pub use message::*;
pub use owner::*;
pub use problem::{PROBLEM_CONTENT_TYPE, Problem, ProblemCode};
pub use time::Timestamp;
pub use token::*;

/// Path below which everything of this version lives.
pub const API_PREFIX: &str = "/api/v1";

/// Most items of one page of a list.
pub const PAGE_ITEMS_MAX: u32 = 500;

/// Items of a page if the caller does not say.
pub const PAGE_ITEMS_DEFAULT: u32 = 100;

/// Longest bundle file that a server accepts, in bytes.
pub const BUNDLE_FILE_LEN_MAX: usize = 16 * 1024 * 1024;

/// Longest name of a device, an account or a token, in bytes.
pub const NAME_LEN_MAX: usize = 64;
