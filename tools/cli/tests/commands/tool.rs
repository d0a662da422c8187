//! Runs the built tool in a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use bulkhead_cloud_api::to_hex;
use serde_json::Value;

use crate::harness::TestServer;

/// The tool with a home of its own, removed at the end.
pub(crate) struct Tool {
    pub(crate) home: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Standard output of a success.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Standard output of a success as JSON.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).expect("JSON")
    }
}

impl Tool {
    pub(crate) fn new() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("randomness");
        let home = std::env::temp_dir().join(format!("bulkhead-cli-{}", to_hex(&random)));
        std::fs::create_dir(&home).expect("home");
        Self { home }
    }

    /// A tool whose owner is logged in to `server`.
    pub(crate) fn logged_in(server: &TestServer) -> Self {
        let tool = Self::new();
        tool.run(&["login", &server.url(""), "--token", &server.admin]).ok();
        tool
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        command.args(arguments).env("BULKHEAD_HOME", &self.home).stdin(Stdio::null());
        for name in ["BULKHEAD_SERVER", "BULKHEAD_TOKEN", "NO_COLOR"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Self::ended(&mut self.command(arguments))
    }

    /// Runs it apart from any terminal, with `variables` in its environment.
    pub(crate) fn run_alone(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
        let mut command = Command::new("setsid");
        command.args(["--wait", env!("CARGO_BIN_EXE_bulkhead")]).args(arguments).stdin(Stdio::null());
        command.env_clear().env("BULKHEAD_HOME", &self.home).envs(variables.iter().copied());
        Self::ended(&mut command)
    }

    /// As [`Self::run_alone`], where files can be made, but no byte written to them: as on a full disk.
    pub(crate) fn run_where_nothing_can_be_written(
        &self,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Ended {
        let mut command = Command::new("setsid");
        let full = r#"ulimit -f 0; trap "" XFSZ; exec "$0" "$@""#;
        command.args(["--wait", "sh", "-c", full, env!("CARGO_BIN_EXE_bulkhead")]).args(arguments);
        command.env_clear().env("BULKHEAD_HOME", &self.home).envs(variables.iter().copied());
        Self::ended(command.stdin(Stdio::null()))
    }

    fn ended(command: &mut Command) -> Ended {
        let output = command.output().expect("runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts a command that goes on.
    pub(crate) fn follow(&self, arguments: &[&str]) -> Followed {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Followed { child, lines }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.home.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes the smallest program that could start, of `len` bytes, and returns its path.
    pub(crate) fn program(&self, name: &str, len: usize) -> String {
        let mut program = vec![0xA5; len];
        program[..8].copy_from_slice(&[0, 0, 0x28, 0x28, 9, 0, 0, 0x80]);
        std::fs::write(self.home.join(name), program).expect("writes");
        self.path(name)
    }

    /// Bundles such a program as `hello`, with the key of this home.
    pub(crate) fn bundle(&self, version: &str, sequence: &str) -> String {
        let program = self.program(&format!("hello-{version}.bin"), 9000);
        let output = self.path(&format!("hello-{version}.bundle"));
        let what = ["app", "bundle", &program, "-o", &output, "--name", "hello"];
        self.run(&[&what[..], &["--version", version, "--sequence", sequence]].concat()).ok();
        output
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// A command that goes on; ended when dropped.
pub(crate) struct Followed {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Followed {
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("reads");
        line.trim_end().to_owned()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
