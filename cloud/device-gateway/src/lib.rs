//! Noise gateway: one task a device link.
#![forbid(unsafe_code)]
