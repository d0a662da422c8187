//! A network for one test, with nothing in it but a loopback, on which any port is free; and a resolver of the test's own.
//!
//! QEMU passes a device's DNS queries on to port 53 of the first resolver in `/etc/resolv.conf`. Neither can be had on a
//! machine that others use; both can in a network namespace and a mount namespace.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::folder::Folder;

/// Set where the network is the test's own.
const INSIDE: &str = "BULKHEAD_OWN_NETWORK";
/// How one comes to be `root` over namespaces: as anybody, or as `root` where that is not allowed.
const WAYS: &[&[&str]] =
    &[&["--user", "--map-root-user", "--net", "--mount"], &["--net", "--mount", "--propagation", "private"]];
/// What is done in them before anything else. `$0` is the file that takes the place of `/etc/resolv.conf`.
const PREPARE: &str = "ip link set lo up && mount --bind \"$0\" /etc/resolv.conf";

/// Where a test ran.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ran {
    /// In a network of its own.
    There,
    /// Nowhere: this machine gives nobody one.
    Nowhere,
}

/// Runs `body` in a network of its own, whose resolver is 127.0.0.1: the program that we are runs again there, for the test
/// called `test` alone.
///
/// Where the machine allows neither way, the test is skipped, and standard error says so, past what captures output.
///
/// # Errors
/// The test failed there; the text is its output. Or there is no test of that name.
pub fn in_own_network(test: &str, body: impl FnOnce()) -> Result<Ran> {
    if std::env::var_os(INSIDE).is_some() {
        body();
        return Ok(Ran::There);
    }
    let folder = Folder::make()?;
    let resolvers = folder.path().join("resolv.conf");
    std::fs::write(&resolvers, "nameserver 127.0.0.1\n").context("failed to name the resolver")?;
    let mut refusals = String::new();
    for way in WAYS {
        let tried = unshare(way, &resolvers, PREPARE, &[])?;
        if !tried.status.success() {
            refusals += &format!("unshare {}: {}\n", way.join(" "), text(&tried.stderr).trim());
            continue;
        }
        let program = std::env::current_exe().context("failed to find the test's program")?;
        let again = format!("{PREPARE} && exec \"$@\"");
        let output =
            unshare(way, &resolvers, &again, &[&program.to_string_lossy(), test, "--exact", "--nocapture"])?;
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        ensure!(
            output.status.success(),
            "{test}, in a network of its own, ended with {}:\n{said}",
            output.status
        );
        ensure!(said.contains("test result: ok. 1 passed"), "there is no test `{test}`:\n{said}");
        return Ok(Ran::There);
    }
    // Not by a macro: what those print is shown when a test fails, and this one does not.
    let told =
        format!("\n=== SKIPPED: {test}: this machine gives nobody a network of his own ===\n{refusals}\n");
    std::io::stderr().write_all(told.as_bytes()).context("failed to say that a test was skipped")?;
    Ok(Ran::Nowhere)
}

fn unshare(way: &[&str], resolvers: &Path, script: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", script]).arg(resolvers).args(arguments);
    command.env(INSIDE, "1").output().context("failed to start unshare; it comes with util-linux")
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn port_53_is_free_and_nothing_else_is_near() {
        in_own_network("own_network::tests::port_53_is_free_and_nothing_else_is_near", || {
            UdpSocket::bind("127.0.0.1:53").unwrap();
            let resolvers = std::fs::read_to_string("/etc/resolv.conf").unwrap();
            assert_eq!(resolvers, "nameserver 127.0.0.1\n");
            // An address for documentation: elsewhere a router is asked for it.
            let error = TcpStream::connect("192.0.2.1:9").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::NetworkUnreachable);
        })
        .unwrap();
    }

    #[test]
    fn what_fails_there_fails_here() {
        let ran = in_own_network("own_network::tests::what_fails_there_fails_here", || panic!("as it must"));
        let said = ran.map_err(|error| error.to_string());
        assert!(said == Ok(Ran::Nowhere) || said.unwrap_err().contains("as it must"));
    }

    #[test]
    fn a_test_that_there_is_not_does_not_pass() {
        let ran = in_own_network("own_network::tests::no_such_test", || ());
        let said = ran.map_err(|error| error.to_string());
        assert!(said == Ok(Ran::Nowhere) || said.unwrap_err().contains("there is no test"));
    }
}
