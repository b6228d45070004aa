//! The commands with which a person asks about healing and steers it, on a state directory made by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use wellkeep::status::{Timestamp, write};

/// A state directory with a document, without a monitor.
struct Place {
    folder: tempfile::TempDir,
    /// Seconds since 1970 when it was made.
    now: i64,
}

impl Place {
    /// With these services; what one does not say is that of one that is up.
    fn with(services: Value) -> Place {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let place = Place { folder: tempfile::tempdir().unwrap(), now };
        place.show(&place.document(services));
        place
    }

    fn document(&self, services: Value) -> Value {
        let at = self.at(0);
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let services = services.as_object().unwrap().iter().map(|(key, given)| {
            let mut service = json!({"key": key, "name": key, "ok": true, "state": "up", "since": self.at(-60),
                "consecutive_failures": 0, "last_checked": at, "next_check": self.at(10)});
            service.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            (key.clone(), service)
        });
        json!({
            "schema": 1, "mode": "production_monitoring", "overall": "up", "ok_count": 0, "fail_count": 0, "total": 1,
            "generated_at": at, "sequence": 1, "boot_id": boot_id.trim(), "stale_after_s": 15,
            "host": {"name": "web1", "uptime_s": 1, "cpus": 1, "load": [0.0, 0.0, 0.0],
                "memory_total_bytes": 1, "memory_available_bytes": 1},
            "monitor": {"state": "running", "version": "0.1.0", "pid": 1, "started_at": self.at(-3600),
                "config": {"path": "/etc/wellkeep/monitor.yml", "loaded_at": self.at(-3600)}},
            "services": services.collect::<serde_json::Map<String, Value>>(),
        })
    }

    fn show(&self, document: &Value) {
        write::replace(&self.path("status.json"), document.to_string().as_bytes()).unwrap();
    }

    /// So many seconds from the start of the test.
    fn at(&self, seconds: i64) -> String {
        Timestamp::from_millis((self.now + seconds) * 1000).to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// An incident of `web` that began so many seconds ago.
    fn incident(&self, id: &str, ago: i64, more: Value) -> Value {
        let mut incident = json!({"id": id, "service": "web", "began": self.at(-ago), "detected": self.at(5 - ago),
            "cause": "http: answered 503"});
        incident.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.put(&format!("incidents/{id}/incident.json"), incident.to_string());
        incident
    }

    fn ledger(&self, entries: &[Value]) {
        let lines: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        self.put("ledger.jsonl", lines);
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellkeep"));
        command.args(arguments).env("WELLKEEP_STATUS_FILE", self.path("status.json"));
        command.env("NO_COLOR", "1").env("SUDO_USER", "ada").env_remove("WELLKEEP_STATE_DIR");
        Said::of(&command.output().unwrap())
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    fn assert(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let all = format!("{}{}", self.out, self.err);
        let mut rest = all.as_str();
        for part in parts {
            let place = rest.find(part);
            assert!(place.is_some(), "{part:?} is missing, or not in this place:\n{all}");
            rest = &rest[place.unwrap() + part.len()..];
        }
    }
}

fn healing(more: Value) -> Value {
    let mut heal = json!({"mode": "act", "steps": ["restart"], "heals_within_an_hour": 1, "budget": 5,
        "phase": "waiting"});
    heal.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    heal
}

#[test]
fn why_tells_the_state_the_chain_what_was_done_and_what_comes_next() {
    let place = Place::with(json!({}));
    let id = "20261123T120103Z-web";
    let heals = json!([{"at": place.at(-90), "step": "restart", "attempt": 1, "result": "failed"}]);
    let incident = place.incident(id, 100, json!({ "heals": heals }));
    place.show(&place.document(json!({
        "web": {"name": "Shop", "state": "blocked", "ok": false, "reason": "http: answered 503", "depends_on": ["app"],
            "heal": healing(json!({})), "incident": incident},
        "app": {"state": "blocked", "ok": false, "depends_on": ["postgres"]},
        "postgres": {"state": "down", "ok": false, "reason": "port: connection refused"},
    })));
    let entry = |ago: i64, service: Option<&str>, incident: Option<&str>, decision: &str, words: &str| json!({"at": place.at(-ago), "service": service, "incident": incident, "decision": decision, "words": words});
    place.ledger(&[
        entry(500, Some("web"), Some("another"), "opened", "an earlier one"),
        entry(95, Some("web"), Some(id), "opened", "down: http: answered 503"),
        entry(90, Some("web"), Some(id), "heal", "restart, the first of 5"),
        entry(80, None, None, "wait", "3 services are down at once"),
        entry(70, Some("other"), None, "heal", "somebody else's"),
        entry(30, Some("web"), Some(id), "heal_failed", "web was not well within 60 s"),
    ]);
    let said = place.run(&["why", "web"]);
    said.assert(
        1,
        &[
            "web is BLOCKED (Shop) since",
            "http: answered 503",
            "web needs app, which is blocked since",
            "app needs postgres, which is down since",
            "port: connection refused",
            "This incident: began",
            "found after 5s",
            "cause: http: answered 503",
            "found        down\n",
            "restart, the first of 5",
            "the whole host: 3 services are down at once",
            "web was not well within 60 s",
            "sudo wellkeep history web --evidence 20261123T120103Z-web",
            "What comes next",
            "Not healed: app, which it needs, is blocked since",
            "looked at again when app is up.",
        ],
    );
    assert!(!said.out.contains("earlier") && !said.out.contains("somebody else"), "{}", said.out);

    let told = place.run(&["why", "web", "--json"]);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told["ledger"].as_array().unwrap().len(), 4);
    assert_eq!((&told["freshness"], &told["incident"]["id"]), (&json!("fresh"), &json!(id)));
}

#[test]
fn why_tells_what_was_decided_after_the_last_incident() {
    let place = Place::with(json!({"web": {"state": "stopped", "ok": false, "reason": "systemd: stopped"}}));
    place.incident("1-web", 7200, json!({"ended": place.at(-7000), "outcome": "well again without a heal"}));
    let entry = |ago: i64, incident: Option<&str>, decision: &str, words: &str| json!({"at": place.at(-ago), "service": "web", "incident": incident, "decision": decision, "words": words});
    place.ledger(&[
        entry(7000, Some("1-web"), "closed", "well again without a heal"),
        entry(60, None, "refuse", "not restarted: systemd: stopped"),
    ]);
    place.run(&["why", "web"]).assert(
        1,
        &["The last incident", "ended", "Decided since", "no heal", "not restarted: systemd: stopped"],
    );
}

#[test]
fn why_of_a_service_without_healing_says_what_to_write() {
    let unit = json!({"ok": false, "outcome": "fail", "unit": "web.service", "state": "failed"});
    let place = Place::with(json!({"web": {"state": "down", "ok": false, "systemd": unit}}));
    place.run(&["why", "web"]).assert(
        1,
        &[
            "No incident is on record.",
            "healing is off",
            "/etc/wellkeep/monitor.yml below `- key: web`",
            "heal: restart",
            "sudo systemctl reload wellkeep-monitor",
        ],
    );
}

#[test]
fn why_says_first_that_the_document_is_stale_and_claims_no_next_step() {
    let place = Place::with(json!({}));
    let mut document = place.document(json!({"web": {"heal": healing(json!({"phase": "acting"}))}}));
    document["generated_at"] = json!(place.at(-60));
    place.show(&document);
    let said = place.run(&["why", "web"]);
    assert!(said.out.starts_with("STALE: the monitor has not written for"), "{}", said.out);
    said.assert(2, &["web was UP", "Nothing is known: no monitor is at work."]);
    assert!(!said.out.contains("restarting"), "{}", said.out);
    fs::remove_file(place.path("status.json")).unwrap();
    place.run(&["why", "web"]).assert(2, &["does not exist", "systemctl start wellkeep-monitor"]);
}

#[test]
fn why_without_a_key_has_a_line_for_each_that_is_not_well() {
    let hold = json!({"since": "2026-11-23T00:00:00Z", "until": "2126-11-23T00:00:00Z", "by": "ada", "reason": "deploy"});
    let place = Place::with(json!({"a": {}, "b": {"state": "held", "hold": hold},
        "c": {"state": "down", "ok": false, "reason": "port: refused", "heal": healing(json!({"why_not": "x"}))}}));
    let said = place.run(&["why"]);
    said.assert(1, &["c is DOWN for 1m", ": port: refused; not healed: x\n", "b is HELD", "deploy\n"]);
    assert_eq!(said.out.lines().count(), 2, "{}", said.out);
    Place::with(json!({"a": {}})).run(&["why"]).assert(0, &["Nothing is wrong: 1 of 1 services are up."]);
}

#[test]
fn why_without_a_key_is_no_all_clear_from_a_monitor_that_is_dead() {
    let place = Place::with(json!({}));
    let show = |services| {
        let mut document = place.document(services);
        document["generated_at"] = json!(place.at(-60));
        place.show(&document);
        place.run(&["why"])
    };
    let well = show(json!({"a": {}, "b": {}}));
    well.assert(2, &["STALE: the monitor has not written for", "Last known: 2 of 2 services were up."]);
    assert!(!well.out.contains("Nothing is wrong"), "{}", well.out);
    let ill = show(json!({"c": {"state": "down", "ok": false, "reason": "port: refused",
        "heal": healing(json!({"phase": "acting"}))}}));
    ill.assert(2, &["c was DOWN", ": port: refused\n"]);
    assert!(!ill.out.contains("restarting"), "{}", ill.out);
}

#[test]
fn a_key_that_nobody_knows_is_answered_with_the_nearest() {
    let place = Place::with(json!({}));
    let mut document = place.document(json!({"shop_web": {}, "postgres": {}}));
    // `wait` believes only a document that was made since it began: one before may be of another configuration.
    document["generated_at"] = json!(place.at(5));
    place.show(&document);
    for command in [&["why"][..], &["hold"], &["restart"], &["wait"], &["history"]] {
        let said = place.run(&[command, &["shop_wbe"]].concat());
        said.assert(2, &[r#"there is no service "shop_wbe"; did you mean "shop_web"?"#]);
    }
    assert!(!place.path("holds").exists(), "nothing was held");
}

#[test]
fn history_tells_the_incidents_newest_first_with_the_paths_of_their_evidence() {
    let place = Place::with(json!({"web": {}}));
    place.run(&["history", "web"]).assert(0, &["No incident is on record."]);
    let heals = json!([{"at": place.at(-7100), "step": "restart", "attempt": 1, "result": "healed"}]);
    let ended = json!({"ended": place.at(-7000), "outcome": "well again after a restart", "heals": heals});
    place.incident("1-web", 7200, ended);
    place.incident("2-web", 100, json!({}));
    place.put("incidents/1-web/evidence-1.txt", "state: D\n\x1b[31mred\n");
    place.put("incidents/1-web/hook-1.txt", "fixed\n");
    place.run(&["history", "web"]).assert(
        0,
        &[
            "web  2-web",
            "still open",
            "web  1-web",
            "found     after 5s",
            "lasted    3m 20s",
            "cause     http: answered 503",
            "restart: it helped",
            "outcome   well again after a restart",
            "incidents/1-web/evidence-1.txt",
            "incidents/1-web/hook-1.txt",
        ],
    );
    let one = place.run(&["history", "-n", "1"]);
    assert!(one.out.contains("2-web") && !one.out.contains("1-web"), "{}", one.out);
    let told: Value = serde_json::from_str(&place.run(&["history", "web", "--json"]).out).unwrap();
    assert_eq!(told[1]["evidence"].as_array().unwrap().len(), 2);

    let evidence = place.run(&["history", "web", "--evidence", "1-web"]);
    evidence.assert(0, &["evidence-1.txt", "state: D", "hook-1.txt", "fixed"]);
    assert!(!evidence.out.contains('\x1b'), "a log line must not drive the terminal: {:?}", evidence.out);
    place.run(&["history", "web", "--evidence"]).assert(0, &["Nothing was done in the incident 2-web"]);
    place
        .run(&["history", "web", "--evidence", "../.."])
        .assert(2, &["there is no incident", "the latest is 2-web"]);
}

#[test]
fn without_the_right_to_read_incidents_history_says_to_use_sudo() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped, because only root can become somebody else");
        return;
    }
    let place = Place::with(json!({"web": {}}));
    place.incident("1-web", 100, json!({}));
    let mode =
        |name: &str, mode| fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    mode("", 0o755);
    mode("incidents/1-web", 0o750);
    let program = place.path("wellkeep");
    fs::copy(env!("CARGO_BIN_EXE_wellkeep"), &program).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).arg("--status-file").arg(place.path("status.json")).uid(65534).gid(65534);
        Said::of(&command.env("NO_COLOR", "1").output().unwrap())
    };
    as_nobody(&["history", "web"]).assert(2, &["incidents cannot be read", "run it with sudo"]);
    as_nobody(&["hold", "web"]).assert(2, &["holds", "run it with sudo"]);
}

/// A monitor of holds alone: every 50 ms it shows the holds that it finds, until it is told to end.
fn monitor_of_holds(place: &Place, end: &AtomicBool) {
    while !end.load(Ordering::SeqCst) {
        let read = |name: &str| {
            let bytes = fs::read(place.path(&format!("holds/{name}.json"))).ok()?;
            serde_json::from_slice::<Value>(&bytes).ok()
        };
        let of = |key: &str| match read(key).or_else(|| read("@all")) {
            Some(hold) => json!({"state": "held", "hold": hold}),
            None => json!({}),
        };
        place.show(&place.document(json!({"web": of("web"), "db": of("db")})));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_hold_is_reported_once_the_monitor_shows_it_and_released_again() {
    let place = Place::with(json!({"web": {}, "db": {}}));
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| monitor_of_holds(&place, &end));
        let held = place.run(&["hold", "web", "--for", "20m", "--reason", "deploy"]);
        let listed = place.run(&["hold"]);
        let table = place.run(&["status"]);
        let again = place.run(&["hold", "web", "--for", "5m"]);
        let all = place.run(&["hold", "--all"]);
        let released =
            [&["release", "web"][..], &["release", "web"], &["release", "--all"], &["release", "web"]]
                .map(|arguments| place.run(arguments));
        end.store(true, Ordering::SeqCst);

        held.assert(0, &["web is on hold until", "(20m)", "wellkeep release web"]);
        listed.assert(0, &["web until", "by ada: deploy"]);
        table.assert(0, &["HELD", "held until", "deploy"]);
        again.assert(0, &["(5m)"]);
        all.assert(0, &["every service is on hold", "(10m)", "wellkeep release --all"]);
        let [first, under_all, of_all, nothing] = released;
        first.assert(0, &["web is released."]);
        under_all.assert(0, &["web is held with all services", "wellkeep release --all"]);
        of_all.assert(0, &["every service is released."]);
        nothing.assert(0, &["web was not on hold."]);
    });
    place.run(&["hold"]).assert(0, &["Nothing is on hold."]);
}

#[test]
fn a_hold_that_no_monitor_takes_is_no_success() {
    let place = Place::with(json!({}));
    let mut document = place.document(json!({"web": {}}));
    document["monitor"]["state"] = json!("stopped");
    place.show(&document);
    place.run(&["hold", "web"]).assert(2, &["was written, but no monitor has taken it"]);
    assert!(place.path("holds/web.json").exists(), "the next monitor will");
    place.run(&["hold", "web", "--for", "25h"]).assert(2, &["24 h at the latest"]);
    place.run(&["release"]).assert(2, &["--all"]);
}

#[test]
fn wait_does_not_take_an_old_up_for_an_answer() {
    let place = Place::with(json!({"web": {}}));
    let said = place.run(&["wait", "web", "--up", "--timeout", "300ms"]);
    said.assert(
        1,
        &["web is not up after 300ms: status.json tells of no look at it that began since (before: up since"],
    );
}

#[test]
fn wait_ends_with_the_first_look_that_began_after_it_did() {
    let place = Place::with(json!({"web": {"state": "down", "ok": false}}));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| place.run(&["wait", "web", "--timeout", "20s"]));
        // Each second a document, in which a look has just ended; from the third on it is up.
        for second in 1..=5 {
            std::thread::sleep(Duration::from_millis(400));
            let state = if second < 3 { json!({"state": "down", "ok": false}) } else { json!({}) };
            let mut document = place.document(json!({"web": state}));
            document["generated_at"] = json!(place.at(1 + second));
            document["services"]["web"]["last_checked"] = json!(place.at(1 + second));
            place.show(&document);
        }
        waiting.join().unwrap().assert(0, &["web is up after"]);
    });
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn wait_says_why_it_is_not_there_and_ends_with_2_when_nobody_can_tell() {
    let place = Place::with(json!({}));
    let mut document =
        place.document(json!({"web": {"state": "down", "ok": false, "reason": "port: refused"}}));
    document["generated_at"] = json!(place.at(2));
    document["monitor"]["started_at"] = json!(place.at(1));
    place.show(&document);
    let said = place.run(&["wait", "web", "--up", "--timeout", "1500ms"]);
    said.assert(1, &["web is not up after 1s 500ms: down since", "port: refused"]);
    document["monitor"]["state"] = json!("stopped");
    place.show(&document);
    place
        .run(&["wait", "web", "--timeout", "200ms"])
        .assert(2, &["nobody can tell whether web is up", "STALE"]);
    fs::remove_file(place.path("status.json")).unwrap();
    place.run(&["wait", "web", "--timeout", "200ms"]).assert(2, &["does not exist"]);
    place.run(&["wait", "web", "--state", "fine"]).assert(2, &["write up, down, degraded"]);
}

#[test]
fn status_tells_what_is_done_and_that_nothing_can_be_done() {
    let place = Place::with(json!({}));
    let at = place.at(3600);
    let heal = healing(json!({"next": "restart", "next_at": at}));
    let mut document = place
        .document(json!({"web": {"state": "down", "ok": false, "reason": "port: refused", "heal": heal}}));
    document["monitor"]["cannot_heal"] = json!("polkitd is not installed");
    place.show(&document);
    place
        .run(&["status"])
        .assert(1, &["Nothing can be healed here: polkitd is not installed", "refused", "restart 2 of 5 in"]);
}

#[test]
fn every_command_has_examples() {
    let place = Place::with(json!({}));
    for command in ["why", "history", "hold", "release", "restart", "wait"] {
        place.run(&[command, "--help"]).assert(0, &["Examples:", "Exit codes:"]);
    }
}
