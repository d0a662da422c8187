//! Opens many device links to a running server and holds them, to measure what a link costs.
//!
//! `cargo run --example many-links -- API_URL ADMIN_TOKEN COUNT PROCESS_ID`, the last being the server's. Every link
//! is a true one: handshake, hello, welcome. Raise the limit of open files first (`ulimit -n`).

#[expect(dead_code, clippy::expect_used, reason = "the fake device of the tests, which only connects here")]
#[path = "../tests/server/harness/device.rs"]
mod device;

use std::time::{Duration, Instant};

use bulkhead_cloud_api::from_hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::device::{FakeDevice, Keys, Said};

/// Longest wait for the server's words.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Class of every fake device.
pub(crate) const CLASS: &str = "mps2-an505";

#[expect(clippy::print_stdout, clippy::expect_used, reason = "a program for measuring, not for shipping")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [api, token, count, process] = arguments.as_slice() else {
        println!("usage: many-links API_URL ADMIN_TOKEN COUNT PROCESS_ID");
        return;
    };
    let count: u32 = count.parse().expect("a count");
    let ask = |method: &str, path: &str, body: String| -> Value {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{api}/api/v1{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let mut answer = ureq::run(request.body(body).expect("request")).expect("answer");
        serde_json::from_slice(&answer.body_mut().read_to_vec().expect("body")).expect("JSON")
    };
    let info = ask("GET", "/info", String::new());
    let hex = |value: &Value| from_hex(value.as_str().expect("text")).expect("hex");
    let realm = from_hex(info["realm_id"].as_str().expect("text")).expect("hex");
    let address = info["device_endpoint"].as_str().expect("text").parse().expect("address");
    let keys: Vec<Keys> = (0..count)
        .map(|number| Keys {
            private: Sha256::digest(number.to_be_bytes()).into(),
            server: hex(&info["server_public_keys"][0]),
            next_server: hex(&info["server_public_keys"][1]),
            realm,
        })
        .collect();
    let begun = Instant::now();
    for key in &keys {
        ask("POST", "/devices", json!({ "public_key": key.registration()["public_key"] }).to_string());
    }
    println!("registered {count} devices in {:.1} s", begun.elapsed().as_secs_f32());
    let before = resident_kib(process);
    let begun = Instant::now();
    let links: Vec<FakeDevice> = keys
        .iter()
        .map(|key| {
            let mut device = FakeDevice::connect(address, key);
            device.expect("established", |said| matches!(said, Said::Established));
            device.hello(None);
            device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
            device
        })
        .collect();
    let seconds = begun.elapsed().as_secs_f32();
    println!("{} links in {seconds:.1} s, one after the other", links.len());
    std::thread::sleep(Duration::from_secs(2));
    let after = resident_kib(process);
    println!("server's memory: {before} KiB before, {after} KiB with {count} links");
    if let Some(grown) = after.checked_sub(before) {
        println!("{} bytes a link", u64::from(grown) * 1024 / u64::from(count.max(1)));
    }
}

/// Resident memory of a process in KiB; 0 if the system does not say.
fn resident_kib(process: &str) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
