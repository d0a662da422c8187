//! `load`: a program as GDB wrote it becomes a bundle, and goes to the device as any update does.

use std::fmt::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_bundle_builder::{
    Confirm, DebugKeys, Format, Policy, Release, Revisions, Signer, build, read_image,
};
use bulkhead_cloud_api::{SetTarget, Timestamp, UpdateStage};
use bulkhead_cloud_client::Client;
use bulkhead_device_identity::public_key;
use bulkhead_gdb_server::{Loader, Part};

use super::way::Way;

/// How long the update may take.
const LOADED_MAX: Duration = Duration::from_secs(180);
/// How often the server is asked.
const PERIOD: Duration = Duration::from_millis(200);
/// Window of the trial in seconds: who loads by hand sees by himself whether it runs.
const TRIAL_WINDOW_S: u32 = 1;
/// Who loads a program by hand knows which gateways it calls.
const ABI_ANY: u32 = u32::MAX;
/// Bytes of a line of Intel HEX.
const LINE_LEN: usize = 32;

/// Deploys what is loaded.
pub(super) struct ByUpdate {
    client: Client,
    device: String,
    signer: Signer,
    key: [u8; 32],
    way: Arc<Way>,
}

impl ByUpdate {
    pub(super) fn new(client: Client, device: String, signer: Signer, key: [u8; 32], way: Arc<Way>) -> Self {
        Self { client, device, signer, key, way }
    }

    fn bundle(&self, program: &[Part]) -> Result<Vec<u8>, String> {
        let board = Board::parse(MPS2_AN505).map_err(|error| error.to_string())?;
        let image =
            read_image(intel_hex(program).as_bytes(), Format::Hex, 0).map_err(|error| error.to_string())?;
        let keys = DebugKeys::new(&[public_key(&self.key)]).ok_or("the debug key cannot be named")?;
        // Newer than whatever runs, as a person's next build is.
        let now = u64::try_from(Timestamp::now().0 / 1_000_000).unwrap_or(1);
        let running = self.client.device(&self.device).map_err(|error| error.to_string())?.running_bundle;
        let name = running.as_deref().and_then(|name| name.split(['@', ' ']).next()).unwrap_or("loaded");
        let (name, version) = (name.to_owned(), format!("debug-{now}"));
        let release = Release {
            name: &name,
            version: &version,
            sequence: now,
            security_counter: 0,
            abi: Revisions { least: 1, greatest: ABI_ANY },
            board_revisions: Revisions { least: 1, greatest: 1 },
            policy: Policy {
                postpone_max_s: Some(0),
                confirm: Confirm::Auto,
                trial_window_s: Some(TRIAL_WINDOW_S),
                debug_keys: keys,
                ..Policy::default()
            },
            reserved: &[],
        };
        build(&board, &image, &release, &self.signer).map(|made| made.file).map_err(|error| error.to_string())
    }

    fn deploy(&self, bundle: Vec<u8>) -> Result<(), String> {
        let pushed = self.client.push_bundle(bundle).map_err(|error| error.to_string())?;
        let target = SetTarget { bundle: pushed.manifest.to_string(), forced: true, permit: None };
        let ordered = self.client.set_target(&self.device, &target).map_err(|error| error.to_string())?;
        let until = Instant::now() + LOADED_MAX;
        while Instant::now() < until {
            thread::sleep(PERIOD);
            let Ok(updates) = self.client.updates(&self.device, 20) else { continue };
            let Some(update) = updates.into_iter().find(|update| update.id == ordered.id) else { continue };
            if update.stage == UpdateStage::Committed {
                return Ok(());
            }
            if update.stage.is_final() {
                let reason = update.reason.unwrap_or_else(|| "no reason given".into());
                return Err(format!("the update ended as {}: {reason}", update.stage.as_str()));
            }
        }
        Err(format!("the device does not run it after {} s", LOADED_MAX.as_secs()))
    }
}

impl Loader for ByUpdate {
    fn load(&mut self, program: &[Part]) -> Result<(), String> {
        let bundle = self.bundle(program)?;
        self.way.loads(true);
        let deployed = self.deploy(bundle);
        if deployed.is_err() {
            self.way.loads(false);
        }
        deployed
    }
}

/// A program in Intel HEX, which is read back with every check that a file from elsewhere is.
fn intel_hex(program: &[Part]) -> String {
    let mut out = String::new();
    let mut line = |kind: u8, offset: u16, bytes: &[u8]| {
        let [high, low] = offset.to_be_bytes();
        let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        let record: Vec<u8> = [len, high, low, kind].into_iter().chain(bytes.iter().copied()).collect();
        let sum = record.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
        out.push(':');
        for byte in record.into_iter().chain([sum]) {
            let _ = write!(out, "{byte:02X}");
        }
        out.push('\n');
    };
    for (address, bytes) in program {
        let mut at = *address;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // A line stays inside 64 KiB.
            let room = usize::try_from(0x1_0000 - (at & 0xFFFF)).unwrap_or(LINE_LEN);
            let (part, next) = rest.split_at(rest.len().min(LINE_LEN).min(room));
            let [high, higher, low, lower] = at.to_be_bytes();
            line(4, 0, &[high, higher]);
            line(0, u16::from_be_bytes([low, lower]), part);
            at = at.wrapping_add(u32::try_from(part.len()).unwrap_or_default());
            rest = next;
        }
    }
    line(1, 0, &[]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_64_kib_do() {
        let text = intel_hex(&[(0x8000_FFFE, vec![1, 2, 3])]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [":0200000480007A", ":02FFFE000102FE", ":02000004800179", ":0100000003FC", ":00000001FF"]
        );
    }
}
