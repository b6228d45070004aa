//! `wellkeep doctor` without root, systemd or an installation: what it makes of a root that is not this machine's. What it
//! finds on a real one, and whether its advice helps, is in `tests/system/scenarios/doctor.sh`.

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute, not their helpers")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A root of its own, with a configuration and a state directory that are right.
struct Root {
    folder: tempfile::TempDir,
}

impl Root {
    fn new() -> Root {
        let root = Root { folder: tempfile::tempdir().unwrap() };
        for folder in ["etc/wellkeep", "etc/polkit-1/rules.d", "var/lib/wellkeep", "proc"] {
            fs::create_dir_all(root.path(folder)).unwrap();
        }
        fs::set_permissions(root.path("var/lib/wellkeep"), PermissionsExt::from_mode(0o755)).unwrap();
        // Nobody listens there, whatever this machine does on the default port.
        let socket = root.path("viewer.sock");
        root.write(
            "etc/wellkeep/monitor.yml",
            &format!("services: [{{key: web, port: 80}}]\nviewer: {{listen: 'unix:{}'}}\n", socket.display()),
        );
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn doctor(&self, arguments: &[&str], bus: &Path) -> Output {
        Command::new(env!("CARGO_BIN_EXE_wellkeep"))
            .arg("doctor")
            .args(["--root".as_ref(), self.folder.path().as_os_str()])
            .args(["--config".as_ref(), self.path("etc/wellkeep/monitor.yml").as_os_str()])
            .args(["--status-file".as_ref(), self.path("var/lib/wellkeep/status.json").as_os_str()])
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", bus.display()))
            .env_remove("WELLKEEP_STATE_DIR")
            .output()
            .unwrap()
    }

    /// The findings of an area, and how the command ended.
    fn findings(&self, area: &str) -> (Vec<Value>, i32) {
        let output = self.doctor(&["--json"], Path::new("/nonexistent/bus"));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let areas = report["areas"].as_array().unwrap();
        let found = areas.iter().find(|found| found["area"] == area).cloned().unwrap_or_default();
        (found["findings"].as_array().cloned().unwrap_or_default(), output.status.code().unwrap())
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn without_systemd_it_says_so_and_never_advises_its_commands() {
    let root = Root::new();
    let output = root.doctor(&[], Path::new("/nonexistent/bus"));
    let said = text(&output);
    assert!(said.contains("is not in charge here"), "{said}");
    assert!(!said.contains("systemctl") && !said.contains("journalctl"), "{said}");
    assert!(said.contains("wellkeep monitor"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.ends_with("1 problem.\n"), "{said}");
    assert!(!said.contains('\x1b'), "no colour but on a terminal: {said:?}");
}

#[test]
fn a_wrong_configuration_is_told_with_the_command_that_shows_all_of_it() {
    let root = Root::new();
    assert_eq!(root.findings("Configuration").0[0]["level"], "ok");
    root.write("etc/wellkeep/monitor.yml", "services: [{key: web, prot: 80}]");
    let (findings, exit) = root.findings("Configuration");
    assert_eq!((findings[0]["level"].as_str(), exit), (Some("problem"), 1));
    let command = findings[0]["commands"][0].as_str().unwrap();
    assert!(
        command.starts_with("wellkeep check ") && command.ends_with("/etc/wellkeep/monitor.yml"),
        "{command}"
    );
}

#[test]
fn the_users_and_the_rule_of_that_root_are_looked_at() {
    let root = Root::new();
    root.write("etc/passwd", "wellkeep:x:4000000:4000000::/:/usr/sbin/nologin\n");
    root.write("etc/group", "wellkeep:x:4000000:\nsystemd-journal:x:4000001:wellkeep\n");
    let levels = |findings: Vec<Value>, what: &str| -> Vec<Value> {
        findings
            .into_iter()
            .filter(|finding| finding["what"] == what)
            .map(|finding| finding["level"].clone())
            .collect()
    };
    let (findings, _) = root.findings("Rights");
    assert_eq!(levels(findings.clone(), "user wellkeep"), ["ok"]);
    assert_eq!(levels(findings, "rule for polkit"), ["ok"]);
    root.write("etc/polkit-1/rules.d/49-wellkeep.rules", "// of an earlier configuration\n");
    assert_eq!(levels(root.findings("Rights").0, "rule for polkit"), ["warning"]);
    fs::set_permissions(root.path("etc/wellkeep/monitor.yml"), PermissionsExt::from_mode(0o600)).unwrap();
    let config = root.path("etc/wellkeep/monitor.yml");
    assert_eq!(levels(root.findings("Rights").0, config.to_str().unwrap()), ["problem"]);
}

#[test]
fn a_document_that_is_none_is_no_document() {
    let root = Root::new();
    root.write("var/lib/wellkeep/status.json", "{");
    let (findings, _) = root.findings("State");
    let found =
        findings.iter().find(|finding| finding["what"].as_str().unwrap().ends_with("status.json")).unwrap();
    assert_eq!(found["level"], "problem");
    assert!(found["found"].as_str().unwrap().contains("is not a status document"), "{found}");
}

#[test]
fn a_bus_that_takes_the_call_and_never_answers_is_a_finding_and_not_the_end() {
    let root = Root::new();
    fs::create_dir_all(root.path("run/systemd/system")).unwrap();
    // It listens and never accepts, as a bus daemon that was stopped.
    let bus = root.path("bus");
    let _listener = UnixListener::bind(&bus).unwrap();
    let said = text(&root.doctor(&[], &bus));
    assert!(said.contains("did not answer within"), "{said}");
    assert!(said.contains("systemctl status dbus.service"), "{said}");
    assert!(said.contains("etc/wellkeep/monitor.yml") && said.contains("right; 1 service"), "{said}");
}
