//! Traits that the hypervisor needs from chip and board.
#![no_std]
#![forbid(unsafe_code)]
