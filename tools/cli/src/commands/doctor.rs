//! Is everything there? If not, what to do.

use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use bulkhead_cloud_client::ClientError;
use bulkhead_virtual_device::find_image;
use serde::Serialize;

use super::Session;
use crate::config::{Config, home};
use crate::failure::{ExitCode, Failure};
use crate::output::Tone;

/// Largest difference of clocks that is not worth a word, in microseconds.
const CLOCK_SKEW_MAX_US: i64 = 60_000_000;

/// One thing looked at.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    found: String,
    next_step: Option<String>,
}

#[derive(Clone, Copy, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Good,
    /// Missing, and needed only for some commands.
    Missing,
    Bad,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Good, found: found.into(), next_step: None }
    }

    fn not(name: &'static str, outcome: Outcome, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, outcome, found: found.into(), next_step: Some(next.into()) }
    }
}

pub(crate) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let mut checks = vec![configuration()?];
    checks.extend(server(session)?);
    checks.push(program("qemu-system-arm", "apt install qemu-system-arm", "virtual devices"));
    checks.push(image());
    checks.push(signing_key()?);
    session.output.data(&checks, || checks.iter().flat_map(|check| lines(session, check)).collect());
    if checks.iter().any(|check| check.outcome == Outcome::Bad) {
        let next = "do what stands beside each bad line, then run `bulkhead doctor` again";
        return Err(Failure::new(ExitCode::Machine, "not everything is in order", next));
    }
    Ok(())
}

fn lines(session: &Session<'_>, check: &Check) -> Vec<String> {
    let mark = match check.outcome {
        Outcome::Good => session.output.toned(Tone::Good, "good   "),
        Outcome::Missing => session.output.toned(Tone::Quiet, "missing"),
        Outcome::Bad => session.output.toned(Tone::Bad, "bad    "),
    };
    let mut lines = vec![format!("{mark} {}: {}", check.name, check.found)];
    lines.extend(check.next_step.as_ref().map(|next| format!("        next: {next}")));
    lines
}

fn configuration() -> Result<Check, Failure> {
    let path = home()?.join("config.json");
    let Ok(metadata) = path.metadata() else {
        let found = format!("{} does not exist", path.display());
        return Ok(Check::not("configuration", Outcome::Missing, found, "run `bulkhead login URL`"));
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        let found = format!("{} holds a token and others may read it", path.display());
        let next = format!("run `chmod 600 {}`", path.display());
        return Ok(Check::not("configuration", Outcome::Bad, found, next));
    }
    // A damaged file is told by the failure itself.
    Config::load()?;
    Ok(Check::good("configuration", path.display().to_string()))
}

fn server(session: &Session<'_>) -> Result<Vec<Check>, Failure> {
    let client = match session.client() {
        Ok(client) => client,
        Err(failure) if failure.code == ExitCode::NotAllowed => {
            return Ok(vec![Check::not("server", Outcome::Bad, failure.what, failure.next_step)]);
        }
        Err(failure) => return Err(failure),
    };
    let asked_at = bulkhead_cloud_api::Timestamp::now();
    let info = match client.info() {
        Ok(info) => info,
        Err(error) => {
            let next = "start `bulkhead-server`, or log in to another one";
            return Ok(vec![Check::not("server", Outcome::Bad, error.to_string(), next)]);
        }
    };
    let mut checks = vec![Check::good("server", format!("{}, version {}", client.server(), info.version))];
    if (info.time.0 - asked_at.0).abs() > CLOCK_SKEW_MAX_US {
        let found = format!("the server says {}, this machine {asked_at}", info.time);
        checks.push(Check::not("clock", Outcome::Bad, found, "set the clock that is wrong"));
    }
    checks.push(match client.who_am_i() {
        Ok(who) => Check::good("token", format!("account {}", who.token.account)),
        Err(ClientError::Problem(problem)) => {
            Check::not("token", Outcome::Bad, problem.detail.clone(), problem.next_step.clone())
        }
        Err(error) => Check::not("token", Outcome::Bad, error.to_string(), "run `bulkhead login URL`"),
    });
    if client.is_overheard() {
        let found = "the token crosses the network unencrypted";
        checks.push(Check::not(
            "encryption",
            Outcome::Bad,
            found,
            "put a proxy with TLS before the server's API",
        ));
    }
    Ok(checks)
}

fn image() -> Check {
    match find_image(None) {
        Ok(path) => Check::good("hypervisor image", path.display().to_string()),
        Err(error) => {
            let next = "needed for `device run` alone: build it, or name it with --image";
            Check::not("hypervisor image", Outcome::Missing, error.to_string(), next)
        }
    }
}

fn signing_key() -> Result<Check, Failure> {
    let path = super::key::path_or_default(None)?;
    if !path.exists() {
        let found = format!("{} does not exist", path.display());
        return Ok(Check::not("signing key", Outcome::Missing, found, "run `bulkhead key generate`"));
    }
    Ok(match super::key::load(None) {
        Ok(_) => Check::good("signing key", path.display().to_string()),
        Err(failure) => Check::not("signing key", Outcome::Bad, failure.what, failure.next_step),
    })
}

fn program(name: &'static str, install: &str, used_for: &str) -> Check {
    let paths = env::var_os("PATH").unwrap_or_default();
    let found: Option<PathBuf> =
        env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    match found {
        Some(path) => Check::good(name, path.display().to_string()),
        None => Check::not(name, Outcome::Missing, format!("not found; needed for {used_for}"), install),
    }
}
