//! What can be typed about messages, webhooks and configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Message {
    /// Queue a message for a device's application; it is delivered once the device is connected.
    Send(SendMessage),
    /// List messages, either way, with how far each is.
    Ls {
        /// Id or name of a device; all devices if absent.
        device: Option<String>,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 50, value_parser = crate::arguments::count(1))]
        count: u32,
        /// Those from devices alone.
        #[arg(long, conflicts_with = "to_device")]
        from_device: bool,
        /// Those to devices alone.
        #[arg(long)]
        to_device: bool,
    },
    /// Show messages of devices as they come.
    Listen {
        /// Id or name of a device; all devices if absent.
        device: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct SendMessage {
    /// Id or name of the device.
    pub(crate) device: String,
    /// The message, 1 to 960 bytes of text.
    #[arg(required_unless_present = "file")]
    pub(crate) text: Option<String>,
    /// Take the message from a file, byte by byte.
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub(crate) file: Option<PathBuf>,
    /// Number by which the application tells messages apart.
    #[arg(long, default_value_t = 0)]
    pub(crate) topic: u32,
    /// Time after which it is given up if it was not sent, in seconds; a week by default.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) expires_in: Option<u32>,
    /// The same key again is the same message, however often this is run.
    #[arg(long, value_name = "TEXT")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Webhook {
    /// Post messages of devices to an address from now on; the secret that signs them is printed once.
    New {
        /// http or https address.
        url: String,
    },
    /// List webhooks.
    Ls,
    /// Remove a webhook.
    Rm {
        /// Its number.
        id: i64,
    },
    /// Show what was posted to a webhook, newest first, and what came of it.
    Deliveries {
        /// Its number.
        id: i64,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 50, value_parser = crate::arguments::count(1))]
        count: u32,
    },
}

/// Whose configuration.
#[derive(Args)]
pub(crate) struct Whose {
    /// Id or name of a device.
    #[arg(short, long, required_unless_present = "all")]
    pub(crate) device: Option<String>,
    /// Every device; what is set for one device goes before it.
    #[arg(long, conflicts_with = "device")]
    pub(crate) all: bool,
}

#[derive(Subcommand)]
pub(crate) enum Configuration {
    /// Set a value.
    Set {
        #[command(flatten)]
        whose: Whose,
        /// 1 to 32 printable characters.
        key: String,
        /// The value, at most 512 bytes of text; from standard input if it is `-`.
        #[arg(required_unless_present = "file")]
        value: Option<String>,
        /// Take the value from a file, byte by byte.
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        file: Option<PathBuf>,
        /// It is a secret: the device can read it, and nobody here ever again.
        #[arg(long)]
        secret: bool,
    },
    /// Print a value, byte by byte.
    Get {
        #[command(flatten)]
        whose: Whose,
        /// The key.
        key: String,
    },
    /// List keys and values, and whether the device has them.
    Ls {
        #[command(flatten)]
        whose: Whose,
    },
    /// Remove a value.
    Rm {
        #[command(flatten)]
        whose: Whose,
        /// The key.
        key: String,
    },
}
