use super::*;
use crate::status::Timestamp;

const NOW: Duration = Duration::from_secs(100_000);

/// Down for a while, its unit running, and nothing in the way.
struct Row {
    state: State,
    since: Duration,
    healing: Healing,
    need: Option<(&'static str, State)>,
    host: Option<Obstacle>,
    is_crash: bool,
    intent: Intent,
    start_allowed_at: Option<Duration>,
    looked: bool,
    system: SystemPhase,
    pressure: Pressure,
    blind: bool,
    unit: UnitFacts,
}

fn row() -> Row {
    Row {
        state: State::Down,
        since: NOW - PATIENCE / 2,
        healing: Healing::default(),
        need: None,
        host: None,
        is_crash: false,
        intent: Intent::Run,
        start_allowed_at: None,
        looked: true,
        system: SystemPhase::Running,
        pressure: Pressure::default(),
        blind: false,
        unit: UnitFacts { load: "loaded".into(), active: "active".into(), ..UnitFacts::default() },
    }
}

fn answer(row: &Row) -> Answer {
    let unit = if row.blind { Err("no bus".to_owned()) } else { Ok(row.unit.clone()) };
    let look = Inspection { unit: Some(unit), system: row.system, pressure: row.pressure };
    let facts = Facts {
        now: NOW,
        state: row.state,
        reason: "it is so",
        since: row.since,
        grace: Duration::from_secs(30),
        is_crash: row.is_crash,
        intent: row.intent,
        doubtful_need: row.need,
        host: row.host.clone(),
        look: row.looked.then_some(&look),
        start_allowed_at: row.start_allowed_at,
    };
    decide(&Heal::restart("web.service"), &row.healing, &facts)
}

fn short(answer: &Answer) -> String {
    match answer {
        Answer::Well => "well".to_owned(),
        Answer::Look => "look".to_owned(),
        Answer::Wait(obstacle) => format!("wait {}", obstacle.code),
        Answer::Refuse(obstacle) => format!("refuse {}", obstacle.code),
        Answer::Act(Action::TryRestart(_)) => "restart".to_owned(),
        Answer::Act(Action::Start(_)) => "start".to_owned(),
        Answer::Act(action) => format!("{action:?}"),
    }
}

/// Makes a row of the table fit.
type Change = fn(&mut Row);

/// The rows of the table that lead to no heal of what is down, in their order.
fn rows() -> Vec<(&'static str, Change)> {
    vec![
        ("wait budget", |row| row.healing.spent = (1..=5).map(|n| NOW + SETTLE * n).collect()),
        ("wait backoff", |row| row.healing.not_before = NOW + SETTLE),
        ("wait settle", |row| row.since = NOW - SETTLE / 2),
        ("wait need", |row| row.need = Some(("db", State::Starting))),
        ("wait host", |row| row.host = Some(Obstacle::new("host", "", None))),
        ("look", |row| row.looked = false),
        ("wait boot", |row| row.system = SystemPhase::Starting),
        ("wait pressure", |row| row.pressure.memory = Some(MEMORY_PRESSURE)),
        ("wait blind", |row| row.blind = true),
        ("refuse unit", |row| row.unit.load = "masked".into()),
        ("wait systemd", |row| row.unit.job = Some("stop".into())),
        ("wait started", |row| row.unit.running_for = Some(Duration::from_secs(3))),
        ("refuse stopped", |row| (row.unit.active, row.intent) = ("inactive".into(), Intent::Stop)),
        ("wait start-limit", |row| row.start_allowed_at = Some(NOW + SETTLE)),
    ]
}

#[test]
fn each_row_of_the_table_decides_alone_and_before_all_below_it() {
    assert_eq!(short(&answer(&row())), "restart", "nothing is in the way");
    let rows = rows();
    for first in 0..rows.len() {
        let mut alone = row();
        rows[first].1(&mut alone);
        assert_eq!(short(&answer(&alone)), rows[first].0);
        // From the last row up, so that the first one has the last word where two set the same.
        let mut all = row();
        rows[first..].iter().rev().for_each(|(_, fit)| fit(&mut all));
        assert_eq!(short(&answer(&all)), rows[first].0, "and before the rows below it");
    }
}

#[test]
fn a_next_step_is_told_only_while_nothing_but_time_is_in_the_way() {
    let now = Now { mono: NOW, wall: Timestamp::from_millis(0) };
    let timed = ["wait budget", "wait backoff", "wait settle", "wait started", "wait start-limit"];
    let mut seen = 0;
    for (name, fit) in rows() {
        let mut row = row();
        fit(&mut row);
        let (Answer::Wait(obstacle) | Answer::Refuse(obstacle)) = answer(&row) else { continue };
        row.healing.wait(obstacle);
        let status = row.healing.status(&Heal::restart("web.service"), false, State::Down, now);
        assert_eq!(status.next.is_some(), timed.contains(&name), "{name}");
        assert!(status.why_not.is_some(), "{name}");
        seen += usize::from(status.next.is_some());
    }
    assert_eq!(seen, timed.len(), "each of them is a row of the table");
}

#[test]
fn only_what_is_down_is_healed() {
    for (state, wanted) in [
        (State::Held, "wait held"),
        (State::Stopped, "refuse stopped"),
        (State::Blocked, "wait blocked"),
        (State::Up, "well"),
        (State::Degraded, "well"),
        (State::Unknown, "well"),
        (State::Starting, "well"),
        (State::Unstable, "well"),
        (State::Down, "restart"),
    ] {
        assert_eq!(short(&answer(&Row { state, ..row() })), wanted);
    }
}

#[test]
fn a_unit_that_does_not_run_is_started_only_if_it_was_meant_to_run() {
    for (active, intent, wanted) in [
        ("inactive", Intent::Ended, "start"),
        ("inactive", Intent::Run, "start"),
        ("inactive", Intent::Unknown, "refuse stopped"),
        ("inactive", Intent::Stop, "refuse stopped"),
        ("failed", Intent::Ended, "start"),
        ("failed", Intent::Unknown, "start"),
        ("failed", Intent::Stop, "refuse stopped"),
    ] {
        let mut row = Row { intent, ..row() };
        row.unit.active = active.into();
        assert_eq!(short(&answer(&row)), wanted, "{active} {intent:?}");
    }
    let mut refused = Row { intent: Intent::Stop, start_allowed_at: Some(NOW + SETTLE), ..row() };
    (refused.unit.active, refused.unit.result) = ("failed".into(), Some("start-limit-hit".into()));
    assert_eq!(short(&answer(&refused)), "start", "a refused start is no stop, and the reset ends the count");
}

#[test]
fn units_that_nobody_can_start_and_those_that_systemd_is_at_work_on_are_left_alone() {
    let cases: [(Change, &str); 10] = [
        (|row| row.unit.load = "not-found".into(), "refuse unit"),
        (|row| row.unit.load = "bad-setting".into(), "refuse unit"),
        (|row| row.unit.refuses_manual = true, "refuse unit"),
        (|row| row.unit.active = "activating".into(), "wait systemd"),
        (|row| row.unit.active = "deactivating".into(), "wait systemd"),
        (|row| row.unit.active = "reloading".into(), "wait systemd"),
        (|row| row.unit.active = "maintenance".into(), "wait systemd"),
        (|row| row.system = SystemPhase::Stopping, "wait shutdown"),
        (|row| row.pressure.cpu = Some(CPU_PRESSURE), "wait pressure"),
        (|row| (row.pressure.cpu, row.is_crash) = (Some(100.0), true), "restart"),
    ];
    for (number, (fit, wanted)) in cases.into_iter().enumerate() {
        let mut row = row();
        fit(&mut row);
        assert_eq!(short(&answer(&row)), wanted, "case {number}");
    }
}

#[test]
fn the_backoff_differs_between_hosts_by_a_tenth_at_most_and_never_overflows() {
    let policy = Heal::restart("web.service");
    for seed in 0..100 {
        let first = backoff(&policy, 1, seed).as_millis();
        assert!((9_000..=11_000).contains(&first), "{first}");
        assert!(backoff(&policy, u32::MAX, seed) <= policy.backoff_max * 11 / 10);
    }
    let differing: std::collections::BTreeSet<_> = (0..100).map(|seed| backoff(&policy, 1, seed)).collect();
    assert!(differing.len() > 10);
}
