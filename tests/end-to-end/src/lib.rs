//! Server, tool and emulated device together.
#![forbid(unsafe_code)]
