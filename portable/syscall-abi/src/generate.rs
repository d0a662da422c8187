//! The C header and the Rust constants, written from the table.

use core::fmt::{Result, Write};

use crate::{
    ABI_VERSION, DEVICE_ID_LEN, GATEWAY_STRIDE_BYTES, LOG_TEXT_LEN_MAX, NetworkReason, NetworkStatus,
    NotificationKind, STORAGE_INFO_VERSION, STORAGE_TRANSFER_LEN_MAX, SYSTEM_CALLS, SocketEvent, SocketKind,
    SocketReason, SocketState, Status, UPDATE_STATUS_VERSION, UpdateStageNumber, WakeReason, sockets,
};

pub(crate) type Group = (&'static str, &'static [(u32, &'static str, &'static str)]);

pub(crate) const GROUPS: &[Group] = &[
    (NotificationKind::C_PREFIX, NotificationKind::ALL),
    (UpdateStageNumber::C_PREFIX, UpdateStageNumber::ALL),
    (WakeReason::C_PREFIX, WakeReason::ALL),
    (NetworkStatus::C_PREFIX, NetworkStatus::ALL),
    (NetworkReason::C_PREFIX, NetworkReason::ALL),
    (SocketKind::C_PREFIX, SocketKind::ALL),
    (SocketState::C_PREFIX, SocketState::ALL),
    (SocketReason::C_PREFIX, SocketReason::ALL),
    (SocketEvent::C_PREFIX, SocketEvent::ALL),
];

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
    writeln!(out, "#define BH_ABI_VERSION {ABI_VERSION}u")?;
    writeln!(out, "#define BH_DEVICE_ID_LEN {DEVICE_ID_LEN}u")?;
    writeln!(out, "#define BH_LOG_TEXT_LEN_MAX {LOG_TEXT_LEN_MAX}u")?;
    writeln!(out, "#define BH_UPDATE_STATUS_VERSION {UPDATE_STATUS_VERSION}u")?;
    writeln!(out, "#define BH_STORAGE_INFO_VERSION {STORAGE_INFO_VERSION}u")?;
    writeln!(out, "#define BH_STORAGE_TRANSFER_LEN_MAX {STORAGE_TRANSFER_LEN_MAX}u")?;
    for (name, value, _) in sockets::CONSTANTS {
        writeln!(out, "#define {name} {value}u")?;
    }
    out.write_char('\n')?;
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
    out.write_str(
        "
struct bh_update_status {
    uint32_t version; /* in: BH_UPDATE_STATUS_VERSION */
    uint32_t stage;
    uint32_t pages_done;
    uint32_t pages_total;
    uint32_t pages_to_write;  /* once it is ready */
    uint32_t downtime_ms;     /* once it is ready: how long the application will stand still */
    uint32_t apply_in_s;      /* once it is ready: unless it is postponed further; else 0xFFFFFFFF */
    uint32_t postpone_left_s; /* once it is ready: no later than so many seconds from now */
};

struct bh_storage_info {
    uint32_t version; /* in: BH_STORAGE_INFO_VERSION */
    uint32_t length_bytes;
    uint32_t erase_bytes;
    uint32_t transfer_bytes_max;
};

struct bh_notification {
    uint64_t at_us;
    uint32_t kind;
    uint32_t value;
};
",
    )?;
    out.write_str(sockets::C_STRUCTS)?;
    out.write_str(
        "
#define BH_GATEWAY(slot) (BH_BOARD_GATEWAYS + (slot) * ",
    )?;
    writeln!(out, "{GATEWAY_STRIDE_BYTES}u + 1u)")?;
    for call in SYSTEM_CALLS {
        writeln!(out, "\n/** {} */\nstatic inline bh_status {}(", call.doc, call.name)?;
        if call.arguments.is_empty() {
            out.write_str("    void")?;
        }
        for (index, a) in call.arguments.iter().enumerate() {
            let comma = if index == 0 { "    " } else { ", " };
            write!(out, "{comma}{}{}{}", a.c_type, if a.c_type.ends_with('*') { "" } else { " " }, a.name)?;
        }
        write!(out, ")\n{{\n    return ((bh_status (*)(")?;
        for (index, a) in call.arguments.iter().enumerate() {
            write!(out, "{}{}", if index == 0 { "" } else { ", " }, a.c_type)?;
        }
        if call.arguments.is_empty() {
            out.write_str("void")?;
        }
        write!(out, "))BH_GATEWAY({}u))(", call.slot)?;
        for (index, a) in call.arguments.iter().enumerate() {
            write!(out, "{}{}", if index == 0 { "" } else { ", " }, a.name)?;
        }
        out.write_str(");\n}\n")?;
    }
    out.write_str("\n#ifdef __cplusplus\n}\n#endif\n#endif\n")
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
    for call in SYSTEM_CALLS {
        write!(out, "/// Slot of `{}`. {}\npub const SLOT_", call.name, call.doc)?;
        for c in call.name.chars() {
            out.write_char(c.to_ascii_uppercase())?;
        }
        writeln!(out, ": u32 = {};", call.slot)?;
    }
    Ok(())
}

/// Writes the normative table of `docs/spec/system-calls.md`.
///
/// # Errors
/// Those of `out`.
pub fn write_specification(out: &mut impl Write) -> Result {
    out.write_str(include_str!("../specification.md"))?;
    out.write_str("\n## Calls\n\n| slot | call | arguments | meaning |\n|---|---|---|---|\n")?;
    for call in SYSTEM_CALLS {
        write!(out, "| {} | `{}` | ", call.slot, call.name)?;
        for (index, a) in call.arguments.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}`{}{}{}`", a.c_type, if a.c_type.ends_with('*') { "" } else { " " }, a.name)?;
        }
        writeln!(out, " | {} |", call.doc)?;
    }
    out.write_str("\n## Statuses\n\n| value | name | meaning |\n|---|---|---|\n")?;
    for (status, name, doc) in Status::ALL {
        writeln!(out, "| {} | `{name}` | {doc} |", *status as u32)?;
    }
    out.write_str("\n## Numbers\n\n| name | value | meaning |\n|---|---|---|\n")?;
    for (prefix, members) in GROUPS {
        for (value, name, doc) in *members {
            writeln!(out, "| `{prefix}{name}` | {value} | {doc} |")?;
        }
    }
    for (name, value, doc) in sockets::CONSTANTS {
        writeln!(out, "| `{name}` | {value} | {doc} |")?;
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
        let (mut header, mut constants, mut spec) = (String::new(), String::new(), String::new());
        super::write_specification(&mut spec).unwrap();
        super::write_c_header(&mut header).unwrap();
        super::write_rust_constants(&mut constants).unwrap();
        for (path, text) in [
            ("apps/sdk-c/include/bulkhead.h", header),
            ("apps/sdk-rust/src/abi.rs", constants),
            ("docs/spec/system-calls.md", spec),
        ] {
            let path = root.join(path);
            if std::env::var_os("BULKHEAD_REGENERATE").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap();
            assert!(committed == text, "{} is stale: run with BULKHEAD_REGENERATE=1", path.display());
        }
    }
}
