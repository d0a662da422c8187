//! A device with the real hypervisor, a server of its own, and the hostile application on it.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_bundle_builder::Signer;
use bulkhead_device_identity::{Identity, ServerKeys};
use bulkhead_virtual_device::{
    DeviceSecrets, HOST_AS_SEEN_BY_GUEST, Overwrite, Provisioning, Qemu, Running, Serial, find_image,
    provision,
};
use tempfile::TempDir;

use crate::crime::Crime;
use crate::gateway::{Application, Gateway};
use crate::transcript::{Event, Witness, shown};
use crate::verdict::{Limits, READY, is_over, judge};

/// Longest time from power-on to an application that was offered over the link.
const INSTALL: Duration = Duration::from_secs(120);

/// Longest time from power-on to an application that is there already, and to the link.
const BOOT: Duration = Duration::from_secs(60);

/// How often everything is looked at.
const POLL: Duration = Duration::from_millis(2);

/// Crimes in a row before the power is cut: the back-off doubles with each, and only power-on or health resets it.
const CRIMES_IN_A_ROW: u32 = 3;

/// The device's non-volatile memory, in the scene's folder.
const MEMORY: &str = "device.nvm";

/// Set to keep the folders of the scenes, to look into after a failure.
const KEEP_VARIABLE: &str = "BULKHEAD_KEEP";

/// Lines of the transcript shown with a failure.
const EVENTS_SHOWN: usize = 400;

/// The scene.
#[derive(Debug)]
pub struct Scene {
    gateway: Gateway,
    signer: [u8; 32],
    qemu: Qemu,
    running: Option<Running>,
    events: Vec<Event>,
    began: Instant,
    n_crimes: u32,
    // Last, so that QEMU is gone when its files go.
    folder: TempDir,
}

impl Scene {
    /// Makes a device, powers it on and waits until the application, received over the link, has said `ready`.
    ///
    /// # Errors
    /// Something was not built or not installed (the text names the command), or the device did not get so far.
    pub fn install(app: &str, ready: &str) -> Result<Self> {
        let image = find_image(None)?;
        let mut folder = tempfile::Builder::new().prefix("bulkhead-isolation-").tempdir()?;
        folder.disable_cleanup(std::env::var_os(KEEP_VARIABLE).is_some());
        let secrets = DeviceSecrets::generate()?;
        // Keys of the server and the owner: drawn like those of a device.
        let (server, owner) = (DeviceSecrets::generate()?, DeviceSecrets::generate()?);
        let signer = Signer::from_secret(&owner.storage_root);
        let target = bundle(&image, app, 1, &signer)?;
        let gateway = Gateway::open(server.device_private_key, server.claim_token, target)?;
        let memory = folder.path().join(MEMORY);
        let identity = Identity {
            device_private_key: secrets.device_private_key,
            storage_root: secrets.storage_root,
            entropy_seed: secrets.entropy_seed,
            realm_id: gateway.realm_id(),
            server_keys: ServerKeys { current: gateway.public_key(), next: None },
            server_host: HOST_AS_SEEN_BY_GUEST,
            server_port: gateway.address().port(),
            signing_keys: &[signer.public_key()],
            claim_token: secrets.claim_token,
        };
        provision(&memory, &Provisioning { identity, overwrite: Overwrite::Never })?;
        let qemu = Qemu::new(image, memory)
            .console(Serial::File(folder.path().join("console")))
            .application_console(Serial::Socket(folder.path().join("application")));
        let mut scene = Self {
            gateway,
            signer: owner.storage_root,
            qemu,
            running: None,
            events: Vec::new(),
            began: Instant::now(),
            n_crimes: 0,
            folder,
        };
        scene.power_on(ready, INSTALL)?;
        Ok(scene)
    }

    /// Commits `crime` and judges what came of it.
    ///
    /// # Errors
    /// It was not contained, or the device ended; with the transcript.
    pub fn commit(&mut self, crime: &Crime) -> Result<()> {
        if self.n_crimes >= CRIMES_IN_A_ROW {
            self.restart()?;
        }
        self.n_crimes += 1;
        let limits = Limits::default();
        // The longest back-off of so many crimes in a row.
        let back_off = Duration::from_secs(1 << CRIMES_IN_A_ROW);
        let from = self.events.len();
        let from_at = self.began.elapsed();
        self.type_to_application(crime.letter)?;
        // What does not end in time is judged as well, and found wanting.
        self.wait(limits.stop + back_off + limits.restart, |events| is_over(crime, events), from)?;
        let to_at = self.began.elapsed();
        let events = self.events.get(from..).unwrap_or_default();
        if let Err(failure) = judge(crime, events, from_at, to_at, &limits) {
            bail!("crime {} ({}): {failure}\n{}", crime.letter, crime.name, self.tail());
        }
        Ok(())
    }

    /// Gives the device another application and waits until it has written a line that satisfies `ready`.
    ///
    /// # Errors
    /// It did not get so far in time, or the link was lost on the way.
    pub fn replace(&mut self, app: &str, sequence: u64, ready: impl Fn(&str) -> bool) -> Result<()> {
        let signer = Signer::from_secret(&self.signer);
        let target = bundle(&find_image(None)?, app, sequence, &signer)?;
        let from = self.events.len();
        self.gateway.set_target(target);
        self.wait_for(&format!("line of {app}"), INSTALL, from, |events| {
            events.iter().any(|e| matches!(&e.seen, Witness::Application(line) if ready(line)))
        })?;
        let lost = |event: &Event| matches!(event.seen, Witness::Closed(_) | Witness::Connected);
        if self.events.get(from..).unwrap_or_default().iter().any(lost) {
            bail!("the link was lost during the update\n{}", self.tail());
        }
        Ok(())
    }

    /// Cuts the power, overwrites the start of the application's own flash, and puts the power on again.
    ///
    /// On the virtual board that flash is plain memory, so that the application could have done it itself. Returns as
    /// soon as the application runs again, which it only can if the device fetched it anew.
    ///
    /// # Errors
    /// The file cannot be written, or the device did not get so far.
    pub fn ruin_application(&mut self) -> Result<()> {
        self.cut_power();
        let board = Board::parse(MPS2_AN505)?;
        let mut memory = File::options().write(true).open(self.folder.path().join(MEMORY))?;
        memory.seek(SeekFrom::Start(board.non_volatile.die.application.offset.into()))?;
        memory.write_all(&[0; 256])?;
        drop(memory);
        self.power_on(READY, INSTALL)
    }

    /// Types one character into the application's console.
    ///
    /// # Errors
    /// The device has no power, or QEMU has ended.
    pub fn type_to_application(&mut self, character: char) -> Result<()> {
        let Some(running) = &mut self.running else { bail!("the device has no power") };
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).as_bytes();
        running.application()?.send(bytes).context("failed to type to the application")
    }

    /// Everything seen so far.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Waits until the events from number `from` on satisfy `done`; `false` if they do not in time.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn wait(&mut self, longest: Duration, done: impl Fn(&[Event]) -> bool, from: usize) -> Result<bool> {
        let start = Instant::now();
        loop {
            self.look()?;
            if done(self.events.get(from..).unwrap_or_default()) {
                return Ok(true);
            }
            if start.elapsed() >= longest {
                return Ok(false);
            }
            thread::sleep(POLL);
        }
    }

    /// Cuts the power, puts it on again, and waits for the hostile application and the link.
    ///
    /// # Errors
    /// The device did not get so far.
    pub fn restart(&mut self) -> Result<()> {
        self.cut_power();
        self.power_on(READY, BOOT)
    }

    /// Cuts the power.
    pub fn cut_power(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// The end of the transcript, for people.
    pub fn tail(&self) -> String {
        let start = self.events.len().saturating_sub(EVENTS_SHOWN);
        let folder = self.folder.path().display();
        format!(
            "{}(files in {folder}, kept if {KEEP_VARIABLE} is set)",
            shown(self.events.get(start..).unwrap_or_default())
        )
    }

    fn power_on(&mut self, ready: &str, longest: Duration) -> Result<()> {
        let from = self.events.len();
        self.running = Some(self.qemu.start()?);
        self.n_crimes = 0;
        self.wait_for(&format!("`{ready}` and a link"), longest, from, |events| {
            said(events, ready) && events.iter().any(|event| event.seen == Witness::Pong)
        })
    }

    fn wait_for(
        &mut self,
        what: &str,
        longest: Duration,
        from: usize,
        done: impl Fn(&[Event]) -> bool,
    ) -> Result<()> {
        if !self.wait(longest, done, from)? {
            bail!("no {what} within {} s\n{}", longest.as_secs(), self.tail());
        }
        Ok(())
    }

    /// Takes down what was seen since the last look.
    fn look(&mut self) -> Result<()> {
        let Some(running) = &mut self.running else { bail!("the device has no power") };
        let at = self.began.elapsed();
        while let Some(line) = running.next_line()? {
            self.events.push(Event { at, seen: Witness::Console(line) });
        }
        while let Some(line) = running.application()?.next_line()? {
            self.events.push(Event { at, seen: Witness::Application(line) });
        }
        for (when, seen) in self.gateway.seen() {
            self.events.push(Event { at: when.duration_since(self.began), seen });
        }
        let runs = running.still_runs();
        runs.with_context(|| self.tail())
    }
}

fn said(events: &[Event], words: &str) -> bool {
    events.iter().any(|event| matches!(&event.seen, Witness::Application(line) if line == words))
}

fn bundle(image: &Path, app: &str, sequence: u64, signer: &Signer) -> Result<Application> {
    let path = application_path(image, app)?;
    let elf = std::fs::read(&path)
        .with_context(|| format!("{} is missing; run `cargo xtask apps`", path.display()))?;
    Application::bundle(&elf, app, sequence, signer)
}

/// Applications lie beside the firmware: `target/apps` and `target/firmware/BOARD/hypervisor.elf`.
fn application_path(image: &Path, app: &str) -> Result<PathBuf> {
    let target = image.ancestors().nth(3).context("the image lies in no target folder")?;
    Ok(target.join("apps").join(format!("{app}.elf")))
}
