//! The bus, and systemd on it.

use super::finding::Finding;
use crate::systemd::{BusError, Survey};

const WHAT: &str = "system D-Bus";

/// Older ones do not understand all settings of the shipped units.
const OLDEST_SYSTEMD: u32 = 252;

pub(super) fn judge(survey: &Result<Survey, BusError>, took_ms: u128) -> Vec<Finding> {
    match survey {
        Ok(survey) => {
            vec![Finding::ok(WHAT, format!("answers (all questions in {took_ms} ms)")), version(&survey.version)]
        }
        Err(error @ BusError::Missing(_)) => vec![
            Finding::problem(WHAT, error.to_string())
                .advise("Without it nothing is known of units, and nothing is healed. Install it, or start it:")
                .run("sudo apt install dbus")
                .run("sudo systemctl start dbus.socket"),
        ],
        Err(error @ BusError::TimedOut(_)) => vec![
            Finding::problem(WHAT, error.to_string())
                .advise(
                    "It hangs. If its process was stopped, the second command lets it go on; a restart of it ends \
                     sessions, so rather restart the machine",
                )
                .run("systemctl status dbus.service --no-pager")
                .run("sudo systemctl kill --signal=CONT dbus.service"),
        ],
        Err(error) => vec![
            Finding::problem(WHAT, error.to_string())
                .advise("Without it nothing is known of units, and nothing is healed. See how it is:")
                .run("systemctl status dbus.service --no-pager")
                .run("sudo systemctl start dbus.socket dbus.service"),
        ],
    }
}

fn version(version: &str) -> Finding {
    let digits =
        version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    match digits.parse::<u32>() {
        Ok(number) if number >= OLDEST_SYSTEMD => Finding::ok("systemd", format!("version {version}")),
        Ok(number) => Finding::warning("systemd", format!("version {number}, older than {OLDEST_SYSTEMD}"))
            .advise(
                "The units were tried with 252 and 257. Upgrade the system, or see what it ignores of them:",
            )
            .run("sudo journalctl -b -g wellkeep _PID=1 --no-pager"),
        Err(_) => Finding::unknown("systemd", format!("its version cannot be read: {version:?}"))
            .advise("It must be at least 252:")
            .run("systemctl --version"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn a_version_is_the_number_that_it_begins_with() {
        let level = |text| version(text).level;
        assert_eq!(level("252.39-1~deb12u1"), Level::Ok);
        assert_eq!(level("257"), Level::Ok);
        assert_eq!(level("v254-rc1"), Level::Ok);
        assert_eq!(level("249.11-0ubuntu3"), Level::Warning);
        assert_eq!(level("unstable"), Level::Unknown);
    }

    #[test]
    fn a_bus_that_is_not_there_and_one_that_hangs_are_two_things() {
        let said = |error| judge(&Err(error), 0).remove(0);
        assert_eq!(said(BusError::Missing("/run/x".into())).commands[0], "sudo apt install dbus");
        let hangs = said(BusError::TimedOut(Duration::from_secs(5)));
        assert_eq!(hangs.level, Level::Problem);
        assert!(hangs.commands[1].ends_with("kill --signal=CONT dbus.service"), "{:?}", hangs.commands);
    }
}
