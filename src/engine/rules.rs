//! The healing rules of the README, one story or more for each, under virtual time.

use std::time::Duration;

use super::stories::{
    World, cannot_tell, config, fails, fails_as, hangs, http_check, passes, port_check, service,
};
use super::*;
use crate::config::{CheckConfig, Heal, HealMode, Hook, Step, Timing};
use crate::probe::{Failure, Severity, systemd};
use crate::status::{Decision, HealPhase, HealResult, HealTotals, Memory};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

/// A service that is healed by a restart of its unit; its port is all that is looked at.
fn healed(key: &str) -> ServiceConfig {
    ServiceConfig { heal: Some(Heal::restart(format!("{key}.service"))), ..service(key) }
}

/// As above, and its unit is looked at as well.
fn with_unit(key: &str) -> ServiceConfig {
    let settings = systemd::Settings { unit: format!("{key}.service") };
    let check = CheckConfig { check: Arc::new(Check::Systemd(settings)), severity: Severity::Critical };
    ServiceConfig { checks: vec![port_check(), check], ..healed(key) }
}

fn running() -> UnitFacts {
    UnitFacts {
        load: "loaded".into(),
        active: "active".into(),
        sub: "running".into(),
        ..UnitFacts::default()
    }
}

fn unit(active: &str) -> UnitFacts {
    UnitFacts { active: active.into(), ..running() }
}

fn finds(unit: UnitFacts) -> Option<Inspection> {
    Some(Inspection { unit: Some(Ok(unit)), system: SystemPhase::Running, pressure: Pressure::default() })
}

/// A world that was well for a while and whose units run, before the eyes of a watch.
fn world(services: Vec<ServiceConfig>) -> World {
    let began = services.iter().filter_map(|service| Some(change(service.unit()?, "active", false)));
    let began = Event::WatchBegan(began.collect());
    let mut world = World::of(services);
    world.look = finds(running());
    world.give(began);
    world.pass(20.0);
    world
}

fn change(unit: &str, active: &str, has_job: bool) -> UnitChange {
    UnitChange { unit: unit.to_owned(), active: active.to_owned(), has_job }
}

impl World {
    /// Systemd announces this of a unit.
    fn announces(&mut self, active: &str, has_job: bool) -> &mut World {
        self.give(Event::UnitChanged(change("web.service", active, has_job)));
        self
    }

    /// How many lines of this kind the ledger has.
    fn count(&self, decision: Decision) -> usize {
        self.notes.iter().filter(|entry| entry.decision == decision).count()
    }

    /// The words of the last line of this kind.
    fn words(&self, decision: Decision) -> &str {
        let mut lines = self.notes.iter().rev().filter(|entry| entry.decision == decision);
        lines.next().map_or("", |entry| &entry.words)
    }

    fn heal_phase(&self, key: &str) -> HealPhase {
        self.document().services[key].heal.as_ref().unwrap().phase
    }
}

#[test]
fn a_reload_that_turns_healing_off_ends_the_heal_that_is_being_verified() {
    let mut world = world(vec![healed("web")]);
    world.answer("web", "port", fails()).pass(20.0);
    assert_eq!(world.heal_phase("web"), HealPhase::Verifying);
    world.give(Event::ConfigChanged(config(vec![service("web")])));
    world.pass(2.0 * MINUTE);
    assert_eq!((world.count(Decision::Heal), world.count(Decision::HealFailed)), (1, 1));
    world.answer("web", "port", passes()).pass(MINUTE);
    assert_eq!(world.count(Decision::Closed), 1);
}

#[test]
fn a_reload_that_turns_healing_off_while_the_step_is_made_leaves_no_heal_without_an_end() {
    let mut world = world(vec![healed("web")]);
    world.end = None;
    world.answer("web", "port", fails()).pass(20.0);
    let id = world.heals[0].1.id;
    world.give(Event::ConfigChanged(config(vec![service("web")])));
    world.give(Event::HealFinished(id, HealEnd::Failed("the job failed".to_owned())));
    assert_eq!((world.count(Decision::Heal), world.count(Decision::HealFailed)), (1, 1));
    let heals = &world.document().services["web"].incident.as_ref().unwrap().heals.clone();
    assert_eq!(heals[0].result, Some(HealResult::Failed));
}

#[test]
fn what_is_cancelled_climbs_no_ladder_costs_nothing_and_comes_ever_more_seldom() {
    let mut policy = Heal::restart("web.service");
    policy.steps = vec![Step::Reload, Step::Restart];
    let mut world = world(vec![ServiceConfig { heal: Some(policy), ..service("web") }]);
    world.end = Some(HealEnd::Cancelled("somebody was faster".to_owned()));
    world.answer("web", "port", fails()).pass(HOUR);
    assert!((5..25).contains(&world.heals.len()), "{} in an hour", world.heals.len());
    assert!(world.heals.iter().all(|(_, order)| matches!(order.action, Action::Reload(_))));
    assert_eq!(world.count(Decision::Cancel), world.heals.len());
    assert_eq!(world.engine.memory(world.now()).spent_ms, [0; 0]);
    world.end = Some(HealEnd::Done);
    world.pass(HOUR);
    let [.., (_, last)] = &world.heals[..] else { panic!() };
    assert!(matches!(last.action, Action::TryRestart(_)), "{last:?}");
}

#[test]
fn a_cancelled_heal_gives_back_its_own_share_of_the_hosts_budget_and_not_that_of_a_later_one() {
    let mut world = world(vec![healed("web"), healed("other")]);
    world.end = None;
    world.answer("web", "port", fails()).pass(20.0);
    let first = world.heals[0].1.id;
    world.pass(100.0).answer("other", "port", fails()).pass(20.0);
    assert_eq!(world.heals.len(), 2);
    let other_began = world.heals[1].0;
    world.give(Event::HealFinished(first, HealEnd::Cancelled("changed".to_owned())));
    let left = Duration::from_millis(world.engine.memory(world.now()).spent_ms[0]);
    assert_eq!(left, other_began + Duration::from_secs(3600) - world.now);
}

#[test]
fn what_was_ordered_as_observation_is_one_also_when_a_reload_ends_observing_meanwhile() {
    let observing = |observe: bool| {
        let mut config = config(vec![healed("web")]);
        config.monitor.observe = observe;
        Event::ConfigChanged(config)
    };
    let mut world = world(vec![healed("web")]);
    world.give(observing(true));
    world.end = None;
    world.answer("web", "port", fails()).pass(20.0);
    let id = world.heals[0].1.id;
    world.give(observing(false));
    world.give(Event::HealFinished(id, HealEnd::Done));
    let heal = world.document().services["web"].incident.clone().unwrap().heals.remove(0);
    assert_eq!(heal.result, Some(HealResult::Observed));
}

/// The unit does not run, and systemd has nothing more to say of it.
fn inactive() -> super::stories::Answer {
    fails_as(Failure::Unexplained)
}

#[test]
fn rule_5_a_stop_that_was_under_way_when_the_monitor_began_stays_a_stop_also_when_it_fails() {
    let mut world = World::of(vec![with_unit("web")]);
    world.look = finds(unit("failed"));
    world.answer("web", "port", fails()).answer("web", "systemd", fails_as(Failure::Stopping));
    world.give(Event::WatchBegan(vec![change("web.service", "deactivating", true)]));
    world.pass(5.0);
    world.answer("web", "systemd", fails_as(Failure::Certain)).announces("failed", false).pass(HOUR);
    assert_eq!((world.state("web"), world.heals.len()), (State::Stopped, 0), "{}", world.reason("web"));
}

#[test]
fn rule_5_what_was_stopped_is_no_incident_because_its_unit_cannot_be_told_for_a_while() {
    let mut world = world(vec![with_unit("web")]);
    world.announces("deactivating", true).announces("inactive", false);
    world.answer("web", "port", fails()).answer("web", "systemd", inactive()).pass(MINUTE);
    world.told.clear();
    world.answer("web", "systemd", cannot_tell()).pass(10.0 * MINUTE);
    assert_eq!(world.state("web"), State::Stopped);
    assert!(world.reason("web").contains("no file descriptors"), "{}", world.reason("web"));
    world.answer("web", "systemd", inactive()).pass(MINUTE);
    assert_eq!((world.told.len(), world.count(Decision::Opened)), (0, 0), "{:?}", world.told);
    // Somebody started it while the unit could not be told: the port says so much.
    world.answer("web", "systemd", cannot_tell()).pass(MINUTE);
    world.answer("web", "port", passes()).pass(MINUTE);
    assert_eq!(world.state("web"), State::Unknown, "{}", world.reason("web"));
}

#[test]
fn a_crash_is_told_as_what_the_unit_says_and_not_as_the_port_that_it_closed_first() {
    let mut world = world(vec![with_unit("web")]);
    world.answer("web", "port", fails());
    while world.document().services["web"].consecutive_failures < 2 {
        world.pass(0.25);
    }
    // By the time that the port has failed often enough the unit has failed as well, and its answer is on its way.
    world.answer("web", "systemd", (fails_as(Failure::Certain).0, Duration::from_millis(50))).pass(MINUTE);
    let opened = world.notes.iter().find(|entry| entry.decision == Decision::Opened).unwrap();
    assert!(opened.words.contains("systemd: unit"), "{}", opened.words);
}

#[test]
fn rule_5_a_restart_of_ours_that_stops_a_unit_and_cannot_start_it_is_no_administrators_stop() {
    let mut world = world(vec![healed("web")]);
    world.end = None;
    world.answer("web", "port", hangs()).pass(40.0);
    let id = world.heals[0].1.id;
    world.announces("deactivating", true).announces("inactive", false);
    world.look = finds(unit("inactive"));
    world.end = Some(HealEnd::Done);
    world.give(Event::HealFinished(id, HealEnd::Failed("a unit that it requires failed".to_owned())));
    world.pass(2.0 * MINUTE);
    assert_eq!(world.count(Decision::Refuse), 0, "{}", world.words(Decision::Refuse));
    assert!(matches!(world.heals[1].1.action, Action::Start(_)), "{:?}", world.heals[1]);
}

#[test]
fn rule_5_a_start_of_ours_that_was_refused_after_the_reset_is_tried_again() {
    let mut world = world(vec![healed("web")]);
    world.end = None;
    world.look = finds(unit("failed"));
    world.announces("failed", false).answer("web", "port", fails()).pass(20.0);
    let id = world.heals[0].1.id;
    world.announces("inactive", false).announces("inactive", true).announces("inactive", false);
    world.look = finds(unit("inactive"));
    world.end = Some(HealEnd::Done);
    world.give(Event::HealFinished(id, HealEnd::Failed("a unit that it requires failed".to_owned())));
    world.pass(2.0 * MINUTE);
    assert!(world.heals.len() > 1, "{}", world.words(Decision::Refuse));
}

#[test]
fn rule_5_what_an_administrator_stopped_during_our_restart_stays_stopped() {
    let mut world = world(vec![healed("web")]);
    world.end = None;
    world.answer("web", "port", hangs()).pass(40.0);
    let id = world.heals[0].1.id;
    world.announces("deactivating", true).announces("inactive", false);
    world.look = finds(unit("inactive"));
    world.give(Event::HealFinished(id, HealEnd::Cancelled("another order took its place".to_owned())));
    world.pass(HOUR);
    assert_eq!((world.heals.len(), world.count(Decision::Refuse)), (1, 1));
}

#[test]
fn rule_5_what_an_administrator_stopped_while_a_hook_ran_stays_stopped() {
    let hook = Hook { command: vec!["/bin/false".to_owned()], timeout: Duration::from_secs(30), user: None };
    let policy = Heal { steps: vec![Step::Run(hook)], ..Heal::restart("web.service") };
    let mut world = world(vec![ServiceConfig { heal: Some(policy), ..service("web") }]);
    world.end = None;
    world.answer("web", "port", hangs()).pass(40.0);
    let id = world.heals[0].1.id;
    world.announces("deactivating", true).announces("inactive", false);
    world.look = finds(unit("inactive"));
    world.give(Event::HealFinished(id, HealEnd::Failed("exit code 1".to_owned())));
    world.pass(HOUR);
    assert_eq!((world.heals.len(), world.count(Decision::Refuse)), (1, 1));
}

#[test]
fn rule_3_an_order_to_stop_between_the_decision_and_the_call_calls_the_heal_off() {
    for order in [[("failed", true), ("failed", false)], [("inactive", false), ("inactive", false)]] {
        let mut world = world(vec![with_unit("web")]);
        world.end = None;
        world.announces("failed", false).answer("web", "systemd", fails_as(Failure::Certain)).pass(5.0);
        let id = world.heals[0].1.id;
        assert!(world.called_off.is_empty());
        for (active, has_job) in order {
            world.announces(active, has_job);
        }
        assert!(world.called_off.contains(&id), "{order:?}");
    }
}

#[test]
fn rule_10_what_a_service_needs_is_looked_at_before_it_is_healed() {
    let needing = ServiceConfig { depends_on: vec!["db".to_owned()], ..healed("web") };
    let timing = Timing { interval: Duration::from_secs(3600), ..Timing::default() };
    let mut world = world(vec![ServiceConfig { timing, ..healed("db") }, needing]);
    world.pass(MINUTE);
    // Both die, and db's turn to be probed comes later than web's confirmation.
    world.answer("db", "port", hangs()).answer("web", "port", fails()).pass(3.0 * MINUTE);
    let first = world.heals.first().map(|(_, order)| order.key.clone());
    assert_eq!(first.as_deref(), Some("db"));
}

#[test]
fn rule_12_after_five_minutes_a_starving_machine_is_no_excuse_any_more() {
    let mut world = world(vec![healed("web")]);
    let pressure = Pressure { cpu: Some(95.0), ..Pressure::default() };
    world.look = world.look.map(|look| Inspection { pressure, ..look });
    world.answer("web", "port", hangs()).pass(4.0 * MINUTE);
    assert_eq!(world.heals.len(), 0);
    world.pass(3.0 * MINUTE);
    assert_ne!(world.heals.len(), 0);
}

#[test]
fn each_heal_that_was_made_counts_in_the_past_and_what_was_observed_or_called_off_does_not() {
    let counted = |world: &mut World| -> usize {
        let now = world.now();
        let days = world.engine.history(now);
        let hours = days[0].services.iter().flat_map(|service| service.hours());
        hours.map(|(_, tally)| usize::from(tally.heals)).sum()
    };
    let mut world = world(vec![healed("web")]);
    world.answer("web", "port", fails()).pass(10.0 * MINUTE);
    let made = world.heals.len();
    assert!(made > 1, "{made}");
    assert_eq!(counted(&mut world), made);
    world.end = Some(HealEnd::Cancelled("somebody was faster".to_owned()));
    world.pass(HOUR);
    assert!(world.heals.len() > made);
    assert_eq!(counted(&mut world), made);
    world.end = Some(HealEnd::Done);
    world.engine.observe = true;
    let before = world.heals.len();
    world.pass(HOUR);
    assert!(world.heals.len() > before);
    assert_eq!(counted(&mut world), made);
    world.engine.observe = false;
    world.end = Some(HealEnd::Failed("the job failed".to_owned()));
    let before = world.heals.len();
    world.pass(HOUR);
    assert!(world.heals.len() > before);
    let wanted = made + world.heals.len() - before;
    assert_eq!(counted(&mut world), wanted, "one whose step failed was made as well");
}

#[test]
fn what_is_only_observed_makes_nothing_unstable() {
    let policy = Heal {
        mode: HealMode::Observe,
        budget: 20,
        backoff: Duration::from_secs(1),
        ..healed("web").heal.unwrap()
    };
    let policy = Heal { backoff_max: Duration::from_secs(1), ..policy };
    let mut world = world(vec![ServiceConfig { heal: Some(policy), ..service("web") }]);
    world.answer("web", "port", fails()).pass(3.0 * MINUTE);
    assert!(world.heals.len() > 6, "{}", world.heals.len());
    world.answer("web", "port", passes()).pass(MINUTE);
    assert_eq!(world.document().services["web"].state, State::Up);
}

#[test]
fn rule_6_starts_that_systemd_made_by_itself_count_against_its_limit() {
    let limited =
        UnitFacts { start_limit: Some((2, Duration::from_secs(600))), running_for: None, ..running() };
    let mut world = world(vec![healed("web")]);
    world.look = finds(limited);
    // Restart=: its signals never show it as anything but running or starting.
    for restarts in 0..3 {
        world.extras.insert("port", (None, Some(restarts)));
        world.pass(20.0);
    }
    world.answer("web", "port", fails()).pass(MINUTE);
    assert_eq!(world.heals.len(), 0, "the third start within ten minutes");
    assert!(world.words(Decision::Wait).contains("StartLimitBurst="), "{}", world.words(Decision::Wait));
    world.pass(600.0);
    assert!(!world.heals.is_empty());
}

#[test]
fn rule_6_a_unit_that_ended_by_itself_is_not_started_beyond_systemds_limit_either() {
    let limited = UnitFacts { start_limit: Some((1, Duration::from_secs(300))), ..unit("inactive") };
    let mut world = world(vec![healed("web")]);
    world.announces("inactive", false).announces("activating", true).announces("active", false);
    world.pass(5.0).announces("inactive", false);
    world.look = finds(limited);
    world.answer("web", "port", fails()).pass(MINUTE);
    assert_eq!(world.heals.len(), 0);
    world.pass(300.0);
    assert!(!world.heals.is_empty());
}

#[test]
fn rule_3_two_services_about_one_unit_restart_it_once() {
    let second = ServiceConfig { heal: Some(Heal::restart("web.service")), ..service("page") };
    let mut world = world(vec![healed("web"), second]);
    world.answer("web", "port", fails()).answer("page", "port", fails());
    world.pass(20.0);
    assert_eq!(world.heals.len(), 1);
    // It helped the first, and the other one takes a little longer.
    world.look = finds(UnitFacts { running_for: Some(Duration::from_secs(5)), ..running() });
    world.answer("web", "port", passes()).pass(10.0);
    assert_eq!((world.state("web"), world.state("page")), (State::Up, State::Down));
    assert_eq!(world.heals.len(), 1, "its unit was started since");
    world.answer("page", "port", passes()).pass(20.0);
    assert_eq!((world.state("page"), world.heals.len()), (State::Up, 1));
}

#[test]
fn rule_10_while_what_it_needs_dies_again_and_again_or_is_held_and_not_well_it_is_left_alone() {
    let needing = ServiceConfig { depends_on: vec!["db".to_owned()], ..healed("web") };
    let db = ServiceConfig { checks: vec![http_check()], ..service("db") };
    let mut looping = world(vec![needing.clone(), db.clone()]);
    for restarts in 0..8 {
        looping.extras.insert("http", (Some(Duration::from_secs(1)), Some(restarts)));
        looping.answer("db", "http", fails_as(Failure::Starting)).pass(5.0);
    }
    assert_eq!(looping.state("db"), State::Unstable);
    looping.answer("web", "port", fails()).pass(5.0 * MINUTE);
    assert_eq!((looping.state("web"), looping.heals.len()), (State::Down, 0));

    let mut held = world(vec![needing, db]);
    held.hold("db", 600);
    held.answer("db", "http", fails()).answer("web", "port", fails()).pass(5.0 * MINUTE);
    assert_eq!((held.state("db"), held.heals.len()), (State::Held, 0));
}

#[test]
fn rule_11_the_brake_is_released_though_something_else_has_been_down_for_long() {
    let mut world = world(["a", "b", "c"].into_iter().map(healed).chain([service("off")]).collect());
    world.cures = true;
    world.answer("off", "port", fails()).pass(2.0 * MINUTE);
    let commons = |world: &World| world.notes.iter().filter(|entry| entry.service.is_none()).count();
    world.die(&["a", "b", "c"]).pass(5.0 * MINUTE);
    assert_eq!((world.heals.len(), commons(&world)), (3, 1));
    world.die(&["a", "b", "c"]).pass(5.0 * MINUTE);
    assert_eq!((world.heals.len(), commons(&world)), (6, 2), "a second common cause is one as well");
}

#[test]
fn rule_11_the_brake_holds_while_those_that_went_down_cannot_be_told() {
    let mut world = world(["a", "b", "c"].map(healed).to_vec());
    world.die(&["a", "b", "c"]).pass(10.0);
    // Nobody can be told for a while, and in that time one of them comes back by itself.
    world.answer("b", "port", cannot_tell()).answer("c", "port", cannot_tell()).pass(MINUTE);
    world.answer("a", "port", passes()).pass(MINUTE);
    assert_eq!((world.state("b"), world.count(Decision::Closed)), (State::Unknown, 1));
    let before = world.heals.len();
    world.cures = true;
    world.die(&["b", "c"]).pass(5.0 * MINUTE);
    let heals = &world.heals[before..];
    assert_eq!(heals.len(), 2);
    assert!(heals[1].0 > heals[0].0 + Duration::from_secs(1), "each is verified first");
}

#[test]
fn rule_11_the_brake_holds_while_the_next_one_waits_for_what_it_needs_to_be_looked_at() {
    // What refuses connections has a grace when it is freed; what crashed is down at once.
    for (grace, answer) in [(30, fails()), (0, fails_as(Failure::Certain))] {
        let of = |key: &str, needs: &[&str]| {
            let mut service = healed(key);
            service.timing.start_grace = Duration::from_secs(grace);
            service.depends_on = needs.iter().map(|&need| need.to_owned()).collect();
            service
        };
        let mut world = world(vec![of("a", &["c"]), of("b", &["c"]), of("c", &[])]);
        world.cures = true;
        world.die(&["a", "b", "c"]);
        world.answer("a", "port", answer.clone()).answer("b", "port", answer).pass(10.0 * MINUTE);
        let keys: Vec<&str> = world.heals.iter().map(|(_, order)| order.key.as_str()).collect();
        assert_eq!(keys, ["c", "a", "b"]);
        // Freed by the same look that ended the incident of c, neither a nor b had come to wait for its turn.
        assert!(
            world.heals[2].0 > world.heals[1].0 + Duration::from_secs(1),
            "{grace}: each is verified first"
        );
    }
}

#[test]
fn rule_11_a_common_cause_outlives_the_monitor() {
    let services = || ["a", "b", "c"].map(healed).to_vec();
    let mut before = world(services());
    before.die(&["a", "b", "c"]).pass(15.0);
    assert_eq!(before.heals.len(), 0);
    let memory = before.engine.memory(before.now());
    let mut after = World::of(services());
    after.look = finds(running());
    after.end = None;
    let commands = after.engine.recall(after.now(), &memory);
    assert!(commands.is_empty(), "{commands:?}");
    for key in ["a", "b", "c"] {
        after.answer(key, "port", fails());
    }
    after.pass(10.0);
    assert_eq!(after.heals.len(), 0, "the pause");
    after.pass(2.0 * MINUTE);
    assert_eq!(after.heals.len(), 1, "one at a time");
}

#[test]
fn however_often_a_unit_changes_its_probes_are_bounded() {
    let mut world = world(vec![healed("web")]);
    world.started.clear();
    // Longer than between two changes: there is always a round in flight.
    world.answer("web", "port", (passes().0, Duration::from_millis(20)));
    for _ in 0..1000 {
        world.announces("activating", false).announces("active", false).pass(0.01);
    }
    assert!(world.started.len() <= 2 * 10 * 4 + 4, "{} probes in 10 s", world.started.len());
}

impl World {
    /// All of these die at this moment.
    fn die(&mut self, keys: &[&str]) -> &mut World {
        for key in keys {
            self.answer(key, "port", fails_as(Failure::Certain));
            self.give(Event::UnitChanged(change(&format!("{key}.service"), "failed", false)));
        }
        self
    }

    /// A person holds this service for so long.
    fn hold(&mut self, key: &str, seconds: i64) -> &mut World {
        let since = self.now().wall;
        let until = since.plus_millis(seconds * 1000);
        let hold = Hold { since, until, by: "root".to_owned(), reason: None };
        self.give(Event::HoldsChanged(vec![(Some(key.to_owned()), hold)]));
        self
    }
}

#[test]
fn rule_1_without_heal_nothing_is_even_looked_at_for_it() {
    let mut world = world(vec![service("web")]);
    world.answer("web", "port", fails()).pass(HOUR);
    assert_eq!((world.state("web"), world.looks, world.heals.len()), (State::Down, 0, 0));
    assert!(world.words(Decision::Opened).ends_with("; healing is off for it"));
}

#[test]
fn rule_2_one_failure_and_a_probe_that_cannot_tell_never_lead_to_a_heal() {
    let mut blind = world(vec![healed("web")]);
    blind.answer("web", "port", cannot_tell()).pass(HOUR);
    assert_eq!((blind.state("web"), blind.looks), (State::Unknown, 0));

    let mut once = world(vec![healed("web")]);
    once.answer("web", "port", fails());
    while once.document().services["web"].consecutive_failures < 2 {
        once.pass(0.25);
    }
    once.answer("web", "port", passes()).pass(HOUR);
    assert_eq!((once.looks, once.heals.len()), (0, 0), "two failures of three");
}

#[test]
fn rule_3_what_changed_just_before_the_heal_cancels_it() {
    for (look, decision) in [
        (unit("deactivating"), Decision::Wait),
        (UnitFacts { job: Some("stop".into()), ..running() }, Decision::Wait),
        (UnitFacts { load: "masked".into(), ..unit("inactive") }, Decision::Refuse),
    ] {
        let mut world = world(vec![healed("web")]);
        world.look = finds(look.clone());
        world.answer("web", "port", fails()).pass(MINUTE);
        assert!(world.looks > 1, "looked at again");
        assert_eq!((world.heals.len(), world.count(decision)), (0, 1), "{look:?}: one line");
        world.look = finds(running());
        world.pass(10.0);
        assert_eq!(world.heals.len(), 1);
    }
    let mut held = world(vec![healed("web")]);
    held.look = None;
    held.answer("web", "port", fails()).pass(20.0);
    let looking = held.document().services["web"].heal.clone().unwrap();
    assert_eq!((looking.phase, looking.next.as_deref()), (HealPhase::Looking, Some("restart")));
    let began = looking.looking_since.expect("since when it is looked");
    held.pass(5.0);
    let later = held.document().services["web"].heal.clone().unwrap();
    assert_eq!((later.looking_since, later.last), (Some(began), None), "its own time, and nothing was done");
    held.hold("web", 600);
    let id = HealId(held.engine.next_heal);
    held.give(Event::Inspected(id, finds(running()).unwrap()));
    assert_eq!(held.heals.len(), 0, "a hold came between the look and the heal");
    held.look = finds(running());
    held.pass(630.0);
    assert_eq!(held.heals.len(), 1, "and it ends");
}

#[test]
fn rule_4_while_systemd_is_at_work_there_is_one_line_and_no_heal() {
    for (active, sub) in [("activating", "auto-restart"), ("activating", "start"), ("reloading", "reload")] {
        let mut world = world(vec![healed("web")]);
        world.look = finds(UnitFacts { sub: sub.into(), ..unit(active) });
        world.answer("web", "port", fails()).pass(10.0 * MINUTE);
        assert_eq!((world.heals.len(), world.count(Decision::Wait)), (0, 1), "{active} {sub}");
    }
}

#[test]
fn rule_5_what_an_administrator_stopped_or_nobody_saw_ending_is_not_started() {
    let stopped: [&[(&str, bool)]; 2] = [&[("deactivating", true), ("inactive", false)], &[]];
    for signals in stopped {
        let mut world = world(vec![with_unit("web")]);
        if signals.is_empty() {
            world.give(Event::WatchLost);
            world.give(Event::WatchBegan(vec![change("web.service", "inactive", false)]));
        }
        for (active, has_job) in signals {
            world.announces(active, *has_job);
        }
        world.look = finds(unit("inactive"));
        world.answer("web", "port", fails()).answer("web", "systemd", inactive()).pass(HOUR);
        assert_eq!((world.state("web"), world.heals.len()), (State::Stopped, 0));
        assert_eq!(world.count(Decision::Refuse), 1);
    }
}

#[test]
fn rule_5_what_was_seen_to_end_by_itself_is_started() {
    let mut world = world(vec![healed("web")]);
    world.announces("inactive", false).answer("web", "port", fails());
    world.look = finds(unit("inactive"));
    world.pass(20.0);
    assert!(matches!(world.heals[0].1.action, Action::Start(_)));
}

#[test]
fn rule_7_backoff_doubles_to_its_limit_and_is_forgotten_after_ten_minutes_well() {
    let policy = Heal { budget: 1000, ..Heal::restart("web.service") };
    let mut config = config(vec![ServiceConfig { heal: Some(policy), ..service("web") }]);
    config.monitor.heal_budget = 1000;
    let mut world = world(config.services.clone());
    world.give(Event::ConfigChanged(config));
    world.end = Some(HealEnd::Failed("the job failed".to_owned()));
    world.answer("web", "port", fails()).pass(HOUR);
    let pauses: Vec<f64> = world.heals.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect();
    for (pause, wanted) in pauses.iter().zip([10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]) {
        assert!((wanted * 0.89..wanted * 1.11 + 1.0).contains(pause), "{pauses:?}");
    }
    // While it was restarted so often within an hour it is unstable, which is not well.
    world.answer("web", "port", passes()).pass(HOUR + 11.0 * MINUTE);
    world.heals.clear();
    world.answer("web", "port", fails()).pass(MINUTE);
    let pause = (world.heals[1].0 - world.heals[0].0).as_secs_f64();
    assert!((8.9..12.2).contains(&pause), "{pause}");
}

#[test]
fn rule_7_at_the_budget_there_is_one_notice_and_then_one_trial_an_hour() {
    let mut world = world(vec![healed("web")]);
    world.end = Some(HealEnd::Failed("the job failed".to_owned()));
    world.answer("web", "port", fails()).pass(HOUR);
    assert_eq!((world.heals.len(), world.count(Decision::Notice)), (5, 1));
    world.pass(10.0 * HOUR);
    assert!((14..=15).contains(&world.heals.len()), "{}", world.heals.len());
    assert_eq!(world.count(Decision::Notice), 1);
    for pair in world.heals[4..].windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_secs(3600));
    }
}

#[test]
fn rule_7_the_hosts_budget_holds_for_all_services_together_and_survives_the_monitor() {
    let services: Vec<ServiceConfig> = (0..4).map(|n| healed(&format!("s{n}"))).collect();
    let mut before = world(services.clone());
    before.end = Some(HealEnd::Failed("the job failed".to_owned()));
    for n in 0..4 {
        before.answer(&format!("s{n}"), "port", fails()).pass(70.0);
    }
    before.pass(20.0 * MINUTE);
    assert_eq!(before.heals.len(), 10);
    let memory = before.engine.memory(before.now());
    let mut after = World::of(services);
    after.engine.recall(after.now(), &memory);
    after.look = finds(running());
    for n in 0..4 {
        after.answer(&format!("s{n}"), "port", fails());
    }
    after.pass(20.0 * MINUTE);
    assert_eq!(after.heals.len(), 0);
}

#[test]
fn rule_8_a_heal_has_helped_only_after_success_threshold_passes_in_time() {
    let mut world = world(vec![healed("web")]);
    world.answer("web", "port", fails());
    while world.count(Decision::HealFailed) == 0 {
        world.pass(0.25);
    }
    assert!(world.now >= world.heals[0].0 + Duration::from_secs(60));
    assert_eq!(world.count(Decision::Healed), 0);
    world.cures = true;
    while world.heals.len() < 2 {
        world.pass(0.25);
    }
    world.pass(1.0);
    assert_eq!((world.count(Decision::Healed), world.heal_phase("web")), (0, HealPhase::Verifying));
    world.pass(10.0);
    assert_eq!((world.count(Decision::Healed), world.state("web")), (1, State::Up));
    assert_eq!(world.words(Decision::Closed), "well again by heal 2 (restart)");
}

#[test]
fn rule_9_an_order_says_what_evidence_belongs_to() {
    let mut world = world(vec![healed("web")]);
    world.answer("web", "port", fails()).pass(20.0);
    let incident = world.document().services["web"].incident.clone().unwrap();
    let (_, order) = &world.heals[0];
    assert_eq!((&order.incident, order.attempt), (&incident.id, 1));
    assert_eq!(order.seen, Some(running()));
    assert_eq!(order.reason, "port: connection refused");
    assert_eq!(order.checks.port.as_ref().unwrap().reason.as_deref(), Some("connection refused"));
}

#[test]
fn rule_10_blocked_is_not_healed_and_freed_it_gets_its_grace() {
    let needing = ServiceConfig { depends_on: vec!["db".to_owned()], ..healed("web") };
    let mut world = world(vec![needing, service("db")]);
    world.answer("db", "port", fails()).pass(20.0);
    world.answer("web", "port", fails()).pass(HOUR);
    assert_eq!((world.state("web"), world.heals.len()), (State::Blocked, 0));
    world.answer("db", "port", passes()).pass(20.0);
    assert_eq!((world.state("web"), world.heals.len()), (State::Starting, 0));
    world.pass(40.0);
    assert_eq!((world.state("web"), world.heals.len()), (State::Down, 1));
}

#[test]
fn rule_11_three_at_once_wait_and_then_go_one_at_a_time_in_the_order_of_their_needs() {
    let mut world = world(["a", "b", "c"].map(healed).to_vec());
    world.cures = true;
    let died_at = world.die(&["c", "b", "a"]).now;
    world.pass(5.0 * MINUTE);
    let keys: Vec<&str> = world.heals.iter().map(|(_, order)| order.key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert!(world.heals[0].0 >= died_at + Duration::from_secs(30));
    for pair in world.heals.windows(2) {
        assert!(pair[1].0 > pair[0].0 + Duration::from_secs(1), "each is verified first");
    }
}

#[test]
fn rule_12_when_the_machine_starves_a_timeout_is_no_reason_and_a_crash_is() {
    for (memory, cpu) in [(Some(25.0), None), (None, Some(80.0))] {
        for (answer, heals) in [(hangs(), 0), (fails_as(Failure::Certain), 1)] {
            let mut world = world(vec![healed("web")]);
            let pressure = Pressure { memory, cpu, io: None };
            world.look = finds(running()).map(|look| Inspection { pressure, ..look });
            world.answer("web", "port", answer).pass(40.0);
            assert_eq!(world.heals.len(), heals, "{pressure:?}");
            world.look = finds(running());
            world.pass(20.0);
            assert_eq!(world.heals.len().max(1), world.heals.len(), "and then it is healed");
        }
    }
}

#[test]
fn rule_13_no_heal_before_the_boot_is_finished_and_neither_heal_nor_probe_during_shutdown() {
    for system in [SystemPhase::Starting, SystemPhase::Stopping] {
        let mut world = world(vec![healed("web")]);
        world.look = finds(running()).map(|look| Inspection { system, ..look });
        world.answer("web", "port", fails()).pass(10.0 * MINUTE);
        assert_eq!((world.heals.len(), world.count(Decision::Wait)), (0, 1));
        world.look = finds(running());
        world.pass(10.0);
        assert_eq!(world.heals.len(), 1);
    }
    let mut world = world(vec![healed("web")]);
    world.answer("web", "port", fails());
    world.give(Event::ShuttingDown(true));
    world.pass(5.0).started.clear();
    world.pass(HOUR);
    assert_eq!((world.started.len(), world.looks), (0, 0));
    world.give(Event::ShuttingDown(false));
    world.pass(MINUTE);
    assert_eq!(world.heals.len(), 1, "it did not shut down after all");
}

#[test]
fn rule_14_the_ladder_is_climbed_a_step_a_heal_and_its_last_one_repeats() {
    let hook = Hook { command: vec!["/bin/true".to_owned()], timeout: Duration::from_secs(30), user: None };
    let mut policy = Heal::restart("web.service");
    policy.steps = vec![Step::Reload, Step::Restart, Step::Run(hook)];
    let mut world = world(vec![ServiceConfig { heal: Some(policy), ..service("web") }]);
    world.end = Some(HealEnd::Failed("no".to_owned()));
    world.answer("web", "port", fails()).pass(HOUR);
    let steps: Vec<&str> = world
        .heals
        .iter()
        .map(|(_, order)| match order.action {
            Action::Reload(_) => "reload",
            Action::TryRestart(_) => "restart",
            Action::Start(_) => "start",
            Action::Run(_) => "run",
        })
        .collect();
    assert_eq!(steps, ["reload", "restart", "run", "run", "run"]);
    assert_eq!(world.count(Decision::Notice), 1, "and then a person");
}

#[test]
fn rule_15_observing_is_everything_but_the_call() {
    let policy = Heal { mode: HealMode::Observe, ..Heal::restart("web.service") };
    let mut world = world(vec![ServiceConfig { heal: Some(policy), ..service("web") }]);
    world.answer("web", "port", fails()).pass(HOUR);
    assert!(world.heals.iter().all(|(_, order)| order.observe));
    assert_eq!((world.count(Decision::WouldHeal), world.count(Decision::Heal)), (5, 0));
    assert_eq!(world.count(Decision::HealFailed), 0, "what was not made did not fail");
    assert!(world.words(Decision::WouldHeal).starts_with("would restart (5 of 5"));
    let memory: Memory = world.engine.memory(world.now());
    assert_eq!(memory.spent_ms, [0; 0], "the host's budget is for what is done");
}

#[test]
fn the_totals_of_heals_count_every_end_once_and_only_grow_also_when_the_monitor_is_killed() {
    let totals = |world: &World| world.document().services["web"].heal.as_ref().unwrap().totals;
    let mut before = world(vec![healed("web")]);
    before.answer("web", "port", fails());
    let mut next_heal_ends = |end: Option<HealEnd>| {
        before.end = end;
        let heals = before.heals.len();
        while before.heals.len() == heals {
            before.pass(0.25);
        }
        before.pass(1.0);
        (totals(&before), before.heal_phase("web"))
    };
    let (failed, _) = next_heal_ends(Some(HealEnd::Failed("the job failed".to_owned())));
    assert_eq!(failed, HealTotals { failed: 1, ..HealTotals::default() });
    let (cancelled, _) = next_heal_ends(Some(HealEnd::Cancelled("somebody was faster".to_owned())));
    assert_eq!(cancelled, HealTotals { cancelled: 1, ..failed });
    // Killed in the middle of a heal: how that ended nobody knows, but there was one.
    assert_eq!(next_heal_ends(None), (cancelled, HealPhase::Acting));
    let memory = before.engine.memory(before.now()).after(Duration::from_secs(1));
    let mut after = World::of(vec![healed("web")]);
    after.engine.recall(after.now(), &memory);
    assert_eq!(totals(&after), HealTotals { interrupted: 1, ..cancelled });
    let heals = after.document().monitor.heals.unwrap();
    assert_eq!((heals.within_an_hour, heals.budget), (2, 10), "what was cancelled costs nothing");
}
