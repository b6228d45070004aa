//! `wellkeep privileges` where no systemd can be asked. What a real systemd and polkit make of the rule is in
//! `tests/system/scenarios/privileges.sh`.

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute, not their helpers")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const HEALED: &str = "services: [{key: a, url: 'http://${credential:a}@h/', systemd: nick, heal: restart}]";

/// The command in a folder with this `monitor.yml`.
fn privileges(folder: &Path, config: &str, arguments: &[&str]) -> Output {
    fs::write(folder.join("monitor.yml"), config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_wellkeep"))
        .args(["privileges", "--config", "monitor.yml"])
        .args(arguments)
        .current_dir(folder)
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .unwrap()
}

/// A folder that only we can write, from `/` on: `/tmp` is none, and what root is asked there is not granted.
fn own_folder() -> tempfile::TempDir {
    match rustix::process::geteuid().is_root() {
        true => tempfile::tempdir_in("/run").unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_rule_is_printed_also_without_systemd_and_without_credentials() {
    let folder = own_folder();
    let output = privileges(folder.path(), HEALED, &["--user", "ops"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let rule = out(&output);
    assert!(rule.contains("subject.user != \"ops\""), "{rule}");
    let allowed = "[\n    \"reset-failed nick.service\",\n    \"start nick.service\",\n    \"try-restart nick.service\"\n  ];";
    assert!(rule.contains(allowed), "{rule}");
    assert!(err(&output).contains("an alias among the units is not resolved"), "{}", err(&output));
    let quiet = privileges(folder.path(), &HEALED.replace("restart", "observe"), &[]);
    assert_eq!((out(&quiet).lines().count(), err(&quiet).as_str()), (1, ""));
}

#[test]
fn a_wrong_configuration_leaves_the_rule_that_is_there() {
    let folder = own_folder();
    let file = folder.path().join("rules");
    let write = ["--write", "--file", "rules"];
    assert_eq!(privileges(folder.path(), HEALED, &write).status.code(), Some(0));
    let before = fs::read_to_string(&file).unwrap();
    let wrong = privileges(folder.path(), &HEALED.replace("heal:", "heel:"), &write);
    assert_eq!(wrong.status.code(), Some(78));
    assert!(err(&wrong).contains("rules stays as it is: monitor.yml has 1 problem"), "{}", err(&wrong));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let off = privileges(folder.path(), &HEALED.replace("restart", "off"), &write);
    assert!(out(&off).contains("rules: removed"), "{}", out(&off));
    assert!(!file.exists());
}

#[test]
fn a_user_that_is_no_user_is_refused() {
    let folder = own_folder();
    let output = privileges(folder.path(), HEALED, &["--user", "a\"; evil()"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("it is not the name of a user; write for example wellkeep"),
        "{}",
        err(&output)
    );
}

#[test]
fn check_names_the_services_that_the_heal_of_defaults_does_not_apply_to() {
    let folder = own_folder();
    let file = folder.path().join("monitor.yml");
    fs::write(&file, "defaults: {heal: restart}\nservices: [{key: a, port: 1}, {key: b, systemd: b}]")
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_wellkeep")).arg("check").arg(&file).output().unwrap();
    let said = "note: a is not healed, although `defaults` say so: the service has no unit\n";
    assert!(out(&output).ends_with(said) && output.status.success(), "{}", out(&output));
}

#[test]
fn root_grants_nothing_that_others_could_have_written() {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped, because only root can give a folder to somebody else");
        return;
    }
    let folder = own_folder();
    let (included, rules) = (folder.path().join("monitor.d"), folder.path().join("rules"));
    fs::create_dir(&included).unwrap();
    fs::write(
        included.join("evil.yml"),
        "services: [{key: e, port: 1, heal: {unit: systemd-poweroff.service}}]",
    )
    .unwrap();
    let config = HEALED.replace("services:", "include: monitor.d/*.yml\nservices:");
    let write = ["--write", "--file", "rules"];
    assert!(privileges(folder.path(), &config, &write).status.success());
    assert!(fs::read_to_string(&rules).unwrap().contains("poweroff"), "root's own word is granted");

    chown(&included, Some(65534), None).unwrap();
    let passed = privileges(folder.path(), &config, &write);
    let said = err(&passed);
    assert!(passed.status.success() && said.contains("evil.yml is passed over"), "{said}");
    assert!(said.contains("monitor.d (owner 65534") && said.contains("chown root: "), "{said}");
    let rule = fs::read_to_string(&rules).unwrap();
    assert!(rule.contains("start nick.service") && !rule.contains("poweroff"), "{rule}");

    fs::set_permissions(folder.path().join("monitor.yml"), PermissionsExt::from_mode(0o666)).unwrap();
    let refused = privileges(folder.path(), &config, &write);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("chmod go-w") && !rules.exists(), "{}", err(&refused));
}
