//! `/metrics`, and what is shipped to be used with it: rules, scrape configuration, dashboard.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;
#[path = "viewer/stage.rs"]
#[allow(dead_code, reason = "written for the tests of the viewer, which use all of it")]
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use stage::{BOOT, Running, Stage};
use wellkeep::viewer::{LiveChecks, Options, Viewer};

const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// A document of this moment with a service in every state, and something of everything that there are metrics of.
fn every_state() -> Value {
    let mut document: Value = serde_json::from_str(include_str!("widget/every-state.json")).unwrap();
    document["generated_at"] = json!(stage::NOON);
    document["boot_id"] = json!(BOOT);
    document["monitor"]["heals"] = json!({"within_an_hour": 6, "budget": 10});
    document["monitor"]["config"]["error"] = json!("line 4: unknown key `prot`");
    document["services"]["worker"]["heal"]["totals"] =
        json!({"healed": 17, "failed": 5, "cancelled": 1, "observed": 2, "interrupted": 3});
    document["services"]["worker"]["name"] = json!("Mail \"worker\" \\ 1\nof 2");
    document
}

fn shown(document: &Value) -> Running {
    let stage = Stage::new();
    stage.write(document.to_string().as_bytes());
    stage.run()
}

/// The metrics in the text format.
fn text_of(viewer: &Running) -> String {
    let reply = viewer.get("/metrics");
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/examples").join(name)
}

#[test]
fn a_document_with_everything_is_told_as_it_was_read_over() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prometheus/every-state.prom");
    let said = text_of(&shown(&every_state()));
    if std::env::var_os("WELLKEEP_BLESS").is_some() {
        std::fs::write(&golden, &said).unwrap();
    }
    let known = std::fs::read_to_string(&golden).unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let differences: Vec<_> = lines(&known).symmetric_difference(&lines(&said)).cloned().collect();
    assert!(
        known == said,
        "{differences:#?}\nWELLKEEP_BLESS=1 writes what is said now into tests/prometheus/every-state.prom; read it then."
    );
}

#[test]
fn who_asks_for_open_metrics_gets_the_same_samples_in_its_form() {
    let viewer = shown(&every_state());
    let reply = viewer.get_with("/metrics", &format!("Accept: {PROMETHEUS}"));
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert_eq!(reply.header("Vary"), Some("Accept"));
    assert!(reply.body.ends_with("\n# EOF\n"));
    assert_eq!(samples(&reply.body), samples(&text_of(&viewer)));
    for line in [
        "# TYPE wellkeep_heals counter",
        "# TYPE wellkeep_build info",
        "# UNIT wellkeep_probe_duration_seconds seconds",
        "# UNIT wellkeep_service_memory_bytes bytes",
    ] {
        assert!(reply.body.lines().any(|known| known == line), "{line}");
    }
}

/// No monitor stands behind the figures: it says so, and nothing of any service.
fn tells_no_service(viewer: &Running, state: &str, age: Option<&str>) {
    let text = text_of(viewer);
    let has = |line: &str| text.lines().any(|known| known == line);
    assert!(has("wellkeep_monitor_up 0"), "{text}");
    assert!(has(&format!("wellkeep_document_state{{state=\"{state}\"}} 1")), "{text}");
    assert_eq!(text.matches("wellkeep_document_state{").count(), 7);
    let told_age = text.lines().find_map(|line| line.strip_prefix("wellkeep_document_age_seconds "));
    assert_eq!(told_age, age);
    for gone in ["wellkeep_service", "wellkeep_check", "wellkeep_heal", "wellkeep_overall", "web-1"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
}

#[test]
fn figures_that_nobody_stands_behind_are_not_told() {
    let stage = Stage::new();
    stage.write(every_state().to_string().as_bytes());
    let viewer = stage.run();
    stage.pass(15);
    assert!(text_of(&viewer).contains("\nwellkeep_monitor_up 1\n"));
    stage.pass(1);
    tells_no_service(&viewer, "stale", Some("16"));
    std::fs::remove_file(stage.status_file()).unwrap();
    tells_no_service(&viewer, "stale", Some("16"));

    let mut stopped = every_state();
    stopped["monitor"]["state"] = json!("stopped");
    tells_no_service(&shown(&stopped), "stopped", Some("0"));
    let mut earlier = every_state();
    earlier["boot_id"] = json!(BOOT.replace('1', "9"));
    tells_no_service(&shown(&earlier), "earlier_boot", Some("0"));
    tells_no_service(&Stage::new().run(), "none", None);
}

#[test]
fn live_checks_are_no_monitor() {
    let stage = Stage::new();
    let live: LiveChecks = Box::new(|| Ok(stage::document(&["web"])));
    let viewer = stage::run(Viewer::bind(Options { live: Some(live), ..stage.options() }).unwrap());
    tells_no_service(&viewer, "live", None);
}

#[test]
fn a_document_of_another_kind_of_monitor_fails_the_scrape_rather_than_half_of_it() {
    let mut odd = every_state();
    odd["services"]["redis"]["state"] = json!("asleep");
    let reply = shown(&odd).get("/metrics");
    assert_eq!(reply.status, 500);
    assert!(reply.json()["error"].as_str().unwrap().contains("asleep"), "{}", reply.body);
}

#[test]
fn a_document_of_a_monitor_that_told_less_is_understood() {
    let mut older = every_state();
    older["monitor"].as_object_mut().unwrap().remove("heals");
    older["services"]["worker"]["heal"].as_object_mut().unwrap().remove("totals");
    let text = text_of(&shown(&older));
    assert!(!text.contains("wellkeep_host_heal_budget"), "a budget of 0 would be an alert");
    assert!(text.contains("wellkeep_heals_total{service=\"worker\",result=\"healed\"} 0\n"));
}

#[test]
fn what_cannot_be_told_is_neither_0_nor_1() {
    let text = text_of(&shown(&every_state()));
    assert!(!text.contains("wellkeep_service_up{service=\"reports\"}"));
    assert!(!text.contains("wellkeep_check_up{service=\"reports\""));
    assert!(text.contains("wellkeep_service_state{service=\"reports\",state=\"unknown\"} 1\n"));
}

#[test]
fn one_more_service_is_a_bounded_number_of_series() {
    let with = |keys: &[&str]| text_of(&shown(&serde_json::to_value(stage::document(keys)).unwrap()));
    let count = |keys: &[&str]| samples(&with(keys)).len();
    let (one, two, three) = (count(&["a"]), count(&["a", "b"]), count(&["a", "b", "c"]));
    assert_eq!((two - one, three - two), (two - one, two - one));
    // With all four checks and healing it is about what `metrics.rs` says.
    let text = text_of(&shown(&every_state()));
    let of_one = samples(&text).into_iter().filter(|line| line.contains("service=\"flask_web\"")).count();
    assert!((25..40).contains(&of_one), "{of_one}");
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_of_name(c)).filter(|word| word.starts_with("wellkeep_"));
    words.map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_ask_only_for_metrics_that_there_are() {
    let text = text_of(&shown(&every_state()));
    let known = samples(&text).into_iter().map(|line| line.split(['{', ' ']).next().unwrap().to_owned());
    let known: BTreeSet<String> = known.collect();
    for file in ["prometheus-rules.yml", "grafana-dashboard.json"] {
        let asked = names(&std::fs::read_to_string(shipped(file)).unwrap());
        assert!(asked.len() > 5, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for what there is not: {unknown:?}");
    }
}

/// All values of a key, wherever it stands.
fn values_of<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.extend(value.as_str().filter(|_| name == key));
                values_of(value, key, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| values_of(value, key, found)),
        _ => {}
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(shipped("grafana-dashboard.json")).unwrap()).unwrap()
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard = dashboard();
    let mut uids = Vec::new();
    values_of(&dashboard, "uid", &mut uids);
    assert!(uids.iter().all(|uid| ["${datasource}", "wellkeep"].contains(uid)), "{uids:?}");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "instance", "service"]);
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    assert!(panels.iter().all(|panel| panel["description"].as_str().is_some_and(|text| text.ends_with('.'))));
}

/// Runs promtool; none when it is not installed.
fn promtool(arguments: &[&str], folder: &Path, input: &str) -> Option<Output> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(_) => {
            common::skip("promtool is missing (apt-get install prometheus)");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    // One that does not want to read all of it says why by its exit code.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Some(child.wait_with_output().unwrap())
}

/// That it is content and has nothing to remark.
fn assert_content(output: Option<Output>) {
    let Some(output) = output else { return };
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn promtool_has_nothing_to_remark_on_the_metrics() {
    let here = Path::new(".");
    for document in [every_state(), serde_json::to_value(stage::document(&[])).unwrap()] {
        let output = promtool(&["check", "metrics"], here, &text_of(&shown(&document)));
        let remarks = output.as_ref().map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        assert_eq!(remarks.unwrap_or_default(), "");
        assert_content(output);
    }
    assert_content(promtool(&["check", "metrics"], here, &text_of(&Stage::new().run())));
}

#[test]
fn prometheus_can_read_the_open_metrics_form() {
    let folder = tempfile::tempdir().unwrap();
    let reply = shown(&every_state()).get_with("/metrics", &format!("Accept: {PROMETHEUS}"));
    // The one command of promtool that reads this form wants times, which an exposition has not.
    let mut dated = String::new();
    for line in reply.body.lines() {
        let time = if line.starts_with('#') { "" } else { " 1761566400" };
        writeln!(dated, "{line}{time}").unwrap();
    }
    std::fs::write(folder.path().join("metrics"), dated).unwrap();
    assert_content(promtool(
        &["tsdb", "create-blocks-from", "openmetrics", "metrics", "blocks"],
        folder.path(),
        "",
    ));
}

#[test]
fn the_rules_and_the_scrape_configuration_are_right_and_the_alerts_fire_when_they_should() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = |name| shipped(name).display().to_string();
    assert_content(promtool(&["check", "rules", &path("prometheus-rules.yml")], here, ""));
    assert_content(promtool(&["check", "config", &path("prometheus-scrape.yml")], here, ""));
    assert_content(promtool(&["test", "rules", "tests/prometheus/rules.test.yml"], here, ""));
}

#[test]
fn every_alert_is_tried() {
    let rules = std::fs::read_to_string(shipped("prometheus-rules.yml")).unwrap();
    let tried = include_str!("prometheus/rules.test.yml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 8);
    for alert in alerts {
        assert!(tried.contains(&format!("- alertname: {alert}\n")), "{alert} is never seen to fire");
    }
}

/// Each query of the dashboard, asked of a Prometheus that scraped this very exposition for an hour.
#[test]
fn every_query_of_the_dashboard_finds_something() {
    let folder = tempfile::tempdir().unwrap();
    let text = text_of(&shown(&every_state()));
    let series: Vec<Value> = samples(&text)
        .into_iter()
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = format!("job=\"wellkeep\",instance=\"web-1\",{labels}").replace(",}", "}");
            let growth = if name.ends_with("_total") { 1 } else { 0 };
            json!({"series": format!("{name}{{{labels}"), "values": format!("{value}+{growth}x240")})
        })
        .collect();
    let dashboard = dashboard();
    let mut queries = Vec::new();
    values_of(&dashboard["panels"], "expr", &mut queries);
    assert!(queries.len() > 12);
    let asked: Vec<Value> = queries
        .iter()
        .map(|query| {
            let mut query = query.to_string();
            for (variable, value) in
                [("$instance", ".*"), ("$service", ".*"), ("$__rate_interval", "5m"), ("$__range", "1h")]
            {
                query = query.replace(variable, value);
            }
            assert!(!query.contains('$'), "{query}");
            json!({"expr": format!("count({query}) > bool 0"), "eval_time": "1h", "exp_samples": [{"labels": "{}", "value": 1}]})
        })
        .collect();
    let tests = json!({"tests": [{"interval": "15s", "input_series": series, "promql_expr_test": asked}]});
    // JSON is YAML.
    std::fs::write(folder.path().join("tests.yml"), tests.to_string()).unwrap();
    assert_content(promtool(&["test", "rules", "tests.yml"], folder.path(), ""));
}

#[test]
fn families_stand_together_in_the_order_of_their_names() {
    let text = text_of(&shown(&every_state()));
    let order: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(order, sorted);
    let mut seen = BTreeMap::<&str, usize>::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        *seen.entry(line.split(' ').next().unwrap()).or_default() += 1;
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    assert_eq!(text, text_of(&shown(&every_state())), "the same document, the same bytes");
}
