//! The kinds of check, one file each: its settings, what it reads (I/O), how it judges (pure).
//!
//! Adding a kind touches its own file, this one, and the shipped `config/monitor.yml`.

pub mod http;
pub mod port;
pub mod process;
pub mod systemd;
mod network;
pub mod runner;
pub mod round;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Decode, Fields, Node};

/// One way of looking at a service, with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// An HTTP health URL.
    Http(Box<http::Settings>),
    /// A TCP port or a unix socket that must accept connections.
    Port(port::Settings),
    /// The state of a systemd unit.
    Systemd(systemd::Settings),
    /// Processes, by their command line.
    Process(process::Settings),
}

impl Check {
    /// An HTTP check. Boxed, since its settings are several times as large as those of the others.
    pub fn http(settings: http::Settings) -> Check {
        Check::Http(Box::new(settings))
    }

    /// The kind's name in `monitor.yml`, in the document and on the page.
    pub fn kind(&self) -> &'static str {
        match self {
            Check::Http(_) => "http",
            Check::Port(_) => "port",
            Check::Systemd(_) => "systemd",
            Check::Process(_) => "process",
        }
    }

    /// What is known of the check before it was ever probed: its settings.
    pub fn blank(&self) -> Detail {
        match self {
            Check::Http(settings) => Detail::Http(settings.blank()),
            Check::Port(settings) => Detail::Port(settings.blank()),
            Check::Systemd(settings) => Detail::Systemd(settings.blank()),
            Check::Process(settings) => Detail::Process(settings.blank()),
        }
    }
}

/// What one probe says of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The check passes. A warning (slow, certificate about to expire) makes the service `degraded`.
    Pass {
        /// What is not as it should be, though it passes.
        warning: Option<String>,
    },
    /// The check fails.
    Fail {
        /// What happened, in words: which limit, which answer, which state.
        reason: String,
        /// What kind of failure this is for the thresholds.
        kind: Failure,
    },
    /// The probe itself could not tell (no D-Bus, no file descriptors). Never leads to healing.
    Unknown {
        /// Why it could not tell.
        reason: String,
    },
}

impl Outcome {
    /// Passes without a warning.
    pub const PASS: Outcome = Outcome::Pass { warning: None };

    /// A failure that counts towards `failure_threshold`.
    pub fn fail(reason: impl Into<String>) -> Outcome {
        Outcome::Fail { reason: reason.into(), kind: Failure::Ordinary }
    }

    /// As [`Outcome::fail`]; no answer came in time.
    pub fn late(reason: impl Into<String>) -> Outcome {
        Outcome::Fail { reason: reason.into(), kind: Failure::Late }
    }

    /// The probe itself could not tell.
    pub fn unknown(reason: impl Into<String>) -> Outcome {
        Outcome::Unknown { reason: reason.into() }
    }
}

/// What kind of failure the thresholds deal with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Counts towards `failure_threshold`: it may pass the next time.
    Ordinary,
    /// As an ordinary one; but that no answer came in time may be the fault of a machine that starves.
    Late,
    /// Needs no second look: systemd itself says `failed`.
    Certain,
    /// Not running, and nothing says that it should: masked, a condition that is not met, nothing that starts it.
    Stopped,
    /// Not running, and systemd does not tell whether somebody stopped it or it ended by itself: only who watched knows.
    /// Without a witness it counts as stopped.
    Unexplained,
    /// On its way there: systemd is stopping it right now.
    Stopping,
    /// On its way up: systemd is starting, reloading or restarting it right now.
    Starting,
}

/// What one probe brought back.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What it says of the service.
    pub outcome: Outcome,
    /// What it read, for the document.
    pub detail: Detail,
    /// How long ago the service was last started, where the check can tell (unit, process). From the kernel's
    /// monotonic clock, so that a wall clock set back or forward changes nothing.
    pub running_for: Option<Duration>,
    /// How often systemd restarted the service by itself (`NRestarts`), where the check can tell.
    pub restarts: Option<u32>,
    /// What took how long, for `wellkeep probe`.
    pub steps: Vec<Step>,
}

impl Report {
    /// A report of an outcome and a detail, and nothing else.
    pub fn new(outcome: Outcome, detail: Detail) -> Report {
        Report { outcome, detail, running_for: None, restarts: None, steps: Vec::new() }
    }

    /// How fast the service answered, in milliseconds, where the check measures that. None of a probe that did not pass:
    /// what failed may have taken as long as its timeout, or no time at all.
    pub fn latency_ms(&self) -> Option<u64> {
        match (&self.outcome, &self.detail) {
            (Outcome::Pass { .. }, Detail::Http(detail)) => detail.latency_ms,
            (Outcome::Pass { .. }, Detail::Port(detail)) => detail.latency_ms,
            _ => None,
        }
    }
}

/// One step of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `resolve`, `connect`, `first byte`, `body` ...
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What it brought: an address, a status, a number of bytes.
    pub note: String,
}

/// `1 restart`, `2 restarts`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// What a probe read, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// Of an `http` check.
    Http(http::Detail),
    /// Of a `port` check.
    Port(port::Detail),
    /// Of a `systemd` check.
    Systemd(systemd::Detail),
    /// Of a `process` check.
    Process(process::Detail),
}

impl Detail {
    /// Whether a reader would call this another state of things than the one before: another status, unit state or number
    /// of processes. Times and sizes always differ, and can wait for the next heartbeat.
    pub fn is_news_after(&self, before: &Detail) -> bool {
        match (self, before) {
            (Detail::Http(now), Detail::Http(before)) => now.status_code != before.status_code,
            (Detail::Port(_), Detail::Port(_)) => false,
            (Detail::Systemd(now), Detail::Systemd(before)) => {
                (&now.state, &now.sub_state, &now.load_state, now.restarts)
                    != (&before.state, &before.sub_state, &before.load_state, before.restarts)
            }
            (Detail::Process(now), Detail::Process(before)) => now.count != before.count,
            _ => true,
        }
    }
}

/// The checks of a service in the document: one field a kind, absent when the service has no such check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// The HTTP health URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<CheckStatus<http::Detail>>,
    /// The TCP port or unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<CheckStatus<port::Detail>>,
    /// The systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd: Option<CheckStatus<systemd::Detail>>,
    /// The processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<CheckStatus<process::Detail>>,
}

impl Results {
    /// Puts one check's latest result in its place.
    pub fn insert(&mut self, verdict: Verdict, reason: Option<String>, severity: Severity, detail: Detail) {
        match detail {
            Detail::Http(detail) => self.http = Some(CheckStatus::new(verdict, reason, severity, detail)),
            Detail::Port(detail) => self.port = Some(CheckStatus::new(verdict, reason, severity, detail)),
            Detail::Systemd(detail) => {
                self.systemd = Some(CheckStatus::new(verdict, reason, severity, detail));
            }
            Detail::Process(detail) => {
                self.process = Some(CheckStatus::new(verdict, reason, severity, detail));
            }
        }
    }
}

/// The latest result of one check in the document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckStatus<D> {
    /// Whether the latest probe passed.
    pub ok: bool,
    /// What the latest probe said: `ok` is true for `pass` alone.
    pub outcome: Verdict,
    /// Why it does not pass, or what is not as it should be though it passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a failure makes the service `down` or only `degraded`.
    #[serde(default, skip_serializing_if = "Severity::is_critical")]
    pub severity: Severity,
    /// What was read.
    #[serde(flatten)]
    pub detail: D,
}

impl<D> CheckStatus<D> {
    fn new(outcome: Verdict, reason: Option<String>, severity: Severity, detail: D) -> Self {
        CheckStatus { ok: outcome == Verdict::Pass, outcome, reason, severity, detail }
    }
}

/// The three answers that a probe can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It fails.
    Fail,
    /// Not looked yet, or the probe could not tell.
    Unknown,
}

/// What a failing check does to its service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The service is `down` when the failure is confirmed.
    #[default]
    Critical,
    /// The service is `degraded`.
    Warning,
}

impl Severity {
    fn is_critical(&self) -> bool {
        *self == Severity::Critical
    }
}

/// How a kind of check is written in `monitor.yml`.
pub(crate) struct Form {
    /// The key of the short form, a single value.
    pub(crate) short: &'static str,
    /// The key of the long form, a block. It may be the same key.
    pub(crate) long: &'static str,
    /// The keys of the block, besides `severity`.
    pub(crate) block_keys: &'static [&'static str],
    /// Understands the short form.
    pub(crate) decode_short: fn(&mut Decode<'_>, &Node) -> Option<Check>,
    /// Understands the block.
    pub(crate) decode_block: fn(&mut Decode<'_>, Fields<'_>) -> Option<Check>,
}

/// The kinds in the order in which a service has its checks.
pub(crate) const FORMS: [Form; 4] = [
    Form {
        short: "url",
        long: "http",
        block_keys: &http::Settings::KEYS,
        decode_short: |decode, node| http::Settings::decode_short(decode, node).map(Check::http),
        decode_block: |decode, fields| http::Settings::decode_block(decode, fields).map(Check::http),
    },
    Form {
        short: "port",
        long: "port",
        block_keys: &port::Settings::KEYS,
        decode_short: |decode, node| port::Settings::decode_short(decode, node).map(Check::Port),
        decode_block: |decode, fields| port::Settings::decode_block(decode, fields).map(Check::Port),
    },
    Form {
        short: "systemd",
        long: "systemd",
        block_keys: &systemd::Settings::KEYS,
        decode_short: |decode, node| systemd::Settings::decode_short(decode, node).map(Check::Systemd),
        decode_block: |decode, fields| systemd::Settings::decode_block(decode, fields).map(Check::Systemd),
    },
    Form {
        short: "process_match",
        long: "process",
        block_keys: &process::Settings::KEYS,
        decode_short: |decode, node| process::Settings::decode_short(decode, node).map(Check::Process),
        decode_block: |decode, fields| process::Settings::decode_block(decode, fields).map(Check::Process),
    },
];
