//! Bundles.

use std::fs;
use std::path::Path;

use bulkhead_cloud_api::{BUNDLE_FILE_LEN_MAX, Bundle, Timestamp};
use bulkhead_cloud_client::Client;
use serde_json::json;

use super::Session;
use crate::arguments::App;
use crate::failure::{ExitCode, Failure};
use crate::output::{ago, harmless, table};

pub(crate) fn run(session: &Session<'_>, command: App) -> Result<(), Failure> {
    match command {
        App::Ls => list(session),
        App::Push { file } => {
            let bundle = push(&session.client()?, &file)?;
            session.output.data(&bundle, || vec![describe(&bundle)]);
            Ok(())
        }
        App::Pull { bundle, output } => pull(session, &bundle, &output),
    }
}

fn list(session: &Session<'_>) -> Result<(), Failure> {
    let bundles = session.client()?.bundles()?;
    if bundles.is_empty() {
        session.output.note("no bundles yet; push one with `bulkhead app push`");
    }
    let now = Timestamp::now();
    session.output.data(&bundles, || {
        let row = |bundle: &Bundle| {
            vec![
                harmless(&bundle.name),
                harmless(&bundle.version),
                bundle.manifest.to_string().chars().take(12).collect(),
                harmless(&bundle.device_class),
                format!("{} B", bundle.size_bytes),
                bundle.sequence.to_string(),
                ago(bundle.pushed_at, now),
            ]
        };
        let rows: Vec<_> = bundles.iter().map(row).collect();
        table(&["NAME", "VERSION", "DIGEST", "CLASS", "SIZE", "SEQUENCE", "PUSHED"], &rows)
    });
    Ok(())
}

/// Pushes a file. A bundle that the server has already is no failure.
pub(crate) fn push(client: &Client, file: &Path) -> Result<Bundle, Failure> {
    let bytes = fs::read(file).map_err(|error| Failure::file("read", file, &error))?;
    if bytes.len() > BUNDLE_FILE_LEN_MAX {
        let what = format!("{} is longer than {BUNDLE_FILE_LEN_MAX} bytes", file.display());
        return Err(Failure::new(ExitCode::File, what, "give a bundle, as `bulkhead app bundle` wrote it"));
    }
    Ok(client.push_bundle(bytes)?)
}

fn pull(session: &Session<'_>, bundle: &str, output: &Path) -> Result<(), Failure> {
    let file = session.client()?.bundle_file(bundle)?;
    fs::write(output, &file).map_err(|error| Failure::file("write", output, &error))?;
    session.output.data(&json!({ "file": output, "len": file.len() }), || {
        vec![format!("{} ({} B)", output.display(), file.len())]
    });
    Ok(())
}

fn describe(bundle: &Bundle) -> String {
    format!("{} {} {}", harmless(&bundle.name), harmless(&bundle.version), bundle.manifest)
}
