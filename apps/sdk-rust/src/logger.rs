//! The `log` crate's records in the device's log.

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};

use crate::{Level, text};

struct DeviceLog;

impl Log for DeviceLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warning,
            log::Level::Info => Level::Information,
            log::Level::Debug => Level::Debug,
            log::Level::Trace => Level::Trace,
        };
        text::log_args(level, *record.args());
    }

    fn flush(&self) {}
}

/// Makes the device's log the target of the `log` crate's macros.
///
/// # Errors
/// Another logger was set before.
pub fn start(most: LevelFilter) -> Result<(), SetLoggerError> {
    log::set_logger(&DeviceLog)?;
    log::set_max_level(most);
    Ok(())
}
