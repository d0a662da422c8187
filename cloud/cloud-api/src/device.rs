//! Devices: what is known, what they report, what they shall run.

use serde::{Deserialize, Serialize};

use crate::{BundleReference, DeviceId, Floors, ManifestDigest, Timestamp};

/// What the application is doing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ApplicationState {
    /// No startable application.
    None,
    /// Running.
    Running,
    /// Stopped by a fault; restarts after a back-off.
    BackingOff,
    /// Stopped while an update is applied.
    Updating,
    /// Stopped on the owner's or its own order.
    Stopped,
}

/// Why the hypervisor stopped the application.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Touched memory or a peripheral of the secure world.
    SecureAccess,
    /// Executed where no code is.
    BadExecution,
    /// Ran over the end of its stack.
    StackOverflow,
    /// Spent its whole time in interrupt handlers.
    InterruptFlood,
    /// Kept all interrupts masked.
    InterruptsMasked,
    /// Bus error.
    BusError,
    /// Undefined instruction, unaligned access, division by zero.
    UsageFault,
    /// Fault inside a fault handler.
    Escalated,
    /// A breakpoint without a debugger.
    Breakpoint,
    /// Violation of the application's own MPU regions.
    MemoryProtection,
}

impl FaultKind {
    /// The fault that has this number on the link and in a crash dump.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        const KINDS: [FaultKind; 10] = [
            FaultKind::SecureAccess,
            FaultKind::BadExecution,
            FaultKind::StackOverflow,
            FaultKind::InterruptFlood,
            FaultKind::InterruptsMasked,
            FaultKind::BusError,
            FaultKind::UsageFault,
            FaultKind::Escalated,
            FaultKind::Breakpoint,
            FaultKind::MemoryProtection,
        ];
        KINDS.get(usize::from(number)).copied()
    }
}

/// The last fault of the application.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// Program counter of the offending instruction.
    pub program_counter: u32,
    /// Address that was touched, if the processor told.
    pub address: Option<u32>,
    /// Faults since the hypervisor started.
    pub count: u32,
    /// Seconds from the report until the application is started again.
    pub restart_in_s: Option<u32>,
}

/// Why the hypervisor started.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BootReason {
    /// Power came on.
    PowerOn,
    /// The hypervisor restarted itself after a fault of its own.
    HypervisorFault,
    /// The owner ordered it.
    Commanded,
}

/// What a device last said of itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportedState {
    /// Version of the hypervisor.
    pub hypervisor: String,
    /// Class that manifests name.
    pub device_class: String,
    /// Board revision.
    pub board_revision: u32,
    /// System call ABI offered to the application.
    pub abi: u32,
    /// Manifest that the device runs; absent if none.
    pub running: Option<ManifestDigest>,
    /// What runs is on trial: it may still be taken back.
    #[serde(default)]
    pub on_trial: bool,
    /// Why the hypervisor started.
    pub boot_reason: BootReason,
    /// The application.
    pub application: ApplicationState,
    /// Connects since power came on.
    pub connect_count: u32,
    /// Last fault of the application since power came on.
    pub fault: Option<Fault>,
    /// Last words of the hypervisor if it restarted itself.
    pub epitaph: Option<String>,
    /// Why, in the device's words, the state last changed.
    pub reason: Option<String>,
    /// Version of the owner's key set that it obeys; absent for the keys that it was provisioned with.
    #[serde(default)]
    pub key_set_version: Option<u32>,
    /// Why it does not obey the key set that was offered last.
    #[serde(default)]
    pub key_set_refusal: Option<String>,
    /// What it has behind it for good; absent if its hypervisor does not tell.
    #[serde(default)]
    pub floors: Option<Floors>,
    /// What its flash went through; absent from devices that do not count.
    #[serde(default)]
    pub wear: Option<FlashWear>,
    /// When the server heard it.
    pub reported_at: Timestamp,
}

/// Erases of a device's flash since it was made.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FlashWear {
    /// Pages of the application, all together.
    pub application: u32,
    /// No single page of the application was erased more often than this for updates.
    pub application_page_max: u32,
    /// Pages of the journal, all together.
    pub journal: u32,
    /// Of one page of the journal: they are used in turn.
    pub journal_page_max: u32,
    /// Pages of the two slots for manifests, all together.
    pub manifests: u32,
    /// Sectors of staging, all together.
    pub staging: u32,
    /// Sectors that the application erased in areas of its own.
    pub owned: u32,
    /// Sectors of crash dumps, all together; absent if the device does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crashes: Option<u32>,
    /// Sectors of the configuration, all together; absent if the device does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<u32>,
}

/// The link of a device that is connected now, and its budget.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkStatus {
    /// Address from which it connected.
    pub address: String,
    /// When it connected.
    pub since: Timestamp,
    /// When the last frame came from it.
    pub last_heard_at: Timestamp,
    /// Frames received on this connection.
    pub frames_in: u64,
    /// Frames sent on this connection.
    pub frames_out: u64,
    /// Bytes received on this connection, as they crossed the wire.
    pub bytes_in: u64,
    /// Bytes sent on this connection, as they crossed the wire.
    pub bytes_out: u64,
    /// Frames that had to wait because the device sent faster than its limit.
    pub frames_throttled: u64,
    /// Log bytes stored of this device since midnight UTC.
    pub log_bytes_today: u64,
    /// Log bytes that a device may store in a day.
    pub log_bytes_per_day_max: u64,
    /// Log records dropped: over the day's limit, or the server's queue was full.
    pub log_records_dropped: u64,
}

/// A device.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Device {
    /// Certified by its key.
    pub id: DeviceId,
    /// Name, unique in the realm.
    pub name: Option<String>,
    /// Static X25519 public key, 64 hexadecimal digits; absent until first heard of.
    pub public_key: Option<String>,
    /// When it became known to the server.
    pub registered_at: Timestamp,
    /// Account that owns it; absent until claimed.
    pub claimed_by: Option<String>,
    /// When it was claimed.
    pub claimed_at: Option<Timestamp>,
    /// Whether the server refuses its link for good.
    pub revoked: bool,
    /// Whether it is connected now, and what `reported` holds came over this connection.
    pub online: bool,
    /// When it was last heard.
    pub last_seen_at: Option<Timestamp>,
    /// Its connection, if online.
    pub link: Option<LinkStatus>,
    /// What it last reported; absent until its first connection.
    pub reported: Option<ReportedState>,
    /// Name and version of the bundle it runs, if the server has it.
    pub running_bundle: Option<String>,
    /// What it shall run; absent until a first deploy.
    pub target: Option<ManifestDigest>,
    /// Name and version of the target.
    pub target_bundle: Option<String>,
    /// Its newest update, unfinished or finished.
    pub update: Option<Update>,
}

/// Where an update stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UpdateStage {
    /// Waits for the device to connect and answer.
    Pending,
    /// The device fetches and checks the manifest.
    Checking,
    /// The device refused it; nothing was downloaded.
    Refused,
    /// The device fetches, seals and stages pages while the application runs.
    Staging,
    /// Staged and verified; waits for its moment.
    Ready,
    /// The application is stopped, pages are written.
    Applying,
    /// Applied and started; waits to run for a while, to be confirmed, and for the server to see it.
    Trial,
    /// Applied, verified and committed.
    Committed,
    /// The old application is being put back.
    Reverting,
    /// The old application was put back.
    Reverted,
    /// Failed before anything was changed.
    Failed,
    /// Given up on the owner's order before anything was changed.
    Cancelled,
    /// A newer target replaced it.
    Superseded,
}

impl UpdateStage {
    /// Whether nothing follows unless somebody deploys again.
    pub fn is_final(self) -> bool {
        match self {
            Self::Refused
            | Self::Committed
            | Self::Reverted
            | Self::Failed
            | Self::Cancelled
            | Self::Superseded => true,
            Self::Pending
            | Self::Checking
            | Self::Staging
            | Self::Ready
            | Self::Applying
            | Self::Trial
            | Self::Reverting => false,
        }
    }

    /// The stage as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Checking => "checking",
            Self::Refused => "refused",
            Self::Staging => "staging",
            Self::Ready => "ready",
            Self::Applying => "applying",
            Self::Trial => "trial",
            Self::Committed => "committed",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// One stage that an update reached.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StageReached {
    /// Stage.
    pub stage: UpdateStage,
    /// When the server heard of it.
    pub at: Timestamp,
    /// Why, for refusals and failures.
    pub reason: Option<String>,
}

/// What a device keeps in external flash during an update.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StagingMode {
    /// New and old pages: the device can go back by itself.
    RedoAndUndo,
    /// New pages: going back means fetching.
    Redo,
    /// A ring of old pages: patches are decoded in place. Going back means fetching.
    InPlace,
    /// Nothing fits.
    Refused,
}

/// What a device tells of an update besides its stage; what it does not know is absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateDetails {
    /// The reason as a code that programs can act upon, such as `bad-signature`.
    pub code: Option<String>,
    /// What it keeps in external flash.
    pub mode: Option<StagingMode>,
    /// How long the application will stand still, in milliseconds.
    pub downtime_ms: Option<u32>,
    /// Erases of application pages since the device was made.
    pub page_erases: Option<u32>,
    /// While it is ready: when it is applied unless the application postpones it further.
    pub apply_at: Option<Timestamp>,
    /// While it is on trial: how that stands.
    pub trial: Option<TrialProgress>,
}

impl UpdateDetails {
    /// Takes what `newer` knows and keeps the rest, but for what holds in one stage alone.
    pub fn learn(&mut self, newer: Self) {
        let Self { code, mode, downtime_ms, page_erases, apply_at, trial } = newer;
        *self = Self {
            code: code.or(self.code.take()),
            mode: mode.or(self.mode),
            downtime_ms: downtime_ms.or(self.downtime_ms),
            page_erases: page_erases.or(self.page_erases),
            apply_at,
            trial,
        };
    }
}

/// One attempt to bring a device to a target.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Update {
    /// Number, rising.
    pub id: i64,
    /// The device.
    pub device_id: DeviceId,
    /// What it shall run.
    pub manifest: ManifestDigest,
    /// Name and version of the bundle.
    pub bundle: Option<String>,
    /// Whether it applies even if the application postpones.
    pub forced: bool,
    /// Account that deployed.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Where it stands.
    pub stage: UpdateStage,
    /// Pages done in this stage.
    pub pages_done: u32,
    /// Pages of this stage.
    pub pages_total: u32,
    /// Why, for refusals and failures, in the device's words.
    pub reason: Option<String>,
    /// What the device told besides.
    pub details: UpdateDetails,
    /// Bytes of envelope, patches and pages that were sent for it.
    pub bytes_sent: u64,
    /// Bytes of all images of the bundle; absent if the bundle is not known any more.
    pub image_bytes: Option<u64>,
    /// When the server last heard of it.
    pub updated_at: Timestamp,
    /// Stages in the order in which they were reached.
    pub stages: Vec<StageReached>,
}

/// How a new version on trial stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrialProgress {
    /// Times that the device was started with it, this one included.
    pub starts: u32,
    /// Starts after which it is taken back unless it was found healthy.
    pub starts_max: u32,
    /// Whether the device found it healthy: it waits for the server's acknowledgement alone.
    pub healthy: bool,
}

/// Body that registers a device that a factory made.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterDevice {
    /// Static X25519 public key, 64 hexadecimal digits.
    pub public_key: String,
    /// SHA-256 of the 16-byte one-time claim token, 64 hexadecimal digits. The token itself stays with the device.
    pub claim_token_sha256: Option<String>,
    /// Name, unique in the realm.
    pub name: Option<String>,
}

/// Body that binds a device to the caller's account.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimDevice {
    /// The device's one-time token, 32 hexadecimal digits.
    pub claim_token: String,
    /// Name to give it.
    pub name: Option<String>,
}

/// Body that changes what an owner may change of a device; an absent field stays.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeDevice {
    /// New name, unique in the realm.
    pub name: Option<String>,
    /// Refuse its link for good, or again allow it.
    pub revoked: Option<bool>,
}

/// Body that sets what a device shall run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetTarget {
    /// Digest of the manifest, at least eight first digits of it, `name@version`, or `name` for the newest.
    pub bundle: BundleReference,
    /// Apply even if the application postpones.
    #[serde(default)]
    pub forced: bool,
    /// Permit to go back, as `bulkhead key permit` writes it, in hexadecimal digits.
    #[serde(default)]
    pub permit: Option<String>,
}

/// What a server may ask a device to do now.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeviceCommand {
    /// Restart the application.
    RestartApplication,
    /// Stop the application until told otherwise.
    StopApplication,
    /// Apply the update as soon as it is staged, even if the application postponed it; declined if there is none.
    ApplyNow,
    /// Restart the whole device.
    RestartDevice,
    /// Give the update up; declined if there is none, or once pages are being written.
    CancelUpdate,
    /// Take a new version that is on trial back.
    RevertUpdate,
    /// Make a crash dump of the application as it runs.
    TakeCrash,
}

/// Body that sends a command.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SendCommand {
    /// What to do.
    pub command: DeviceCommand,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CommandOutcome {
    /// The device carried it out.
    Accepted,
    /// The device did not; its log says why.
    Declined,
    /// No answer in time; it may have been carried out.
    Unanswered,
    /// The device is not connected; it is told when it connects.
    Kept,
}

/// Answer to [`SendCommand`].
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandResult {
    /// How it ended.
    pub outcome: CommandOutcome,
}
