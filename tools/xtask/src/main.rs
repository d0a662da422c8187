//! Developer commands: doctor, setup, demo, test, bench, tidy, image.
#![forbid(unsafe_code)]
fn main() {}
