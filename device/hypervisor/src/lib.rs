//! Policy of the secure world: start, answer, contain, stay connected.
#![no_std]
#![forbid(unsafe_code)]
