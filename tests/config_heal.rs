//! `heal` in `monitor.yml`: what each form means, and for whom what `defaults` say applies. What is wrong is in
//! `tests/config/invalid/heal-*.yml`.

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute, not their helpers")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use wellkeep::config::{self, Config, Heal, HealMode, Hook, Step};

fn env(name: &str) -> Option<String> {
    (name == "NAME").then(|| "$(id)".into())
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid").join(name)
}

fn load(name: &str) -> Config {
    config::load(&file(name), &env).unwrap_or_else(|problems| panic!("{problems:#}"))
}

fn heal<'c>(config: &'c Config, key: &str) -> Option<&'c Heal> {
    config.services.iter().find(|service| service.key == key).unwrap().heal.as_ref()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn nothing_is_healed_that_nobody_asked_for_and_a_word_is_enough_to_ask() {
    let config = load("heal_alone.yml");
    let restart = Heal::restart("a.service");
    assert_eq!(heal(&config, "quiet"), None);
    assert_eq!(heal(&config, "off"), None);
    assert_eq!(heal(&config, "restart"), Some(&restart));
    assert_eq!(heal(&config, "reload"), Some(&Heal { steps: vec![Step::Reload], ..restart.clone() }));
    assert_eq!(heal(&config, "observe"), Some(&Heal { mode: HealMode::Observe, ..restart.clone() }));
    assert_eq!(heal(&config, "block"), Some(&restart));
    assert_eq!((config.monitor.observe, config.monitor.heal_budget), (false, 10));
}

#[test]
fn what_defaults_say_applies_where_it_is_possible() {
    let config = load("heal.yml");
    let inherited = Heal {
        steps: vec![Step::Reload, Step::Restart],
        backoff: seconds(30),
        budget: 3,
        ..Heal::restart("a.service")
    };
    assert_eq!(heal(&config, "inherits"), Some(&inherited));
    for key in ["no_unit", "target", "itself", "off", "false"] {
        assert_eq!(heal(&config, key), None, "{key}");
    }
    let checked = config::check(&file("heal.yml"), &env).unwrap();
    let keys: Vec<&str> = checked.heal_not_applied.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["no_unit", "target", "itself"], "whoever said `off` is not told");
    assert_eq!(checked.heal_not_applied[0].1, "the service has no unit");
    assert_eq!((config.monitor.observe, config.monitor.heal_budget), (true, 20));
}

#[test]
fn a_service_says_otherwise_key_by_key() {
    let config = load("heal.yml");
    let own = |key: &str| heal(&config, key).unwrap().clone();
    let inherited = own("inherits");
    assert_eq!(own("restart"), Heal { steps: vec![Step::Restart], ..inherited.clone() });
    assert_eq!(own("observe"), Heal { mode: HealMode::Observe, ..inherited.clone() });
    // Of two figures that do not fit each other, the inherited one gives way.
    let other = own("other_unit");
    assert_eq!(other.unit.as_deref(), Some("b.timer"));
    assert_eq!((other.backoff, other.backoff_max), (seconds(600), seconds(600)));
    let lower = own("lower");
    assert_eq!((lower.backoff, lower.backoff_max), (seconds(20), seconds(20)));
    assert_eq!((lower.mode, lower.steps), (HealMode::Observe, inherited.steps));
}

#[test]
fn a_slow_start_is_waited_for_before_a_heal_counts_as_failed() {
    let config = load("heal.yml");
    // 2 min of grace and two rounds, 2 s apart.
    assert_eq!(heal(&config, "lower").unwrap().verify_within, seconds(124));
    assert_eq!(heal(&config, "inherits").unwrap().verify_within, seconds(60));
    // Whoever writes it gets it.
    assert_eq!(heal(&config, "other_unit").unwrap().verify_within, seconds(5));
}

#[test]
fn a_program_gets_its_arguments_as_they_are_written() {
    let config = load("heal.yml");
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let alone = Hook { command: words(&["/usr/local/bin/fix"]), timeout: seconds(30), user: None };
    let program = heal(&config, "program").unwrap();
    assert_eq!((&program.unit, &program.steps), (&None, &vec![Step::Run(alone)]));
    let hook = Hook {
        command: words(&["/usr/local/bin/fix", "--port", "5000", "", "$HOME; $(id)"]),
        timeout: seconds(60),
        user: Some("www-data".into()),
    };
    let ladder = heal(&config, "ladder").unwrap();
    assert_eq!(ladder.steps, [Step::Reload, Step::Run(hook), Step::Restart]);
}

#[test]
fn whoever_asks_only_what_is_healed_needs_no_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("monitor.yml");
    let text = "services: [{key: a, url: 'http://me:${credential:shop}@h/', systemd: a, heal: restart}]";
    std::fs::write(&path, text).unwrap();
    let healing = config::load_healing(&path, &env).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        healing,
        config::Healing { heals: vec![(path.clone(), Heal::restart("a.service"))], observe: false }
    );
    assert!(config::load(&path, &env).is_err());
    std::fs::write(&path, text.replace("restart", "restrat")).unwrap();
    assert!(config::load_healing(&path, &env).is_err());
}
