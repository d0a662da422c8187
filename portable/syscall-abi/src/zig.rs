//! The interface in Zig, written from the table. It is generated for a build, not committed.

use core::fmt::{Result, Write};

use crate::generate::{GROUPS, NUMBERS, RECORDS, write_answers};
use crate::{GATEWAY_STRIDE_BYTES, SYSTEM_CALLS, Status, sockets};

/// Arguments that a gateway takes, in r0 to r3.
const ARGUMENTS_MAX: usize = 4;

const ENTER: &str = r#"
/// Enters a gateway. r12 holds the caller's stack pointer: by it the hypervisor tells tasks apart that an operating
/// system switches in the middle of a call.
inline fn enter(gateway: usize, a: usize, b: usize, c: usize, d: usize) u32 {
    var second: usize = undefined;
    var third: usize = undefined;
    var fourth: usize = undefined;
    return asm volatile ("mov r12, sp\n\tblx %[gateway]"
        : [status] "={r0}" (-> u32),
          [second] "={r1}" (second),
          [third] "={r2}" (third),
          [fourth] "={r3}" (fourth),
        : [gateway] "r" (gateway),
          [a] "{r0}" (a),
          [b] "{r1}" (b),
          [c] "{r2}" (c),
          [d] "{r3}" (d),
        : .{ .r12 = true, .lr = true, .cpsr = true, .memory = true });
}
"#;

/// Writes `bulkhead.zig` for a board whose gateways begin at `gateways`.
///
/// Zig refuses to translate the C header: a gateway's address is odd, as every address of Thumb code that is called, and
/// a pointer to a function is aligned in Zig. Here it is a number.
///
/// # Errors
/// Those of `out`.
pub fn write_zig(gateways: u32, out: &mut impl Write) -> Result {
    out.write_str(
        "//! What an application may ask of the hypervisor. Generated from portable/syscall-abi; do not edit.
//! Every call returns one of the STATUS numbers and never waits; all may be called from interrupt handlers.

",
    )?;
    for (name, number, doc) in sockets::CONSTANTS {
        let name = name.strip_prefix("BH_").unwrap_or(name);
        writeln!(out, "/// {doc}\npub const {name}: u32 = {number};")?;
    }
    for (name, number) in NUMBERS {
        writeln!(out, "pub const {name}: u32 = {number};")?;
    }
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
    write_records(out)?;
    out.write_str(ENTER)?;
    for call in SYSTEM_CALLS {
        let name = call.name.strip_prefix("bh_").unwrap_or(call.name);
        write!(out, "\n/// {}\n/// Answers ", call.doc)?;
        write_answers(call, out)?;
        write!(out, ".\npub fn {name}(")?;
        for (index, a) in call.arguments.iter().enumerate() {
            write!(out, "{}{}: ", if index == 0 { "" } else { ", " }, a.name)?;
            write_type(a.c_type, out)?;
        }
        let address = gateways.wrapping_add(call.slot.wrapping_mul(GATEWAY_STRIDE_BYTES)) | 1;
        write!(out, ") u32 {{\n    return enter({address:#x}")?;
        for index in 0..ARGUMENTS_MAX {
            match call.arguments.get(index) {
                None => out.write_str(", 0")?,
                Some(a) if a.c_type.ends_with('*') => write!(out, ", @intFromPtr({})", a.name)?,
                Some(a) => write!(out, ", {}", a.name)?,
            }
        }
        out.write_str(");\n}\n")?;
    }
    Ok(())
}

/// The structs. Their fields begin as zero: only the version is to be set.
fn write_records(out: &mut impl Write) -> Result {
    for (name, fields, _) in RECORDS {
        out.write_str("\npub const ")?;
        write_name(name, out)?;
        out.write_str(" = extern struct {\n")?;
        for (c_type, field, suffix, doc) in *fields {
            if !doc.is_empty() {
                writeln!(out, "    /// {doc}")?;
            }
            // An array's length stands behind the name in C and before the type in Zig.
            write!(out, "    {field}: ")?;
            for part in suffix.split("BH_") {
                out.write_str(part)?;
            }
            write_type(c_type, out)?;
            writeln!(out, " = {},", zero(c_type, suffix))?;
        }
        out.write_str("};\n")?;
    }
    Ok(())
}

fn zero(c_type: &str, suffix: &str) -> &'static str {
    match suffix.matches('[').count() {
        0 if c_type.starts_with("struct ") => ".{}",
        0 => "0",
        1 => "@splat(0)",
        _ => "@splat(@splat(0))",
    }
}

/// How a C type reads in Zig.
fn write_type(c_type: &str, out: &mut impl Write) -> Result {
    let text = match c_type {
        "uint8_t" | "char" => "u8",
        "uint16_t" => "u16",
        "uint32_t" => "u32",
        "int32_t" => "i32",
        "uint64_t" => "u64",
        "uint32_t *" => "*u32",
        "int32_t *" => "*i32",
        "uint64_t *" => "*u64",
        "char *" | "uint8_t *" => "[*]u8",
        "const char *" | "const uint8_t *" => "[*]const u8",
        "void *" => "*anyopaque",
        "const void *" => "*const anyopaque",
        of_struct => {
            let constant = of_struct.strip_prefix("const ");
            let pointed = constant.unwrap_or(of_struct).strip_suffix(" *");
            out.write_str(match (constant, pointed) {
                (Some(_), _) => "*const ",
                (None, Some(_)) => "*",
                (None, None) => "",
            })?;
            return write_name(pointed.unwrap_or(of_struct), out);
        }
    };
    out.write_str(text)
}

/// `struct bh_socket_status` is `SocketStatus`.
fn write_name(c_name: &str, out: &mut impl Write) -> Result {
    let name = c_name.strip_prefix("struct ").unwrap_or(c_name);
    for word in name.strip_prefix("bh_").unwrap_or(name).split('_') {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            out.write_char(first.to_ascii_uppercase())?;
        }
        out.write_str(letters.as_str())?;
    }
    Ok(())
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
        assert!(text.contains("return enter(0x101ff001, 0, 0, 0, 0);"));
        assert!(text.contains("pub fn log_write(level: u32, text: [*]const u8, length_bytes: u32) u32 {"));
        assert!(text.contains("return enter(0x101ff029, level, @intFromPtr(text), length_bytes, 0);"));
        for call in SYSTEM_CALLS {
            assert!(text.contains(call.name.strip_prefix("bh_").unwrap()), "{}", call.name);
        }
        assert!(text.contains("pub fn socket_status_read(socket: u32, status: *SocketStatus) u32 {"));
        assert!(text.contains("to: *const SocketAddress, bytes: *const anyopaque"));
    }

    #[test]
    fn structs_are_offered_with_their_arrays_and_the_structs_in_them() {
        let mut text = String::new();
        write_zig(0x101F_F000, &mut text).unwrap();
        assert!(text.contains("pub const Notification = extern struct {"));
        assert!(text.contains("    resolvers: [2][4]u8 = @splat(@splat(0)),"));
        assert!(text.contains("[CONFIG_KEY_LEN_MAX]u8 = @splat(0),"));
        assert!(text.contains("    peer: SocketAddress = .{},"));
    }

    /// A struct that is filled begins with its version, which an application need not type.
    #[test]
    fn the_version_of_each_struct_is_offered() {
        let mut text = String::new();
        write_zig(0x101F_F000, &mut text).unwrap();
        for (_, fields, _) in RECORDS {
            for (_, _, _, doc) in fields.iter() {
                let Some(name) = doc.strip_prefix("in: BH_") else { continue };
                let name = name.split(' ').next().unwrap();
                assert!(text.contains(&std::format!("pub const {name}: u32 = ")), "{name} is missing");
            }
        }
    }
}
