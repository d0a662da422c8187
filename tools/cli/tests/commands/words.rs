//! Wrong input is named as what it is, and the next step leads out of it.

use crate::harness::TestServer;
use crate::tool::Tool;

#[test]
fn wrong_input_is_named_as_what_it_is() {
    let server = TestServer::start();
    let (tool, stranger, viewer) = (Tool::logged_in(&server), Tool::new(), Tool::new());
    viewer.run(&["login", &server.url(""), "--token", &server.token("viewer")]).ok();
    let signing = tool.run(&["key", "generate"]).ok().trim().to_owned();
    let debug = tool.run(&["key", "generate", "--debug"]).ok().trim().to_owned();
    let id = server.own(1);
    tool.run(&["device", "rename", &id, "pump"]).ok();
    let program = tool.program("hello.bin", 9000);
    let endless = "/dev/zero";
    let (ended, long) = (format!("{signing}@2027-13-45"), "x".repeat(65));
    let url = server.url("");
    let set = ["key", "set", "new", "--version", "1", "--threshold", "1", "-o", "set", "--root", &signing];
    // Who, what, exit code, and words of what is said.
    let cases: &[(&Tool, &[&str], i32, &str)] = &[
        (&tool, &["device", "show", ""], 2, "an id or name is empty"),
        (&tool, &["config", "set", "-d", "pump", "", "value"], 2, "an id or name is empty"),
        (
            &tool,
            &["device", "new", "p", "--signing-key", "zzz"],
            9,
            "`zzz` is neither a public key nor a file",
        ),
        (
            &tool,
            &["device", "new", "p", "--signing-key", &debug],
            9,
            "is not the public key that is wanted here",
        ),
        (
            &tool,
            &["app", "bundle", &program, "--debug-key", &signing],
            9,
            "`bulkhead key show --debug` prints",
        ),
        (
            &tool,
            &[&set[..], &["--signer", &ended]].concat(),
            9,
            "`2027-13-45` behind a signer's key is no day",
        ),
        (&tool, &["app", "bundle", &program, "--name", ""], 9, "the name `` is not 1 to 64 bytes long"),
        (&tool, &["app", "bundle", &program, "--name", &long], 9, "is not 1 to 64 bytes long"),
        (&tool, &["app", "bundle", &program, "--version", ""], 9, "the version `` is not 1 to 32 bytes long"),
        (&tool, &["app", "bundle", &program, "--trial-boots", "0"], 2, "--trial-boots"),
        (&tool, &["message", "send", "pump", "--file", endless], 9, "longer than 960 bytes"),
        (&tool, &["config", "set", "-d", "pump", "key", "--file", endless], 9, "longer than 512 bytes"),
        (&tool, &["app", "push", endless], 9, "the most that a bundle has"),
        (&tool, &["crash", "ls", "-n", "0"], 2, "0 is not in 1..=500"),
        (&tool, &["logs", "-n", "501"], 2, "501 is not in 0..=500"),
        (&tool, &["token", "new", "ci", "--role", "viewer", "--days", "0"], 2, "--days"),
        (&viewer, &["update", "apply", "pump"], 3, "roles that may: developer, operator, admin"),
        (&viewer, &["token", "ls"], 3, "roles that may: admin"),
        (&stranger, &["login", &url, "--token", "bht_00_00"], 3, "`bulkhead-server admin-token`"),
        (&stranger, &["key", "passphrase"], 9, "make one with `bulkhead key generate`"),
        (&stranger, &["key", "passphrase", "--debug"], 9, "make one with `bulkhead key generate --debug`"),
        (&stranger, &["logout"], 0, "nobody was logged in"),
    ];
    for (who, arguments, code, words) in cases {
        let ended = who.run(arguments);
        assert_eq!(ended.code, *code, "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(words), "{arguments:?}: no `{words}` in {}", ended.err);
    }
    // What is damaged is forgotten like what is whole.
    std::fs::write(tool.home.join("config.json"), "{").expect("writes");
    tool.run(&["logout"]).ok();
    assert_eq!(tool.run(&["device", "ls"]).code, 3, "it was forgotten");
}

#[test]
fn no_record_from_before_is_none() {
    let server = TestServer::start();
    let tool = Tool::logged_in(&server);
    server.own(1);
    let mut device = server.connect(1);
    device.log(1, "hello");
    server.wait_for("the record", "/api/v1/logs", |page| page["items"][0]["text"] == "hello");
    assert_eq!(tool.run(&["logs", "-n", "1"]).ok().lines().count(), 1);
    assert_eq!(tool.run(&["logs", "-n", "0"]).ok(), "");
}
