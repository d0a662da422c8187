//! Sleep of the application: it says that it has nothing to do until a notification, a deadline, or its own word.
//!
//! Nobody waits inside the hypervisor: the application waits with `WFI` in its own thread, where its interrupts and a
//! debugger reach it as ever. What the hypervisor adds is the deadline, and that it looks around less often meanwhile.

use bulkhead_syscall_abi::{SLEEP_MAX_MS, Status, Wake};

use crate::calls::{ApplicationMemory, MailboxAccess};

/// A sleep, from its call to the reading of what ended it. All zeros when there is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sleep {
    stage: Stage,
    until_us: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
enum Stage {
    #[default]
    None,
    Asleep,
    Ended(Wake),
}

impl Sleep {
    pub(crate) const fn new() -> Self {
        Self { stage: Stage::None, until_us: 0 }
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.stage == Stage::Asleep
    }

    /// A notification came.
    pub(crate) fn notified(&mut self) {
        if self.is_asleep() {
            self.stage = Stage::Ended(Wake::Notification);
        }
    }

    /// Whether the deadline has come just now.
    pub(crate) fn is_over(&mut self, now_us: u64) -> bool {
        let over = self.is_asleep() && now_us >= self.until_us;
        if over {
            self.stage = Stage::Ended(Wake::Deadline);
        }
        over
    }

    fn read(&mut self, now_us: u64) -> Result<Wake, Status> {
        self.is_over(now_us);
        match self.stage {
            Stage::None => Err(Status::NothingPending),
            Stage::Asleep => Err(Status::Busy),
            Stage::Ended(wake) => Ok(wake),
        }
    }
}

/// Begins a sleep, or ends one: an interrupt that gives the application something to do is seen by nobody else.
pub(crate) fn sleep(milliseconds: u32, now_us: u64, mailbox: &impl MailboxAccess) -> Status {
    if milliseconds > SLEEP_MAX_MS {
        return Status::ArgumentRefused;
    }
    if milliseconds == 0 {
        mailbox.with(|m| m.sleep = Sleep::new());
        return Status::Ok;
    }
    let until_us = now_us.saturating_add(u64::from(milliseconds).saturating_mul(1000));
    mailbox.with(|m| {
        m.sleep = Sleep { stage: Stage::Asleep, until_us };
        // What came before the call is not slept over.
        if m.peek_notification().is_some() {
            m.sleep.notified();
        }
    });
    Status::Ok
}

pub(crate) fn wake_read(
    address: u32,
    now_us: u64,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let before = mailbox.with(|m| (m.sleep.read(now_us), m.sleep));
    let (Ok(wake), sleep) = before else { return before.0.err().unwrap_or(Status::Busy) };
    if !memory.copy_out(address, &(wake as u32).to_le_bytes()) {
        return Status::PointerRefused;
    }
    mailbox.with(|m| {
        // An interrupt of the application may have begun another one meanwhile.
        if m.sleep == sleep {
            m.sleep = Sleep::new();
        }
    });
    Status::Ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_by_its_deadline_or_a_notification_and_is_told_once() {
        let asleep = Sleep { stage: Stage::Asleep, until_us: 5_000 };
        let (mut one, mut other) = (asleep, asleep);
        assert_eq!(one.read(4_999), Err(Status::Busy));
        assert!(!one.is_over(4_999) && one.is_over(5_000) && !one.is_over(6_000), "told once");
        assert_eq!(one.read(6_000), Ok(Wake::Deadline));
        other.notified();
        assert!(!other.is_over(9_000), "it is over already");
        assert_eq!(other.read(9_000), Ok(Wake::Notification));
        assert_eq!(Sleep::new().read(0), Err(Status::NothingPending));
    }
}
