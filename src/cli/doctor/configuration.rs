//! The configuration: as `wellkeep check`, and whether it is the one in force.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Orders};
use crate::cli::environment;
use crate::cli::privileges::{self, Wanted};
use crate::config::{self, Checked, Problems};
use crate::probe::counted;
use crate::status::{Document, Timestamp};

/// What was read.
pub(super) struct Configuration {
    pub(super) path: PathBuf,
    exists: Result<(), ErrorKind>,
    checked: Result<Checked, Problems>,
    wanted: Option<Wanted>,
    /// When the file was last changed.
    changed_at: Option<Timestamp>,
}

impl Configuration {
    /// Reads it. The rule for this user is made from it, which asks systemd for names and takes 2 s at most.
    pub(super) fn read(path: &Path, user: &str) -> Configuration {
        let metadata = std::fs::File::open(path).and_then(|file| file.metadata());
        let changed = metadata.as_ref().ok().and_then(|metadata| metadata.modified().ok());
        let changed = changed.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let healing = config::load_healing(path, &environment).ok();
        Configuration {
            path: path.to_owned(),
            exists: metadata.map(|_| ()).map_err(|error| error.kind()),
            checked: config::check(path, &environment),
            // As root's own step does it: what others can write grants nothing.
            wanted: healing.map(|healing| match privileges::loose(path) {
                Some(_) => Wanted { rule: None, is_resolved: true },
                None => privileges::wanted(user, &privileges::trusted(healing).0),
            }),
            changed_at: changed.and_then(|at| i64::try_from(at.as_millis()).ok()).map(Timestamp::from_millis),
        }
    }

    pub(super) fn needed_files(&self) -> &[PathBuf] {
        self.checked.as_ref().map(|checked| checked.needed_files.as_slice()).unwrap_or_default()
    }

    /// The file and those that it includes, as far as they are known.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.checked.as_ref().map_or_else(|_| vec![self.path.clone()], |checked| checked.files.clone())
    }

    /// Whether a check needs the certificate authorities of the system.
    pub(super) fn needs_authorities(&self) -> bool {
        self.checked.as_ref().is_ok_and(|checked| checked.needs_authorities)
    }

    /// The rule for polkit that it asks for; none while it is wrong.
    pub(super) fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    pub(super) fn judge(&self, document: Option<&Document>, orders: &Orders, is_root: bool) -> Vec<Finding> {
        let mut findings = vec![self.judge_file(is_root)];
        if let Ok(checked) = &self.checked {
            findings.extend(checked.heal_not_applied.iter().map(|(key, why)| {
                let found = format!("not healed, although `defaults` say so: {why}");
                Finding::note(key, found)
                    .advise("If it should be, give it a `heal` of its own in the configuration.")
            }));
        }
        if let Some(document) = document {
            findings.extend(self.judge_in_force(document, orders));
        }
        findings
    }

    fn judge_file(&self, is_root: bool) -> Finding {
        let path = self.path.display().to_string();
        let check = format!("wellkeep check {path}");
        match (&self.exists, &self.checked) {
            (_, Ok(checked)) => {
                let (services, checks) =
                    (counted(checked.services, "service"), counted(checked.checks, "check"));
                Finding::ok(path, format!("right; {services}, {checks}"))
            }
            (Err(ErrorKind::NotFound), _) => {
                Finding::problem(path, "does not exist, so the monitor cannot start")
                    .advise("Write down what to watch; every setting is explained in:")
                    .run("wellkeep man monitor.yml | man -l -")
            }
            (Err(ErrorKind::PermissionDenied), _) => Finding::unknown(path, "you may not read it")
                .advise("Look as root:")
                .run("sudo wellkeep doctor"),
            (_, Err(problems)) if !is_root && are_all_about_rights(problems) => {
                Finding::unknown(path, "it needs files that you may not read")
                    .advise("Look as root:")
                    .run(format!("sudo {check}"))
            }
            (_, Err(problems)) => {
                let first = problems.iter().next().map(ToString::to_string).unwrap_or_default();
                let found = format!("wrong: {}. The first: {first}", counted(problems.count(), "problem"));
                Finding::problem(path, found).advise("See all of them, and mend them:").run(check)
            }
        }
    }

    /// Whether the monitor works by this file as it is now.
    fn judge_in_force(&self, document: &Document, orders: &Orders) -> Option<Finding> {
        let in_force = &document.monitor.config;
        let what = "configuration in force";
        if let Some(error) = &in_force.error {
            if self.checked.is_err() {
                // The same cause, told of the file already.
                let finding = Finding::note(what, "the last good one, until the file is mended");
                return Some(finding.advise("Then put it in force:").run(&orders.reload));
            }
            let first = error.lines().next().unwrap_or_default();
            let found = format!("the last good one, since the new one was refused: {first}");
            return Some(
                Finding::problem(what, found)
                    .advise("It is right by now, so put it in force:")
                    .run(&orders.reload),
            );
        }
        if let Some(theirs) = &in_force.path
            && Path::new(theirs) != self.path
        {
            let found = format!("the monitor reads {theirs} and not {}", self.path.display());
            let finding = Finding::note(what, found).advise("Look at that one:");
            return Some(finding.run(format!("wellkeep doctor --config {theirs}")));
        }
        let changed_at = self.changed_at?;
        // A file that was written in the very second in which it was loaded may be either.
        let is_newer = changed_at.as_millis() > in_force.loaded_at.as_millis() + 1000;
        if self.checked.is_ok() && is_newer {
            let found = "the file was changed after the monitor read it";
            return Some(Finding::warning(what, found).advise("Put it in force:").run(&orders.reload));
        }
        Some(Finding::ok(what, "this file as it is now"))
    }
}

fn are_all_about_rights(problems: &Problems) -> bool {
    problems.iter().all(|problem| problem.message.to_lowercase().contains("permission denied"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::cli::testing::{at, document};

    fn of(text: &str) -> Configuration {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Configuration::read(file.path(), "wellkeep")
    }

    fn level(configuration: &Configuration) -> Level {
        configuration.judge_file(true).level
    }

    #[test]
    fn a_right_file_a_wrong_one_and_none() {
        assert_eq!(level(&of("services: [{key: web, port: 80}]")), Level::Ok);
        let wrong = of("services: [{key: web, prot: 80}]").judge_file(true);
        assert_eq!(wrong.level, Level::Problem);
        assert!(
            wrong.found.starts_with("wrong: ") && wrong.commands[0].starts_with("wellkeep check /"),
            "{wrong:?}"
        );
        let missing = Configuration::read(Path::new("/nonexistent/monitor.yml"), "wellkeep");
        assert!(missing.judge_file(true).found.starts_with("does not exist"));
    }

    #[test]
    fn the_files_that_it_needs_are_known() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        let path = file.path().display();
        let config = of(&format!(
            "services: [{{key: web, http: {{url: 'https://h/', headers: {{A: '${{file:{path}}}'}}}}}}]"
        ));
        assert_eq!(config.needed_files(), [file.path()]);
        assert!(config.needs_authorities());
        assert!(!of("services: [{key: web, url: 'http://h/'}]").needs_authorities());
    }

    #[test]
    fn a_file_that_was_changed_or_refused_is_not_in_force() {
        let mut config = of("services: [{key: web, port: 80}]");
        config.changed_at = Some(at("10:00:00"));
        let mut document = document("12:00:00", json!({}));
        document.monitor.config.path = Some(config.path.display().to_string());
        document.monitor.config.loaded_at = at("11:00:00");
        let level = |config: &Configuration, document: &Document| {
            config.judge_in_force(document, &Orders::systemd()).unwrap().level
        };
        assert_eq!(level(&config, &document), Level::Ok);
        config.changed_at = Some(at("11:30:00"));
        assert_eq!(level(&config, &document), Level::Warning);
        document.monitor.config.path = Some("/elsewhere.yml".to_owned());
        assert_eq!(level(&config, &document), Level::Note);
        document.monitor.config.error = Some("line 3: no".to_owned());
        assert_eq!(level(&config, &document), Level::Problem);
    }
}
