//! The monitor's user: whether it exists, can read what it needs, and may heal what it is asked to heal.

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::access::{Account, Reading};
use super::configuration::Configuration;
use super::finding::Finding;
use crate::cli::privileges;
use crate::config::Loose;
use crate::systemd::InstalledUnit;

/// The user of the shipped unit.
pub(super) const USER: &str = "wellkeep";
/// What lets it read other units' last words.
const JOURNAL_GROUP: &str = "systemd-journal";

/// What was read.
#[derive(Debug)]
pub(super) struct Rights {
    /// Whom the monitor's unit runs as; none where there is no such unit.
    pub(super) user: Option<String>,
    pub(super) account: Option<Account>,
    /// Whether the unit or the user's own entry brings the group that reads the journal.
    pub(super) reads_journal: bool,
    pub(super) rule: Rule,
    /// The configuration and what it needs besides.
    pub(super) files: Vec<(PathBuf, Reading)>,
    /// What of the configuration's files and of the folders above them others than root can write.
    pub(super) loose: Vec<Loose>,
}

/// The file with the rule for polkit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Absent,
    There { text: String, mode: u32 },
    Unreadable(ErrorKind),
}

/// Reads it. `root` is where the system's own files are, `/`.
pub(super) fn read(root: &Path, configuration: &Configuration, monitor: Option<&InstalledUnit>) -> Rights {
    let text = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_default();
    let installed = monitor.filter(|unit| unit.state.load == "loaded");
    let user = installed.map(|unit| if unit.user.is_empty() { "root".to_owned() } else { unit.user.clone() });
    let besides = installed.map(|unit| unit.groups.as_slice()).unwrap_or_default();
    let (passwd, group) = (text("etc/passwd"), text("etc/group"));
    let account = Account::find(&passwd, &group, user.as_deref().unwrap_or(USER), besides);
    let journal =
        group.lines().find_map(|line| line.strip_prefix(JOURNAL_GROUP)?.split(':').nth(2)?.parse().ok());
    let reads_journal = account.as_ref().is_some_and(|account| {
        account.uid == 0 || journal.is_some_and(|gid: u32| account.gids.contains(&gid))
    });
    let mut paths = vec![configuration.path.clone()];
    paths.extend(configuration.needed_files().iter().cloned());
    let files =
        account.iter().flat_map(|account| paths.iter().map(|path| (path.clone(), account.reads(path))));
    let mut loose: Vec<Loose> =
        configuration.files().iter().filter_map(|path| privileges::loose(path)).collect();
    loose.dedup();
    Rights {
        files: files.collect(),
        loose,
        rule: read_rule(&root.join(privileges::DEFAULT_FILE.trim_start_matches('/'))),
        user,
        account,
        reads_journal,
    }
}

fn read_rule(path: &Path) -> Rule {
    let read = || -> io::Result<Rule> {
        let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
        Ok(Rule::There { text: std::fs::read_to_string(path)?, mode })
    };
    read().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Rule::Absent,
        kind => Rule::Unreadable(kind),
    })
}

/// What is known of polkit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Polkit<'u> {
    pub(super) is_installed: bool,
    pub(super) unit: &'u InstalledUnit,
}

pub(super) fn judge(
    rights: &Rights,
    configuration: &Configuration,
    polkit: Option<Polkit<'_>>,
    cannot_heal: Option<&str>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let user = rights.user.as_deref().unwrap_or(USER);
    match (&rights.user, &rights.account) {
        (None, None) => findings.push(
            Finding::note("user wellkeep", "does not exist")
                .advise("It comes with the package. By hand:")
                .run("sudo systemd-sysusers /usr/lib/sysusers.d/wellkeep.conf"),
        ),
        (Some(user), None) => findings.push(
            Finding::problem(format!("user {user}"), "does not exist, so the monitor cannot start")
                .advise("Make it, and start the monitor again:")
                .run("sudo systemd-sysusers")
                .run("sudo systemctl restart wellkeep-monitor"),
        ),
        (_, Some(account)) if account.uid == 0 => findings.push(
            Finding::note("user root", "the monitor runs with all rights, and needs no rule to heal")
                .advise("The shipped unit runs as wellkeep, with no more rights than it needs. See what changed that:")
                .run("systemctl cat wellkeep-monitor.service"),
        ),
        (_, Some(account)) => {
            let user = format!("user {}", account.name);
            findings.push(Finding::ok(user, format!("exists (uid {})", account.uid)));
        }
    }
    findings.extend(rights.files.iter().filter_map(|(path, reading)| unreadable(user, path, reading)));
    findings.extend(rights.loose.iter().map(|loose| judge_loose(loose, rights.user.is_some())));
    // The shipped unit itself adds the group, so without a word of systemd nothing can be said.
    if rights.user.is_some() && rights.account.is_some() && !rights.reads_journal {
        let found = format!("{user} is not in it: no evidence from the journal before a heal");
        findings.push(
            Finding::warning(format!("group {JOURNAL_GROUP}"), found)
                .advise("Put it in, and restart the monitor:")
                .run(format!("sudo usermod --append --groups {JOURNAL_GROUP} {user}"))
                .run("sudo systemctl restart wellkeep-monitor"),
        );
    }
    let is_root = rights.account.as_ref().is_some_and(|account| account.uid == 0);
    if !is_root {
        findings.extend(healing(rights, configuration, polkit));
    }
    if let Some(why) = cannot_heal {
        findings.push(
            Finding::problem("healing", format!("the monitor says that it cannot: {why}"))
                .advise("Have the rule written anew, and the monitor look again:")
                .run("sudo wellkeep privileges --write")
                .run("sudo systemctl restart wellkeep-monitor"),
        );
    }
    findings
}

/// Where no unit is installed, a person tries a file of their own.
fn judge_loose(loose: &Loose, is_installed: bool) -> Finding {
    let (path, owner, mode) = (loose.at.display().to_string(), loose.owner, loose.mode);
    let found = format!(
        "others than root can write it (owner {owner}, mode {mode:04o}), and so say what is restarted"
    );
    let finding = if is_installed { Finding::problem(path, found) } else { Finding::note(path, found) };
    let finding = finding.advise("What it asks for is not permitted before root alone can write it:");
    loose.remedy().into_iter().fold(finding, Finding::run)
}

fn unreadable(user: &str, path: &Path, reading: &Reading) -> Option<Finding> {
    let shown = path.display().to_string();
    match reading {
        Reading::Granted => None,
        Reading::Denied { at, mode } => {
            let at = at.display();
            let finding = Finding::problem(shown, format!("{user} cannot read it: {at} has mode {mode:04o}"));
            Some(
                finding
                    .advise("Let its group read that, or hand it over as a credential of systemd (LoadCredential=):")
                    .run(format!("sudo chgrp {user} {at}"))
                    .run(format!("sudo chmod g+rX {at}")),
            )
        }
        // That a file is missing is the configuration's own finding.
        Reading::Untold { kind: ErrorKind::NotFound, .. } => None,
        Reading::Untold { at, .. } => {
            let found = format!("cannot tell whether {user} can read it: {} is closed to you", at.display());
            Some(Finding::unknown(shown, found).advise("As root it can be told:").run("sudo wellkeep doctor"))
        }
    }
}

/// Polkit and its rule, beside what the configuration asks for.
fn healing(rights: &Rights, configuration: &Configuration, polkit: Option<Polkit<'_>>) -> Vec<Finding> {
    let Some(wanted) = configuration.wanted() else { return Vec::new() };
    let rule = judge_rule(&rights.rule, wanted.rule.as_deref(), wanted.is_resolved);
    match polkit {
        Some(polkit) if wanted.rule.is_some() => vec![judge_polkit(polkit), rule],
        _ => vec![rule],
    }
}

fn judge_polkit(polkit: Polkit<'_>) -> Finding {
    let state = &polkit.unit.state;
    if !polkit.is_installed {
        return Finding::problem(
            "polkitd",
            "not installed, and without it systemd lets nobody but root heal",
        )
        .advise("Install it, and have the rule written:")
        .run("sudo apt install polkitd")
        .run("sudo systemctl restart wellkeep-monitor");
    }
    match (state.load.as_str(), state.active.as_str()) {
        ("masked", _) => {
            Finding::problem("polkitd", "masked, so nobody can answer whether the monitor may heal")
                .advise("Unmask it:")
                .run("sudo systemctl unmask polkit.service")
                .run("sudo systemctl start polkit.service")
        }
        (_, "failed") => {
            Finding::problem("polkitd", "failed, so nobody can answer whether the monitor may heal")
                .advise("Look why, and start it again:")
                .run("sudo journalctl -u polkit.service -n 20 --no-pager")
                .run("sudo systemctl restart polkit.service")
        }
        (_, "active") => Finding::ok("polkitd", "runs"),
        _ => Finding::ok("polkitd", "installed; it is started when it is asked"),
    }
}

fn judge_rule(rule: &Rule, wanted: Option<&str>, is_resolved: bool) -> Finding {
    let what = "rule for polkit";
    let file = privileges::DEFAULT_FILE;
    let write =
        |finding: Finding| finding.advise("Have it written anew:").run("sudo wellkeep privileges --write");
    match (rule, wanted) {
        (Rule::Unreadable(_), _) => Finding::unknown(what, format!("{file} cannot be read by you"))
            .advise("Only root sees it:")
            .run("sudo wellkeep doctor"),
        (Rule::Absent, None) => {
            Finding::ok(what, "none, and none is needed: nothing is healed by restart or reload")
        }
        (Rule::Absent, Some(_)) => {
            write(Finding::problem(what, format!("{file} is missing, so every heal will be denied")))
        }
        (Rule::There { .. }, None) => write(Finding::warning(
            what,
            format!("{file} grants rights that the configuration does not ask for any more"),
        )),
        (Rule::There { mode, .. }, Some(_)) if *mode != 0o644 => write(Finding::problem(
            what,
            format!(
                "{file} has mode {mode:04o} instead of 0644: polkitd must read it and nobody else write it"
            ),
        )),
        (Rule::There { text, .. }, Some(wanted)) if text == wanted => {
            Finding::ok(what, "there, and exactly what `heal` asks for")
        }
        (Rule::There { .. }, Some(_)) if !is_resolved => {
            Finding::unknown(what, "cannot be compared, as systemd does not tell the units' own names")
                .advise("First mend the bus, then look again:")
                .run("sudo wellkeep doctor")
        }
        (Rule::There { .. }, Some(_)) => {
            write(Finding::problem(what, format!("{file} does not say what the configuration asks for")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::systemd::UnitState;

    fn there(text: &str, mode: u32) -> Rule {
        Rule::There { text: text.to_owned(), mode }
    }

    #[test]
    fn the_rule_must_be_there_exactly_when_something_is_healed() {
        let level = |rule, wanted| judge_rule(&rule, wanted, true).level;
        assert_eq!(level(Rule::Absent, None), Level::Ok);
        assert_eq!(level(Rule::Absent, Some("rule")), Level::Problem);
        assert_eq!(level(there("rule", 0o644), Some("rule")), Level::Ok);
        assert_eq!(level(there("old", 0o644), Some("rule")), Level::Problem);
        assert_eq!(level(there("rule", 0o666), Some("rule")), Level::Problem);
        assert_eq!(level(there("old", 0o644), None), Level::Warning);
        assert_eq!(level(Rule::Unreadable(ErrorKind::PermissionDenied), Some("rule")), Level::Unknown);
        assert_eq!(judge_rule(&there("alias", 0o644), Some("rule"), false).level, Level::Unknown);
    }

    #[test]
    fn polkit_must_be_there_but_need_not_run() {
        let said = |is_installed, load: &str, active: &str| {
            let state = UnitState { load: load.into(), active: active.into(), ..UnitState::default() };
            let unit = InstalledUnit { state, ..InstalledUnit::default() };
            judge_polkit(Polkit { is_installed, unit: &unit })
        };
        assert_eq!(said(true, "loaded", "active").level, Level::Ok);
        assert_eq!(said(true, "loaded", "inactive").level, Level::Ok);
        assert_eq!(said(true, "masked", "inactive").commands[0], "sudo systemctl unmask polkit.service");
        assert_eq!(said(true, "loaded", "failed").level, Level::Problem);
        assert_eq!(said(false, "not-found", "inactive").commands[0], "sudo apt install polkitd");
    }

    #[test]
    fn the_group_of_the_journal_is_missed_only_where_the_unit_is_known() {
        let findings = |user: Option<&str>, reads_journal| {
            let rights = Rights {
                user: user.map(str::to_owned),
                account: Account::find("wellkeep:x:998:997:", "", "wellkeep", &[]),
                reads_journal,
                rule: Rule::Absent,
                files: Vec::new(),
                loose: Vec::new(),
            };
            let configuration = Configuration::read(Path::new("/nonexistent/monitor.yml"), "wellkeep");
            judge(&rights, &configuration, None, None)
        };
        let worst = |findings: Vec<Finding>| findings.iter().map(|finding| finding.level).max();
        assert_eq!(worst(findings(Some("wellkeep"), true)), Some(Level::Ok));
        assert_eq!(worst(findings(Some("wellkeep"), false)), Some(Level::Warning));
        assert_eq!(worst(findings(None, false)), Some(Level::Ok));
    }

    #[test]
    fn a_secret_that_the_monitor_cannot_read_is_a_problem_and_one_that_we_cannot_see_is_none() {
        let path = Path::new("/etc/shop/token");
        let denied = Reading::Denied { at: path.to_owned(), mode: 0o600 };
        let finding = unreadable("wellkeep", path, &denied).unwrap();
        assert_eq!(
            (finding.level, finding.commands[0].as_str()),
            (Level::Problem, "sudo chgrp wellkeep /etc/shop/token")
        );
        let untold = Reading::Untold { at: "/etc/shop".into(), kind: ErrorKind::PermissionDenied };
        assert_eq!(unreadable("wellkeep", path, &untold).unwrap().level, Level::Unknown);
        assert_eq!(unreadable("wellkeep", path, &Reading::Granted), None);
    }
}
