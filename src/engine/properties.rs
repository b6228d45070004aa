//! The engine's invariants, under services that pass, fail, hang and cannot tell in any order, and clocks that jump.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::stories::{World, config, http_check, service};
use super::*;
use crate::probe::{Failure, Outcome, Severity};

/// What a world does next.
#[derive(Debug, Clone)]
enum Turn {
    /// A service's check answers so from now on.
    Answer { service: usize, kind: &'static str, outcome: Outcome, took_ms: u64 },
    /// All checks of a kind say so of starts and restarts from now on.
    Started { kind: &'static str, running_for_s: Option<u64>, restarts: Option<u32> },
    /// The wall clock is set by so much.
    SetClock { by_ms: i64 },
    /// The configuration is read again, with this many services.
    Reload { services: usize },
    /// Time passes.
    Pass { ms: u64 },
}

const SERVICES: usize = 6;

fn outcomes() -> impl Strategy<Value = Outcome> {
    let fail = |kind| Outcome::Fail { reason: "fails".to_owned(), kind };
    prop_oneof![
        3 => Just(Outcome::PASS),
        1 => Just(Outcome::Pass { warning: Some("slow".to_owned()) }),
        3 => Just(fail(Failure::Ordinary)),
        1 => Just(fail(Failure::Certain)),
        1 => Just(fail(Failure::Starting)),
        1 => Just(fail(Failure::Stopped)),
        2 => Just(Outcome::unknown("blind")),
    ]
}

fn turns(with_clock: bool) -> impl Strategy<Value = Vec<Turn>> {
    let day_ms = 86_400_000_i64;
    let kind = || prop::sample::select(vec!["port", "http"]);
    let answer = (0..SERVICES, kind(), outcomes(), 0..30_000_u64)
        .prop_map(|(service, kind, outcome, took_ms)| Turn::Answer { service, kind, outcome, took_ms });
    let started = (kind(), prop::option::of(0..100_u64), prop::option::of(0..10_u32))
        .prop_map(|(kind, running_for_s, restarts)| Turn::Started { kind, running_for_s, restarts });
    let clock = if with_clock { 1 } else { 0 };
    let turn = prop_oneof![
        6 => answer,
        1 => started,
        clock => (-400 * day_ms..400 * day_ms).prop_map(|by_ms| Turn::SetClock { by_ms }),
        1 => (1..=SERVICES).prop_map(|services| Turn::Reload { services }),
        6 => (1..40_000_u64).prop_map(|ms| Turn::Pass { ms }),
    ];
    prop::collection::vec(turn, 1..40)
}

fn keys() -> [String; SERVICES] {
    std::array::from_fn(|n| format!("service-{n}"))
}

/// The first `count` services, each with a dependency on the one before; with one check or two, of any severity.
fn services(count: usize) -> Vec<ServiceConfig> {
    let keys = keys();
    let of = |n: usize| {
        let mut service = service(&keys[n]);
        if n % 2 == 1 {
            service.checks.push(http_check());
        }
        if n % 3 == 1 {
            service.checks[0].severity = Severity::Warning;
        }
        ServiceConfig { depends_on: keys[..n].last().cloned().into_iter().collect(), ..service }
    };
    (0..count).map(of).collect()
}

fn play(turns: &[Turn], mut look: impl FnMut(&World)) -> World {
    let mut world = World::of(services(SERVICES));
    for turn in turns {
        match turn {
            Turn::Answer { service, kind, outcome, took_ms } => {
                let answer = (outcome.clone(), Duration::from_millis(*took_ms));
                world.answer(&keys()[*service], kind, answer);
            }
            Turn::Started { kind, running_for_s, restarts } => {
                world.extras.insert(kind, (running_for_s.map(Duration::from_secs), *restarts));
            }
            Turn::SetClock { by_ms } => world.wall_ahead_ms += by_ms,
            Turn::Reload { services: count } => world.give(Event::ConfigChanged(config(services(*count)))),
            Turn::Pass { ms } => {
                world.pass(*ms as f64 / 1000.0);
            }
        }
        look(&world);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_are_two_probes_of_one_check_in_flight(turns in turns(true)) {
        play(&turns, |world| {
            let ids: BTreeSet<ProbeId> = world.in_flight.keys().map(|&(_, id)| id).collect();
            assert_eq!(ids.len(), world.in_flight.len());
        });
    }

    #[test]
    fn an_overrun_delays_the_next_round_and_never_piles_up(took_ms in 1_u64..60_000, passes in any::<bool>()) {
        let mut world = World::of(services(1));
        let outcome = if passes { Outcome::PASS } else { Outcome::fail("fails") };
        let key = &keys()[0];
        world.answer(key, "port", (outcome, Duration::from_millis(took_ms))).pass(600.0);
        for pair in world.started.windows(2) {
            prop_assert!(pair[1].0 >= pair[0].0 + Duration::from_millis(took_ms));
        }
        let fastest = 600_000 / took_ms.max(2000) + 2;
        prop_assert!(world.started.len() as u64 <= fastest, "{} rounds", world.started.len());
        // And it does go on: at the latest an interval after the last round ended.
        let slowest = 600_000 / (took_ms + 10_250);
        prop_assert!(world.started.len() as u64 >= slowest, "{} rounds", world.started.len());
    }

    #[test]
    fn the_counts_add_up_and_each_verdict_fits_its_state(turns in turns(true)) {
        play(&turns, |world| {
            let document = world.document();
            assert_eq!(document.ok_count + document.fail_count, document.total);
            assert_eq!(document.total as usize, document.services.len());
            let ok = document.services.values().filter(|service| service.ok).count();
            assert_eq!(document.ok_count as usize, ok);
            for service in document.services.values() {
                match service.state {
                    State::Up | State::Degraded => assert!(service.ok),
                    State::Down | State::Unstable | State::Blocked => assert!(!service.ok),
                    _ => {}
                }
                assert_eq!(service.reason.is_none(), service.state == State::Up, "{service:?}");
            }
            let worst = document.services.values().map(|service| service.state).min();
            assert_eq!(Some(document.overall), worst);
        });
    }

    #[test]
    fn a_wall_clock_set_back_or_forward_changes_nothing(turns in turns(true)) {
        let with_jumps = play(&turns, |_| {});
        let steady: Vec<Turn> =
            turns.into_iter().filter(|turn| !matches!(turn, Turn::SetClock { .. })).collect();
        let without = play(&steady, |_| {});
        prop_assert_eq!(with_jumps.started, without.started);
        prop_assert_eq!(with_jumps.told, without.told);
        prop_assert_eq!(with_jumps.published, without.published);
    }

    #[test]
    fn every_service_is_looked_at_again_whatever_happened(turns in turns(false)) {
        let mut world = play(&turns, |_| {});
        for key in keys() {
            for kind in ["port", "http"] {
                world.answer(&key, kind, (Outcome::PASS, Duration::from_millis(1)));
            }
        }
        // 30 s for the slowest probe in flight, then an interval and a retry for everybody, also up a whole chain; and
        // an hour until restarts are forgotten.
        world.extras.clear();
        world.pass(3700.0);
        prop_assert_eq!(world.document().overall, State::Up);
    }
}
