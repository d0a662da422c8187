//! One method a route.

use bulkhead_cloud_api::*;

use crate::{ANSWER_LEN_MAX, Client, ClientError, Follow, Outgoing, escaped};

/// Which log records are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Id or name of a device; all if absent.
    pub device: Option<String>,
    /// This level and graver ones.
    pub level: Option<LogLevel>,
    /// Of a page: most records. Of a stream: how many from before to repeat first.
    pub count: u32,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum ClaimAnswer {
    /// The device belongs to the account.
    Claimed(Box<Device>),
    /// It will once it connects and shows the same token.
    WaitsForDevice,
}

impl Client {
    /// What anybody may know of the server.
    ///
    /// # Errors
    /// [`ClientError`], as all methods of this type.
    pub fn info(&self) -> Result<ServerInfo, ClientError> {
        self.get("/api/v1/info")
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn who_am_i(&self) -> Result<WhoAmI, ClientError> {
        self.get("/api/v1/whoami")
    }

    /// Every token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn tokens(&self) -> Result<Vec<Token>, ClientError> {
        self.get("/api/v1/tokens")
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_token(&self, new: &NewToken) -> Result<CreatedToken, ClientError> {
        self.call("POST", "/api/v1/tokens", new)
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        self.send(Outgoing::new("DELETE", &format!("/api/v1/tokens/{}", escaped(id)))).map(|_| ())
    }

    /// Every device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn devices(&self) -> Result<Vec<Device>, ClientError> {
        self.all_pages("/api/v1/devices")
    }

    /// One device, by id or name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn device(&self, device: &str) -> Result<Device, ClientError> {
        self.get(&device_path(device, ""))
    }

    /// Registers a device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn register_device(&self, device: &RegisterDevice) -> Result<Device, ClientError> {
        self.call("POST", "/api/v1/devices", device)
    }

    /// Binds a device to the caller's account.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn claim_device(&self, device: &str, claim: &ClaimDevice) -> Result<ClaimAnswer, ClientError> {
        let claimed: Option<Device> = self.call("POST", &device_path(device, "/claim"), claim)?;
        Ok(claimed.map_or(ClaimAnswer::WaitsForDevice, |device| ClaimAnswer::Claimed(Box::new(device))))
    }

    /// Renames, bars or re-admits a device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn change_device(&self, device: &str, change: &ChangeDevice) -> Result<Device, ClientError> {
        self.call("PATCH", &device_path(device, ""), change)
    }

    /// Asks a connected device to do something, and waits.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn command(&self, device: &str, command: DeviceCommand) -> Result<CommandResult, ClientError> {
        self.call("POST", &device_path(device, "/commands"), &SendCommand { command })
    }

    /// Sets what a device shall run.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn set_target(&self, device: &str, target: &SetTarget) -> Result<Update, ClientError> {
        self.call("PUT", &device_path(device, "/target"), target)
    }

    /// Updates of a device, newest first, at most `count`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn updates(&self, device: &str, count: u32) -> Result<Vec<Update>, ClientError> {
        let path = device_path(device, &format!("/updates?limit={count}"));
        Ok(self.get::<Page<Update>>(&path)?.items)
    }

    /// Every bundle, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn bundles(&self) -> Result<Vec<Bundle>, ClientError> {
        self.all_pages("/api/v1/bundles")
    }

    /// One bundle, by digest, first digits of a digest, `name@version` or `name`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn bundle(&self, bundle: &str) -> Result<Bundle, ClientError> {
        self.get(&format!("/api/v1/bundles/{}", escaped(bundle)))
    }

    /// Pushes a bundle file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn push_bundle(&self, file: Vec<u8>) -> Result<Bundle, ClientError> {
        let mut request = Outgoing::new("POST", "/api/v1/bundles");
        request.content_type = Some("application/octet-stream");
        request.body = file;
        self.receive(self.send(request)?)
    }

    /// Fetches a bundle file back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn bundle_file(&self, bundle: &str) -> Result<Vec<u8>, ClientError> {
        let path = format!("/api/v1/bundles/{}/file", escaped(bundle));
        let mut response = self.send(Outgoing::new("GET", &path))?;
        let bytes = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec();
        bytes.map_err(|error| self.unreachable(&error))
    }

    /// The newest crash dumps, newest first, of one device if given.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn crashes(&self, device: Option<&str>, count: u32) -> Result<Vec<Crash>, ClientError> {
        let of = device.map(|device| format!("&device={}", escaped(device))).unwrap_or_default();
        Ok(self.get::<Page<Crash>>(&format!("/api/v1/crashes?limit={count}{of}"))?.items)
    }

    /// What is known of one crash dump without opening it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn crash(&self, crash: &str) -> Result<Crash, ClientError> {
        self.get(&format!("/api/v1/crashes/{}", escaped(crash)))
    }

    /// Fetches a sealed crash dump.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn crash_dump(&self, crash: &str) -> Result<Vec<u8>, ClientError> {
        let path = format!("/api/v1/crashes/{}/dump", escaped(crash));
        let mut response = self.send(Outgoing::new("GET", &path))?;
        let bytes = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec();
        bytes.map_err(|error| self.unreachable(&error))
    }

    /// Pushes a signed key set.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn push_key_set(&self, signed: Vec<u8>) -> Result<KeySet, ClientError> {
        let mut request = Outgoing::new("POST", "/api/v1/key-sets");
        request.content_type = Some("application/octet-stream");
        request.body = signed;
        self.receive(self.send(request)?)
    }

    /// Every key set, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn key_sets(&self) -> Result<Vec<KeySet>, ClientError> {
        Ok(self.get::<Page<KeySet>>("/api/v1/key-sets")?.items)
    }

    /// The factory bundle of each class that has one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn factory_bundles(&self) -> Result<Vec<FactoryBundle>, ClientError> {
        Ok(self.get::<Page<FactoryBundle>>("/api/v1/factory-bundles")?.items)
    }

    /// Chooses the factory bundle of the class that the bundle is for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn set_factory_bundle(&self, set: &SetFactoryBundle) -> Result<FactoryBundle, ClientError> {
        self.call("PUT", "/api/v1/factory-bundles", set)
    }

    /// The newest log records, oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn logs(&self, query: &LogQuery) -> Result<Vec<LogRecord>, ClientError> {
        let path = format!("/api/v1/logs?limit={}{}", query.count, query.parameters());
        Ok(self.get::<Page<LogRecord>>(&path)?.items)
    }

    /// Log records from now on.
    pub fn follow_logs(&self, query: &LogQuery) -> Follow<LogRecord> {
        let path = format!("/api/v1/logs/stream?tail={}{}", query.count, query.parameters());
        Follow::new(self.clone(), path)
    }

    /// Events from now on, of one device if given.
    pub fn follow_events(&self, device: Option<&str>) -> Follow<Event> {
        let query = device.map(|device| format!("?device={}", escaped(device))).unwrap_or_default();
        Follow::new(self.clone(), format!("/api/v1/events/stream{query}"))
    }

    /// The newest entries of the audit log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn audit(&self, count: u32) -> Result<Vec<AuditEntry>, ClientError> {
        Ok(self.get::<Page<AuditEntry>>(&format!("/api/v1/audit?limit={count}"))?.items)
    }

    fn all_pages<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let from = cursor.map(|cursor| format!("&cursor={}", escaped(&cursor))).unwrap_or_default();
            let page: Page<T> = self.get(&format!("{path}?limit={PAGE_ITEMS_MAX}{from}"))?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }
}

impl LogQuery {
    fn parameters(&self) -> String {
        let device = self.device.as_deref().map(|device| format!("&device={}", escaped(device)));
        let level = self.level.map(|level| format!("&level={}", level.as_str()));
        device.unwrap_or_default() + &level.unwrap_or_default()
    }
}

pub(crate) fn device_path(device: &str, rest: &str) -> String {
    format!("/api/v1/devices/{}{rest}", escaped(device))
}
