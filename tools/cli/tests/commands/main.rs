//! The tool as a person or a script runs it, against a real server and a fake device.

#[cfg(test)]
#[expect(dead_code, reason = "shared with the server's own tests, which use all of it")]
#[path = "../../../../cloud/cloud-server/tests/server/harness/mod.rs"]
mod harness;

#[cfg(test)]
mod tool;

#[cfg(test)]
mod bundling;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod factory;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod passphrases;
#[cfg(test)]
mod powering;
#[cfg(test)]
mod words;
