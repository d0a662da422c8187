//! Random bytes, fit for keys.
//!
//! A library that wants a generator of `rand_core` is given one by the application, which then chooses the version:
//! `fill_bytes` is [`fill`], and `next_u32` and `next_u64` are made of it.

use crate::gateway::{call_2, checked};
use crate::{Error, abi};

/// Most bytes that one [`read`] brings.
pub const LEN_MAX: usize = abi::BH_RANDOM_LEN_MAX as usize;

/// Fills `buffer`, of at most [`LEN_MAX`] bytes, in one call; also from a handler.
///
/// # Errors
/// [`Error::Busy`]: fewer are ready; ask again. [`Error::ArgumentRefused`]: none, or too many. [`Error::CallUnknown`]: the
/// hypervisor is older than the call.
pub fn read(buffer: &mut [u8]) -> Result<(), Error> {
    checked(call_2(abi::SLOT_BH_RANDOM_READ, buffer.as_mut_ptr().expose_provenance(), buffer.len()))
}

/// Fills `buffer`, however long it is. Asks until as many are ready, so not from a handler: the hypervisor draws them while
/// no handler runs.
///
/// # Errors
/// [`Error::CallUnknown`]: the hypervisor is older than the call. Nothing of `buffer` is random then.
pub fn fill(buffer: &mut [u8]) -> Result<(), Error> {
    for piece in buffer.chunks_mut(LEN_MAX) {
        while let Err(error) = read(piece) {
            if error != Error::Busy {
                return Err(error);
            }
        }
    }
    Ok(())
}
