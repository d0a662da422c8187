//! Log records and events, from before and as they come.

use bulkhead_cloud_api::{Event, LogLevel, LogRecord, LogSource};
use bulkhead_cloud_client::LogQuery;

use super::Session;
use crate::arguments::{Events, Logs};
use crate::failure::Failure;
use crate::output::{Output, Tone, harmless};

pub(crate) fn logs(session: &Session<'_>, logs: Logs) -> Result<(), Failure> {
    let query = LogQuery { device: logs.device, level: logs.level.map(LogLevel::from), count: logs.count };
    let client = session.client()?;
    let many = query.device.is_none();
    if logs.follow {
        for record in client.follow_logs(&query) {
            let record = record?;
            session.output.item(&record, || line(session.output, &record, many));
        }
        return Ok(());
    }
    // One record a line, also as JSON: a list of logs and a stream of them read the same.
    let most = usize::try_from(query.count).unwrap_or(usize::MAX);
    for record in client.logs(&query)?.into_iter().take(most) {
        session.output.item(&record, || line(session.output, &record, many));
    }
    Ok(())
}

pub(crate) fn events(session: &Session<'_>, events: Events) -> Result<(), Failure> {
    let mut following = session.client()?.follow_events(events.device.as_deref());
    following.open()?;
    session.output.began("listening", "listening for events");
    for event in following {
        let event = event?;
        session.output.item(&event, || event_line(&event));
    }
    Ok(())
}

fn line(output: &Output, record: &LogRecord, with_device: bool) -> String {
    let device = if with_device { format!("{} ", record.device_id) } else { String::new() };
    let source = match record.source {
        LogSource::Application => "app",
        LogSource::Hypervisor => "hyp",
    };
    let level = match record.level {
        LogLevel::Error => output.toned(Tone::Bad, "error"),
        LogLevel::Warning => output.toned(Tone::Bad, "warn "),
        LogLevel::Information => "info ".into(),
        LogLevel::Debug => output.toned(Tone::Quiet, "debug"),
        LogLevel::Trace => output.toned(Tone::Quiet, "trace"),
    };
    let lost = if record.lost > 0 { format!(" ({} lost before)", record.lost) } else { String::new() };
    format!("{} {device}{source} {level} {}{lost}", record.received_at, harmless(&record.text))
}

fn event_line(event: &Event) -> String {
    let device = event.device_id.map(|id| format!(" {id}")).unwrap_or_default();
    format!("{} {}{device} {}", event.at, event.kind, harmless(&event.data.to_string()))
}
