//! The one place where the secure world is entered.

#[cfg(test)]
use crate::scripted::enter;
use crate::{Error, abi};
#[cfg(not(test))]
use secure_world::enter;

/// On the developer's machine there is none: it is built there for its documentation and its checks.
#[cfg(all(not(test), not(target_arch = "arm")))]
mod secure_world {
    pub(super) fn enter(_slot: u32, _arguments: [usize; 4]) -> u32 {
        crate::abi::BH_STATUS_CALL_UNKNOWN
    }
}

#[cfg(all(not(test), target_arch = "arm"))]
mod secure_world {
    /// Bytes from one gateway to the next.
    const GATEWAY_LEN: usize = 8;

    unsafe extern "C" {
        /// The first gateway; a symbol of the linker script.
        static _bulkhead_gateways: u8;
    }

    /// r12 holds the caller's stack pointer: by it the hypervisor tells tasks apart that an operating system switches in the
    /// middle of a call.
    pub(super) fn enter(slot: u32, [first, second, third, fourth]: [usize; 4]) -> u32 {
        // Only the address is taken; bit 0 says Thumb.
        let gateway = (&raw const _bulkhead_gateways).addr() + slot as usize * GATEWAY_LEN + 1;
        let status;
        // SAFETY: the hypervisor keeps a gateway at this address. A slot that it does not know answers with a status;
        // registers beyond the arguments are scrubbed or kept as the calling convention demands.
        unsafe {
            core::arch::asm!(
                "mov r12, sp",
                "blx {gateway}",
                gateway = in(reg) gateway,
                inlateout("r0") first => status,
                inout("r1") second => _,
                inout("r2") third => _,
                inout("r3") fourth => _,
                out("r12") _,
                out("lr") _,
            );
        }
        status
    }
}

pub(crate) fn call_0(slot: u32) -> u32 {
    enter(slot, [0; 4])
}

pub(crate) fn call_1(slot: u32, first: usize) -> u32 {
    enter(slot, [first, 0, 0, 0])
}

pub(crate) fn call_2(slot: u32, first: usize, second: usize) -> u32 {
    enter(slot, [first, second, 0, 0])
}

pub(crate) fn call_3(slot: u32, first: usize, second: usize, third: usize) -> u32 {
    enter(slot, [first, second, third, 0])
}

pub(crate) fn call_4(slot: u32, arguments: [usize; 4]) -> u32 {
    enter(slot, arguments)
}

/// Calls with the address of `value`, for the hypervisor to fill.
pub(crate) fn fill<T>(slot: u32, value: &mut T) -> Result<(), Error> {
    checked(call_1(slot, (&raw mut *value).expose_provenance()))
}

pub(crate) fn read_u32(slot: u32) -> Result<u32, Error> {
    let mut value = 0;
    fill(slot, &mut value)?;
    Ok(value)
}

pub(crate) fn read_u64(slot: u32) -> Result<u64, Error> {
    let mut value = 0;
    fill(slot, &mut value)?;
    Ok(value)
}

pub(crate) const fn checked(status: u32) -> Result<(), Error> {
    Err(match status {
        abi::BH_STATUS_OK => return Ok(()),
        abi::BH_STATUS_POINTER_REFUSED => Error::PointerRefused,
        abi::BH_STATUS_ARGUMENT_REFUSED => Error::ArgumentRefused,
        abi::BH_STATUS_BUFFER_TOO_SMALL => Error::BufferTooSmall,
        abi::BH_STATUS_VERSION_UNKNOWN => Error::VersionUnknown,
        abi::BH_STATUS_CALL_UNKNOWN => Error::CallUnknown,
        abi::BH_STATUS_BUSY => Error::Busy,
        abi::BH_STATUS_NOTHING_PENDING => Error::NothingPending,
        abi::BH_STATUS_NOT_YET_KNOWN => Error::NotYetKnown,
        abi::BH_STATUS_LIMIT_REACHED => Error::LimitReached,
        abi::BH_STATUS_HARDWARE_FAILED => Error::HardwareFailed,
        abi::BH_STATUS_NOT_ERASED => Error::NotErased,
        abi::BH_STATUS_NOT_NOW => Error::NotNow,
        abi::BH_STATUS_NOT_FOUND => Error::NotFound,
        abi::BH_STATUS_HANDLE_UNKNOWN => Error::HandleUnknown,
        abi::BH_STATUS_NOT_CONNECTED => Error::NotConnected,
        other => Error::Unknown(other),
    })
}
