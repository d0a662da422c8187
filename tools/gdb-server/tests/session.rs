//! GDB's packets against the real agent on a simulated processor: answers, and what they cost.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is its failure")]

#[path = "../../../portable/debug-agent/tests/simulated/mod.rs"]
mod simulated;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread;

use bulkhead_debug_agent::{Agent, Permission, StopCause};
use bulkhead_debug_protocol::{Faults, MESSAGE_LEN_MAX};
use bulkhead_gdb_server::{
    Arrived, Control, Device, Reaction, SendError, Serving, Session, ToDevice, frame, serve,
};
use simulated::{CODE, LOOP, RAM, Simulated, Stood};

/// A device in this process: it answers at once, and runs until it has something to say.
struct InProcess {
    agent: Agent,
    target: Simulated,
    to_loop: Sender<Arrived>,
}

impl InProcess {
    fn drain(&mut self) {
        let mut room = [0; MESSAGE_LEN_MAX];
        while self.agent.is_busy() {
            if let Some(len) = self.agent.poll(&mut self.target, &mut room) {
                let _ = self.to_loop.send(Arrived::Device(room[..len].to_vec()));
            }
        }
    }
}

impl ToDevice for InProcess {
    fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        assert!(self.agent.request(message), "one request at a time");
        self.drain();
        for _ in 0..100 {
            if self.agent.wants_halt() {
                self.agent.stopped(StopCause::HaltRequested, &mut self.target);
            }
            match self.target.go(100) {
                Some(Stood::Breakpoint) => self.agent.stopped(StopCause::Breakpoint, &mut self.target),
                Some(Stood::Fault) => {
                    self.agent.stopped(StopCause::Fault(Faults::default()), &mut self.target);
                }
                Some(Stood::Guarded) => {
                    let faults = Faults { sfsr: 8, ..Faults::default() };
                    self.agent.stopped(StopCause::Fault(faults), &mut self.target);
                }
                None => {}
            }
            self.drain();
        }
        Ok(())
    }
}

fn attached() -> Session {
    attached_to(LOOP)
}

fn attached_to(code: &[u16]) -> Session {
    attached_with(code, Permission::Everything)
}

fn attached_with(code: &[u16], permission: Permission) -> Session {
    let (to_loop, arrived) = mpsc::channel();
    let mut target = Simulated::new(code);
    // As a start does: the application stands at its entry.
    let mut agent = Agent::new();
    agent.permit(permission);
    agent.started([1; 32], CODE, &mut target);
    let mut session = Session::new(Device::new(Box::new(InProcess { agent, target, to_loop })), arrived);
    session.attach(None).unwrap();
    session
}

/// What a server says to a GDB that sends the first of each pair at once, and then waits for the second.
fn said_to(steps: &[(&str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (to_loop, arrived) = mpsc::channel();
        let mut target = Simulated::new(LOOP);
        let mut agent = Agent::new();
        agent.permit(Permission::Everything);
        agent.started([1; 32], CODE, &mut target);
        let device = Device::new(Box::new(InProcess { agent, target, to_loop: to_loop.clone() }));
        let serving = Serving { device, channel: (to_loop, arrived), elf: None, loader: None };
        serve(listener, serving, &mut |_| {})
    });
    let mut gdb = TcpStream::connect(address).unwrap();
    let mut said = Vec::new();
    for (packets, until) in steps {
        gdb.write_all(packets.as_bytes()).unwrap();
        while !String::from_utf8_lossy(&said).ends_with(until) {
            assert!(!server.is_finished(), "the server ended");
            let mut room = [0; 1024];
            let len = gdb.read(&mut room).unwrap();
            said.extend_from_slice(&room[..len]);
        }
    }
    String::from_utf8(said).unwrap()
}

fn packet(data: &str) -> String {
    String::from_utf8(frame(data.as_bytes())).unwrap()
}

fn answer(session: &mut Session, packet: &str) -> String {
    match session.answer(packet.as_bytes(), Control::Full).unwrap() {
        Reaction::Answer(answer) | Reaction::Leaves(answer) | Reaction::Told(_, answer) => {
            String::from_utf8(answer).unwrap()
        }
        Reaction::Runs => "runs".into(),
    }
}

/// Lets it run, and returns the stop.
fn resume(session: &mut Session, packet: &str) -> String {
    assert_eq!(answer(session, packet), "runs");
    // The stop arrived behind the reply.
    session.settle().unwrap();
    answer(session, "?")
}

fn word(value: u32) -> String {
    value.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_stop_costs_one_round_trip_with_all_that_gdb_asks_for_then() {
    let mut session = attached();
    assert_eq!(answer(&mut session, "Z0,100c,2"), "OK");
    let before = session.round_trips();
    let stop = resume(&mut session, "vCont;c:1");
    assert!(stop.starts_with("T05thread:1;swbreak:;"), "{stop}");
    assert!(stop.contains(&format!("0f:{};", word(CODE + 0x0C))), "the program counter came along: {stop}");
    assert_eq!(answer(&mut session, "z0,100c,2"), "OK");
    let registers = answer(&mut session, "g");
    assert_eq!(&registers[15 * 8..16 * 8], word(CODE + 0x0C));
    let sp = RAM + 0x200;
    assert_eq!(answer(&mut session, &format!("m{sp:x},20")).len(), 0x40, "the stack came along");
    assert_eq!(session.round_trips() - before, 1);
}

#[test]
fn a_step_costs_one_round_trip_and_breakpoints_travel_with_it() {
    let mut session = attached();
    answer(&mut session, "Z0,1006,2");
    answer(&mut session, "Z1,1018,2");
    let before = session.round_trips();
    for _ in 0..3 {
        assert!(resume(&mut session, "vCont;s:1").starts_with("T05"));
    }
    assert!(resume(&mut session, "vCont;r1000,1010:1").starts_with("T05"));
    assert_eq!(session.round_trips() - before, 4);
}

#[test]
fn a_condition_that_does_not_hold_costs_nothing() {
    let mut session = attached();
    // r0 == 1
    assert_eq!(answer(&mut session, "Z0,100c,2;X7,26000022011327"), "OK");
    let before = session.round_trips();
    let stop = resume(&mut session, "vCont;c:1");
    assert!(stop.contains(&format!("00:{};", word(1))), "the third call: {stop}");
    assert_eq!(session.round_trips() - before, 1);
}

#[test]
fn a_snapshot_is_printed_and_the_application_does_not_stop() {
    let mut session = attached();
    for nonsense in ["snapshot here", "snapshot 0x100c 0", "snapshot 0x100c 1 2", "snapshot 0x10000000"] {
        let said = monitor(&mut session, nonsense);
        assert!(said.contains("say where") || said.contains("none of the application's"), "{said}");
    }
    assert!(monitor(&mut session, "snapshot 0x100d 2").contains("0x100c, at most 2"));
    answer(&mut session, "Z0,100a,2");
    let stop = resume(&mut session, "vCont;c:1");
    assert!(stop.contains(&format!("0f:{};", word(CODE + 0x0A))), "behind three calls: {stop}");
    let printed = String::from_utf8(session.take_console()).unwrap();
    assert_eq!(printed.matches("[snapshot at 0x100c").count(), 2, "{printed}");
    assert!(printed.contains("r0   0x00000003") && printed.contains("r0   0x00000002"), "{printed}");
    assert!(printed.contains("  0x20000200: 0x"), "the stack: {printed}");
    assert!(monitor(&mut session, "snapshot off").contains("no snapshots"));
}

#[test]
fn code_is_asked_for_once_and_registers_are_written_with_the_next_order() {
    let mut session = attached();
    answer(&mut session, "m1000,2");
    let before = session.round_trips();
    assert_eq!(answer(&mut session, "m1000,4"), "032000f0");
    assert_eq!(answer(&mut session, &format!("P0={}", word(77))), "OK");
    assert_eq!(answer(&mut session, &format!("Pf={}", word(CODE + 0x0A))), "OK");
    assert_eq!(answer(&mut session, "p0"), word(77));
    assert_eq!(session.round_trips(), before);
    let stop = resume(&mut session, "vCont;s:1");
    assert!(
        stop.contains(&format!("00:{};", word(77))) && stop.contains(&format!("0f:{};", word(CODE + 0x0A)))
    );
    assert_eq!(session.round_trips() - before, 1);
}

#[test]
fn memory_is_written_and_read_back_and_code_is_not_written() {
    let mut session = attached();
    assert_eq!(answer(&mut session, "M20000010,4:01020304"), "OK");
    assert_eq!(answer(&mut session, "m20000010,4"), "01020304");
    assert_eq!(answer(&mut session, "X20000012,1:\x7f"), "OK");
    assert_eq!(answer(&mut session, "m20000010,4"), "01027f04");
    assert_eq!(answer(&mut session, "M1000,2:0000"), "E0e");
    assert_eq!(answer(&mut session, "m1000,2"), "0320");
}

#[test]
fn what_is_no_memory_of_the_application_is_not_even_asked_for() {
    let mut session = attached();
    let before = session.round_trips();
    for place in ["m40201000,4", "me000ed00,4", "m10000000,4", "mffffffff,4", "m20000400,1"] {
        assert_eq!(answer(&mut session, place), "E0e", "{place}");
    }
    assert_eq!(answer(&mut session, "Z0,10000000,2"), "E0e");
    assert_eq!(session.round_trips(), before);
}

#[test]
fn documents_come_in_pieces_and_nonsense_gets_an_error() {
    let mut session = attached();
    let mut document = String::new();
    loop {
        let piece = answer(&mut session, &format!("qXfer:features:read:target.xml:{:x},40", document.len()));
        document.push_str(&piece[1..]);
        if piece.starts_with('l') {
            break;
        }
    }
    assert!(document.contains("<osabi>none</osabi>") && document.ends_with("</target>"));
    for nonsense in
        ["m", "mzz,1", "m1000", "M20000000,2:00", "P=", "Pzz=00", "Z0,", "vCont;x", "qRcmd,zz", "G0"]
    {
        let said = answer(&mut session, nonsense);
        assert!(said.is_empty() || said.starts_with('E') || nonsense == "qRcmd,zz", "{nonsense}: {said}");
    }
    assert_eq!(answer(&mut session, "vMustReplyEmpty"), "");
}

/// r0 = 0; for ever { ram[4] = r0; r2 = ram[4]; ram[8] = r0; r0 += 1 }. r4 points at RAM.
const STORES: &[u16] = &[0x2000, 0x6060, 0x6862, 0x60A0, 0x3001, 0xE7FA];

fn storing() -> Session {
    let mut session = attached_to(STORES);
    answer(&mut session, &format!("P4={}", word(RAM)));
    session
}

#[test]
fn a_watchpoint_stops_with_its_address_and_the_step_that_gdb_adds_costs_nothing() {
    let mut session = storing();
    assert_eq!(answer(&mut session, "Z2,20000008,4"), "OK");
    let before = session.round_trips();
    let stop = resume(&mut session, "vCont;c:1");
    assert!(stop.contains("watch:20000008;"), "{stop}");
    assert!(stop.contains(&format!("0f:{};", word(CODE + 8))), "behind the store: {stop}");
    // GDB takes it away and steps, to see what the instruction did.
    assert_eq!(answer(&mut session, "z2,20000008,4"), "OK");
    let stepped = resume(&mut session, "vCont;s:1");
    assert!(!stepped.contains("watch") && stepped.contains(&format!("0f:{};", word(CODE + 8))), "{stepped}");
    assert_eq!(session.round_trips() - before, 1);
    // The user's own step is one.
    answer(&mut session, "Z2,20000008,4");
    assert!(resume(&mut session, "vCont;s:1").contains(&format!("0f:{};", word(CODE + 10))));
    assert_eq!(session.round_trips() - before, 2);
    for (packet, wanted) in [("Z3,20000004,4", "rwatch:20000004;"), ("Z4,20000004,4", "awatch:20000004;")] {
        let mut session = storing();
        assert_eq!(answer(&mut session, packet), "OK");
        let stop = resume(&mut session, "vCont;c:1");
        assert!(stop.contains(wanted), "{stop}");
    }
}

#[test]
fn what_cannot_be_watched_is_refused_before_the_application_runs() {
    let mut session = storing();
    let before = session.round_trips();
    for place in ["Z2,1000,4", "Z2,20000000,80", "Z2,20000000,0"] {
        assert_eq!(answer(&mut session, place), "E0e", "{place}");
    }
    // Where a pointer points that is null, the application can neither read nor write.
    for place in ["Z2,0,4", "Z2,10000000,4"] {
        assert_eq!(answer(&mut session, place), "OK", "{place}");
    }
    for n in 0..4 {
        assert_eq!(answer(&mut session, &format!("Z2,200000{n}0,4")), "OK");
    }
    assert_eq!(answer(&mut session, "Z2,20000080,4"), "E1c");
    assert_eq!(session.round_trips(), before);
}

#[test]
fn registers_for_floating_point_are_shown_and_set_where_the_device_has_them() {
    let mut session = attached();
    let document = answer(&mut session, "qXfer:features:read:target.xml:0,4000");
    assert!(document.contains("<reg name=\"d15\" bitsize=\"64\" regnum=\"51\""), "{document}");
    // d1 is s2 and s3, which the simulated processor numbers.
    assert_eq!(answer(&mut session, "p25"), [word(2), word(3)].concat());
    assert_eq!(answer(&mut session, &format!("P25={}{}", word(77), word(3))), "OK");
    let all = answer(&mut session, "g");
    assert_eq!(all.len(), 8 * (17 + 8 + 1 + 32), "{all}");
    let stop = resume(&mut session, "vCont;s:1");
    assert!(stop.contains(&format!("25:{}{};", word(77), word(3))), "{stop}");
    assert_eq!(answer(&mut session, &format!("P25={}", word(77))), "E01", "of another length");
}

/// GDB's way of going over the call at 0x1002: into it, to its return, and on inside the line.
fn into_the_call(session: &mut Session) {
    let stop = resume(session, "vCont;r1000,100a:1");
    assert!(stop.contains(&format!("0f:{};", word(CODE + 0x0C))), "the call leaves the line: {stop}");
}

#[test]
fn a_next_over_a_call_costs_two_round_trips() {
    let mut session = attached();
    let before = session.round_trips();
    into_the_call(&mut session);
    assert_eq!(answer(&mut session, "Z0,1006,2"), "OK");
    let stop = resume(&mut session, "vCont;c:1");
    assert!(stop.contains(&format!("0f:{};", word(CODE + 0x06))), "GDB sees the return: {stop}");
    assert!(stop.contains(&format!("00:{};", word(3))), "with the registers of that moment: {stop}");
    assert_eq!(answer(&mut session, "z0,1006,2"), "OK");
    let stop = resume(&mut session, "vCont;r1000,100a:1");
    assert!(stop.contains(&format!("0f:{};", word(CODE + 0x0C))), "the loop calls again: {stop}");
    assert!(stop.contains(&format!("00:{};", word(2))), "{stop}");
    assert_eq!(session.round_trips() - before, 2);
}

#[test]
fn what_gdb_read_at_the_last_stop_comes_along_with_the_next() {
    let mut session = attached();
    let far = format!("m{:x},40", RAM + 0x380);
    answer(&mut session, &far);
    let before = session.round_trips();
    for _ in 0..5 {
        resume(&mut session, "vCont;s:1");
        assert_eq!(answer(&mut session, &far).len(), 0x80);
    }
    assert_eq!(session.round_trips() - before, 5, "a step each");
    // Behind a run through a function as well, at the return and at the end.
    let mut session = attached();
    answer(&mut session, &far);
    let before = session.round_trips();
    into_the_call(&mut session);
    answer(&mut session, "Z0,1006,2");
    for packet in ["vCont;c:1", "vCont;r1000,100a:1"] {
        resume(&mut session, packet);
        assert_eq!(answer(&mut session, &far).len(), 0x80, "{packet}");
    }
    assert_eq!(session.round_trips() - before, 2);
}

#[test]
fn what_came_along_is_what_was_there_at_the_stop() {
    let mut session = storing();
    for n in 0..4 {
        answer(&mut session, "Z0,1008,2");
        resume(&mut session, "vCont;c:1");
        let stored = answer(&mut session, "m20000008,4");
        assert_eq!(stored, word(n), "stop {n}");
        answer(&mut session, "z0,1008,2");
        resume(&mut session, "vCont;s:1");
    }
}

#[test]
fn a_breakpoint_where_a_run_begins_is_hit_at_once() {
    let mut session = attached();
    answer(&mut session, "Z0,100c,2");
    answer(&mut session, &format!("Pf={}", word(CODE + 0x0C)));
    let before = session.round_trips();
    // GDB takes a breakpoint away where it wants to go past it.
    let stop = resume(&mut session, "vCont;c:1");
    assert!(stop.contains("swbreak") && stop.contains(&format!("0f:{};", word(CODE + 0x0C))), "{stop}");
    assert_eq!(session.round_trips(), before);
    answer(&mut session, "z0,100c,2");
    assert!(resume(&mut session, "vCont;s:1").contains(&format!("0f:{};", word(CODE + 0x0E))));
}

#[test]
fn a_ctrl_c_that_comes_behind_a_stop_is_told_with_the_next() {
    let mut session = attached();
    answer(&mut session, "Z0,100c,2");
    resume(&mut session, "vCont;c:1");
    // GDB was told of the breakpoint, which is its own, while Ctrl-C was on its way.
    session.interrupt().unwrap();
    answer(&mut session, "z0,100c,2");
    let stop = resume(&mut session, "vCont;s:1");
    assert!(stop.starts_with("T02") && stop.contains(&format!("0f:{};", word(CODE + 0x0C))), "{stop}");
    assert!(resume(&mut session, "vCont;s:1").starts_with("T05"), "once");
    // A stop that was shown to a person is one already.
    session.interrupt().unwrap();
    answer(&mut session, "qfThreadInfo");
    assert!(resume(&mut session, "vCont;s:1").starts_with("T05"));
}

#[test]
fn a_finish_at_the_same_place_stops_where_it_says() {
    let mut session = attached();
    into_the_call(&mut session);
    // The stop is shown to somebody.
    assert_eq!(answer(&mut session, "qfThreadInfo"), "m1");
    answer(&mut session, "Z0,1006,2");
    assert!(resume(&mut session, "vCont;c:1").contains(&format!("0f:{};", word(CODE + 0x06))));
    answer(&mut session, "z0,1006,2");
    let stop = resume(&mut session, "vCont;s:1");
    assert!(stop.contains(&format!("0f:{};", word(CODE + 0x08))), "one instruction further: {stop}");
}

#[test]
fn a_debugger_that_goes_another_way_goes_on_from_where_the_device_is() {
    let mut session = attached();
    into_the_call(&mut session);
    answer(&mut session, "Z0,1006,2");
    resume(&mut session, "vCont;c:1");
    answer(&mut session, "z0,1006,2");
    answer(&mut session, "Z0,100a,2");
    let stop = resume(&mut session, "vCont;c:1");
    assert!(stop.contains(&format!("0f:{};", word(CODE + 0x0A))), "to its own breakpoint: {stop}");
}

#[test]
fn a_client_without_control_reads_and_does_nothing_else() {
    let mut session = attached();
    let mut look = |packet: &str| match session.answer(packet.as_bytes(), Control::Looks).unwrap() {
        Reaction::Answer(answer) | Reaction::Leaves(answer) => String::from_utf8(answer).unwrap(),
        Reaction::Told(words, answer) => words.to_owned() + &String::from_utf8(answer).unwrap(),
        Reaction::Runs => "runs".into(),
    };
    assert_eq!(look("?"), "T05thread:1;");
    assert_eq!(look("m1000,4"), "032000f0");
    let before = look("m20000010,4");
    for order in ["vCont;c", "vCont;s:1", "c", "s", "C05", "S05"] {
        let said = look(order);
        assert!(said.contains("nothing was continued") && said.ends_with("T05thread:1;"), "{order}: {said}");
    }
    let orders = [
        "M20000010,1:7f",
        "X20000010,1:\x7f",
        "P0=00000000",
        "G00",
        "vFlashErase:0,4",
        "vKill;1",
        "qOffsets",
    ];
    for order in orders {
        let said = look(order);
        assert!(said.starts_with("E.") && said.contains("attach again"), "{order}: {said}");
    }
    assert_eq!(look("m20000010,4"), before, "nothing was written");
    // A breakpoint is refused with the run that would meet it.
    assert_eq!(look("Z0,100c,2"), "OK");
    assert!(unhexed(&look("qRcmd,72657365742068616c74")).contains("only looks"));
    assert_eq!(look("D"), "OK");
    let status = unhexed(&answer(&mut session, "qRcmd,737461747573"));
    assert!(status.contains("0 of"), "no breakpoint was set: {status}");
}

fn unhexed(digits: &str) -> String {
    let pairs = digits.as_bytes().chunks(2);
    let bytes =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    String::from_utf8(bytes).unwrap()
}

/// A `monitor` command, and what it says.
fn monitor(session: &mut Session, command: &str) -> String {
    let digits: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
    unhexed(&answer(session, &format!("qRcmd,{digits}")))
}

#[test]
fn a_catch_stays_whatever_becomes_of_another_at_its_handler() {
    // One handler serves every exception of this program.
    let mut code = vec![0x2000_u16, 0x2000];
    code.extend([0x1041, 0].repeat(15));
    code.extend([0xE7FE, 0]);
    let mut session = attached_to(&code);
    assert!(monitor(&mut session, "vcatch bus on").contains("caught: bus at 0x1040"));
    assert!(monitor(&mut session, "vcatch usage on").contains("bus and usage at 0x1040"));
    // GDB has a breakpoint there as well, and takes it away.
    assert_eq!(answer(&mut session, "Z0,1040,2"), "OK");
    assert_eq!(answer(&mut session, "z0,1040,2"), "OK");
    assert!(monitor(&mut session, "status").contains("1 of"));
    assert!(monitor(&mut session, "vcatch bus off").contains("caught: usage at 0x1040"));
    assert!(monitor(&mut session, "status").contains("1 of"));
    assert!(monitor(&mut session, "vcatch usage off").contains("nothing is caught"));
    assert!(monitor(&mut session, "status").contains("0 of"));
}

#[test]
fn an_application_that_nobody_may_stop_runs_on_and_prints() {
    // r0 += 1, for ever; the rest fills what is fetched together.
    let code = [0x3001, 0xE7FD, 0, 0, 0, 0, 0, 0];
    let mut session = attached_with(&code, Permission::LogpointsOnly);
    assert!(answer(&mut session, "?").starts_with("T05"));
    assert_eq!(answer(&mut session, "m1000,2"), "0130", "memory is read");
    // printf("x") at the addition.
    assert_eq!(answer(&mut session, "Z0,1000,2;cmds:0,X9,220022003400000278002 7"), "E01", "nonsense");
    assert_eq!(answer(&mut session, "Z0,1000,2;cmds:0,Xb,2200220034000002780027"), "OK");
    assert_eq!(answer(&mut session, "vCont;s:1"), "E0d", "it cannot be stepped");
    assert_eq!(answer(&mut session, "vCont;c:1"), "runs");
    session.settle().unwrap();
    let printed = String::from_utf8(session.take_console()).unwrap();
    assert!(printed.contains("lets nobody stop") && printed.ends_with("xx"), "{printed}");
    session.interrupt().unwrap();
    assert!(answer(&mut session, "?").starts_with("T02"), "Ctrl-C gives the prompt back");
    // A breakpoint would stop it.
    assert_eq!(answer(&mut session, "Z0,1002,2"), "OK");
    assert_eq!(answer(&mut session, "vCont;c:1"), "E0d");
}

#[test]
fn an_answer_that_gdb_no_longer_waits_for_is_not_taken_for_that_to_its_next_question() {
    let questions = ["?", "qAttached", "qC"].map(packet).concat();
    let last = packet("QC1");
    assert_eq!(said_to(&[(&questions, &last)]), format!("+++{last}"));
}

#[test]
fn an_impatient_gdb_is_not_told_twice() {
    let (first, second) = (packet("QC1"), packet("1"));
    let said = said_to(&[(&format!("{}---", packet("qC")), &first), (&packet("qAttached"), &second)]);
    assert_eq!(said, format!("+{first}+{second}"));
}
