//! Hypervisor image of the virtual board.
#![no_std]
#![no_main]
