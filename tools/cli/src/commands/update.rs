//! Updates.

use bulkhead_cloud_api::{DeviceCommand, StagingMode, Timestamp, Update as ApiUpdate};

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
        Update::Factory { device, permit } => super::deploy::factory(session, &device, permit.as_deref()),
    }
}

fn status(session: &Session<'_>, device: &str, count: u32) -> Result<(), Failure> {
    let client = session.client()?;
    let updates = client.updates(device, count)?;
    if updates.is_empty() {
        session.output.note("nothing was ever deployed to this device; see `bulkhead deploy`");
    }
    let wear = client.device(device)?.reported.and_then(|reported| reported.wear);
    session.output.data(&updates, || {
        let wear = wear.iter().map(|wear| format!("flash: {}", super::device::worn(wear)));
        updates.iter().flat_map(lines).chain(wear).collect()
    });
    Ok(())
}

fn lines(update: &ApiUpdate) -> Vec<String> {
    let by = format!("{}, by {}", ago(update.created_at, Timestamp::now()), harmless(&update.created_by));
    let mut lines =
        vec![summary(update), format!("  begun {by}{}", if update.forced { ", forced" } else { "" })];
    lines.extend(sent(update).map(|sent| format!("  {sent}")));
    lines.extend(details(update).map(|detail| format!("  {detail}")));
    lines.extend(update.stages.iter().map(|reached| {
        let reason = reached.reason.as_deref().map(|reason| format!("  {}", harmless(reason)));
        format!("  {}  {:<10}{}", reached.at, reached.stage.as_str(), reason.unwrap_or_default())
    }));
    lines
}

/// What was sent, against what the images hold, and what the device keeps of it.
fn sent(update: &ApiUpdate) -> Option<String> {
    if update.bytes_sent == 0 {
        return None;
    }
    let images = update.image_bytes.map(|bytes| format!(" for images of {bytes} bytes"));
    let keeps = update.details.mode.map(|mode| match mode {
        StagingMode::RedoAndUndo => "; new and old pages in external flash",
        StagingMode::Redo => "; new pages in external flash, going back means fetching",
        StagingMode::InPlace => "; decoded in place, going back means fetching",
        StagingMode::Refused => "; no room in external flash",
    });
    Some(format!(
        "{} bytes sent{}{}",
        update.bytes_sent,
        images.unwrap_or_default(),
        keeps.unwrap_or_default()
    ))
}

/// What the device said beside the stage.
fn details(update: &ApiUpdate) -> impl Iterator<Item = String> {
    let details = &update.details;
    let downtime = details.downtime_ms.map(|ms| format!("the application stands still for about {ms} ms"));
    let apply =
        details.apply_at.map(|at| format!("applied at {at} unless the application postpones it further"));
    let trial = details.trial.map(|trial| {
        let healthy = if trial.healthy { "healthy, waits for the server" } else { "not found healthy yet" };
        format!("on trial: start {} of {}, {healthy}", trial.starts, trial.starts_max)
    });
    [downtime, apply, trial].into_iter().flatten()
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
    let code =
        update.details.code.as_deref().map(|code| format!(" [{}]", harmless(code))).unwrap_or_default();
    let reason = update.reason.as_deref().map(|reason| format!(": {}{code}", harmless(reason)));
    format!("{bundle} {}{pages}{}", update.stage.as_str(), reason.unwrap_or_default())
}
