//! `systemd`: the state of a unit, over D-Bus; one call for all units of a tick.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Failure, Outcome, Report, Step, counted};
use crate::config::{Decode, Fields, Node, Refusal};
use crate::host;
use crate::status::Timestamp;
use crate::systemd::{Bus, BusError, Details, Exit, UnitState};

/// The settings of a `systemd` check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The unit's full name, checked when the configuration was read: an invalid one would shift the rows of
    /// `ListUnitsByNames`, a template's name would make the whole call fail.
    pub unit: String,
}

/// What a `systemd` check reads, in the document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// The unit.
    pub unit: String,
    /// systemd's `ActiveState` (`active`, `inactive`, `failed`, `activating` ...), or `unknown`.
    pub state: String,
    /// systemd's `SubState`: `running`, `exited`, `dead`, `auto-restart` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_state: Option<String>,
    /// systemd's `LoadState`: `loaded`, `not-found`, `bad-setting`, `masked` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_state: Option<String>,
    /// Whether the unit starts at boot: `enabled`, `disabled`, `static`, `masked` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_file_state: Option<String>,
    /// How it last ended: `success`, `exit-code`, `signal`, `core-dump`, `oom-kill`, `timeout`, `watchdog` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// How often systemd restarted it by itself (`NRestarts`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// The main process; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_pid: Option<u32>,
    /// Memory of the unit's control group in bytes; absent where the kernel does not account for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Since when the unit is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Probes all these units with one call; the reports are in the order of the settings. Without a bus, and when it does
/// not answer within `timeout`, every outcome is unknown: that says nothing about the units.
pub async fn probe_all(bus: &Bus, settings: &[&Settings], timeout: Duration) -> Vec<Report> {
    if settings.is_empty() {
        return Vec::new();
    }
    let began = Instant::now();
    let names: Vec<&str> = settings.iter().map(|settings| settings.unit.as_str()).collect();
    let units = bus.units(&names, timeout).await;
    let step = Step {
        name: "ask systemd",
        took: began.elapsed(),
        note: format!("{} in one call", counted(names.len(), "unit")),
    };
    let reports = match units {
        Ok(units) => settings.iter().zip(&units).map(|(settings, unit)| report(settings, unit)).collect(),
        Err(error) => settings.iter().map(|settings| unknown(settings, &error)).collect::<Vec<_>>(),
    };
    reports.into_iter().map(|report| Report { steps: vec![step.clone()], ..report }).collect()
}

fn unknown(settings: &Settings, error: &BusError) -> Report {
    Report::new(Outcome::unknown(error.to_string()), super::Detail::Systemd(settings.blank()))
}

fn report(settings: &Settings, unit: &UnitState) -> Report {
    let details = &unit.details;
    let detail = Detail {
        unit: settings.unit.clone(),
        state: unit.active.clone(),
        sub_state: Some(unit.sub.clone()),
        load_state: Some(unit.load.clone()),
        unit_file_state: details.unit_file_state.clone(),
        result: details.result.clone(),
        restarts: details.restarts,
        main_pid: details.main_pid,
        memory_bytes: details.memory_bytes,
        since: details.since_us.and_then(timestamp),
    };
    let running_for = |started| Duration::from_micros(host::monotonic_us().saturating_sub(started));
    Report {
        running_for: details.started_us.map(running_for),
        restarts: details.restarts,
        ..Report::new(judge(unit), super::Detail::Systemd(detail))
    }
}

fn timestamp(micros: u64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(i64::try_from(micros / 1000).ok()?))
}

/// What the state of a unit means for the service behind it.
///
/// | active | load | and | outcome |
/// |---|---|---|---|
/// | active, reloading, refreshing | loaded | | pass |
/// | | not loaded any more | | pass with a warning: the next start will fail |
/// | activating | | a oneshot at work | pass |
/// | | | | starting; in `auto-restart` systemd's own restart is awaited |
/// | deactivating | | job stop | stopping: an administrator, a dependency or the shutdown |
/// | | | job restart or start | starting |
/// | | | no job, a oneshot after its work | pass |
/// | | | no job | fails: it ended by itself |
/// | maintenance | | | stopped: `systemctl clean` |
/// | failed, inactive | masked | | stopped |
/// | failed | | | fails for certain |
/// | inactive | not-found, bad-setting, error | | fails: a fault of the configuration |
/// | | loaded | see `judge_inactive` | |
///
/// A word that is not in the table is unknown, and named: a newer systemd than this program.
pub fn judge(unit: &UnitState) -> Outcome {
    match (unit.active.as_str(), unit.load.as_str()) {
        ("active" | "reloading" | "refreshing", "loaded") => Outcome::PASS,
        ("active" | "reloading" | "refreshing", load) => Outcome::Pass {
            warning: Some(format!(
                "{}, but its unit file is {load} by now: the next start will fail",
                unit.sub
            )),
        },
        ("activating", _) => judge_activating(unit),
        ("deactivating", _) => judge_deactivating(unit),
        ("maintenance", _) => stopped("in maintenance: `systemctl clean` is removing its data"),
        ("failed" | "inactive", "masked") => stopped(format!(
            "masked: nothing can start it (`systemctl unmask {}` allows it again)",
            unit.name
        )),
        ("failed", _) => Outcome::Fail {
            reason: format!("failed: {}{}", ending(&unit.details), restarts_before(&unit.details)),
            kind: Failure::Certain,
        },
        ("inactive", "not-found") => Outcome::fail(not_found(unit)),
        ("inactive", load @ ("bad-setting" | "error")) => Outcome::fail(format!(
            "systemd cannot load {name} ({load}): `systemd-analyze verify {name}` says why",
            name = unit.name
        )),
        ("inactive", "loaded") => judge_inactive(unit),
        (active, load) => Outcome::unknown(format!(
            "systemd calls it {active} ({load}), words that this version does not know"
        )),
    }
}

fn judge_activating(unit: &UnitState) -> Outcome {
    match unit.sub.as_str() {
        "auto-restart" | "auto-restart-queued" => starting(format!(
            "systemd restarts it by itself; {} so far; before that: {}",
            counted(unit.details.restarts.unwrap_or(0) as usize, "restart"),
            ending(&unit.details)
        )),
        // Never `active` in its life: this is what it looks like when it does its work.
        _ if unit.details.runs_once => Outcome::PASS,
        sub => starting(format!("systemd is starting it ({sub})")),
    }
}

/// While an administrator stops a unit, a stop job stands until the end; a process that ends by itself has none.
fn judge_deactivating(unit: &UnitState) -> Outcome {
    match unit.job.as_deref() {
        // The whole reason: what is told of a stop is told once, and this may be the only look during it.
        Some("stop") => Outcome::Fail {
            reason: format!("being stopped ({}): an administrator, or a dependency, ordered it", unit.sub),
            kind: Failure::Stopping,
        },
        Some("restart" | "try-restart" | "start") => {
            starting(format!("being restarted: it is stopping ({})", unit.sub))
        }
        Some(job) => starting(format!("it is stopping ({}), with a {job} job to follow", unit.sub)),
        // The ordinary end of its work, with an ExecStopPost= behind it.
        None if unit.details.runs_once => Outcome::PASS,
        None => Outcome::fail(format!("it ended by itself and is being cleaned up ({})", unit.sub)),
    }
}

/// A unit that is loaded and does not run. The order matters: what explains the silence best stands first.
fn judge_inactive(unit: &UnitState) -> Outcome {
    let details = &unit.details;
    let clean = matches!(details.result.as_deref(), None | Some("success"));
    match details {
        _ if unit.waits_for.is_some() => Outcome::PASS,
        _ if matches!(unit.job.as_deref(), Some("start" | "restart")) => {
            starting("systemd is about to start it (a start job is queued)")
        }
        Details { assertion_unmet: true, .. } => Outcome::fail(format!(
            "not started: an Assert...= of the unit is not met (`systemctl status {}` shows which)",
            unit.name
        )),
        Details { condition_unmet: true, .. } => stopped(format!(
            "not started: a Condition...= of the unit is not met (`systemctl status {}` shows which)",
            unit.name
        )),
        Details { result: Some(result), .. } if result == "exec-condition" => {
            stopped("not started: its ExecCondition= said no")
        }
        _ if !clean => Outcome::fail(format!("inactive, and it did not end well: {}", ending(details))),
        Details { runs_once: true, triggered_by, .. } if !triggered_by.is_empty() => {
            stopped(format!("at rest, and what starts it is not active: {}", triggered_by.join(", ")))
        }
        Details { runs_once: true, .. } => Outcome::PASS,
        Details { unit_file_state: Some(state), .. } if state == "disabled" => {
            unexplained("inactive and disabled: it does not start at boot, and nobody started it")
        }
        _ => unexplained(format!(
            "inactive ({}): stopped by an administrator, or it ended by itself; systemd does not tell which afterwards",
            unit.sub
        )),
    }
}

fn stopped(reason: impl Into<String>) -> Outcome {
    Outcome::Fail { reason: reason.into(), kind: Failure::Stopped }
}

fn unexplained(reason: impl Into<String>) -> Outcome {
    Outcome::Fail { reason: reason.into(), kind: Failure::Unexplained }
}

fn starting(reason: impl Into<String>) -> Outcome {
    Outcome::Fail { reason: reason.into(), kind: Failure::Starting }
}

fn not_found(unit: &UnitState) -> String {
    let hint = match &unit.nearest {
        Some(nearest) => format!(" (did you mean {nearest}?)"),
        None => String::new(),
    };
    format!("unit {} not found: check the name in monitor.yml{hint}", unit.name)
}

/// How the last run ended, to follow "failed:".
fn ending(details: &Details) -> String {
    let Some(result) = &details.result else {
        return "systemd does not say how".into();
    };
    match (result.as_str(), details.exit) {
        ("success", _) => "ended without an error".into(),
        ("exit-code", Some(Exit::Status(status))) if status != 0 => {
            format!("exited with status {status}{}", exit_status_meaning(status))
        }
        // The main process did not end, or ended well: it was one of the commands around it.
        ("exit-code", _) => "one of its commands (ExecStartPre=, ExecStop= ...) failed".into(),
        ("signal", Some(Exit::Signal(signal))) => {
            format!("killed by signal {signal}{}", signal_name(signal))
        }
        ("signal", _) => "one of its commands was killed by a signal".into(),
        ("core-dump", Some(Exit::CoreDump(signal) | Exit::Signal(signal))) => {
            format!("crashed with signal {signal}{} and dumped core", signal_name(signal))
        }
        ("core-dump", _) => "crashed and dumped core".into(),
        ("timeout", _) => "took longer to start, stop or run than its unit file allows (timeout)".into(),
        ("watchdog", _) => "stopped reporting to systemd in time (watchdog)".into(),
        ("oom-kill", _) => "killed because memory ran out (oom-kill)".into(),
        ("protocol", _) => "ended or misbehaved before it was ready (protocol)".into(),
        ("resources", _) => "systemd could not set up what it needs (resources)".into(),
        ("start-limit-hit", _) => "started too often, so systemd starts it no more (start-limit-hit)".into(),
        (other, _) => format!("the result is {other}"),
    }
}

/// Restarts that systemd tried in vain before it gave up. With them the start limit ends a crash loop, and no property
/// says so: the result stays that of the last crash.
fn restarts_before(details: &Details) -> String {
    match details.restarts {
        None | Some(0) => String::new(),
        Some(restarts) => format!(", after {} by systemd", counted(restarts as usize, "restart")),
    }
}

/// The statuses by which systemd reports that it could not even run the program (systemd.exec(5)).
fn exit_status_meaning(status: i32) -> &'static str {
    match status {
        200 => " (CHDIR: WorkingDirectory= does not exist or is not accessible)",
        203 => " (EXEC: the program does not exist or cannot be executed)",
        208 | 209 => " (STDIN, STDOUT: its input or output could not be opened)",
        216 => " (GROUP: Group= does not exist)",
        217 => " (USER: User= does not exist)",
        226 => " (NAMESPACE: a path of its sandbox does not exist)",
        238..=242 => " (a directory of it could not be made)",
        243 => " (CREDENTIALS: a credential could not be loaded)",
        _ => "",
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        5 => " (SIGTRAP)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        10 => " (SIGUSR1)",
        11 => " (SIGSEGV)",
        12 => " (SIGUSR2)",
        13 => " (SIGPIPE)",
        14 => " (SIGALRM)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        25 => " (SIGXFSZ)",
        31 => " (SIGSYS)",
        _ => "",
    }
}

#[cfg(test)]
mod tests;

impl Settings {
    /// What is known before the first probe.
    pub fn blank(&self) -> Detail {
        Detail { unit: self.unit.clone(), state: "unknown".into(), ..Detail::default() }
    }
}

/// The types of unit, as they end a unit's name.
const UNIT_TYPES: [&str; 11] = [
    "service",
    "socket",
    "target",
    "device",
    "mount",
    "automount",
    "swap",
    "timer",
    "path",
    "slice",
    "scope",
];

/// systemd's `UNIT_NAME_MAX`, less the NUL at the end.
const UNIT_NAME_LENGTH: usize = 255;

/// The forms of a `systemd` check in `monitor.yml`.
impl Settings {
    pub(crate) const KEYS: [&str; 1] = ["unit"];

    /// `nginx`, `nginx.service`, `app@1.service`.
    pub(crate) fn decode_short(decode: &mut Decode<'_>, node: &Node) -> Option<Settings> {
        let unit = decode.parsed(node, "a unit", "write for example nginx.service", unit_name)?;
        Some(Settings { unit })
    }

    /// `{unit: ...}`.
    pub(crate) fn decode_block(decode: &mut Decode<'_>, fields: Fields<'_>) -> Option<Settings> {
        match fields.get("unit") {
            Some(node) => Settings::decode_short(decode, node),
            None => {
                decode.complain(
                    fields.node,
                    "found a systemd check without `unit`",
                    "add for example unit: nginx.service",
                );
                None
            }
        }
    }
}

/// A unit's full name by systemd's own rules (`unit_name_is_valid` without templates). A name without a type means a
/// service, as it does to `systemctl`.
pub(crate) fn unit_name(text: &str) -> Result<String, Refusal> {
    if text.contains('/') {
        let help = "write the name that `systemctl list-units` shows, such as srv-data.mount";
        return Err(Refusal::new("is a path and not the name of a unit").help(help));
    }
    let full = match text.rsplit_once('.') {
        Some((_, suffix)) if UNIT_TYPES.contains(&suffix) => text.to_owned(),
        Some((name, suffix)) if is_misspelt(suffix) => {
            let help = format!("write {name}.service, or {text}.service if that is its name");
            return Err(Refusal::new(format!("ends in `.{suffix}`, which is no type of unit")).help(help));
        }
        _ => format!("{text}.service"),
    };
    let name = full.rsplit_once('.').map_or("", |(name, _)| name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if name.is_empty() {
        return Err(Refusal::new("has no name before its type"));
    }
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        return Err(Refusal::new(format!("holds {c:?}, which no name of a unit can")));
    }
    if full.len() > UNIT_NAME_LENGTH {
        return Err(Refusal::new(format!(
            "is longer than the {UNIT_NAME_LENGTH} characters that systemd allows"
        )));
    }
    match name.find('@') {
        Some(0) => Err(Refusal::new("has no name before its `@`")),
        Some(at) if at + 1 == name.len() => {
            let help = format!("write one of its instances, such as {}", full.replacen('@', "@1", 1));
            Err(Refusal::new("is a template and never runs itself").help(help))
        }
        _ => Ok(full),
    }
}

/// Whether a suffix is one letter away from `service`: `web.services` is hardly a service of that name.
fn is_misspelt(suffix: &str) -> bool {
    strsim::damerau_levenshtein(suffix, "service") == 1
}
