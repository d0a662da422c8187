//! Numbers, statuses and structs that an application sees.
//!
//! This table is the interface between the worlds: gateways, dispatcher, C header and documentation are made from
//! it. Slots are append-only: a slot keeps its number, name and meaning for ever, a withdrawn call leaves a hole.
//! Normative text: `docs/spec/system-calls/`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(test)]
mod frozen;
mod generate;
mod record;
mod services;
mod sockets;
mod status;
mod structs;
mod table;
mod zig;

pub use generate::{specification_pages, write_c_header, write_rust_constants, write_specification};
pub use record::CField;
pub use services::*;
pub use sockets::*;
pub use status::Status;
pub use structs::*;
pub use table::{Argument, Call, SYSTEM_CALLS, slot, unstated};
pub use zig::write_zig;

/// Version of the interface: rises when slots are appended. Manifests name the range they work with.
pub const ABI_VERSION: u32 = 4;

/// Distance of two gateways in bytes: `SG` and one branch.
pub const GATEWAY_STRIDE_BYTES: u32 = 8;

/// Longest log text in bytes; what is longer is refused, not cut.
pub const LOG_TEXT_LEN_MAX: u32 = 256;

/// Most bytes of the application's own storage that one call reads or writes.
pub const STORAGE_TRANSFER_LEN_MAX: u32 = 256;

/// Length of a device id as text, without a terminating zero.
pub const DEVICE_ID_LEN: u32 = 34;

/// Longest message of an application, either way, in bytes.
pub const MESSAGE_LEN_MAX: u32 = 960;

/// Longest key of the configuration in bytes.
pub const CONFIG_KEY_LEN_MAX: u32 = 32;

/// Longest value of the configuration in bytes.
pub const CONFIG_VALUE_LEN_MAX: u32 = 512;

/// Keys that the configuration of one device can have.
pub const CONFIG_KEYS_MAX: u32 = 24;

/// Most random bytes that one call brings.
pub const RANDOM_LEN_MAX: u32 = 256;

/// Longest sleep of one call in milliseconds.
pub const SLEEP_MAX_MS: u32 = 86_400_000;
