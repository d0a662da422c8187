//! Bundle: manifest, areas, digests, signature, difference of two.
#![no_std]
#![forbid(unsafe_code)]
