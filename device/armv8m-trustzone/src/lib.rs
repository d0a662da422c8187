//! TrustZone-M of the Cortex-M33: worlds, gateways, faults; all assembly.
#![no_std]
#![forbid(unsafe_code)]
