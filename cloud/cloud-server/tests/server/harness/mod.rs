//! A real server on port 0 and a fake device over real TCP.

mod device;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bulkhead_bundle_format::{
    AreaImage, AreaKind, ManifestFields, Medium, Policy, Revisions, Signer, encode_manifest, write_bundle,
};
use bulkhead_cloud_api::to_hex;
use bulkhead_cloud_server::{Config, Server};
use bulkhead_device_gateway::Limits;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) use device::{FakeDevice, Keys, Said};

/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Looks in a row that find nothing more sent before a connection counts as clogged.
const CLOGGED_LOOKS: u32 = 4;

/// Class of every fake device.
pub(crate) const CLASS: &str = "mps2-an505";

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("runtime"))
}

/// A running server in a directory of its own.
pub(crate) struct TestServer {
    pub(crate) data_dir: PathBuf,
    pub(crate) admin: String,
    server: Option<Server>,
    limits: Limits,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// The stable code of a problem.
    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or("-")
    }

    /// The body of a success.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.json);
        self.json
    }
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("randomness");
        let data_dir = std::env::temp_dir().join(format!("bulkhead-server-{}", to_hex(&random)));
        let server = start(&data_dir, limits).expect("starts");
        let admin = server.first_token.as_ref().expect("first token").secret.clone();
        Self { data_dir, admin, server: Some(server), limits }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("runs")
    }

    /// Stops the server and starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.server = Some(start(&self.data_dir, self.limits).expect("starts again"));
    }

    /// As `restart`, with the API at a given address.
    pub(crate) fn restart_at(&mut self, api: std::net::SocketAddr) {
        self.stop();
        let config = Config { listen: api, ..config(&self.data_dir, self.limits) };
        self.server = Some(runtime().block_on(Server::start(config)).expect("starts again"));
    }

    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            runtime().block_on(server.stop());
        }
    }

    /// Why a second server on the same data does not start.
    pub(crate) fn start_another(&self) -> String {
        start(&self.data_dir, self.limits).err().map(|error| error.to_string()).unwrap_or_default()
    }

    pub(crate) fn gave_a_token_again(&self) -> bool {
        self.server().first_token.is_some()
    }

    pub(crate) fn device_address(&self) -> std::net::SocketAddr {
        self.server().device_address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server().api_address)
    }

    /// Asks the API as `token`.
    pub(crate) fn ask_as(&self, token: Option<&str>, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.first() == Some(&b'{') {
            request = request.header("content-type", "application/json");
        }
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut response = agent.run(request.body(body).expect("request")).expect("answer");
        let bytes = response.body_mut().read_to_vec().expect("body");
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status: response.status().as_u16(), json, bytes }
    }

    /// Asks the API as the administrator.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.ask_as(Some(&self.admin), method, path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask("GET", path, Value::Null).ok()
    }

    /// A token with `role`.
    pub(crate) fn token(&self, role: &str) -> String {
        let body = json!({ "account": "ada", "name": role, "roles": [role] });
        self.ask("POST", "/api/v1/tokens", body).ok()["secret"].as_str().expect("secret").to_owned()
    }

    /// Revokes a token, given its secret.
    pub(crate) fn revoke(&self, secret: &str) {
        let id = secret.split('_').nth(1).expect("an id");
        assert_eq!(self.ask("DELETE", &format!("/api/v1/tokens/{id}"), Value::Null).status, 204);
    }

    /// What a factory knows of the server.
    pub(crate) fn keys(&self, device: u8) -> Keys {
        let info = self.get("/api/v1/info");
        let hex = |value: &Value| bulkhead_cloud_api::from_hex(value.as_str().expect("text")).expect("hex");
        Keys {
            private: [device; 32],
            server: hex(&info["server_public_keys"][0]),
            next_server: hex(&info["server_public_keys"][1]),
            realm: bulkhead_cloud_api::from_hex(info["realm_id"].as_str().expect("text")).expect("hex"),
        }
    }

    /// Registers and claims device number `device` and returns its id.
    pub(crate) fn own(&self, device: u8) -> String {
        let keys = self.keys(device);
        let registered = self.ask("POST", "/api/v1/devices", keys.registration()).ok();
        let id = registered["id"].as_str().expect("id").to_owned();
        let claim = json!({ "claim_token": to_hex(&Keys::CLAIM_TOKEN) });
        self.ask("POST", &format!("/api/v1/devices/{id}/claim"), claim).ok();
        id
    }

    /// A device of that number, connected and welcomed.
    pub(crate) fn connect(&self, device: u8) -> FakeDevice {
        let mut device = FakeDevice::connect(self.device_address(), &self.keys(device));
        device.expect("established", |said| matches!(said, Said::Established));
        device.hello(None);
        device.expect("welcome", |said| matches!(said, Said::Welcome(_)));
        device
    }

    /// Asks for `path` until `good` likes the answer.
    pub(crate) fn wait_for(&self, what: &str, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if good(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what} did not come; last answer: {answer:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has the connection of device `id` so full that the server can send nothing more, because it is not read.
    pub(crate) fn clog(&self, id: &str, device: &mut FakeDevice, manifest: [u8; 32], area: u32) {
        device.ask_without_reading(manifest, area);
        let sent =
            || self.get(&format!("/api/v1/devices/{id}"))["link"]["bytes_out"].as_u64().expect("a link");
        let (mut before, mut n_unchanged) = (0, 0);
        // Neither end may have had its turn between two looks.
        while n_unchanged < CLOGGED_LOOKS {
            let now = sent();
            n_unchanged = if now == before { n_unchanged + 1 } else { 0 };
            before = now;
            std::thread::sleep(Duration::from_millis(500));
        }
        assert!(before < u64::from(device::CLOGGING_BYTES), "{before} bytes found room");
    }

    /// Opens a stream of server-sent events.
    pub(crate) fn stream(&self, path: &str, last_event_id: Option<i64>) -> Stream {
        self.stream_as(&self.admin, path, last_event_id)
    }

    /// As `stream`, as `token`.
    pub(crate) fn stream_as(&self, token: &str, path: &str, last_event_id: Option<i64>) -> Stream {
        let mut request = ureq::http::Request::builder()
            .uri(self.url(path))
            .header("authorization", format!("Bearer {token}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id.to_string());
        }
        let agent = ureq::Agent::config_builder().timeout_per_read(Some(PATIENCE)).build().new_agent();
        let response = agent.run(request.body(()).expect("request")).expect("stream");
        Stream(BufReader::new(response.into_body().into_reader()))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

fn start(data_dir: &std::path::Path, limits: Limits) -> Result<Server, bulkhead_cloud_server::StartError> {
    runtime().block_on(Server::start(config(data_dir, limits)))
}

fn config(data_dir: &std::path::Path, limits: Limits) -> Config {
    let loopback = ([127, 0, 0, 1], 0).into();
    Config { data_dir: data_dir.to_owned(), listen: loopback, device_listen: loopback, limits }
}

/// A stream of server-sent events.
pub(crate) struct Stream(BufReader<ureq::BodyReader<'static>>);

impl Stream {
    /// The id behind which the stream goes on, told before anything else.
    pub(crate) fn place(&mut self) -> i64 {
        let mut event = String::new();
        for _ in 0..2 {
            self.0.read_line(&mut event).expect("stream goes on");
        }
        let id = event.strip_prefix("id: ").and_then(|rest| rest.strip_suffix("\n\n"));
        id.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no id alone: {event:?}"))
    }

    /// The data of the next event; `None` once the stream has ended.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).expect("stream goes on") == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).expect("JSON"));
            }
        }
    }
}

/// What a bundle of the tests is like.
pub(crate) struct Recipe {
    pub(crate) version: &'static str,
    pub(crate) sequence: u64,
    pub(crate) class: &'static str,
    pub(crate) board: Revisions,
    pub(crate) abi: Revisions,
}

impl Default for Recipe {
    fn default() -> Self {
        let any = Revisions { least: 1, greatest: 1 };
        Self { version: "1.0.0", sequence: 1, class: CLASS, board: any, abi: any }
    }
}

/// Images by area id.
pub(crate) type Images = Vec<(u32, Vec<u8>)>;

/// A bundle file with two areas, and their images.
pub(crate) fn bundle(recipe: &Recipe) -> (Vec<u8>, Images) {
    let fill = |len: usize, salt: u8| -> Vec<u8> {
        let byte = |n: usize| n.to_le_bytes()[0] ^ n.to_le_bytes()[1] ^ salt;
        (0..len).map(byte).collect()
    };
    let salt = recipe.version.bytes().fold(0, u8::wrapping_add);
    let images = vec![(0, fill(20_001, salt)), (3, fill(9_000, salt ^ 0x55))];
    let area = |at: usize, medium, page_size| AreaImage {
        id: images[at].0,
        medium,
        base: 0,
        length: u32::try_from(images[at].1.len()).expect("small"),
        kind: AreaKind::Code,
        page_size,
        image: &images[at].1,
    };
    let areas = [area(0, Medium::Die, 8192), area(1, Medium::External, 4096)];
    let payload = encode_manifest(&ManifestFields {
        update_id: [salt; 16],
        sequence: recipe.sequence,
        security_counter: 0,
        device_class: recipe.class,
        board_revisions: recipe.board,
        abi: recipe.abi,
        name: "hello",
        version: recipe.version,
        areas: &areas,
        policy: Policy::default(),
    })
    .expect("manifest");
    let file = write_bundle(&payload, &areas, &Signer::from_secret(&[9; 32])).expect("bundle");
    (file, images)
}
