//! A unit as systemd describes it. The words are systemd's own and stay strings: every release adds some, and a
//! word that we do not know must reach the reader as it is.

use crate::engine::UnitChange;

/// What one look at a unit brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// The canonical name; not the one asked for when that was an alias.
    pub name: String,
    /// `LoadState`: `loaded`, `not-found`, `bad-setting`, `error`, `masked`.
    pub load: String,
    /// `ActiveState`: `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`, `maintenance`.
    pub active: String,
    /// `SubState`: `running`, `exited`, `dead`, `auto-restart` ...
    pub sub: String,
    /// The type of the job that is queued or runs for it: `start`, `stop`, `restart` ...
    pub job: Option<String>,
    /// A unit that activates this one on demand (socket, path, timer) and is itself active.
    pub waits_for: Option<String>,
    /// For a unit that was not found: the existing one with the most similar name.
    pub nearest: Option<String>,
    /// Everything that needs a call for this unit alone.
    pub details: Details,
}

/// Properties of a single unit; all absent for a unit that is not loaded, some for one that is not a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// `Result` of the last run: `success`, `exit-code`, `signal`, `start-limit-hit` ...
    pub result: Option<String>,
    /// How the main process of the last run ended.
    pub exit: Option<Exit>,
    /// `NRestarts`: how often systemd restarted it by itself.
    pub restarts: Option<u32>,
    /// `MainPID`.
    pub main_pid: Option<u32>,
    /// `MemoryCurrent` in bytes; absent where the kernel does not account for it.
    pub memory_bytes: Option<u64>,
    /// `UnitFileState`: `enabled`, `disabled`, `static`, `masked` ...
    pub unit_file_state: Option<String>,
    /// It runs once and is then at rest: `Type=oneshot` without `RemainAfterExit=`.
    pub runs_once: bool,
    /// `TriggeredBy`: the units that start it on demand.
    pub triggered_by: Vec<String>,
    /// The latest start did not happen because a `Condition...=` of the unit was not met.
    pub condition_unmet: bool,
    /// The latest start failed because an `Assert...=` of the unit was not met.
    pub assertion_unmet: bool,
    /// When it entered its state, in microseconds since 1970.
    pub since_us: Option<u64>,
    /// When it was last started, in microseconds of the kernel's monotonic clock; absent while it does not run.
    pub started_us: Option<u64>,
}

/// How a unit was at the moment it changed, as systemd announced it. Polling cannot tell an administrator's stop from an
/// exit; this can, because whoever orders a change leaves a job until it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// The unit, by the name that was asked for, also if that is an alias.
    pub unit: String,
    /// `ActiveState`.
    pub active: String,
    /// `SubState`.
    pub sub: String,
    /// Whether a job was queued or running for it.
    pub has_job: bool,
}

impl From<Sign> for UnitChange {
    fn from(sign: Sign) -> UnitChange {
        UnitChange { unit: sign.unit, active: sign.active, has_job: sign.has_job }
    }
}

/// What a [`Watch`](super::Watch) tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// From now on every change of these units is told, and this is how they are. Told again when the set of units
    /// changes: of a unit that was in the list before, nothing was missed unless `Lost` came in between.
    Began(Vec<Sign>),
    /// A unit changed.
    Changed(Sign),
    /// Nothing is seen of any unit any more: why. `Began` follows as soon as it can.
    Lost(String),
    /// The machine began to shut down, or does not any more. Not, as long as nothing was told.
    ShuttingDown(bool),
}

/// What can be asked of systemd to make a unit well again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitCall {
    /// `TryRestartUnit`: a running unit; it cannot resurrect a stopped one.
    TryRestart,
    /// `ResetFailedUnit` if it failed, then `StartUnit`.
    Start,
    /// `ReloadUnit`.
    Reload,
}

/// Whether we may ask for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// We may.
    Given,
    /// We may not: why, and what to do about it.
    Refused(String),
    /// It could not be told: why.
    Untold(String),
}

/// How a main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// This signal killed it.
    Signal(i32),
    /// This signal killed it, and it left a core dump.
    CoreDump(i32),
}
