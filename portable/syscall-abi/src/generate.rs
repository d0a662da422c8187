//! The C header and the Rust constants, written from the table.

use core::fmt::{Result, Write};
use core::ops::RangeInclusive;

use crate::{
    ABI_VERSION, BootReasonNumber, CField, CONFIG_ENTRY_VERSION, CONFIG_KEY_LEN_MAX, CONFIG_VALUE_LEN_MAX,
    CONFIG_VALUE_VERSION, Call, ConfigEntry, ConfigValue, DEBUG_STATE_VERSION, DEVICE_ID_LEN,
    DebugAttachment, DebugState, GATEWAY_STRIDE_BYTES, LIMITS_VERSION, LOG_TEXT_LEN_MAX, Limits,
    MESSAGE_LEN_MAX, MESSAGE_QUEUE_VERSION, MESSAGE_VERSION, Message, MessageOutcome, MessageQueue,
    NetworkInfo, NetworkReason, NetworkStatus, Notification, NotificationKind, RANDOM_LEN_MAX,
    STORAGE_INFO_VERSION, STORAGE_TRANSFER_LEN_MAX, SYSTEM_CALLS, SocketAddress, SocketEvent, SocketKind,
    SocketReason, SocketState, SocketStatus, Status, StorageInfo, UPDATE_STATUS_VERSION, UpdateStageNumber,
    UpdateStatus, Wake, WakeReason, sockets,
};

pub(crate) type Group = (&'static str, &'static [(u32, &'static str, &'static str)]);

pub(crate) const GROUPS: &[Group] = &[
    (NotificationKind::C_PREFIX, NotificationKind::ALL),
    (UpdateStageNumber::C_PREFIX, UpdateStageNumber::ALL),
    (WakeReason::C_PREFIX, WakeReason::ALL),
    (NetworkStatus::C_PREFIX, NetworkStatus::ALL),
    (NetworkReason::C_PREFIX, NetworkReason::ALL),
    (DebugAttachment::C_PREFIX, DebugAttachment::ALL),
    (BootReasonNumber::C_PREFIX, BootReasonNumber::ALL),
    (MessageOutcome::C_PREFIX, MessageOutcome::ALL),
    (Wake::C_PREFIX, Wake::ALL),
    (SocketKind::C_PREFIX, SocketKind::ALL),
    (SocketState::C_PREFIX, SocketState::ALL),
    (SocketReason::C_PREFIX, SocketReason::ALL),
    (SocketEvent::C_PREFIX, SocketEvent::ALL),
];

/// The structs, in the order of the header.
pub(crate) const RECORDS: &[(&str, &[CField], usize)] = &[
    UpdateStatus::IN_C,
    StorageInfo::IN_C,
    Notification::IN_C,
    Limits::IN_C,
    DebugState::IN_C,
    Message::IN_C,
    MessageQueue::IN_C,
    ConfigValue::IN_C,
    ConfigEntry::IN_C,
    NetworkInfo::IN_C,
    SocketAddress::IN_C,
    SocketStatus::IN_C,
];

/// Versions of structs, and sizes.
pub(crate) const NUMBERS: &[(&str, u32)] = &[
    ("ABI_VERSION", ABI_VERSION),
    ("DEVICE_ID_LEN", DEVICE_ID_LEN),
    ("LOG_TEXT_LEN_MAX", LOG_TEXT_LEN_MAX),
    ("UPDATE_STATUS_VERSION", UPDATE_STATUS_VERSION),
    ("STORAGE_INFO_VERSION", STORAGE_INFO_VERSION),
    ("STORAGE_TRANSFER_LEN_MAX", STORAGE_TRANSFER_LEN_MAX),
    ("LIMITS_VERSION", LIMITS_VERSION),
    ("DEBUG_STATE_VERSION", DEBUG_STATE_VERSION),
    ("MESSAGE_VERSION", MESSAGE_VERSION),
    ("MESSAGE_QUEUE_VERSION", MESSAGE_QUEUE_VERSION),
    ("CONFIG_VALUE_VERSION", CONFIG_VALUE_VERSION),
    ("CONFIG_ENTRY_VERSION", CONFIG_ENTRY_VERSION),
    ("MESSAGE_LEN_MAX", MESSAGE_LEN_MAX),
    ("CONFIG_KEY_LEN_MAX", CONFIG_KEY_LEN_MAX),
    ("CONFIG_VALUE_LEN_MAX", CONFIG_VALUE_LEN_MAX),
    ("RANDOM_LEN_MAX", RANDOM_LEN_MAX),
];

fn write_records(out: &mut impl Write) -> Result {
    for (name, fields, _) in RECORDS {
        writeln!(out, "\nstruct {name} {{")?;
        for (c_type, field, suffix, doc) in *fields {
            write!(out, "    {c_type} {field}{suffix};")?;
            if !doc.is_empty() {
                write!(out, " /* {doc} */")?;
            }
            out.write_str("\n")?;
        }
        out.write_str("};\n")?;
    }
    Ok(())
}

/// Writes the functions that enter a gateway, one for each number of arguments.
fn write_c_calls(out: &mut impl Write) -> Result {
    out.write_str(
        "
/* Enters a gateway. r12 holds the caller's stack pointer: by it the hypervisor tells tasks apart that an operating
 * system switches in the middle of a call. */
",
    )?;
    for count in 0..=4 {
        write!(out, "static inline bh_status bh_call_{count}(uint32_t slot")?;
        (0..count).try_for_each(|index| write!(out, ", uint32_t argument_{index}"))?;
        out.write_str(")\n{\n")?;
        for index in 0..4 {
            write!(out, "    register uint32_t r{index} __asm(\"r{index}\")")?;
            if index < count {
                write!(out, " = argument_{index}")?;
            }
            out.write_str(";\n")?;
        }
        out.write_str("    __asm volatile(\"mov r12, sp\\n\\tblx %[gateway]\"\n                   : ")?;
        for index in 0..4 {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}\"{}r\"(r{index})", if index < count { '+' } else { '=' })?;
        }
        out.write_str(
            "
                   : [gateway] \"r\"(BH_GATEWAY(slot))
                   : \"r12\", \"lr\", \"cc\", \"memory\");
    return r0;
}
",
        )?;
    }
    Ok(())
}

/// Writes `bulkhead.h`.
///
/// # Errors
/// Those of `out`.
pub fn write_c_header(out: &mut impl Write) -> Result {
    out.write_str(
        "/* bulkhead.h: what an application may ask of the hypervisor.
 * Generated from portable/syscall-abi; do not edit. Every call returns a bh_status and never waits.
 * All may be called from interrupt handlers. */
#ifndef BULKHEAD_H
#define BULKHEAD_H

#include <stdint.h>
#include \"bh_board.h\"

#ifdef __cplusplus
extern \"C\" {
#endif

",
    )?;
    for (name, number) in NUMBERS {
        writeln!(out, "#define BH_{name} {number}u")?;
    }
    for (name, value, _) in sockets::CONSTANTS {
        writeln!(out, "#define {name} {value}u")?;
    }
    out.write_str("\n")?;
    writeln!(out, "typedef uint32_t bh_status;")?;
    for (status, name, doc) in Status::ALL {
        writeln!(out, "/** {doc} */\n#define {name} {}u", *status as u32)?;
    }
    for (prefix, members) in GROUPS {
        out.write_str("\n")?;
        for (value, name, doc) in *members {
            writeln!(out, "/** {doc} */\n#define {prefix}{name} {value}u")?;
        }
    }
    write_records(out)?;
    out.write_str("\n#define BH_GATEWAY(slot) (BH_BOARD_GATEWAYS + (slot) * ")?;
    writeln!(out, "{GATEWAY_STRIDE_BYTES}u + 1u)")?;
    write_c_calls(out)?;
    for call in SYSTEM_CALLS {
        write!(out, "\n/** {}\n *  Answers ", call.doc)?;
        write_answers(call, out)?;
        write!(out, ". */\nstatic inline bh_status {}(", call.name)?;
        if call.arguments.is_empty() {
            out.write_str("void")?;
        }
        for (index, a) in call.arguments.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{}{}{}", a.c_type, if a.c_type.ends_with('*') { "" } else { " " }, a.name)?;
        }
        write!(out, ")\n{{\n    return bh_call_{}({}u", call.arguments.len(), call.slot)?;
        for a in call.arguments {
            let through = if a.c_type.ends_with('*') { "(uintptr_t)" } else { "" };
            write!(out, ", (uint32_t){through}{}", a.name)?;
        }
        out.write_str(");\n}\n")?;
    }
    out.write_str("\n#ifdef __cplusplus\n}\n#endif\n#endif\n")
}

/// Writes every status that a call answers, by its C name.
pub(crate) fn write_answers(call: &Call, out: &mut impl Write) -> Result {
    out.write_str(Status::Ok.c_name())?;
    call.statuses.iter().try_for_each(|status| write!(out, ", {}", status.c_name()))
}

/// Writes the constants of the Rust side.
///
/// # Errors
/// Those of `out`.
pub fn write_rust_constants(out: &mut impl Write) -> Result {
    out.write_str("//! Numbers of the system calls. Generated from portable/syscall-abi; do not edit.\n\n")?;
    for (status, name, doc) in Status::ALL {
        writeln!(out, "/// {doc}\npub const {name}: u32 = {};", *status as u32)?;
    }
    for (prefix, members) in GROUPS {
        for (value, name, doc) in *members {
            writeln!(out, "/// {doc}\npub const {prefix}{name}: u32 = {value};")?;
        }
    }
    for (name, value, doc) in sockets::CONSTANTS {
        writeln!(out, "/// {doc}\npub const {name}: u32 = {value};")?;
    }
    for (name, number) in NUMBERS {
        writeln!(out, "/// As in C.\npub const BH_{name}: u32 = {number};")?;
    }
    for (name, _, len) in RECORDS {
        write!(out, "/// Bytes of `struct {name}`.\npub const SIZE_")?;
        write_upper(name, out)?;
        writeln!(out, ": usize = {len};")?;
    }
    for call in SYSTEM_CALLS {
        write!(out, "/// Slot of `{}`. {}\n///\n/// Answers ", call.name, call.doc)?;
        write_answers(call, out)?;
        out.write_str(".\npub const SLOT_")?;
        write_upper(call.name, out)?;
        writeln!(out, ": u32 = {};", call.slot)?;
    }
    Ok(())
}

fn write_upper(name: &str, out: &mut impl Write) -> Result {
    name.chars().try_for_each(|c| out.write_char(c.to_ascii_uppercase()))
}

/// One page of the specification: its file, its words, its slots, its numbers.
struct Page {
    file: &'static str,
    title: &'static str,
    words: &'static str,
    slots: &'static [RangeInclusive<u32>],
    groups: &'static [Group],
}

macro_rules! page {
    ($file:literal, $title:literal, $slots:expr, $groups:expr) => {
        Page {
            file: $file,
            title: $title,
            words: include_str!(concat!("../specification/", $file)),
            slots: $slots,
            groups: $groups,
        }
    };
}

const PAGES: &[Page] = &[
    page!(
        "device.md",
        "device, time, log, limits, random bytes",
        &[0..=7, 21..=23, 53..=53],
        &[
            (WakeReason::C_PREFIX, WakeReason::ALL),
            (BootReasonNumber::C_PREFIX, BootReasonNumber::ALL),
            (DebugAttachment::C_PREFIX, DebugAttachment::ALL),
        ]
    ),
    page!(
        "network.md",
        "network",
        &[8..=9],
        &[(NetworkStatus::C_PREFIX, NetworkStatus::ALL), (NetworkReason::C_PREFIX, NetworkReason::ALL),]
    ),
    page!("updates.md", "updates", &[10..=13], &[(UpdateStageNumber::C_PREFIX, UpdateStageNumber::ALL)]),
    page!(
        "notifications.md",
        "notifications and interrupts",
        &[14..=15],
        &[(NotificationKind::C_PREFIX, NotificationKind::ALL)]
    ),
    page!("storage.md", "storage", &[16..=20], &[]),
    page!("messages.md", "messages", &[24..=27], &[(MessageOutcome::C_PREFIX, MessageOutcome::ALL)]),
    page!("configuration.md", "configuration", &[28..=31], &[]),
    page!("power.md", "power", &[32..=33], &[(Wake::C_PREFIX, Wake::ALL)]),
    page!(
        "sockets.md",
        "sockets",
        &[40..=52],
        &[
            (SocketKind::C_PREFIX, SocketKind::ALL),
            (SocketState::C_PREFIX, SocketState::ALL),
            (SocketReason::C_PREFIX, SocketReason::ALL),
            (SocketEvent::C_PREFIX, SocketEvent::ALL),
        ]
    ),
];

/// Calls that may not be made from an interrupt handler.
const THREAD_ONLY: &[u32] = &[];

/// Files of `docs/spec/system-calls`.
pub fn specification_pages() -> impl Iterator<Item = &'static str> {
    core::iter::once("README.md").chain(PAGES.iter().map(|page| page.file))
}

/// Writes one file of `docs/spec/system-calls`; nothing for a name that is none.
///
/// # Errors
/// Those of `out`.
pub fn write_specification(file: &str, out: &mut impl Write) -> Result {
    out.write_str("<!-- Generated from portable/syscall-abi; do not edit. -->\n\n")?;
    if file == "README.md" {
        return write_index(out);
    }
    let Some(page) = PAGES.iter().find(|page| page.file == file) else { return Ok(()) };
    out.write_str(page.words)?;
    out.write_str(
        "\n## Calls\n\n| slot | call | arguments | from a handler | meaning | answers beside `BH_STATUS_OK` |\n|---|---|---|---|---|---|\n",
    )?;
    for call in SYSTEM_CALLS.iter().filter(|call| page.slots.iter().any(|slots| slots.contains(&call.slot))) {
        write!(out, "| {} | `{}` | ", call.slot, call.name)?;
        for (index, a) in call.arguments.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}`{}{}{}`", a.c_type, if a.c_type.ends_with('*') { "" } else { " " }, a.name)?;
        }
        let from_handler = if THREAD_ONLY.contains(&call.slot) { "no" } else { "yes" };
        write!(out, " | {from_handler} | {} | ", call.doc)?;
        for (index, status) in call.statuses.iter().enumerate() {
            write!(out, "{}`{}`", if index == 0 { "" } else { ", " }, status.c_name())?;
        }
        out.write_str(if call.statuses.is_empty() { "- |\n" } else { " |\n" })?;
    }
    if page.groups.is_empty() {
        return Ok(());
    }
    out.write_str("\n## Numbers\n\n| name | value | meaning |\n|---|---|---|\n")?;
    for (prefix, members) in page.groups {
        for (value, name, doc) in *members {
            writeln!(out, "| `{prefix}{name}` | {value} | {doc} |")?;
        }
    }
    if page.file == "sockets.md" {
        for (name, value, doc) in sockets::CONSTANTS {
            writeln!(out, "| `{name}` | {value} | {doc} |")?;
        }
    }
    Ok(())
}

/// The rules for all calls, where each is described, and what they answer.
fn write_index(out: &mut impl Write) -> Result {
    out.write_str(include_str!("../specification/README.md"))?;
    out.write_str("\n## Calls\n\n| slot | call | page |\n|---|---|---|\n")?;
    for call in SYSTEM_CALLS {
        let page = PAGES.iter().find(|page| page.slots.iter().any(|slots| slots.contains(&call.slot)));
        write!(out, "| {} | `{}` | ", call.slot, call.name)?;
        match page {
            Some(page) => writeln!(out, "[{}]({}) |", page.title, page.file)?,
            None => out.write_str("- |\n")?,
        }
    }
    out.write_str("\n## Statuses\n\n| value | name | meaning |\n|---|---|---|\n")?;
    for (status, name, doc) in Status::ALL {
        writeln!(out, "| {} | `{name}` | {doc} |", *status as u32)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::path::Path;
    use std::string::String;

    /// With `BULKHEAD_REGENERATE=1` in the environment the files are written anew instead of compared.
    #[test]
    fn committed_header_and_constants_are_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let (mut header, mut constants) = (String::new(), String::new());
        super::write_c_header(&mut header).unwrap();
        super::write_rust_constants(&mut constants).unwrap();
        let mut files = std::vec![
            (String::from("apps/sdk-c/include/bulkhead.h"), header),
            (String::from("apps/sdk-rust/src/abi.rs"), constants),
        ];
        for file in super::specification_pages() {
            let mut page = String::new();
            super::write_specification(file, &mut page).unwrap();
            files.push((std::format!("docs/spec/system-calls/{file}"), page));
        }
        for (path, text) in files {
            let path = root.join(path);
            if std::env::var_os("BULKHEAD_REGENERATE").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap();
            assert!(committed == text, "{} is stale: run with BULKHEAD_REGENERATE=1", path.display());
        }
    }
    #[test]
    fn each_call_is_described_on_exactly_one_page() {
        for call in crate::SYSTEM_CALLS {
            let on = |page: &&super::Page| page.slots.iter().any(|slots| slots.contains(&call.slot));
            let pages = super::PAGES.iter().filter(on).count();
            assert_eq!(pages, 1, "{} (slot {}): give it a place in PAGES", call.name, call.slot);
        }
        let listed: usize = super::PAGES.iter().map(|page| page.groups.len()).sum();
        assert_eq!(listed, super::GROUPS.len(), "each group of numbers is on one page");
    }
}
