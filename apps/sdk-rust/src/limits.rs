//! Every bound of the hypervisor.

use crate::{Error, abi, gateway};

/// Every bound of the hypervisor.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Limits {
    version: u32,
    /// Version of the system calls.
    pub abi_version: u32,
    /// Bytes of one log record.
    pub log_text_len_max: u32,
    /// Room for log records that wait, headers included.
    pub log_queue_bytes: u32,
    /// Notifications that wait; with more, the oldest is dropped.
    pub notifications_max: u32,
    /// Areas of its own that a manifest can declare.
    pub storage_areas_max: u32,
    /// Bytes of one read or write of storage.
    pub storage_transfer_len_max: u32,
    /// Bytes of one message, either way.
    pub message_len_max: u32,
    /// Room for messages that wait, each way, headers included.
    pub message_queue_bytes: u32,
    /// What a message takes of that room beside its bytes.
    pub message_header_bytes: u32,
    /// Messages that wait, each way.
    pub messages_max: u32,
    /// Keys of the configuration.
    pub config_keys_max: u32,
    /// Bytes of one key of the configuration.
    pub config_key_len_max: u32,
    /// Bytes of one value of the configuration.
    pub config_value_len_max: u32,
    /// Longest postponement of an update by one call.
    pub postpone_call_max_s: u32,
    /// The same of all calls together, unless the running bundle says otherwise.
    pub postpone_total_s: u32,
    /// An update that is ready and not answered is applied after it.
    pub update_grace_s: u32,
    /// Longest sleep of one call.
    pub sleep_max_ms: u32,
    /// Lines that a board can give to the application.
    pub interrupt_lines_max: u32,
    /// In handlers or with interrupts masked for so long, the application is stopped.
    pub stuck_limit_ms: u32,
    /// First wait after a fault; it doubles with each further one.
    pub back_off_first_ms: u32,
    /// Longest wait after a fault.
    pub back_off_max_ms: u32,
    /// Without a fault for so long, the waits begin anew.
    pub healthy_after_ms: u32,
    /// Gateways; those without a call answer [`Error::CallUnknown`].
    pub slots: u32,
    reserved: u32,
    /// Stream sockets open at a time.
    pub socket_streams_max: u32,
    /// Datagram sockets open at a time.
    pub socket_datagrams_max: u32,
    /// Bytes of a stream that one call sends or receives.
    pub socket_transfer_len_max: u32,
    /// Bytes of one datagram.
    pub socket_datagram_len_max: u32,
    /// Bytes of a stream that wait for the peer.
    pub socket_send_buffer_bytes: u32,
    /// Bytes of a stream that wait for the application.
    pub socket_receive_buffer_bytes: u32,
    /// Datagrams that wait each way on one socket, if they are short.
    pub socket_datagrams_waiting_max: u32,
    /// Bytes of a host name or address text.
    pub socket_host_len_max: u32,
    /// First local port that an application can choose.
    pub socket_local_port_first: u32,
    /// Last local port that an application can choose.
    pub socket_local_port_last: u32,
    /// Longest wait for a peer to accept, and for the name before that.
    pub socket_connect_ms: u32,
    /// Longest time in which a peer acknowledges nothing of what waits.
    pub socket_answer_ms: u32,
    /// Longest time in which a closed stream sends its rest.
    pub socket_close_ms: u32,
    /// Longest wait for one resolver.
    pub socket_resolver_ms: u32,
    /// Longest time that a datagram waits for its neighbour's address.
    pub socket_neighbour_ms: u32,
    /// Random bytes of one call.
    pub random_len_max: u32,
}
const _: () = assert!(size_of::<Limits>() == abi::SIZE_BH_LIMITS);

/// Every bound of the hypervisor.
///
/// # Errors
/// None that a sound application can cause.
pub fn limits() -> Result<Limits, Error> {
    let mut limits = Limits { version: abi::BH_LIMITS_VERSION, ..Limits::default() };
    gateway::fill(abi::SLOT_BH_LIMITS_READ, &mut limits)?;
    Ok(limits)
}
