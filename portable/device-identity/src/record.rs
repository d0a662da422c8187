//! The record: reading without panics, writing into a slice.

use core::fmt;
use core::net::IpAddr;

use bulkhead_checksum::crc32;
use bulkhead_keyed_cbor::{Decode, Encode, Reader, Shape, Writer};

use crate::device_id::{DeviceId, device_id, public_key};
use crate::{HOST_LEN_MAX, IDENTITY_LEN_MAX, IDENTITY_MAGIC, IDENTITY_VERSION, SIGNING_KEYS_MAX};

/// Magic, version and length.
const HEADER_LEN: usize = 8;

/// CRC-32 behind the CBOR.
const CRC_LEN: usize = 4;

/// Keys of the CBOR map.
const MAP_LEN: u64 = 9;

/// The server's static X25519 public keys that a device accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerKeys {
    /// Tried first.
    pub current: [u8; 32],
    /// Tried when the current one failed repeatedly.
    pub next: Option<[u8; 32]>,
}

/// Everything a factory gives a device. `Debug` leaves the secrets out.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Identity<'a> {
    /// X25519 private key; the device id follows from it. Secret.
    pub device_private_key: [u8; 32],
    /// Root of all keys that seal what the device stores. Secret.
    pub storage_root: [u8; 32],
    /// First seed of the device's generator of random numbers. Secret.
    pub entropy_seed: [u8; 32],
    /// Id of the server's realm, part of the link's prologue.
    pub realm_id: [u8; 16],
    /// Keys of the server.
    pub server_keys: ServerKeys,
    /// IP literal or DNS name of the server, 1 to [`HOST_LEN_MAX`] bytes.
    pub server_host: &'a str,
    /// TCP port of the server, 1 to 65535.
    pub server_port: u16,
    /// The owner's Ed25519 public keys for manifests, 1 to [`SIGNING_KEYS_MAX`].
    pub signing_keys: &'a [[u8; 32]],
    /// Token by which the owner claims the device, once. Secret until used.
    pub claim_token: [u8; 16],
}

/// Why there is no identity. Flash and factory are at fault, never the device's owner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdentityError {
    /// The page is erased: the device was never provisioned.
    Blank,
    /// The magic is missing: something else lies there.
    Magic,
    /// A version of the record that this code does not know.
    Version(u16),
    /// The length is impossible.
    Length,
    /// The CRC does not fit: the record is damaged.
    Crc,
    /// The CBOR is not what the clause prescribes.
    Malformed,
    /// The server's host is neither an IP literal nor a DNS name, or the port is 0.
    Server,
    /// No signing key, or more than [`SIGNING_KEYS_MAX`].
    SigningKeys,
    /// The buffer given for writing is too short.
    BufferTooSmall,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => write!(f, "the identity page is blank: the device was never provisioned"),
            Self::Magic => write!(f, "the identity page holds something else than an identity"),
            Self::Version(v) => {
                write!(f, "identity record version {v} is not known here; {IDENTITY_VERSION} is")
            }
            Self::Length => write!(f, "the identity record has an impossible length"),
            Self::Crc => write!(f, "the identity record is damaged: its checksum is wrong"),
            Self::Malformed => write!(f, "the identity record is malformed"),
            Self::Server => write!(f, "the server is neither an IP address nor a DNS name with a port"),
            Self::SigningKeys => write!(f, "1 to {SIGNING_KEYS_MAX} signing keys are needed"),
            Self::BufferTooSmall => write!(f, "the buffer is too short for the identity record"),
        }
    }
}

impl core::error::Error for IdentityError {}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("realm_id", &self.realm_id)
            .field("server_keys", &self.server_keys)
            .field("server_host", &self.server_host)
            .field("server_port", &self.server_port)
            .field("signing_keys", &self.signing_keys)
            .finish_non_exhaustive()
    }
}

impl<'a> Identity<'a> {
    /// Reads the record at the start of `page`; what follows it is ignored.
    ///
    /// # Errors
    /// [`IdentityError`]: there is no identity, and why.
    pub fn parse(page: &'a [u8]) -> Result<Self, IdentityError> {
        let Some((magic, rest)) = page.split_first_chunk::<4>() else { return Err(IdentityError::Length) };
        if *magic == [0xFF; 4] {
            return Err(IdentityError::Blank);
        }
        if magic != IDENTITY_MAGIC {
            return Err(IdentityError::Magic);
        }
        let Some(([v0, v1, l0, l1], rest)) = rest.split_first_chunk::<4>() else {
            return Err(IdentityError::Length);
        };
        let version = u16::from_be_bytes([*v0, *v1]);
        if version != IDENTITY_VERSION {
            return Err(IdentityError::Version(version));
        }
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        if len > IDENTITY_LEN_MAX - HEADER_LEN - CRC_LEN {
            return Err(IdentityError::Length);
        }
        let (cbor, rest) = rest.split_at_checked(len).ok_or(IdentityError::Length)?;
        let (crc, _) = rest.split_first_chunk::<CRC_LEN>().ok_or(IdentityError::Length)?;
        let covered = page.get(..HEADER_LEN + len).ok_or(IdentityError::Length)?;
        if crc32(0, covered) != u32::from_be_bytes(*crc) {
            return Err(IdentityError::Crc);
        }
        let identity = decode(cbor).ok_or(IdentityError::Malformed)?;
        identity.check()?;
        Ok(identity)
    }

    /// Writes the record into `out` and returns its length in bytes.
    ///
    /// # Errors
    /// [`IdentityError::Server`], [`IdentityError::SigningKeys`]: the factory's data; [`IdentityError::BufferTooSmall`]:
    /// [`IDENTITY_LEN_MAX`] always suffices.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, IdentityError> {
        self.check()?;
        let short = IdentityError::BufferTooSmall;
        let limit = out.len().min(IDENTITY_LEN_MAX);
        let out = out.get_mut(..limit).ok_or(short)?;
        let (header, body) = out.split_at_mut_checked(HEADER_LEN).ok_or(short)?;
        let mut writer = Writer::new(body);
        self.encode(&mut writer);
        let len = writer.written().ok_or(short)?;
        let [v0, v1] = IDENTITY_VERSION.to_be_bytes();
        let [l0, l1] = u16::try_from(len).map_err(|_| short)?.to_be_bytes();
        let [m0, m1, m2, m3] = *IDENTITY_MAGIC;
        header.copy_from_slice(&[m0, m1, m2, m3, v0, v1, l0, l1]);
        let end = HEADER_LEN + len;
        let crc = crc32(0, out.get(..end).ok_or(short)?).to_be_bytes();
        out.get_mut(end..end + CRC_LEN).ok_or(short)?.copy_from_slice(&crc);
        Ok(end + CRC_LEN)
    }

    /// The device's X25519 public key.
    pub fn device_public_key(&self) -> [u8; 32] {
        public_key(&self.device_private_key)
    }

    /// The device's id.
    pub fn device_id(&self) -> DeviceId {
        device_id(&self.device_public_key())
    }

    /// The server's address, if its host is an IP literal; otherwise its name has to be resolved.
    pub fn server_address(&self) -> Option<IpAddr> {
        self.server_host.parse().ok()
    }

    fn check(&self) -> Result<(), IdentityError> {
        if !is_host(self.server_host) || self.server_port == 0 {
            return Err(IdentityError::Server);
        }
        if self.signing_keys.is_empty() || self.signing_keys.len() > SIGNING_KEYS_MAX {
            return Err(IdentityError::SigningKeys);
        }
        Ok(())
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        let keyed: [(u8, &dyn Encode); 9] = [
            (0, &self.device_private_key),
            (1, &self.storage_root),
            (2, &self.entropy_seed),
            (3, &self.realm_id),
            (4, &self.server_keys),
            (5, &self.server_host),
            (6, &self.server_port),
            (7, &self.signing_keys.as_flattened()),
            (8, &self.claim_token),
        ];
        writer.members(Shape::Map, &keyed);
    }
}

impl Encode for ServerKeys {
    fn encode(&self, writer: &mut Writer<'_>) {
        let Self { current, next } = self;
        writer.array(if next.is_some() { 2 } else { 1 });
        writer.bytes(current);
        if let Some(next) = next {
            writer.bytes(next);
        }
    }
}

/// Whether `host` is an IP literal or could be a DNS name.
pub fn is_host(host: &str) -> bool {
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A name that ends in digits alone would be a mistyped address.
    let last_is_number = host.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= HOST_LEN_MAX && host.split('.').all(label_ok) && !last_is_number
}

/// Only the one form that is written: every key, in order, and nothing behind them.
fn decode(cbor: &[u8]) -> Option<Identity<'_>> {
    let reader = &mut Reader::new(cbor);
    if reader.map()? != MAP_LEN {
        return None;
    }
    let identity = Identity {
        device_private_key: keyed(reader, 0)?,
        storage_root: keyed(reader, 1)?,
        entropy_seed: keyed(reader, 2)?,
        realm_id: keyed(reader, 3)?,
        server_keys: keyed(reader, 4)?,
        server_host: keyed(reader, 5)?,
        server_port: keyed(reader, 6)?,
        signing_keys: match keyed::<&[u8]>(reader, 7)?.as_chunks() {
            (keys, []) => keys,
            _ => return None,
        },
        claim_token: keyed(reader, 8)?,
    };
    reader.is_at_end().then_some(identity)
}

impl<'b> Decode<'b> for ServerKeys {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        let len = reader.array()?;
        let current = Decode::decode(reader)?;
        match len {
            1 => Some(Self { current, next: None }),
            2 => Some(Self { current, next: Some(Decode::decode(reader)?) }),
            _ => None,
        }
    }
}

fn keyed<'b, T: Decode<'b>>(reader: &mut Reader<'b>, wanted: u8) -> Option<T> {
    if u8::decode(reader)? == wanted { T::decode(reader) } else { None }
}
