//! `port`: a TCP port or a unix socket that must accept a connection.

mod connect;

pub use connect::probe;

use std::net::Ipv6Addr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Decode, Fields, Node, Refusal, absolute_path, tcp_port};

/// The settings of a `port` check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// A TCP port.
    Tcp {
        /// A host name or an address (`127.0.0.1` unless configured; IPv6 without brackets).
        host: String,
        /// The port, 1 to 65535.
        port: u16,
    },
    /// A unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
    },
}

/// What a `port` check reads, in the document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// The host connected to; absent for a unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port connected to; absent for a unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The unix socket's path; absent for a TCP port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// From the start of the probe until the connection stood, in milliseconds; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
}

impl Settings {
    /// What is known before the first probe.
    pub fn blank(&self) -> Detail {
        match self {
            Settings::Tcp { host, port } => {
                Detail { host: Some(host.clone()), port: Some(*port), ..Detail::default() }
            }
            Settings::Unix { path } => Detail { path: Some(path.display().to_string()), ..Detail::default() },
        }
    }
}

/// What a check without a host connects to.
const LOOPBACK: &str = "127.0.0.1";

/// The forms of a `port` check in `monitor.yml`.
impl Settings {
    pub(crate) const KEYS: [&str; 3] = ["host", "port", "path"];

    /// `5000`, `db.example:5432`, `[::1]:5000` or `unix:/run/app.sock`.
    pub(crate) fn decode_short(decode: &mut Decode<'_>, node: &Node) -> Option<Settings> {
        let help = "write 5000, HOST:5000, [::1]:5000 or unix:/run/app.sock";
        decode.parsed(node, "a port", help, |text| {
            if let Some(path) = text.strip_prefix("unix:") {
                let path =
                    absolute_path(path).map_err(|_| Refusal::new("names no absolute path after `unix:`"))?;
                return Ok(Settings::Unix { path });
            }
            let (host, port) = match text.rsplit_once(':') {
                Some((host, port)) => (host_before_port(host)?, port),
                None => (LOOPBACK.to_owned(), text),
            };
            let port = tcp_port(port)?;
            Ok(Settings::Tcp { host, port })
        })
    }

    /// `{host: ..., port: ...}` or `{path: ...}`.
    pub(crate) fn decode_block(decode: &mut Decode<'_>, fields: Fields<'_>) -> Option<Settings> {
        if let Some(path) = fields.get("path") {
            if let Some(key) = fields.key("port").or(fields.key("host")) {
                let help = "keep `path` for a unix socket, or `host` and `port` for TCP";
                decode.complain(key, "found this beside `path`", help);
            }
            let path = decode.absolute_path(path)?;
            return Some(Settings::Unix { path });
        }
        let host = match fields.get("host") {
            Some(node) => {
                let help = "write a host name or an address, the port under `port`";
                decode.parsed(node, "a host", help, host_alone)
            }
            None => Some(LOOPBACK.to_owned()),
        };
        let Some(port) = fields.get("port") else {
            decode.complain(fields.node, "found a port check without `port`", "add for example port: 5000");
            return None;
        };
        let port = decode.parsed(port, "a port number", "write a number from 1 to 65535", tcp_port);
        Some(Settings::Tcp { host: host?, port: port? })
    }
}

/// A host as it stands before a port: an IPv6 address has brackets there.
fn host_before_port(text: &str) -> Result<String, Refusal> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bare.is_none() && text.contains(':') {
        let refusal = Refusal::new("has more than one colon");
        return Err(refusal.help("put brackets around an IPv6 address: [::1]:5000"));
    }
    host_alone(bare.unwrap_or(text))
}

/// A host name or an address, IPv6 without brackets.
fn host_alone(text: &str) -> Result<String, Refusal> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(address.to_string());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.is_empty() || !text.chars().all(allowed) {
        return Err(Refusal::new("does not name a host"));
    }
    Ok(text.to_owned())
}
