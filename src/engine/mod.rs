//! The engine: events in, commands out. A value without clock, files, environment, tasks or log, so that the same
//! code runs live, under virtual time in the tests, and on recorded history.
//!
//! - `schedule`: when which service is due; everything happens in ticks of 250 ms.
//! - `watched`: a service with its running state.
//! - `check`: what the outcomes of one check add up to (thresholds).
//! - `state`: what the checks of a service add up to (the table of states).
//! - `history`: what is remembered of a service, bounded.
//!
//! Invariants, each held by a property test: never two probes of one check in flight; an overrun delays the next
//! round and never piles up; `ok_count + fail_count == total`; the wall clock is shown and never decided by.

#![deny(clippy::disallowed_methods)]

mod check;
mod history;
mod schedule;
mod state;
mod watched;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod stories;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Service as ServiceConfig};
use crate::probe::{Check, Report};
use crate::status::{
    ConfigInForce, Document, Host, Mode, Monitor, MonitorState, SCHEMA, STALE_AFTER_S, Service, State,
    Timestamp, Transition,
};

use self::check::{CheckState, Standing};
use self::schedule::{Schedule, Tick};
use self::state::{is_in_the_way, judge};
use self::watched::Watched;

/// Between two documents at least so long, however much changes.
const COALESCE: Duration = Duration::from_millis(100);

/// A document that could not be written is tried again after so long.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// The time, as the loop hands it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the engine was made, by the monotonic clock. Everything is decided by this.
    pub mono: Duration,
    /// The wall clock. It is shown and never decided by, so setting it changes nothing.
    pub wall: Timestamp,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Time passed: `next_wakeup` was reached.
    Tick,
    /// A probe ended.
    Outcome(ProbeId, Report),
    /// A new configuration is in force from now on.
    ConfigChanged(Config),
    /// The configuration was read again and is wrong; the last good one stays.
    ConfigRefused(String),
    /// The latest document could not be written.
    WriteFailed,
}

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    /// Probe a check and answer with an [`Event::Outcome`].
    Probe(Request),
    /// Tell people of a change of state.
    Record(Record),
    /// Write the document.
    Publish,
}

/// A probe to be made.
#[derive(Debug, Clone)]
pub struct Request {
    /// Comes back with the outcome.
    pub id: ProbeId,
    /// What to probe.
    pub check: Arc<Check>,
    /// For the whole of it.
    pub timeout: Duration,
}

/// Names a check for as long as it is watched; never given twice, so an outcome from before a reload meets nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId(u32);

impl ProbeId {
    /// For who asks for probes without an engine.
    pub const fn new(number: u32) -> ProbeId {
        ProbeId(number)
    }
}

/// A change of state of a service, for the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The service's key.
    pub key: String,
    /// The change.
    pub transition: Transition,
    /// How long it was in the state before.
    pub lasted: Duration,
}

/// What the engine is told about the program around it, for the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The program's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// Whether a monitor runs or the viewer looks for itself.
    pub mode: Mode,
}

/// What a document holds that the engine does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct Edition {
    /// Its number, from 1.
    pub sequence: u64,
    /// The machine's figures.
    pub host: Host,
    /// Whether the monitor goes on.
    pub state: MonitorState,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    started_at: Timestamp,
    config: ConfigInForce,
    heartbeat: Duration,
    services: Vec<Watched>,
    /// Where a check is: its service, and its place in that.
    places: HashMap<ProbeId, (usize, usize)>,
    next_id: u32,
    schedule: Schedule,
    publishing: Publishing,
}

/// When the next document is to be written.
#[derive(Debug)]
struct Publishing {
    /// When the last one was asked for; none before the first, which is due at once.
    last: Option<Duration>,
    /// Something changed since.
    changed: bool,
    /// The last one could not be written; not again before this.
    retry_at: Option<Duration>,
}

impl Engine {
    /// An engine that knows its services and has not looked at any. The first [`Event::Tick`] starts the first round of
    /// all of them.
    pub fn new(config: Config, identity: Identity, now: Now) -> Engine {
        let mut engine = Engine {
            identity,
            started_at: now.wall,
            config: in_force(&config, now),
            heartbeat: config.monitor.heartbeat,
            services: Vec::new(),
            places: HashMap::new(),
            next_id: 0,
            schedule: Schedule::default(),
            publishing: Publishing { last: None, changed: true, retry_at: None },
        };
        engine.adopt(config.services, now);
        engine
    }

    /// Takes an event, and says what is to be done about it.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            Event::Tick => {}
            Event::Outcome(id, report) => self.take_outcome(now, id, report, &mut commands),
            Event::ConfigChanged(config) => {
                self.config = in_force(&config, now);
                self.heartbeat = config.monitor.heartbeat;
                self.adopt(config.services, now);
                for place in 0..self.services.len() {
                    self.evaluate(now, place, &mut commands);
                }
                self.publishing.changed = true;
            }
            Event::ConfigRefused(error) => {
                self.config.error = Some(error);
                self.publishing.changed = true;
            }
            Event::WriteFailed => {
                self.publishing.changed = true;
                self.publishing.retry_at = Some(now.mono + WRITE_RETRY);
            }
        }
        self.start_rounds(now, &mut commands);
        if now.mono >= self.publishing.due(self.heartbeat) {
            for place in 0..self.services.len() {
                if self.services[place].overdue(now.mono).is_some() {
                    self.evaluate(now, place, &mut commands);
                }
            }
            self.publishing.asked(now);
            commands.push(Command::Publish);
        }
        commands
    }

    /// When the engine wants the next [`Event::Tick`] at the latest, on the clock of [`Now::mono`].
    pub fn next_wakeup(&self) -> Duration {
        let publish = self.publishing.due(self.heartbeat);
        match self.schedule.next() {
            Some(tick) => publish.min(tick.time()),
            None => publish,
        }
    }

    /// Whether every check was probed at least once.
    pub fn has_looked_everywhere(&self) -> bool {
        self.services.iter().all(|service| service.checks.iter().all(CheckState::has_looked))
    }

    /// The document of this moment.
    pub fn document(&self, now: Now, edition: Edition) -> Document {
        let Edition { sequence, host, state } = edition;
        let services: Vec<Service> = self.services.iter().map(|service| service.document(now)).collect();
        let ok_count = services.iter().filter(|service| service.ok).count() as u32;
        let total = services.len() as u32;
        Document {
            schema: SCHEMA,
            mode: self.identity.mode,
            overall: services.iter().map(|service| service.state).min().unwrap_or(State::Unknown),
            ok_count,
            fail_count: total - ok_count,
            total,
            generated_at: now.wall,
            sequence,
            boot_id: self.identity.boot_id.clone(),
            stale_after_s: STALE_AFTER_S.max(3 * self.heartbeat.as_secs() as u32),
            host,
            monitor: Monitor {
                state,
                version: self.identity.version.clone(),
                pid: self.identity.pid,
                started_at: self.started_at,
                config: self.config.clone(),
            },
            services: services.into_iter().map(|service| (service.key.clone(), service)).collect(),
        }
    }

    /// Takes over a list of services. A check that is the same under the same key goes on as it was, with all that is
    /// known of it; the rest starts anew.
    fn adopt(&mut self, configs: Vec<ServiceConfig>, now: Now) {
        let mut old: HashMap<String, Watched> =
            self.services.drain(..).map(|service| (service.config.key.clone(), service)).collect();
        for config in configs {
            let known = old.remove(&config.key).unwrap_or_else(|| Watched::new(&config, now));
            let next_id = &mut self.next_id;
            let new_id = || {
                *next_id += 1;
                ProbeId(*next_id)
            };
            self.services.push(known.under(config, new_id, now.mono));
        }
        self.link();
    }

    /// Writes down who is where, who is due when, and who needs whom, both ways.
    fn link(&mut self) {
        self.places.clear();
        self.schedule = Schedule::default();
        for (place, service) in self.services.iter().enumerate() {
            self.places.extend(service.checks.iter().zip(0..).map(|(check, of)| (check.id, (place, of))));
            if let Some(due) = service.due {
                self.schedule.insert(due, place);
            }
        }
        let by_key: HashMap<&str, usize> = self
            .services
            .iter()
            .enumerate()
            .map(|(place, service)| (service.config.key.as_str(), place))
            .collect();
        let needs: Vec<Vec<usize>> = self
            .services
            .iter()
            .map(|service| {
                service.config.depends_on.iter().filter_map(|key| by_key.get(key.as_str()).copied()).collect()
            })
            .collect();
        for service in &mut self.services {
            service.dependents.clear();
        }
        for (place, needs) in needs.into_iter().enumerate() {
            for &need in &needs {
                self.services[need].dependents.push(place);
            }
            self.services[place].needs = needs;
        }
    }

    /// Starts a round of every service that is due.
    fn start_rounds(&mut self, now: Now, commands: &mut Vec<Command>) {
        while let Some(place) = self.schedule.pop_due(now.mono) {
            let service = &mut self.services[place];
            service.due = None;
            service.round_began = now.mono;
            for (check, config) in service.checks.iter_mut().zip(&service.config.checks) {
                check.start();
                commands.push(Command::Probe(Request {
                    id: check.id,
                    check: Arc::clone(&config.check),
                    timeout: service.config.timing.timeout,
                }));
            }
        }
    }

    fn take_outcome(&mut self, now: Now, id: ProbeId, report: Report, commands: &mut Vec<Command>) {
        let Some(&(place, of)) = self.places.get(&id) else { return };
        let service = &mut self.services[place];
        let check = &mut service.checks[of];
        if !check.is_in_flight() {
            return;
        }
        self.publishing.changed |= check.take(report, &service.config.timing, now.mono);
        let is_confirmed = check.standing(&service.config.timing) == Standing::Failing;
        service.last_checked = Some(now.wall);
        let is_round_over = !service.checks.iter().any(CheckState::is_in_flight);
        if is_round_over {
            service.note_if_well();
        }
        // A stop shows in the port a moment before it shows in the unit: what is not confirmed waits for the round.
        if is_round_over || is_confirmed {
            self.evaluate(now, place, commands);
        }
        if is_round_over {
            let due = self.services[place].next_round(now.mono);
            self.set_due(place, due);
        }
    }

    fn set_due(&mut self, place: usize, due: Tick) {
        if let Some(before) = self.services[place].due.replace(due) {
            self.schedule.remove(before, place);
        }
        self.schedule.insert(due, place);
    }

    /// Judges a service anew, and those that need it if its state changed.
    fn evaluate(&mut self, now: Now, place: usize, commands: &mut Vec<Command>) {
        let service = &self.services[place];
        let needs: Vec<(&str, State)> = service
            .needs
            .iter()
            .map(|&need| (self.services[need].config.name.as_str(), self.services[need].state))
            .collect();
        let judgement = judge(service, &needs, now.mono);
        let Some(record) = self.services[place].settle(now, judgement) else { return };
        let is_out_of_the_way = is_in_the_way(record.transition.from) && !is_in_the_way(record.transition.to);
        self.publishing.changed = true;
        commands.push(Command::Record(record));
        // The configuration has no circles, so this ends.
        for dependent in self.services[place].dependents.clone() {
            if is_out_of_the_way && self.services[dependent].state == State::Blocked {
                self.free(now, dependent);
            }
            self.evaluate(now, dependent, commands);
        }
    }

    /// What a blocked service needs is well again: it gets its grace, and is looked at at once.
    fn free(&mut self, now: Now, place: usize) {
        let service = &mut self.services[place];
        service.freed_at = Some(now.mono);
        if service.due.is_some() {
            self.set_due(place, Tick::at_or_before(now.mono));
        }
    }
}

impl Publishing {
    fn due(&self, heartbeat: Duration) -> Duration {
        let pause = if self.changed { COALESCE } else { heartbeat };
        let due = self.last.map_or(Duration::ZERO, |last| last + pause);
        due.max(self.retry_at.unwrap_or(Duration::ZERO))
    }

    fn asked(&mut self, now: Now) {
        *self = Publishing { last: Some(now.mono), changed: false, retry_at: None };
    }
}

fn in_force(config: &Config, now: Now) -> ConfigInForce {
    let path = config.path.as_ref().map(|path| path.display().to_string());
    ConfigInForce { path, loaded_at: now.wall, error: None }
}
