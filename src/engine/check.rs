//! What the outcomes of one check add up to.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::config::{CheckConfig, Timing};
use crate::probe::{Detail, Failure, Outcome, Report, Results, Severity, Verdict};
use crate::status::CheckMemory;

use super::ProbeId;

/// One check with its running state.
#[derive(Debug)]
pub(super) struct CheckState {
    /// Comes back with the outcomes of its probes.
    pub(super) id: ProbeId,
    kind: &'static str,
    severity: Severity,
    in_flight: bool,
    /// The latest outcome that could tell; none before the first.
    answer: Option<Outcome>,
    /// Why the latest probes could not tell; none when the latest could.
    blindness: Option<String>,
    detail: Detail,
    /// In a row; an outcome that cannot tell counts neither up nor down.
    failures: u32,
    passes: u32,
    /// Outcomes in a row that found it stopped.
    stops: u32,
    /// Outcomes in a row that could not tell.
    unknowns: u32,
    /// What the thresholds last confirmed.
    confirmed: Verdict,
    /// For how long the service had been running, and when that was seen. It may have been started long before the
    /// engine was made.
    running: Option<(Duration, Duration)>,
    restarts: Restarts,
}

/// What a check stands for after thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Confirmed: it passes.
    Passing,
    /// It passes, but not often enough yet to believe it.
    AlmostPassing,
    /// It fails, not often enough yet to believe it, and passed before.
    Wavering,
    /// It fails, not often enough yet to believe it, and nothing better is known of it.
    AlmostFailing,
    /// Confirmed: it fails.
    Failing,
    /// systemd is starting it.
    Starting,
    /// It does not run, and nothing says that it should.
    Stopped,
    /// No probe has told anything yet.
    NotLooked,
    /// Confirmed: the probe cannot tell.
    Blind,
}

impl CheckState {
    /// A check that was never probed.
    pub(super) fn new(id: ProbeId, config: &CheckConfig) -> CheckState {
        CheckState {
            id,
            kind: config.check.kind(),
            severity: config.severity,
            in_flight: false,
            answer: None,
            blindness: None,
            detail: config.check.blank(),
            failures: 0,
            passes: 0,
            stops: 0,
            unknowns: 0,
            confirmed: Verdict::Unknown,
            running: None,
            restarts: Restarts::default(),
        }
    }

    /// The same check under another configuration of the service: what is known of it stays.
    pub(super) fn with_severity(self, severity: Severity) -> CheckState {
        CheckState { severity, ..self }
    }

    /// A probe of it was asked for.
    pub(super) fn start(&mut self) {
        self.in_flight = true;
    }

    /// A probe of it ended. Says whether that is news to a reader of the document.
    pub(super) fn take(&mut self, report: Report, timing: &Timing, now: Duration) -> bool {
        self.in_flight = false;
        let verdict_before = self.verdict();
        let detail_is_news = report.detail.is_news_after(&self.detail);
        self.detail = report.detail;
        if let Some(running_for) = report.running_for {
            self.running = Some((running_for, now));
        }
        if let Some(counter) = report.restarts {
            self.restarts.saw(counter, now);
        }
        let outcome = without_endless_start(report.outcome, report.running_for, timing);
        self.count(&outcome, timing);
        match outcome {
            Outcome::Unknown { reason } => self.blindness = Some(reason),
            answer => {
                self.blindness = None;
                self.answer = Some(answer);
            }
        }
        detail_is_news || self.verdict() != verdict_before
    }

    fn count(&mut self, outcome: &Outcome, timing: &Timing) {
        if let Outcome::Unknown { .. } = outcome {
            self.unknowns = self.unknowns.saturating_add(1);
            if self.unknowns == timing.failure_threshold {
                // What was counted before says nothing of the service after so long.
                (self.failures, self.passes, self.confirmed) = (0, 0, Verdict::Unknown);
            }
            return;
        }
        self.unknowns = 0;
        let is_stopped =
            matches!(outcome, Outcome::Fail { kind: Failure::Stopped | Failure::Unexplained, .. });
        self.stops = if is_stopped { self.stops.saturating_add(1) } else { 0 };
        match outcome {
            Outcome::Pass { .. } => {
                self.failures = 0;
                self.passes = self.passes.saturating_add(1);
                if self.passes >= timing.success_threshold {
                    self.confirmed = Verdict::Pass;
                }
            }
            // Neither is a failure of the service: whatever was confirmed before is of an earlier life.
            Outcome::Fail {
                kind: Failure::Starting | Failure::Stopped | Failure::Stopping | Failure::Unexplained,
                ..
            } => {
                (self.failures, self.passes, self.confirmed) = (0, 0, Verdict::Unknown);
            }
            Outcome::Fail { kind: Failure::Ordinary | Failure::Late | Failure::Certain, .. }
            | Outcome::Unknown { .. } => {
                self.passes = 0;
                self.failures = self.failures.saturating_add(1);
                let is_certain = matches!(outcome, Outcome::Fail { kind: Failure::Certain, .. });
                if is_certain || self.failures >= timing.failure_threshold {
                    self.confirmed = Verdict::Fail;
                }
            }
        }
    }

    /// What was counted, by the kind, if anything was.
    pub(super) fn memory(&self) -> Option<(String, CheckMemory)> {
        let confirmed = match self.confirmed {
            Verdict::Pass => Some(true),
            Verdict::Fail => Some(false),
            Verdict::Unknown => None,
        };
        let memory = CheckMemory { failures: self.failures, passes: 0, confirmed };
        (self.failures > 0 || self.confirmed != Verdict::Unknown).then(|| (self.kind.to_owned(), memory))
    }

    /// Takes up what an earlier monitor had counted: a failure goes on where it was. That it passed says something of now
    /// only if `is_recent`.
    pub(super) fn recall(&mut self, memories: &BTreeMap<String, CheckMemory>, is_recent: bool) {
        let is_worth_it = |memory: &&CheckMemory| memory.failures > 0 || is_recent;
        let Some(memory) = memories.get(self.kind).filter(is_worth_it) else { return };
        self.failures = memory.failures;
        self.confirmed = match memory.confirmed {
            Some(true) => Verdict::Pass,
            Some(false) => Verdict::Fail,
            None => Verdict::Unknown,
        };
    }

    /// What it stands for. Outcomes that cannot tell change nothing until there are `failure_threshold` of them.
    pub(super) fn standing(&self, timing: &Timing) -> Standing {
        if self.unknowns >= timing.failure_threshold {
            return Standing::Blind;
        }
        let Some(answer) = &self.answer else { return Standing::NotLooked };
        match (answer, self.confirmed) {
            (Outcome::Fail { kind, .. }, _) if is_stop(*kind) => Standing::Stopped,
            (Outcome::Fail { kind: Failure::Starting, .. }, _) => Standing::Starting,
            (Outcome::Fail { .. }, Verdict::Fail) => Standing::Failing,
            (Outcome::Fail { .. }, Verdict::Pass) => Standing::Wavering,
            (Outcome::Fail { .. }, Verdict::Unknown) => Standing::AlmostFailing,
            // Down until it passed often enough.
            (Outcome::Pass { .. }, Verdict::Fail) => Standing::Failing,
            (Outcome::Pass { .. }, Verdict::Pass) => Standing::Passing,
            (Outcome::Pass { .. }, Verdict::Unknown) => Standing::AlmostPassing,
            (Outcome::Unknown { .. }, _) => Standing::NotLooked,
        }
    }

    /// Whether the next look should come soon: the latest outcome is not yet what the thresholds believe.
    pub(super) fn in_doubt(&self, timing: &Timing) -> bool {
        if self.unknowns > 0 {
            return self.unknowns < timing.failure_threshold;
        }
        let is_settled = match self.standing(timing) {
            Standing::Passing | Standing::Blind => true,
            // Half of all stops are the first half of a restart: a second look tells.
            Standing::Stopped => self.stops > 1,
            Standing::Failing => self.passes == 0,
            _ => false,
        };
        !is_settled
    }

    /// Puts its latest result into the document.
    pub(super) fn write_to(&self, results: &mut Results) {
        let reason = match (&self.blindness, &self.answer) {
            (Some(blindness), _) => Some(blindness.clone()),
            (None, None) => Some("not looked yet".to_owned()),
            (None, Some(answer)) => words_of(answer).map(str::to_owned),
        };
        results.insert(self.verdict(), reason, self.severity, self.detail.clone());
    }

    /// What the latest probe said.
    pub(super) fn verdict(&self) -> Verdict {
        match &self.answer {
            _ if self.blindness.is_some() => Verdict::Unknown,
            Some(Outcome::Pass { .. }) => Verdict::Pass,
            Some(Outcome::Fail { .. }) => Verdict::Fail,
            Some(Outcome::Unknown { .. }) | None => Verdict::Unknown,
        }
    }

    /// Why it does not pass, or what it warns of: of what it stands for, not of a single blind look.
    pub(super) fn reason(&self, timing: &Timing) -> Option<&str> {
        match (self.standing(timing), &self.answer) {
            (Standing::Blind, _) | (_, None) => self.blindness.as_deref(),
            (_, Some(answer)) => words_of(answer),
        }
    }

    /// What it warns of though it passes.
    pub(super) fn warning(&self) -> Option<&str> {
        match &self.answer {
            Some(Outcome::Pass { warning }) => warning.as_deref(),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(super) fn is_critical(&self) -> bool {
        self.severity == Severity::Critical
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    pub(super) fn has_looked(&self) -> bool {
        self.answer.is_some() || self.blindness.is_some()
    }

    /// Whether systemd said that it failed: no grace covers that.
    pub(super) fn failed_for_certain(&self) -> bool {
        matches!(self.answer, Some(Outcome::Fail { kind: Failure::Certain, .. }))
    }

    /// Whether it fails by an answer, and not only for want of one.
    pub(super) fn failed_by_an_answer(&self) -> bool {
        matches!(self.answer, Some(Outcome::Fail { kind: Failure::Ordinary | Failure::Certain, .. }))
    }

    /// Whether it was stopped when it could be told last.
    pub(super) fn was_stopped(&self) -> bool {
        matches!(&self.answer, Some(Outcome::Fail { kind, .. }) if is_stop(*kind))
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Passes in a row.
    pub(super) fn passes(&self) -> u32 {
        self.passes
    }

    /// The last verdict that was one.
    pub(super) fn last_verdict(&self) -> Option<bool> {
        self.answer.as_ref().map(|answer| matches!(answer, Outcome::Pass { .. }))
    }

    /// How long ago the service was last started, as far as this check can tell.
    pub(super) fn age(&self, now: Duration) -> Option<Duration> {
        let (running_for, seen) = self.running?;
        Some(running_for + now.saturating_sub(seen))
    }

    /// When it was noticed that systemd restarted the service, as far as this check can tell.
    pub(super) fn restarts(&self) -> impl Iterator<Item = Duration> {
        self.restarts.noticed.iter().copied()
    }

    /// How many times systemd restarted the service within the last hour, as far as this check can tell.
    pub(super) fn restarts_within_an_hour(&self, now: Duration) -> usize {
        self.restarts.within_an_hour(now)
    }
}

fn is_stop(kind: Failure) -> bool {
    matches!(kind, Failure::Stopped | Failure::Stopping | Failure::Unexplained)
}

fn words_of(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Pass { warning } => warning.as_deref(),
        Outcome::Fail { reason, .. } | Outcome::Unknown { reason } => Some(reason),
    }
}

/// A start that takes longer than `start_grace` is a failure like any other.
fn without_endless_start(outcome: Outcome, running_for: Option<Duration>, timing: &Timing) -> Outcome {
    match outcome {
        Outcome::Fail { reason, kind: Failure::Starting } if running_for > Some(timing.start_grace) => {
            let grace = humantime::format_duration(timing.start_grace);
            Outcome::late(format!("{reason}, for longer than start_grace {grace}"))
        }
        outcome => outcome,
    }
}

/// systemd's counter of restarts, over time.
#[derive(Debug, Default)]
struct Restarts {
    /// The latest `NRestarts` that was seen.
    counter: Option<u32>,
    /// When restarts were noticed, bounded.
    noticed: VecDeque<Duration>,
}

impl Restarts {
    const WINDOW: Duration = Duration::from_secs(3600);
    /// More of them change nothing.
    const KEPT: usize = 16;

    /// Takes the counter's value. The first is only a starting point: those restarts happened before anybody watched. A
    /// counter that fell was reset, and what it shows came after.
    fn saw(&mut self, counter: u32, now: Duration) {
        let new = match self.counter.replace(counter) {
            None => 0,
            Some(before) if counter >= before => counter - before,
            Some(_) => counter,
        };
        for _ in 0..new.min(Self::KEPT as u32) {
            if self.noticed.len() == Self::KEPT {
                self.noticed.pop_front();
            }
            self.noticed.push_back(now);
        }
    }

    fn within_an_hour(&self, now: Duration) -> usize {
        self.noticed.iter().filter(|&&at| at + Self::WINDOW > now).count()
    }
}
