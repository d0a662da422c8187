//! Devices.

use bulkhead_cloud_api::{
    ChangeDevice, ClaimDevice, CommandOutcome, Device as ApiDevice, DeviceCommand, Fault, FaultKind,
    FlashWear, ManifestDigest, Timestamp, UpdateStage,
};
use bulkhead_cloud_client::ClaimAnswer;
use serde::Serialize;
use serde_json::json;

use super::Session;
use crate::arguments::Device;
use crate::failure::{ExitCode, Failure};
use crate::output::{Tone, ago, harmless, table};

pub(crate) fn run(session: &Session<'_>, command: Device) -> Result<(), Failure> {
    match command {
        Device::Ls => list(session),
        Device::New(new) => super::virtual_device::new(session, new),
        Device::Run(run) => super::virtual_device::run(session, run),
        Device::Show { device } => show(session, &device),
        Device::Claim { device, token, name } => claim(session, &device, token, name),
        Device::Rename { device, name } => {
            let change = ChangeDevice { name: Some(name), revoked: None };
            let device = session.client()?.change_device(&device, &change)?;
            session.output.data(&device, || vec![format!("{} is now {}", device.id, label(&device))]);
            Ok(())
        }
        Device::Restart { device, hypervisor: true } => order(session, &device, DeviceCommand::RestartDevice),
        Device::Restart { device, hypervisor: false } => {
            order(session, &device, DeviceCommand::RestartApplication)
        }
        Device::Stop { device } => order(session, &device, DeviceCommand::StopApplication),
        Device::Revoke { device, undo } => {
            let change = ChangeDevice { name: None, revoked: Some(!undo) };
            let device = session.client()?.change_device(&device, &change)?;
            let now = if device.revoked { "is refused from now on" } else { "is welcome again" };
            session.output.data(&device, || vec![format!("{} {now}", label(&device))]);
            Ok(())
        }
    }
}

fn list(session: &Session<'_>) -> Result<(), Failure> {
    let devices = session.client()?.devices()?;
    if devices.is_empty() {
        session.output.note(
            "no devices yet; make one with `bulkhead device new`, or claim one with `bulkhead device claim`",
        );
    }
    let now = Timestamp::now();
    session.output.data(&devices, || {
        let rows: Vec<_> = devices.iter().map(|device| row(session, device, now)).collect();
        table(&["NAME", "ID", "ONLINE", "APPLICATION", "RUNNING", "UPDATE", "KEYS", "SEEN"], &rows)
    });
    Ok(())
}

fn row(session: &Session<'_>, device: &ApiDevice, now: Timestamp) -> Vec<String> {
    let online = match (device.revoked, device.online) {
        (true, _) => session.output.toned(Tone::Bad, "revoked"),
        (false, true) => session.output.toned(Tone::Good, "yes"),
        (false, false) => session.output.toned(Tone::Quiet, "no"),
    };
    let update = device.update.as_ref().map_or("-", |update| update.stage.as_str());
    vec![
        device.name.clone().unwrap_or_else(|| "-".into()),
        device.id.to_string(),
        online,
        device.reported.as_ref().map_or("-".into(), |reported| word(&reported.application)),
        running(device).unwrap_or_else(|| "-".into()),
        update.to_owned(),
        keys(device),
        device.last_seen_at.map_or("never".into(), |at| ago(at, now)),
    ]
}

/// Version of the key set that a device obeys; 0 for the keys that it was provisioned with.
fn keys(device: &ApiDevice) -> String {
    let reported = device.reported.as_ref();
    reported.map_or("-".into(), |reported| reported.key_set_version.unwrap_or(0).to_string())
}

fn show(session: &Session<'_>, device: &str) -> Result<(), Failure> {
    let device = session.client()?.device(device)?;
    session.output.data(&device, || lines(&device));
    Ok(())
}

fn lines(device: &ApiDevice) -> Vec<String> {
    let now = Timestamp::now();
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:<12} {value}"));
    line("id", device.id.to_string());
    line("name", device.name.clone().unwrap_or_else(|| "-".into()));
    line("owner", device.claimed_by.clone().unwrap_or_else(|| "nobody; claim it with its token".into()));
    if device.revoked {
        line("revoked", "its link is refused".into());
    }
    line("online", if device.online { "yes".into() } else { "no".into() });
    line("last seen", device.last_seen_at.map_or("never".into(), |at| ago(at, now)));
    if let Some(link) = &device.link {
        line("connected", format!("{} from {}", ago(link.since, now), link.address));
        line("traffic", format!("{} B in, {} B out", link.bytes_in, link.bytes_out));
        let logs = format!(
            "{} of {} B today, {} records dropped",
            link.log_bytes_today, link.log_bytes_per_day_max, link.log_records_dropped
        );
        line("logs", logs);
    }
    if let Some(reported) = &device.reported {
        line(
            "hardware",
            format!("{}, revision {}", harmless(&reported.device_class), reported.board_revision),
        );
        line("hypervisor", format!("{}, ABI {}", harmless(&reported.hypervisor), reported.abi));
        line("booted", format!("{}, connect {}", word(&reported.boot_reason), reported.connect_count));
        line("application", word(&reported.application));
        let keys = match reported.key_set_version {
            Some(version) => format!("key set {version}"),
            None => "those that it was provisioned with".into(),
        };
        line("keys", keys);
        if let Some(refusal) = &reported.key_set_refusal {
            line("", format!("a newer set was refused: {}", harmless(refusal)));
        }
        if let Some(floors) = &reported.floors {
            let permits = floors.permits;
            line(
                "floors",
                format!(
                    "sequence {}, security counter {}, {permits} permits used",
                    floors.sequence, floors.security_counter
                ),
            );
        }
        if let Some(fault) = &reported.fault {
            line("last fault", describe(fault));
        }
        if let Some(reason) = &reported.reason {
            line("reason", harmless(reason));
        }
        if let Some(epitaph) = &reported.epitaph {
            line("epitaph", harmless(epitaph));
        }
        if let Some(wear) = &reported.wear {
            line("flash", worn(wear));
        }
    }
    line("running", running(device).unwrap_or_else(|| "nothing".into()));
    line(
        "target",
        device.target.map_or("none".into(), |target| bundle(device.target_bundle.as_ref(), target)),
    );
    if let Some(update) = &device.update {
        line("update", super::update::summary(update));
    }
    lines
}

fn claim(session: &Session<'_>, device: &str, token: String, name: Option<String>) -> Result<(), Failure> {
    let claim = ClaimDevice { claim_token: token, name };
    match session.client()?.claim_device(device, &claim)? {
        ClaimAnswer::Claimed(claimed) => {
            session.output.data(&claimed, || vec![format!("{} is yours", label(&claimed))]);
        }
        ClaimAnswer::WaitsForDevice => {
            session.output.data(&json!({ "waits_for_device": true }), || {
                vec![format!("{device} will be yours once it connects and shows the same token")]
            });
        }
    }
    Ok(())
}

/// Sends a command and tells how it ended.
pub(crate) fn order(session: &Session<'_>, device: &str, command: DeviceCommand) -> Result<(), Failure> {
    let result = session.client()?.command(device, command)?;
    match result.outcome {
        CommandOutcome::Accepted => {
            let words = match command {
                DeviceCommand::ApplyNow => applies_when(session, device),
                _ => "done",
            };
            session.output.data(&result, || vec![words.into()]);
            Ok(())
        }
        CommandOutcome::Kept => {
            session.output.data(&result, || vec!["kept: the device is told when it connects".into()]);
            Ok(())
        }
        CommandOutcome::Declined => {
            let what = match command {
                DeviceCommand::CancelUpdate => not_cancelled(session, device)?,
                DeviceCommand::ApplyNow => not_applied(session, device)?,
                DeviceCommand::RevertUpdate => {
                    "there was nothing to take back: no new version is on trial; deploy the old one instead"
                }
                DeviceCommand::RestartApplication | DeviceCommand::StopApplication => {
                    "the device declined: it has no application"
                }
                DeviceCommand::TakeCrash => {
                    "the device declined: nothing runs that a debug key may look into (`app bundle --debug-key`, \
                     `--debug-halt`), or it is being debugged"
                }
                DeviceCommand::RestartDevice => "the device declined",
            };
            Err(Failure::new(ExitCode::Device, what, format!("see `bulkhead logs {device}`")))
        }
        CommandOutcome::Unanswered => {
            let next = format!("see `bulkhead device show {device}`");
            Err(Failure::new(ExitCode::TimedOut, "the device did not answer; it may have obeyed", next))
        }
    }
}

/// When a device does as it was ordered and applies its update, as far as the server knows.
fn applies_when(session: &Session<'_>, device: &str) -> &'static str {
    // It was ordered: a server that does not answer now changes nothing of that.
    let last = session.client().ok().and_then(|client| client.updates(device, 1).ok());
    match last.as_deref().and_then(<[_]>::first).map(|update| update.stage) {
        Some(UpdateStage::Pending | UpdateStage::Checking | UpdateStage::Staging) => {
            "the update is not staged yet; it is applied as soon as it is, without asking the application"
        }
        _ => "done",
    }
}

/// Why a device did not apply an update, as far as the server knows.
fn not_applied(session: &Session<'_>, device: &str) -> Result<&'static str, Failure> {
    let last = session.client()?.updates(device, 1)?;
    Ok(match last.first().map(|update| update.stage) {
        Some(UpdateStage::Trial) => "there was nothing to apply: the new version runs already, on trial",
        Some(UpdateStage::Reverting) => "there was nothing to apply: the old version is being put back",
        Some(stage) if !stage.is_final() => {
            "the device has not taken the update up yet; try again in a moment"
        }
        Some(_) | None => "there was nothing to apply: no update is under way",
    })
}

/// Why a device did not give an update up, as far as the server knows.
fn not_cancelled(session: &Session<'_>, device: &str) -> Result<&'static str, Failure> {
    let last = session.client()?.updates(device, 1)?;
    Ok(match last.first() {
        Some(update) if !update.stage.is_final() => "too late to cancel: the device finishes what it writes",
        Some(_) | None => "there was nothing to cancel: no update is under way",
    })
}

/// What the flash went through, in one line.
pub(crate) fn worn(wear: &FlashWear) -> String {
    let more = [("crash dumps", wear.crashes), ("configuration", wear.configuration)];
    let more =
        more.map(|(name, count)| count.map_or(String::new(), |count| format!(", {name} {count}"))).concat();
    format!(
        "erases: application {} (a page at most {}), journal {} (a page about {}), manifests {}, staging {}, own areas {}{more}",
        wear.application,
        wear.application_page_max,
        wear.journal,
        wear.journal_page_max,
        wear.manifests,
        wear.staging,
        wear.owned
    )
}

/// Name if there is one, else id.
pub(crate) fn label(device: &ApiDevice) -> String {
    device.name.clone().unwrap_or_else(|| device.id.to_string())
}

fn running(device: &ApiDevice) -> Option<String> {
    let running = device.reported.as_ref()?.running?;
    Some(bundle(device.running_bundle.as_ref(), running))
}

fn bundle(name: Option<&String>, digest: ManifestDigest) -> String {
    let short: String = digest.to_string().chars().take(12).collect();
    name.map_or_else(|| short.clone(), |name| format!("{} ({short})", harmless(name)))
}

fn describe(fault: &Fault) -> String {
    let touched = fault.address.map(|address| format!(" touching {address:#010x}")).unwrap_or_default();
    let kind = word::<FaultKind>(&fault.kind);
    format!("{kind} at {:#010x}{touched}, {} since boot", fault.program_counter, fault.count)
}

/// An enum of the API as it stands in JSON.
fn word<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("-").to_owned()
}
