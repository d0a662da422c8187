//! A virtual board: provision its non-volatile memory, run it in QEMU, cut its power.
#![forbid(unsafe_code)]
