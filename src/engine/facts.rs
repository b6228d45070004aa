//! What the engine asks and is told about healing: plain data, read by others.

use std::time::Duration;

use crate::config::Hook;
use crate::probe::Results;

/// Names a look before a heal and the heal itself, for as long as the monitor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HealId(pub u64);

/// What was witnessed of a unit at the moment it changed. Polling cannot tell an administrator's stop from an exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitChange {
    /// The unit, by the name that the configuration calls it.
    pub unit: String,
    /// Its `ActiveState`.
    pub active: String,
    /// Whether a job was queued or running for it: somebody ordered what happens.
    pub has_job: bool,
}

/// A look at everything that may speak against a heal, to be answered by an `Inspected` event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectOrder {
    /// Comes back with the answer.
    pub id: HealId,
    /// The unit that is to be healed, if it is one.
    pub unit: Option<String>,
}

/// What that look brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The unit; none when the heal is about no unit. An error says why it could not be told.
    pub unit: Option<Result<UnitFacts, String>>,
    /// Whether the machine is up, or still or already on its way.
    pub system: SystemPhase,
    /// How the machine itself is doing.
    pub pressure: Pressure,
}

/// A unit just before a heal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFacts {
    /// `LoadState`.
    pub load: String,
    /// `ActiveState`.
    pub active: String,
    /// `SubState`.
    pub sub: String,
    /// The type of the job that is queued or runs for it.
    pub job: Option<String>,
    /// `Result` of its last run.
    pub result: Option<String>,
    /// `InvocationID` in hexadecimal digits: another one is another run.
    pub invocation: Option<String>,
    /// `RefuseManualStart` or `RefuseManualStop`: nobody may start or stop it by hand.
    pub refuses_manual: bool,
    /// `CanReload`.
    pub can_reload: bool,
    /// `StartLimitBurst` and `StartLimitIntervalUSec`: so many starts within that time, and systemd refuses the next. None
    /// when there is no limit.
    pub start_limit: Option<(u32, Duration)>,
    /// For how long it has been running.
    pub running_for: Option<Duration>,
}

/// Whether the machine is up, by systemd's `SystemState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemPhase {
    /// `initializing`, `starting`: the boot is not finished.
    Starting,
    /// `running`, `degraded`.
    Running,
    /// `stopping`, `maintenance`: on its way down.
    Stopping,
    /// Could not be told.
    Unknown,
}

/// How much the machine itself starves: the share of the last ten seconds, in percent, in which some task waited (the
/// kernel's pressure stall information, `some avg10`). None where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// For memory.
    pub memory: Option<f32>,
    /// For a CPU.
    pub cpu: Option<f32>,
    /// For disks.
    pub io: Option<f32>,
}

/// A heal, to be answered by a `HealFinished` event. Before it is made, evidence is saved, and the unit is looked at
/// once more: if it is not as in `seen`, nothing is done.
#[derive(Debug, Clone, PartialEq)]
pub struct HealOrder {
    /// Comes back with the end.
    pub id: HealId,
    /// The service's key.
    pub key: String,
    /// The incident that it belongs to: the folder of the evidence.
    pub incident: String,
    /// Its number within the incident, from 1.
    pub attempt: u32,
    /// What to do.
    pub action: Action,
    /// The unit that it is about, also when a program is what heals it.
    pub unit: Option<String>,
    /// Why, in words: for a hook, and for the evidence.
    pub reason: String,
    /// What the checks said last, for the evidence.
    pub checks: Box<Results>,
    /// The unit as it was when this was decided.
    pub seen: Option<UnitFacts>,
    /// Everything but the call.
    pub observe: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `TryRestartUnit`: a running unit; it cannot resurrect a stopped one.
    TryRestart(String),
    /// `ResetFailedUnit` if it failed, then `StartUnit`.
    Start(String),
    /// `ReloadUnit`.
    Reload(String),
    /// Run a program.
    Run(Hook),
}

/// How a heal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealEnd {
    /// The step was made. Whether it helped is for the checks to say.
    Done,
    /// The step was made and failed: why.
    Failed(String),
    /// Whether the step was made, and what came of it, could not be told: why.
    Untold(String),
    /// Nothing was done, because something changed just before: what.
    Cancelled(String),
    /// Nothing was done, because we may not: why, and what to do about it.
    Forbidden(String),
}
