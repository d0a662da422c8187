//! State machine of one link, both ends.
#![no_std]
#![forbid(unsafe_code)]
