//! The name of a device: self-certifying, because it is a digest of its public key.

use core::fmt;
use core::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Letters before the hex digits.
const PREFIX: &str = "BD";

/// Hex digits of an id.
const DIGITS: usize = 32;

/// Who a device is: the first 16 bytes of SHA-256 of its static public key, written `BD` and 32 hex digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeviceId([u8; 16]);

/// The id of the device with this static X25519 public key.
pub fn device_id(public_key: &[u8; 32]) -> DeviceId {
    let digest: [u8; 32] = Sha256::digest(public_key).into();
    let (id, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
    DeviceId(*id)
}

/// The X25519 public key that belongs to a private one.
pub fn public_key(private_key: &[u8; 32]) -> [u8; 32] {
    let secret = x25519_dalek::StaticSecret::from(*private_key);
    x25519_dalek::PublicKey::from(&secret).to_bytes()
}

impl DeviceId {
    /// From its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a device id: the fault of who wrote it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeviceIdError;

impl fmt::Display for DeviceIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a device id is `{PREFIX}` and {DIGITS} hex digits")
    }
}

impl core::error::Error for DeviceIdError {}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, DeviceIdError> {
        let digits = text.strip_prefix(PREFIX).ok_or(DeviceIdError)?.as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else { return Err(DeviceIdError) };
        let mut bytes = [0; 16];
        if pairs.len() != bytes.len() {
            return Err(DeviceIdError);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

fn digit(letter: u8) -> Result<u8, DeviceIdError> {
    let value = char::from(letter).to_digit(16).ok_or(DeviceIdError)?;
    u8::try_from(value).map_err(|_| DeviceIdError)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn an_id_survives_writing_and_reading() {
        let id = device_id(&public_key(&[3; 32]));
        let text = id.to_string();
        assert_eq!(text.len(), 34);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(id, device_id(&public_key(&[3; 32])));
        assert_ne!(id, device_id(&public_key(&[4; 32])));
    }

    #[test]
    fn the_public_key_is_what_another_implementation_computes() {
        // From the ladder of RFC 7748, section 5, written down anew in Python.
        let private = core::array::from_fn(|i| u8::try_from(i).unwrap());
        let expected = hex("8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f");
        assert_eq!(public_key(&private), expected);
    }

    fn hex(text: &str) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
        bytes
    }

    #[test]
    fn anything_else_is_no_id() {
        let good = device_id(&[0; 32]).to_string();
        let long = std::format!("{good}0");
        let grouped = good.replace('a', "_").replace('0', "+");
        for bad in ["", "BD", "bd", &good[1..], &good[..33], &long, "BDzz", &grouped] {
            assert_eq!(bad.parse::<DeviceId>(), Err(DeviceIdError), "{bad}");
        }
        assert_eq!("BD€€€€€€€€€€€€".parse::<DeviceId>(), Err(DeviceIdError));
    }
}
