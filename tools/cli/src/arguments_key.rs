//! What can be typed behind `bulkhead key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Key {
    /// Make a key that signs: bundles, or as a root the sets of keys that may.
    Generate {
        /// Where to write it; by default in the configuration folder.
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Make the key by which you debug devices instead.
        #[arg(long)]
        debug: bool,
        /// Put it under a pass phrase: asked for on the terminal, or read from BULKHEAD_PASSPHRASE.
        #[arg(long)]
        passphrase: bool,
    },
    /// Show the public half of a key.
    Show {
        /// The key file; by default the one in the configuration folder.
        #[arg(long)]
        key: Option<PathBuf>,
        /// Of the key by which you debug devices.
        #[arg(long)]
        debug: bool,
    },
    /// Change the pass phrase of a key, or put one on it.
    Passphrase {
        /// The key file; by default the one in the configuration folder.
        #[arg(long)]
        key: Option<PathBuf>,
        /// Of the key by which you debug devices.
        #[arg(long)]
        debug: bool,
        /// Take the pass phrase away instead.
        #[arg(long)]
        remove: bool,
    },
    /// Make, sign, push and show sets of keys: who may sign bundles for your devices.
    #[command(subcommand)]
    Set(KeySet),
    /// Allow one device, once, to go back to one older bundle.
    Permit(MakePermit),
}

#[derive(Subcommand)]
pub(crate) enum KeySet {
    /// Make a set that nobody has signed yet. Needs no server.
    New(NewKeySet),
    /// Add signatures to a set. Needs no server: pass the file from root to root.
    Sign {
        /// The set; the signatures are added to it.
        file: PathBuf,
        /// Root key that signs; may be given more than once. By default the key in the configuration folder.
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<PathBuf>,
    },
    /// Show a set and who has signed it. Needs no server.
    Show {
        /// The set.
        file: PathBuf,
    },
    /// Push a signed set to the server, which offers it to the devices (administrators).
    Push {
        /// The set.
        file: PathBuf,
    },
    /// List the sets on the server.
    Ls,
}

#[derive(Args)]
pub(crate) struct NewKeySet {
    /// Version, one more than that of the present set; the first set is 1.
    #[arg(long, value_name = "N")]
    pub(crate) version: u32,
    /// Public root key (text or file); may be given up to eight times.
    #[arg(long = "root", required = true, value_name = "KEY")]
    pub(crate) roots: Vec<String>,
    /// Roots that have to sign the next set, and this one.
    #[arg(long, value_name = "K")]
    pub(crate) threshold: u32,
    /// Public key (text or file) that may sign bundles, with `@2027-06-30` behind it if it ends with that day (UTC); may be
    /// given up to eight times.
    #[arg(long = "signer", required = true, value_name = "KEY[@DATE]")]
    pub(crate) signers: Vec<String>,
    /// Where to write it.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Args)]
pub(crate) struct MakePermit {
    /// Id of the device, or its name if the server is asked.
    #[arg(short, long)]
    pub(crate) device: String,
    /// The bundle: 64 digits of its manifest's digest, or what the server knows it by.
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) manifest: String,
    /// Permits that the device has used up; asked of the server by default. With it, and full id and digest, no server
    /// is needed.
    #[arg(long, value_name = "N")]
    pub(crate) number: Option<u32>,
    /// Key that signs, one that the device takes bundles from; by default the one in the configuration folder.
    #[arg(long)]
    pub(crate) key: Option<PathBuf>,
    /// Where to write it.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
