//! Drivers of QEMU's mps2-an505.
#![no_std]
#![forbid(unsafe_code)]
