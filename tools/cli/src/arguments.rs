//! What can be typed.

use std::path::PathBuf;

use bulkhead_bundle_builder::Medium;
use bulkhead_cloud_api::{LogLevel, ManifestDigest, PAGE_ITEMS_MAX, Role};
use clap::builder::RangedI64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;

use crate::arguments_application::{Configuration, Message, Webhook};
use crate::arguments_crash::{Crash, CrashMemoryChoice, crash_memory};
use crate::arguments_key::Key;

/// Manage devices that run applications under the Bulkhead microvisor.
///
/// Begin with `bulkhead login URL`, then `bulkhead device ls`.
#[derive(Parser)]
#[command(name = "bulkhead", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Print data as JSON: one document, or one a line where a command follows something.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Address of the server, instead of the one logged in to.
    #[arg(long, global = true, env = "BULKHEAD_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Log in to a server and remember it.
    Login(Login),
    /// Forget server and token.
    Logout,
    /// Show who is logged in.
    Whoami,
    /// Make and show keys, decide which of them count, permit going back.
    #[command(subcommand)]
    Key(Key),
    /// Make, list, show, claim, run and command devices.
    #[command(subcommand)]
    Device(Device),
    /// Make, push, list and fetch application bundles.
    #[command(subcommand)]
    App(App),
    /// Set what a device shall run, and watch it get there.
    Deploy(Deploy),
    /// Serve GDB on this machine for a device anywhere, sealed between the two.
    Debug(Debug),
    /// List, open and explain crash dumps.
    #[command(subcommand)]
    Crash(Crash),
    /// Show updates.
    #[command(subcommand)]
    Update(Update),
    /// Show log records.
    Logs(Logs),
    /// Show events as they happen.
    Events(Events),
    /// Send messages to applications, and see those that they send.
    #[command(subcommand)]
    Message(Message),
    /// Have messages of devices posted to an address (administrators).
    #[command(subcommand)]
    Webhook(Webhook),
    /// Set what applications read as their configuration, secrets included.
    #[command(subcommand)]
    Config(Configuration),
    /// Make, list and revoke tokens of the API (administrators).
    #[command(subcommand)]
    Token(Token),
    /// Show the newest entries of the audit log (administrators).
    Audit {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 50, value_parser = count(1))]
        count: u32,
    },
    /// Check configuration, server and this machine, and say what is missing.
    Doctor,
    /// Print a completion script.
    Completion {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Args)]
pub(crate) struct Login {
    /// Address of the server, such as http://127.0.0.1:8420.
    pub(crate) url: String,
    /// Token; read from BULKHEAD_TOKEN or from standard input if absent.
    #[arg(long, env = "BULKHEAD_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Device {
    /// List devices.
    Ls,
    /// Make a virtual device: keys, non-volatile memory, registration (the factory step).
    New(NewDevice),
    /// Run a virtual device in QEMU; Ctrl-C cuts its power.
    Run(RunDevice),
    /// Show one device in full.
    Show {
        /// Id or name.
        device: String,
    },
    /// Bind a device to your account by its one-time token.
    Claim {
        /// Id (or name, if it was registered under one).
        device: String,
        /// The 32 hexadecimal digits that came with the device.
        token: String,
        /// Name to give it.
        #[arg(long)]
        name: Option<String>,
    },
    /// Rename a device.
    Rename {
        /// Id or name.
        device: String,
        /// New name.
        name: String,
    },
    /// Restart a device's application, or with --hypervisor all of it.
    Restart {
        /// Id or name.
        device: String,
        /// Restart the whole device, not just its application.
        #[arg(long)]
        hypervisor: bool,
    },
    /// Stop a device's application until it is restarted.
    Stop {
        /// Id or name.
        device: String,
    },
    /// Refuse a device's link from now on.
    Revoke {
        /// Id or name.
        device: String,
        /// Allow it again.
        #[arg(long)]
        undo: bool,
    },
}

#[derive(Args)]
pub(crate) struct NewDevice {
    /// Name, unique on the server.
    pub(crate) name: String,
    /// Where to write its non-volatile memory; by default in the configuration folder, under its name.
    #[arg(long, value_name = "FILE")]
    pub(crate) memory: Option<PathBuf>,
    /// Public key (text or file) whose bundles it shall accept; may be given more than once. By default your own.
    #[arg(long = "signing-key", value_name = "KEY")]
    pub(crate) signing_keys: Vec<String>,
    /// Host of the server as the device sees it; the default is this machine, seen from QEMU's user network.
    #[arg(long, value_name = "HOST")]
    pub(crate) device_host: Option<String>,
    /// Port of the server's device gateway; asked of the server by default.
    #[arg(long, value_name = "PORT")]
    pub(crate) device_port: Option<u16>,
    /// Claim it at once for your account.
    #[arg(long)]
    pub(crate) claim: bool,
    /// Overwrite the file of another device, whose keys are then lost.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args)]
pub(crate) struct RunDevice {
    /// Name given to `device new`, or a file with its non-volatile memory.
    pub(crate) device: String,
    /// Hypervisor to run; by default the one that `cargo xtask image mps2-an505` built.
    #[arg(long, value_name = "ELF")]
    pub(crate) image: Option<PathBuf>,
    /// Append the hypervisor's console to a file instead of showing it.
    #[arg(long, value_name = "FILE")]
    pub(crate) console: Option<PathBuf>,
    /// Append the application's own serial line to a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) application_console: Option<PathBuf>,
    /// Let a debugger attach to the whole machine on this port of the loopback.
    #[arg(long, value_name = "PORT")]
    pub(crate) gdb: Option<u16>,
    /// Wait for that debugger before the first instruction.
    #[arg(long, requires = "gdb")]
    pub(crate) wait: bool,
}

#[derive(Args)]
pub(crate) struct MakeBundle {
    /// The program: ELF, Intel HEX, or bare bytes.
    pub(crate) program: PathBuf,
    /// Where to write the bundle; by default beside the program.
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    /// Name of the application; by default that of the file.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Version of the application.
    #[arg(long, default_value = "0.0.0")]
    pub(crate) version: String,
    /// Number that rises with each release; by default the seconds since 1970.
    #[arg(long)]
    pub(crate) sequence: Option<u64>,
    /// Security counter; devices never go back behind the highest they ran.
    #[arg(long, default_value_t = 0)]
    pub(crate) security_counter: u32,
    /// System call ABIs that the application works with, such as 1 or 1..3; by default all that this tool knows.
    #[arg(long, default_value = "1..4", value_parser = revisions)]
    pub(crate) abi: (u32, u32),
    /// Board revisions that it is for, such as 1 or 1..3.
    #[arg(long, default_value = "1", value_parser = revisions)]
    pub(crate) board_revisions: (u32, u32),
    /// While this version runs: longest time that it may postpone an update, such as 2h, 30m or 45 (seconds).
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) polite_max: Option<u32>,
    /// While this version runs: updates are applied as soon as they are staged, without asking it.
    #[arg(long, conflicts_with = "polite_max")]
    pub(crate) immediate: bool,
    /// Pages that are the application's own, which no update touches, such as external:0x80000+64K; from area 3 on.
    #[arg(long, value_name = "MEMORY:OFFSET+LENGTH", value_parser = span)]
    pub(crate) owned: Vec<Span>,
    /// Pages that this version leaves erased; numbered behind those of --owned.
    #[arg(long, value_name = "MEMORY:OFFSET+LENGTH", value_parser = span)]
    pub(crate) fill: Vec<Span>,
    /// Move, cut or drop what the version before it owns: what is in there is lost.
    #[arg(long)]
    pub(crate) give_up_owned: bool,
    /// The application has to confirm that this version works, or it is taken back.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Time without a fault after which a new version is kept, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) trial_window: Option<u32>,
    /// Starts of the device that a new version survives without being confirmed.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) trial_boots: Option<u32>,
    /// Public key (text or file) of a developer who may debug it; up to four. Without any, nobody can.
    #[arg(long = "debug-key", value_name = "KEY")]
    pub(crate) debug_keys: Vec<String>,
    /// Memory that a crash dump for those developers holds beside the stack: `used` (what the program's segments take;
    /// the default), `all`, `none` (not even the stack), or up to four ranges.
    #[arg(long, value_name = "used|all|none|ADDRESS+LENGTH", value_parser = crash_memory)]
    pub(crate) crash_memory: Vec<CrashMemoryChoice>,
    /// How far those developers may go; by default as far as `allow`.
    #[arg(long, value_name = "HOW")]
    pub(crate) debug_halt: Option<HaltPolicy>,
    /// How long the application stands still for a developer who is not heard of, such as 60s, 10m or 2h; by default one minute.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) debug_silence: Option<u32>,
    /// Description of the board; by default that of the virtual board.
    #[arg(long, value_name = "BOARD.TOML")]
    pub(crate) board: Option<PathBuf>,
    /// How to read the program; by default by its first bytes.
    #[arg(long, default_value = "detect")]
    pub(crate) format: ProgramFormat,
    /// Address of the first byte of a bare program (ELF and HEX name theirs); by default the start of the application's flash.
    #[arg(long, value_parser = address)]
    pub(crate) address: Option<u32>,
    /// Key that signs; by default the one in the configuration folder.
    #[arg(long)]
    pub(crate) key: Option<PathBuf>,
}

/// How a program file is to be read.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ProgramFormat {
    Detect,
    Elf,
    Hex,
    Bin,
}

/// How far a developer who debugs an application may go.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum HaltPolicy {
    /// Stop it.
    Allow,
    /// Have it print where it passes; it never stands still.
    LogpointsOnly,
    /// Read and write its memory alone.
    Never,
}

/// Reads how many entries of a list are wanted: `least` to what the server gives at once.
pub(crate) fn count(least: i64) -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(least..=i64::from(PAGE_ITEMS_MAX))
}

/// Reads `1` or `1..3`, both ends included.
fn revisions(text: &str) -> Result<(u32, u32), String> {
    let (least, greatest) = text.split_once("..").unwrap_or((text, text));
    match (least.parse(), greatest.parse()) {
        (Ok(least), Ok(greatest)) if least <= greatest => Ok((least, greatest)),
        _ => Err("give a number, or a range such as 1..3".into()),
    }
}

/// Reads a decimal or `0x` hexadecimal address.
fn address(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").map(|digits| u32::from_str_radix(&digits.replace('_', ""), 16));
    digits.unwrap_or_else(|| text.parse()).map_err(|_| "give an address such as 0x80000000".into())
}

/// Pages in one of the application's memories.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) medium: Medium,
    pub(crate) base: u32,
    pub(crate) length: u32,
}

/// Reads `2h`, `30m`, `45s` or `45`.
fn seconds(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.chars().last() {
        Some('h') => (text.strip_suffix('h'), 3600),
        Some('m') => (text.strip_suffix('m'), 60),
        Some('s') => (text.strip_suffix('s'), 1),
        _ => (Some(text), 1),
    };
    let number = digits.and_then(|digits| digits.parse::<u32>().ok());
    number.and_then(|n| n.checked_mul(unit)).ok_or_else(|| "give a time such as 2h, 30m or 45s".into())
}

/// Reads `external:0x80000+64K`.
fn span(text: &str) -> Result<Span, String> {
    let parts = text.split_once(':').and_then(|(medium, rest)| Some((medium, rest.split_once('+')?)));
    let wrong =
        || "give memory, offset and length, such as external:0x80000+64K or die:0xE0000+0x4000".to_owned();
    let (medium, (base, length)) = parts.ok_or_else(wrong)?;
    let medium = match medium {
        "die" => Medium::Die,
        "external" => Medium::External,
        _ => return Err(wrong()),
    };
    Ok(Span { medium, base: bytes(base).ok_or_else(wrong)?, length: bytes(length).ok_or_else(wrong)? })
}

/// Reads a number of bytes, decimal or `0x` hexadecimal, `K` and `M` being multiples of 1,024.
pub(crate) fn bytes(text: &str) -> Option<u32> {
    let (digits, unit) = match text.chars().last() {
        Some('K') => (text.strip_suffix('K')?, 1 << 10),
        Some('M') => (text.strip_suffix('M')?, 1 << 20),
        _ => (text, 1),
    };
    address(digits).ok()?.checked_mul(unit)
}

#[derive(Subcommand)]
pub(crate) enum App {
    /// Make and sign a bundle from a program.
    Bundle(Box<MakeBundle>),
    /// List bundles on the server.
    Ls,
    /// Show one bundle in full: areas, policy, sizes.
    Show {
        /// Digest, first digits of one, name@version, or name for the newest.
        bundle: String,
    },
    /// Push a bundle file to the server.
    Push {
        /// The file, as `bulkhead app bundle` wrote it.
        file: PathBuf,
    },
    /// Show what an update from one bundle file to another sends, area by area.
    Diff {
        /// What runs before; `-` for an empty device.
        old: PathBuf,
        /// What shall run.
        new: PathBuf,
        /// Folder to write the patches to, as `area-ID.patch`.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Choose what devices of a class are given that have no application; without a bundle, list what was chosen.
    Factory {
        /// Digest, first digits of one, name@version, or name for the newest. The class is the bundle's.
        bundle: Option<String>,
    },
    /// Fetch a bundle file back.
    Pull {
        /// Digest, first digits of one, name@version, or name for the newest.
        bundle: String,
        /// Where to write it.
        #[arg(short, long)]
        output: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Deploy {
    /// Id or name of the device.
    #[arg(short, long)]
    pub(crate) device: String,
    /// A bundle file, or a bundle on the server: digest, first digits of one, name@version, or name.
    #[arg(required_unless_present = "manifest")]
    pub(crate) bundle: Option<String>,
    /// Go to exactly this manifest: 64 digits of its digest. Never taken for a file or a name.
    #[arg(long, value_name = "DIGEST", conflicts_with = "bundle")]
    pub(crate) manifest: Option<ManifestDigest>,
    /// Permit to go back that `bulkhead key permit` wrote.
    #[arg(long, value_name = "FILE")]
    pub(crate) permit: Option<PathBuf>,
    /// Apply even if the application postpones.
    #[arg(long, alias = "force")]
    pub(crate) forced: bool,
    /// Set the target and return at once.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Longest wait in seconds; the update goes on after it.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Args)]
pub(crate) struct Debug {
    /// Id or name of the device.
    pub(crate) device: String,
    /// Port of this machine for GDB; 0 takes a free one.
    #[arg(long, default_value_t = 3333, value_name = "PORT")]
    pub(crate) port: u16,
    /// Start GDB on this terminal, and end with it.
    #[arg(long)]
    pub(crate) gdb: bool,
    /// Print where the application passes, without stopping it, until Ctrl-C; as GDB's dprintf: main.c:42,"n=%d\n",n
    #[arg(long, value_name = "PLACE,FORMAT,VALUES", requires = "elf", conflicts_with = "gdb")]
    pub(crate) log: Vec<String>,
    /// Print only where this is true.
    #[arg(long, value_name = "EXPRESSION", requires = "log")]
    pub(crate) log_if: Option<String>,
    /// The program that the bundle was made from: what is proved equal is not fetched from the device.
    #[arg(long, value_name = "FILE")]
    pub(crate) elf: Option<PathBuf>,
    /// End the session of whoever debugs the device now.
    #[arg(long)]
    pub(crate) takeover: bool,
    /// Your debug key; by default the one in the configuration folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Let GDB's `load` make a bundle, signed with this key, and have the device run it.
    #[arg(long, value_name = "FILE")]
    pub(crate) signing_key: Option<PathBuf>,
    /// Write .vscode/launch.json and tasks.json for cortex-debug in this folder, and end.
    #[arg(long, requires = "elf")]
    pub(crate) vscode: bool,
}

#[derive(Subcommand)]
pub(crate) enum Update {
    /// Show updates of a device, newest first, with the stages they reached.
    Status {
        /// Id or name.
        device: String,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 1, value_parser = count(1))]
        count: u32,
    },
    /// Show what was ever deployed to a device, newest first.
    History {
        /// Id or name.
        device: String,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 50, value_parser = count(1))]
        count: u32,
    },
    /// Apply what is staged now, or what is under way once it is staged, even if the application postpones it.
    Apply {
        /// Id or name.
        device: String,
    },
    /// Give an update up. A device that is writing pages finishes first and refuses.
    Cancel {
        /// Id or name.
        device: String,
    },
    /// Take a new version that is on trial back.
    Revert {
        /// Id or name.
        device: String,
    },
    /// Give a device the factory bundle of its class; see `app factory`.
    Factory {
        /// Id or name.
        device: String,
        /// Permit to go back that `bulkhead key permit` wrote.
        #[arg(long, value_name = "FILE")]
        permit: Option<PathBuf>,
    },
}

/// Levels as people type them.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    Error,
    Warning,
    Information,
    Debug,
    Trace,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warning => Self::Warning,
            Level::Information => Self::Information,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

#[derive(Args)]
pub(crate) struct Logs {
    /// Id or name; all devices if absent.
    pub(crate) device: Option<String>,
    /// Go on with records as they come.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many records from before.
    #[arg(short = 'n', long, default_value_t = 50, value_parser = count(0))]
    pub(crate) count: u32,
    /// This level and graver ones.
    #[arg(long)]
    pub(crate) level: Option<Level>,
}

#[derive(Args)]
pub(crate) struct Events {
    /// Id or name; all devices if absent.
    pub(crate) device: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Token {
    /// List tokens.
    Ls,
    /// Make a token; its secret is printed once.
    New {
        /// What it is for.
        name: String,
        /// Account that acts with it; your own if absent.
        #[arg(long)]
        account: Option<String>,
        /// viewer, developer, operator, debugger, factory or admin; may be given more than once.
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// Days until it stops working; never if absent.
        #[arg(long, value_parser = value_parser!(u32).range(1..))]
        days: Option<u32>,
    },
    /// End a token at once.
    Revoke {
        /// Its id.
        id: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn definitions_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_bundle_is_for_every_interface_that_there_is() {
        let command = Arguments::command();
        let bundle = command.find_subcommand("app").and_then(|app| app.find_subcommand("bundle"));
        let abi =
            bundle.and_then(|bundle| bundle.get_arguments().find(|argument| argument.get_id() == "abi"));
        let values: Vec<_> = abi.into_iter().flat_map(|abi| abi.get_default_values()).collect();
        assert_eq!(values, [format!("1..{}", bulkhead_syscall_abi::ABI_VERSION).as_str()]);
    }

    #[test]
    fn revisions_and_addresses_are_read_as_people_write_them() {
        assert_eq!(revisions("1..3"), Ok((1, 3)));
        assert_eq!(revisions("2"), Ok((2, 2)));
        assert!(["3..1", "", "1..", "x"].iter().all(|text| revisions(text).is_err()));
        assert_eq!(["2h", "30m", "45s", "7", "0"].map(seconds), [Ok(7200), Ok(1800), Ok(45), Ok(7), Ok(0)]);
        assert!(["", "h", "2d", "-1h", "9999999h"].iter().all(|text| seconds(text).is_err()));
        let own = Span { medium: Medium::External, base: 0x8_0000, length: 65_536 };
        assert_eq!(span("external:0x80000+64K"), Ok(own));
        assert_eq!(span("die:57344+0x2000").map(|span| (span.medium, span.base)), Ok((Medium::Die, 57_344)));
        assert!(["", "external", "ram:0+1", "die:0", "die:0+", "die:0+4G"].iter().all(|t| span(t).is_err()));
        assert_eq!(address("0x8000_0000"), Ok(0x8000_0000));
        assert!(["", "0x", "-1", "0x100000000"].iter().all(|text| address(text).is_err()));
    }
}
