//! What the engine says to the hypervisor.

use bulkhead_bundle_format::Medium;
use bulkhead_link_protocol::{Digest, ReasonCode, StagingMode, UpdateStage};

/// What the flash held when power came on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Boot {
    /// Call `step` until it says what to do: pages are checked, or an interrupted update is carried on. The
    /// application is not started before [`Step::StartApplication`].
    Work,
    /// No manifest is committed. Go online; the server will offer one.
    NoApplication,
}

/// What one bounded piece of work led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing to do until the server offers or sends something.
    Idle,
    /// There is more to do: call `step` again.
    Working,
    /// Everything is staged and verified. Stop the application at its or the owner's moment, then call
    /// `allow_apply`; until then this is returned again and again.
    ReadyToApply,
    /// A trial failed. Stop the application, then call `allow_apply`; until then this is returned again and again.
    ReadyToRevert,
    /// Every page equals the manifest that the journal names: start this application.
    StartApplication(Digest, StartCause),
    /// There is no startable application. Stay online; the server's next offer repairs the device.
    NoApplication,
}

/// Why the application may be started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartCause {
    /// Power came on and nothing had to be done.
    Boot,
    /// An update was applied and committed at once: there was nothing before it to go back to.
    Committed,
    /// An update was applied and is on trial, in this power session or since an earlier one.
    Trial,
    /// An update failed half way and the old application was put back.
    Reverted,
    /// The update went back to staging before it changed anything: the old application goes on.
    Resumed,
}

/// What came of an order to give the update up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cancelled {
    /// It is given up, or a new version on trial is taken back.
    Done,
    /// There is no update.
    Nothing,
    /// An apply that was begun goes to its end.
    TooLate,
}

/// A new version that is not kept yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trial {
    /// Power sessions in which it was to be started, this one included.
    pub boots: u32,
    /// Power sessions after which it is taken back unless it was found healthy.
    pub boots_max: u32,
    /// Whether [`crate::Engine::confirm_locally`] was written down.
    pub healthy: bool,
}

/// Where the update stands, for the server and for the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status<'e> {
    /// The manifest that was offered or is being applied.
    pub manifest: Digest,
    /// The stage.
    pub stage: UpdateStage,
    /// Pages done in this stage.
    pub pages_done: u32,
    /// Pages of this stage.
    pub pages_total: u32,
    /// Why, for `Refused`, `Reverted` and `Failed`.
    pub reason: Option<&'e str>,
    /// The same as a number, if it has one.
    pub code: Option<ReasonCode>,
    /// What ran before an update that failed its trial, if it has to be fetched to go back.
    pub wanted_back: Option<Digest>,
    /// What is kept in external flash, once it was planned.
    pub mode: Option<StagingMode>,
    /// Bytes that came from the server for it since it was offered.
    pub bytes_received: u64,
    /// What applying will write; from `Ready` on.
    pub changes: Option<Changes>,
}

/// What an apply has to look at and to write.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// On the die.
    pub die: PageCount,
    /// In external flash.
    pub external: PageCount,
}

/// Pages of one memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PageCount {
    /// Pages of the new version.
    pub all: u32,
    /// Those that the version before it does not have there.
    pub changing: u32,
}

/// An area that belongs to the application: no update touches it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OwnedArea {
    /// Its number in the manifest.
    pub id: u32,
    /// Memory.
    pub medium: Medium,
    /// First byte, counted from the start of that memory's application part.
    pub base: u32,
    /// Length in bytes.
    pub length: u32,
}

/// Where to start the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// First byte of the first code area on the die, counted from the start of the die's application part.
    pub base: u32,
    /// Length of that area in bytes.
    pub length: u32,
}

/// Whom the device obeys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeySetStatus<'e> {
    /// Version of the owner's key set; `None` for the keys that the device was provisioned with.
    pub version: Option<u32>,
    /// Why the last set that was offered is not followed.
    pub refused: Option<&'e str>,
}

/// What the device has behind it for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Floors {
    /// Highest sequence ever committed.
    pub sequence: u64,
    /// Highest security counter ever committed.
    pub security_counter: u32,
    /// Permits used up: the number that the next one must have.
    pub permits: u32,
}
