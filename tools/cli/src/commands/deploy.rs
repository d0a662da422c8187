//! From a bundle to a device that runs it.

use std::path::Path;
use std::time::{Duration, Instant};

use bulkhead_cloud_api::{SetTarget, Update, UpdateStage, to_hex};
use bulkhead_cloud_client::{Client, ClientError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Session;
use super::app::push;
use crate::arguments::Deploy;
use crate::failure::{ExitCode, Failure};
use crate::output::harmless;

/// How often the server is asked.
const POLL_PERIOD: Duration = Duration::from_millis(200);
/// Longest wait for a device to run its factory bundle; the update goes on after it.
const FACTORY_WITHIN: Duration = Duration::from_secs(600);

pub(crate) fn run(session: &Session<'_>, deploy: Deploy) -> Result<(), Failure> {
    let client = session.client()?;
    let permit = deploy.permit.as_deref().map(read_permit).transpose()?;
    let bundle = match (deploy.manifest, deploy.bundle) {
        (Some(manifest), _) => manifest.to_string(),
        (None, Some(given)) => {
            let path = Path::new(&given);
            // What looks like a path is one, so that a missing file is told as such and not as a missing bundle.
            if path.is_file() || given.contains('/') {
                push(&client, path)?.manifest.to_string()
            } else {
                given
            }
        }
        (None, None) => return Err(Failure::new(ExitCode::Internal, "no bundle was given", "name one")),
    };
    let device = deploy.device.as_str();
    let update = client.set_target(device, &SetTarget { bundle, forced: deploy.forced, permit })?;
    if deploy.no_wait {
        session.output.data(&update, || vec![super::update::summary(&update)]);
        return Ok(());
    }
    if client.device(device).is_ok_and(|known| !known.online) {
        session.output.note(
            "the device is not connected: it begins when it is; Ctrl-C ends the waiting, not the update",
        );
    }
    wait(session, &client, device, update, Duration::from_secs(deploy.timeout))
}

/// Gives a device the factory bundle of its class, and watches it get there.
pub(crate) fn factory(session: &Session<'_>, device: &str, permit: Option<&Path>) -> Result<(), Failure> {
    let client = session.client()?;
    let permit = permit.map(read_permit).transpose()?;
    let reported = client.device(device)?.reported;
    let Some(class) = reported.map(|reported| reported.device_class) else {
        let what = format!("the class of {device} is not known: it never connected");
        return Err(Failure::new(ExitCode::Refused, what, "connect it; it is given the factory bundle then"));
    };
    let chosen = client.factory_bundles()?.into_iter().find(|factory| factory.device_class == class);
    let Some(chosen) = chosen else {
        let what = format!("no factory bundle was chosen for class `{}`", harmless(&class));
        return Err(Failure::new(ExitCode::NotFound, what, "choose one with `bulkhead app factory BUNDLE`"));
    };
    let target = SetTarget { bundle: chosen.manifest.to_string(), forced: true, permit };
    let update = client.set_target(device, &target)?;
    wait(session, &client, device, update, FACTORY_WITHIN)
}

fn read_permit(path: &Path) -> Result<String, Failure> {
    std::fs::read(path).map(|bytes| to_hex(&bytes)).map_err(|error| Failure::file("read", path, &error))
}

/// Watches an update to its end.
fn wait(
    session: &Session<'_>,
    client: &Client,
    device: &str,
    first: Update,
    timeout: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    let mut view = View::new(session);
    let mut update = first;
    let mut failure: Option<ClientError> = None;
    loop {
        view.show(&update);
        if update.stage.is_final() {
            view.end();
            return finish(session, device, &update);
        }
        if Instant::now() >= deadline {
            view.end();
            let what = match failure {
                Some(error) => format!("the outcome is not known: {error}"),
                None => {
                    format!("after {} s the update is still {}", timeout.as_secs(), update.stage.as_str())
                }
            };
            return Err(Failure::new(ExitCode::TimedOut, what, awaited(update.stage, device)));
        }
        std::thread::sleep(POLL_PERIOD);
        match client.updates(device, 20) {
            Ok(updates) => {
                failure = None;
                if let Some(found) = updates.into_iter().find(|found| found.id == update.id) {
                    update = found;
                }
            }
            // A server that restarts meanwhile changes nothing for the device.
            Err(error @ ClientError::Unreachable { .. }) => failure = Some(error),
            Err(other) => {
                view.end();
                return Err(other.into());
            }
        }
    }
}

/// What an update that takes long waits for.
fn awaited(stage: UpdateStage, device: &str) -> String {
    match stage {
        UpdateStage::Pending => {
            format!("it begins once the device is connected and answers; see `bulkhead device show {device}`")
        }
        UpdateStage::Ready => format!(
            "the application postpones it; `bulkhead update status {device}` says until when, and \
             `bulkhead update apply {device}` applies it now"
        ),
        UpdateStage::Trial => format!(
            "the new version runs on trial, and is kept once it is found healthy; see `bulkhead update status {device}`"
        ),
        _ => format!("it goes on by itself; see `bulkhead update status {device}`"),
    }
}

fn finish(session: &Session<'_>, device: &str, update: &Update) -> Result<(), Failure> {
    if update.stage == UpdateStage::Committed {
        if !session.output.json {
            session.output.line(&super::update::summary(update));
        }
        return Ok(());
    }
    let reason = update.reason.as_deref().map_or("no reason given".into(), harmless);
    let what = format!("the update ended as {}: {reason}", update.stage.as_str());
    let next = match update.stage {
        UpdateStage::Superseded => format!("see `bulkhead update status {device} -n 2`"),
        UpdateStage::Refused => {
            "bundle it again as the reason says; the device goes on with what it ran".into()
        }
        _ => format!("the device goes on with what it ran; see `bulkhead logs {device}`"),
    };
    Err(Failure::new(ExitCode::Device, what, next))
}

/// Stages as they come: a bar on standard error, or lines of JSON on standard output.
struct View<'a> {
    session: &'a Session<'a>,
    bar: ProgressBar,
    shown: Option<Update>,
}

impl<'a> View<'a> {
    fn new(session: &'a Session<'a>) -> Self {
        let target =
            if session.output.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{spinner} {msg:<11} {bar:30} {pos}/{len} pages");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { session, bar, shown: None }
    }

    fn show(&mut self, update: &Update) {
        if self.shown.as_ref() == Some(update) {
            return;
        }
        let known = self.shown.as_ref().map_or(0, |shown| shown.stages.len());
        self.bar.set_message(update.stage.as_str());
        self.bar.set_length(u64::from(update.pages_total));
        self.bar.set_position(u64::from(update.pages_done));
        if self.session.output.json {
            self.session.output.item(update, String::new);
        } else if self.bar.is_hidden() {
            // Without a terminal each stage is a line, the short ones between two polls included.
            for reached in update.stages.iter().skip(known) {
                let reason = reached.reason.as_deref().map(|reason| format!(": {}", harmless(reason)));
                self.session.output.note(&format!(
                    "{}{}",
                    reached.stage.as_str(),
                    reason.unwrap_or_default()
                ));
            }
        }
        self.shown = Some(update.clone());
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
