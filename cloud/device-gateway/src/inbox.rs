//! The way from the API to a link's task.
//!
//! What a task must not miss is raised like a flag: it stays up until the task looks, two of a kind are one, and no
//! queue that is full stands in its way. Only what somebody waits for is queued, and that somebody is told if there is
//! no room.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_link_protocol::CommandKind;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::debug::DebugOrder;

/// Orders that may wait for a link's task.
const ORDERS_MAX: usize = 32;

/// What changed in the store. The task reads there how it is now.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Change {
    /// What the device shall run.
    Target,
    /// The owner pushed a key set.
    KeySets,
    /// A message waits for the application.
    Messages,
    /// The configuration is another one.
    Configuration,
}

/// That a link is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Farewell {
    /// Say so to the device and end.
    GoAway { reconnect_in_s: u32, reason: &'static str },
    /// At once: the same device has a newer link.
    Replaced,
}

/// What somebody waits for.
pub(crate) enum Order {
    /// Send a command.
    Command { kind: CommandKind, reply: oneshot::Sender<bool> },
    /// Something of a debug session.
    Debug(DebugOrder),
}

/// What comes next for a link's task.
pub(crate) enum ToLink {
    Farewell(Farewell),
    Changed(Change),
    Order(Order),
}

#[derive(Default)]
struct Flags {
    raised: Mutex<Raised>,
    news: Notify,
}

#[derive(Default)]
struct Raised {
    farewell: Option<Farewell>,
    changes: BTreeSet<Change>,
}

impl Flags {
    fn lock(&self) -> MutexGuard<'_, Raised> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The API's end.
pub(crate) struct Outside {
    flags: Arc<Flags>,
    orders: mpsc::Sender<Order>,
}

/// The task's end.
pub(crate) struct Inbox {
    flags: Arc<Flags>,
    orders: mpsc::Receiver<Order>,
}

pub(crate) fn inbox() -> (Outside, Inbox) {
    let (sender, orders) = mpsc::channel(ORDERS_MAX);
    let flags = Arc::<Flags>::default();
    (Outside { flags: flags.clone(), orders: sender }, Inbox { flags, orders })
}

impl Outside {
    pub(crate) fn changed(&self, change: Change) {
        self.flags.lock().changes.insert(change);
        self.flags.news.notify_one();
    }

    pub(crate) fn say_farewell(&self, farewell: Farewell) {
        self.flags.lock().farewell = Some(farewell);
        self.flags.news.notify_one();
    }

    /// Hands an order over; `false` if the task is overwhelmed.
    pub(crate) fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

impl Inbox {
    /// What comes next, the end of the link before everything else. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> ToLink {
        loop {
            if let Some(raised) = self.raised() {
                return raised;
            }
            tokio::select! {
                () = self.flags.news.notified() => {}
                order = self.orders.recv() => match order {
                    Some(order) => return ToLink::Order(order),
                    // Only a newer link takes a task's other end out of the directory while the task runs.
                    None => return ToLink::Farewell(Farewell::Replaced),
                },
            }
        }
    }

    fn raised(&self) -> Option<ToLink> {
        let mut raised = self.flags.lock();
        let farewell = raised.farewell.take().map(ToLink::Farewell);
        farewell.or_else(|| raised.changes.pop_first().map(ToLink::Changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Order {
        Order::Command { kind: CommandKind::ApplyNow, reply: oneshot::channel().0 }
    }

    #[tokio::test]
    async fn a_flood_of_orders_keeps_neither_a_change_nor_the_end_from_a_task() {
        let (outside, mut inbox) = inbox();
        let waiting = (0..1000).take_while(|_| outside.order(command())).count();
        assert_eq!(waiting, ORDERS_MAX, "whoever orders more is told so");
        for _ in 0..1000 {
            outside.changed(Change::Target);
            outside.changed(Change::Configuration);
        }
        outside.say_farewell(Farewell::GoAway { reconnect_in_s: 60, reason: "revoked" });
        let next = inbox.next().await;
        assert!(matches!(next, ToLink::Farewell(Farewell::GoAway { reason: "revoked", .. })));
        assert!(matches!(inbox.next().await, ToLink::Changed(Change::Target)));
        assert!(matches!(inbox.next().await, ToLink::Changed(Change::Configuration)));
        for _ in 0..waiting {
            assert!(matches!(inbox.next().await, ToLink::Order(Order::Command { .. })));
        }
        drop(outside);
        assert!(matches!(inbox.next().await, ToLink::Farewell(Farewell::Replaced)));
    }
}
