//! Every message of the link. Numbers are normative (`docs/spec/link.md`), never reused, only added.

use bulkhead_keyed_cbor::{Decode, Encode, Malformed, Reader, Writer, choice, record};
use minicbor::bytes::ByteSlice;

use crate::application::{
    ConfigEntry, ConfigFetch, ConfigOffer, ConfigState, MessageDown, MessageFinished, MessageStored,
    MessageUp, MessageWindow,
};
use crate::crash::{CrashDone, CrashOffer, CrashPiece, CrashWanted};
use crate::debug::{DebugClose, DebugClosed, DebugFrame};
use crate::frame::Lane;
use crate::plan::{Plan, PlanRequest, StagingMode};
use crate::reason_code::ReasonCode;
use crate::wear::{TrialState, Wear};

/// SHA-256 of a manifest's payload: the name of what a device runs or shall run.
pub type Digest = [u8; 32];

/// A message that can be put into a frame.
pub trait Wire<'b>: Sized {
    /// Where the message travels and under which number.
    fn lane_and_kind(&self) -> (Lane, u8);
    /// Writes the CBOR body.
    fn encode_body(&self, writer: &mut Writer<'_>);
    /// Reads the body of `lane`/`kind`; `None` for a number of a newer version.
    ///
    /// # Errors
    /// The body is malformed.
    fn decode_body(lane: u8, kind: u8, body: &'b [u8]) -> Result<Option<Self>, Malformed>;
}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($variant:ident($body:ty) = $lane:ident / $kind:literal, $vdoc:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name<'b> { $(#[doc = $vdoc] $variant($body)),* }

        impl<'b> Wire<'b> for $name<'b> {
            fn lane_and_kind(&self) -> (Lane, u8) {
                match self { $(Self::$variant(_) => (Lane::$lane, $kind)),* }
            }
            fn encode_body(&self, writer: &mut Writer<'_>) {
                let body: &dyn Encode = match self { $(Self::$variant(body) => body),* };
                body.encode(writer);
            }
            fn decode_body(lane: u8, kind: u8, body: &'b [u8]) -> Result<Option<Self>, Malformed> {
                let mut reader = Reader::new(body);
                $(if lane == Lane::$lane as u8 && kind == $kind {
                    return match Decode::decode(&mut reader) {
                        Some(body) => Ok(Some(Self::$variant(body))),
                        None => Err(Malformed),
                    };
                })*
                Ok(None)
            }
        }
    };
}

messages! {
    /// What a device says.
    DeviceMessage {
        Hello(Hello<'b>) = Control / 0x01, "First message of a link: who and what this device is.";
        State(State<'b>) = Control / 0x02, "Something of the reported state changed.";
        Ping(Ping) = Control / 0x03, "Keepalive.";
        Pong(Ping) = Control / 0x04, "Answer to a keepalive.";
        CommandDone(CommandDone) = Control / 0x05, "Outcome of a command.";
        Wear(Wear) = Control / 0x06, "What the flash went through; after each `Welcome` and each update.";
        DebugFrame(DebugFrame<'b>) = Debug / 0x01, "A piece of a debug session.";
        DebugClosed(DebugClosed) = Debug / 0x02, "A debug session is over.";
        Message(MessageUp<'b>) = Application / 0x01, "A message of the application.";
        MessageWindow(MessageWindow) = Application / 0x02, "What there is room for.";
        MessageFinished(MessageFinished) = Application / 0x03, "The application is done with a message.";
        ConfigState(ConfigState) = Application / 0x04, "The configuration that the device has.";
        ConfigFetch(ConfigFetch) = Application / 0x05, "Asks for an entry of the configuration.";
        Fetch(Fetch) = Update / 0x01, "Asks for a span of a manifest or of an area.";
        Progress(Progress<'b>) = Update / 0x02, "Where the update stands.";
        PlanRequest(PlanRequest) = Update / 0x03, "Asks how to stage an update.";
        Log(Log<'b>) = Log / 0x01, "One log record.";
        CrashOffer(CrashOffer) = Crash / 0x01, "A crash dump waits here.";
        CrashPiece(CrashPiece<'b>) = Crash / 0x02, "A piece of a crash dump.";
    }
}

messages! {
    /// What a server says.
    ServerMessage {
        Welcome(Welcome) = Control / 0x41, "Answer to `Hello`.";
        Ping(Ping) = Control / 0x03, "Keepalive.";
        Pong(Ping) = Control / 0x04, "Answer to a keepalive.";
        GoAway(GoAway) = Control / 0x42, "The server closes the link; come back later.";
        Command(Command) = Control / 0x43, "Asks the device to do something now.";
        Acknowledge(Acknowledge) = Control / 0x44, "The server saw this manifest run.";
        DebugOpen(DebugFrame<'b>) = Debug / 0x41, "Begins a debug session with the first message of its handshake.";
        DebugFrame(DebugFrame<'b>) = Debug / 0x42, "A piece of a debug session.";
        DebugClose(DebugClose) = Debug / 0x43, "Ends a debug session.";
        Message(MessageDown<'b>) = Application / 0x41, "A message for the application.";
        MessageStored(MessageStored) = Application / 0x42, "The server has stored messages of the application.";
        ConfigOffer(ConfigOffer) = Application / 0x43, "The configuration that the device shall have.";
        ConfigEntry(ConfigEntry<'b>) = Application / 0x44, "An entry of it.";
        Offer(Offer) = Update / 0x41, "The bundle that this device shall run.";
        Chunk(Chunk<'b>) = Update / 0x42, "A piece of what was asked for.";
        Unavailable(Unavailable) = Update / 0x43, "What was asked for does not exist here.";
        Plan(Plan) = Update / 0x44, "How to stage an update.";
        KeySetOffer(KeySetOffer) = Update / 0x45, "A newer set of the owner's keys.";
        CrashWanted(CrashWanted) = Crash / 0x41, "Asks for a crash dump from an offset on.";
        CrashDone(CrashDone) = Crash / 0x42, "A crash dump is kept, or not wanted.";
    }
}

choice! {
/// What the application is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ApplicationState {
    /// No startable application.
    #[n(0)]
    None,
    /// Running.
    #[n(1)]
    Running,
    /// Stopped by a fault; restarts after a back-off.
    #[n(2)]
    BackingOff,
    /// Stopped while an update is applied.
    #[n(3)]
    Updating,
    /// Stopped on the owner's or its own order.
    #[n(4)]
    Stopped,
}
}

choice! {
/// Why the hypervisor stopped the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// Touched memory or a peripheral of the secure world.
    #[n(0)]
    SecureAccess,
    /// Executed where no code is.
    #[n(1)]
    BadExecution,
    /// Ran over the end of its stack or moved its stack pointer outside its memory.
    #[n(2)]
    StackOverflow,
    /// Spent its whole time in interrupt handlers.
    #[n(3)]
    InterruptFlood,
    /// Kept all interrupts masked.
    #[n(4)]
    InterruptsMasked,
    /// Bus error.
    #[n(5)]
    BusError,
    /// Undefined instruction, unaligned access, division by zero.
    #[n(6)]
    UsageFault,
    /// Fault inside a fault handler, or any other escalation.
    #[n(7)]
    Escalated,
    /// A breakpoint instruction with no debugger attached.
    #[n(8)]
    Breakpoint,
    /// MPU violation of the application's own regions.
    #[n(9)]
    MemoryProtection,
}
}

record! { Map
/// The last fault of the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What happened.
    #[n(0)]
    pub kind: FaultKind,
    /// Program counter of the offending instruction.
    #[n(1)]
    pub program_counter: u32,
    /// Address that was touched, if the processor told.
    #[n(2)]
    pub address: Option<u32>,
    /// Faults since the hypervisor started.
    #[n(3)]
    pub count: u32,
    /// Seconds until the application is started again.
    #[n(4)]
    pub restart_in_s: Option<u32>,
}
}

choice! {
/// Why the hypervisor started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BootReason {
    /// Power came on.
    #[n(0)]
    PowerOn,
    /// The hypervisor restarted itself after a fault of its own.
    #[n(1)]
    HypervisorFault,
    /// The owner ordered it.
    #[n(2)]
    Commanded,
}
}

record! { Map
/// Who and what a device is; sent first on every link.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello<'b> {
    /// Version text of the hypervisor.
    #[n(0)]
    pub hypervisor: &'b str,
    /// Device class that manifests name.
    #[n(1)]
    pub device_class: &'b str,
    /// Board revision.
    #[n(2)]
    pub board_revision: u32,
    /// System call ABI offered to the application.
    #[n(3)]
    pub abi: u32,
    /// Manifest that the journal has committed, if any.
    #[n(4)]
    pub running: Option<Digest>,
    /// Why the hypervisor started.
    #[n(5)]
    pub boot_reason: BootReason,
    /// The application now.
    #[n(6)]
    pub application: ApplicationState,
    /// Connects since power came on, this one included.
    #[n(7)]
    pub connect_count: u32,
    /// Last fault since power came on.
    #[n(8)]
    pub fault: Option<Fault>,
    /// Epitaph of the hypervisor's own last fault.
    #[n(9)]
    pub epitaph: Option<&'b str>,
    /// One-time token by which the device is claimed, until the server has acknowledged it.
    #[n(10)]
    pub claim_token: Option<[u8; 16]>,
    /// `running` is on trial: it waits to be confirmed and acknowledged.
    #[n(11)]
    pub on_trial: Option<bool>,
    /// Version of the owner's key set that this device obeys; absent for the keys it was provisioned with.
    #[n(12)]
    pub key_set_version: Option<u32>,
    /// What the device has behind it for good.
    #[n(13)]
    pub floors: Option<Floors>,
}
}

record! { Map
/// What only rises: below it a device takes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Floors {
    /// Highest sequence ever committed; only a permit leads below it.
    #[n(0)]
    pub sequence: u64,
    /// Highest security counter ever committed; nothing leads below it.
    #[n(1)]
    pub security_counter: u32,
    /// Permits used up: the number that the next one must have.
    #[n(2)]
    pub permits: u32,
}
}

record! { Map
/// Part of the reported state that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct State<'b> {
    /// The application now.
    #[n(0)]
    pub application: ApplicationState,
    /// Manifest that the journal has committed, if any.
    #[n(1)]
    pub running: Option<Digest>,
    /// The fault that led here.
    #[n(2)]
    pub fault: Option<Fault>,
    /// Why, in words.
    #[n(3)]
    pub reason: Option<&'b str>,
    /// `running` is on trial: it waits to be confirmed and acknowledged.
    #[n(4)]
    pub on_trial: Option<bool>,
    /// Version of the owner's key set that this device obeys; absent for the keys it was provisioned with.
    #[n(5)]
    pub key_set_version: Option<u32>,
    /// Why the key set that was offered last is not obeyed.
    #[n(6)]
    pub key_set_refusal: Option<&'b str>,
    /// What the device has behind it for good.
    #[n(7)]
    pub floors: Option<Floors>,
}
}

record! { Map
/// The server saw, over an authenticated link, that the device runs this manifest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Acknowledge {
    /// What the device reported as running.
    #[n(0)]
    pub manifest: Digest,
}
}

record! { Map
/// A set of the owner's keys, newer than the one the device obeys; fetched as [`FetchFrom::KeySet`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeySetOffer {
    /// Version, higher than the device's.
    #[n(0)]
    pub version: u32,
    /// Length of the signed set in bytes.
    #[n(1)]
    pub len: u32,
}
}

record! { Map
/// Keepalive, either way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ping {
    /// Returned unchanged in the answer.
    #[n(0)]
    pub token: u32,
}
}

record! { Map
/// The server's answer to `Hello`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Welcome {
    /// Microseconds since 1970-01-01 UTC.
    #[n(0)]
    pub wall_clock_us: u64,
    /// Longest silence that the server accepts, in seconds; 0 leaves it to the device.
    #[n(1)]
    pub keepalive_max_s: u32,
    /// Lowest log level wanted (0 error to 4 trace); 255 for none.
    #[n(2)]
    pub log_level: u8,
}
}

record! { Map
/// The server closes the link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GoAway {
    /// Seconds to stay away.
    #[n(0)]
    pub reconnect_in_s: u32,
}
}

choice! {
/// What a server may ask a device to do now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommandKind {
    /// Restart the application.
    #[n(0)]
    RestartApplication,
    /// Stop the application until told otherwise.
    #[n(1)]
    StopApplication,
    /// Apply a staged update now, even if the application postponed it.
    #[n(2)]
    ApplyNow,
    /// Restart the whole device.
    #[n(3)]
    RestartDevice,
    /// Give the update up; refused once an apply was begun.
    #[n(4)]
    CancelUpdate,
    /// Go back from a trial to what ran before it.
    #[n(5)]
    RevertUpdate,
    /// Make a crash dump of the application as it runs.
    #[n(16)]
    TakeCrash,
}
}

record! { Map
/// A command; done at most once for each id on one link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Command {
    /// Chosen by the server.
    #[n(0)]
    pub id: u32,
    /// What to do.
    #[n(1)]
    pub kind: CommandKind,
}
}

record! { Map
/// Outcome of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CommandDone {
    /// The command's id.
    #[n(0)]
    pub id: u32,
    /// Whether it was carried out; if not, the device's log says why.
    #[n(1)]
    pub accepted: bool,
}
}

record! { Map
/// The bundle that the device shall run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offer {
    /// SHA-256 of the manifest payload.
    #[n(0)]
    pub manifest: Digest,
    /// Length of the signed envelope in bytes.
    #[n(1)]
    pub envelope_len: u32,
    /// Apply even if the application postpones.
    #[n(2)]
    pub forced: bool,
    /// Length of a signed permit to go below the sequence that was committed, if there is one.
    #[n(3)]
    pub permit_len: Option<u32>,
}
}

choice! {
/// What a span belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FetchFrom {
    /// The signed envelope of the manifest.
    #[n(0)]
    Envelope,
    /// An area's image.
    #[n(1)]
    Area,
    /// The patch of a plan that leads to an area's image.
    #[n(2)]
    Patch,
    /// The downgrade permit of the offer.
    #[n(3)]
    Permit,
    /// The key set that was offered; `manifest` is 32 zero bytes.
    #[n(4)]
    KeySet,
}
}

record! { Map
/// Asks for a span; the server answers with chunks in order, or `Unavailable`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fetch {
    /// The bundle, by manifest digest.
    #[n(0)]
    pub manifest: Digest,
    /// Envelope or area.
    #[n(1)]
    pub from: FetchFrom,
    /// Area id; 0 for all but areas and patches.
    #[n(2)]
    pub area: u32,
    /// First byte wanted.
    #[n(3)]
    pub offset: u32,
    /// Bytes wanted, at most [`crate::FETCH_LEN_MAX`].
    #[n(4)]
    pub len: u32,
}
}

record! { Map
/// A piece of what was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chunk<'b> {
    /// Envelope or area.
    #[n(0)]
    pub from: FetchFrom,
    /// Area id; 0 for all but areas and patches.
    #[n(1)]
    pub area: u32,
    /// Offset of the first byte.
    #[n(2)]
    pub offset: u32,
    /// At most [`crate::CHUNK_LEN_MAX`] bytes.
    #[n(3)]
    pub bytes: &'b ByteSlice,
}
}

record! { Map
/// The server does not have what was asked for; the device gives the update up until the next `Offer`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unavailable {
    /// The bundle that was asked for.
    #[n(0)]
    pub manifest: Digest,
}
}

choice! {
/// Stages of an update, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UpdateStage {
    /// Nothing to do: the device runs its target.
    #[n(0)]
    Idle,
    /// The manifest is fetched and checked.
    #[n(1)]
    Checking,
    /// Refused; `reason` says why. Nothing of the application was downloaded.
    #[n(2)]
    Refused,
    /// Pages are fetched, sealed and staged while the application runs.
    #[n(3)]
    Staging,
    /// Staged and verified; waits for its moment.
    #[n(4)]
    Ready,
    /// The application is stopped, pages are written.
    #[n(5)]
    Applying,
    /// Applied, verified and committed.
    #[n(6)]
    Committed,
    /// The old application is being put back.
    #[n(7)]
    Reverting,
    /// The old application was put back; `reason` says why.
    #[n(8)]
    Reverted,
    /// Failed before anything was changed; `reason` says why.
    #[n(9)]
    Failed,
    /// Applied and started; waits for the application's word, a time without faults, and the server.
    #[n(10)]
    Trial,
    /// Given up on the owner's order before anything was changed.
    #[n(11)]
    Cancelled,
}
}

record! { Map
/// Where the update stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress<'b> {
    /// The bundle, by manifest digest.
    #[n(0)]
    pub manifest: Digest,
    /// Stage.
    #[n(1)]
    pub stage: UpdateStage,
    /// Pages done in this stage.
    #[n(2)]
    pub pages_done: u32,
    /// Pages of this stage.
    #[n(3)]
    pub pages_total: u32,
    /// Why, for `Refused`, `Reverted` and `Failed`.
    #[n(4)]
    pub reason: Option<&'b str>,
    /// The same as a number.
    #[n(5)]
    pub code: Option<ReasonCode>,
    /// What is kept in external flash.
    #[n(6)]
    pub mode: Option<StagingMode>,
    /// Bytes of patches and raw pages received since the offer.
    #[n(7)]
    pub bytes_received: Option<u64>,
    /// From `Ready` on: how long the application will stand still, in milliseconds.
    #[n(8)]
    pub downtime_ms: Option<u32>,
    /// Erases of application pages since the device was made.
    #[n(9)]
    pub page_erases: Option<u32>,
    /// What shall be offered instead, because it has to be fetched to go back.
    #[n(10)]
    pub wanted_back: Option<Digest>,
    /// While it is ready: seconds until it is applied unless the application postpones it further.
    #[n(11)]
    pub apply_in_s: Option<u32>,
    /// While it is on trial: how that stands.
    #[n(12)]
    pub trial: Option<TrialState>,
}
}

choice! {
/// Who wrote a log record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogSource {
    /// The application.
    #[n(0)]
    Application,
    /// The hypervisor.
    #[n(1)]
    Hypervisor,
}
}

record! { Map
/// One log record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log<'b> {
    /// Who wrote it.
    #[n(0)]
    pub source: LogSource,
    /// 0 error, 1 warning, 2 information, 3 debug, 4 trace.
    #[n(1)]
    pub level: u8,
    /// Microseconds since power came on.
    #[n(2)]
    pub uptime_us: u64,
    /// Running number since power came on.
    #[n(3)]
    pub sequence: u32,
    /// Records lost before this one because the queue was full.
    #[n(4)]
    pub lost: u32,
    /// The text, UTF-8, at most [`crate::LOG_TEXT_LEN_MAX`] bytes.
    #[n(5)]
    pub text: &'b str,
}
}
