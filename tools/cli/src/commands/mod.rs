//! One file a family of commands.

pub(crate) mod app;
pub(crate) mod bundle;
pub(crate) mod configuration;
pub(crate) mod crash;
pub(crate) mod debug;
pub(crate) mod deploy;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod key;
pub(crate) mod key_set;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod message;
pub(crate) mod passphrase;
pub(crate) mod permit;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod virtual_device;

use bulkhead_cloud_client::Client;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::config::Config;
use crate::failure::{ExitCode, Failure};
use crate::output::Output;

/// What every command has: how to print, and how to reach the server.
pub(crate) struct Session<'a> {
    pub(crate) output: &'a Output,
    server: Option<String>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(server: Option<String>, output: &'a Output) -> Self {
        Self { output, server }
    }

    /// A client of the server chosen now or at login, with the token if there is one.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let config = Config::load()?;
        let Some(server) = self.server.clone().or(config.server.clone()) else {
            let next = "run `bulkhead login URL`; the server prints the line on its first start";
            return Err(Failure::new(ExitCode::NotAllowed, "not logged in to any server", next));
        };
        let from_environment = std::env::var("BULKHEAD_TOKEN").ok().filter(|token| !token.is_empty());
        // A remembered token is for the remembered server alone: it must not reach another.
        let same_server = config.server.as_deref().is_none_or(|known| same(known, &server));
        let remembered = config.token.filter(|_| same_server);
        Ok(Client::new(&server, from_environment.or(remembered)))
    }
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// Prints a completion script.
pub(crate) fn completion(session: &Session<'_>, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "bulkhead", &mut script);
    session.output.line(&String::from_utf8_lossy(&script));
    Ok(())
}
