//! Numbers, statuses and structs that an application sees.
#![no_std]
#![forbid(unsafe_code)]
