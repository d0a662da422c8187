//! How the application moves: runs, steps, comes to a stand.

use bulkhead_debug_protocol::{
    Action, Faults, RefusalReason, Register, RegisterFile, Resume, Run, StopReason, Through, Watch,
};

use crate::conditions::Conditions;
use crate::expression::{command, evaluate};
use crate::glance::Judged;
use crate::next::{Masks, Next, PLACES_MAX, Place, next};
use crate::pictures::Picture;
use crate::printing::Text;
use crate::probes::{COMMAND, Probes, Unpatched};
use crate::records::Records;
use crate::target::{AccessRefused, DebugTarget, Interrupts, Memory as _, StopCause};
use crate::watches::Watches;

/// Most instructions of a range, if the developer does not say.
const RANGE_STEPS_MAX: u32 = 4096;

/// Instructions of a range during which interrupts are held back; behind them they are let in for one.
const RANGE_STEPS_HELD: u32 = 256;

/// What the developer asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goal {
    Continue,
    Step,
    Range {
        low: u32,
        high: u32,
        left: u32,
    },
    /// To the entry of an application that was just started.
    Entry,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// There is no application, or it is not started.
    Absent,
    Running,
    /// Runs to one of `places`.
    Stepping,
    /// Stands where a called function returned to, until the developer was told.
    Passing,
    Halted,
}

/// What follows from the end of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    Stop(StopReason),
    Runs,
    StepsOn,
}

/// Instructions in a row that are gone past without running anything; then the developer is asked again.
const SKIPS_MAX: usize = 16;

type Places = [Option<Place>; PLACES_MAX];

/// A stop that the developer has to hear of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stop {
    pub(crate) reason: StopReason,
    pub(crate) faults: Option<Faults>,
    pub(crate) watch: Option<Watch>,
}

impl Stop {
    pub(crate) fn because(reason: StopReason) -> Self {
        Self { reason, faults: None, watch: None }
    }

    fn watched(watch: Watch) -> Self {
        Self { watch: Some(watch), ..Self::because(StopReason::Watched) }
    }
}

#[derive(Debug)]
pub(crate) struct Motion {
    pub(crate) probes: Probes,
    pub(crate) conditions: Conditions,
    pub(crate) watches: Watches,
    pub(crate) records: Records,
    pub(crate) picture: Option<Picture>,
    pub(crate) judged: Judged,
    state: State,
    goal: Goal,
    interrupts: Interrupts,
    places: Places,
    /// Where the step leads in the end, while an interrupt handler that came across its places is led over them.
    detour: Option<Places>,
    /// The step's instruction would fault at a guard.
    guards_down: bool,
    halt_wanted: bool,
    /// Where a free run is told of and goes on inside a range.
    through: Option<Through>,
}

impl Motion {
    pub(crate) const fn new() -> Self {
        Self {
            probes: Probes::new(),
            conditions: Conditions::new(),
            watches: Watches::new(),
            records: Records::new(),
            picture: None,
            judged: Judged::new(),
            guards_down: false,
            state: State::Absent,
            goal: Goal::Continue,
            interrupts: Interrupts::Held,
            places: [None; PLACES_MAX],
            detour: None,
            halt_wanted: false,
            through: None,
        }
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.state == State::Halted
    }

    /// Whether the application runs as it would without a debugger.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.state, State::Running | State::Absent)
    }

    /// Whether it runs and nothing more is wanted of it than what its probes do.
    pub(crate) fn runs_free(&self) -> bool {
        self.state == State::Running && !self.halt_wanted && self.through.is_none()
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.state == State::Absent
    }

    pub(crate) fn has_something_to_tell(&self) -> bool {
        !self.records.is_empty() || self.picture.is_some()
    }

    /// Probes that were silenced come back when the application runs free; a step plants them when it ends.
    pub(crate) fn tick(&mut self, target: &mut impl DebugTarget) {
        if self.state == State::Running && self.probes.may_speak_again(target.now_us()) {
            let _ = self.probes.plant(None, target);
        }
    }

    pub(crate) fn halt(&mut self) {
        self.halt_wanted = !self.is_halted();
    }

    pub(crate) fn wants_halt(&self) -> bool {
        self.halt_wanted && matches!(self.state, State::Running | State::Stepping)
    }

    /// The application's context is gone, or about to be thrown away.
    pub(crate) fn ended(&mut self, target: &mut impl DebugTarget) {
        self.probes.lift(target);
        // Its stacks may lie elsewhere the next time: who watches looks again.
        self.watches.lift(target);
        self.watches.clear();
        self.judged.clear();
        self.state = State::Absent;
        self.detour = None;
        self.through = None;
    }

    /// An application was started and has not executed an instruction; with `entry` it is to stop there.
    pub(crate) fn started(&mut self, entry: Option<u32>, target: &mut impl DebugTarget) {
        // What is no longer code is told when the developer looks for it.
        let _ = self.probes.plant(None, target);
        self.state = State::Running;
        if let Some(entry) = entry {
            self.goal = Goal::Entry;
            self.places = [Some(Place { address: entry, exception: 0 }), None, None, None];
            self.go(Interrupts::Allowed, target);
        }
    }

    /// Takes everything away that the developer had put in place.
    pub(crate) fn forget_orders(&mut self, target: &mut impl DebugTarget) {
        self.probes.clear(target);
        self.conditions.clear();
        self.records.clear();
        self.picture = None;
        self.judged.clear();
        self.watches.lift(target);
        self.watches.clear();
    }

    /// Whether a `BKPT` at the program counter is the agent's.
    pub(crate) fn is_ours(&self, target: &mut impl DebugTarget) -> bool {
        let pc = target.registers().pc();
        let is_place = self.places.iter().flatten().any(|place| place.address == pc);
        self.probes.has(pc) || self.state == State::Stepping && is_place
    }

    /// Everything is taken away and the application runs.
    pub(crate) fn detach(&mut self, target: &mut impl DebugTarget) {
        self.forget_orders(target);
        if self.is_halted() {
            let mut registers = target.registers();
            if self.is_breakpoint_at(registers.pc(), target) {
                registers.skip(2);
                let _ = write_program_counter(&registers, target);
            }
        }
        if self.state != State::Absent {
            self.state = State::Running;
            target.run(Interrupts::Allowed);
        }
        self.detour = None;
        self.through = None;
        self.halt_wanted = false;
    }

    /// Lets the application run as ordered; `Some` if that came to an end without running it.
    pub(crate) fn resume(
        &mut self,
        order: &Resume,
        target: &mut impl DebugTarget,
    ) -> Result<Option<Stop>, RefusalReason> {
        if !self.is_halted() {
            return Err(if self.is_absent() { RefusalReason::NoApplication } else { RefusalReason::Running });
        }
        self.goal = match (order.run, order.low, order.high) {
            (Run::Continue, ..) => Goal::Continue,
            (Run::Step, ..) => Goal::Step,
            (Run::Range, Some(low), Some(high)) if low < high => {
                Goal::Range { low, high, left: order.steps_max.unwrap_or(RANGE_STEPS_MAX) }
            }
            (Run::Range, ..) => return Err(RefusalReason::Malformed),
        };
        let allowed = order.interrupts == Some(true);
        self.interrupts = if allowed { Interrupts::Allowed } else { Interrupts::Held };
        self.probes.plant(None, target).map_err(refusal)?;
        self.halt_wanted = false;
        let pc = target.registers().pc();
        let breaks = self.probes.has(pc) || self.is_breakpoint_at(pc, target);
        if self.goal == Goal::Continue && !breaks && !self.watches.want_steps() {
            self.run_free(target);
            return Ok(None);
        }
        let stop = self.step(target);
        if stop.is_some() {
            self.stay(target);
        }
        Ok(stop)
    }

    /// Lets the application run to where a called function returns, and on inside a range, as [`Self::resume`] does.
    pub(crate) fn resume_through(
        &mut self,
        order: &Through,
        target: &mut impl DebugTarget,
    ) -> Result<Option<Stop>, RefusalReason> {
        if order.place & 1 != 0 || !(order.low..order.high).contains(&order.place) {
            return Err(RefusalReason::Malformed);
        }
        if self.probes.has(order.place) || self.watches.any() {
            // What these do there is not to be gone past.
            return Err(RefusalReason::Unsupported);
        }
        self.through = Some(*order);
        let run = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
        let outcome = self.resume(&run, target);
        if outcome.is_err() {
            self.through = None;
        }
        outcome
    }

    /// Whether the developer has to be told where the application stands, before [`Self::go_on`].
    pub(crate) fn is_passing(&self) -> bool {
        self.state == State::Passing
    }

    /// Goes on inside the range; `Some` if that came to an end without running it.
    pub(crate) fn go_on(&mut self, target: &mut impl DebugTarget) -> Option<Stop> {
        let Through { low, high, steps_max, .. } = self.through.take()?;
        self.goal = Goal::Range { low, high, left: steps_max.unwrap_or(RANGE_STEPS_MAX) };
        self.interrupts = Interrupts::Held;
        let stop = self.step(target);
        if stop.is_some() {
            self.stay(target);
        }
        stop
    }

    /// A function returned to where the developer wants to hear of it, out of this call or another one.
    fn passes(&mut self, registers: &RegisterFile) -> bool {
        let here = self.through.filter(|through| through.place == registers.pc());
        let Some(through) = here.filter(|_| self.state == State::Running) else { return false };
        if through.stack_pointer == registers.sp() {
            self.state = State::Passing;
        }
        true
    }

    /// The application came to a stand. Returns what the developer has to hear; `None`: it runs on.
    pub(crate) fn stopped(&mut self, cause: StopCause, target: &mut impl DebugTarget) -> Option<Stop> {
        target.hold();
        self.probes.lift_temporaries(target);
        self.watches.lift(target);
        let stop = match cause {
            StopCause::HaltRequested => Some(match self.watched(target) {
                Some(watch) => Stop::watched(watch),
                None => Stop::because(StopReason::Halted),
            }),
            StopCause::Fault(faults) if faults.sfsr != 0 && !self.guards_down && self.is_guarded(target) => {
                self.cross(target)
            }
            StopCause::Fault(faults) => {
                Some(Stop { faults: Some(faults), ..Stop::because(StopReason::Fault) })
            }
            StopCause::Breakpoint => self.came_across(target),
        };
        if stop.is_some() {
            self.stay(target);
        }
        stop
    }

    /// Whether the instruction at the program counter faulted at a guard.
    fn is_guarded(&self, target: &mut impl DebugTarget) -> bool {
        let registers = target.registers();
        self.watches.caused(&registers, &mut Unpatched { target, probes: &self.probes })
    }

    /// Leads the application over an instruction that faulted at a guard.
    fn cross(&mut self, target: &mut impl DebugTarget) -> Option<Stop> {
        if self.state == State::Stepping {
            // Another context than the one that is stepped.
            self.detour = self.detour.or(Some(self.places));
        } else {
            self.goal = Goal::Continue;
        }
        self.interrupts = Interrupts::Held;
        self.step(target)
    }

    /// The watch that the step hit, if it is over.
    fn watched(&mut self, target: &mut impl DebugTarget) -> Option<Watch> {
        let registers = target.registers();
        let here = Place { address: registers.pc(), exception: registers.exception() };
        if self.state != State::Stepping || !self.places.contains(&Some(here)) {
            return None;
        }
        self.watches.after(&registers, &mut Unpatched { target, probes: &self.probes })
    }

    fn stay(&mut self, target: &mut impl DebugTarget) {
        target.hold();
        self.watches.lift(target);
        self.guards_down = false;
        self.state = State::Halted;
        self.halt_wanted = false;
        self.detour = None;
        self.through = None;
    }

    /// A `BKPT` was executed: ours at the end of a step, a probe's, or the application's own.
    fn came_across(&mut self, target: &mut impl DebugTarget) -> Option<Stop> {
        let registers = target.registers();
        let here = Place { address: registers.pc(), exception: registers.exception() };
        if self.state == State::Stepping {
            if self.places.contains(&Some(here)) {
                if let Some(watch) = self.watched(target) {
                    return Some(Stop::watched(watch));
                }
                return match self.arrived(here.address, target) {
                    Then::Stop(reason) => Some(Stop::because(reason)),
                    Then::Runs => None,
                    Then::StepsOn => self.step(target),
                };
            }
            if self.places.iter().flatten().any(|place| place.address == here.address) {
                // Another context runs the same code: it is led over this place, then the step goes on.
                self.detour = self.detour.or(Some(self.places));
                self.interrupts = Interrupts::Held;
                return self.step(target);
            }
        }
        if self.passes(&registers) {
            if self.is_passing() {
                return None;
            }
            self.goal = Goal::Continue;
            self.interrupts = Interrupts::Held;
            return self.step(target);
        }
        if self.probes.has(here.address) && !self.is_stopped_by_probe(&registers, target) {
            // The application goes on as if nothing was here.
            if self.state == State::Stepping {
                self.detour = self.detour.or(Some(self.places));
            } else {
                self.goal = Goal::Continue;
            }
            self.interrupts = Interrupts::Held;
            return self.step(target);
        }
        if self.probes.has(here.address) {
            return Some(Stop::because(StopReason::Breakpoint));
        }
        if self.is_breakpoint_at(here.address, target) {
            return Some(Stop::because(StopReason::OwnBreakpoint));
        }
        // It was taken away in the meantime.
        self.run_free(target);
        None
    }

    /// A step ended where it should.
    fn arrived(&mut self, pc: u32, target: &mut impl DebugTarget) -> Then {
        if let Some(places) = self.detour.take() {
            self.places = places;
            let _ = self.probes.plant(None, target);
            self.guards_down = false;
            self.go(Interrupts::Allowed, target);
            return Then::Runs;
        }
        if self.halt_wanted {
            return Then::Stop(StopReason::Halted);
        }
        let probed = self.probes.has(pc) && {
            let registers = target.registers();
            self.is_stopped_by_probe(&registers, target)
        };
        match self.goal {
            Goal::Continue | Goal::Range { .. } if probed => Then::Stop(StopReason::Breakpoint),
            Goal::Step => Then::Stop(StopReason::Stepped),
            Goal::Entry => Then::Stop(StopReason::Reset),
            // A probe whose condition does not hold is stepped over.
            Goal::Continue if self.probes.has(pc) || self.watches.want_steps() => Then::StepsOn,
            Goal::Continue => {
                self.run_free(target);
                Then::Runs
            }
            Goal::Range { low, high, left } if (low..high).contains(&pc) && left > 1 => {
                self.goal = Goal::Range { low, high, left: left - 1 };
                Then::StepsOn
            }
            Goal::Range { .. } => Then::Stop(StopReason::Stepped),
        }
    }

    /// Whether the probe at the program counter stops the application; what else it does is done.
    pub(crate) fn is_stopped_by_probe(
        &mut self,
        registers: &RegisterFile,
        target: &mut impl DebugTarget,
    ) -> bool {
        let pc = registers.pc();
        match self.probes.action(pc).filter(|_| self.holds(registers, target)) {
            Some(Action::Stop) => return true,
            Some(_) if !self.probes.spend(pc, target.now_us()) => self.records.lose(),
            Some(Action::Log) => self.log(registers, target),
            // One at a time: the others are counted by the next record.
            Some(Action::Snapshot) if self.picture.is_some() => self.records.lose(),
            Some(Action::Snapshot) => self.picture = Some(Picture::take(target)),
            None => {}
        }
        false
    }

    /// Prints what the probe at the program counter says. Out of line: the text takes room on the stack.
    #[inline(never)]
    fn log(&mut self, registers: &RegisterFile, target: &mut impl DebugTarget) {
        let Some(code) = self.conditions.get(registers.pc() | COMMAND) else { return };
        let mut text = Text::default();
        let mut memory = Unpatched { target, probes: &self.probes };
        if command(code, registers, &mut memory, &mut text).is_err() {
            text.extend(b" (cannot be evaluated)\n");
        }
        self.records.push(registers.pc(), text.as_bytes());
    }

    /// Whether the condition of the probe at the program counter holds. One that cannot be told stops as well.
    fn holds(&self, registers: &RegisterFile, target: &mut impl DebugTarget) -> bool {
        let Some(condition) = self.conditions.get(registers.pc()) else { return true };
        let mut memory = Unpatched { target, probes: &self.probes };
        evaluate(condition, registers, &mut memory) != Ok(0)
    }

    /// Whether the application's own code breaks here.
    fn is_breakpoint_at(&self, address: u32, target: &mut impl DebugTarget) -> bool {
        let half = Unpatched { target, probes: &self.probes }.half(address);
        half.is_ok_and(|half| half & 0xFF00 == 0xBE00)
    }

    fn run_free(&mut self, target: &mut impl DebugTarget) {
        // A probe that cannot be planted any more was told when it was set.
        let _ = self.probes.plant(None, target);
        if let Some(through) = &self.through {
            self.probes.plant_temporary(through.place, target);
        }
        self.watches.arm(target);
        self.guards_down = false;
        self.state = State::Running;
        target.run(Interrupts::Allowed);
    }

    /// Begins one step, and goes past what does not have to be run; `Some` if that already leads to a stop.
    fn step(&mut self, target: &mut impl DebugTarget) -> Option<Stop> {
        let mut reason = StopReason::Stepped;
        for _ in 0..SKIPS_MAX {
            let pc = self.leave(target)?;
            match self.arrived(pc, target) {
                Then::Stop(found) => {
                    reason = found;
                    break;
                }
                Then::Runs => return None,
                Then::StepsOn => {}
            }
        }
        Some(Stop::because(reason))
    }

    /// Runs the instruction at the program counter; `Some` with the new one if it was gone past instead.
    fn leave(&mut self, target: &mut impl DebugTarget) -> Option<u32> {
        let mut registers = target.registers();
        self.guards_down = self.watches.before(&registers, &mut Unpatched { target, probes: &self.probes });
        let skipped = match next(&registers, &mut Unpatched { target, probes: &self.probes }) {
            Ok(Next::Places(places, masks)) => {
                self.places = places;
                let touched = masks == Masks::Touched;
                let interrupts = if touched || self.is_slow(registers.pc()) {
                    Interrupts::Allowed
                } else {
                    self.interrupts
                };
                self.go_from(registers.pc(), interrupts, target);
                return None;
            }
            // It goes where no patch can be: to a secure caller, or into a fault.
            Ok(Next::Free) | Err(_) => {
                self.places = [None; PLACES_MAX];
                self.go_from(registers.pc(), self.interrupts, target);
                return None;
            }
            Ok(Next::Skip(len)) => len,
            Ok(Next::Breakpoint) => 2,
        };
        registers.skip(skipped);
        // The stack was read a moment ago: if it cannot be written, the instruction is where it was.
        let _ = write_program_counter(&registers, target);
        Some(registers.pc())
    }

    /// Whether this is one of the steps of an application that a watch has stepped all the way, or one of many inside a
    /// range: held back for so long, its interrupts would never come, and what waits for them would wait for ever.
    fn is_slow(&self, pc: u32) -> bool {
        if let Goal::Range { left, .. } = self.goal {
            return left % RANGE_STEPS_HELD == 1;
        }
        let on_its_way = self.goal == Goal::Continue && self.detour.is_none();
        on_its_way && self.watches.want_steps() && !self.probes.has(pc)
    }

    fn go_from(&mut self, pc: u32, interrupts: Interrupts, target: &mut impl DebugTarget) {
        let _ = self.probes.plant(Some(pc), target);
        self.go(interrupts, target);
    }

    /// Runs to `places`.
    fn go(&mut self, interrupts: Interrupts, target: &mut impl DebugTarget) {
        for place in self.places.into_iter().flatten() {
            self.probes.plant_temporary(place.address, target);
        }
        if !self.guards_down {
            self.watches.arm(target);
        }
        self.state = State::Stepping;
        target.run(interrupts);
    }
}

fn write_program_counter(
    registers: &RegisterFile,
    target: &mut impl DebugTarget,
) -> Result<(), AccessRefused> {
    target.write_register(Register::XPSR, registers.xpsr())?;
    target.write_register(Register::PC, registers.pc())
}

/// The refusal that an access ends in.
pub(crate) fn refusal(refused: AccessRefused) -> RefusalReason {
    match refused {
        AccessRefused::Forbidden => RefusalReason::Forbidden,
        AccessRefused::Failed => RefusalReason::AccessFailed,
        AccessRefused::Unsupported => RefusalReason::Unsupported,
    }
}
