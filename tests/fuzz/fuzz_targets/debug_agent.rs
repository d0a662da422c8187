//! Whatever requests a developer sends and however the application stops, the agent comes to an end and leaves no trace.
#![no_main]

use bulkhead_debug_protocol::message_type;
use bulkhead_fuzz::Debugged;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut debugged = Debugged::new(bytes);
    let before = debugged.application.code;
    // A length, the request, and how the application stops next; over and over.
    let mut rest = bytes;
    while let [len, stop, more @ ..] = rest {
        let (message, behind) = more.split_at(usize::from(*len).min(more.len()));
        for said in debugged.ask(message).into_iter().chain(debugged.stop(*stop)) {
            assert!(message_type(&said).is_some(), "what the agent says is a message");
        }
        rest = behind;
    }
    debugged.agent.detach(&mut debugged.application);
    assert_eq!(debugged.application.code, before, "nothing is left in the code");
    assert!(debugged.application.running && !debugged.agent.is_attached());
});
