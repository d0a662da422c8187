//! System calls: every argument is distrusted, every pointer is asked of the processor, every byte copied once.

use bulkhead_link_protocol::MESSAGE_HEADER_LEN;
use bulkhead_network_stack as network;
use bulkhead_syscall_abi::{
    ABI_VERSION, DEBUG_STATE_VERSION, DEVICE_ID_LEN, DebugState, LIMITS_1_LEN, LIMITS_VERSION,
    LOG_TEXT_LEN_MAX, Limits, Status, UPDATE_STATUS_1_LEN, UPDATE_STATUS_VERSION, UpdateStageNumber,
    UpdateStatus, slot,
};

use crate::log_ring::NotLogged;
use crate::mailbox::{Mailbox, NOTIFICATIONS_MAX};
use crate::message_queue::{MESSAGES_MAX, QUEUE_LEN};
use crate::{application, configuration, log_ring, messages, random, sleep, sockets, storage, update_policy};

/// The application's memory, reached only by checked copies.
///
/// # Laws
/// 1. A copy happens completely or not at all; `false` means that the application itself may not do it.
pub trait ApplicationMemory {
    /// Copies in from `address`.
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool;
    /// Copies out to `address`.
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool;
    /// Whether all of a range may be written, asked before it is written in pieces. Each copy asks again.
    fn may_write(&self, _address: u32, _len: u32) -> bool {
        true
    }
    /// The same for reading.
    fn may_read(&self, _address: u32, _len: u32) -> bool {
        true
    }
    /// Whether the interrupt line belongs to the application.
    fn owns_line(&self, line: u32) -> bool;
}

/// Short, exclusive access to the mailbox from any level.
pub trait MailboxAccess {
    /// Runs `work` with interrupts masked.
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R;
}

/// Longest postponement of one call in seconds.
const POSTPONE_MAX_S: u32 = 3600;

/// Highest log level, trace.
const LOG_LEVEL_MAX: u32 = 4;

/// No interrupt line, in `bh_notification_enable`.
const NO_LINE: u32 = u32::MAX;

/// Answers one system call. Returns the status; never waits. `now_us` is asked only by the calls that need the time.
pub fn dispatch(
    number: u32,
    arguments: [u32; 4],
    now_us: impl FnOnce() -> u64,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let [a, b, c, d] = arguments;
    let put = |address: u32, bytes: &[u8]| {
        if memory.copy_out(address, bytes) { Status::Ok } else { Status::PointerRefused }
    };
    match number {
        slot::NOP => Status::Ok,
        slot::ABI_VERSION_READ => put(a, &ABI_VERSION.to_le_bytes()),
        slot::DEVICE_ID_READ if b < DEVICE_ID_LEN => Status::BufferTooSmall,
        slot::DEVICE_ID_READ => put(a, &mailbox.with(|m| m.device_id)),
        slot::CLOCK_MONOTONIC_READ_US => put(a, &now_us().to_le_bytes()),
        slot::CLOCK_WALL_READ_US => match mailbox.with(|m| m.wall_offset_us) {
            Some(offset) => put(a, &offset.saturating_add(now_us()).to_le_bytes()),
            None => Status::NotYetKnown,
        },
        slot::LOG_WRITE => log_write(a, b, c, now_us(), memory, mailbox),
        slot::APPLICATION_RESTART => {
            mailbox.with(|m| m.request(|r| r.restart = true));
            Status::Ok
        }
        slot::WAKE_REASON_READ => put(a, &mailbox.with(|m| m.wake_reason as u32).to_le_bytes()),
        slot::NETWORK_STATUS_READ => put(a, &mailbox.with(|m| m.network_status).to_le_bytes()),
        slot::NETWORK_REASONS_READ => put(a, &mailbox.with(|m| m.network_reasons).to_le_bytes()),
        slot::UPDATE_STATUS_READ => update_status_read(a, memory, mailbox),
        slot::UPDATE_APPLY_NOW => when_ready(mailbox, |m| {
            m.request(|r| r.apply_now = true);
            Status::Ok
        }),
        slot::UPDATE_POSTPONE if a == 0 || a > POSTPONE_MAX_S => Status::ArgumentRefused,
        slot::UPDATE_POSTPONE => update_postpone(a, now_us(), mailbox),
        slot::UPDATE_CONFIRM => {
            mailbox.with(|m| m.request(|r| r.confirm = true));
            Status::Ok
        }
        slot::NOTIFICATION_ENABLE => notification_enable(a, memory, mailbox),
        slot::NOTIFICATION_NEXT => notification_next(a, memory, mailbox),
        slot::STORAGE_INFO_READ => storage::info_read(a, b, memory, mailbox),
        slot::STORAGE_READ => storage::read(a, b, c, mailbox),
        slot::STORAGE_WRITE => storage::write([a, b, c, d], memory, mailbox),
        slot::STORAGE_ERASE => storage::erase(a, b, mailbox),
        slot::STORAGE_RESULT_READ => storage::result_read(a, b, memory, mailbox),
        slot::LIMITS_READ => limits_read(a, memory),
        slot::DEBUG_STATE_READ => {
            let state = DebugState { version: DEBUG_STATE_VERSION, ..mailbox.with(|m| m.debug) };
            put_version(a, DEBUG_STATE_VERSION, memory, &state.to_bytes())
        }
        slot::BOOT_REASON_READ => put(a, &mailbox.with(|m| m.boot_reason as u32).to_le_bytes()),
        slot::MESSAGE_SEND => messages::send([a, b, c, d], now_us(), memory, mailbox),
        slot::MESSAGE_RECEIVE => messages::receive([a, b, c], memory, mailbox),
        slot::MESSAGE_FINISH => messages::finish(a, b, mailbox),
        slot::MESSAGE_QUEUE_READ => messages::queue_read(a, memory, mailbox),
        slot::CONFIG_READ => configuration::read(a, b, memory, mailbox),
        slot::CONFIG_RESULT_READ => configuration::result_read([a, b, c], memory, mailbox),
        slot::CONFIG_LIST => configuration::list(a, b, memory, mailbox),
        slot::CONFIG_REVISION_READ => put(a, &mailbox.with(|m| m.configuration.revision).to_le_bytes()),
        slot::POWER_SLEEP => sleep::sleep(a, now_us(), mailbox),
        slot::POWER_WAKE_READ => sleep::wake_read(a, now_us(), memory, mailbox),
        slot::RANDOM_READ => random::read(a, b, memory, mailbox),
        slot::NETWORK_REQUEST..=slot::SOCKET_STATUS_READ => {
            sockets::calls::answer(number, arguments, memory, mailbox)
        }
        _ => Status::CallUnknown,
    }
}

/// Checks the version that the caller set in the struct at `address`.
pub(crate) fn version_of(address: u32, known: u32, memory: &impl ApplicationMemory) -> Result<(), Status> {
    let mut version = [0; 4];
    if !memory.copy_in(address, &mut version) {
        return Err(Status::PointerRefused);
    }
    if u32::from_le_bytes(version) == known { Ok(()) } else { Err(Status::VersionUnknown) }
}

/// Fills the struct at `address`, if its version is the known one.
fn put_version(address: u32, known: u32, memory: &impl ApplicationMemory, bytes: &[u8]) -> Status {
    match version_of(address, known, memory) {
        Ok(()) if memory.copy_out(address, bytes) => Status::Ok,
        Ok(()) => Status::PointerRefused,
        Err(status) => status,
    }
}

/// Every bound, from the constants that the code itself obeys.
fn limits() -> Limits {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Limits {
        log_queue_bytes: count(log_ring::RING_LEN),
        notifications_max: count(NOTIFICATIONS_MAX),
        storage_areas_max: count(storage::AREAS_MAX),
        message_queue_bytes: count(QUEUE_LEN),
        message_header_bytes: count(MESSAGE_HEADER_LEN),
        messages_max: count(MESSAGES_MAX),
        postpone_call_max_s: POSTPONE_MAX_S,
        postpone_total_s: update_policy::POSTPONE_TOTAL_S,
        update_grace_s: number(update_policy::GRACE_MS / 1000),
        stuck_limit_ms: number(application::STUCK_LIMIT_MS),
        back_off_first_ms: number(application::BACK_OFF_FIRST_MS),
        back_off_max_ms: number(application::BACK_OFF_MAX_MS),
        healthy_after_ms: number(application::HEALTHY_AFTER_MS),
        socket_datagrams_waiting_max: count(network::DATAGRAMS_WAITING_MAX),
        socket_connect_ms: number(network::CONNECT_TIMEOUT_MS),
        socket_answer_ms: number(network::SEND_TIMEOUT_MS),
        socket_close_ms: number(network::CLOSE_TIMEOUT_MS),
        socket_resolver_ms: number(network::RESOLVER_TIMEOUT_MS),
        socket_neighbour_ms: number(network::DATAGRAM_TIMEOUT_MS),
        ..Limits::KNOWN
    }
}

fn log_write(
    level: u32,
    address: u32,
    len: u32,
    now_us: u64,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let (Ok(level), true) = (u8::try_from(level), level <= LOG_LEVEL_MAX) else {
        return Status::ArgumentRefused;
    };
    if len == 0 || len > LOG_TEXT_LEN_MAX {
        return Status::ArgumentRefused;
    }
    let text = from_memory(address, memory);
    let logged = mailbox.with(|m| m.log_from(level, now_us, len as usize, text));
    match logged {
        Ok(()) => Status::Ok,
        Err(NotLogged::NoRoom) if memory.may_read(address, len) => Status::Busy,
        Err(NotLogged::NoRoom | NotLogged::NoText) => Status::PointerRefused,
    }
}

/// Fills one piece after the other with the application's memory from `address` on; `false` where it may not be read.
pub(crate) fn from_memory(
    mut address: u32,
    memory: &impl ApplicationMemory,
) -> impl FnMut(&mut [u8]) -> bool {
    move |room| {
        let copied = memory.copy_in(address, room);
        address = address.wrapping_add(u32::try_from(room.len()).unwrap_or_default());
        copied
    }
}

fn update_status_read(address: u32, memory: &impl ApplicationMemory, mailbox: &impl MailboxAccess) -> Status {
    let status = mailbox.with(|m| m.update);
    let in_version = |version| UpdateStatus { version, ..status }.to_bytes();
    put_grown(address, (UPDATE_STATUS_1_LEN, UPDATE_STATUS_VERSION), memory, in_version)
}

fn limits_read(address: u32, memory: &impl ApplicationMemory) -> Status {
    let in_version = |version| Limits { version, ..limits() }.to_bytes();
    put_grown(address, (LIMITS_1_LEN, LIMITS_VERSION), memory, in_version)
}

/// Fills a struct that has grown once: version 1 was the first `len_1` bytes of what version 2 is.
fn put_grown<const LEN: usize>(
    address: u32,
    (len_1, newest): (usize, u32),
    memory: &impl ApplicationMemory,
    in_version: impl FnOnce(u32) -> [u8; LEN],
) -> Status {
    let mut version = [0; 4];
    if !memory.copy_in(address, &mut version) {
        return Status::PointerRefused;
    }
    let version = u32::from_le_bytes(version);
    if version != 1 && version != newest {
        return Status::VersionUnknown;
    }
    let bytes = in_version(version);
    let bytes = if version == 1 { bytes.get(..len_1).unwrap_or_default() } else { &bytes };
    if memory.copy_out(address, bytes) { Status::Ok } else { Status::PointerRefused }
}

fn update_postpone(seconds: u32, now_us: u64, mailbox: &impl MailboxAccess) -> Status {
    let until_ms = (now_us / 1000).saturating_add(u64::from(seconds).saturating_mul(1000));
    when_ready(mailbox, |m| match m.postpone_latest_ms {
        None => Status::NothingPending,
        Some(latest_ms) if until_ms > latest_ms => Status::LimitReached,
        Some(_) => {
            m.request(|r| r.postpone_until_ms = r.postpone_until_ms.max(Some(until_ms)));
            Status::Ok
        }
    })
}

fn when_ready(mailbox: &impl MailboxAccess, work: impl FnOnce(&mut Mailbox) -> Status) -> Status {
    mailbox.with(|m| {
        if m.update.stage == UpdateStageNumber::Ready as u32 { work(m) } else { Status::NothingPending }
    })
}

fn notification_enable(line: u32, memory: &impl ApplicationMemory, mailbox: &impl MailboxAccess) -> Status {
    let chosen = if line == NO_LINE {
        None
    } else {
        match u8::try_from(line) {
            Ok(number) if memory.owns_line(line) => Some(number),
            _ => return Status::ArgumentRefused,
        }
    };
    mailbox.with(|m| m.set_notification_line(chosen));
    Status::Ok
}

fn notification_next(address: u32, memory: &impl ApplicationMemory, mailbox: &impl MailboxAccess) -> Status {
    let Some(notification) = mailbox.with(|m| m.peek_notification()) else { return Status::NothingPending };
    if !memory.copy_out(address, &notification.to_bytes()) {
        return Status::PointerRefused;
    }
    mailbox.with(|m| {
        // An interrupt of the application may have taken it meanwhile.
        if m.peek_notification() == Some(notification) {
            m.drop_notification();
        }
    });
    Status::Ok
}

#[cfg(test)]
#[path = "calls_witness.rs"]
pub(crate) mod witness;

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
