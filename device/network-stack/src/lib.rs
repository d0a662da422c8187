//! DHCP, DNS and TCP over an Ethernet bearer.
#![no_std]
#![forbid(unsafe_code)]
