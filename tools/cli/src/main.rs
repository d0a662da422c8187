//! bulkhead: the command-line tool.
//!
//! Data goes to standard output, everything else to standard error, so that output can always be piped. With
//! `--json` the data is JSON: one document, or one a line where a command follows something. Exit codes are those
//! of [`failure::ExitCode`] and stand in `docs/guides/command-line.md`.
#![forbid(unsafe_code)]

mod arguments;
mod arguments_application;
mod arguments_crash;
mod arguments_key;
mod commands;
mod config;
mod failure;
mod files;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Command};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    match run(arguments, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(arguments: Arguments, output: &Output) -> Result<(), Failure> {
    let session = Session::new(arguments.server, output);
    match arguments.command {
        Command::Login(login) => commands::login::login(&session, login),
        Command::Logout => commands::login::logout(&session),
        Command::Whoami => commands::login::who_am_i(&session),
        Command::Key(command) => commands::key::run(&session, command),
        Command::Device(command) => commands::device::run(&session, command),
        Command::App(command) => commands::app::run(&session, command),
        Command::Deploy(deploy) => commands::deploy::run(&session, deploy),
        Command::Crash(command) => commands::crash::run(&session, command),
        Command::Debug(debug) => commands::debug::run(&session, debug),
        Command::Update(command) => commands::update::run(&session, command),
        Command::Logs(logs) => commands::logs::logs(&session, logs),
        Command::Events(events) => commands::logs::events(&session, events),
        Command::Message(command) => commands::message::run(&session, command),
        Command::Webhook(command) => commands::message::webhook(&session, command),
        Command::Config(command) => commands::configuration::run(&session, command),
        Command::Token(command) => commands::token::run(&session, command),
        Command::Audit { count } => commands::token::audit(&session, count),
        Command::Doctor => commands::doctor::run(&session),
        Command::Completion { shell } => commands::completion(&session, shell),
    }
}
