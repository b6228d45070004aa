//! The commands as a script sees them: what they print, and how they end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::{Value, json};

fn wellkeep(arguments: &[&str], status_file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellkeep"));
    command.args(arguments).env("WELLKEEP_STATUS_FILE", status_file).env("NO_COLOR", "1");
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A document of this boot, so many seconds old, with services in these states.
fn document(age_s: i64, services: &[(&str, &str, bool)]) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let at = wellkeep::status::Timestamp::from_millis(now - age_s * 1000).to_string();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let ok = services.iter().filter(|(_, _, ok)| *ok).count();
    let of = |&(key, state, ok): &(&str, &str, bool)| {
        let reason = if ok { Value::Null } else { json!("port: connection refused") };
        let service = json!({"key": key, "name": key, "ok": ok, "state": state, "since": at, "reason": reason,
            "consecutive_failures": 0, "last_checked": at});
        (key.to_owned(), service)
    };
    json!({
        "schema": 1, "mode": "production_monitoring", "overall": "up",
        "ok_count": ok, "fail_count": services.len() - ok, "total": services.len(),
        "generated_at": at, "sequence": 1, "boot_id": boot_id.trim(), "stale_after_s": 15,
        "host": {"name": "web1", "uptime_s": 1, "cpus": 1, "load": [0.0, 0.0, 0.0],
            "memory_total_bytes": 1, "memory_available_bytes": 1},
        "monitor": {"state": "running", "version": "0.1.0", "pid": 1, "started_at": at, "config": {"loaded_at": at}},
        "services": services.iter().map(of).collect::<serde_json::Map<String, Value>>(),
    })
}

fn status_of(document: &Value, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.json");
    fs::write(&path, document.to_string()).unwrap();
    wellkeep(&[&["status"], arguments].concat(), &path)
}

#[test]
fn status_ends_with_0_when_all_is_well_and_1_when_something_is_not() {
    let well = status_of(&document(1, &[("web", "up", true)]), &[]);
    assert_eq!(well.status.code(), Some(0), "{}", err(&well));
    assert!(out(&well).contains("The one service is up"), "{}", out(&well));
    let ill = status_of(&document(1, &[("web", "up", true), ("db", "down", false)]), &[]);
    assert_eq!(ill.status.code(), Some(1));
    let text = out(&ill);
    assert!(text.contains("1 of 2 services is up; 1 down"), "{text}");
    assert!(text.find("DOWN") < text.find("UP"), "the worst comes first: {text}");
    assert!(!text.contains('\x1b'), "no colour but on a terminal: {text:?}");
}

#[test]
fn status_ends_with_2_and_says_stale_when_the_figures_are_old_however_green() {
    let output = status_of(&document(60, &[("web", "up", true)]), &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = out(&output);
    assert!(text.starts_with("STALE: the monitor has not written for"), "{text}");
    assert!(text.contains("was UP") && text.contains("Last known: "), "{text}");
    let mut stopped = document(1, &[("web", "up", true)]);
    stopped["monitor"]["state"] = json!("stopped");
    assert_eq!(status_of(&stopped, &["--json"]).status.code(), Some(2));
}

#[test]
fn status_of_one_service_is_about_that_one() {
    let both = document(1, &[("web", "up", true), ("db", "down", false)]);
    assert_eq!(status_of(&both, &["web"]).status.code(), Some(0));
    assert_eq!(status_of(&both, &["db"]).status.code(), Some(1));
    let output = status_of(&both, &["shop"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("the keys are: db, web"), "{}", err(&output));
}

#[test]
fn status_without_a_document_ends_with_2_and_says_what_to_do() {
    let output = wellkeep(&["status"], Path::new("/nonexistent/status.json"));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("wellkeep dev"), "{}", err(&output));
    let broken = tempfile::NamedTempFile::new().unwrap();
    fs::write(broken.path(), "{\"schema\": 1").unwrap();
    assert_eq!(wellkeep(&["status"], broken.path()).status.code(), Some(2));
}

/// A configuration, and the output of a command that is given its path last.
fn with_config(config: &str, arguments: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), config).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    wellkeep(&[arguments, &[&path]].concat(), Path::new("/nonexistent"))
}

#[test]
fn check_ends_with_0_or_78() {
    let right = with_config("services: [{key: web, port: 80}]", &["check"]);
    assert_eq!(right.status.code(), Some(0));
    assert!(out(&right).contains("right; 1 service, 1 check"), "{}", out(&right));
    let wrong = with_config("services: [{key: web, prot: 80}]", &["check"]);
    assert_eq!(wrong.status.code(), Some(78));
    assert!(err(&wrong).contains("did you mean `port`?"), "{}", err(&wrong));
}

/// A configuration with a secret that only the unit of the monitor can read.
fn with_credential(top_level: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let service =
        "{key: shop, http: {url: 'http://h/', headers: {Authorization: 'Bearer ${credential:shop}'}}}";
    fs::write(file.path(), format!("{top_level}\nservices: [{service}]\n")).unwrap();
    file
}

/// A command as a person or the viewer's unit has it: without credentials, and everything else from the file.
fn without_credentials(command: &str, config: &Path) -> Command {
    let mut wellkeep = Command::new(env!("CARGO_BIN_EXE_wellkeep"));
    wellkeep.arg(command).arg("--config").arg(config).env("NO_COLOR", "1");
    for name in ["WELLKEEP_STATUS_FILE", "WELLKEEP_LISTEN", "CREDENTIALS_DIRECTORY"] {
        wellkeep.env_remove(name);
    }
    wellkeep
}

#[test]
fn check_says_of_a_credential_that_only_the_unit_can_read_it_and_calls_the_file_right() {
    let config = with_credential("");
    let output = without_credentials("check", config.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.contains("right; 1 service, 1 check\n"), "{text}");
    assert!(text.contains("note: the credential shop can be read only by the unit"), "{text}");
}

#[test]
fn status_finds_the_document_that_the_file_names_beside_secrets_it_cannot_read() {
    let document_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(document_file.path(), document(1, &[("web", "up", true)]).to_string()).unwrap();
    let config = with_credential(&format!("monitor: {{status_file: {}}}", document_file.path().display()));
    let output = without_credentials("status", config.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn serve_listens_where_the_file_says_beside_secrets_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("viewer.sock");
    let config = with_credential(&format!("viewer: {{listen: 'unix:{}'}}", socket.display()));
    let mut viewer = without_credentials("serve", config.path()).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(viewer.stderr.take().unwrap());
    let mut said = Vec::new();
    for line in log.lines().map(Result::unwrap) {
        let is_serving = line.contains("serving on");
        said.push(line);
        if is_serving {
            break;
        }
    }
    viewer.kill().unwrap();
    viewer.wait().unwrap();
    let [no_live_checks, serving] = &said[..] else {
        panic!("{said:#?}");
    };
    assert!(no_live_checks.contains("there will be no live checks: "), "{no_live_checks}");
    assert!(no_live_checks.contains("needs the credential shop"), "{no_live_checks}");
    assert!(serving.contains(&format!("serving on unix:{}", socket.display())), "{serving}");
}

#[test]
fn probe_tells_pass_fail_and_cannot_tell_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = |port: u16| format!("services: [{{key: web, port: {port}}}]");
    let passes = with_config(&config(port), &["probe", "--json", "--config"]);
    assert_eq!(passes.status.code(), Some(0), "{}", err(&passes));
    let services: Value = serde_json::from_str(&out(&passes)).unwrap();
    let check = &services[0]["checks"][0];
    assert_eq!((&check["kind"], &check["outcome"]), (&json!("port"), &json!("pass")));
    assert!(check["steps"][0]["took_us"].is_u64(), "{check}");
    drop(listener);
    // A command that another test started in between keeps its copy of the socket until it runs.
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        std::thread::yield_now();
    }
    let fails = with_config(&config(port), &["probe", "--config"]);
    assert_eq!(fails.status.code(), Some(1));
    assert!(out(&fails).contains("connection refused by 127.0.0.1"), "{}", out(&fails));
    let blind = with_config(
        "services: [{key: web, http: {url: 'https://127.0.0.1:1/', ca_file: /nonexistent/ca.pem}}]",
        &["probe", "--config"],
    );
    assert_eq!(blind.status.code(), Some(2), "{}", out(&blind));
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    for wrong in [&["dance"][..], &["status", "--frobnicate"], &["serve", "--listen", "nonsense"]] {
        assert_eq!(wellkeep(wrong, Path::new("/nonexistent")).status.code(), Some(2), "{wrong:?}");
    }
    for command in ["monitor", "serve", "dev", "status", "check", "probe", "logs", "schema"] {
        let help = wellkeep(&[command, "--help"], Path::new("/nonexistent"));
        assert_eq!(help.status.code(), Some(0));
        assert!(command == "schema" || out(&help).contains("Examples:"), "{command} --help has no example");
    }
}

#[test]
fn logs_finds_a_service_without_a_document_in_the_configuration_and_names_the_nearest_key() {
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        config.path(),
        "monitor: {status_file: /nonexistent/status.json}\nservices: [{key: web, port: 1}]",
    )
    .unwrap();
    let output = without_credentials("logs", config.path()).arg("wbe").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("did you mean \"web\"?"), "{}", err(&output));
}

#[test]
fn the_output_may_be_cut_off_by_head() {
    let script = format!("{} schema | head -n 1", env!("CARGO_BIN_EXE_wellkeep"));
    let output = Command::new("bash").args(["-o", "pipefail", "-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
}
