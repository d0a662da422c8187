//! What may be assumed of erasable memory: a trait, its laws, a law checker.
#![no_std]
#![forbid(unsafe_code)]
