//! What a factory draws for each device.

use crate::{Error, io_error};

/// A fresh device's secrets, from the operating system's random source. No `Debug`: they are not to be printed.
#[derive(Clone, Eq, PartialEq)]
pub struct DeviceSecrets {
    /// X25519 private key.
    pub device_private_key: [u8; 32],
    /// Root of all keys that seal what the device stores.
    pub storage_root: [u8; 32],
    /// First seed of the device's generator of random numbers.
    pub entropy_seed: [u8; 32],
    /// Token by which the owner claims the device, once.
    pub claim_token: [u8; 16],
}

impl DeviceSecrets {
    /// Draws them.
    ///
    /// # Errors
    /// [`Error::Io`]: the operating system has no randomness to give.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self {
            device_private_key: draw()?,
            storage_root: draw()?,
            entropy_seed: draw()?,
            claim_token: draw()?,
        })
    }
}

fn draw<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let failed = io_error("could not draw from", "the system's random source");
    getrandom::fill(&mut bytes).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
    Ok(bytes)
}
