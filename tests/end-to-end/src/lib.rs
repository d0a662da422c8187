//! Server, tool and emulated device together: what the end-to-end tests, the demo and the soak are made of.
//!
//! It uses the product as a person does: the programs `bulkhead-server` and `bulkhead`, and a virtual device.
//! Invariant: every process and folder that is started or made here ends with the value that holds it.
#![forbid(unsafe_code)]

pub mod cable;
pub mod child;
pub mod crash;
pub mod deadline;
pub mod debugger;
pub mod developer;
pub mod device;
pub mod flash;
pub mod fleet;
pub mod folder;
pub mod gdb_testsuite;
pub mod halted;
pub mod meter;
pub mod own_network;
pub mod owner;
pub mod peers;
pub mod programs;
pub mod receiver;
pub mod recorder;
mod relay;
pub mod resolver;
pub mod scenes;
pub mod server;
pub mod story;
pub mod tool;
pub mod waiting;
pub mod without_hypervisor;
