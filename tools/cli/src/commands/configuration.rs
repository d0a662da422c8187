//! Configuration and secrets.

use std::io::{Read as _, Write as _};
use std::path::Path;

use bulkhead_cloud_api::{
    AppliedConfiguration, CONFIG_VALUE_LEN_MAX, ConfigItem, ConfigScope, DeviceConfiguration, SetConfig,
    Timestamp, from_base64, to_base64,
};

use super::Session;
use crate::arguments_application::{Configuration, Whose};
use crate::failure::{ExitCode, Failure};
use crate::files::read_at_most;
use crate::output::{ago, harmless, table};

pub(crate) fn run(session: &Session<'_>, command: Configuration) -> Result<(), Failure> {
    match command {
        Configuration::Set { whose, key, value, file, secret } => {
            let value = value_of(value.as_deref(), file.as_deref())?;
            let set = SetConfig { value: Some(to_base64(&value)), text: None, secret };
            let item = session.client()?.set_config(whose.device.as_deref(), &key, &set)?;
            session.output.data(&item, || {
                let what = if item.secret { "secret" } else { "value" };
                vec![format!("{what} `{}` has version {}", harmless(&item.key), item.version)]
            });
            Ok(())
        }
        Configuration::Get { whose, key } => get(session, &whose, &key),
        Configuration::Ls { whose } => list(session, &whose),
        Configuration::Rm { whose, key } => {
            session.client()?.remove_config(whose.device.as_deref(), &key)?;
            session.output.note(&format!("`{}` is removed", harmless(&key)));
            Ok(())
        }
    }
}

/// The value as it was typed, piped or stored. What is typed or piped and too long is refused by the server, in its words.
fn value_of(typed: Option<&str>, file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    match (typed, file) {
        (_, Some(path)) => read_at_most(path, CONFIG_VALUE_LEN_MAX, "a value"),
        (Some("-"), None) => {
            let mut value = Vec::new();
            let most = u64::try_from(CONFIG_VALUE_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1);
            let read = std::io::stdin().lock().take(most).read_to_end(&mut value);
            read.map_err(|error| Failure::file("read", Path::new("standard input"), &error))?;
            Ok(value)
        }
        (typed, None) => Ok(typed.unwrap_or_default().as_bytes().to_vec()),
    }
}

fn items(session: &Session<'_>, whose: &Whose) -> Result<Vec<ConfigItem>, Failure> {
    let client = session.client()?;
    Ok(match &whose.device {
        Some(device) => client.configuration(device)?.items,
        None => client.fleet_configuration()?,
    })
}

fn get(session: &Session<'_>, whose: &Whose, key: &str) -> Result<(), Failure> {
    let Some(item) = items(session, whose)?.into_iter().find(|item| item.key == key) else {
        let what = format!("`{}` is not set", harmless(key));
        return Err(Failure::new(ExitCode::NotFound, what, "see what is with `bulkhead config ls`"));
    };
    let Some(value) = &item.value else {
        let what = format!("`{}` is a secret: it can be set, and read by the device alone", harmless(key));
        return Err(Failure::new(ExitCode::Refused, what, "set it anew if it is lost"));
    };
    if session.output.json {
        session.output.data(&item, Vec::new);
        return Ok(());
    }
    let bytes = from_base64(value).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&bytes).and_then(|()| out.flush());
    Ok(())
}

fn list(session: &Session<'_>, whose: &Whose) -> Result<(), Failure> {
    let client = session.client()?;
    match &whose.device {
        Some(device) => {
            let configuration = client.configuration(device)?;
            session.output.data(&configuration, || {
                let mut lines = rows(&configuration.items);
                lines.push(state(&configuration));
                lines
            });
        }
        None => {
            let items = client.fleet_configuration()?;
            session.output.data(&items, || rows(&items));
        }
    }
    Ok(())
}

fn state(configuration: &DeviceConfiguration) -> String {
    let revision = configuration.revision;
    match &configuration.applied {
        _ if revision == 0 => "nothing was ever set".to_owned(),
        Some(AppliedConfiguration { refused: Some(refused), reason, .. }) => {
            let reason = reason.as_deref().map(harmless).unwrap_or_default();
            format!("the device refused revision {refused}: {reason}")
        }
        Some(applied) if configuration.in_sync => {
            format!("the device has revision {revision} since {}", applied.reported_at)
        }
        Some(applied) => {
            format!("the device has revision {}; it gets {revision} once it is connected", applied.revision)
        }
        None => format!("the device gets revision {revision} once it is connected"),
    }
}

fn rows(items: &[ConfigItem]) -> Vec<String> {
    let now = Timestamp::now();
    let rows: Vec<_> = items
        .iter()
        .map(|item| {
            let scope = match item.scope {
                ConfigScope::Fleet => "every device",
                ConfigScope::Device => "this device",
            };
            let value = match (&item.text, &item.value) {
                _ if item.secret => format!("(secret of {} bytes)", item.length),
                (Some(text), _) => harmless(text),
                (None, Some(value)) => format!("base64:{value}"),
                (None, None) => String::new(),
            };
            vec![
                harmless(&item.key),
                scope.to_owned(),
                item.version.to_string(),
                ago(item.set_at, now),
                value,
            ]
        })
        .collect();
    table(&["KEY", "FOR", "VERSION", "SET", "VALUE"], &rows)
}
