//! Keys under pass phrases, as scripts use them: there is no terminal here.

use crate::tool::Tool;

const FIRST: (&str, &str) = ("BULKHEAD_PASSPHRASE", "correct horse");
const SECOND: (&str, &str) = ("BULKHEAD_PASSPHRASE", "another horse");

#[test]
fn a_key_under_a_pass_phrase_is_used_with_it_and_with_no_other() {
    let tool = Tool::new();
    for kind in [&[][..], &["--debug"]] {
        let key = |verb: &'static str, more: &[&'static str]| [&["key", verb], kind, more].concat();
        let none = tool.run_alone(&[], &key("generate", &["--passphrase"]));
        assert!(none.code == 9 && none.err.contains("put it into BULKHEAD_PASSPHRASE"), "{none:?}");
        let short = tool.run_alone(&[("BULKHEAD_PASSPHRASE", "short")], &key("generate", &["--passphrase"]));
        assert!(short.code == 9 && short.err.contains("at least 8 characters"), "{short:?}");
        let public = tool.run_alone(&[FIRST], &key("generate", &["--passphrase"])).ok();
        let again = tool.run_alone(&[], &key("generate", &["--passphrase"]));
        assert!(again.err.contains("exists already"), "asked for nothing in vain: {again:?}");

        assert_eq!(tool.run_alone(&[FIRST], &key("show", &[])).ok(), public);
        let wrong = tool.run_alone(&[SECOND], &key("show", &[]));
        assert!(wrong.code == 9 && wrong.err.contains("is another"), "{wrong:?}");
        let unasked = tool.run_alone(&[], &key("show", &[]));
        assert!(unasked.err.contains("no terminal to ask on"), "{unasked:?}");

        let new = ("BULKHEAD_NEW_PASSPHRASE", "another horse");
        let wrong = tool.run_alone(&[SECOND, new], &key("passphrase", &[]));
        assert!(wrong.err.contains("is another"), "{wrong:?}");
        let no_new = tool.run_alone(&[FIRST], &key("passphrase", &[]));
        assert!(no_new.err.contains("BULKHEAD_NEW_PASSPHRASE"), "{no_new:?}");
        tool.run_alone(&[FIRST, new], &key("passphrase", &[])).ok();
        assert_eq!(tool.run_alone(&[SECOND], &key("show", &[])).ok(), public);
        assert_eq!(tool.run_alone(&[FIRST], &key("show", &[])).code, 9);
        tool.run_alone(&[SECOND], &key("passphrase", &["--remove"])).ok();
        assert_eq!(tool.run_alone(&[], &key("show", &[])).ok(), public);
    }
}

#[test]
fn a_bundle_is_signed_by_a_key_under_a_pass_phrase() {
    let tool = Tool::new();
    let public = tool.run_alone(&[FIRST], &["key", "generate", "--passphrase"]).ok();
    let set = tool.path("set");
    let new = [
        "key",
        "set",
        "new",
        "--version",
        "1",
        "--threshold",
        "1",
        "--root",
        public.trim(),
        "--signer",
        public.trim(),
        "-o",
        &set,
    ];
    tool.run_alone(&[], &new).ok();
    let refused = tool.run_alone(&[SECOND], &["key", "set", "sign", &set]);
    assert!(refused.code == 9 && refused.err.contains("is another"), "{refused:?}");
    tool.run_alone(&[FIRST], &["key", "set", "sign", &set]).ok();
    let shown = tool.run_alone(&[], &["key", "set", "show", &set]).ok();
    println!("{shown}");
    assert!(!shown.contains("nobody"), "{shown}");
}

#[test]
fn a_write_that_fails_leaves_nothing_and_what_an_interrupted_one_left_is_to_be_deleted() {
    let tool = Tool::new();
    let public = tool.run(&["key", "generate"]).ok();
    let keys = || {
        let names = std::fs::read_dir(tool.home.join("keys")).expect("folder");
        names.map(|file| file.expect("file").file_name()).collect::<Vec<_>>()
    };
    let new = ("BULKHEAD_NEW_PASSPHRASE", "another horse");
    for arguments in [&["key", "passphrase"][..], &["key", "generate", "--debug"]] {
        let full = tool.run_where_nothing_can_be_written(&[new], arguments);
        assert!(full.code == 9 && full.err.contains("could not write"), "{full:?}");
        assert_eq!(keys(), ["signing.key"], "{arguments:?}");
    }
    let left = tool.home.join("keys/signing.key.new");
    std::fs::write(&left, "bulkhead-sign").expect("writes");
    let refused = tool.run_alone(&[new], &["key", "passphrase"]);
    assert!(refused.code == 9 && refused.err.contains("next: delete it"), "{refused:?}");
    assert!(refused.err.contains("signing.key.new is in the way"), "{refused:?}");
    assert_eq!(tool.run(&["key", "show"]).ok(), public, "the key is as it was");
    std::fs::remove_file(&left).expect("deletes");
    tool.run_alone(&[new], &["key", "passphrase"]).ok();
}
