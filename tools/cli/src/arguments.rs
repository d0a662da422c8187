//! What can be typed.

use std::path::PathBuf;

use bulkhead_cloud_api::{LogLevel, ManifestDigest, Role};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

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
    /// Show updates.
    #[command(subcommand)]
    Update(Update),
    /// Show log records.
    Logs(Logs),
    /// Show events as they happen.
    Events(Events),
    /// Make, list and revoke tokens of the API (administrators).
    #[command(subcommand)]
    Token(Token),
    /// Show the newest entries of the audit log (administrators).
    Audit {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 50)]
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
    /// System call ABIs that the application works with, such as 1 or 1..3.
    #[arg(long, default_value = "1", value_parser = revisions)]
    pub(crate) abi: (u32, u32),
    /// Board revisions that it is for, such as 1 or 1..3.
    #[arg(long, default_value = "1", value_parser = revisions)]
    pub(crate) board_revisions: (u32, u32),
    /// Longest time that the application may postpone an update, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) postpone_max: Option<u32>,
    /// The application has to confirm that this version works, or it is taken back.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Time without a fault after which a new version is kept, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) trial_window: Option<u32>,
    /// Starts of the device that a new version survives without being confirmed.
    #[arg(long, value_name = "N")]
    pub(crate) trial_boots: Option<u32>,
    /// Description of the board; by default that of the virtual board.
    #[arg(long, value_name = "BOARD.TOML")]
    pub(crate) board: Option<PathBuf>,
    /// How to read the program; by default by its first bytes.
    #[arg(long, default_value = "detect")]
    pub(crate) format: ProgramFormat,
    /// Address of the first byte of a bare program; by default the start of the application's flash.
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

#[derive(Subcommand)]
pub(crate) enum App {
    /// Make and sign a bundle from a program.
    Bundle(MakeBundle),
    /// List bundles on the server.
    Ls,
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
    #[arg(long)]
    pub(crate) forced: bool,
    /// Set the target and return at once.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Longest wait in seconds; the update goes on after it.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Subcommand)]
pub(crate) enum Update {
    /// Show updates of a device, newest first, with the stages they reached.
    Status {
        /// Id or name.
        device: String,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 1)]
        count: u32,
    },
    /// Show what was ever deployed to a device, newest first.
    History {
        /// Id or name.
        device: String,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 50)]
        count: u32,
    },
    /// Apply what is staged now, even if the application postponed it.
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
    #[arg(short = 'n', long, default_value_t = 50)]
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
        /// viewer, developer, operator, factory or admin; may be given more than once.
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// Days until it stops working; never if absent.
        #[arg(long)]
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
    fn revisions_and_addresses_are_read_as_people_write_them() {
        assert_eq!(revisions("1..3"), Ok((1, 3)));
        assert_eq!(revisions("2"), Ok((2, 2)));
        assert!(["3..1", "", "1..", "x"].iter().all(|text| revisions(text).is_err()));
        assert_eq!(address("0x8000_0000"), Ok(0x8000_0000));
        assert!(["", "0x", "-1", "0x100000000"].iter().all(|text| address(text).is_err()));
    }
}
