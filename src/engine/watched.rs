use std::time::Duration;

use crate::config::Service as ServiceConfig;
use crate::probe::{Results, Verdict};
use crate::status::{Service, State, Timestamp, Transition};

use super::check::{CheckState, Standing};
use super::history::History;
use super::schedule::{Tick, next_regular};
use super::state::Judgement;
use super::{Now, ProbeId, Record};

/// Beyond its timeout and its interval a round may be so late, on a machine that is at its limit.
const OVERDUE: Duration = Duration::from_secs(30);

/// One service with its running state.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) config: ServiceConfig,
    /// In the order of the configuration's.
    pub(super) checks: Vec<CheckState>,
    pub(super) state: State,
    since: Timestamp,
    since_mono: Duration,
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
    history: History,
    /// The places of the services that need this one.
    pub(super) dependents: Vec<usize>,
    /// The places of the services that this one needs.
    pub(super) needs: Vec<usize>,
}

impl Watched {
    /// A service of which nothing is known, without checks yet.
    pub(super) fn new(config: &ServiceConfig, now: Now) -> Watched {
        Watched {
            config: ServiceConfig { checks: Vec::new(), ..config.clone() },
            checks: Vec::new(),
            state: State::Unknown,
            since: now.wall,
            since_mono: now.mono,
            reason: Some("not looked yet".to_owned()),
            ok: false,
            last_checked: None,
            round_began: now.mono,
            well_at: None,
            freed_at: None,
            due: None,
            history: History::default(),
            dependents: Vec::new(),
            needs: Vec::new(),
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
        Watched { checks, config, ..self }.due_after_reload(now)
    }

    /// Whoever has a check that was never looked at is due now, and a shorter interval holds from now on. A round that is
    /// in flight goes on.
    fn due_after_reload(self, now: Duration) -> Watched {
        let is_new = self.checks.iter().any(|check| !check.has_looked());
        let due = if self.checks.iter().any(CheckState::is_in_flight) {
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
    pub(super) fn next_round(&self, now: Duration) -> Tick {
        let timing = &self.config.timing;
        let regular = next_regular(&self.config.key, timing.interval, now);
        let is_in_doubt =
            self.state == State::Starting || self.checks.iter().any(|check| check.in_doubt(timing));
        if is_in_doubt { regular.min(Tick::at_or_before(now + timing.retry_interval)) } else { regular }
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
        let is_in_flight = self.checks.iter().any(CheckState::is_in_flight);
        let since = now.saturating_sub(self.round_began);
        let timing = &self.config.timing;
        (is_in_flight && since > timing.timeout + timing.interval + OVERDUE).then_some(since)
    }

    /// Takes a judgement over; the record of it if the state changed.
    pub(super) fn settle(&mut self, now: Now, judgement: Judgement) -> Option<Record> {
        self.ok = judgement.ok;
        self.reason = judgement.reason;
        if judgement.state == self.state {
            return None;
        }
        let transition =
            Transition { at: now.wall, from: self.state, to: judgement.state, reason: self.reason.clone() };
        let lasted = now.mono.saturating_sub(self.since_mono);
        self.state = judgement.state;
        self.since = now.wall;
        self.since_mono = now.mono;
        self.history.push(transition.clone());
        Some(Record { key: self.config.key.clone(), transition, lasted })
    }

    /// Its part of the document.
    pub(super) fn document(&self, now: Now) -> Service {
        let mut checks = Results::default();
        for check in &self.checks {
            check.write_to(&mut checks);
        }
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
            next_check: self.due.map(|due| {
                let wait = due.time().saturating_sub(now.mono);
                now.wall.plus_millis(wait.as_millis() as i64)
            }),
            depends_on: self.config.depends_on.clone(),
            checks,
            history: self.history.transitions(),
        }
    }
}
