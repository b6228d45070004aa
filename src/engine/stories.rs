//! The engine under virtual time: small worlds with services that pass, fail and hang, and what is believed of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::publishing::{COALESCE, COALESCE_NEWS};
use super::*;
use crate::config::{CheckConfig, Monitor as MonitorConfig, Timing, Viewer};
use crate::probe::{Detail, Failure, Outcome, Severity, Verdict, http, port};
use crate::status::Memory;

/// What a service's check answers, and how long that takes.
pub(super) type Answer = (Outcome, Duration);

const QUICK: Duration = Duration::from_millis(5);

pub(super) fn passes() -> Answer {
    (Outcome::PASS, QUICK)
}

pub(super) fn fails() -> Answer {
    (Outcome::fail("connection refused"), QUICK)
}

/// A real timeout ends a little late.
pub(super) fn hangs() -> Answer {
    (Outcome::late("timed out after 3 s"), Duration::from_millis(3005))
}

pub(super) fn cannot_tell() -> Answer {
    (Outcome::unknown("no file descriptors"), QUICK)
}

pub(super) fn fails_as(kind: Failure) -> Answer {
    (Outcome::Fail { reason: "unit".to_owned(), kind }, QUICK)
}

pub(super) fn port_check() -> CheckConfig {
    let check = Check::Port(port::Settings::Tcp { host: "127.0.0.1".to_owned(), port: 80 });
    CheckConfig { check: Arc::new(check), severity: Severity::Critical }
}

pub(super) fn http_check() -> CheckConfig {
    let url = "http://127.0.0.1/health".parse().unwrap();
    CheckConfig { check: Arc::new(Check::http(http::Settings::get(url))), severity: Severity::Critical }
}

pub(super) fn service(key: &str) -> ServiceConfig {
    ServiceConfig {
        key: key.to_owned(),
        name: key.to_owned(),
        group: None,
        primary: false,
        checks: vec![port_check()],
        depends_on: Vec::new(),
        timing: Timing::default(),
        heal: None,
    }
}

pub(super) fn config(services: Vec<ServiceConfig>) -> Config {
    Config { path: None, services, monitor: MonitorConfig::default(), viewer: Viewer::default() }
}

pub(super) fn identity() -> Identity {
    Identity { version: "0".to_owned(), pid: 1, boot_id: "boot".to_owned(), mode: Mode::ProductionMonitoring }
}

/// An engine, the probes in flight, and a world that answers them.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: Duration,
    /// What the wall clock shows beyond `now`, in ms. Stories turn it.
    pub(super) wall_ahead_ms: i64,
    answers: BTreeMap<(String, &'static str), Answer>,
    /// What else a check's reports say: (running for, restarts).
    pub(super) extras: BTreeMap<&'static str, (Option<Duration>, Option<u32>)>,
    /// What a check's reports hold, if not what is known before the first.
    pub(super) details: BTreeMap<&'static str, Detail>,
    pub(super) in_flight: BTreeMap<(Duration, ProbeId), Report>,
    /// When which probe was started.
    pub(super) started: Vec<(Duration, ProbeId)>,
    pub(super) published: Vec<Duration>,
    pub(super) told: Vec<String>,
    /// The lines of the ledger.
    pub(super) called_off: Vec<HealId>,
    pub(super) notes: Vec<Entry>,
    /// The heals that were ordered, and when.
    pub(super) heals: Vec<(Duration, HealOrder)>,
    /// How many looks before a heal there were.
    pub(super) looks: usize,
    /// What such a look finds; none when it is never answered.
    pub(super) look: Option<Inspection>,
    /// How a heal ends; none when that is never heard.
    pub(super) end: Option<HealEnd>,
    /// Whether a heal makes all checks of its service pass.
    pub(super) cures: bool,
    /// What comes back of looks and heals.
    events: VecDeque<(Duration, Event)>,
}

impl World {
    pub(super) fn of(services: Vec<ServiceConfig>) -> World {
        let now = Now { mono: Duration::ZERO, wall: Timestamp::from_millis(0) };
        World {
            engine: Engine::new(config(services), identity(), now),
            now: Duration::ZERO,
            wall_ahead_ms: 0,
            answers: BTreeMap::new(),
            extras: BTreeMap::new(),
            details: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            started: Vec::new(),
            published: Vec::new(),
            told: Vec::new(),
            called_off: Vec::new(),
            notes: Vec::new(),
            heals: Vec::new(),
            looks: 0,
            look: Some(Inspection {
                unit: None,
                system: SystemPhase::Running,
                pressure: Pressure::default(),
            }),
            end: Some(HealEnd::Done),
            cures: false,
            events: VecDeque::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: self.now, wall: Timestamp::from_millis(self.now.as_millis() as i64 + self.wall_ahead_ms) }
    }

    /// From now on this check answers so.
    pub(super) fn answer(&mut self, key: &str, kind: &'static str, answer: Answer) -> &mut World {
        self.answers.insert((key.to_owned(), kind), answer);
        self
    }

    /// Lets the time pass.
    pub(super) fn pass(&mut self, seconds: f64) -> &mut World {
        let end = self.now + Duration::from_secs_f64(seconds);
        loop {
            let wakeup = self.engine.next_wakeup().max(self.now);
            let outcome = self.in_flight.first_key_value().map(|(&(at, _), _)| at);
            let came_back = self.events.front().map(|(at, _)| *at);
            match outcome {
                _ if came_back.is_some_and(|at| at <= end && at <= wakeup.min(outcome.unwrap_or(at))) => {
                    let (at, event) = self.events.pop_front().unwrap();
                    self.now = at;
                    self.give(event);
                }
                Some(at) if at <= end && at <= wakeup => {
                    let ((at, id), report) = self.in_flight.pop_first().unwrap();
                    self.now = at;
                    self.give(Event::Outcome(id, report));
                }
                _ if wakeup <= end => {
                    self.now = wakeup;
                    self.give(Event::Tick);
                }
                _ => break,
            }
        }
        self.now = end;
        self
    }

    pub(super) fn give(&mut self, event: Event) {
        for command in self.engine.handle(self.now(), event) {
            match command {
                Command::Probe(request) => self.start(request),
                Command::Record(record) => {
                    let Record { key, transition, .. } = record;
                    self.told.push(format!("{key}: {} -> {}", transition.from, transition.to));
                }
                Command::Publish => self.published.push(self.now),
                Command::Inspect(order) => {
                    self.looks += 1;
                    let look = self.look.clone().map(|look| Event::Inspected(order.id, look));
                    self.events.extend(look.map(|event| (self.now + QUICK, event)));
                }
                Command::Heal(order) => {
                    if self.cures {
                        self.answers.retain(|(key, _), _| *key != order.key);
                    }
                    let end = self.end.clone().map(|end| Event::HealFinished(order.id, end));
                    self.events.extend(end.map(|event| (self.now + QUICK, event)));
                    self.heals.push((self.now, *order));
                }
                Command::Note(entry) => self.notes.push(entry),
                Command::CallOff(id) => self.called_off.push(id),
                Command::Incident(_) | Command::Save | Command::History(_) => {}
            }
        }
    }

    fn start(&mut self, request: Request) {
        let (place, _) = self.engine.places[&request.id];
        let key = self.engine.services[place].config.key.clone();
        let kind = request.check.kind();
        let (outcome, took) = self.answers.get(&(key.clone(), kind)).cloned().unwrap_or_else(passes);
        let detail = self.details.get(kind).cloned().unwrap_or_else(|| request.check.blank());
        let mut report = Report::new(outcome, detail);
        if let Some(&(running_for, restarts)) = self.extras.get(kind) {
            report.running_for = running_for;
            report.restarts = restarts;
        }
        self.started.push((self.now, request.id));
        self.in_flight.insert((self.now + took, request.id), report);
    }

    pub(super) fn document(&self) -> Document {
        let edition =
            Edition { sequence: 1, host: Host::default(), state: MonitorState::Running, needs_restart: None };
        self.engine.document(self.now(), edition)
    }

    pub(super) fn state(&self, key: &str) -> State {
        self.document().services[key].state
    }

    pub(super) fn reason(&self, key: &str) -> String {
        self.document().services[key].reason.clone().unwrap_or_default()
    }

    fn ok(&self, key: &str) -> bool {
        self.document().services[key].ok
    }
}

#[test]
fn nothing_is_believed_before_the_first_look() {
    let world = World::of(vec![service("web")]);
    let document = world.document();
    assert_eq!((document.overall, document.ok_count, document.fail_count), (State::Unknown, 0, 1));
    assert_eq!(world.reason("web"), "not looked yet");
}

#[test]
fn a_service_is_up_after_success_threshold_passes_and_not_before() {
    let mut world = World::of(vec![service("web")]);
    world.pass(1.0);
    assert_eq!((world.state("web"), world.reason("web").as_str()), (State::Unknown, "port: passes (1 of 2)"));
    world.pass(2.0);
    assert_eq!(world.state("web"), State::Up);
    assert_eq!(world.told, ["web: unknown -> up"]);
}

#[test]
fn a_failure_is_degraded_until_the_threshold_and_then_down() {
    let mut world = World::of(vec![service("web")]);
    world.pass(5.0).answer("web", "port", fails());
    while world.state("web") == State::Up {
        world.pass(0.25);
    }
    assert_eq!(
        (world.state("web"), world.reason("web").as_str()),
        (State::Degraded, "port: connection refused (failure 1 of 3)")
    );
    assert!(world.ok("web"), "one failure is not a verdict");
    world.pass(5.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Down, false));
    assert_eq!(world.told, ["web: unknown -> up", "web: up -> degraded", "web: degraded -> down"]);
}

#[test]
fn what_is_down_does_not_tell_how_far_its_other_checks_are() {
    let mut both = service("web");
    both.checks.push(http_check());
    let mut world = World::of(vec![both]);
    world.pass(5.0).answer("web", "http", fails());
    while world.state("web") == State::Up {
        world.pass(0.25);
    }
    // The port fails one round later, so it is at two failures when the third of the other decides.
    world.answer("web", "port", fails());
    while world.state("web") == State::Degraded {
        world.pass(0.25);
    }
    assert_eq!(
        (world.state("web"), world.reason("web").as_str()),
        (State::Down, "port: connection refused; http: connection refused")
    );
}

#[test]
fn a_hang_is_down_within_23_s_by_default() {
    for phase in 0..40 {
        let mut world = World::of(vec![service(&format!("web-{phase}"))]);
        world.pass(8.0 + f64::from(phase) * 0.25);
        let hung_at = world.now;
        let key = format!("web-{phase}");
        world.answer(&key, "port", hangs());
        while world.state(&key) != State::Down {
            world.pass(0.05);
            assert!(world.now - hung_at < Duration::from_millis(23_100), "phase {phase}");
        }
    }
}

#[test]
fn a_service_that_never_passed_is_never_called_ok() {
    let mut world = World::of(vec![service("web")]);
    world.answer("web", "port", fails()).pass(1.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Unknown, false));
    world.pass(10.0);
    assert_eq!(world.state("web"), State::Down);
}

#[test]
fn down_needs_success_threshold_passes_to_be_up_again() {
    let mut world = World::of(vec![service("web")]);
    world.answer("web", "port", fails()).pass(10.0);
    assert_eq!(world.state("web"), State::Down);
    world.answer("web", "port", passes());
    while world.document().services["web"].consecutive_failures > 0 {
        world.pass(0.25);
    }
    assert_eq!(
        (world.state("web"), world.reason("web").as_str()),
        (State::Down, "port: passes again (1 of 2)")
    );
    world.pass(2.5);
    assert_eq!(world.state("web"), State::Up);
}

#[test]
fn a_probe_that_cannot_tell_changes_nothing_until_it_persists_and_is_never_down() {
    let mut world = World::of(vec![service("web")]);
    world.pass(5.0).answer("web", "port", cannot_tell()).pass(10.0);
    assert_eq!(world.state("web"), State::Up, "one look that could not tell");
    world.pass(60.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Unknown, true), "the last verdict stands");
    assert!(!world.told.iter().any(|line| line.ends_with("down")), "{:?}", world.told);
}

#[test]
fn a_blind_check_beside_a_passing_one_is_degraded_and_says_which() {
    let mut both = service("web");
    both.checks.push(http_check());
    let mut world = World::of(vec![both]);
    world.answer("web", "http", cannot_tell()).pass(30.0);
    assert_eq!(
        (world.state("web"), world.reason("web").as_str()),
        (State::Degraded, "http: no file descriptors")
    );
    assert!(world.ok("web"));
}

#[test]
fn a_failing_check_of_severity_warning_only_degrades() {
    let mut both = service("web");
    both.checks.push(CheckConfig { severity: Severity::Warning, ..http_check() });
    let mut world = World::of(vec![both]);
    world.answer("web", "http", fails()).pass(60.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Degraded, true));
}

#[test]
fn a_pass_with_a_warning_is_degraded() {
    let mut world = World::of(vec![service("web")]);
    world.answer("web", "port", (Outcome::Pass { warning: Some("slow".to_owned()) }, QUICK)).pass(10.0);
    assert_eq!((world.state("web"), world.reason("web").as_str()), (State::Degraded, "port: slow"));
}

#[test]
fn what_systemd_calls_failed_is_down_at_once_also_within_the_grace() {
    let mut world = World::of(vec![service("web")]);
    world.extras.insert("port", (Some(Duration::from_secs(1)), None));
    world.pass(5.0).answer("web", "port", fails_as(Failure::Certain)).pass(10.0);
    assert_eq!(world.told, ["web: unknown -> starting", "web: starting -> up", "web: up -> down"]);
}

#[test]
fn a_stopped_unit_is_stopped_and_comes_back_through_starting() {
    let mut world = World::of(vec![service("web")]);
    world.pass(5.0).answer("web", "port", fails_as(Failure::Stopped)).pass(60.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Stopped, false));
    world.answer("web", "port", passes()).pass(15.0);
    assert_eq!(
        world.told,
        ["web: unknown -> up", "web: up -> stopped", "web: stopped -> starting", "web: starting -> up"]
    );
}

#[test]
fn a_stop_is_looked_at_a_second_time_soon_for_it_may_be_half_a_restart() {
    let mut world = World::of(vec![service("web")]);
    world.pass(5.0).answer("web", "port", fails_as(Failure::Stopped));
    while world.state("web") != State::Stopped {
        world.pass(0.25);
    }
    world.started.clear();
    world.pass(2.5);
    assert_eq!(world.started.len(), 1);
    world.pass(100.0);
    assert!(world.started.len() <= 12, "and then as seldom as anything: {}", world.started.len());
}

#[test]
fn within_its_grace_a_failing_service_is_starting_and_after_it_down() {
    let mut world = World::of(vec![service("web")]);
    world.answer("web", "port", fails());
    world.extras.insert("port", (Some(Duration::from_secs(2)), None));
    world.pass(1.0);
    assert_eq!(world.state("web"), State::Starting);
    assert!(
        world.reason("web").starts_with("started 2 s ago; port: connection refused"),
        "{}",
        world.reason("web")
    );
    world.extras.insert("port", (Some(Duration::from_secs(40)), None));
    world.pass(12.0);
    assert_eq!(world.state("web"), State::Down);
}

#[test]
fn a_service_that_came_up_and_hangs_at_once_gets_no_more_grace() {
    let mut world = World::of(vec![service("web")]);
    world.extras.insert("port", (Some(Duration::from_secs(1)), None));
    world.pass(4.0);
    world.extras.insert("port", (Some(Duration::from_secs(20)), None));
    world.answer("web", "port", fails()).pass(15.0);
    assert_eq!(world.state("web"), State::Down);
    // Restarted: a new start, and a new grace.
    world.extras.insert("port", (Some(Duration::from_secs(1)), None));
    world.pass(10.0);
    assert_eq!(world.state("web"), State::Starting);
    assert_eq!(
        world.told[1..],
        ["web: starting -> up", "web: up -> degraded", "web: degraded -> down", "web: down -> starting"]
    );
}

#[test]
fn a_restart_seen_by_one_check_gives_the_slower_ones_their_grace() {
    let mut both = service("web");
    both.checks.push(http_check());
    let mut world = World::of(vec![both]);
    world.extras.insert("port", (Some(Duration::from_secs(3600)), None));
    world.pass(20.0);
    assert_eq!(world.state("web"), State::Up);
    // The unit was restarted just now and says so; the application behind it takes its time.
    world.extras.insert("port", (Some(Duration::from_secs(1)), None));
    world.answer("web", "http", hangs()).pass(25.0);
    assert_eq!(world.state("web"), State::Starting);
    assert_eq!(world.told.last().map(String::as_str), Some("web: up -> starting"), "{:?}", world.told);
}

#[test]
fn a_crash_loop_is_unstable_also_while_systemd_is_starting_it() {
    let mut world = World::of(vec![service("web")]);
    world.extras.insert("port", (None, Some(0)));
    world.pass(10.0).answer("web", "port", fails_as(Failure::Starting));
    for restarts in 1..=6 {
        world.extras.insert("port", (Some(Duration::from_secs(1)), Some(restarts)));
        world.pass(3.0);
    }
    assert_eq!((world.state("web"), world.ok("web")), (State::Unstable, false));
}

#[test]
fn a_single_look_that_cannot_tell_leaves_each_state_as_it_was() {
    let warns = (Outcome::Pass { warning: Some("slow".to_owned()) }, QUICK);
    for answer in [passes(), warns, fails(), fails_as(Failure::Stopped), fails_as(Failure::Certain)] {
        let mut world = World::of(vec![service("web")]);
        world.pass(5.0).answer("web", "port", answer.clone()).pass(30.0);
        let (state, reason, told) = (world.state("web"), world.reason("web"), world.told.clone());
        world.answer("web", "port", cannot_tell());
        while world.document().services["web"].checks.port.as_ref().map(|check| check.outcome)
            != Some(Verdict::Unknown)
        {
            world.pass(0.25);
        }
        assert_eq!((world.state("web"), world.reason("web")), (state, reason), "{answer:?}");
        world.answer("web", "port", answer).pass(30.0);
        assert_eq!(world.told, told);
    }
}

#[test]
fn what_was_down_when_its_probe_went_blind_is_not_ok_however_well_the_rest_is() {
    let mut both = service("web");
    both.checks.push(http_check());
    let mut world = World::of(vec![both]);
    world.answer("web", "http", fails()).pass(30.0);
    assert_eq!(world.state("web"), State::Down);
    world.answer("web", "http", cannot_tell()).pass(60.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Unknown, false));
}

#[test]
fn failures_from_before_a_long_blindness_do_not_count() {
    let mut world = World::of(vec![service("web")]);
    world.pass(5.0).answer("web", "port", fails());
    while world.document().services["web"].consecutive_failures < 2 {
        world.pass(0.25);
    }
    world.answer("web", "port", cannot_tell()).pass(600.0);
    world.answer("web", "port", fails());
    while world.document().services["web"].consecutive_failures < 1 {
        world.pass(0.25);
    }
    assert_ne!(world.state("web"), State::Down);
}

#[test]
fn a_service_with_warning_checks_alone_is_looked_at_like_any_other_and_never_down() {
    let mut only = service("web");
    only.checks[0].severity = Severity::Warning;
    let mut world = World::of(vec![only]);
    world.pass(1.0);
    assert_eq!(world.state("web"), State::Unknown, "one pass of two");
    world.pass(5.0);
    assert_eq!(world.state("web"), State::Up);
    world.answer("web", "port", fails()).pass(60.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Degraded, true));
    world.answer("web", "port", passes()).pass(30.0);
    world.answer("web", "port", cannot_tell()).pass(60.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Unknown, true));
}

#[test]
fn what_is_not_confirmed_waits_for_the_end_of_the_round() {
    let mut both = service("web");
    both.checks.push(http_check());
    let mut world = World::of(vec![both]);
    world.pass(5.0).answer("web", "port", fails());
    // An administrator's stop: the port shows it at once, the unit a moment later.
    world.answer("web", "http", (fails_as(Failure::Stopped).0, Duration::from_secs(1))).pass(20.0);
    assert_eq!(world.told, ["web: unknown -> up", "web: up -> stopped"]);
}

#[test]
fn a_start_longer_than_its_grace_is_a_failure() {
    let mut world = World::of(vec![service("web")]);
    world.answer("web", "port", fails_as(Failure::Starting)).pass(5.0);
    assert_eq!(world.state("web"), State::Starting);
    world.extras.insert("port", (Some(Duration::from_secs(31)), None));
    world.pass(15.0);
    assert_eq!(world.state("web"), State::Down);
    assert!(world.reason("web").contains("for longer than start_grace 30s"), "{}", world.reason("web"));
}

#[test]
fn more_than_five_restarts_an_hour_are_unstable_however_green_the_checks() {
    let mut world = World::of(vec![service("web")]);
    world.extras.insert("port", (None, Some(40)));
    world.pass(30.0);
    assert_eq!(world.state("web"), State::Up, "restarts from before anybody watched do not count");
    world.extras.insert("port", (None, Some(45)));
    world.pass(30.0);
    assert_eq!(world.state("web"), State::Up);
    world.extras.insert("port", (None, Some(46)));
    world.pass(30.0);
    assert_eq!((world.state("web"), world.ok("web")), (State::Unstable, false));
    world.pass(3600.0);
    assert_eq!(world.state("web"), State::Up);
}

#[test]
fn what_needs_something_that_is_down_is_blocked_along_the_whole_chain() {
    let needing = |key: &str, need: &str| ServiceConfig { depends_on: vec![need.to_owned()], ..service(key) };
    let mut world = World::of(vec![needing("page", "web"), needing("web", "db"), service("db")]);
    world.pass(10.0);
    for key in ["page", "web", "db"] {
        world.answer(key, "port", fails());
    }
    world.pass(30.0);
    let states = ["page", "web", "db"].map(|key| world.state(key));
    assert_eq!(states, [State::Blocked, State::Blocked, State::Down]);
    assert_eq!(world.reason("web"), "db, which it needs, is down; port: connection refused");
    // What it needs is back: it gets its grace, and only then is it judged by itself.
    world.answer("db", "port", passes()).pass(20.0);
    let states = ["page", "web", "db"].map(|key| world.state(key));
    assert_eq!(states, [State::Blocked, State::Starting, State::Up], "web is in the way until it is well");
    world.pass(40.0);
    let states = ["page", "web", "db"].map(|key| world.state(key));
    assert_eq!(states, [State::Blocked, State::Down, State::Up]);
}

#[test]
fn a_service_whose_probes_never_come_back_does_not_stay_green() {
    let mut world = World::of(vec![service("web"), service("other")]);
    world.pass(10.0).answer("web", "port", (Outcome::PASS, Duration::from_secs(86_400))).pass(90.0);
    assert_eq!(world.state("web"), State::Unknown);
    assert!(world.reason("web").starts_with("its probes have not answered for"), "{}", world.reason("web"));
    assert_eq!(world.state("other"), State::Up);
}

#[test]
fn an_unchanged_world_writes_the_heartbeat_and_nothing_else() {
    let mut world = World::of((0..50).map(|n| service(&format!("service-{n}"))).collect());
    world.pass(20.0);
    world.published.clear();
    world.pass(100.0);
    assert_eq!(world.published.len(), 20, "{:?}", world.published);
}

#[test]
fn another_status_is_written_at_once_and_another_latency_with_the_heartbeat() {
    let http = |status, latency| {
        let detail =
            http::Detail { status_code: Some(status), latency_ms: Some(latency), ..http::Detail::default() };
        Detail::Http(detail)
    };
    // Not a multiple of the heartbeat, or the two would fall together.
    let timing = Timing { interval: Duration::from_secs(7), ..Timing::default() };
    let mut world = World::of(vec![ServiceConfig { checks: vec![http_check()], timing, ..service("web") }]);
    world.details.insert("http", http(200, 1));
    world.pass(30.0).published.clear();
    world.details.insert("http", http(200, 2));
    world.pass(50.0);
    assert_eq!(world.published.len(), 10);
    world.details.insert("http", http(204, 2));
    world.pass(50.0);
    assert!(
        world.published.windows(2).any(|pair| pair[1] - pair[0] < Duration::from_secs(5)),
        "{:?}",
        world.published
    );
}

#[test]
fn however_much_changes_ten_documents_a_second_are_written_and_three_more_in_a_hurry() {
    let mut world = World::of((0..200).map(|n| service(&format!("service-{n}"))).collect());
    world.pass(60.0);
    for n in 0..200 {
        world.answer(&format!("service-{n}"), "port", fails());
    }
    world.pass(60.0);
    let closest = |of: usize| world.published.windows(of).map(|some| some[of - 1] - some[0]).min().unwrap();
    assert!(closest(2) >= COALESCE_NEWS, "{:?}", closest(2));
    assert!(closest(14) >= COALESCE * 10, "{:?}", closest(14));
    assert!(closest(2) < COALESCE, "a change of state does not wait so long: {:?}", closest(2));
}

#[test]
fn a_document_that_could_not_be_written_is_tried_again_in_a_second() {
    let mut world = World::of(vec![service("web")]);
    world.pass(10.0);
    world.give(Event::WriteFailed);
    world.published.clear();
    world.pass(1.5);
    assert_eq!(world.published.len(), 1);
}

#[test]
fn after_a_reload_unchanged_services_go_on_and_outcomes_of_old_ones_meet_nobody() {
    let mut world = World::of(vec![service("web"), service("old")]);
    world.pass(10.0);
    world.answer("old", "port", hangs()).pass(10.0);
    let changed =
        ServiceConfig { timing: Timing { failure_threshold: 5, ..Timing::default() }, ..service("web") };
    world.give(Event::ConfigChanged(config(vec![service("new"), changed])));
    assert_eq!(world.state("web"), State::Up);
    world.pass(30.0);
    let document = world.document();
    assert_eq!(document.services.keys().collect::<Vec<_>>(), ["new", "web"]);
    assert_eq!((document.ok_count, document.overall), (2, State::Up));
}

#[test]
fn a_shorter_interval_holds_from_the_reload_on() {
    let every = |interval: u64| ServiceConfig {
        timing: Timing { interval: Duration::from_secs(interval), ..Timing::default() },
        ..service("web")
    };
    let mut world = World::of(vec![every(3600)]);
    world.pass(10.0);
    world.give(Event::ConfigChanged(config(vec![every(5)])));
    world.answer("web", "port", fails()).pass(20.0);
    assert_eq!(world.state("web"), State::Down);
}

#[test]
fn after_a_reload_an_unchanged_check_keeps_what_is_known_of_it() {
    let with = |check: CheckConfig| ServiceConfig { checks: vec![check, port_check()], ..service("web") };
    let mut world = World::of(vec![with(http_check())]);
    world.extras.insert("http", (None, Some(0)));
    world.answer("web", "port", fails()).pass(30.0);
    assert_eq!(world.state("web"), State::Down);
    // Another URL, whose unit was restarted many times before anybody watched it.
    world.extras.insert("http", (None, Some(40)));
    let other = Check::http(http::Settings::get("http://127.0.0.1/other".parse().unwrap()));
    let other = CheckConfig { check: Arc::new(other), severity: Severity::Critical };
    world.give(Event::ConfigChanged(config(vec![with(other)])));
    assert_eq!(world.state("web"), State::Down);
    world.pass(30.0);
    assert_eq!(world.reason("web"), "port: connection refused");
    world.answer("web", "port", passes()).pass(30.0);
    assert_eq!(world.state("web"), State::Up);
}

#[test]
fn after_a_reload_without_the_dependency_nothing_is_blocked_any_more() {
    let needing = ServiceConfig { depends_on: vec!["db".to_owned()], ..service("web") };
    let mut world = World::of(vec![needing, service("db")]);
    world.answer("web", "port", fails()).answer("db", "port", fails()).pass(30.0);
    assert_eq!(world.state("web"), State::Blocked);
    world.give(Event::ConfigChanged(config(vec![service("web"), service("db")])));
    assert_eq!(world.state("web"), State::Down);
}

#[test]
fn a_refused_configuration_is_told_and_the_last_good_one_stays() {
    let mut world = World::of(vec![service("web")]);
    world.pass(10.0);
    world.give(Event::ConfigRefused("line 3: nonsense".to_owned()));
    let document = world.document();
    assert_eq!(document.monitor.config.error.as_deref(), Some("line 3: nonsense"));
    assert_eq!(document.services["web"].state, State::Up);
}

#[test]
fn the_document_tells_each_check_and_the_latest_transitions() {
    let mut both = service("web");
    both.checks.push(http_check());
    let mut world = World::of(vec![both]);
    world.answer("web", "http", fails()).pass(60.0);
    let document = world.document();
    let web = &document.services["web"];
    let port = web.checks.port.as_ref().unwrap();
    let http = web.checks.http.as_ref().unwrap();
    assert_eq!((port.ok, port.outcome, http.ok, http.outcome), (true, Verdict::Pass, false, Verdict::Fail));
    assert_eq!(http.reason.as_deref(), Some("connection refused"));
    assert!(web.checks.systemd.is_none() && web.checks.process.is_none());
    assert_eq!(web.history.last().map(|transition| transition.to), Some(State::Down));
}

#[test]
fn history_is_bounded() {
    let mut world = World::of(vec![service("web")]);
    for _ in 0..30 {
        world.answer("web", "port", fails()).pass(40.0);
        world.answer("web", "port", passes()).pass(40.0);
    }
    assert_eq!(world.document().services["web"].history.len(), 20);
}

#[test]
fn a_service_that_a_reload_takes_away_ends_its_incident_and_no_other() {
    let mut world = World::of(vec![service("web"), service("old")]);
    world.answer("web", "port", fails()).answer("old", "port", fails()).pass(30.0);
    let commands = world.engine.handle(world.now(), Event::ConfigChanged(config(vec![service("web")])));
    let noted = commands.iter().filter_map(|command| match command {
        Command::Note(entry) => Some((entry.service.as_deref(), entry.words.as_str())),
        _ => None,
    });
    assert_eq!(noted.collect::<Vec<_>>(), [(Some("old"), "no longer watched")]);
}

/// A service that is well, one that is down, and one that needs the first and answers late.
fn three() -> Vec<ServiceConfig> {
    vec![service("web"), service("off"), ServiceConfig { depends_on: vec!["web".into()], ..service("late") }]
}

/// The three, and what a monitor remembers of them that was away for so long.
fn remembered(away: Duration) -> (World, Memory) {
    let mut before = World::of(three());
    before.answer("off", "port", fails()).pass(120.0);
    assert_eq!((before.state("web"), before.state("off")), (State::Up, State::Down));
    let memory = before.engine.memory(before.now()).after(away);
    (before, memory)
}

fn after(memory: &Memory) -> World {
    let mut after = World::of(three());
    after.answer("off", "port", fails()).answer("late", "port", (Outcome::PASS, Duration::from_secs(2)));
    after.wall_ahead_ms = 125_000;
    after.engine.recall(after.now(), memory);
    after
}

#[test]
fn a_short_restart_of_the_monitor_changes_no_state_and_nobody_is_told_of_any() {
    let (before, memory) = remembered(Duration::from_secs(5));
    let mut after = after(&memory);
    // As the last document said; and so it stays when all was looked at.
    assert_eq!((after.state("web"), after.state("off")), (State::Up, State::Down));
    assert_eq!((after.ok("web"), after.ok("off")), (true, false));
    assert!(after.reason("off").contains("not looked yet since the monitor was started again"));
    after.pass(60.0);
    let since = |world: &World, key: &str| world.document().services[key].since;
    assert_eq!((since(&after, "web"), since(&after, "off")), (since(&before, "web"), since(&before, "off")));
    assert_eq!(after.told, [""; 0]);
    assert_eq!(after.reason("off"), "port: connection refused");
}

#[test]
fn what_changed_while_the_monitor_was_away_for_a_moment_is_told_as_the_change_it_is() {
    let (before, memory) = remembered(Duration::from_secs(5));
    let mut after = after(&memory);
    after.answer("web", "port", fails()).answer("off", "port", passes()).pass(30.0);
    assert_eq!((after.state("web"), after.state("off")), (State::Down, State::Up));
    let history = &after.document().services["web"].history;
    let states: Vec<_> = history.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(states, [(State::Up, State::Degraded), (State::Degraded, State::Down)]);
    assert!(before.document().services["web"].since < history[0].at);
    let late: Vec<_> = after.told.iter().filter(|told| told.starts_with("late")).collect();
    assert!(late.is_empty(), "nothing is said of it before it was looked at: {late:?}");
}

#[test]
fn after_a_longer_absence_nothing_is_believed_that_was_not_seen() {
    let (_, memory) = remembered(Duration::from_secs(16));
    let after = after(&memory);
    assert_eq!((after.state("web"), after.state("off")), (State::Unknown, State::Unknown));
    let (_, memory) = remembered(Duration::from_secs(1));
    assert!(memory.of_an_earlier_boot().services.values().all(|service| service.believed.is_none()));
}
