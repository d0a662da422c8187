//! What was released stays as it is: slots, names, arguments, numbers, and where each field of a struct lies.
//!
//! `tests/golden/interface.txt` has a line for each of them. `BULKHEAD_REGENERATE=1` appends lines for what is new; a line
//! that is there is never changed or removed, since applications in the field were compiled with what it says.

extern crate std;

use std::format;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use crate::generate::{GROUPS, RECORDS};
use crate::{CField, CONFIG_KEY_LEN_MAX, SYSTEM_CALLS, Status};

/// One line for each thing that an application was compiled with.
fn interface() -> Vec<String> {
    let mut lines = Vec::new();
    for call in SYSTEM_CALLS {
        let arguments: Vec<_> = call.arguments.iter().map(|a| format!("{} {}", a.c_type, a.name)).collect();
        lines.push(format!("call {} {}({})", call.slot, call.name, arguments.join(", ")));
    }
    for (status, name, _) in Status::ALL {
        lines.push(format!("number {name} {}", *status as u32));
    }
    for (prefix, members) in GROUPS {
        for (value, name, _) in *members {
            lines.push(format!("number {prefix}{name} {value}"));
        }
    }
    for (name, fields, _) in RECORDS {
        let mut offset = 0;
        for field in *fields {
            let len = field_len(field);
            lines.push(format!("field {name}.{} at {offset}, {len} bytes", field.1));
            offset += len;
        }
    }
    lines
}

/// Length of a field in bytes. That there are no gaps between fields is checked where they are declared.
fn field_len((c_type, _, suffix, _): &CField) -> u32 {
    let one = match *c_type {
        "char" | "uint8_t" => 1,
        "uint16_t" => 2,
        "uint32_t" => 4,
        "uint64_t" => 8,
        of_struct => {
            let record = RECORDS.iter().find(|(name, ..)| of_struct.strip_prefix("struct ") == Some(name));
            record.expect("a struct that is declared").1.iter().map(field_len).sum()
        }
    };
    let lengths = suffix.split(['[', ']']).filter(|length| !length.is_empty());
    one * lengths
        .map(|length| match length {
            "BH_CONFIG_KEY_LEN_MAX" => CONFIG_KEY_LEN_MAX,
            number => number.parse().expect("a length"),
        })
        .product::<u32>()
}

/// Lines of the first that the second lacks.
fn lacking<'l>(lines: &'l [String], others: &[String]) -> Vec<&'l String> {
    lines.iter().filter(|line| !others.contains(line)).collect()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/interface.txt")
}

#[test]
fn what_was_released_stays_as_it_is() {
    let mut text = std::fs::read_to_string(golden()).unwrap();
    let released: Vec<_> = text.lines().map(String::from).collect();
    let now = interface();
    let changed = lacking(&released, &now);
    assert!(changed.is_empty(), "released, and no longer so: {changed:#?}");
    let new = lacking(&now, &released);
    if std::env::var_os("BULKHEAD_REGENERATE").is_some() {
        new.iter().for_each(|line| text.extend([line.as_str(), "\n"]));
        std::fs::write(golden(), text).unwrap();
    } else {
        assert!(new.is_empty(), "new: run with BULKHEAD_REGENERATE=1, which appends {new:#?}");
    }
}

/// The comparison must be able to fail.
#[test]
fn an_argument_a_number_and_a_field_that_change_are_noticed() {
    let now = interface();
    for (line, changed) in [
        ("call 5 bh_log_write(", "call 5 bh_log_write(uint32_t level)"),
        ("number BH_STATUS_BUSY ", "number BH_STATUS_BUSY 99"),
        ("field bh_notification.kind at 8", "field bh_notification.kind at 12, 4 bytes"),
    ] {
        let (before, other): (Vec<_>, Vec<_>) = now.iter().cloned().partition(|one| one.starts_with(line));
        assert_eq!(before.len(), 1, "{line}");
        let other: Vec<_> = other.into_iter().chain([changed.into()]).collect();
        assert_eq!(lacking(&now, &other), before.iter().collect::<Vec<_>>());
    }
}
