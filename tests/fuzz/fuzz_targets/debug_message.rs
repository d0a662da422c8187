//! Whatever a developer or a device sends in a debug session is a message or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bulkhead_debug_protocol::fuzz_message(bytes));
