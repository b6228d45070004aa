//! What the page may have to show: for each a document, how old it is, and the headline that it must get.

use serde_json::{Value, json};

use super::{all_well, every_state, with_uptime};

/// One of them.
pub(crate) struct Situation {
    pub(crate) name: &'static str,
    pub(crate) document: Value,
    /// Its age in seconds; none where the viewer does not answer any more after the first time.
    pub(crate) age: Option<u64>,
    pub(crate) headline: &'static str,
}

impl Situation {
    /// Whether the page may have anything green.
    pub(crate) fn is_believed(&self) -> bool {
        self.document["stale"] != true && self.age.is_some()
    }
}

pub(crate) fn all() -> Vec<Situation> {
    let fresh =
        |name, document, headline| Situation { name, document: told(document), age: Some(1), headline };
    let old = |name, kind: &str, reason: &str, headline| {
        let mut document = with_uptime(every_state());
        document["stale"] = json!(true);
        document["viewer"] = json!({"data": kind, "reason": reason, "version": "0.1.0"});
        Situation { name, document, age: Some(190), headline }
    };
    let none = json!({"stale": true, "services": {}, "total": 0, "viewer": {"data": "none",
        "reason": "/var/lib/wellkeep/status.json does not exist: no monitor has written here yet"}});
    vec![
        fresh("well", with_uptime(all_well()), "All 4 services are well"),
        fresh("every-state", with_uptime(every_state()), "3 of 12 services have an issue"),
        fresh("one-down", with_one("checkout"), "1 of 5 services has an issue"),
        fresh("main-down", main_down(), "Main service down: Flask Web"),
        fresh("main-stopped", main_stopped(), "Main service stopped: Flask Web"),
        fresh("held", with_one("import"), "All 4 running services are well"),
        fresh("observed", observed(), "1 of 5 services has an issue"),
        fresh("unstable", with_one("worker"), "1 of 5 services has an issue"),
        fresh("needs-you", needs_you(), "1 of 5 services has an issue"),
        fresh("mistyped", mistyped(), "1 of 5 services has an issue"),
        fresh("public", public(with_uptime(every_state())), "3 of 12 services have an issue"),
        fresh("many", many(), "3 of 40 services have an issue"),
        fresh("empty", empty(), "No services configured"),
        fresh("config-error", wrong_config(), "All 4 services are well"),
        Situation { name: "live", document: live(), age: Some(1), headline: "All 4 services are well" },
        old(
            "stale",
            "stale",
            "the monitor has written nothing since 2026-11-23T09:00:02Z: it died, hangs, or cannot write",
            "The monitor has stopped reporting",
        ),
        old(
            "monitor-stopped",
            "stopped",
            "the monitor was stopped at 2026-11-23T09:00:02Z",
            "The monitor was stopped",
        ),
        old(
            "earlier-boot",
            "earlier_boot",
            "these figures are of 2026-11-23T09:00:02Z, before this machine was started: no monitor has written since",
            "The data is from before the last reboot",
        ),
        Situation { name: "missing", document: none, age: Some(0), headline: "There is no data" },
        Situation {
            name: "lost",
            document: told(with_uptime(every_state())),
            age: None,
            headline: "No connection to Wellkeep",
        },
    ]
}

/// The viewer vouches for it.
fn told(mut document: Value) -> Value {
    document["stale"] = json!(false);
    document["viewer"] = json!({"data": "fresh", "version": "0.1.0"});
    document
}

/// What is well, and one more.
fn with_one(key: &str) -> Value {
    let mut document = every_state();
    let keep = |service: &Value| service["state"] == "up" || service["key"] == key;
    document["services"].as_object_mut().expect("services").retain(|_, service| keep(service));
    with_uptime(document)
}

fn main_down() -> Value {
    let mut document = with_uptime(all_well());
    let main = &mut document["services"]["flask_web"];
    let checkout = every_state()["services"]["checkout"].clone();
    for field in ["state", "ok", "since", "reason", "http", "incident", "consecutive_failures"] {
        main[field] = checkout[field].clone();
    }
    main["heal"]["phase"] = json!("verifying");
    main["heal"]["next_at"] = json!("2026-11-23T09:00:44Z");
    document
}

fn main_stopped() -> Value {
    let mut document = with_uptime(all_well());
    document["services"]["flask_web"]["state"] = json!("stopped");
    document["services"]["flask_web"]["ok"] = json!(false);
    document
}

fn observed() -> Value {
    let mut document = with_one("checkout");
    document["services"]["checkout"]["heal"]["mode"] = json!("observe");
    document
}

fn needs_you() -> Value {
    let mut document = with_one("checkout");
    let heal = &mut document["services"]["checkout"]["heal"];
    heal["heals_within_an_hour"] = json!(5);
    heal["why_not"] = json!("its budget of 5 heals an hour is used up; one trial an hour");
    heal["next_at"] = json!("2026-11-23T09:46:02Z");
    document
}

/// The name of its unit is wrong, so that there is nothing to count down to.
fn mistyped() -> Value {
    let mut document = with_one("checkout");
    let service = document["services"]["checkout"].as_object_mut().expect("a service");
    service.insert("reason".to_owned(), json!("systemd: chekcout.service does not exist"));
    service.retain(|field, _| !["http", "port", "process"].contains(&field.as_str()));
    service["systemd"] = json!({"ok": false, "outcome": "fail", "unit": "chekcout.service", "state": "inactive",
        "sub_state": "dead", "load_state": "not-found", "reason": "chekcout.service does not exist"});
    let heal = service["heal"].as_object_mut().expect("healing");
    heal.retain(|field, _| !["next", "last"].contains(&field.as_str()));
    heal.insert("heals_within_an_hour".to_owned(), json!(0));
    heal.insert("why_not".to_owned(), json!("its unit does not exist (any more)"));
    service["incident"]["heals"] = json!([]);
    document
}

/// What is left where the details are not for everybody.
pub(crate) fn public(mut document: Value) -> Value {
    let kept = ["key", "name", "ok", "state", "since", "group", "primary", "last_checked", "uptime"];
    for service in document["services"].as_object_mut().expect("services").values_mut() {
        service.as_object_mut().expect("a service").retain(|field, _| kept.contains(&field.as_str()));
    }
    let fields = document.as_object_mut().expect("a document");
    fields.retain(|field, _| !["host", "monitor", "boot_id", "sequence"].contains(&field.as_str()));
    document
}

/// Enough to be searched, in groups.
fn many() -> Value {
    let mut document = every_state();
    for number in 0..28 {
        let mut service = document["services"]["redis"].clone();
        service["name"] = json!(format!("Worker {number}"));
        service["group"] = json!(if number % 2 == 0 { "Frankfurt" } else { "Paris" });
        document["services"][format!("more_{number}")] = service;
    }
    with_uptime(document)
}

fn empty() -> Value {
    let mut document = all_well();
    document["services"] = json!({});
    document
}

fn wrong_config() -> Value {
    let mut document = with_uptime(all_well());
    document["monitor"]["config"]["error"] =
        json!("/etc/wellkeep/monitor.yml:14:5: unknown key `prot`; did you mean `port`?");
    document["monitor"]["cannot_heal"] =
        json!("user wellkeep may not restart units, as polkitd is not installed: apt install polkitd");
    document
}

fn live() -> Value {
    let mut document = all_well();
    document["mode"] = json!("live_checks");
    document["stale"] = json!(false);
    document["viewer"] = json!({"data": "live", "version": "0.1.0",
        "reason": "/var/lib/wellkeep/status.json does not exist; the viewer looked for itself"});
    document
}
