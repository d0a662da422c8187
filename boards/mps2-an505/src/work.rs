//! A slice of the hypervisor's work on this board: gathers the facts of the moment, carries out the order.

use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bulkhead_armv8m_trustzone as world;
use bulkhead_chip_mps2_an505::{Breakpoints, DIE_TIMES, EXTERNAL_TIMES, Lan9118, NvmFlash, NvmKind};
use bulkhead_device_identity::Identity;
use bulkhead_hardware_ports::Entropy;
use bulkhead_hypervisor::{
    ConfigurationStorage, CrashStorage, DebugStorage, DeviceSession, Facts, FaultStatus, FlashSpeeds, Glance,
    Health, Hypervisor, LinkSettings, LinkStorage, MailboxAccess as _, Moments, Offence, Order, Outside,
    SeededEntropy,
};
use bulkhead_link_protocol::{BootReason, FaultKind};
use bulkhead_network_stack::{Buffers, NetworkStack, Sockets};
use bulkhead_nor_flash::{FlashAddress, NorFlash};
use bulkhead_syscall_abi::ABI_VERSION;
use bulkhead_update_engine::{Boot, DeviceFacts, Engine, Layout, Memory, Part, Workspace};
use static_cell::{ConstStaticCell, StaticCell};
use world::critical::ExecutorCell;
use world::interrupts::{InterruptLine, disable, enable, pend};
use world::memory_check::Intent;
use world::switch::Interrupted;
use world::worker::Pace;

use crate::debug::Target;
use crate::gateway::TheMailbox;
use crate::{board, console, epitaph, provisioned};

/// Ticks between two slices when nothing happens.
const IDLE_TICKS: u32 = 5;
/// The same while the application sleeps: how late its deadline may be noticed.
const ASLEEP_TICKS: u32 = 20;

struct Machine {
    hypervisor: Hypervisor<'static, Lan9118>,
    die: NvmFlash,
    external: NvmFlash,
    entropy: SeededEntropy,
    target: Target,
}

static MACHINE: ExecutorCell<Machine> = ExecutorCell::empty();
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
static SOCKETS: StaticCell<Sockets> = StaticCell::new();
static NETWORK: StaticCell<NetworkStack<Lan9118>> = StaticCell::new();
static SESSION: StaticCell<Option<DeviceSession>> = StaticCell::new();
static CONFIGURATION: ConstStaticCell<ConfigurationStorage> =
    ConstStaticCell::new(ConfigurationStorage::new());
static ENGINE: StaticCell<Engine<'static>> = StaticCell::new();
static WORKSPACE: ConstStaticCell<Workspace> = ConstStaticCell::new(Workspace::new());
static DEBUG: StaticCell<DebugStorage> = StaticCell::new();
static CRASH: ConstStaticCell<CrashStorage> = ConstStaticCell::new(CrashStorage::new());
static EPITAPH: StaticCell<epitaph::Text> = StaticCell::new();
static BUSY: AtomicBool = AtomicBool::new(false);
static ASLEEP: AtomicBool = AtomicBool::new(false);
static LAST_SLICE: AtomicU32 = AtomicU32::new(0);

/// Builds everything: what is large first, each while little else is on the stack.
#[unsafe(no_mangle)]
fn bulkhead_build() {
    build(sockets(), debug_storage());
}

/// Builds the rest. Without identity or with a wrong layout the board says so and stays at its console: nothing that it
/// could do over the network would be trusted.
#[inline(never)]
fn build(sockets: &'static mut Sockets, debug: &'static mut DebugStorage) {
    // SAFETY: the die's part of the NVM, which `board.toml` gives to no other driver; the application may write to its
    // own pages behind our back, which the driver's volatile accesses allow for.
    let mut die = unsafe {
        NvmFlash::new(
            NvmKind::Die,
            board::DIE_BASE as usize,
            board::DIE_LENGTH,
            board::DIE_PAGE_BYTES,
            board::DIE_UNIT_BYTES,
        )
    };
    // SAFETY: the external part of the NVM, as above.
    let external = unsafe {
        NvmFlash::new(
            NvmKind::External,
            board::EXTERNAL_BASE as usize,
            board::EXTERNAL_LENGTH,
            board::EXTERNAL_SECTOR_BYTES,
            1,
        )
    };
    // SAFETY: the table is the die's part of that name, the code is the application's; the driver above writes to neither
    // while breakpoints stand there.
    let breakpoints = unsafe {
        Breakpoints::restore(
            board::DIE_BASE.wrapping_add(board::DIE_BREAKPOINTS.0) as usize,
            board::DIE_BREAKPOINTS.1 as usize,
            board::DIE_BASE.wrapping_add(board::DIE_APPLICATION.0) as usize,
            board::DIE_APPLICATION.1 as usize,
        )
    };
    let Some(breakpoints) = breakpoints else {
        epitaph::halt("board.toml has too little room for breakpoints");
    };
    die.look_behind(breakpoints);
    let identity = match provisioned::read(&mut die) {
        Ok(identity) => identity,
        Err(reason) => epitaph::halt(reason),
    };
    let first = FlashAddress(board::DIE_ENTROPY.0);
    let Ok(mut entropy) = SeededEntropy::next_boot(&identity.entropy_seed, &mut die, first) else {
        epitaph::halt("the entropy counter cannot be advanced; its flash pages are worn out");
    };
    let network = network(&mut entropy, sockets);
    let mut external = external;
    let engine = engine(&identity, &mut Memory { die: &mut die, external: &mut external });
    assemble((die, external, entropy), breakpoints, &identity, network, engine, debug);
}

/// Makes the update's engine in its place and has it read the journal. Out of line, like all that needs much stack once.
#[inline(never)]
fn engine(
    identity: &Identity<'static>,
    memory: &mut Memory<'_, NvmFlash, NvmFlash>,
) -> (&'static mut Engine<'static>, Boot) {
    let engine = new_engine(identity);
    match engine.boot(memory) {
        Ok(boot) => (engine, boot),
        Err(error) => {
            console::line(format_args!("{error}"));
            epitaph::halt("board.toml and the update engine do not fit");
        }
    }
}

#[inline(never)]
fn new_engine(identity: &Identity<'static>) -> &'static mut Engine<'static> {
    let facts = DeviceFacts {
        device_class: board::DEVICE_CLASS,
        board_revision: board::BOARD_REVISION,
        abi: ABI_VERSION,
        device_id: *identity.device_id().as_bytes(),
        owner_keys: identity.signing_keys,
        storage_root: identity.storage_root,
    };
    ENGINE.init_with(|| Engine::new(layout(), facts, WORKSPACE.take()))
}

/// Puts the machine together. Out of line: what was called before did not need this much stack beneath it.
#[inline(never)]
fn assemble(
    (mut die, mut external, mut entropy): (NvmFlash, NvmFlash, SeededEntropy),
    breakpoints: Breakpoints,
    identity: &Identity<'static>,
    network: Option<&'static mut NetworkStack<Lan9118>>,
    engine: (&'static mut Engine<'static>, Boot),
    debug: &'static mut DebugStorage,
) {
    let words: Option<&'static str> = epitaph::take().map(|text| EPITAPH.init(text).as_str());
    let mut device_id = [b' '; 34];
    let mut text = heapless::String::<34>::new();
    let _ = core::fmt::Write::write_fmt(&mut text, format_args!("{}", identity.device_id()));
    for (to, from) in device_id.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    console::line(format_args!("device {text}"));
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION"),
        device_class: board::DEVICE_CLASS,
        board_revision: board::BOARD_REVISION,
        boot_reason: match (words.is_some(), epitaph::take_command()) {
            (true, _) => BootReason::HypervisorFault,
            (false, true) => BootReason::Commanded,
            (false, false) => BootReason::PowerOn,
        },
        epitaph: words,
        claim_token: identity.claim_token,
        device_id,
        flash_speeds: FlashSpeeds {
            die: DIE_TIMES,
            die_page_bytes: board::DIE_PAGE_BYTES,
            external: EXTERNAL_TIMES,
            external_sector_bytes: board::EXTERNAL_SECTOR_BYTES,
        },
        ledger: FlashAddress(board::DIE_LEDGER.0),
        crashes: (FlashAddress(board::EXTERNAL_CRASHES.0), board::EXTERNAL_CRASHES.1),
        die_address: board::DIE_BASE.wrapping_add(board::DIE_APPLICATION.0),
    };
    let settings = LinkSettings {
        private_key: identity.device_private_key,
        server_key: identity.server_keys.current,
        server_key_next: identity.server_keys.next,
        realm_id: identity.realm_id,
        host: identity.server_host,
        port: identity.server_port,
        // A lone emulator wakes no street: the spread after a power failure is for boards in the field.
        power_up_delay_ms: 0,
    };
    let mut memory = Memory { die: &mut die, external: &mut external };
    let configuration = CONFIGURATION.take();
    let (first, length) = board::EXTERNAL_CONFIGURATION;
    configuration.prepare(&identity.storage_root, FlashAddress(first), length);
    let storage = LinkStorage { session: SESSION.init_with(|| None), configuration };
    let link = (settings, storage);
    let storage = (debug, CRASH.take());
    let hypervisor = Hypervisor::start(facts, network, link, storage, engine, &mut memory, &mut entropy);
    MACHINE.set(|| Machine { hypervisor, die, external, entropy, target: Target::new(breakpoints) });
    BUSY.store(true, Ordering::Relaxed);
}

/// Starts the network, if the machine has a controller.
#[inline(never)]
fn network(
    entropy: &mut SeededEntropy,
    sockets: &'static mut Sockets,
) -> Option<&'static mut NetworkStack<Lan9118>> {
    let seeds = [(); 2].map(|()| {
        let mut seed = [0; 8];
        entropy.fill(&mut seed);
        u64::from_le_bytes(seed)
    });
    // SAFETY: the controller belongs to the secure world by `board.toml`, and this is its only owner.
    let controller = unsafe { Lan9118::start(board::ETHERNET_BASE) };
    match controller {
        Ok(controller) => {
            Some(NETWORK.init_with(|| NetworkStack::new(controller, BUFFERS.take(), sockets, seeds, 0)))
        }
        Err(_) => {
            console::line(format_args!("no Ethernet controller: start QEMU with -nic user,model=lan9118"));
            None
        }
    }
}

/// Makes the memory of sockets in its place.
#[inline(never)]
fn sockets() -> &'static mut Sockets {
    SOCKETS.init_with(Sockets::new)
}

/// Makes the memory of debug sessions in its place. Out of line, like all that needs much stack once.
#[inline(never)]
fn debug_storage() -> &'static mut DebugStorage {
    DEBUG.init_with(DebugStorage::new)
}

fn layout() -> Layout {
    let part = |(start, length): (u32, u32)| Part::new(start, length);
    Layout {
        die_application: part(board::DIE_APPLICATION),
        die_journal: part(board::DIE_JOURNAL),
        die_manifests: part(board::DIE_MANIFESTS),
        die_keys: part(board::DIE_KEYS),
        external_application: part(board::EXTERNAL_APPLICATION),
        external_staging: part(board::EXTERNAL_STAGING),
    }
}

/// The secure tick: work is due when there is some, and now and then without.
#[unsafe(no_mangle)]
extern "C" fn bulkhead_tick() {
    let idle_for = world::tick::ticks().wrapping_sub(LAST_SLICE.load(Ordering::Relaxed));
    let idle_ticks = if ASLEEP.load(Ordering::Relaxed) { ASLEEP_TICKS } else { IDLE_TICKS };
    if BUSY.load(Ordering::Relaxed) || idle_for >= idle_ticks {
        world::worker::wake();
    }
}

/// A gateway left something to do: the next tick brings a slice.
pub(crate) fn wake() {
    BUSY.store(true, Ordering::Relaxed);
}

/// The Ethernet controller has a frame: its line rests until the worker has emptied it.
#[unsafe(no_mangle)]
extern "C" fn bulkhead_device_interrupt() {
    for number in board::ETHERNET_LINES {
        if let Some(line) = InterruptLine::new(*number) {
            disable(line);
        }
    }
    world::worker::wake();
}

/// What the hypervisor reaches beside flash.
struct Here<'t> {
    target: &'t mut Target,
}

fn say(line: Arguments<'_>) {
    let now_ms = world::tick::now_us() / 1000;
    console::line(format_args!("[{:>5}.{:03}] {line}", now_ms / 1000, now_ms % 1000));
}

impl Outside for Here<'_> {
    type Target = Target;

    fn target(&mut self) -> &mut Target {
        self.target
    }

    fn console(&mut self, line: Arguments<'_>) {
        say(line);
    }

    fn pend(&mut self, line: u8) {
        if let Some(line) = InterruptLine::new(line) {
            pend(line);
        }
    }

    fn run_on(&mut self) {
        world::worker::thaw();
    }
}

/// One slice of work.
#[unsafe(no_mangle)]
fn bulkhead_poll(interrupted: Interrupted) -> (world::switch::Order, Pace) {
    LAST_SLICE.store(world::tick::ticks(), Ordering::Relaxed);
    let done = MACHINE.with(|machine| {
        let order = slice(machine, interrupted);
        // Bytes take their time to come and go; what the engine has to do need not wait for the next tick.
        let pace = if machine.hypervisor.is_computing() { Pace::Again } else { Pace::Rest };
        (order, pace)
    });
    for number in board::ETHERNET_LINES {
        if let Some(line) = InterruptLine::new(*number) {
            enable(line);
        }
    }
    done.unwrap_or((world::switch::Order::Continue, Pace::Rest))
}

/// Looks at an application that stands at a breakpoint while its interrupts are served.
fn look(hypervisor: &mut Hypervisor<'static, Lan9118>, now_us: u64, here: &mut Here<'_>) -> Glance {
    let Some(seen) = world::hop::sight() else { return Glance::Hold };
    here.target.see(Some(seen));
    let glance = hypervisor.glance(now_us, here);
    here.target.see(None);
    if glance != Glance::Hold {
        world::hop::let_go();
    }
    glance
}

fn health(interrupted: Interrupted) -> (Health, u32) {
    match interrupted {
        Interrupted::Stopped => (Health::Stopped, 0),
        Interrupted::Held => (Health::Held, 0),
        Interrupted::Thread => (Health::Sound, 0),
        Interrupted::Handler { program_counter } => (Health::InHandler, program_counter),
        Interrupted::Masked { program_counter } => (Health::Masked, program_counter),
    }
}

fn slice(machine: &mut Machine, interrupted: Interrupted) -> world::switch::Order {
    let (mut health, mut program_counter) = health(interrupted);
    // What is to be looked at, or held, stands still from here on.
    let now_us = world::tick::now_us();
    let wants_halt = machine.hypervisor.wants_halt(health, now_us);
    let waits = world::faults::is_waiting();
    let mut here = Here { target: &mut machine.target };
    let glance =
        if waits && !wants_halt { look(&mut machine.hypervisor, now_us, &mut here) } else { Glance::Hold };
    if glance == Glance::PassesInAHurry {
        return world::switch::Order::Continue;
    }
    if waits && glance == Glance::Hold || wants_halt {
        let now = world::worker::freeze();
        if matches!(health, Health::InHandler | Health::Masked) {
            (health, program_counter) = self::health(now); // It may have come to itself meanwhile.
        }
    }
    // A fault that came since is left for the next slice: nothing but an application that stands still can be held.
    let fault = world::worker::is_frozen().then(world::faults::take).flatten();
    if fault.is_none() && !wants_halt {
        world::worker::thaw(); // An interrupt took it away from its breakpoint in the last moment.
    }
    let moment = Moments {
        now_us: world::tick::now_us(),
        health,
        program_counter,
        fault: fault.map(offence),
        holdable: world::worker::is_frozen() && world::debug::may_hold(),
    };
    let now_us = moment.now_us;
    let mut memory = Memory { die: &mut machine.die, external: &mut machine.external };
    // Cleared before: what a gateway leaves from here on may be behind the place where this slice looks for it.
    BUSY.store(false, Ordering::Relaxed);
    let order = machine.hypervisor.poll(moment, &mut memory, &TheMailbox, &mut machine.entropy, &mut here);
    if machine.hypervisor.is_busy() {
        BUSY.store(true, Ordering::Relaxed);
    }
    ASLEEP.store(TheMailbox.with(|m| m.is_asleep()), Ordering::Relaxed);
    match order {
        Order::Continue => world::switch::Order::Continue,
        Order::Stop => {
            BUSY.store(true, Ordering::Relaxed); // What made it stop goes on at the next tick.
            world::switch::Order::Stop
        }
        Order::Start { offset, length } => {
            say(format_args!(
                "stack: {} bytes used at most by handlers, {} by the worker",
                world::start::stack_used_bytes(),
                world::switch::worker_stack_used_bytes()
            ));
            match start_order(&mut machine.die, offset, length) {
                Some(Vectors { vector_table, stack_pointer, entry }) => {
                    machine.hypervisor.application_started(entry, &mut here);
                    world::switch::Order::Start { vector_table, stack_pointer, entry }
                }
                None => {
                    machine.hypervisor.start_refused(now_us, &TheMailbox, &mut here);
                    world::switch::Order::Continue
                }
            }
        }
        Order::RestartDevice => epitaph::restart_as_commanded(),
    }
}

/// What a start needs of the application's vector table.
struct Vectors {
    vector_table: u32,
    stack_pointer: u32,
    entry: u32,
}

/// Reads and checks the first two vectors: a stack pointer in the application's RAM, an entry in its code.
fn start_order(die: &mut NvmFlash, offset: u32, length: u32) -> Option<Vectors> {
    /// Words that the start itself needs on the application's stack.
    const START_FRAME_BYTES: u32 = 64;
    let mut vectors = [0; 8];
    die.read(FlashAddress(board::DIE_APPLICATION.0.checked_add(offset)?), &mut vectors).ok()?;
    let [s0, s1, s2, s3, e0, e1, e2, e3] = vectors;
    let stack_pointer = u32::from_le_bytes([s0, s1, s2, s3]);
    let entry = u32::from_le_bytes([e0, e1, e2, e3]);
    let vector_table = board::DIE_BASE.checked_add(board::DIE_APPLICATION.0)?.checked_add(offset)?;
    let in_code = entry.checked_sub(vector_table).is_some_and(|at| at < length);
    let below = stack_pointer.checked_sub(START_FRAME_BYTES)?;
    let in_memory = world::memory_check::allowed(below, START_FRAME_BYTES, Intent::Write);
    if stack_pointer % 8 != 0 || entry & 1 == 0 || !in_code || !in_memory {
        return None;
    }
    Some(Vectors { vector_table, stack_pointer, entry: entry & !1 })
}

fn offence(fault: world::faults::ApplicationFault) -> Offence {
    use world::Offence as O;
    let kind = match fault.offence {
        O::SecureAccess => FaultKind::SecureAccess,
        O::BadExecution => FaultKind::BadExecution,
        O::StackOverflow => FaultKind::StackOverflow,
        O::BusError => FaultKind::BusError,
        O::UsageFault => FaultKind::UsageFault,
        O::MemoryProtection => FaultKind::MemoryProtection,
        O::Breakpoint => FaultKind::Breakpoint,
        O::Escalated => FaultKind::Escalated,
    };
    let registers = fault.registers;
    let status =
        FaultStatus { cfsr: registers.cfsr_secure | registers.cfsr_non_secure, sfsr: registers.sfsr };
    Offence { kind, program_counter: fault.program_counter, address: fault.address, status }
}
