//! Stages, verifies and applies a bundle so that power may fail at any moment.
#![no_std]
#![forbid(unsafe_code)]
