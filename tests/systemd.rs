//! What is claimed of systemd, on the real thing. Every test here makes units, some stop the bus, and the last one ends
//! the machine: they run in a container of their own, as root, one after the other, and nowhere else:
//!
//! ```sh
//! tests/system/run watch shutdown
//! ```

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute, not their helpers")]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use wellkeep::engine::{HealEnd, SystemPhase};
use wellkeep::systemd::{Bus, BusAddress, Permission, Sign, Told, UnitCall, Watch};

/// How long something may take on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(60);

/// Makes a service of these lines and starts it. Every test does so first.
fn start(name: &str, lines: &str) {
    let is_ours = std::env::var_os("WELLKEEP_TEST_OWN_MACHINE").is_some();
    assert!(
        is_ours,
        "these tests stop the bus and the machine: only in a container, see the top of this file"
    );
    fs::create_dir_all("/run/systemd/system").unwrap();
    fs::write(format!("/run/systemd/system/{name}"), format!("[Service]\n{lines}\n")).unwrap();
    systemctl(&["daemon-reload"]);
    systemctl(&["start", name]);
}

fn systemctl(words: &[&str]) -> String {
    let output = Command::new("systemctl").args(words).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until the unit has this state.
async fn until_active(unit: &str, active: &str) {
    let reached = async {
        while systemctl(&["show", "-P", "ActiveState", unit]) != active {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(SOON, reached).await.is_ok(), "{unit} never became {active}");
}

/// Starts a service that heeds no SIGTERM, and waits until it does not.
async fn start_stubborn(unit: &str, stop_limit: &str) {
    let runs = format!("/run/{unit}.runs");
    let program = format!("trap \"\" TERM; touch {runs}; while :; do sleep 1; done");
    start(unit, &format!("ExecStart=bash -c '{program}'\nTimeoutStopSec={stop_limit}"));
    until_stubborn(unit).await;
}

/// What is stopped before its shell has come to its trap ends at once.
async fn until_stubborn(unit: &str) {
    let runs = format!("/run/{unit}.runs");
    let waiting = async {
        while fs::remove_file(&runs).is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(SOON, waiting).await.is_ok(), "{unit} never came to its trap");
}

/// Sends a signal to the main process of a unit.
fn kill(signal: &str, unit: &str) {
    let pid = systemctl(&["show", "-P", "MainPID", unit]);
    assert_ne!(pid, "0", "{unit} does not run");
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// Everything that a watch told.
struct Witness {
    watch: Watch,
    told: Vec<Told>,
}

impl Witness {
    /// Watches these units, from the first `Began` on.
    async fn of(units: &[&str]) -> Witness {
        let mut witness = Witness { watch: Watch::spawn(BusAddress::System), told: Vec::new() };
        witness.watch.units(units.iter().map(|&unit| unit.to_owned()).collect());
        witness.until(|told| matches!(told, Told::Began(signs) if signs.len() == units.len())).await;
        witness.told.clear();
        witness
    }

    /// Listens until this is told.
    async fn until(&mut self, wanted: impl Fn(&Told) -> bool) {
        let listening = async {
            loop {
                let told = self.watch.next().await;
                let found = wanted(&told);
                self.told.push(told);
                if found {
                    return;
                }
            }
        };
        let in_time = timeout(SOON, listening).await.is_ok();
        assert!(in_time, "not told within {SOON:?}; but {:#?}", self.told);
    }

    /// Listens until the unit has this state, and no job.
    async fn until_unit(&mut self, unit: &str, active: &str) {
        self.until(|told| is(told, unit, active)).await;
    }

    /// What was told since the last time, in short: `deactivating+job inactive`.
    async fn story(&mut self) -> String {
        while let Ok(told) = timeout(Duration::from_millis(200), self.watch.next()).await {
            self.told.push(told);
        }
        let words = self.told.drain(..).map(|told| match told {
            Told::Changed(sign) => short(&sign),
            Told::Began(signs) => format!("[{}]", signs.iter().map(short).collect::<Vec<_>>().join(" ")),
            Told::Lost(_) => "lost".into(),
            Told::ShuttingDown(is_so) => format!("shutdown={is_so}"),
        });
        let mut words: Vec<String> = words.collect();
        words.dedup();
        words.join(" ")
    }
}

fn short(sign: &Sign) -> String {
    format!("{}{}", sign.active, if sign.has_job { "+job" } else { "" })
}

fn is(told: &Told, unit: &str, active: &str) -> bool {
    let fits = |sign: &Sign| sign.unit == unit && sign.active == active && !sign.has_job;
    match told {
        Told::Changed(sign) => fits(sign),
        Told::Began(signs) => signs.iter().any(fits),
        _ => false,
    }
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn an_ordered_stop_is_told_from_every_other_end() {
    let unit = "intent.service";
    start(unit, "ExecStart=sleep infinity");
    let mut witness = Witness::of(&[unit]).await;

    systemctl(&["stop", unit]);
    witness.until_unit(unit, "inactive").await;
    let story = witness.story().await;
    assert!(story.contains("deactivating+job"), "stop: {story}");

    systemctl(&["start", unit]);
    witness.until_unit(unit, "active").await;
    let story = witness.story().await;
    assert!(story.contains("+job"), "start: {story}");

    kill("-KILL", unit);
    witness.until_unit(unit, "failed").await;
    let story = witness.story().await;
    assert!(!story.contains("job"), "kill -9: {story}");

    systemctl(&["start", unit]);
    witness.until_unit(unit, "active").await;
    witness.story().await;
    kill("-TERM", unit);
    witness.until_unit(unit, "inactive").await;
    let story = witness.story().await;
    assert!(!story.contains("job"), "kill -TERM: {story}");

    systemctl(&["start", unit]);
    witness.until_unit(unit, "active").await;
    witness.story().await;
    systemctl(&["restart", unit]);
    witness.until_unit(unit, "active").await;
    let story = witness.story().await;
    let steps: Vec<&str> = story.split(' ').collect();
    assert_eq!(steps.last(), Some(&"active"), "restart: {story}");
    assert!(steps[..steps.len() - 1].iter().all(|step| step.ends_with("+job")), "restart: {story}");

    start("exits.service", "ExecStart=sleep 0.5");
    let mut witness = Witness::of(&["exits.service"]).await;
    witness.until_unit("exits.service", "inactive").await;
    let story = witness.story().await;
    assert!(!story.contains("job"), "exit: {story}");

    start("again.service", "ExecStart=sleep infinity\nRestart=always\nRestartSec=300ms");
    let mut witness = Witness::of(&["again.service"]).await;
    kill("-KILL", "again.service");
    witness.until_unit("again.service", "active").await;
    let first = Told::Changed(Sign {
        unit: "again.service".into(),
        active: "activating".into(),
        sub: "auto-restart".into(),
        has_job: false,
    });
    assert!(witness.told.contains(&first), "Restart=always: {:?}", witness.told);
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn aliases_instances_and_units_that_do_not_exist_yet_are_watched() {
    start("real.service", "ExecStart=sleep infinity\n[Install]\nAlias=alias.service");
    systemctl(&["enable", "--runtime", "real.service"]);
    start("instance@.service", "ExecStart=sleep infinity");
    systemctl(&["start", "instance@a\\x2db.service"]);
    let instance = "instance@a\\x2db.service";
    let mut witness = Witness::of(&["alias.service", instance, "later.service", "later-alias.service"]).await;
    kill("-KILL", "real.service");
    witness.until_unit("alias.service", "failed").await;
    kill("-KILL", instance);
    witness.until_unit(instance, "failed").await;

    start("later.service", "ExecStart=sleep infinity\n[Install]\nAlias=later-alias.service");
    witness.until_unit("later.service", "active").await;
    systemctl(&["enable", "--runtime", "later.service"]);
    witness.until(|told| is(told, "later-alias.service", "active")).await;
    witness.story().await;
    kill("-KILL", "later.service");
    witness.until_unit("later-alias.service", "failed").await;

    // Another set of units: one goes, one stays, one comes.
    start("comes.service", "ExecStart=sleep infinity");
    witness.watch.units(vec!["later.service".into(), "comes.service".into()]);
    witness.until(|told| matches!(told, Told::Began(signs) if signs.len() == 2)).await;
    witness.story().await;
    systemctl(&["start", "real.service"]);
    kill("-KILL", "comes.service");
    witness.until_unit("comes.service", "failed").await;
    assert_eq!(witness.story().await, "failed");
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn a_bus_that_is_restarted_or_missing_is_found_again() {
    let unit = "bus.service";
    start(unit, "ExecStart=sleep infinity");
    let mut witness = Witness::of(&[unit]).await;
    systemctl(&["restart", "dbus.service"]);
    witness.until(|told| is(told, unit, "active")).await;
    assert_eq!(witness.story().await, "lost [active]");
    kill("-KILL", unit);
    witness.until_unit(unit, "failed").await;

    systemctl(&["stop", "dbus.socket", "dbus.service"]);
    witness.until(|told| matches!(told, Told::Lost(_))).await;
    assert_eq!(witness.story().await, "failed lost");
    // Another watch begins quietly, without a bus.
    let mut late = Witness { watch: Watch::spawn(BusAddress::System), told: Vec::new() };
    late.watch.units(vec![unit.into()]);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(late.story().await, "");
    // systemctl talks to systemd without the bus; what happens meanwhile is in the next list.
    systemctl(&["start", unit]);
    systemctl(&["start", "dbus.socket", "dbus.service"]);
    witness.until(|told| is(told, unit, "active")).await;
    late.until(|told| is(told, unit, "active")).await;
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn systemd_may_read_its_units_anew_and_execute_itself_anew() {
    let unit = "anew.service";
    start(unit, "ExecStart=sleep infinity");
    for number in 0..1000 {
        fs::write(
            format!("/run/systemd/system/many{number}.service"),
            "[Service]\nExecStart=true\n[Install]\nWantedBy=many.target\n",
        )
        .unwrap();
    }
    fs::write("/run/systemd/system/many.target", "[Unit]\n").unwrap();
    let mut all: Vec<String> = (0..1000).map(|number| format!("many{number}.service")).collect();
    Command::new("systemctl").args(["enable", "--runtime"]).args(&all).output().unwrap();
    systemctl(&["start", "many.target"]);
    all.push(unit.into());
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut witness = Witness::of(&all).await;
    systemctl(&["daemon-reload"]);
    assert_eq!(witness.story().await, "", "a reload changes no unit");
    kill("-KILL", unit);
    witness.until_unit(unit, "failed").await;

    let mut witness = Witness::of(&[unit]).await;
    systemctl(&["start", unit]);
    witness.until_unit(unit, "active").await;
    witness.story().await;
    systemctl(&["daemon-reexec"]);
    witness.until(|told| is(told, unit, "active")).await;
    assert_eq!(witness.story().await, "lost [active]");
    kill("-KILL", unit);
    witness.until_unit(unit, "failed").await;
    for number in 0..1000 {
        fs::remove_file(format!("/run/systemd/system/many{number}.service")).unwrap();
    }
    systemctl(&["daemon-reload"]);
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn a_bus_that_hangs_delays_and_is_noticed_and_loses_nothing() {
    let unit = "hang.service";
    start(unit, "ExecStart=sleep infinity");
    let bus = Bus::new(BusAddress::System);
    let mut witness = Witness::of(&[unit]).await;
    let daemon = systemctl(&["show", "-P", "MainPID", "dbus.service"]);
    let process = systemctl(&["show", "-P", "MainPID", unit]);
    let signal = |signal, pid: &str| Command::new("kill").args([signal, pid]).status().unwrap();

    signal("-STOP", &daemon);
    signal("-KILL", &process);
    let began = Instant::now();
    let (facts, phase) = bus.inspect(Some(unit)).await;
    assert!(matches!(facts, Some(Err(_))) && phase == SystemPhase::Unknown);
    assert!(bus.units(&[unit], Duration::from_secs(3)).await.is_err());
    let end = bus.act(UnitCall::Start, unit, None).await;
    assert!(matches!(end, HealEnd::Cancelled(_)), "{end:?}");
    // By itself a call to a bus that hangs never ends.
    assert!(began.elapsed() < SOON, "each at most 5 s: {:?}", began.elapsed());
    witness.until(|told| matches!(told, Told::Lost(_))).await;
    signal("-CONT", &daemon);
    witness.until(|told| is(told, unit, "failed")).await;

    // Short enough not to be noticed: late, and in order.
    systemctl(&["start", unit]);
    witness.until_unit(unit, "active").await;
    witness.story().await;
    let process = systemctl(&["show", "-P", "MainPID", unit]);
    signal("-STOP", &daemon);
    signal("-KILL", &process);
    sleep(Duration::from_secs(2)).await;
    signal("-CONT", &daemon);
    witness.until_unit(unit, "failed").await;
    assert_eq!(witness.story().await, "failed");
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn a_killed_main_process_is_told_within_milliseconds() {
    let unit = "latency.service";
    start(unit, "ExecStart=sleep infinity\n[Unit]\nStartLimitIntervalSec=0");
    let mut witness = Witness::of(&[unit]).await;
    let mut took = Vec::new();
    for _ in 0..100 {
        let process = systemctl(&["show", "-P", "MainPID", unit]).parse().unwrap();
        let process = rustix::process::Pid::from_raw(process).unwrap();
        let began = Instant::now();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        witness.until_unit(unit, "failed").await;
        took.push(began.elapsed());
        systemctl(&["start", unit]);
        witness.until_unit(unit, "active").await;
    }
    took.sort_unstable();
    println!(
        "figure kill -9 until told: median {:.1?}, p95 {:.1?}, worst {:.1?}",
        took[50], took[95], took[99]
    );
    // A machine that is busy is no reason to fail. A mechanism that is gone is: nothing else asks sooner than in 10 s.
    assert!(took[95] < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn a_running_unit_is_restarted_a_failed_one_started_and_a_stopped_one_left_alone() {
    let unit = "act.service";
    start(unit, "ExecStart=sleep infinity\nExecReload=true");
    let bus = Bus::new(BusAddress::System);
    let invocation = async || bus.inspect(Some(unit)).await.0.unwrap().unwrap().invocation;

    let before = invocation().await;
    assert_eq!(bus.act(UnitCall::TryRestart, unit, None).await, HealEnd::Done);
    assert_ne!(invocation().await, before);
    assert_eq!(bus.act(UnitCall::Reload, unit, None).await, HealEnd::Done);
    cancelled(bus.act(UnitCall::Start, unit, None).await, "was running already");

    kill("-KILL", unit);
    until_active(unit, "failed").await;
    cancelled(bus.act(UnitCall::TryRestart, unit, None).await, "was not running");
    assert_eq!(systemctl(&["is-active", unit]), "failed");
    assert_eq!(bus.act(UnitCall::Start, unit, None).await, HealEnd::Done);
    assert_eq!(systemctl(&["is-active", unit]), "active");

    systemctl(&["stop", unit]);
    cancelled(bus.act(UnitCall::TryRestart, unit, None).await, "was not running");
    cancelled(bus.act(UnitCall::Reload, unit, None).await, "was not running");
    assert_eq!(systemctl(&["is-active", unit]), "inactive");

    start("oneshot.service", "Type=oneshot\nExecStart=true");
    assert_eq!(bus.act(UnitCall::Start, "oneshot.service", None).await, HealEnd::Done);
    start("condition.service", "ExecStart=sleep infinity\n[Unit]\nConditionPathExists=/nowhere");
    failed(bus.act(UnitCall::Start, "condition.service", None).await, "Condition");
    start("assert.service", "ExecStart=sleep infinity\n[Unit]\nAssertPathExists=/nowhere");
    failed(bus.act(UnitCall::Start, "assert.service", None).await, "Assert");
    start("exec.service", "Type=exec\nExecStart=/nowhere");
    failed(bus.act(UnitCall::Start, "exec.service", None).await, "failed (exit-code)");
    start("needs.service", "ExecStart=sleep infinity\n[Unit]\nRequires=exec.service\nAfter=exec.service");
    failed(bus.act(UnitCall::Start, "needs.service", None).await, "requires failed");
    start("refuses.service", "ExecStart=sleep infinity\n[Unit]\nRefuseManualStart=yes");
    failed(bus.act(UnitCall::Start, "refuses.service", None).await, "dependency only");
    failed(bus.act(UnitCall::Start, "missing.service", None).await, "missing.service not found");
    systemctl(&["mask", "--runtime", "masked.service"]);
    failed(bus.act(UnitCall::Start, "masked.service", None).await, "is masked");
}

fn cancelled(end: HealEnd, words: &str) {
    assert!(matches!(&end, HealEnd::Cancelled(why) if why.contains(words)), "{end:?}, and not {words}");
}

fn failed(end: HealEnd, words: &str) {
    assert!(matches!(&end, HealEnd::Failed(why) if why.contains(words)), "{end:?}, and not {words}");
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn the_start_limit_is_told_by_its_name() {
    let unit = "limit.service";
    start(unit, "ExecStart=sleep infinity\n[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=60");
    let bus = Bus::new(BusAddress::System);
    let facts = bus.inspect(Some(unit)).await.0.unwrap().unwrap();
    assert_eq!(facts.start_limit, Some((2, Duration::from_secs(60))));
    assert_eq!(bus.act(UnitCall::TryRestart, unit, None).await, HealEnd::Done);
    failed(bus.act(UnitCall::TryRestart, unit, None).await, "more than 2 starts within 1m");
    assert_eq!(bus.act(UnitCall::Start, unit, None).await, HealEnd::Done);
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn a_slow_stop_is_awaited_and_an_administrators_order_goes_first() {
    let unit = "slow.service";
    // It ends when it is killed below: a look that waited for our act would wait for ever.
    start_stubborn(unit, "infinity").await;
    let bus = Bus::new(BusAddress::System);
    let restart = bus.act(UnitCall::TryRestart, unit, None);
    let looks = async {
        until_active(unit, "deactivating").await;
        let facts = bus.inspect(Some(unit)).await.0.unwrap().unwrap();
        let states = bus.units(&[unit], SOON).await.unwrap();
        kill("-KILL", unit);
        (facts.active, facts.job, states[0].active.clone())
    };
    let (end, look) = tokio::join!(restart, looks);
    assert_eq!(end, HealEnd::Done);
    assert_eq!(look, ("deactivating".into(), Some("restart".into()), "deactivating".into()));

    // An administrator stops it while our restart is under way.
    until_stubborn(unit).await;
    let stop = async {
        until_active(unit, "deactivating").await;
        systemctl(&["stop", "--no-block", unit]);
    };
    let (end, ()) = tokio::join!(bus.act(UnitCall::TryRestart, unit, None), stop);
    cancelled(end, "systemctl stop");
    // And we come while his stop is under way.
    cancelled(bus.act(UnitCall::TryRestart, unit, None).await, "was not running");
    cancelled(bus.act(UnitCall::Start, unit, None).await, "goes first");
    kill("-KILL", unit);
    until_active(unit, "failed").await;
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn a_restart_whose_bus_goes_away_is_found_out_about() {
    let unit = "orphan.service";
    start_stubborn(unit, "infinity").await;
    let bus = Bus::new(BusAddress::System);
    for words in [["restart", "dbus.service"], ["daemon-reexec", "--no-pager"]] {
        let trouble = async {
            until_active(unit, "deactivating").await;
            systemctl(&words);
            kill("-KILL", unit);
        };
        let (end, ()) = tokio::join!(bus.act(UnitCall::TryRestart, unit, None), trouble);
        assert_eq!(end, HealEnd::Done, "{words:?}");
        until_stubborn(unit).await;
    }
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn asking_for_permission_restarts_nothing() {
    let unit = "asked.service";
    start(unit, "ExecStart=sleep infinity");
    let bus = Bus::new(BusAddress::System);
    let before = bus.inspect(Some(unit)).await.0.unwrap().unwrap();
    assert_eq!(bus.may_heal(UnitCall::TryRestart, unit).await, Permission::Given);
    let after = bus.inspect(Some(unit)).await.0.unwrap().unwrap();
    assert_eq!((after.invocation, after.job), (before.invocation, None));
    for load in ["masked", "missing"] {
        systemctl(&["mask", "--runtime", "masked.service"]);
        assert_eq!(
            bus.may_heal(UnitCall::TryRestart, &format!("{load}.service")).await,
            Permission::Given,
            "{load} is another matter"
        );
    }
}

#[tokio::test]
#[ignore = "needs a machine of its own"]
async fn who_may_not_is_told_so_and_what_to_do() {
    let unit = "permission.service";
    start(unit, "ExecStart=sleep infinity\nExecReload=true");
    let has_polkit = fs::exists("/usr/lib/polkit-1/polkitd").unwrap();
    let cure = if has_polkit { "wellkeep privileges" } else { "install polkitd" };
    as_nobody("child_without_permission", cure);
    if !has_polkit {
        println!("skipped the permitted half, because polkitd is not installed");
        return;
    }
    let rule = r#"polkit.addRule(function(action, subject) {
        var verbs = ["start", "try-restart", "reload", "reset-failed"];
        if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "nobody" &&
            action.lookup("unit") == "permission.service" && verbs.indexOf(action.lookup("verb")) >= 0)
            return polkit.Result.YES;
    });"#;
    fs::write("/etc/polkit-1/rules.d/50-test.rules", rule).unwrap();
    as_nobody("child_with_permission", "");
    fs::remove_file("/etc/polkit-1/rules.d/50-test.rules").unwrap();
}

/// Runs another test of this file as a user without rights.
fn as_nobody(test: &str, cure: &str) {
    let itself = std::env::current_exe().unwrap();
    let ended = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(itself)
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("CURE", cure)
        .status();
    assert!(ended.unwrap().success(), "{test}");
}

#[tokio::test]
#[ignore = "run by another test"]
async fn child_without_permission() {
    let Ok(cure) = std::env::var("CURE") else { return };
    let (bus, unit) = (Bus::new(BusAddress::System), "permission.service");
    let answer = bus.may_heal(UnitCall::TryRestart, unit).await;
    assert!(matches!(&answer, Permission::Refused(why) if why.contains(&cure)), "{answer:?}");
    for call in [UnitCall::TryRestart, UnitCall::Reload, UnitCall::Start] {
        let end = bus.act(call, unit, None).await;
        assert!(matches!(&end, HealEnd::Forbidden(why) if why.contains(&cure)), "{end:?}");
    }
    // Looking is for everybody.
    let (facts, phase) = bus.inspect(Some(unit)).await;
    let facts = facts.unwrap().unwrap();
    assert_eq!((facts.active.as_str(), phase), ("active", SystemPhase::Running));
    assert!(facts.running_for.is_some() && facts.invocation.is_some() && facts.start_limit.is_some());
}

#[tokio::test]
#[ignore = "run by another test"]
async fn child_with_permission() {
    if std::env::var_os("CURE").is_none() {
        return;
    }
    let (bus, unit) = (Bus::new(BusAddress::System), "permission.service");
    // polkit reads a new rule in its own time.
    let given = async {
        while bus.may_heal(UnitCall::TryRestart, unit).await != Permission::Given {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(SOON, given).await.is_ok(), "the rule is never in force");
    assert_eq!(bus.may_heal(UnitCall::Reload, unit).await, Permission::Given);
    assert_eq!(bus.act(UnitCall::TryRestart, unit, None).await, HealEnd::Done);
    assert_eq!(bus.act(UnitCall::Reload, unit, None).await, HealEnd::Done);
    assert!(matches!(bus.may_heal(UnitCall::TryRestart, "other.service").await, Permission::Refused(_)));
}

#[tokio::test]
#[ignore = "ends the machine: run it alone, by its name"]
async fn last_the_shutdown_is_told() {
    start(
        "lingers.service",
        "ExecStart=bash -c 'trap \"\" TERM; while :; do sleep 1; done'\nTimeoutStopSec=600",
    );
    let mut witness = Witness::of(&["lingers.service"]).await;
    systemctl(&["poweroff", "--no-block"]);
    witness.until(|told| *told == Told::ShuttingDown(true)).await;
}
