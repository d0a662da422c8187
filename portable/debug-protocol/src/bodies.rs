//! The bodies of operations, answers and events: maps with small integer keys.

use bulkhead_keyed_cbor::{choice, record};
use minicbor::bytes::ByteSlice;

use crate::registers::{Core, Float, System};

record! { Map
/// Opens a session; the first operation of every one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hello {
    /// The version that the developer's side speaks.
    #[n(0)]
    pub version: u32,
}
}

record! { Map
/// An operation or answer that carries nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Nothing {}
}

choice! {
/// How far to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Run {
    /// Until something stops it.
    #[n(0)]
    Continue,
    /// One instruction.
    #[n(1)]
    Step,
    /// Instruction by instruction while inside a range.
    #[n(2)]
    Range,
}
}

record! { Map
/// Lets the application run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resume {
    /// How far.
    #[n(0)]
    pub run: Run,
    /// First address of the range.
    #[n(1)]
    pub low: Option<u32>,
    /// First address behind the range.
    #[n(2)]
    pub high: Option<u32>,
    /// Most instructions of a range; absent: the device's own limit.
    #[n(3)]
    pub steps_max: Option<u32>,
    /// Lets the application's interrupts in during a step; they are held back otherwise.
    #[n(4)]
    pub interrupts: Option<bool>,
}
}

record! { Map
/// Lets a called function run to its end, and goes on inside a range: two resumes of which the first stop is certain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Through {
    /// Where the function returns to; it lies in the range.
    #[n(0)]
    pub place: u32,
    /// The stack pointer there; with another one it is another call's return.
    #[n(1)]
    pub stack_pointer: u32,
    /// First address of the range.
    #[n(2)]
    pub low: u32,
    /// First address behind the range.
    #[n(3)]
    pub high: u32,
    /// Most instructions of the range; absent: the device's own limit.
    #[n(4)]
    pub steps_max: Option<u32>,
}
}

record! { Map
/// Memory that is told along with the next stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Along {
    /// First address.
    #[n(0)]
    pub address: u32,
    /// Length in bytes, 1 to `ALONG_LEN_MAX`.
    #[n(1)]
    pub len: u32,
}
}

record! { Map
/// The session goes on where a lost link left it: what was set is still in place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Stops since the session began: who heard of fewer missed the last.
    #[n(0)]
    pub stops: u32,
}
}

record! { Map
/// Reads memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadMemory {
    /// First address.
    #[n(0)]
    pub address: u32,
    /// Bytes, at most `READ_LEN_MAX`.
    #[n(1)]
    pub len: u32,
    /// Exact width of each access in bytes, 1, 2 or 4; absent: any.
    #[n(2)]
    pub width: Option<u8>,
}
}

record! { Map
/// Writes memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WriteMemory<'b> {
    /// First address.
    #[n(0)]
    pub address: u32,
    /// What to write, at most `WRITE_LEN_MAX` bytes.
    #[n(1)]
    pub bytes: &'b [u8],
    /// Exact width of each access in bytes, 1, 2 or 4; absent: any.
    #[n(2)]
    pub width: Option<u8>,
}
}

record! { Map
/// Writes one register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WriteRegister {
    /// Number of the register.
    #[n(0)]
    pub register: u8,
    /// Its new value.
    #[n(1)]
    pub value: u32,
}
}

record! { Map
/// Asks for the checksum of memory: polynomial 0x04C11DB7, from 0xFFFFFFFF, most significant bit first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crc {
    /// First address.
    #[n(0)]
    pub address: u32,
    /// Bytes.
    #[n(1)]
    pub len: u32,
}
}

choice! {
/// What a probe does when it is hit and its condition holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Stops the application: a breakpoint.
    #[n(0)]
    Stop,
    /// Runs the command, an agent expression that prints, and lets the application go on.
    #[n(1)]
    Log,
    /// Sends registers and stack and lets the application go on.
    #[n(2)]
    Snapshot,
}
}

record! { Map
/// Puts a probe at an address, in place of one that is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SetProbe<'b> {
    /// Address of the instruction; bit 0 is clear.
    #[n(0)]
    pub address: u32,
    /// What it does.
    #[n(1)]
    pub action: Action,
    /// Agent expression; the probe acts where it yields something else than 0. Absent: always.
    #[n(2)]
    pub condition: Option<&'b ByteSlice>,
    /// Agent expression that prints, for `Log`.
    #[n(3)]
    pub command: Option<&'b ByteSlice>,
    /// The probe falls silent after this many actions; absent: never.
    #[n(4)]
    pub actions_max: Option<u32>,
}
}

record! { Map
/// Names a place by its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct At {
    /// The address.
    #[n(0)]
    pub address: u32,
}
}

choice! {
/// What kind of access a watch looks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchKind {
    /// A write that changes the value.
    #[n(0)]
    Write,
    /// A read.
    #[n(1)]
    Read,
    /// Either, changed or not.
    #[n(2)]
    Access,
}
}

record! { Map
/// A range of memory that is watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watch {
    /// First address.
    #[n(0)]
    pub address: u32,
    /// Bytes, 1 to 64.
    #[n(1)]
    pub len: u32,
    /// What to look for.
    #[n(2)]
    pub kind: WatchKind,
}
}

choice! {
/// How a watch is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keeping {
    /// The application runs at its own speed, but for accesses nearby.
    #[n(0)]
    Guarded,
    /// It is stepped all the time: for a range on a stack, or when the device has no guard left.
    #[n(1)]
    Stepped,
}
}

record! { Map
/// Answer to `SetWatch`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watching {
    /// How.
    #[n(0)]
    pub keeping: Keeping,
}
}

record! { Map
/// Restarts the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reset {
    /// Stops before its first instruction.
    #[n(0)]
    pub halt: bool,
}
}

choice! {
/// What a region of memory is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegionKind {
    /// The application's code: it may be patched, not written.
    #[n(0)]
    Code,
    /// Memory.
    #[n(1)]
    Ram,
    /// Registers of peripherals or of the processor: reading may have effects.
    #[n(2)]
    Device,
}
}

record! { Array
/// A region that the application may reach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Region {
    /// First address.
    #[n(0)]
    pub address: u32,
    /// Bytes.
    #[n(1)]
    pub len: u32,
    /// What it is for.
    #[n(2)]
    pub kind: RegionKind,
}
}

record! { Map
/// Answer to `Hello`. Each region is an entry of its own behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Welcome<'b> {
    /// The version that the device speaks.
    #[n(0)]
    pub version: u32,
    /// Whether the application stands still.
    #[n(1)]
    pub halted: bool,
    /// Most probes at once.
    #[n(2)]
    pub probes_max: u32,
    /// Most watches at once.
    #[n(3)]
    pub watches_max: u32,
    /// Digest of the application's manifest.
    #[n(4)]
    pub manifest: &'b [u8],
    /// Name of the hypervisor's build.
    #[n(5)]
    pub build: &'b [u8],
}
}

record! { Map
/// A piece of memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Memory<'b> {
    /// First address.
    #[n(0)]
    pub address: u32,
    /// The bytes.
    #[n(1)]
    pub bytes: &'b [u8],
}
}

record! { Map
/// The registers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Registers {
    /// r0 to xpsr.
    #[n(0)]
    pub core: Core,
    /// msp to psplim.
    #[n(1)]
    pub system: System,
    /// s0 to fpscr.
    #[n(2)]
    pub float: Option<Float>,
}
}

record! { Map
/// A checksum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checksum {
    /// The checksum.
    #[n(0)]
    pub crc: u32,
}
}

choice! {
/// Why an operation was not carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusalReason {
    /// The number is of a later version.
    #[n(0)]
    Unknown,
    /// The body is not what the specification prescribes, or exceeds a limit.
    #[n(1)]
    Malformed,
    /// The address is not the application's.
    #[n(2)]
    Forbidden,
    /// The memory did not answer the access.
    #[n(3)]
    AccessFailed,
    /// The application runs, and this needs it halted.
    #[n(4)]
    Running,
    /// No room for another probe, watch or expression.
    #[n(5)]
    Full,
    /// The session has not begun with `Hello`.
    #[n(6)]
    NoSession,
    /// This device cannot do it.
    #[n(7)]
    Unsupported,
    /// The application does not run: there is none, or it waits to be started.
    #[n(8)]
    NoApplication,
    /// The owner's signed policy does not allow it.
    #[n(9)]
    NotAllowed,
}
}

record! { Map
/// An operation was not carried out, nor those behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused {
    /// Place of the operation in its request, from 0.
    #[n(0)]
    pub index: u32,
    /// Why.
    #[n(1)]
    pub reason: RefusalReason,
}
}

choice! {
/// Why the application stands still.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopReason {
    /// The debugger asked.
    #[n(0)]
    Halted,
    /// A probe.
    #[n(1)]
    Breakpoint,
    /// The step or range is done.
    #[n(2)]
    Stepped,
    /// A watch.
    #[n(3)]
    Watched,
    /// A fault.
    #[n(4)]
    Fault,
    /// A breakpoint instruction of the application's own.
    #[n(5)]
    OwnBreakpoint,
    /// It was restarted and has not begun.
    #[n(6)]
    Reset,
}
}

record! { Map
/// Fault status of the processor.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// Configurable fault status.
    #[n(0)]
    pub cfsr: u32,
    /// Hard fault status.
    #[n(1)]
    pub hfsr: u32,
    /// Secure fault status.
    #[n(2)]
    pub sfsr: u32,
    /// Address of a memory fault.
    #[n(3)]
    pub mmfar: u32,
    /// Address of a bus fault.
    #[n(4)]
    pub bfar: u32,
}
}

record! { Map
/// The application stands still, with all that a debugger asks for next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stopped<'b> {
    /// Why.
    #[n(0)]
    pub reason: StopReason,
    /// r0 to xpsr.
    #[n(1)]
    pub core: Core,
    /// msp to psplim.
    #[n(2)]
    pub system: System,
    /// s0 to fpscr.
    #[n(3)]
    pub float: Option<Float>,
    /// First address of the stack window.
    #[n(4)]
    pub stack_address: u32,
    /// The stack window; shorter or empty where memory ends.
    #[n(5)]
    pub stack: &'b [u8],
    /// The watch that was hit.
    #[n(6)]
    pub watch: Option<Watch>,
    /// The fault.
    #[n(7)]
    pub faults: Option<Faults>,
    /// When, in microseconds of the device's clock.
    #[n(8)]
    pub time_us: u64,
}
}

record! { Map
/// A record that a probe printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log<'b> {
    /// The probe.
    #[n(0)]
    pub address: u32,
    /// What it printed.
    #[n(1)]
    pub text: &'b [u8],
    /// Records lost before this one, for want of room.
    #[n(2)]
    pub lost: u32,
}
}

record! { Map
/// Output of the application itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Console<'b> {
    /// What it wrote.
    #[n(0)]
    pub text: &'b [u8],
}
}

record! { Map
/// The application was restarted; its probes are in place again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ApplicationReset<'b> {
    /// Digest of the manifest that runs now.
    #[n(0)]
    pub manifest: &'b [u8],
}
}
