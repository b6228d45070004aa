//! The engine: events in, commands out. A value without clock, files, environment, tasks or log, so that the same
//! code runs live, under virtual time in the tests, and on recorded history.
//!
//! - `schedule`: when which service is due; everything happens in ticks of 250 ms.
//! - `watched`: a service with its running state.
//! - `check`: what the outcomes of one check add up to (thresholds).
//! - `state`: what the checks of a service add up to (the table of states).
//! - `intent`: why a unit does not run, as far as somebody watched.
//! - `heal`: where the healing of a service stands, and the table that decides.
//! - `brake`: what speaks against a heal for all services alike.
//! - `healing`: the engine's part that heals: what is decided and ordered, and what comes back of it.
//! - `incident`: incidents and the lines of the ledger. `holds`: pauses that people asked for.
//! - `publishing`: when the next document is written.
//! - `history`: what is remembered of a service, bounded: how long it was well, by hour and day.
//!
//! Invariants, each held by a property test: never two probes of one check in flight; an overrun delays the next
//! round and never piles up; `ok_count + fail_count == total`; the wall clock is shown and never decided by.

#![deny(clippy::disallowed_methods)]

mod brake;
mod check;
mod facts;
mod heal;
mod healing;
mod history;
mod holds;
mod incident;
mod intent;
mod publishing;
mod schedule;
mod state;
mod watched;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod stories;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Service as ServiceConfig};
use crate::probe::{Check, Detail, Report};
use crate::status::history::Day;
use crate::status::{
    ConfigInForce, Document, Entry, Hold, Host, HostHeals, Incident, Mode, Monitor, MonitorState, SCHEMA,
    Service, State, Timestamp, Transition,
};

pub use self::facts::{
    Action, HealEnd, HealId, HealOrder, InspectOrder, Inspection, Pressure, SystemPhase, UnitChange,
    UnitFacts,
};

use self::brake::Brake;
use self::check::{CheckState, Standing};
use self::history::Books;
use self::intent::explained;
use self::publishing::Publishing;
use self::schedule::{Schedule, Tick};
use self::state::{is_in_the_way, judge};
use self::watched::{Held, Watched};

/// The time, as the loop hands it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the engine was made, by the monotonic clock. Everything is decided by this.
    pub mono: Duration,
    /// The wall clock. It is shown and never decided by, so setting it changes nothing.
    pub wall: Timestamp,
}

impl Now {
    /// What the wall clock will show at a moment to come; for one that is over, what it shows now.
    fn wall_at(&self, mono: Duration) -> Timestamp {
        self.wall.plus_millis(mono.saturating_sub(self.mono).as_millis() as i64)
    }

    /// The same for an earlier moment.
    fn wall_before(&self, mono: Duration) -> Timestamp {
        self.wall.plus_millis(-(self.mono.saturating_sub(mono).as_millis() as i64))
    }
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
    /// From now on every change of these units is witnessed; this is how they are.
    WatchBegan(Vec<UnitChange>),
    /// A unit changed.
    UnitChanged(UnitChange),
    /// Units are not witnessed any more: what happens from now on, nobody sees.
    WatchLost,
    /// A process that a process check had found ended.
    ProcessEnded(ProbeId),
    /// The host began to shut down, or did not after all.
    ShuttingDown(bool),
    /// The holds that people asked for, by service; `None` is the whole host.
    HoldsChanged(Vec<(Option<String>, Hold)>),
    /// Whether healing is permitted on this machine: none if it is, else why not.
    CannotHeal(Option<String>),
    /// The look before a heal.
    Inspected(HealId, Inspection),
    /// The end of a heal.
    HealFinished(HealId, HealEnd),
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
    /// Look at what may speak against a heal.
    Inspect(InspectOrder),
    /// Heal, once [`Engine::memory`] is on disk.
    Heal(Box<HealOrder>),
    /// Do not make a heal that was ordered, if there is time yet: somebody ordered something else.
    CallOff(HealId),
    /// Write a decision down.
    Note(Entry),
    /// Write an incident down: it began, something was done, or it ended.
    Incident(Incident),
    /// Write [`Engine::memory`] down.
    Save,
    /// Write down how these days went, as far as is known: what is known of them already is added to it.
    History(Vec<Day>),
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
    /// The incident that the change belongs to: the one it opens, or that was open.
    pub incident: Option<String>,
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
    /// What of the configuration needs a restart of the monitor.
    pub needs_restart: Option<String>,
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
    /// The places of the services that are about a unit.
    by_unit: HashMap<String, Vec<usize>>,
    /// When which service must be looked at again for its healing's sake.
    alarms: BTreeSet<(Duration, usize)>,
    brake: Brake,
    heal_budget: u32,
    observe: bool,
    /// The holds in force: of a service, or of the whole host.
    holds: BTreeMap<Option<String>, Held>,
    cannot_heal: Option<String>,
    next_heal: u64,
    /// Tells this host's backoff from that of others.
    seed: u64,
    /// Something changed that must survive a restart of the monitor.
    save: bool,
    /// When that was last written down, and whether thresholds counted since.
    saved: Duration,
    has_counted: bool,
    books: Books,
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
            publishing: Publishing::new(),
            by_unit: HashMap::new(),
            alarms: BTreeSet::new(),
            brake: Brake::default(),
            heal_budget: config.monitor.heal_budget,
            observe: config.monitor.observe,
            holds: BTreeMap::new(),
            cannot_heal: None,
            next_heal: 0,
            seed: 0,
            save: false,
            saved: now.mono,
            has_counted: false,
            books: Books::new(now),
        };
        engine.seed = schedule::hash(&engine.identity.boot_id);
        engine.adopt(config.services, now, &mut Vec::new());
        engine
    }

    /// Takes an event, and says what is to be done about it.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        self.keep_books(now);
        match event {
            Event::Tick => {}
            Event::Outcome(id, report) => self.take_outcome(now, id, report, &mut commands),
            Event::ConfigChanged(config) => {
                self.config = in_force(&config, now);
                self.heartbeat = config.monitor.heartbeat;
                self.heal_budget = config.monitor.heal_budget;
                self.observe = config.monitor.observe;
                self.adopt(config.services, now, &mut commands);
                self.apply_holds(now, &mut commands);
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
                self.publishing.failed(now);
            }
            Event::WatchBegan(units) => {
                units.iter().for_each(|unit| self.unit_changed(now, unit, true, &mut commands));
            }
            Event::UnitChanged(change) => self.unit_changed(now, &change, false, &mut commands),
            Event::WatchLost => self.watch_lost(),
            Event::ProcessEnded(id) => {
                if let Some(&(place, _)) = self.places.get(&id) {
                    self.trigger(now, place);
                }
            }
            Event::ShuttingDown(is_so) => self.brake.shutting_down = is_so,
            Event::HoldsChanged(holds) => self.take_holds(now, holds, &mut commands),
            Event::CannotHeal(why) => {
                self.publishing.changed |= self.cannot_heal != why;
                self.cannot_heal = why;
            }
            Event::Inspected(id, look) => self.inspected(now, id, &look, &mut commands),
            Event::HealFinished(id, end) => self.heal_finished(now, id, end, &mut commands),
        }
        self.end_holds(now, &mut commands);
        self.ring_alarms(now, &mut commands);
        self.start_rounds(now, &mut commands);
        if now.mono >= self.publishing.due(self.heartbeat) {
            for place in 0..self.services.len() {
                if self.services[place].overdue(now.mono).is_some() {
                    self.evaluate(now, place, &mut commands);
                }
            }
            self.balance(now, &mut commands);
            self.publishing.asked(now);
            // Counters move with every probe of what is down; a heartbeat without them harms nobody.
            if self.save || self.has_counted && now.mono >= self.saved + self.heartbeat {
                (self.save, self.has_counted, self.saved) = (false, false, now.mono);
                commands.push(Command::Save);
            }
            commands.push(Command::Publish);
        }
        commands
    }

    /// When the engine wants the next [`Event::Tick`] at the latest, on the clock of [`Now::mono`].
    pub fn next_wakeup(&self) -> Duration {
        let publish = self.publishing.due(self.heartbeat);
        // While the host shuts down nothing is probed.
        let round = self.schedule.next().filter(|_| !self.brake.shutting_down).map(Tick::time);
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let hold = self.holds.values().map(|held| held.until).min();
        [round, alarm, hold].into_iter().flatten().fold(publish, Duration::min)
    }

    /// Whether every check was probed at least once.
    pub fn has_looked_everywhere(&self) -> bool {
        self.services.iter().all(|service| service.checks.iter().all(CheckState::has_looked))
    }

    /// The document of this moment.
    pub fn document(&self, now: Now, edition: Edition) -> Document {
        let Edition { sequence, host, state, needs_restart } = edition;
        let services: Vec<Service> = self
            .services
            .iter()
            .map(|service| service.document(now, self.identity.mode, self.observe))
            .collect();
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
            stale_after_s: self.stale_after_s(),
            host,
            monitor: Monitor {
                state,
                version: self.identity.version.clone(),
                pid: self.identity.pid,
                started_at: self.started_at,
                config: ConfigInForce { needs_restart, ..self.config.clone() },
                cannot_heal: self.cannot_heal.clone(),
                heals: Some(HostHeals {
                    within_an_hour: self.brake.heals_within_an_hour(now.mono) as u32,
                    budget: self.heal_budget,
                }),
            },
            services: services.into_iter().map(|service| (service.key.clone(), service)).collect(),
        }
    }

    /// Takes over a list of services. A check that is the same under the same key goes on as it was, with all that is
    /// known of it; the rest starts anew.
    fn adopt(&mut self, configs: Vec<ServiceConfig>, now: Now, commands: &mut Vec<Command>) {
        let stay: HashSet<&str> = configs.iter().map(|config| config.key.as_str()).collect();
        for place in 0..self.services.len() {
            if !stay.contains(self.services[place].config.key.as_str()) {
                self.end_incident(now, place, "no longer watched".to_owned(), commands);
            }
        }
        let mut old: HashMap<String, Watched> =
            self.services.drain(..).map(|service| (service.config.key.clone(), service)).collect();
        for config in configs {
            let known = old
                .remove(&config.key)
                .unwrap_or_else(|| Watched::new(&config, self.books.take(&config.key, now), now));
            let next_id = &mut self.next_id;
            let new_id = || {
                *next_id += 1;
                ProbeId(*next_id)
            };
            self.services.push(known.under(config, new_id, now.mono));
        }
        for (key, mut service) in old {
            service.book(now);
            self.books.keep(key, service.history);
        }
        self.link();
    }

    /// Writes down who is where, who is due when, and who needs whom, both ways.
    fn link(&mut self) {
        self.places.clear();
        self.schedule = Schedule::default();
        self.by_unit = Engine::units(&self.services);
        self.alarms.clear();
        for (place, service) in self.services.iter().enumerate() {
            self.places.extend(service.checks.iter().zip(0..).map(|(check, of)| (check.id, (place, of))));
            if let Some(due) = service.due {
                self.schedule.insert(due, place);
            }
            self.alarms.extend(service.alarm.map(|at| (at, place)));
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
        let mut depths = vec![None; self.services.len()];
        for place in 0..self.services.len() {
            self.services[place].depth = self.depth(place, &mut depths);
        }
    }

    /// How many stand below a service in the longest chain of what it needs. The configuration has no circles.
    fn depth(&self, place: usize, known: &mut Vec<Option<usize>>) -> usize {
        if let Some(depth) = known[place] {
            return depth;
        }
        let below = self.services[place].needs.iter().map(|&need| 1 + self.depth(need, known)).max();
        known[place] = below.or(Some(0));
        below.unwrap_or(0)
    }

    /// Starts a round of every service that is due.
    fn start_rounds(&mut self, now: Now, commands: &mut Vec<Command>) {
        while !self.brake.shutting_down
            && let Some(place) = self.schedule.pop_due(now.mono)
        {
            let service = &mut self.services[place];
            service.due = None;
            service.is_wanted_again = false;
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
        let failures = check.failures();
        let report = explain(report, service, &mut self.save);
        service.note_latency(now, of, &report);
        let check = &mut service.checks[of];
        self.publishing.has_news |= check.take(report, &service.config.timing, now.mono);
        let restarts = check.restarts().filter(|noticed| *noticed == now.mono).count();
        service.history.count(now, restarts as u16, 0);
        let check = &mut service.checks[of];
        self.has_counted |= check.failures() != failures;
        let is_confirmed = check.standing(&service.config.timing) == Standing::Failing;
        service.last_checked = Some(now.wall);
        service.note_failing(now);
        let is_round_over = service.round_is_over();
        if is_round_over {
            service.note_if_well();
        }
        // A stop shows in the port a moment before it shows in the unit: what is not confirmed waits for the round. So does a
        // crash, and its cause is what the unit says: its answer is always waited for.
        let is_known = service
            .checks
            .iter()
            .all(|check| check.has_looked() && !(check.is_in_flight() && check.kind() == "systemd"));
        if is_round_over || is_confirmed && is_known {
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
        if service.awaits_first_look(now.mono) {
            return;
        }
        let needs: Vec<&Watched> = service.needs.iter().map(|&need| &self.services[need]).collect();
        let judgement = judge(service, &needs, now.mono);
        let record = self.services[place].settle(now, judgement);
        let before = self.services[place].open_incident().cloned();
        let at = commands.len();
        self.tend(now, place, commands);
        let Some(mut record) = record else { return };
        record.incident = before.or_else(|| self.services[place].open_incident().cloned());
        if record.transition.from == State::Down {
            self.brake.forget(&record.key);
        }
        let is_out_of_the_way = !is_in_the_way(&self.services[place]);
        self.publishing.has_news = true;
        // What changed is told before what is done about it.
        commands.insert(at, Command::Record(record));
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

/// What a probe of its unit says, in the light of what was witnessed.
fn explain(report: Report, service: &mut Watched, save: &mut bool) -> Report {
    let Detail::Systemd(detail) = &report.detail else { return report };
    if service.config.unit() != Some(&detail.unit) {
        return report;
    }
    if matches!(detail.state.as_str(), "inactive" | "failed") {
        let before = service.witness.memory();
        service.witness.note_end(detail.since);
        *save |= service.witness.memory() != before;
    }
    let (intent, is_acting) = (service.witness.intent(), service.healing.is_acting());
    let outcome = explained(report.outcome, intent, detail.result.as_deref(), is_acting);
    Report { outcome, ..report }
}

fn in_force(config: &Config, now: Now) -> ConfigInForce {
    let path = config.path.as_ref().map(|path| path.display().to_string());
    ConfigInForce { path, loaded_at: now.wall, error: None, needs_restart: None }
}
