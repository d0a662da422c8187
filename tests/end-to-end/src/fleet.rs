//! A server with its administrator logged in, an owner, and devices.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_cloud_api::{ApplicationState, Device as Seen, FaultKind, Timestamp};
use bulkhead_cloud_client::Client;
use serde_json::Value;

use crate::device::Device;
use crate::folder::Folder;
use crate::owner::{Bundle, Owner};
use crate::programs::Programs;
use crate::server::Server;
use crate::tool::Tool;
use crate::waiting::{Seen as Look, until};

/// Longest time from power to a live link. Emulated key agreement takes most of it.
pub const ONLINE_WITHIN: Duration = Duration::from_secs(60);
/// Longest time that an update may take, from the order to the commit.
pub const UPDATED_WITHIN: Duration = Duration::from_secs(180);

/// The whole product, running.
pub struct Fleet {
    /// Where everything lies.
    pub folder: Folder,
    /// What was built.
    pub programs: Programs,
    /// The server.
    pub server: Server,
    /// The tool, logged in.
    pub tool: Tool,
    /// The API, for looking closer than the tool does.
    pub api: Client,
    /// Signs bundles.
    pub owner: Owner,
}

impl Fleet {
    /// Starts a server and logs the tool in.
    ///
    /// # Errors
    /// Something was not built or did not start.
    pub fn start() -> Result<Self> {
        let programs = Programs::find()?;
        let folder = Folder::make()?;
        let server = Server::start(&programs.server, folder.path())?;
        let tool = Tool::new(&programs.tool, &folder.path().join("home"));
        tool.run(&["login", &server.url, "--token", &server.token])?;
        let api = Client::new(&server.url, Some(server.token.clone()));
        let owner = Owner::new(tool.clone(), folder.path())?;
        Ok(Self { folder, programs, server, tool, api, owner })
    }

    /// As [`Self::start`], with one device called `name`, online.
    ///
    /// # Errors
    /// Something was not built, did not start or did not come online.
    pub fn start_with_device(name: &str) -> Result<(Self, Device)> {
        let fleet = Self::start()?;
        let mut device = fleet.new_device(name)?;
        fleet.power_on(&mut device)?;
        Ok((fleet, device))
    }

    /// Makes a device and claims it under `name`; it has no power yet.
    ///
    /// # Errors
    /// The factory or the server refused.
    pub fn new_device(&self, name: &str) -> Result<Device> {
        self.new_device_behind(name, self.server.devices)
    }

    /// As [`Self::new_device`]; the device connects to `gateway`, which relays to the server.
    ///
    /// # Errors
    /// The factory or the server refused.
    pub fn new_device_behind(&self, name: &str, gateway: SocketAddr) -> Result<Device> {
        self.provision(name, &["--device-port", &gateway.port().to_string()])
    }

    /// As [`Self::new_device`]; the device knows the server by the name `host`.
    ///
    /// # Errors
    /// The factory or the server refused.
    pub fn new_device_of(&self, name: &str, host: &str) -> Result<Device> {
        let port = self.server.devices.port().to_string();
        self.provision(name, &["--device-port", &port, "--device-host", host])
    }

    fn provision(&self, name: &str, server: &[&str]) -> Result<Device> {
        let memory = self.folder.path().join(format!("{name}.nvm"));
        let file = memory.to_string_lossy();
        let made = self.tool.json(&[&["device", "new", name, "--memory", &file], server].concat())?;
        let word = |key: &str| {
            made.get(key).and_then(Value::as_str).with_context(|| format!("no `{key}` was named"))
        };
        self.tool.run(&["device", "claim", name, word("claim_token")?])?;
        Device::new(self.folder.path(), name, &self.programs.image, memory.clone(), word("id")?.to_owned())
    }

    /// Signs the application called `app` and pushes it.
    ///
    /// # Errors
    /// It was not built, or the server refused.
    pub fn push(&mut self, app: &str, name: &str, version: &str) -> Result<Bundle> {
        self.push_as(app, name, version, &[])
    }

    /// As [`Self::push`], with further options of `app bundle`.
    ///
    /// # Errors
    /// As there.
    pub fn push_as(&mut self, app: &str, name: &str, version: &str, more: &[&str]) -> Result<Bundle> {
        let bundle = self.owner.sign(&self.programs.app(app)?, name, version, more)?;
        self.tool.run(&["app", "push", &bundle.path.to_string_lossy()])?;
        Ok(bundle)
    }

    /// As [`Self::push`]; the bundle names the tool's debug key, which is made at the first call.
    ///
    /// # Errors
    /// It was not built, or the tool or the server refused.
    pub fn push_debuggable(&mut self, app: &str, name: &str, version: &str) -> Result<Bundle> {
        self.push_debuggable_as(app, name, version, &[])
    }

    /// As [`Self::push_debuggable`], with further options of `app bundle`.
    ///
    /// # Errors
    /// As there.
    pub fn push_debuggable_as(
        &mut self,
        app: &str,
        name: &str,
        version: &str,
        more: &[&str],
    ) -> Result<Bundle> {
        let program = self.programs.app(app)?;
        self.push_debuggable_file(&program, name, version, more)
    }

    /// As [`Self::push_debuggable`], for a program that is no application of ours; `more` are further options of
    /// `app bundle`.
    ///
    /// # Errors
    /// The tool or the server refused.
    pub fn push_debuggable_file(
        &mut self,
        program: &Path,
        name: &str,
        version: &str,
        more: &[&str],
    ) -> Result<Bundle> {
        let key = self.tool.home().join("keys").join("debug.key");
        if !key.exists() {
            self.tool.run(&["key", "generate", "--debug"])?;
        }
        let key = key.to_string_lossy();
        let options: Vec<&str> = ["--debug-key", &key].into_iter().chain(more.iter().copied()).collect();
        let bundle = self.owner.sign(program, name, version, &options)?;
        self.tool.run(&["app", "push", &bundle.path.to_string_lossy()])?;
        Ok(bundle)
    }

    /// Kills the server and starts it again on the same ports and data.
    ///
    /// # Errors
    /// It did not come up again.
    pub fn restart_server(&mut self) -> Result<()> {
        self.server.restart(&self.programs.server)
    }

    /// What the server knows of a device.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn look(&self, device: &Device) -> Result<Seen> {
        Ok(self.api.device(&device.id)?)
    }

    /// Waits until `wanted` holds of the device; `what` is for the failure.
    ///
    /// # Errors
    /// The time is up; the text holds what the server last knew and the device's console.
    pub fn wait(
        &self,
        device: &Device,
        what: &str,
        at_most: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Result<Seen> {
        until(what, at_most, || {
            let console = device.console_tail();
            let seen = self.look(device)?;
            if wanted(&seen) {
                return Ok(Look::Answer(seen));
            }
            Ok(Look::NotYet(format!("{}\nconsole:\n{console}", describe(&seen))))
        })
    }

    /// Waits for a link that is newer than `after`.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_online(&self, device: &Device, after: Timestamp) -> Result<Seen> {
        self.wait(device, "the device to be online", ONLINE_WITHIN, |seen| {
            seen.online && seen.link.as_ref().is_some_and(|link| link.since > after)
        })
    }

    /// Waits until the device runs exactly `bundle`, committed, and its application is up.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_running(&self, device: &Device, bundle: &Bundle) -> Result<Seen> {
        self.wait(device, "the new application to run", UPDATED_WITHIN, |seen| runs(seen, bundle))
    }

    /// Orders an update and waits until it runs.
    ///
    /// # Errors
    /// The server refused, or as [`Self::wait`].
    pub fn deploy(&self, device: &Device, bundle: &Bundle) -> Result<Seen> {
        self.order(device, bundle)?;
        self.wait_running(device, bundle)
    }

    /// Orders an update and returns at once.
    ///
    /// # Errors
    /// The server refused.
    pub fn order(&self, device: &Device, bundle: &Bundle) -> Result<()> {
        self.tool.run(&["deploy", "--no-wait", "--device", &device.id, &bundle.manifest])?;
        Ok(())
    }

    /// Cuts the power and waits until the server noticed.
    ///
    /// # Errors
    /// The server did not notice.
    pub fn cut_power(&self, device: &mut Device) -> Result<()> {
        device.cut_power();
        self.wait(device, "the device to be offline", Duration::from_secs(20), |seen| !seen.online)?;
        Ok(())
    }

    /// Power on, and wait for the link.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn power_on(&self, device: &mut Device) -> Result<Seen> {
        let now = Timestamp::now();
        device.power_on()?;
        self.wait_online(device, now)
    }

    /// Types a crime into the hostile application, and waits until the device reports a fault of `kind`. The link must
    /// be the same one as before.
    ///
    /// # Errors
    /// The crime was not contained, or the device went offline over it.
    pub fn commit_crime(&self, device: &mut Device, crime: char, kind: FaultKind) -> Result<Seen> {
        let ready = Duration::from_secs(90);
        let before = self
            .wait(device, "the hostile application to run", ready, |seen| seen.online && is_running(seen))?;
        let count = fault_count(&before);
        let told = device.application_console().len();
        // It says `hostile ready` on its console a moment after it was started; what is typed waits in the pipe.
        device.type_to_application(crime)?;
        let within = Duration::from_secs(30);
        let after =
            self.wait(device, "the crime to be reported", within, |seen| fault_count(seen) > count)?;
        device.still_runs()?;
        let said = device.application_console();
        if said.get(told..).unwrap_or_default().contains("ESCAPED") {
            bail!("the application escaped with crime `{crime}`");
        }
        let fault = after.reported.as_ref().and_then(|reported| reported.fault);
        match fault {
            Some(fault) if fault.kind == kind => {}
            other => bail!("crime `{crime}` was reported as {other:?} instead of {kind:?}"),
        }
        let links = (before.link.as_ref().map(|link| link.since), after.link.as_ref().map(|link| link.since));
        if !after.online || links.0 != links.1 {
            bail!("the link did not survive crime `{crime}`");
        }
        Ok(after)
    }
}

/// True if the device runs exactly `bundle` and its application is up.
pub fn runs(seen: &Seen, bundle: &Bundle) -> bool {
    let running = seen.reported.as_ref().and_then(|reported| reported.running);
    let kept = seen.reported.as_ref().is_some_and(|reported| !reported.on_trial);
    seen.online
        && kept
        && running.is_some_and(|digest| digest.to_string() == bundle.manifest)
        && is_running(seen)
}

fn is_running(seen: &Seen) -> bool {
    seen.reported.as_ref().is_some_and(|reported| reported.application == ApplicationState::Running)
}

fn fault_count(seen: &Seen) -> u32 {
    seen.reported.as_ref().and_then(|reported| reported.fault).map_or(0, |fault| fault.count)
}

/// One line on a device, for failures.
pub fn describe(seen: &Seen) -> String {
    let reported = seen.reported.as_ref();
    format!(
        "online {}, application {:?}, running {:?}, update {:?}, fault {:?}, epitaph {:?}",
        seen.online,
        reported.map(|reported| reported.application),
        seen.running_bundle,
        seen.update.as_ref().map(|update| (
            update.stage,
            update.pages_done,
            update.pages_total,
            &update.reason
        )),
        reported.and_then(|reported| reported.fault),
        reported.and_then(|reported| reported.epitaph.as_ref()),
    )
}
