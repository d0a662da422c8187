//! Failures: one sentence on what happened, one on what to do next, one exit code.

use std::path::Path;

use bulkhead_cloud_api::{Problem, ProblemCode};
use bulkhead_cloud_client::ClientError;
use serde::Serialize;

/// Exit codes. Stable: scripts depend on them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// A fault of the tool or of the server.
    Internal = 1,
    /// The command line cannot be understood, which is mostly for clap to say, or contradicts itself.
    CommandLine = 2,
    /// Not logged in, token expired, or role not sufficient.
    NotAllowed = 3,
    /// No such device, bundle or token.
    NotFound = 4,
    /// The server will not do it: the request contradicts what is there.
    Refused = 5,
    /// No answer from the server.
    Unreachable = 6,
    /// The device refused or took back an update, or declined a command.
    Device = 7,
    /// It did not happen in the time given; it may yet.
    TimedOut = 8,
    /// A file on this machine is missing, unreadable or not what it should be.
    File = 9,
    /// A program that the command needs is missing, or a check of `doctor` failed.
    Machine = 10,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ExitCode,
    pub(crate) what: String,
    pub(crate) next_step: String,
    /// The server's own words, for `--json`.
    pub(crate) problem: Option<Box<Problem>>,
}

/// A failure as `--json` prints it, on standard error.
#[derive(Serialize)]
pub(crate) struct FailureJson<'a> {
    error: &'a str,
    next_step: &'a str,
    exit_code: u8,
    problem: Option<&'a Problem>,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, what: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { code, what: what.into(), next_step: next_step.into(), problem: None }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(verb: &str, path: &Path, error: &dyn std::fmt::Display) -> Self {
        let what = format!("cannot {verb} {}: {error}", path.display());
        Self::new(ExitCode::File, what, "check the path and its permissions")
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.code as u8
    }

    pub(crate) fn json(&self) -> FailureJson<'_> {
        FailureJson {
            error: &self.what,
            next_step: &self.next_step,
            exit_code: self.exit_code(),
            problem: self.problem.as_deref(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let what = error.to_string();
        match error {
            ClientError::Problem(problem) => {
                let code = match problem.status {
                    401 | 403 if problem.code != ProblemCode::ClaimTokenWrong => ExitCode::NotAllowed,
                    404 => ExitCode::NotFound,
                    500.. => ExitCode::Internal,
                    _ => ExitCode::Refused,
                };
                let next_step = problem.next_step.clone();
                Self { code, what, next_step, problem: Some(problem) }
            }
            ClientError::Unreachable { .. } => {
                let next = "check that the server runs and that the address is right (`bulkhead doctor`)";
                Self::new(ExitCode::Unreachable, what, next)
            }
            ClientError::Address { .. } => {
                Self::new(ExitCode::Refused, what, "give an address such as http://127.0.0.1:8420")
            }
            ClientError::Nameless => Self::new(
                ExitCode::CommandLine,
                what,
                "give what the command wants to be named; see `--help`",
            ),
            ClientError::NotBulkhead { .. } => {
                let next = "check the address, and that server and tool are of the same generation";
                Self::new(ExitCode::Internal, what, next)
            }
        }
    }
}
