//! What a factory writes into a device: keys, identity, where its server is.
#![no_std]
#![forbid(unsafe_code)]
