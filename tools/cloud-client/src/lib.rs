//! Client of the REST API.
//!
//! Blocking: the tools that use it do one thing at a time. [`Client`] has one method a route; [`Follow`] reads a
//! stream of server-sent events and comes back by itself, with the last id it saw, when the connection breaks.
#![forbid(unsafe_code)]

mod application;
mod debug;
mod error;
mod follow;
mod routes;

use std::net::IpAddr;
use std::time::Duration;

use bulkhead_cloud_api::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::uri::Scheme;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

pub use application::MessageQuery;
pub use debug::{DebugRecord, DebugRecords};
pub use error::ClientError;
pub use follow::Follow;
pub use routes::{ClaimAnswer, LogQuery};

/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of a server. Streams send a comment every 15 s.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer that is read into memory, in bytes.
const ANSWER_LEN_MAX: u64 = 64 * 1024 * 1024;

/// A server and, once logged in, a token for it.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    server: String,
    token: Option<String>,
}

impl Client {
    /// A client of the server at `server`, such as `http://127.0.0.1:8420`.
    pub fn new(server: &str, token: Option<String>) -> Self {
        // The system's certificates, so that a company's own authority is trusted like everywhere else.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.new_agent(), server: server.trim_end_matches('/').to_owned(), token }
    }

    /// Address of the server, as given.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether a token goes with each request.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the token can be read on its way: it leaves this machine, and not through TLS.
    pub fn is_overheard(&self) -> bool {
        let Ok(uri) = self.server.parse::<Uri>() else { return false };
        let is_local = uri.host().is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            host.eq_ignore_ascii_case("localhost")
                || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        });
        uri.scheme() != Some(&Scheme::HTTPS) && !is_local
    }

    fn send(&self, request: Outgoing<'_>) -> Result<Response<Body>, ClientError> {
        let (path, _) = request.path.split_once('?').unwrap_or((request.path, ""));
        // Of an empty segment nothing would be left but another path.
        if path.contains("//") || path.ends_with('/') {
            return Err(ClientError::Nameless);
        }
        let url = format!("{}{}", self.server, request.path);
        let mut builder = Request::builder().method(request.method).uri(&url);
        if let Some(token) = &self.token {
            builder = builder.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = &request.idempotency_key {
            builder = builder.header("idempotency-key", key);
        }
        if let Some(content_type) = request.content_type {
            builder = builder.header("content-type", content_type);
        }
        if let Some(id) = request.last_event_id {
            builder = builder.header("last-event-id", id.to_string());
        }
        let outgoing = builder
            .body(request.body)
            .map_err(|error| ClientError::Address { server: self.server.clone(), why: error.to_string() })?;
        let mut response = self.agent.run(outgoing).map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec().unwrap_or_default();
        match serde_json::from_slice::<Problem>(&text) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(self.not_a_problem(status)),
        }
    }

    /// A failure that is none of Bulkhead's. Proxies answer for a server that is away, such as one that starts again.
    fn not_a_problem(&self, status: u16) -> ClientError {
        let server = self.server.clone();
        match status {
            502..=504 => {
                let why = format!("a proxy before it says that it is away (status {status})");
                ClientError::Unreachable { server, why }
            }
            _ => ClientError::NotBulkhead { server, status },
        }
    }

    fn receive<T: DeserializeOwned>(&self, mut response: Response<Body>) -> Result<T, ClientError> {
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec();
        let bytes = bytes.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes)
            .map_err(|_| ClientError::NotBulkhead { server: self.server.clone(), status })
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.receive(self.send(Outgoing::new("GET", path))?)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.receive(self.send(Outgoing::json(method, path, body))?)
    }

    fn unreachable(&self, error: &ureq::Error) -> ClientError {
        match error {
            ureq::Error::BadUri(why) => {
                ClientError::Address { server: self.server.clone(), why: why.clone() }
            }
            other => ClientError::Unreachable { server: self.server.clone(), why: other.to_string() },
        }
    }
}

/// A request before it is sent.
struct Outgoing<'a> {
    method: &'static str,
    path: &'a str,
    content_type: Option<&'static str>,
    last_event_id: Option<i64>,
    idempotency_key: Option<String>,
    body: Vec<u8>,
}

impl<'a> Outgoing<'a> {
    fn new(method: &'static str, path: &'a str) -> Self {
        Self {
            method,
            path,
            content_type: None,
            last_event_id: None,
            idempotency_key: None,
            body: Vec::new(),
        }
    }

    fn json(method: &'static str, path: &'a str, body: &impl Serialize) -> Self {
        // The API's own types always serialise.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { content_type: Some("application/json"), body, ..Self::new(method, path) }
    }
}

/// One segment of a path, or one value of a query, with everything but letters, digits and `-._~` escaped.
fn escaped(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_overheard_where_it_leaves_the_machine_without_tls() {
        for (server, overheard) in [
            ("http://127.0.0.1:8420", false),
            ("http://127.1.2.3", false),
            ("http://localhost:8420", false),
            ("http://LocalHost", false),
            ("http://[::1]:8420", false),
            ("https://bulkhead.example", false),
            ("http://bulkhead.example", true),
            ("http://127.evil.example", true),
            ("http://127.0.0.1.evil.example", true),
            ("http://localhost.evil.example", true),
            ("http://127.0.0.1@evil.example", true),
            ("http://[2001:db8::1]:8420", true),
            ("http://10.0.0.7", true),
        ] {
            assert_eq!(Client::new(server, None).is_overheard(), overheard, "{server}");
        }
    }
}
