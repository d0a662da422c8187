//! Updates.

use bulkhead_cloud_api::{DeviceCommand, Timestamp, Update as ApiUpdate};

use super::Session;
use super::device::order;
use crate::arguments::Update;
use crate::failure::Failure;
use crate::output::{ago, harmless};

pub(crate) fn run(session: &Session<'_>, command: Update) -> Result<(), Failure> {
    match command {
        Update::Status { device, count } => status(session, &device, count),
        Update::History { device, count } => status(session, &device, count),
        Update::Apply { device } => order(session, &device, DeviceCommand::ApplyNow),
        Update::Cancel { device } => order(session, &device, DeviceCommand::CancelUpdate),
        Update::Revert { device } => order(session, &device, DeviceCommand::RevertUpdate),
    }
}

fn status(session: &Session<'_>, device: &str, count: u32) -> Result<(), Failure> {
    let updates = session.client()?.updates(device, count)?;
    if updates.is_empty() {
        session.output.note("nothing was ever deployed to this device; see `bulkhead deploy`");
    }
    session.output.data(&updates, || updates.iter().flat_map(lines).collect());
    Ok(())
}

fn lines(update: &ApiUpdate) -> Vec<String> {
    let by = format!("{}, by {}", ago(update.created_at, Timestamp::now()), harmless(&update.created_by));
    let mut lines =
        vec![summary(update), format!("  begun {by}{}", if update.forced { ", forced" } else { "" })];
    lines.extend(update.stages.iter().map(|reached| {
        let reason = reached.reason.as_deref().map(|reason| format!("  {}", harmless(reason)));
        format!("  {}  {:<10}{}", reached.at, reached.stage.as_str(), reason.unwrap_or_default())
    }));
    lines
}

/// One line on where an update stands.
pub(crate) fn summary(update: &ApiUpdate) -> String {
    let short: String = update.manifest.to_string().chars().take(12).collect();
    let bundle =
        update.bundle.as_deref().map_or(short.clone(), |name| format!("{} ({short})", harmless(name)));
    let pages = if update.pages_total > 0 {
        format!(", {} of {} pages", update.pages_done, update.pages_total)
    } else {
        String::new()
    };
    let reason = update.reason.as_deref().map(|reason| format!(": {}", harmless(reason)));
    format!("{bundle} {}{pages}{}", update.stage.as_str(), reason.unwrap_or_default())
}
