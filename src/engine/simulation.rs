//! A simulated host: units that crash, hang, answer 500, leave and are stopped by hand, under an engine that heals them.
//! Whatever happens, the rules hold. A seed that breaks one prints its story.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::stories::{config, http_check};
use super::*;
use crate::config::{CheckConfig, Heal, Timing};
use crate::probe::{Failure, Outcome, Severity, systemd};
use crate::status::history::ServiceDay;
use crate::status::{Decision, Hold, Memory};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// What a unit does; every time in ms of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Running,
    Starting,
    Stopping,
    AutoRestart,
    Failed,
    Inactive,
}

/// A service of the simulated host: the truth, which the engine sees only through probes and signals.
#[derive(Debug)]
struct Truth {
    unit: Unit,
    /// Runs and does not answer.
    sick: Option<&'static str>,
    /// A restart does not help before this.
    broken_until: u64,
    stopped_by_hand: bool,
    /// It came to be inactive while nobody watched.
    unseen: bool,
    held_until: u64,
    started: u64,
    changed: u64,
    restarts: u32,
    /// Counts what was ordered for it: an older plan for its unit is void.
    plan: u64,
    /// A heal reset it, and starts it in a moment.
    is_reset: bool,
    healing: Option<HealId>,
    heals: Vec<u64>,
    restarts_itself: bool,
    log: VecDeque<String>,
    opened: u32,
    closed: u32,
    decided: u32,
    ended: u32,
    waits: BTreeSet<String>,
}

/// What will happen to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    Fault,
    Becomes(u64, u8),
    StartedByHand,
}

struct Host {
    engine: Engine,
    now: u64,
    random: u64,
    truths: Vec<Truth>,
    /// (when, number, service, what)
    plans: BTreeMap<(u64, u64), (usize, Plan)>,
    number: u64,
    probes: BTreeMap<(u64, u64), Request>,
    looks: BTreeMap<(u64, u64), InspectOrder>,
    signals: VecDeque<UnitChange>,
    bus: bool,
    memory: Memory,
    host_heals: Vec<u64>,
    faults: bool,
}

fn key(place: usize) -> String {
    format!("s{place}")
}

fn unit_of(place: usize) -> String {
    format!("s{place}.service")
}

/// Three chains of three that need each other, the rest alone.
fn services(count: usize) -> Vec<ServiceConfig> {
    let of = |place: usize| ServiceConfig {
        checks: vec![
            http_check(),
            CheckConfig {
                check: Arc::new(Check::Systemd(systemd::Settings { unit: unit_of(place) })),
                severity: Severity::Critical,
            },
        ],
        depends_on: if !place.is_multiple_of(3) && place < 9 { vec![key(place - 1)] } else { Vec::new() },
        // A longer interval than by default: a thousandth of the time.
        timing: Timing { interval: Duration::from_secs(300), ..Timing::default() },
        heal: Some(Heal::restart(unit_of(place))),
        ..super::stories::service(&key(place))
    };
    (0..count).map(of).collect()
}

fn configured(count: usize) -> Config {
    let mut config = config(services(count));
    config.monitor.heartbeat = Duration::from_secs(3600);
    config
}

impl Truth {
    fn is_on_its_way(&self) -> bool {
        self.is_reset || matches!(self.unit, Unit::Stopping | Unit::Starting)
    }
}

impl Host {
    fn new(seed: u64, count: usize) -> Host {
        let identity = super::stories::identity();
        let now = Now { mono: Duration::ZERO, wall: Timestamp::from_millis(0) };
        let truth = |place: usize| Truth {
            unit: Unit::Running,
            sick: None,
            broken_until: 0,
            stopped_by_hand: false,
            unseen: false,
            held_until: 0,
            started: 0,
            changed: 0,
            restarts: 0,
            plan: 0,
            is_reset: false,
            healing: None,
            heals: Vec::new(),
            restarts_itself: place % 4 == 3,
            log: VecDeque::new(),
            opened: 0,
            closed: 0,
            decided: 0,
            ended: 0,
            waits: BTreeSet::new(),
        };
        let mut host = Host {
            engine: Engine::new(configured(count), identity, now),
            now: 0,
            random: seed,
            truths: (0..count).map(truth).collect(),
            plans: BTreeMap::new(),
            number: 0,
            probes: BTreeMap::new(),
            looks: BTreeMap::new(),
            signals: VecDeque::new(),
            bus: true,
            memory: Memory::default(),
            host_heals: Vec::new(),
            faults: true,
        };
        host.give(Event::WatchBegan(host.all_units()));
        (0..count).for_each(|place| host.plan_fault(place));
        host
    }

    /// SplitMix64.
    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn now(&self) -> Now {
        Now { mono: Duration::from_millis(self.now), wall: Timestamp::from_millis(self.now as i64) }
    }

    fn plan(&mut self, place: usize, after: u64, plan: Plan) {
        self.number += 1;
        self.plans.insert((self.now + after, self.number), (place, plan));
    }

    fn plan_fault(&mut self, place: usize) {
        let after = MINUTE + self.draw(12 * HOUR);
        self.plan(place, after, Plan::Fault);
    }

    fn tell(&mut self, place: usize, line: String) {
        let line = format!("{:>9.3} h  {line}", self.now as f64 / HOUR as f64);
        let log = &mut self.truths[place].log;
        if log.len() == 60 {
            log.pop_front();
        }
        log.push_back(line);
    }

    fn broken(&self, place: usize, rule: &str) -> ! {
        let story: Vec<&str> = self.truths[place].log.iter().map(String::as_str).collect();
        let truth = &self.truths[place];
        panic!(
            "{rule}: s{place} at {} ms\n{}\n{:?} {:?}",
            self.now,
            story.join("\n"),
            truth.unit,
            truth.sick
        );
    }

    fn change_of(&self, place: usize, has_job: bool) -> UnitChange {
        let active = match self.truths[place].unit {
            Unit::Running => "active",
            Unit::Starting | Unit::AutoRestart => "activating",
            Unit::Stopping => "deactivating",
            Unit::Failed => "failed",
            Unit::Inactive => "inactive",
        };
        UnitChange { unit: unit_of(place), active: active.to_owned(), has_job }
    }

    fn all_units(&self) -> Vec<UnitChange> {
        (0..self.truths.len()).map(|place| self.change_of(place, false)).collect()
    }

    /// A unit becomes something; the engine hears of it while there is a bus.
    fn become_(&mut self, place: usize, unit: Unit, has_job: bool) {
        let truth = &mut self.truths[place];
        truth.unit = unit;
        truth.plan += 1;
        truth.is_reset = false;
        truth.changed = self.now;
        if unit == Unit::Starting {
            truth.started = self.now;
            truth.sick = None;
            truth.stopped_by_hand = false;
        }
        if unit == Unit::Inactive && !self.bus {
            truth.unseen = true;
        }
        // `failed` looks like a crash to whoever did not see the order.
        if unit == Unit::Failed && !self.bus {
            truth.stopped_by_hand = false;
        }
        truth.unseen &= !matches!(unit, Unit::Running | Unit::Starting);
        self.tell(place, format!("[unit {unit:?}{}]", if has_job { ", ordered" } else { "" }));
        if self.bus {
            self.signals.push_back(self.change_of(place, has_job));
        }
    }

    /// Plans the next state of a unit; void if something else happens to it before.
    fn later(&mut self, place: usize, after: u64, unit: Unit) {
        let code = unit as u8;
        let plan = self.truths[place].plan;
        self.plan(place, after, Plan::Becomes(plan, code));
    }

    fn start(&mut self, place: usize) {
        self.become_(place, Unit::Starting, true);
        // Now and then longer than the grace.
        let took =
            100 + self.draw(if self.truths[place].plan.is_multiple_of(9) { 45 * SECOND } else { 3 * SECOND });
        let works = self.now >= self.truths[place].broken_until;
        // What a unit requires may fail to start: then our own order leaves it stopped.
        let is_refused = self.truths[place].healing.is_some() && self.draw(3) == 0;
        let otherwise = if is_refused { Unit::Inactive } else { Unit::Failed };
        self.later(place, took, if works { Unit::Running } else { otherwise });
    }

    fn carry_out(&mut self, place: usize, plan: Plan) {
        match plan {
            Plan::Fault => {
                if self.faults {
                    self.fault(place);
                }
                self.plan_fault(place);
            }
            Plan::StartedByHand => {
                if matches!(self.truths[place].unit, Unit::Inactive | Unit::Failed) {
                    self.tell(place, "systemctl start".to_owned());
                    self.start(place);
                }
            }
            Plan::Becomes(plan, code) if plan == self.truths[place].plan => {
                let unit = [
                    Unit::Running,
                    Unit::Starting,
                    Unit::Stopping,
                    Unit::AutoRestart,
                    Unit::Failed,
                    Unit::Inactive,
                ]
                .into_iter()
                .find(|unit| *unit as u8 == code);
                match unit {
                    // The end of the stop of a restart.
                    Some(Unit::Starting) => self.start(place),
                    Some(unit) => {
                        if self.truths[place].unit == Unit::AutoRestart {
                            self.truths[place].restarts += 1;
                        }
                        self.become_(place, unit, false);
                    }
                    None => unreachable!(),
                }
            }
            Plan::Becomes(..) => {}
        }
    }

    fn fault(&mut self, place: usize) {
        let runs = self.truths[place].unit == Unit::Running;
        match self.draw(14) {
            0 | 1 if runs => self.crash(place),
            2 | 3 if runs => self.sicken(place, "hangs"),
            4 | 5 if runs => self.sicken(place, "500"),
            6 if runs => {
                self.tell(place, "exits by itself".to_owned());
                self.become_(place, Unit::Inactive, false);
            }
            7 if runs => {
                self.tell(place, "systemctl stop".to_owned());
                self.truths[place].stopped_by_hand = true;
                self.become_(place, Unit::Stopping, true);
                // A stop that fails is a stop.
                let end = if self.draw(4) == 0 { Unit::Failed } else { Unit::Inactive };
                self.later(place, 200, end);
                let back = self.draw(3 * HOUR);
                self.plan(place, 10 * SECOND + back, Plan::StartedByHand);
            }
            8 if runs => {
                self.tell(place, "systemctl restart".to_owned());
                self.become_(place, Unit::Stopping, true);
                self.later(place, 200, Unit::Starting);
            }
            9 => {
                let lasts = self.draw(6 * HOUR);
                self.truths[place].broken_until = self.now + lasts;
                self.tell(place, format!("broken for {} min", lasts / MINUTE));
                if runs {
                    self.crash(place);
                }
            }
            10 => self.hold(place),
            11 => self.toggle_bus(),
            12 => self.kill_monitor(),
            13 => self.give(Event::ConfigChanged(configured(self.truths.len()))),
            _ => {}
        }
    }

    fn crash(&mut self, place: usize) {
        self.tell(place, "crashes".to_owned());
        self.become_(place, Unit::Failed, false);
        if self.truths[place].restarts_itself {
            self.become_(place, Unit::AutoRestart, false);
            let works = self.now >= self.truths[place].broken_until;
            self.later(place, SECOND, if works { Unit::Running } else { Unit::Failed });
        }
    }

    fn sicken(&mut self, place: usize, how: &'static str) {
        self.tell(place, how.to_owned());
        self.truths[place].sick = Some(how);
    }

    fn hold(&mut self, place: usize) {
        let lasts = MINUTE + self.draw(2 * HOUR);
        self.truths[place].held_until = self.now + lasts;
        self.give_holds();
    }

    fn give_holds(&mut self) {
        let hold = |truth: &Truth| Hold {
            since: Timestamp::from_millis(0),
            until: Timestamp::from_millis(truth.held_until as i64),
            by: "root".to_owned(),
            reason: None,
        };
        let held = self.truths.iter().enumerate().filter(|(_, truth)| truth.held_until > self.now);
        let holds = held.map(|(place, truth)| (Some(key(place)), hold(truth))).collect();
        self.give(Event::HoldsChanged(holds));
    }

    fn toggle_bus(&mut self) {
        self.bus = !self.bus;
        let event = if self.bus { Event::WatchBegan(self.all_units()) } else { Event::WatchLost };
        self.give(event);
    }

    /// kill -9, and another monitor a second later with what was on disk.
    fn kill_monitor(&mut self) {
        for place in 0..self.truths.len() {
            self.tell(place, "kill -9 of the monitor".to_owned());
            let truth = &mut self.truths[place];
            // What was under way ends unheard; the next monitor writes a line about it.
            truth.healing = None;
            truth.waits.clear();
            // What was seen and not saved yet, nobody saw.
            let end = self.memory.services.get(&key(place)).and_then(|memory| memory.end.clone());
            let active = self.change_of(place, false).active;
            let truth = &mut self.truths[place];
            let since = Timestamp::from_millis(truth.changed as i64);
            let is_known = end.is_some_and(|end| end.active == active && end.since == Some(since));
            truth.unseen |= truth.unit == Unit::Inactive && !is_known;
            truth.stopped_by_hand &= truth.unit == Unit::Inactive || is_known;
        }
        self.probes.clear();
        self.looks.clear();
        self.signals.clear();
        let mut engine = Engine::new(configured(self.truths.len()), super::stories::identity(), self.now());
        let memory = self.memory.clone().after(Duration::ZERO);
        let commands = engine.recall(self.now(), &memory);
        self.engine = engine;
        self.obey(commands);
        self.bus = true;
        self.give(Event::WatchBegan(self.all_units()));
        self.give_holds();
    }

    fn give(&mut self, event: Event) {
        let commands = self.engine.handle(self.now(), event);
        self.obey(commands);
    }

    fn obey(&mut self, commands: Vec<Command>) {
        let mut decided = Vec::new();
        for command in commands {
            match command {
                Command::Probe(request) => {
                    let (place, _) = self.engine.places[&request.id];
                    let hangs =
                        matches!(*request.check, Check::Http(_)) && self.truths[place].sick == Some("hangs");
                    let took = if hangs { 3000 } else { 1 + self.draw(20) };
                    self.number += 1;
                    self.probes.insert((self.now + took, self.number), request);
                }
                Command::Inspect(order) => {
                    self.number += 1;
                    let took = self.draw(50);
                    self.looks.insert((self.now + took, self.number), order);
                }
                Command::Heal(order) => self.heal(*order, &mut decided),
                Command::Note(entry) => self.note(entry, &mut decided),
                Command::History(days) => {
                    let hours = days.iter().flat_map(|day| &day.services).flat_map(ServiceDay::hours);
                    hours.for_each(|(_, hour)| assert!(hour.known_ms() <= 3_600_000, "an hour of {hour:?}"));
                }
                Command::Save => self.memory = self.engine.memory(self.now()),
                Command::Record(record) => {
                    let place: usize = record.key[1..].parse().unwrap();
                    let Record { transition, .. } = record;
                    self.tell(place, format!("{} -> {}", transition.from, transition.to));
                    self.truths[place].waits.clear();
                }
                // The simulated call is made at the moment of the order.
                Command::Publish | Command::Incident(_) | Command::CallOff(_) => {}
            }
        }
        if let Some(place) = decided.first() {
            self.broken(*place, "a decision to heal without a heal");
        }
    }

    /// A line of the ledger. `decided` are the heals that were written down and not ordered yet.
    fn note(&mut self, entry: Entry, decided: &mut Vec<usize>) {
        let Some(service) = &entry.service else { return };
        let place: usize = service[1..].parse().unwrap();
        self.tell(place, format!("LEDGER {:?}: {}", entry.decision, entry.words));
        let truth = &mut self.truths[place];
        let is_wait = matches!(entry.decision, Decision::Wait | Decision::Refuse);
        match entry.decision {
            Decision::Opened => truth.opened += 1,
            Decision::Closed => truth.closed += 1,
            Decision::Heal => {
                truth.decided += 1;
                decided.push(place);
            }
            Decision::Healed | Decision::HealFailed | Decision::Cancel => truth.ended += 1,
            _ => {}
        }
        if !is_wait {
            truth.waits.clear();
        } else if !truth.waits.insert(entry.words) {
            self.broken(place, "the same decision twice in the ledger");
        }
        let truth = &self.truths[place];
        if truth.opened < truth.closed || truth.opened > truth.closed + 1 {
            self.broken(place, "incidents that overlap");
        }
    }

    /// A heal, with everything that must be true of it.
    fn heal(&mut self, order: HealOrder, decided: &mut Vec<usize>) {
        let place: usize = order.key[1..].parse().unwrap();
        let Some(of) = decided.iter().position(|other| *other == place) else {
            self.broken(place, "a heal without a line in the ledger");
        };
        decided.remove(of);
        self.memory = self.engine.memory(self.now());
        let now = self.now;
        let within_an_hour = |heals: &[u64]| heals.iter().filter(|at| **at + HOUR > now).count();
        let truth = &self.truths[place];
        let state = self.engine.services[place].state;
        let rules = [
            ("two heals at once", truth.healing.is_some()),
            ("the budget of the service", within_an_hour(&truth.heals) >= 5),
            ("the budget of the host", within_an_hour(&self.host_heals) >= 10),
            ("a heal of what is held", truth.held_until > now),
            ("a heal of what is not down", state != State::Down),
            ("a start of what an administrator stopped", truth.stopped_by_hand),
            ("a heal of what nobody saw ending", truth.unseen),
            ("a heal while what it needs is down", {
                let needs = &self.engine.services[place].needs;
                needs.iter().any(|need| self.engine.services[*need].state == State::Down)
            }),
        ];
        for (rule, is_broken) in rules {
            if is_broken {
                self.broken(place, rule);
            }
        }
        // As `heal` does it: whoever is not as he was seen is left alone.
        let as_seen = order.seen.as_ref() == Some(&self.facts(place));
        if !as_seen {
            return self.give(Event::HealFinished(order.id, HealEnd::Cancelled("changed".to_owned())));
        }
        let truth = &self.truths[place];
        let pause = truth.heals.last().map(|at| now - at);
        if truth.is_on_its_way() {
            self.broken(place, "a heal while it is starting or stopping");
        }
        // The shortest pause, less a tenth.
        if pause.is_some_and(|pause| pause < 9 * SECOND) {
            self.broken(place, "the backoff");
        }
        self.truths[place].healing = Some(order.id);
        self.truths[place].heals.push(now);
        self.host_heals.push(now);
        match order.action {
            Action::TryRestart(_) => {
                self.become_(place, Unit::Stopping, true);
                self.later(place, 200, Unit::Starting);
            }
            Action::Start(_) => {
                // ResetFailedUnit comes first.
                if self.truths[place].unit == Unit::Failed {
                    self.become_(place, Unit::Inactive, false);
                    self.truths[place].unseen = false;
                }
                self.truths[place].is_reset = true;
                self.later(place, 20, Unit::Starting);
            }
            Action::Reload(_) | Action::Run(_) => unreachable!(),
        }
    }

    fn facts(&self, place: usize) -> UnitFacts {
        let truth = &self.truths[place];
        let sub = match truth.unit {
            Unit::AutoRestart => "auto-restart",
            _ => "",
        };
        UnitFacts {
            load: "loaded".to_owned(),
            active: self.change_of(place, false).active,
            sub: sub.to_owned(),
            job: (truth.unit == Unit::Stopping).then(|| "stop".to_owned()),
            invocation: Some(truth.started.to_string()),
            ..UnitFacts::default()
        }
    }

    fn answer(&self, request: &Request) -> Report {
        let (place, _) = self.engine.places[&request.id];
        let truth = &self.truths[place];
        let fail = |kind| Outcome::Fail { reason: format!("{:?}", truth.unit), kind };
        let outcome = match &*request.check {
            Check::Systemd(_) if !self.bus => Outcome::unknown("no bus"),
            Check::Systemd(_) => match truth.unit {
                Unit::Running => Outcome::PASS,
                Unit::Starting | Unit::AutoRestart => fail(Failure::Starting),
                Unit::Stopping => fail(Failure::Stopping),
                Unit::Failed => fail(Failure::Certain),
                Unit::Inactive => fail(Failure::Unexplained),
            },
            _ if truth.unit != Unit::Running => Outcome::fail("connection refused"),
            _ => match truth.sick {
                None => Outcome::PASS,
                Some(how) => Outcome::fail(how),
            },
        };
        let mut detail = request.check.blank();
        if let Detail::Systemd(detail) = &mut detail
            && self.bus
        {
            detail.unit = unit_of(place);
            detail.state = self.change_of(place, false).active;
            detail.since = Some(Timestamp::from_millis(truth.changed as i64));
        }
        let runs = matches!(truth.unit, Unit::Running | Unit::Starting);
        let is_unit = matches!(*request.check, Check::Systemd(_)) && self.bus;
        Report {
            running_for: (runs && is_unit).then(|| Duration::from_millis(self.now - truth.started)),
            restarts: is_unit.then_some(truth.restarts),
            ..Report::new(outcome, detail)
        }
    }

    /// The one thing that happens next; none before `end`.
    fn step(&mut self, end: u64) -> bool {
        if let Some(change) = self.signals.pop_front() {
            self.give(Event::UnitChanged(change));
            return true;
        }
        for place in 0..self.truths.len() {
            let truth = &self.truths[place];
            if let Some(id) = truth.healing.filter(|_| !truth.is_on_its_way()) {
                let end = match truth.unit {
                    Unit::Running => HealEnd::Done,
                    _ => HealEnd::Failed("the job failed".to_owned()),
                };
                self.truths[place].healing = None;
                self.give(Event::HealFinished(id, end));
                return true;
            }
        }
        let wakeup = (self.engine.next_wakeup().as_nanos().div_ceil(1_000_000) as u64).max(self.now);
        let plan = self.plans.first_key_value().map_or(u64::MAX, |(&(at, _), _)| at);
        let probe = self.probes.first_key_value().map_or(u64::MAX, |(&(at, _), _)| at);
        let look = self.looks.first_key_value().map_or(u64::MAX, |(&(at, _), _)| at);
        let next = wakeup.min(plan).min(probe).min(look);
        if next > end {
            self.now = end;
            return false;
        }
        self.now = next;
        if next == plan {
            let (_, (place, plan)) = self.plans.pop_first().unwrap();
            self.carry_out(place, plan);
        } else if next == probe {
            let (_, request) = self.probes.pop_first().unwrap();
            if self.engine.places.contains_key(&request.id) {
                let report = self.answer(&request);
                self.give(Event::Outcome(request.id, report));
            }
        } else if next == look {
            let (_, order) = self.looks.pop_first().unwrap();
            let place: usize = order.unit.unwrap().trim_end_matches(".service")[1..].parse().unwrap();
            let unit = if self.bus { Ok(self.facts(place)) } else { Err("no bus".to_owned()) };
            let inspection =
                Inspection { unit: Some(unit), system: SystemPhase::Running, pressure: Pressure::default() };
            self.give(Event::Inspected(order.id, inspection));
        } else {
            self.give(Event::Tick);
        }
        true
    }

    fn run_until(&mut self, end: u64) {
        while self.step(end) {}
    }

    /// No faults any more: in the end everything that may be healed is well.
    fn come_to_rest(&mut self) {
        self.faults = false;
        self.truths.iter_mut().for_each(|truth| truth.broken_until = 0);
        if !self.bus {
            self.toggle_bus();
        }
        self.run_until(self.now + 24 * HOUR);
        for place in 0..self.truths.len() {
            let truth = &self.truths[place];
            let state = self.engine.services[place].state;
            let may_rest = truth.stopped_by_hand || truth.unseen;
            let needs_rest = state == State::Blocked;
            if state != State::Up && !may_rest && !needs_rest {
                self.broken(place, &format!("{state} in the end, though it could be healed"));
            }
            if truth.opened != truth.closed && state == State::Up {
                self.broken(place, "an incident that never ended");
            }
            if truth.decided != truth.ended {
                let counts = format!("{} heals were decided and {} ended", truth.decided, truth.ended);
                self.broken(place, &counts);
            }
        }
    }
}

fn simulate(seed: u64, services: usize, hours: u64) {
    println!("seed {seed}");
    let mut host = Host::new(seed, services);
    host.run_until(hours * HOUR);
    host.come_to_rest();
    let heals: usize = host.truths.iter().map(|truth| truth.heals.len()).sum();
    assert!(heals as u64 > hours * services as u64 / 100, "only {heals} heals: the simulation tests nothing");
}

/// 4 x 25,000 service-hours: each test a few seeds, so that they share the cores.
fn simulate_a_quarter(first: u64) {
    for seed in first..first + 5 {
        simulate(seed, 25, 200);
    }
}

#[test]
fn the_rules_hold_in_a_hundred_thousand_service_hours_first_quarter() {
    simulate_a_quarter(100);
}

#[test]
fn the_rules_hold_in_a_hundred_thousand_service_hours_second_quarter() {
    simulate_a_quarter(200);
}

#[test]
fn the_rules_hold_in_a_hundred_thousand_service_hours_third_quarter() {
    simulate_a_quarter(300);
}

#[test]
fn the_rules_hold_in_a_hundred_thousand_service_hours_last_quarter() {
    simulate_a_quarter(400);
}
