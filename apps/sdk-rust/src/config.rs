//! The configuration that the owner set, secrets included.
//!
//! It is kept on the device, sealed, and is there some milliseconds after a start, with or without a network.
//! [`crate::notification::Event::ConfigChanged`] says that another one counts.

use crate::gateway::{call_2, call_3, checked, read_u32};
use crate::{Error, abi};

/// Longest key in bytes.
pub const KEY_LEN_MAX: usize = abi::BH_CONFIG_KEY_LEN_MAX as usize;
/// Longest value in bytes.
pub const VALUE_LEN_MAX: usize = abi::BH_CONFIG_VALUE_LEN_MAX as usize;

/// A value that was copied into a buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Value<'b> {
    /// The bytes.
    pub bytes: &'b [u8],
    /// Rises each time the owner sets the key.
    pub version: u32,
    /// Whether the owner said that it is a secret.
    pub secret: bool,
}

/// What can be known of an entry without reading its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    key: [u8; KEY_LEN_MAX],
    key_len: usize,
    /// Rises each time the owner sets the key.
    pub version: u32,
    /// Length of the value in bytes.
    pub value_len: usize,
    /// Whether the owner said that it is a secret.
    pub secret: bool,
}

impl Entry {
    /// The key.
    pub fn key(&self) -> &str {
        self.key.get(..self.key_len).and_then(|key| core::str::from_utf8(key).ok()).unwrap_or_default()
    }
}

#[derive(Default)]
#[repr(C)]
struct RawValue {
    version: u32,
    value_version: u32,
    len: u32,
    secret: u32,
}
const _: () = assert!(size_of::<RawValue>() == abi::SIZE_BH_CONFIG_VALUE);

impl RawValue {
    fn in_buffer(self, buffer: &[u8]) -> Result<Value<'_>, Error> {
        let bytes = buffer.get(..self.len as usize).ok_or(Error::BufferTooSmall)?;
        Ok(Value { bytes, version: self.value_version, secret: self.secret != 0 })
    }
}

#[derive(Default)]
#[repr(C)]
struct RawEntry {
    version: u32,
    value_version: u32,
    len: u32,
    secret: u32,
    key_len: u32,
    key: [u8; KEY_LEN_MAX],
}
const _: () = assert!(size_of::<RawEntry>() == abi::SIZE_BH_CONFIG_ENTRY);

/// Reads the value of `key` into `buffer`, calling `idle` while it waits, for example `cortex_m::asm::wfi`. It waits, too,
/// as long as a read that was begun with [`begin`] is not finished.
///
/// # Errors
/// [`Error::NotFound`]: there is no such key. [`Error::BufferTooSmall`]: the value is longer than `buffer`.
pub fn get<'b>(key: &str, buffer: &'b mut [u8], mut idle: impl FnMut()) -> Result<Value<'b>, Error> {
    until_ready(|| begin(key), &mut idle)?;
    let mut raw = RawValue { version: abi::BH_CONFIG_VALUE_VERSION, ..RawValue::default() };
    let ended = until_ready(|| end(&mut raw, buffer), &mut idle);
    if ended == Err(Error::BufferTooSmall) {
        // Nobody else could read before this one is ended.
        let mut rest = [0; VALUE_LEN_MAX];
        let _ = end(&mut raw, &mut rest);
    }
    ended?;
    raw.in_buffer(buffer)
}

/// Begins to read the value of `key`; [`crate::notification::Event::ConfigDone`] says that it has ended, and [`finish`]
/// fetches it. Until then nothing else can be read.
///
/// # Errors
/// [`Error::NotFound`]: there is no such key. [`Error::Busy`]: another read was not finished, or the configuration is
/// still being read from flash.
pub fn begin(key: &str) -> Result<(), Error> {
    checked(call_2(abi::SLOT_BH_CONFIG_READ, key.as_ptr().expose_provenance(), key.len()))
}

/// Finishes what [`begin`] began: the value is in `buffer`.
///
/// # Errors
/// [`Error::Busy`]: it goes on. [`Error::NothingPending`]: nothing was begun. [`Error::BufferTooSmall`]: the value is
/// longer than `buffer`, and waits for one of [`VALUE_LEN_MAX`]. Any other ends it, too.
pub fn finish(buffer: &mut [u8]) -> Result<Value<'_>, Error> {
    let mut raw = RawValue { version: abi::BH_CONFIG_VALUE_VERSION, ..RawValue::default() };
    end(&mut raw, buffer)?;
    raw.in_buffer(buffer)
}

fn end(raw: &mut RawValue, buffer: &mut [u8]) -> Result<(), Error> {
    let (to, len) = (buffer.as_mut_ptr().expose_provenance(), buffer.len());
    checked(call_3(abi::SLOT_BH_CONFIG_RESULT_READ, (&raw mut *raw).expose_provenance(), to, len))
}

/// Entry number `index`, from 0, in the order of keys.
///
/// # Errors
/// [`Error::NotFound`]: behind the last one. [`Error::Busy`]: the configuration is still being read from flash.
pub fn entry(index: u32) -> Result<Entry, Error> {
    let mut raw = RawEntry { version: abi::BH_CONFIG_ENTRY_VERSION, ..RawEntry::default() };
    checked(call_2(abi::SLOT_BH_CONFIG_LIST, index as usize, (&raw mut raw).expose_provenance()))?;
    Ok(Entry {
        key: raw.key,
        key_len: raw.key_len as usize,
        version: raw.value_version,
        value_len: raw.len as usize,
        secret: raw.secret != 0,
    })
}

/// Revision of the configuration that counts; 0 when the owner never set one.
///
/// # Errors
/// None that a sound application can cause.
pub fn revision() -> Result<u32, Error> {
    read_u32(abi::SLOT_BH_CONFIG_REVISION_READ)
}

fn until_ready(mut call: impl FnMut() -> Result<(), Error>, idle: &mut impl FnMut()) -> Result<(), Error> {
    loop {
        match call() {
            Err(Error::Busy) => idle(),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted;

    /// A desk that holds one value of two bytes, busy until what was begun is finished.
    fn desk() {
        let mut begun = false;
        scripted::answer(move |slot, arguments| match (slot, begun) {
            (abi::SLOT_BH_CONFIG_READ, false) => {
                begun = true;
                abi::BH_STATUS_OK
            }
            (abi::SLOT_BH_CONFIG_READ, true) => abi::BH_STATUS_BUSY,
            (abi::SLOT_BH_CONFIG_RESULT_READ, true) => {
                scripted::write_words(arguments[0], &[abi::BH_CONFIG_VALUE_VERSION, 7, 2, 1]);
                if arguments[2] < 2 {
                    return abi::BH_STATUS_BUFFER_TOO_SMALL;
                }
                begun = false;
                abi::BH_STATUS_OK
            }
            _ => abi::BH_STATUS_NOTHING_PENDING,
        });
    }

    #[test]
    fn who_begins_a_read_can_finish_it_and_the_next_one_is_served() {
        desk();
        let mut buffer = [0; 4];
        assert_eq!(begin("name"), Ok(()));
        assert_eq!(begin("name"), Err(Error::Busy));
        assert_eq!(finish(&mut buffer[..1]), Err(Error::BufferTooSmall));
        let value = finish(&mut buffer).map(|value| (value.bytes.len(), value.version, value.secret));
        assert_eq!(value, Ok((2, 7, true)));
        assert_eq!(finish(&mut buffer), Err(Error::NothingPending));
        let never = || unreachable!("nothing is to be waited for");
        assert!(get("name", &mut buffer, never).is_ok());
    }

    #[test]
    fn a_get_whose_buffer_is_too_small_leaves_nothing_behind() {
        desk();
        let never = || unreachable!("nothing is to be waited for");
        assert_eq!(get("name", &mut [0; 1], never), Err(Error::BufferTooSmall));
        assert!(get("name", &mut [0; 2], never).is_ok());
    }
}
