//! Bundle bytes by digest.
#![forbid(unsafe_code)]
