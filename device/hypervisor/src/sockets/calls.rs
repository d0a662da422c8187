//! The calls on sockets: arguments are judged, pointers asked of the processor, bytes copied piece by piece.

use bulkhead_syscall_abi::{
    NETWORK_INFO_VERSION, SOCKET_STATUS_VERSION, SocketAddress, SocketKind, Status, slot,
};

use super::{HOST_LEN_MAX, Outcome};
use crate::calls::{ApplicationMemory, MailboxAccess};

/// Answers one call whose number is that of a call on the network or a socket.
// Out of line, as are its parts: a gateway's stack holds the frame of one of them.
#[inline(never)]
pub(crate) fn answer(
    number: u32,
    [a, b, c, d]: [u32; 4],
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let done = match number {
        slot::NETWORK_REQUEST => {
            mailbox.with(|m| m.sockets.network_wanted = true);
            Ok(())
        }
        slot::NETWORK_RELEASE => {
            let was = mailbox.with(|m| core::mem::take(&mut m.sockets.network_wanted));
            was.then_some(()).ok_or(Status::NothingPending)
        }
        slot::NETWORK_INFO_READ => info_read(a, memory, mailbox),
        slot::SOCKET_OPEN => open(a, b, memory, mailbox),
        slot::SOCKET_CONNECT => connect(a, (b, c), d, memory, mailbox),
        slot::SOCKET_BIND => mailbox.with(|m| m.sockets.bind(a, b)),
        slot::SOCKET_SEND => send(a, (b, c), d, memory, mailbox),
        slot::SOCKET_RECEIVE => receive(a, (b, c), d, memory, mailbox),
        slot::SOCKET_SEND_TO => send_to(a, b, (c, d), memory, mailbox),
        slot::SOCKET_RECEIVE_FROM => receive_from(a, b, (c, d), memory, mailbox),
        slot::SOCKET_SHUTDOWN => mailbox.with(|m| m.sockets.shutdown(a)),
        slot::SOCKET_CLOSE => mailbox.with(|m| m.sockets.close(a)),
        slot::SOCKET_STATUS_READ => status_read(a, b, memory, mailbox),
        _ => Err(Status::CallUnknown),
    };
    done.err().unwrap_or(Status::Ok)
}

/// `true` or the status for a pointer that is not the application's.
fn allowed(yes: bool) -> Result<(), Status> {
    yes.then_some(()).ok_or(Status::PointerRefused)
}

fn version_at(address: u32, known: u32, memory: &impl ApplicationMemory) -> Result<(), Status> {
    let mut version = [0; 4];
    allowed(memory.copy_in(address, &mut version))?;
    if u32::from_le_bytes(version) == known { Ok(()) } else { Err(Status::VersionUnknown) }
}

fn info_read(
    address: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Result<(), Status> {
    version_at(address, NETWORK_INFO_VERSION, memory)?;
    let info = mailbox.with(|m| m.sockets.network).info().ok_or(Status::NotYetKnown)?;
    allowed(memory.copy_out(address, &info.to_bytes()))
}

fn status_read(
    handle: u32,
    address: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Result<(), Status> {
    version_at(address, SOCKET_STATUS_VERSION, memory)?;
    let status = mailbox.with(|m| m.sockets.status(handle))?;
    allowed(memory.copy_out(address, &status.to_bytes()))
}

fn open(
    kind: u32,
    address: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Result<(), Status> {
    let kind = match kind {
        1 => SocketKind::Stream,
        2 => SocketKind::Datagram,
        _ => return Err(Status::ArgumentRefused),
    };
    allowed(memory.may_write(address, 4))?;
    let handle = mailbox.with(|m| m.sockets.open(kind))?;
    if memory.copy_out(address, &handle.to_le_bytes()) {
        return Ok(());
    }
    // Nobody knows the handle.
    let _ = mailbox.with(|m| m.sockets.close(handle));
    Err(Status::PointerRefused)
}

#[inline(never)]
fn connect(
    handle: u32,
    (address, len): (u32, u32),
    port: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Result<(), Status> {
    let port = u16::try_from(port).ok().filter(|port| *port != 0).ok_or(Status::ArgumentRefused)?;
    let mut host = [0; HOST_LEN_MAX];
    let host = usize::try_from(len).ok().and_then(|len| host.get_mut(..len)).filter(|host| !host.is_empty());
    let host = host.ok_or(Status::ArgumentRefused)?;
    allowed(memory.copy_in(address, host))?;
    if !host.iter().all(u8::is_ascii_graphic) {
        return Err(Status::ArgumentRefused);
    }
    mailbox.with(|m| m.sockets.connect(handle, host, port))
}

fn send(
    handle: u32,
    (address, len): (u32, u32),
    sent_address: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Result<(), Status> {
    allowed(memory.may_write(sent_address, 4))?;
    hand_over(handle, None, (address, len), memory, mailbox, |sent| {
        memory.copy_out(sent_address, &sent.to_le_bytes())
    })
}

fn send_to(
    handle: u32,
    to_address: u32,
    span: (u32, u32),
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Result<(), Status> {
    let mut to = [0; 8];
    allowed(memory.copy_in(to_address, &mut to))?;
    let to = SocketAddress::from_bytes(to).ok_or(Status::ArgumentRefused)?;
    hand_over(handle, Some(to), span, memory, mailbox, |_| true)
}

/// Copies bytes onto the way out. `tell` is the last step before they count as sent.
#[inline(never)]
fn hand_over(
    handle: u32,
    to: Option<SocketAddress>,
    (address, len): (u32, u32),
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
    tell: impl FnOnce(u32) -> bool,
) -> Result<(), Status> {
    let len = usize::try_from(len).map_err(|_| Status::ArgumentRefused)?;
    let claim = mailbox.with(|m| m.sockets.claim_out(handle, to, len))?;
    let whole = claim.len == 0
        || mailbox.with(|m| m.sockets.room(claim).is_some_and(|room| memory.copy_in(address, room)));
    let told = whole && tell(u32::try_from(claim.len).unwrap_or(0));
    let outcome = if told { Outcome::Done } else { Outcome::Dropped };
    mailbox.with(|m| m.sockets.end_out(handle, claim, to, outcome));
    allowed(told)
}

fn receive(
    handle: u32,
    span: (u32, u32),
    received_address: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Result<(), Status> {
    allowed(memory.may_write(received_address, 4))?;
    bring(handle, span, memory, mailbox, |len, _| memory.copy_out(received_address, &len.to_le_bytes()))
}

fn receive_from(
    handle: u32,
    from_address: u32,
    (address, len_address): (u32, u32),
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Result<(), Status> {
    let mut len = [0; 4];
    allowed(memory.copy_in(len_address, &mut len))?;
    allowed(memory.may_write(len_address, 4) && memory.may_write(from_address, 8))?;
    bring(handle, (address, u32::from_le_bytes(len)), memory, mailbox, |len, from| {
        memory.copy_out(from_address, &from.to_bytes()) && memory.copy_out(len_address, &len.to_le_bytes())
    })
}

/// Copies what has arrived to the application. `tell` is the last step before it counts as received.
#[inline(never)]
fn bring(
    handle: u32,
    (address, len): (u32, u32),
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
    tell: impl FnOnce(u32, SocketAddress) -> bool,
) -> Result<(), Status> {
    let room = usize::try_from(len).map_err(|_| Status::ArgumentRefused)?;
    let (slot, taken, from) = mailbox.with(|m| m.sockets.claim_in(handle, room))?;
    let count = u32::try_from(taken).unwrap_or(0);
    let copied = taken == 0
        || mailbox.with(|m| {
            m.sockets.arrived(slot, taken).is_some_and(|arrived| memory.copy_out(address, arrived))
        });
    let told = copied && tell(count, from);
    let outcome = if told { Outcome::Done } else { Outcome::Dropped };
    mailbox.with(|m| m.sockets.end_in(handle, taken, outcome));
    allowed(told)
}
