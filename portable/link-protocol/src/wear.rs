//! What the device's flash went through, and how a trial stands.

use bulkhead_keyed_cbor::record;

record! { Map
/// Erases of flash since the device was made. A power cut may lose the count of what came before it in its session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wear {
    /// Pages of the application, in both memories.
    #[n(0)]
    pub application: u32,
    /// Times that pages of the application were begun to be written: no page was erased more often for updates.
    #[n(1)]
    pub applies: u32,
    /// Pages of the journal, all together; they are used in turn.
    #[n(2)]
    pub journal: u32,
    /// Pages of the journal that there are.
    #[n(3)]
    pub journal_pages: u32,
    /// Pages of the manifests' slots, all together.
    #[n(4)]
    pub manifests: u32,
    /// Sectors of staging, all together.
    #[n(5)]
    pub staging: u32,
    /// Sectors that the application erased in areas of its own.
    #[n(6)]
    pub owned: u32,
    /// Sectors of crash dumps, all together. Older devices do not count them.
    #[n(7)]
    pub crashes: Option<u32>,
    /// Sectors of the configuration, all together. Older devices do not count them.
    #[n(8)]
    pub configuration: Option<u32>,
}
}

record! { Map
/// A new version that is not kept yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TrialState {
    /// Power sessions in which it was to be started, this one included.
    #[n(0)]
    pub starts: u32,
    /// Power sessions after which it is taken back unless it was found healthy.
    #[n(1)]
    pub starts_max: u32,
    /// Whether the device found it healthy: it waits for the server alone.
    #[n(2)]
    pub healthy: bool,
}
}
