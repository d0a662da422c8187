//! bulkhead-server: one binary, no required configuration.
#![forbid(unsafe_code)]
fn main() {}
