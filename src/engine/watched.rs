use std::time::Duration;

use crate::config::Service as ServiceConfig;
use crate::probe::{Report, Results, Verdict};
use crate::status::history::Counted;
use crate::status::{BelievedMemory, Hold, Mode, Service, ServiceMemory, State, Timestamp, Transition};

use super::check::{CheckState, Standing};
use super::heal::{Healing, is_observing};
use super::history::History;
use super::intent::Witness;
use super::schedule::{Tick, next_regular};
use super::state::Judgement;
use super::{Now, ProbeId, Record};

/// Beyond its timeout and its interval a round may be so late, on a machine that is at its limit.
const OVERDUE: Duration = Duration::from_secs(30);

/// Rounds that changes ask for are at least so far apart: a crash loop must not become a loop of probes.
pub(super) const TRIGGER_PAUSE: Duration = Duration::from_millis(250);

/// One service with its running state.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) config: ServiceConfig,
    /// In the order of the configuration's.
    pub(super) checks: Vec<CheckState>,
    pub(super) state: State,
    since: Timestamp,
    since_mono: Duration,
    /// For how long it was in its state under the monitor before.
    lasted_before: Duration,
    /// Its state is what the monitor before believed.
    is_recalled: bool,
    reason: Option<String>,
    ok: bool,
    pub(super) last_checked: Option<Timestamp>,
    /// When the latest round began.
    pub(super) round_began: Duration,
    /// When the latest round began in which it was believed to be well, and seen to be. A start before that needs no
    /// grace any more.
    pub(super) well_at: Option<Duration>,
    /// When what it needs was well again, after it was blocked.
    pub(super) freed_at: Option<Duration>,
    /// The next round, while none is in flight.
    pub(super) due: Option<Tick>,
    /// Something happened while a round was in flight: the next one is due when it ends.
    pub(super) is_wanted_again: bool,
    /// When something that happened last asked for a round.
    pub(super) triggered: Option<Duration>,
    /// When a round last followed at once on another.
    again: Option<Duration>,
    /// When a critical check began to fail, while one does.
    failing_since: Option<Timestamp>,
    /// The pause that a person asked for.
    pub(super) held: Option<Held>,
    pub(super) witness: Witness,
    pub(super) healing: Healing,
    /// When its healing must be looked at again.
    pub(super) alarm: Option<Duration>,
    pub(super) history: History,
    /// The places of the services that need this one.
    pub(super) dependents: Vec<usize>,
    /// The places of the services that this one needs.
    pub(super) needs: Vec<usize>,
    /// How many stand below it, in the longest chain of what it needs.
    pub(super) depth: usize,
}

/// A hold with its end by the clock that everything is decided by.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) hold: Hold,
    pub(super) until: Duration,
}

/// The same hold is read again and again, and its end is not the same to the millisecond each time.
impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.hold == other.hold
    }
}

impl Held {
    /// A hold that was read now.
    pub(super) fn of(hold: Hold, longest: Duration, now: Now) -> Held {
        let left_ms = hold.until.as_millis().saturating_sub(now.wall.as_millis());
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)).min(longest);
        Held { until: now.mono + left, hold }
    }

    /// `held by root until 2026-11-23T12:10:00Z: deploy`.
    pub(super) fn words(&self) -> String {
        let why = self.hold.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("held by {} until {}{why}", self.hold.by, self.hold.until)
    }
}

impl Watched {
    /// A service of which nothing is known but its past, without checks yet.
    pub(super) fn new(config: &ServiceConfig, history: History, now: Now) -> Watched {
        Watched {
            config: ServiceConfig { checks: Vec::new(), ..config.clone() },
            checks: Vec::new(),
            state: State::Unknown,
            since: now.wall,
            since_mono: now.mono,
            lasted_before: Duration::ZERO,
            is_recalled: false,
            reason: Some("not looked yet".to_owned()),
            ok: false,
            last_checked: None,
            round_began: now.mono,
            well_at: None,
            freed_at: None,
            due: None,
            is_wanted_again: false,
            triggered: None,
            again: None,
            failing_since: None,
            held: None,
            witness: Witness::default(),
            healing: Healing::default(),
            alarm: None,
            history,
            dependents: Vec::new(),
            needs: Vec::new(),
            depth: 0,
        }
    }

    /// The same service under another configuration: a check that is the same goes on as it was, with all that is known
    /// of it; the others are new.
    pub(super) fn under(
        mut self,
        config: ServiceConfig,
        mut new_id: impl FnMut() -> ProbeId,
        now: Duration,
    ) -> Watched {
        let mut known: Vec<_> = self.config.checks.iter().zip(self.checks.drain(..)).collect();
        let checks = config.checks.iter().map(|wanted| {
            match known.iter().position(|(config, _)| config.check == wanted.check) {
                Some(place) => known.swap_remove(place).1.with_severity(wanted.severity),
                None => CheckState::new(new_id(), wanted),
            }
        });
        let checks = checks.collect();
        // What was seen of another unit says nothing of this one.
        let witness = if config.unit() == self.config.unit() { self.witness } else { Witness::default() };
        let mut healing = self.healing;
        if config.heal.is_none() {
            healing.rest();
        }
        Watched { checks, config, witness, healing, ..self }.due_after_reload(now)
    }

    /// Whoever has a check that was never looked at is due now, and a shorter interval holds from now on. A round that is
    /// in flight goes on.
    fn due_after_reload(self, now: Duration) -> Watched {
        let is_new = self.checks.iter().any(|check| !check.has_looked());
        let due = if !self.round_is_over() {
            None
        } else if is_new {
            Some(Tick::at_or_before(now))
        } else {
            let regular = next_regular(&self.config.key, self.config.timing.interval, now);
            Some(self.due.map_or(regular, |due| due.min(regular)))
        };
        Watched { due, ..self }
    }

    /// When the next round is due, now that one ended.
    pub(super) fn next_round(&mut self, now: Duration) -> Tick {
        if self.is_wanted_again {
            // Once at once; what goes on changing is looked at with pauses.
            let earliest = self.again.map_or(Duration::ZERO, |at| at + TRIGGER_PAUSE);
            self.again = Some(now.max(earliest));
            return if earliest <= now { Tick::at_or_before(now) } else { Tick::at_or_after(earliest) };
        }
        let timing = &self.config.timing;
        let regular = next_regular(&self.config.key, timing.interval, now);
        let is_in_doubt =
            self.state == State::Starting || self.checks.iter().any(|check| check.in_doubt(timing));
        if is_in_doubt { regular.min(Tick::at_or_before(now + timing.retry_interval)) } else { regular }
    }

    /// Why it is in its state, in words.
    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("all checks pass")
    }

    /// Whether it is believed to be as the monitor before left it, until a look at all of it has ended.
    pub(super) fn awaits_first_look(&self, now: Duration) -> bool {
        let is_unseen = self.checks.iter().any(|check| !check.has_looked());
        self.is_recalled && is_unseen && self.overdue(now).is_none()
    }

    /// For how long it has been in its state.
    fn lasted(&self, now: Duration) -> Duration {
        self.lasted_before + now.saturating_sub(self.since_mono)
    }

    /// Since when it is in its state, as far as this monitor was there.
    pub(super) fn since_mono(&self) -> Duration {
        self.since_mono
    }

    /// When it was first seen not to be well, of what is wrong now.
    pub(super) fn left_up(&self) -> Timestamp {
        self.failing_since.unwrap_or(self.since)
    }

    pub(super) fn round_is_over(&self) -> bool {
        !self.checks.iter().any(CheckState::is_in_flight)
    }

    /// Remembers when a critical check began to fail.
    pub(super) fn note_failing(&mut self, now: Now) {
        let fails = self.checks.iter().any(|check| check.is_critical() && check.verdict() == Verdict::Fail);
        // Until then it was what it was believed to be.
        self.book(now);
        self.failing_since = fails.then(|| self.failing_since.unwrap_or(now.wall));
    }

    /// Notes how fast it answered, if it is this check that says so: the HTTP check, or the port check of a service without
    /// one. Both in one line would be a line of neither.
    pub(super) fn note_latency(&mut self, now: Now, of: usize, report: &Report) {
        let has_http = self.checks.iter().any(|check| check.kind() == "http");
        let tells = self.checks[of].kind() == if has_http { "http" } else { "port" };
        if let Some(ms) = report.latency_ms().filter(|_| tells) {
            self.history.measured(now, ms);
        }
    }

    /// Books the time until now. While it fails and that is not confirmed, nobody knows what that time was: it is booked
    /// once that is known. So the time that a failure takes to be found counts as down, and one that passes does not.
    pub(super) fn book(&mut self, now: Now) {
        if !self.is_suspected() {
            self.history.book(now, self.state, self.ok);
        }
    }

    fn is_suspected(&self) -> bool {
        self.failing_since.is_some() && Counted::of(self.state, self.ok) == Some(Counted::Up)
    }

    /// What must survive a restart of the monitor.
    pub(super) fn memory(&self, now: Duration) -> ServiceMemory {
        let checks = self.checks.iter().filter_map(CheckState::memory).collect();
        let believed = BelievedMemory {
            state: self.state,
            ok: self.ok,
            since: self.since,
            lasted_ms: u64::try_from(self.lasted(now).as_millis()).unwrap_or(u64::MAX),
        };
        let believed = (self.state != State::Unknown).then_some(believed);
        ServiceMemory { checks, believed, end: self.witness.memory(), ..self.healing.memory(now) }
    }

    /// Takes up what an earlier monitor left. Says whether it ended in the middle of a heal.
    pub(super) fn recall(&mut self, memory: &ServiceMemory, seed: u64, now: Duration) -> bool {
        for check in &mut self.checks {
            check.recall(&memory.checks, memory.believed.is_some());
        }
        if let Some(believed) = &memory.believed {
            (self.state, self.ok, self.since) = (believed.state, believed.ok, believed.since);
            self.lasted_before = Duration::from_millis(believed.lasted_ms);
            self.is_recalled = true;
            self.reason = (believed.state != State::Up)
                .then(|| "not looked yet since the monitor was started again".to_owned());
            // The start that it needed grace for is over.
            self.well_at = matches!(believed.state, State::Up | State::Degraded).then_some(now);
        }
        memory.end.iter().for_each(|end| self.witness.recall(end));
        self.healing.recall(memory, self.config.heal.as_ref(), seed, now)
    }

    /// Remembers it if the round that just ended saw all critical checks pass, and that is believed.
    pub(super) fn note_if_well(&mut self) {
        let timing = &self.config.timing;
        let mut critical = self.checks.iter().filter(|check| check.is_critical());
        if critical
            .all(|check| check.verdict() == Verdict::Pass && check.standing(timing) == Standing::Passing)
        {
            self.well_at = Some(self.round_began);
        }
    }

    /// For how long its round has been under way, if that is far longer than a round can take: whatever keeps the answers
    /// away, what was believed before must not be believed for ever.
    pub(super) fn overdue(&self, now: Duration) -> Option<Duration> {
        let since = now.saturating_sub(self.round_began);
        let timing = &self.config.timing;
        (!self.round_is_over() && since > timing.timeout + timing.interval + OVERDUE).then_some(since)
    }

    /// The id of its open incident.
    pub(super) fn open_incident(&self) -> Option<&String> {
        self.healing.incident.as_ref().map(|incident| &incident.id)
    }

    /// Takes a judgement over; the record of it if the state changed.
    pub(super) fn settle(&mut self, now: Now, judgement: Judgement) -> Option<Record> {
        self.book(now);
        self.ok = judgement.ok;
        self.reason = judgement.reason;
        let record = self.enter(now, judgement.state);
        // What was suspected until now turned out to be this.
        self.book(now);
        record
    }

    /// The record of a change to this state, if it is one.
    fn enter(&mut self, now: Now, state: State) -> Option<Record> {
        if state == self.state {
            return None;
        }
        let transition =
            Transition { at: now.wall, from: self.state, to: state, reason: self.reason.clone() };
        let lasted = self.lasted(now.mono);
        self.state = state;
        self.since = now.wall;
        self.since_mono = now.mono;
        self.lasted_before = Duration::ZERO;
        self.history.push(transition.clone());
        Some(Record { key: self.config.key.clone(), transition, lasted, incident: None })
    }

    /// What its checks said last.
    pub(super) fn results(&self) -> Results {
        let mut results = Results::default();
        for check in &self.checks {
            check.write_to(&mut results);
        }
        results
    }

    /// Its part of the document.
    pub(super) fn document(&self, now: Now, mode: Mode, host_observes: bool) -> Service {
        let checks = self.results();
        Service {
            key: self.config.key.clone(),
            name: self.config.name.clone(),
            ok: self.ok,
            state: self.state,
            since: self.since,
            reason: self.reason.clone(),
            group: self.config.group.clone(),
            primary: self.config.primary,
            consecutive_failures: self.checks.iter().map(CheckState::failures).max().unwrap_or(0),
            last_checked: self.last_checked,
            next_check: self.due.map(|due| now.wall_at(due.time())),
            depends_on: self.config.depends_on.clone(),
            checks,
            heal: self.config.heal.as_ref().map(|policy| {
                self.healing.status(policy, is_observing(policy, host_observes), self.state, now)
            }),
            hold: self.held.as_ref().map(|held| held.hold.clone()),
            incident: self.healing.incident.clone(),
            uptime: (mode == Mode::ProductionMonitoring).then(|| self.history.uptime()),
            history: self.history.transitions(),
        }
    }
}
