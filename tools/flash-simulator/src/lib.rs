//! Flash with the laws of the real parts, and power that fails anywhere.
#![forbid(unsafe_code)]
