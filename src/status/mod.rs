//! The document: the content of `status.json`, and the contract with everybody who reads it.
//!
//! The shape users already read is fixed (`services.KEY.{key,name,ok,http,port,systemd,process,last_checked}`,
//! `ok_count`, `fail_count`, `total`, `mode`); everything else is an addition to it. A check that a service does
//! not have is absent, never null. The JSON Schema that is shipped is generated from these types.

mod healing;
pub mod history;
mod ledger;
pub mod lock;
mod memory;
pub mod read;
mod time;
pub(crate) mod worker;
pub mod write;

pub use healing::{
    HealMode, HealPhase, HealResult, HealStatus, HealTotals, Hold, HostHeals, Incident, LastHeal,
};
pub use history::Uptime;
pub use ledger::{Decision, Entry};
pub use memory::{BelievedMemory, CheckMemory, EndMemory, Memory, ServiceMemory};
pub use time::Timestamp;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::Results;

/// The version of the document's shape. It goes up when a field changes its meaning or goes away; a new field
/// does not change it.
pub const SCHEMA: u32 = 1;

/// A reader calls the document stale when it is older than this, in seconds: three missed heartbeats of 5 s.
pub const STALE_AFTER_S: u32 = 15;

/// The JSON Schema of `status.json` (a [`Document`]) or of an answer of the viewer, as text with a line end.
pub fn schema<T: JsonSchema>() -> String {
    let schema = schemars::schema_for!(T);
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON") + "\n"
}

/// The whole of `status.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// The version of this shape: 1.
    pub schema: u32,
    /// Where the figures come from.
    pub mode: Mode,
    /// The worst state of all services; `unknown` when there are none.
    pub overall: State,
    /// How many services are `ok`. `ok_count + fail_count == total`, always.
    pub ok_count: u32,
    /// How many services are not `ok`.
    pub fail_count: u32,
    /// How many services there are.
    pub total: u32,
    /// When this document was made, by the wall clock of the host.
    pub generated_at: Timestamp,
    /// Counts the documents since the monitor started, from 1.
    pub sequence: u64,
    /// The kernel's id of this boot: a document with another one is from before a reboot.
    pub boot_id: String,
    /// After how many seconds without a new document a reader must call this one stale.
    pub stale_after_s: u32,
    /// The machine.
    pub host: Host,
    /// The monitor that wrote this.
    pub monitor: Monitor,
    /// The services by key, in the order of the configuration.
    pub services: IndexMap<String, Service>,
}

/// Where the figures of a document come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A monitor wrote them.
    ProductionMonitoring,
    /// No monitor runs; the viewer looked for itself.
    LiveChecks,
}

/// What we believe of a service after thresholds. The order is from worst to best, so `min` is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// `failure_threshold` reached, or systemd says failed.
    Down,
    /// It keeps dying and being restarted: more than five starts an hour.
    Unstable,
    /// Passes, but slow, or a check marked `severity: warning` fails, or failing and not yet confirmed.
    Degraded,
    /// Not looked yet, or the probes cannot tell.
    Unknown,
    /// Within `start_grace` of a start and not yet well.
    Starting,
    /// Down, and something it `depends_on` is down.
    Blocked,
    /// A person asked for a pause.
    Held,
    /// An administrator stopped the unit, or it is masked, or disabled and inactive.
    Stopped,
    /// Every check passes, and `success_threshold` was reached.
    Up,
}

impl State {
    /// All of them, from worst to best.
    pub const ALL: [State; 9] = [
        State::Down,
        State::Unstable,
        State::Degraded,
        State::Unknown,
        State::Starting,
        State::Blocked,
        State::Held,
        State::Stopped,
        State::Up,
    ];

    /// The word in the document, in the log and on the page.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Down => "down",
            State::Unstable => "unstable",
            State::Degraded => "degraded",
            State::Unknown => "unknown",
            State::Starting => "starting",
            State::Blocked => "blocked",
            State::Held => "held",
            State::Stopped => "stopped",
            State::Up => "up",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The machine that is watched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// The host name.
    pub name: String,
    /// The operating system, as `/etc/os-release` calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The kernel's release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Seconds since boot.
    pub uptime_s: u64,
    /// How many CPUs there are.
    pub cpus: u32,
    /// The load averages of 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Memory of the machine, in bytes.
    pub memory_total_bytes: u64,
    /// Memory that can be had without swapping, in bytes.
    pub memory_available_bytes: u64,
}

/// The monitor that wrote the document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Monitor {
    /// `running`, or `stopped` in the last document before an orderly end.
    pub state: MonitorState,
    /// The program's version.
    pub version: String,
    /// The monitor's process id.
    pub pid: u32,
    /// When the monitor started.
    pub started_at: Timestamp,
    /// The configuration in force.
    pub config: ConfigInForce,
    /// Why healing cannot act on this machine, whatever the configuration says: no permission, no D-Bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cannot_heal: Option<String>,
    /// The heals of all services together; absent in documents of a monitor that did not tell yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heals: Option<HostHeals>,
}

/// Whether the monitor that wrote the document is still at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MonitorState {
    /// At work when it wrote this.
    Running,
    /// It ended in good order, and this was its last document.
    Stopped,
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigInForce {
    /// The file it was read from; absent when there was none (`wellkeep dev` without a configuration).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When it was read.
    pub loaded_at: Timestamp,
    /// Why a newer file is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What of it is not in force before the monitor is restarted: where the document and the state are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_restart: Option<String>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// The key, as in `monitor.yml`.
    pub key: String,
    /// The name for people.
    pub name: String,
    /// The verdict: true for up and degraded, false for down, unstable and blocked; for the other states the
    /// last verdict of the checks (never looked: false).
    pub ok: bool,
    /// What we believe of the service; see [`State`].
    pub state: State,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why it is in this state, in words. Absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The group it is shown in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether it drives the page's banner.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub primary: bool,
    /// How often in a row its checks failed: the check with the most counts.
    pub consecutive_failures: u32,
    /// When a check last ended; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_checked: Option<Timestamp>,
    /// When the next round is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_check: Option<Timestamp>,
    /// The keys of the services that this one needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// The checks, by kind: `http`, `port`, `systemd`, `process`.
    #[serde(flatten)]
    pub checks: Results,
    /// Healing; absent when nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heal: Option<HealStatus>,
    /// The pause that a person asked for, while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The open incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    /// How large a share of its time it was well; absent when no monitor keeps count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime: Option<Uptime>,
    /// The latest transitions, newest last, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Transition>,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transition {
    /// When it was noticed.
    pub at: Timestamp,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
