//! Typed identifiers and their text forms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an identifier. The caller's fault; the text says what was expected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TextError(String);

impl TextError {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TextError {}

/// Lower-case hexadecimal digits of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(nibble)]));
        }
    }
    text
}

/// Reads exactly `N` bytes of hexadecimal digits, either case.
///
/// # Errors
/// [`TextError`]: another length or another character.
pub fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], TextError> {
    let wrong = || TextError(format!("expected {} hexadecimal digits", N * 2));
    let mut bytes = [0; N];
    if text.len() != N * 2 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

macro_rules! text_id {
    ($name:ident, $example:literal) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .examples([$example])
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

/// Letters before the hexadecimal digits of a device id.
const DEVICE_ID_PREFIX: &str = "BD";

/// A device: `BD` and the first 16 bytes of SHA-256 of its static public key in hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeviceId(pub [u8; 16]);

impl DeviceId {
    /// The id that a public key certifies, given SHA-256 of that key.
    pub fn from_key_hash(sha256: &[u8; 32]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&sha256[..16]);
        Self(id)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DEVICE_ID_PREFIX}{}", to_hex(&self.0))
    }
}

impl FromStr for DeviceId {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let digits = match text.get(..2) {
            Some(prefix) if prefix.eq_ignore_ascii_case(DEVICE_ID_PREFIX) => &text[2..],
            _ => return Err(TextError("a device id is `BD` and 32 hexadecimal digits".into())),
        };
        from_hex(digits)
            .map(Self)
            .map_err(|_| TextError("a device id is `BD` and 32 hexadecimal digits".into()))
    }
}

text_id!(DeviceId, "BD00112233445566778899aabbccddeeff");

/// SHA-256 of a manifest's payload: the name of what a device runs or shall run.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ManifestDigest(pub [u8; 32]);

impl fmt::Display for ManifestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl FromStr for ManifestDigest {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        from_hex(text).map(Self).map_err(|_| TextError("a manifest digest is 64 hexadecimal digits".into()))
    }
}

text_id!(ManifestDigest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

/// How a caller names a bundle: a digest, at least eight first digits of one, or `name` or `name@version`.
pub type BundleReference = String;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_id_reads_back_what_it_writes() {
        let id = DeviceId([0xA5; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in [
            "",
            "BD",
            "BDzz",
            "XX00112233445566778899aabbccddeeff",
            "ÄÖ",
            "BD+0112233445566778899aabbccddeeff",
        ] {
            assert!(text.parse::<DeviceId>().is_err(), "{text}");
        }
        assert!("00".parse::<ManifestDigest>().is_err());
    }
}
