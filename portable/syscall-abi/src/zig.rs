//! The interface in Zig, written from the table. It is generated for a build, not committed.

use core::fmt::{Result, Write};

use crate::generate::GROUPS;
use crate::{GATEWAY_STRIDE_BYTES, LOG_TEXT_LEN_MAX, SYSTEM_CALLS, Status};

/// Writes `bulkhead.zig` for a board whose gateways begin at `gateways`.
///
/// Zig refuses to translate the C header: a gateway's address is odd, as every address of Thumb code that is called, and
/// a pointer to a function is aligned in Zig. Here the pointers say that they are not.
///
/// # Errors
/// Those of `out`.
pub fn write_zig(gateways: u32, out: &mut impl Write) -> Result {
    out.write_str(
        "//! What an application may ask of the hypervisor. Generated from portable/syscall-abi; do not edit.
//! Every call returns one of the STATUS numbers and never waits; all may be called from interrupt handlers.

/// The oldest notification, as `notification_next` fills it.
pub const Notification = extern struct { at_us: u64 = 0, kind: u32 = 0, value: u32 = 0 };

",
    )?;
    writeln!(out, "pub const LOG_TEXT_LEN_MAX: u32 = {LOG_TEXT_LEN_MAX};")?;
    for (status, name, doc) in Status::ALL {
        let name = name.strip_prefix("BH_").unwrap_or(name);
        writeln!(out, "/// {doc}\npub const {name}: u32 = {};", *status as u32)?;
    }
    for (prefix, members) in GROUPS {
        let prefix = prefix.strip_prefix("BH_").unwrap_or(prefix);
        for (value, name, doc) in *members {
            writeln!(out, "/// {doc}\npub const {prefix}{name}: u32 = {value};")?;
        }
    }
    for call in SYSTEM_CALLS {
        let name = call.name.strip_prefix("bh_").unwrap_or(call.name);
        write!(out, "\n/// {}\npub fn {name}(", call.doc)?;
        for (index, a) in call.arguments.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{}: {}", a.name, zig_type(a.c_type))?;
        }
        out.write_str(") u32 {\n    const gateway: *align(1) const fn (")?;
        for (index, a) in call.arguments.iter().enumerate() {
            write!(out, "{}{}", if index == 0 { "" } else { ", " }, zig_type(a.c_type))?;
        }
        let address = gateways.wrapping_add(call.slot.wrapping_mul(GATEWAY_STRIDE_BYTES)) | 1;
        write!(out, ") callconv(.c) u32 = @ptrFromInt({address:#x});\n    return gateway(")?;
        for (index, a) in call.arguments.iter().enumerate() {
            write!(out, "{}{}", if index == 0 { "" } else { ", " }, a.name)?;
        }
        out.write_str(");\n}\n")?;
    }
    Ok(())
}

/// How a C type reads in Zig.
fn zig_type(c_type: &str) -> &'static str {
    match c_type {
        "uint32_t" => "u32",
        "int32_t" => "i32",
        "uint64_t" => "u64",
        "uint32_t *" => "*u32",
        "int32_t *" => "*i32",
        "uint64_t *" => "*u64",
        "char *" | "uint8_t *" => "[*]u8",
        "const char *" | "const uint8_t *" => "[*]const u8",
        "struct bh_notification *" => "*Notification",
        other if other.starts_with("const ") => "*const anyopaque",
        _ => "*anyopaque",
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;

    use super::*;

    #[test]
    fn every_call_is_offered_at_its_odd_address() {
        let mut text = String::new();
        write_zig(0x101F_F000, &mut text).unwrap();
        assert!(text.contains("pub fn nop() u32 {"));
        assert!(text.contains("@ptrFromInt(0x101ff001)"));
        assert!(text.contains("pub fn log_write(level: u32, text: [*]const u8, length_bytes: u32) u32 {"));
        assert!(text.contains("@ptrFromInt(0x101ff029)"));
        for call in SYSTEM_CALLS {
            assert!(text.contains(call.name.strip_prefix("bh_").unwrap()), "{}", call.name);
        }
    }
}
