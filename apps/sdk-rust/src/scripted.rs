//! A hypervisor for the tests of this crate, which run on the host: each test says what the calls of its thread answer.

extern crate std;

use core::cell::RefCell;
use core::ptr;
use std::boxed::Box;

type Hypervisor = Box<dyn FnMut(u32, [usize; 4]) -> u32>;

std::thread_local! {
    static HYPERVISOR: RefCell<Option<Hypervisor>> = const { RefCell::new(None) };
}

/// Answers calls from now on: it is given slot and arguments, and returns the status.
pub(crate) fn answer(calls: impl FnMut(u32, [usize; 4]) -> u32 + 'static) {
    HYPERVISOR.with(|hypervisor| *hypervisor.borrow_mut() = Some(Box::new(calls)));
}

pub(crate) fn enter(slot: u32, arguments: [usize; 4]) -> u32 {
    HYPERVISOR.with(|hypervisor| match hypervisor.borrow_mut().as_mut() {
        Some(calls) => calls(slot, arguments),
        None => crate::abi::BH_STATUS_CALL_UNKNOWN,
    })
}

/// Writes words to where an argument points, as the hypervisor writes a struct.
pub(crate) fn write_words(address: usize, words: &[u32]) {
    let to = ptr::with_exposed_provenance_mut::<u32>(address);
    // SAFETY: the SDK gave this address of a struct at least as long, and waits for the call to return.
    unsafe { ptr::copy_nonoverlapping(words.as_ptr(), to, words.len()) }
}

/// The text that two arguments name.
pub(crate) fn text(address: usize, len: usize) -> std::string::String {
    // SAFETY: the SDK borrows the text for the length of the call.
    let bytes = unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(address), len) };
    std::string::String::from_utf8_lossy(bytes).into_owned()
}

/// A `bh_socket_status` in this state, with a peer that has this last byte in its address.
pub(crate) fn socket_status(state: u32, reason: u32, peer: u8) -> [u32; 8] {
    let version = crate::abi::BH_SOCKET_STATUS_VERSION;
    [version, state, reason, 0, 0, 0, u32::from_le_bytes([10, 0, 0, peer]), 9]
}
