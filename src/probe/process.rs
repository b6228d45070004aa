//! `process`: processes by their command line; one scan of `/proc` a tick for all services together.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{Outcome, Report, Step};
use crate::host::processes::{Match, Matcher, Scan};

use crate::config::{Decode, Fields, Node};

/// The settings of a `process` check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// All of these must stand in the command line of one process (its arguments joined by single spaces).
    pub words: Vec<String>,
    /// At least so many processes must match (1 unless configured).
    pub min: u32,
    /// At most so many processes may match.
    pub max: Option<u32>,
}

/// What a `process` check reads, in the document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// How many living processes match.
    pub count: u32,
    /// How many must match at least.
    pub min: u32,
    /// How many may match at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// The resident memory of all matching processes together, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// For how many seconds the oldest matching process has been running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_s: Option<u64>,
    /// For how many seconds the youngest matching process has been running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub youngest_s: Option<u64>,
    /// The matching processes, the lowest ids first, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pids: Vec<u32>,
}

/// Probes the process checks of a configuration, as many as are wanted, with one scan of `/proc`.
#[derive(Debug)]
pub struct Prober {
    /// None but for words by the gigabyte, which no configuration file can hold.
    matcher: Result<Arc<Matcher>, String>,
    /// Where each check's matches stand in a scan.
    places: HashMap<Settings, usize>,
    proc_root: PathBuf,
    excluded: Arc<[u32]>,
    /// One scan at a time. A scan can hang in the kernel beyond its timeout, and then must not be joined by another
    /// one each tick.
    turn: Arc<Semaphore>,
}

impl Prober {
    /// For these checks, over the processes that `proc_root` shows (`/proc`). Processes whose own command lines
    /// name what is looked for, the prober's for one, can be excluded.
    pub fn new(mut settings: Vec<Settings>, proc_root: &Path, excluded: &[u32]) -> Prober {
        settings.sort_unstable();
        settings.dedup();
        let words = settings.iter().map(|settings| settings.words.as_slice());
        let matcher = Matcher::new(words)
            .map(Arc::new)
            .map_err(|error| format!("too many words in process checks: {error}"));
        Prober {
            matcher,
            places: settings.into_iter().zip(0..).collect(),
            proc_root: proc_root.to_owned(),
            excluded: excluded.into(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Probes the wanted checks, in their order; each must be one of those the prober was made for. One or a thousand
    /// cost nearly the same. The scan runs on the blocking pool.
    pub async fn probe(&self, wanted: &[&Settings], timeout: Duration) -> Vec<Report> {
        let began = Instant::now();
        let scan = match tokio::time::timeout(timeout, self.scan()).await {
            Ok(scan) => scan,
            Err(_) => Err(format!(
                "the scan of {} did not end within {}: reading a process that hangs in the kernel hangs too",
                self.proc_root.display(),
                humantime::format_duration(timeout)
            )),
        };
        let took = began.elapsed();
        wanted
            .iter()
            .map(|settings| {
                let mut report = self.report(settings, &scan);
                report.steps.push(Step { name: "scan /proc", took, note: String::new() });
                report
            })
            .collect()
    }

    async fn scan(&self) -> Result<Scan, String> {
        let matcher = self.matcher.clone()?;
        let turn = self.turn.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let (proc_root, excluded) = (self.proc_root.clone(), self.excluded.clone());
        let scan = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            matcher.scan(&proc_root, &excluded)
        });
        match scan.await {
            Ok(scan) => scan.map_err(|error| error.to_string()),
            Err(error) => Err(format!("the scan of {} ended early: {error}", self.proc_root.display())),
        }
    }

    fn report(&self, settings: &Settings, scan: &Result<Scan, String>) -> Report {
        let unknown =
            |reason: &str| Report::new(Outcome::unknown(reason), super::Detail::Process(settings.blank()));
        match (scan, self.places.get(settings)) {
            (Ok(scan), Some(&place)) => report(settings, &scan.matches[place], scan.sees_all),
            (Ok(_), None) => unknown("not part of the configuration that the scan was made for"),
            (Err(reason), _) => unknown(reason),
        }
    }
}

fn report(settings: &Settings, found: &[Match], sees_all: bool) -> Report {
    let outcome = judge(settings, found.len(), sees_all);
    let oldest = found.iter().map(|found| found.age).max();
    let youngest = found.iter().map(|found| found.age).min();
    let detail = Detail {
        count: u32::try_from(found.len()).unwrap_or(u32::MAX),
        memory_bytes: (!found.is_empty()).then(|| found.iter().map(|found| found.memory_bytes).sum()),
        oldest_s: oldest.map(|age| age.as_secs()),
        youngest_s: youngest.map(|age| age.as_secs()),
        pids: found.iter().map(|found| found.pid).take(10).collect(),
        ..settings.blank()
    };
    Report {
        // The oldest: workers come and go under a master that stays.
        running_for: oldest,
        ..Report::new(outcome, super::Detail::Process(detail))
    }
}

/// Judges how many processes match. Where other users' processes are hidden, too few found is no finding.
pub fn judge(settings: &Settings, count: usize, sees_all: bool) -> Outcome {
    let min = settings.min as usize;
    let too_many = |max: &u32| count > *max as usize;
    match settings.max.filter(too_many) {
        Some(max) => Outcome::fail(format!("{}, expected at most {max}", matching(count))),
        None if count >= min => Outcome::PASS,
        None if !sees_all => Outcome::unknown(
            "other users' processes are hidden (hidepid= of /proc, or ProtectProc= of the unit): add \
             SupplementaryGroups= with the group that /proc is mounted with, or AmbientCapabilities=CAP_SYS_PTRACE",
        ),
        None if count == 0 => Outcome::fail(format!("no process matches {}", quoted(&settings.words))),
        None => Outcome::fail(format!("{}, expected at least {min}", matching(count))),
    }
}

fn matching(count: usize) -> String {
    match count {
        1 => "1 process matches".into(),
        count => format!("{count} processes match"),
    }
}

/// `"gunicorn" and "main:app"`.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    words.join(" and ")
}

#[cfg(test)]
mod tests;

impl Settings {
    /// What is known before the first probe.
    pub fn blank(&self) -> Detail {
        Detail { min: self.min, max: self.max, ..Detail::default() }
    }
}

/// The forms of a `process` check in `monitor.yml`.
impl Settings {
    pub(crate) const KEYS: [&str; 3] = ["match", "min", "max"];

    /// One word, or a list of words that must all stand in one command line.
    pub(crate) fn decode_short(decode: &mut Decode<'_>, node: &Node) -> Option<Settings> {
        Some(Settings { words: words(decode, node)?, min: 1, max: None })
    }

    /// `{match: [...], min: ..., max: ...}`.
    pub(crate) fn decode_block(decode: &mut Decode<'_>, fields: Fields<'_>) -> Option<Settings> {
        let (min_node, max_node) = (fields.get("min"), fields.get("max"));
        let min = min_node.map(|node| decode.integer(node, 0..=u32::MAX));
        let max = max_node.map(|node| decode.integer(node, 0..=u32::MAX));
        match (min, max) {
            (Some(Some(0)), None) => decode.complain(
                min_node.unwrap_or(fields.node),
                "found min: 0 without `max`, which can never fail",
                "add `max`, or write min: 1",
            ),
            (None, Some(Some(0))) => decode.complain(
                max_node.unwrap_or(fields.node),
                "found max: 0 without `min`, which is 1 then",
                "write min: 0 as well if no such process may run",
            ),
            (Some(Some(min)), Some(Some(max))) if min > max => decode.complain(
                max_node.unwrap_or(fields.node),
                "found a `max` that is less than `min`",
                "raise `max` or lower `min`",
            ),
            _ => {}
        }
        let Some(node) = fields.get("match") else {
            decode.complain(
                fields.node,
                "found a process check without `match`",
                "add for example match: [gunicorn, main:app]",
            );
            return None;
        };
        let words = words(decode, node);
        Some(Settings { words: words?, min: min.unwrap_or(Some(1))?, max: max.unwrap_or(None) })
    }
}

fn words(decode: &mut Decode<'_>, node: &Node) -> Option<Vec<String>> {
    let help = "write for example gunicorn, or a list such as [gunicorn, main:app]";
    let noun = "a part of a command line";
    let items = decode.one_or_many(node, noun, help);
    let words: Vec<String> = items.iter().filter_map(|item| decode.line(item, noun, help)).collect();
    (!words.is_empty()).then_some(words)
}
