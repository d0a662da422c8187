//! What `app bundle` is told and could not heed is refused, never ignored.

use crate::tool::Tool;

/// A tool with a signing key and a debug key, and the public half of the latter.
fn developer() -> (Tool, String) {
    let tool = Tool::new();
    tool.run(&["key", "generate"]).ok();
    let public = tool.run(&["key", "generate", "--debug"]).ok().trim().to_owned();
    (tool, public)
}

#[test]
fn what_is_said_about_developers_needs_a_developer() {
    let (tool, public) = developer();
    let (program, output) = (tool.program("hello.bin", 9000), tool.path("hello.bundle"));
    let cases: &[&[&str]] = &[
        &["--crash-memory", "0x28200000+64"],
        &["--crash-memory", "0x38000000+64"],
        &["--crash-memory", "all"],
        &["--debug-halt", "never"],
        &["--debug-halt", "allow"],
        &["--debug-silence", "10m"],
    ];
    for case in cases {
        let without = [&["app", "bundle", &program, "-o", &output], *case].concat();
        let refused = tool.run(&without);
        assert_eq!(refused.code, 2, "{case:?}: {refused:?}");
        assert!(refused.err.contains(case[0]), "{case:?}: {}", refused.err);
        assert!(refused.err.contains("\nnext: name the developer with --debug-key"), "{}", refused.err);
        assert!(!tool.home.join("hello.bundle").exists(), "{case:?}: a bundle was written all the same");
    }
    for case in cases.iter().filter(|case| !case.contains(&"0x38000000+64")) {
        let with = [&["app", "bundle", &program, "-o", &output, "--debug-key", &public], *case].concat();
        tool.run(&with).ok();
    }
}

#[test]
fn an_address_for_a_program_that_has_its_own_is_refused() {
    let (tool, _) = developer();
    let (bare, hex, output) =
        (tool.program("hello.bin", 9000), tool.path("hello.hex"), tool.path("hello.bundle"));
    std::fs::write(&hex, ":00000001FF\n").expect("writes");
    let refused = tool.run(&["app", "bundle", &hex, "-o", &output, "--address", "0x80000000"]);
    assert_eq!(refused.code, 9, "{refused:?}");
    assert!(refused.err.contains("--address would be ignored"), "{}", refused.err);
    tool.run(&["app", "bundle", &bare, "-o", &output, "--address", "0x80000000"]).ok();
}

#[test]
fn memory_that_a_bare_program_uses_is_not_known_and_not_taken_for_all() {
    let (tool, public) = developer();
    let (program, output) = (tool.program("hello.bin", 9000), tool.path("hello.bundle"));
    let bundle = |more: &[&str]| {
        tool.run(&[&["app", "bundle", &program, "-o", &output, "--debug-key", &public], more].concat())
    };
    let refused = bundle(&["--crash-memory", "used"]);
    assert_eq!(refused.code, 9, "{refused:?}");
    assert!(refused.err.contains("which memory it uses"), "{}", refused.err);
    bundle(&[]).ok();
}
