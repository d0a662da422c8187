//! Every crime of the hostile application, in QEMU.
#![forbid(unsafe_code)]
