//! `http`: a health URL, by GET on a fresh connection.
//!
//! `look` asks (by `client`, and `tls` below it, which note when each phase began), `judge` says what the answer means,
//! and `trouble` what it means that there is none.

mod look;
mod client;
mod judge;
mod trouble;
mod tls;
mod words;
mod decode;

pub use client::Client;
pub use look::{probe, probe_with_steps};

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::words::without_secrets;
use crate::status::Timestamp;

/// How many bytes of a body are read at most: 64 KiB.
pub const BODY_LIMIT: usize = 64 * 1024;

/// How many days before the end of a certificate the service becomes `degraded`, unless configured.
pub const CERTIFICATE_DAYS: u32 = 14;

/// The settings of an `http` check.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to GET. For a unix socket the host is `localhost`.
    pub url: reqwest::Url,
    /// The unix socket to connect to, instead of the URL's host and port.
    pub unix_socket: Option<PathBuf>,
    /// Headers to send; values may be secrets and never reach the document.
    pub headers: Vec<(String, String)>,
    /// The status codes that pass (200-299 unless configured).
    pub status: Vec<RangeInclusive<u16>>,
    /// What the first 64 KiB of the body must match.
    pub body: Option<regex::Regex>,
    /// What the body must hold as JSON.
    pub json: Vec<JsonCondition>,
    /// How many redirects are followed; 0: a redirect is a failure.
    pub redirects: u8,
    /// A PEM file with the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate is not verified.
    pub insecure: bool,
    /// An answer that takes longer makes the service `degraded`.
    pub slow: Option<Duration>,
    /// The service is `degraded` when the certificate has fewer days left.
    pub certificate_days: u32,
}

/// A condition on a JSON body.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonCondition {
    /// Where to look, as RFC 6901 has it: `/status`, `/checks/0/ok`.
    pub pointer: String,
    /// What must stand there.
    pub expect: JsonExpect,
}

/// What must stand at a JSON pointer.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonExpect {
    /// Anything at all, also null.
    Exists,
    /// This value.
    Equals(serde_json::Value),
    /// A number of at least this.
    Min(f64),
    /// A number of at most this.
    Max(f64),
}

/// What an `http` check reads, in the document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// What was asked for, without user name, password and query.
    pub url: String,
    /// The status of the answer; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// From the start of the probe until the body was read, in milliseconds; absent without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// The certificate of the server, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// The server's certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Whole days until then; negative once it has expired.
    pub days_left: i64,
}

impl PartialEq for Settings {
    /// Compares what was configured, the regular expression by its text.
    fn eq(&self, other: &Self) -> bool {
        let text = |settings: &Settings| settings.body.as_ref().map(|regex| regex.as_str().to_owned());
        self.url == other.url
            && self.unix_socket == other.unix_socket
            && self.headers == other.headers
            && self.status == other.status
            && text(self) == text(other)
            && self.json == other.json
            && self.redirects == other.redirects
            && self.ca_file == other.ca_file
            && self.insecure == other.insecure
            && self.slow == other.slow
            && self.certificate_days == other.certificate_days
    }
}

impl Settings {
    /// A GET of `url` with the defaults: 200-299 passes, no redirects.
    pub fn get(url: reqwest::Url) -> Settings {
        Settings {
            url,
            unix_socket: None,
            headers: Vec::new(),
            status: vec![200..=299],
            body: None,
            json: Vec::new(),
            redirects: 0,
            ca_file: None,
            insecure: false,
            slow: None,
            certificate_days: CERTIFICATE_DAYS,
        }
    }

    /// What is known before the first probe.
    pub fn blank(&self) -> Detail {
        Detail { url: self.shown_url(), ..Detail::default() }
    }

    /// The URL without what may be secret: user name, password and query.
    pub fn shown_url(&self) -> String {
        match &self.unix_socket {
            Some(path) => format!("http://unix:{}:{}", path.display(), self.url.path()),
            None => without_secrets(&self.url),
        }
    }
}
