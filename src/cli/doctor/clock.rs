//! The clock: certificates, the age of the document and the times in the ledger are judged by it.

use super::finding::Finding;
use crate::status::Timestamp;
use crate::systemd::Survey;

const WHAT: &str = "clock";

/// 2026-11-01: before this program was made.
const MADE: Timestamp = Timestamp::from_millis(1_793_491_200_000);

pub(super) fn judge(now: Timestamp, survey: Option<&Survey>) -> Vec<Finding> {
    if now < MADE {
        return vec![
            Finding::problem(WHAT, format!("it shows {now}, which is before this program was made"))
                .advise("Set it, best by the network:")
                .run("sudo timedatectl set-ntp true"),
        ];
    }
    let Some(survey) = survey else {
        return vec![
            Finding::note(
                WHAT,
                "whether it is synchronized is known to systemd alone, which does not answer",
            )
            .advise("Compare it with a watch:")
            .run("date --utc"),
        ];
    };
    let finding = match &survey.clock {
        Ok(clock) if clock.is_synchronized => Finding::ok(WHAT, "synchronized"),
        Ok(_) if is_container(&survey.virtualization) => Finding::note(
            WHAT,
            format!("not synchronized; a container ({}) has the clock of its host", survey.virtualization),
        )
        .advise("Look at it on the host:")
        .run("timedatectl"),
        Ok(clock) if clock.can_be => Finding::warning(WHAT, "not synchronized: times will drift from those of others")
            .advise("Have it synchronized by the network; if it is switched on already, that has not reached a server:")
            .run("sudo timedatectl set-ntp true")
            .run("timedatectl timesync-status"),
        Ok(_) => Finding::warning(WHAT, "not synchronized, and nothing is installed that would do it")
            .advise("Install it:")
            .run("sudo apt install systemd-timesyncd"),
        Err(error) => Finding::note(WHAT, format!("whether it is synchronized cannot be told: {error}"))
            .advise("Compare it with a watch:")
            .run("date --utc"),
    };
    vec![finding]
}

/// systemd's words for what shares its kernel with its host.
fn is_container(virtualization: &str) -> bool {
    let containers = [
        "systemd-nspawn",
        "lxc",
        "lxc-libvirt",
        "docker",
        "podman",
        "openvz",
        "rkt",
        "wsl",
        "proot",
        "pouch",
        "container-other",
    ];
    containers.contains(&virtualization)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::systemd::{BusError, ClockSync};

    fn level(now: Timestamp, virtualization: &str, clock: Result<ClockSync, BusError>) -> Level {
        let survey = Survey {
            version: "252".into(),
            virtualization: virtualization.into(),
            has_polkit: true,
            units: Vec::new(),
            clock,
        };
        judge(now, Some(&survey))[0].level
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_a_warning_but_for_a_container() {
        let sync = |is_synchronized, can_be| Ok(ClockSync { is_synchronized, can_be });
        assert_eq!(level(MADE, "kvm", sync(true, true)), Level::Ok);
        assert_eq!(level(MADE, "kvm", sync(false, true)), Level::Warning);
        assert_eq!(level(MADE, "", sync(false, false)), Level::Warning);
        assert_eq!(level(MADE, "systemd-nspawn", sync(false, true)), Level::Note);
        assert_eq!(level(MADE, "", Err(BusError::Closed)), Level::Note);
        assert_eq!(judge(MADE, None)[0].level, Level::Note);
    }

    #[test]
    fn a_clock_before_this_program_was_made_is_wrong() {
        assert_eq!(MADE.to_string(), "2026-11-01T00:00:00Z");
        let then = Timestamp::from_millis(0);
        assert_eq!(level(then, "", Ok(ClockSync { is_synchronized: true, can_be: true })), Level::Problem);
    }
}
