//! What can be typed.

use std::path::PathBuf;

use bulkhead_cloud_api::{LogLevel, Role};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Manage devices that run applications under the Bulkhead microvisor.
///
/// Begin with `bulkhead login URL`, then `bulkhead device ls`.
#[derive(Parser)]
#[command(name = "bulkhead", version, about, propagate_version = true, arg_required_else_help = true)]
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
    /// List, show, claim and command devices.
    #[command(subcommand)]
    Device(Device),
    /// List, push and fetch application bundles.
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

#[derive(Subcommand)]
pub(crate) enum App {
    /// List bundles on the server.
    Ls,
    /// Push a bundle file to the server.
    Push {
        /// The file, as `bulkhead app bundle` wrote it.
        file: PathBuf,
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
    pub(crate) bundle: String,
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
    /// Apply what is staged now, even if the application postponed it.
    Apply {
        /// Id or name.
        device: String,
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
