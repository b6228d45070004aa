//! Which lines are wanted, in journalctl's words.

use std::ffi::OsString;

/// The units of ours that have a log.
pub(super) const MONITOR: &str = "wellkeep-monitor.service";
pub(super) const VIEWER: &str = "wellkeep-viewer.service";

/// The fields that are shown; reading the others would cost for nothing.
const SHOWN: &str = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_COMM,_PID,_SYSTEMD_UNIT";

/// `emerg` to `err`.
const ERRORS: [&str; 4] = ["PRIORITY=0", "PRIORITY=1", "PRIORITY=2", "PRIORITY=3"];

/// What systemd and we tell of a service at this priority is about its failure: "Failed with result 'signal'" is one.
const WARNING: &str = "PRIORITY=4";

/// A service, and the units that it may have written its lines in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) key: String,
    pub(super) units: Vec<String>,
}

/// Which lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    /// None means Wellkeep itself.
    pub(super) subjects: Vec<Subject>,
    pub(super) errors: bool,
    pub(super) since: Option<String>,
    pub(super) lines: Option<usize>,
    pub(super) follow: bool,
    /// With all the fields that the journal has.
    pub(super) whole: bool,
}

impl Selection {
    /// The arguments of journalctl.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        // Without --all, what is longer than 4 KiB has no text.
        let mut arguments: Vec<String> =
            ["--quiet", "--no-pager", "--all", "--output=json"].map(str::to_owned).into();
        if !self.whole {
            arguments.push(format!("--output-fields={SHOWN}"));
        }
        // journalctl's own --lines without a number is 10, and with --follow that is what it begins with.
        arguments
            .push(self.lines.map_or_else(|| "--lines=all".to_owned(), |lines| format!("--lines={lines}")));
        if let Some(since) = &self.since {
            arguments.push(format!("--since={}", moment(since)));
        }
        if self.follow {
            arguments.push("--follow".to_owned());
        }
        // Matches of one field are alternatives, those of several fields must all hold, and + is between groups.
        for (number, group) in self.groups().into_iter().enumerate() {
            if number > 0 {
                arguments.push("+".to_owned());
            }
            arguments.extend(group);
        }
        arguments.into_iter().map(OsString::from).collect()
    }

    fn groups(&self) -> Vec<Vec<String>> {
        let ours = [MONITOR.to_owned(), VIEWER.to_owned()];
        if self.subjects.is_empty() {
            return ours.iter().flat_map(|unit| [self.of_ours(unit, None), self.of_systemd(unit)]).collect();
        }
        let mut groups = Vec::new();
        for subject in &self.subjects {
            for unit in &subject.units {
                groups.push(self.of_service(unit));
                groups.push(self.of_systemd(unit));
                groups.push(self.of_crashes(unit));
            }
            groups.push(self.of_ours(MONITOR, Some(&subject.key)));
        }
        groups
    }

    /// What the service's own processes wrote.
    fn of_service(&self, unit: &str) -> Vec<String> {
        self.group([format!("_SYSTEMD_UNIT={unit}")], false)
    }

    /// What systemd says of it. Fields that begin with _ are the journal's own word: anybody can write UNIT=.
    fn of_systemd(&self, unit: &str) -> Vec<String> {
        self.group([format!("UNIT={unit}"), "_PID=1".to_owned()], true)
    }

    /// What systemd-coredump, which is root, says of it.
    fn of_crashes(&self, unit: &str) -> Vec<String> {
        self.group([format!("COREDUMP_UNIT={unit}"), "_UID=0".to_owned()], true)
    }

    /// What we say, of this service or of everything.
    fn of_ours(&self, unit: &str, key: Option<&str>) -> Vec<String> {
        let key = key.map(|key| format!("WELLKEEP_SERVICE={key}"));
        self.group(std::iter::once(format!("_SYSTEMD_UNIT={unit}")).chain(key), true)
    }

    fn group(&self, matches: impl IntoIterator<Item = String>, with_warnings: bool) -> Vec<String> {
        let mut group: Vec<String> = matches.into_iter().collect();
        if self.errors {
            group.extend(ERRORS.map(str::to_owned));
            group.extend(with_warnings.then(|| WARNING.to_owned()));
        }
        group
    }
}

/// `10m` means ten minutes ago, as everywhere with us; journalctl calls that `-600s`. Anything else is left to it.
fn moment(text: &str) -> String {
    match humantime::parse_duration(text) {
        Ok(ago) => format!("-{}s", ago.as_secs()),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(subjects: &[(&str, &[&str])]) -> Selection {
        let subject = |&(key, units): &(&str, &[&str])| Subject {
            key: key.to_owned(),
            units: units.iter().map(|unit| (*unit).to_owned()).collect(),
        };
        Selection {
            subjects: subjects.iter().map(subject).collect(),
            errors: false,
            since: None,
            lines: Some(100),
            follow: false,
            whole: false,
        }
    }

    fn matches(selection: &Selection) -> String {
        let arguments = selection.arguments();
        let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
        words.into_iter().filter(|word| !word.starts_with("--")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn of_a_service_its_own_lines_systemds_and_ours_are_wanted_and_nobody_can_forge_ours() {
        assert_eq!(
            matches(&selection(&[("web", &["web.service"])])),
            "_SYSTEMD_UNIT=web.service + UNIT=web.service _PID=1 + COREDUMP_UNIT=web.service _UID=0 + \
             _SYSTEMD_UNIT=wellkeep-monitor.service WELLKEEP_SERVICE=web"
        );
        assert_eq!(
            matches(&selection(&[("web", &[])])),
            "_SYSTEMD_UNIT=wellkeep-monitor.service WELLKEEP_SERVICE=web"
        );
    }

    #[test]
    fn without_a_service_our_own_units_are_meant() {
        assert_eq!(
            matches(&selection(&[])),
            "_SYSTEMD_UNIT=wellkeep-monitor.service + UNIT=wellkeep-monitor.service _PID=1 + \
             _SYSTEMD_UNIT=wellkeep-viewer.service + UNIT=wellkeep-viewer.service _PID=1"
        );
    }

    #[test]
    fn errors_are_those_of_the_service_and_also_warnings_of_those_who_watch_it() {
        let errors = Selection { errors: true, ..selection(&[("web", &["web.service"])]) };
        let matches = matches(&errors);
        let groups: Vec<&str> = matches.split(" + ").collect();
        assert!(groups[0].ends_with("PRIORITY=2 PRIORITY=3"), "{matches}");
        assert!(groups[1..].iter().all(|group| group.ends_with("PRIORITY=3 PRIORITY=4")), "{matches}");
    }

    #[test]
    fn a_moment_is_a_span_as_everywhere_or_journalctls_affair() {
        assert_eq!(
            ["10m", "2h", "yesterday", "2026-11-23 14:00"].map(moment),
            ["-600s", "-7200s", "yesterday", "2026-11-23 14:00"]
        );
    }
}
