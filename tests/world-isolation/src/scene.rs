//! A device with the real hypervisor, a server of its own, and the hostile application on it.

use std::fmt;
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
use crate::matrix::{Escape, Row, judge_row, row_is_over, went_unheard};
use crate::peer::Peer;
use crate::transcript::{Event, Witness, shown};
use crate::verdict::{Limits, READY, is_over, judge};

/// Longest time from power-on to an application that was offered over the link.
const INSTALL: Duration = Duration::from_secs(120);

/// Longest time from power-on to an application that is there already, and to the link.
const BOOT: Duration = Duration::from_secs(60);

/// How often everything is looked at.
const POLL: Duration = Duration::from_millis(2);

/// What a look counts at most in a wait: a machine that stood still, and the device with it, has not waited.
const LOOK_MAX: Duration = Duration::from_millis(100);

/// Crimes in a row before the power is cut: the back-off doubles with each, and only power-on or health resets it.
const CRIMES_IN_A_ROW: u32 = 3;

/// The device's non-volatile memory, in the scene's folder.
const MEMORY: &str = "device.nvm";

/// Events kept from one row of the matrix to the next.
const EVENTS_KEPT: usize = 40;

/// Set to keep the folders of the scenes, to look into after a failure.
const KEEP_VARIABLE: &str = "BULKHEAD_KEEP";

/// Lines of the transcript shown with a failure.
const EVENTS_SHOWN: usize = 400;

/// How a scene differs from the usual one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting<'s> {
    /// The hypervisor; the built one if none is named.
    pub image: Option<&'s Path>,
    /// Whether the server orders a restart as soon as it hears that the application was stopped.
    pub restarts_at_once: bool,
    /// Whether the application finds somebody to talk to, see [`Peer`].
    pub has_peer: bool,
    /// More arguments for QEMU; `{folder}` in them stands for the scene's folder.
    pub arguments: &'s [&'s str],
}

/// The scene.
pub struct Scene {
    gateway: Gateway,
    signer: [u8; 32],
    qemu: Qemu,
    running: Option<Running>,
    events: Vec<Event>,
    began: Instant,
    n_crimes: u32,
    unanswered: usize,
    secrets: DeviceSecrets,
    // Last, so that QEMU is gone when its files go.
    folder: TempDir,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds secrets.
        f.debug_struct("Scene").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Scene {
    /// Makes a device, powers it on and waits until the application, received over the link, has said `ready`.
    ///
    /// # Errors
    /// Something was not built or not installed (the text names the command), or the device did not get so far.
    pub fn install(app: &str, ready: &str) -> Result<Self> {
        Self::arrange(app, ready, &Setting::default())
    }

    /// As [`Scene::install`] with the hostile application's words, under another setting.
    ///
    /// # Errors
    /// As [`Scene::install`].
    pub fn set(app: &str, setting: &Setting<'_>) -> Result<Self> {
        Self::arrange(app, READY, setting)
    }

    /// As [`Scene::install`], under another setting.
    ///
    /// # Errors
    /// As [`Scene::install`].
    pub fn arrange(app: &str, ready: &str, setting: &Setting<'_>) -> Result<Self> {
        let image = find_image(None)?;
        let mut folder = tempfile::Builder::new().prefix("bulkhead-isolation-").tempdir()?;
        folder.disable_cleanup(std::env::var_os(KEEP_VARIABLE).is_some());
        let secrets = DeviceSecrets::generate()?;
        // Keys of the server and the owner: drawn like those of a device.
        let (server, owner) = (DeviceSecrets::generate()?, DeviceSecrets::generate()?);
        let signer = Signer::from_secret(&owner.storage_root);
        let target = bundle(&image, app, 1, &signer)?;
        let peer = setting.has_peer.then(Peer::open).transpose()?;
        let gateway = Gateway::open(server.device_private_key, server.claim_token, target, peer)?;
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
        gateway.restart_at_once(setting.restarts_at_once);
        let mut qemu = Qemu::new(setting.image.unwrap_or(&image), memory)
            .console(Serial::File(folder.path().join("console")))
            .application_console(Serial::Socket(folder.path().join("application")));
        for argument in setting.arguments {
            qemu = qemu.argument(argument.replace("{folder}", &folder.path().to_string_lossy()));
        }
        let mut scene = Self {
            gateway,
            signer: owner.storage_root,
            qemu,
            running: None,
            events: Vec::new(),
            began: Instant::now(),
            n_crimes: 0,
            unanswered: 0,
            secrets,
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
        self.type_to_application(crime.letter)?;
        // What does not end in time is judged as well, and found wanting.
        self.wait(limits.stop + back_off + limits.restart, |events| is_over(crime, events), from)?;
        let events = self.events.get(from..).unwrap_or_default();
        if let Err(failure) = judge(crime, events, &limits) {
            bail!("crime {} ({}): {failure}\n{}", crime.letter, crime.name, self.tail());
        }
        Ok(())
    }

    /// Commits a row of the attack matrix and judges what came of it.
    ///
    /// # Errors
    /// The device ended.
    pub fn commit_row(&mut self, row: &Row, number: u32) -> Result<Result<(), Escape>> {
        // What belongs to earlier rows is of no use any more, but for a trace of it.
        let kept = self.events.len().saturating_sub(EVENTS_KEPT);
        self.events.drain(..kept);
        let from = self.events.len();
        self.type_text(&row.line(number))?;
        self.wait(
            row.longest,
            |events| row_is_over(row, number, events) || went_unheard(number, events),
            from,
        )?;
        if went_unheard(number, self.events.get(from..).unwrap_or_default()) {
            // The row before had asked for a restart, which came only now.
            self.type_text(&row.line(number))?;
            self.wait(row.longest, |events| row_is_over(row, number, events), from)?;
        }
        let judged = judge_row(row, number, self.events.get(from..).unwrap_or_default());
        // The server asks four times a second; a row is shorter than that.
        let answered = self.unanswered <= Limits::default().unanswered;
        Ok(judged.and(if answered { Ok(()) } else { Err(Escape::Silent) }))
    }

    /// The last events, for people.
    pub fn recent(&self) -> String {
        let start = self.events.len().saturating_sub(EVENTS_KEPT);
        shown(self.events.get(start..).unwrap_or_default())
    }

    /// The scene's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The secrets that the device was provisioned with.
    pub fn secrets(&self) -> &DeviceSecrets {
        &self.secrets
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
        let mut bytes = [0; 4];
        self.type_text(character.encode_utf8(&mut bytes))
    }

    /// Types a text into the application's console.
    ///
    /// # Errors
    /// As [`Scene::type_to_application`].
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        let Some(running) = &mut self.running else { bail!("the device has no power") };
        running.application()?.send(text.as_bytes()).context("failed to type to the application")
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
        let (mut waited, mut looked_at) = (Duration::ZERO, Instant::now());
        loop {
            self.look()?;
            if done(self.events.get(from..).unwrap_or_default()) {
                return Ok(true);
            }
            if waited >= longest {
                return Ok(false);
            }
            thread::sleep(POLL);
            let now = Instant::now();
            waited += now.duration_since(looked_at).min(LOOK_MAX);
            looked_at = now;
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
            let at = when.duration_since(self.began);
            match seen {
                Witness::Ping => self.unanswered += 1,
                Witness::Pong | Witness::Connected => self.unanswered = 0,
                _ => {}
            }
            self.events.push(Event { at, seen });
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
