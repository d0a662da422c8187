//! What can be typed behind `bulkhead crash`.

use std::path::PathBuf;

use bulkhead_bundle_builder::CrashRange;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Crash {
    /// List crash dumps, newest first.
    Ls {
        /// Id or name of a device; all devices if absent.
        device: Option<String>,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 50, value_parser = crate::arguments::count(1))]
        count: u32,
    },
    /// Show what happened, with a backtrace, without GDB.
    Show {
        /// Number of the dump, or a file that `crash pull --sealed` wrote.
        crash: String,
        /// The program that the bundle was made from: its names and lines.
        #[arg(long, value_name = "FILE")]
        elf: Option<PathBuf>,
        /// Your debug key; by default the one in the configuration folder.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Open a dump and write a core file for GDB: `gdb-multiarch app.elf core`.
    Pull {
        /// Number of the dump, or a file that `crash pull --sealed` wrote.
        crash: String,
        /// Your debug key; by default the one in the configuration folder.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// The program that the bundle was made from: refused if its code is not what crashed.
        #[arg(long, value_name = "FILE")]
        elf: Option<PathBuf>,
        /// Where to write it; by default `core-NUMBER` here.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write the dump as it is, sealed, for somebody who has the key and not the server.
        #[arg(long, conflicts_with_all = ["key", "elf"])]
        sealed: bool,
    },
    /// Have a dump made of the application as it runs; it stands still for a moment.
    Take {
        /// Id or name.
        device: String,
    },
}

/// Memory that a crash dump shall hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CrashMemoryChoice {
    /// What the program's segments take.
    Used,
    /// Everything that it can write to.
    All,
    /// Registers alone.
    None,
    /// This range.
    Range(CrashRange),
}

/// Reads `used`, `all`, `none` or `0x28200000+4K`.
pub(crate) fn crash_memory(text: &str) -> Result<CrashMemoryChoice, String> {
    let wrong = || "give `used`, `all`, `none`, or a range of whole words such as 0x28200000+4K".to_owned();
    Ok(match text {
        "used" => CrashMemoryChoice::Used,
        "all" => CrashMemoryChoice::All,
        "none" => CrashMemoryChoice::None,
        range => {
            let (address, len) = range.split_once('+').ok_or_else(wrong)?;
            let (address, len) =
                crate::arguments::bytes(address).zip(crate::arguments::bytes(len)).ok_or_else(wrong)?;
            CrashMemoryChoice::Range(CrashRange { address, len })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_dump_is_a_word_or_a_range() {
        let range = |address, len| Ok(CrashMemoryChoice::Range(CrashRange { address, len }));
        assert_eq!(crash_memory("used"), Ok(CrashMemoryChoice::Used));
        assert_eq!(crash_memory("all"), Ok(CrashMemoryChoice::All));
        assert_eq!(crash_memory("none"), Ok(CrashMemoryChoice::None));
        assert_eq!(crash_memory("0x28200000+4K"), range(0x2820_0000, 4096));
        for wrong in ["", "stack", "0x28200000", "0x28200000+", "+4", "0x100000000+4", "1+5000000K"] {
            assert!(crash_memory(wrong).is_err(), "{wrong}");
        }
    }
}
