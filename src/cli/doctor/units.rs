//! The units: installed, enabled, running, and running what is installed.

use std::path::Path;

use procfs::process::all_processes_with_root;

use super::finding::Finding;
use crate::cli::words;
use crate::status::Timestamp;
use crate::systemd::{Exit, InstalledUnit};

pub(super) const MONITOR: &str = "wellkeep-monitor.service";
pub(super) const VIEWER: &str = "wellkeep-viewer.service";
pub(super) const SOCKET: &str = "wellkeep-viewer.socket";
pub(super) const POLKIT: &str = "polkit.service";
pub(super) const RELOAD: &str = "wellkeep-reload.path";
/// The units that systemd is asked for.
pub(super) const ASKED: [&str; 5] = [MONITOR, VIEWER, SOCKET, POLKIT, RELOAD];

/// Restarts by systemd from which on somebody should look at the log.
const MANY_RESTARTS: u32 = 3;

/// A process of Wellkeep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) pid: u32,
    /// The command it runs: `monitor`, `serve`, `dev`.
    pub(super) command: String,
    /// Its program was replaced or removed since it started. None where that cannot be read.
    pub(super) is_outdated: Option<bool>,
    /// It was stopped by a signal (`kill -STOP`), so it does nothing.
    pub(super) is_frozen: bool,
}

/// The processes of Wellkeep that stay: not this one, and no other command of a moment.
pub(super) fn running(proc_root: &Path) -> Vec<Running> {
    let processes = all_processes_with_root(proc_root).into_iter().flatten().flatten();
    let running = processes.filter_map(|process| {
        let line = process.cmdline().ok()?;
        let [program, command, ..] = line.as_slice() else { return None };
        let is_ours = Path::new(program).file_name()? == "wellkeep";
        if !is_ours || !["monitor", "serve", "dev"].contains(&command.as_str()) {
            return None;
        }
        let exe = std::fs::read_link(proc_root.join(process.pid.to_string()).join("exe")).ok();
        Some(Running {
            pid: process.pid.unsigned_abs(),
            command: command.clone(),
            is_outdated: exe.map(|exe| exe.to_string_lossy().ends_with(" (deleted)")),
            is_frozen: process.stat().is_ok_and(|stat| stat.state == 'T'),
        })
    });
    running.collect()
}

/// What the document says of the program that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Writer<'d> {
    pub(super) pid: u32,
    pub(super) version: &'d str,
}

/// Judges the units, which are those of [`ASKED`] in their order.
pub(super) fn judge(
    units: &[InstalledUnit],
    running: &[Running],
    writer: Option<Writer<'_>>,
    now: Timestamp,
) -> Vec<Finding> {
    let [monitor, viewer, socket, _, reload] = units else { return Vec::new() };
    if [monitor, viewer].iter().all(|unit| unit.state.load == "not-found") {
        let finding = Finding::warning(MONITOR, "neither it nor wellkeep-viewer.service is installed");
        return vec![
            finding
                .advise("Install the package, or the units as README.md says. To look around without them:")
                .run("wellkeep dev"),
        ];
    }
    let mut findings = Vec::new();
    for (name, unit) in [(MONITOR, monitor), (VIEWER, viewer)] {
        findings.push(standing(name, unit, socket, now));
        findings.extend(changes(name, unit));
        findings.extend(outdated(name, unit, running, writer));
    }
    if socket.state.active == "failed" {
        let finding = Finding::problem(SOCKET, "failed, so nobody reaches the page through it");
        findings.push(
            finding
                .advise("Look why, and start it again:")
                .run(format!("sudo journalctl -u {SOCKET} -n 20 --no-pager"))
                .run(format!("sudo systemctl restart {SOCKET}")),
        );
    } else if socket.state.active == "active" {
        findings.push(Finding::ok(SOCKET, "active: systemd listens for the viewer"));
    } else if socket.is_enabled() {
        let finding = Finding::warning(SOCKET, "enabled, but does not listen: it will from the next boot on");
        findings.push(
            finding
                .advise("Let it listen now, in the place of the viewer's own `listen` (or disable it, if that is not meant):")
                .run(format!("sudo systemctl stop {VIEWER}"))
                .run(format!("sudo systemctl start {SOCKET}")),
        );
    }
    if reload.is_enabled() && !["active", "failed"].contains(&reload.state.active.as_str()) {
        let finding = Finding::warning(
            RELOAD,
            "enabled, but does not watch the configuration: it will from the next boot on",
        );
        findings.push(finding.advise("Let it watch now:").run(format!("sudo systemctl start {RELOAD}")));
    }
    findings.extend(strangers(&[monitor, viewer], running));
    findings
}

/// Whether it runs and will run after the next boot.
fn standing(name: &str, unit: &InstalledUnit, socket: &InstalledUnit, now: Timestamp) -> Finding {
    let state = &unit.state;
    let is_monitor = name == MONITOR;
    // Without the monitor nothing works; the page may be left out on purpose.
    let missing =
        |found: &str| if is_monitor { Finding::problem(name, found) } else { Finding::warning(name, found) };
    let log = format!("sudo journalctl -u {name} -n 30 --no-pager");
    let file_state = state.details.unit_file_state.as_deref().unwrap_or_default();
    let is_enabled = unit.is_enabled();
    match (state.load.as_str(), state.active.as_str()) {
        ("not-found", _) => missing("not installed")
            .advise("Install the package again, or the unit as README.md says; then:")
            .run(format!("sudo systemctl enable --now {name}")),
        ("masked", _) => {
            let runtime = if file_state == "masked-runtime" { "--runtime " } else { "" };
            missing("masked: systemd refuses to start it")
                .advise("If that is not meant:")
                .run(format!("sudo systemctl unmask {runtime}{name}"))
                .run(format!("sudo systemctl enable --now {name}"))
        }
        ("loaded", "active" | "reloading") => running_well(name, unit, is_enabled, now),
        ("loaded", "failed") if state.details.exit == Some(Exit::Status(78)) => {
            Finding::problem(name, "ended because the configuration is wrong (78)")
                .advise("Mend what this names, and start it again:")
                .run("wellkeep check")
                .run(format!("sudo systemctl restart {name}"))
        }
        ("loaded", "failed") => {
            let result = state.details.result.as_deref().unwrap_or("no result");
            Finding::problem(name, format!("failed ({result})"))
                .advise("Look why, and start it again:")
                .run(log)
                .run(format!("sudo systemctl restart {name}"))
        }
        ("loaded", "activating") if state.sub == "auto-restart" => {
            Finding::problem(name, "ends again and again; systemd goes on restarting it")
                .advise("The log says why:")
                .run(log)
        }
        ("loaded", "activating" | "deactivating") => {
            Finding::note(name, format!("{} just now", state.active))
                .advise("Look again in a moment:")
                .run(format!("systemctl status {name} --no-pager"))
        }
        ("loaded", "inactive") if !is_monitor && socket.state.active == "active" => {
            Finding::ok(name, format!("at rest: {SOCKET} starts it when somebody asks"))
        }
        ("loaded", "inactive") if is_enabled => missing("enabled, but does not run")
            .advise("Start it:")
            .run(format!("sudo systemctl start {name}")),
        ("loaded", "inactive") => missing("neither enabled nor running")
            .advise("If it is wanted:")
            .run(format!("sudo systemctl enable --now {name}")),
        (load, active) => Finding::problem(name, format!("systemd cannot use its file ({load}, {active})"))
            .advise("See what is wrong with it:")
            .run(format!("systemd-analyze verify {name}")),
    }
}

fn running_well(name: &str, unit: &InstalledUnit, is_enabled: bool, now: Timestamp) -> Finding {
    let details = &unit.state.details;
    let since = details.since_us.and_then(|us| i64::try_from(us / 1000).ok()).map(Timestamp::from_millis);
    let since = since.map(|at| format!(" for {}", words::age(at, now))).unwrap_or_default();
    let restarts = details.restarts.unwrap_or(0);
    if !is_enabled {
        return Finding::warning(name, format!("active{since}, but will not start at the next boot"))
            .advise("Enable it:")
            .run(format!("sudo systemctl enable {name}"));
    }
    if restarts >= MANY_RESTARTS {
        return Finding::warning(
            name,
            format!("active{since}, but systemd had to restart it {restarts} times"),
        )
        .advise("The log says why:")
        .run(format!("sudo journalctl -u {name} -n 50 --no-pager"));
    }
    let restarts = match restarts {
        0 => "never restarted by systemd".to_owned(),
        count => format!("restarted by systemd {}", words::counted(count as usize, "time")),
    };
    Finding::ok(name, format!("enabled, active{since}, {restarts}"))
}

fn changes(name: &str, unit: &InstalledUnit) -> Vec<Finding> {
    let mut findings = Vec::new();
    if unit.needs_reload {
        findings.push(
            Finding::warning(name, "its file changed since systemd read it")
                .advise("Have it read again, and put it in force:")
                .run("sudo systemctl daemon-reload")
                .run(format!("sudo systemctl restart {name}")),
        );
    }
    if !unit.drop_ins.is_empty() {
        findings.push(
            Finding::note(name, format!("changed by {}", unit.drop_ins.join(", ")))
                .advise("If that is not meant, see what it says:")
                .run(format!("systemctl cat {name}")),
        );
    }
    findings
}

/// A process that an upgrade left behind, or that does nothing any more.
fn outdated(
    name: &str,
    unit: &InstalledUnit,
    running: &[Running],
    writer: Option<Writer<'_>>,
) -> Option<Finding> {
    let pid = unit.state.details.main_pid?;
    let process = running.iter().find(|running| running.pid == pid);
    if process.is_some_and(|process| process.is_frozen) {
        let finding = Finding::problem(name, format!("pid {pid} was stopped by a signal and does nothing"));
        return Some(finding.advise("Let it go on:").run(format!("sudo kill -CONT {pid}")));
    }
    let own = env!("CARGO_PKG_VERSION");
    let found = match (process.and_then(|process| process.is_outdated), writer) {
        (Some(true), _) => "runs a program that was replaced since it started".to_owned(),
        // Whose program it is cannot be read without rights, but the document tells.
        (_, Some(writer)) if writer.pid == pid && writer.version != own => {
            format!("runs version {}, while {own} is installed", writer.version)
        }
        _ => return None,
    };
    let finding = Finding::warning(name, found);
    Some(finding.advise("Restart it, which loses nothing:").run(format!("sudo systemctl restart {name}")))
}

/// Others than the units' own: they are no fault, but they explain a lot.
fn strangers(units: &[&InstalledUnit], running: &[Running]) -> Vec<Finding> {
    let own = |pid| units.iter().any(|unit| unit.state.details.main_pid == Some(pid));
    let others = running.iter().filter(|running| !own(running.pid));
    let finding = |other: &Running| {
        let found = format!("`wellkeep {}` runs besides (pid {})", other.command, other.pid);
        let finding = Finding::note("other processes", found);
        finding.advise("If it was forgotten:").run(format!("sudo kill {}", other.pid))
    };
    others.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::systemd::{Details, UnitState};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn unit(load: &str, active: &str, file_state: &str) -> InstalledUnit {
        let details = Details {
            unit_file_state: Some(file_state.to_owned()),
            main_pid: (active == "active").then_some(42),
            since_us: Some(1_799_999_990_000_000),
            ..Details::default()
        };
        let state = UnitState { load: load.into(), active: active.into(), details, ..UnitState::default() };
        InstalledUnit { state, ..InstalledUnit::default() }
    }

    fn well() -> InstalledUnit {
        unit("loaded", "active", "enabled")
    }

    fn none() -> InstalledUnit {
        unit("not-found", "inactive", "")
    }

    fn judged(monitor: InstalledUnit) -> Vec<Finding> {
        judge(&[monitor, well(), none(), none(), none()], &[], None, NOW)
    }

    /// What is said of this monitor: level, words, commands.
    fn worst(monitor: InstalledUnit) -> (Level, String, Vec<String>) {
        let worst = judged(monitor).into_iter().max_by_key(|finding| finding.level).unwrap();
        (worst.level, worst.found, worst.commands)
    }

    #[test]
    fn a_unit_that_runs_and_is_enabled_is_right() {
        let (level, found, _) = worst(well());
        assert_eq!(
            (level, found.as_str()),
            (Level::Ok, "enabled, active for 10s, never restarted by systemd")
        );
    }

    #[test]
    fn each_way_not_to_run_has_its_own_remedy() {
        let (level, _, commands) = worst(unit("masked", "inactive", "masked"));
        assert_eq!(level, Level::Problem);
        assert_eq!(commands[0], "sudo systemctl unmask wellkeep-monitor.service");
        let (_, _, commands) = worst(unit("loaded", "inactive", "enabled"));
        assert_eq!(commands, ["sudo systemctl start wellkeep-monitor.service"]);
        let (_, _, commands) = worst(unit("loaded", "inactive", "disabled"));
        assert_eq!(commands, ["sudo systemctl enable --now wellkeep-monitor.service"]);
        let mut failed = unit("loaded", "failed", "enabled");
        assert!(worst(failed.clone()).2[0].contains("journalctl"));
        failed.state.details.exit = Some(Exit::Status(78));
        assert_eq!(worst(failed).2[0], "wellkeep check");
        assert_eq!(worst(unit("loaded", "active", "disabled")).0, Level::Warning);
    }

    #[test]
    fn the_page_may_be_left_out_and_the_monitor_may_not() {
        let findings =
            judge(&[well(), unit("masked", "inactive", "masked"), none(), none(), none()], &[], None, NOW);
        assert_eq!(findings.iter().map(|finding| finding.level).max(), Some(Level::Warning));
    }

    #[test]
    fn a_viewer_that_waits_for_its_socket_is_at_rest() {
        let units = [well(), unit("loaded", "inactive", "disabled"), well(), none(), none()];
        assert!(judge(&units, &[], None, NOW).iter().all(|finding| finding.level == Level::Ok));
    }

    #[test]
    fn a_socket_or_a_watch_that_begins_with_the_next_boot_is_told() {
        let later = || unit("loaded", "inactive", "enabled");
        let findings = judge(&[well(), well(), later(), none(), later()], &[], None, NOW);
        let told: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.level == Level::Warning)
            .map(|finding| finding.what.as_str())
            .collect();
        assert_eq!(told, [SOCKET, RELOAD]);
        // One command a line, so that root's lose their `sudo`, and all of them may be followed.
        let commands: Vec<&String> = findings.iter().flat_map(|finding| &finding.commands).collect();
        assert!(commands.iter().all(|command| command.matches("sudo ").count() == 1), "{commands:?}");
        let off = || unit("loaded", "inactive", "disabled");
        let findings = judge(&[well(), well(), off(), none(), off()], &[], None, NOW);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
    }

    #[test]
    fn files_that_changed_are_told() {
        let changed = InstalledUnit { needs_reload: true, drop_ins: vec!["/etc/x.conf".into()], ..well() };
        let findings = judged(changed);
        assert_eq!(findings[1].commands[0], "sudo systemctl daemon-reload");
        assert_eq!((findings[2].level, findings[2].found.as_str()), (Level::Note, "changed by /etc/x.conf"));
    }

    #[test]
    fn a_program_that_was_replaced_is_told_by_its_file_or_else_by_the_document() {
        let process =
            |is_outdated, is_frozen| Running { pid: 42, command: "monitor".into(), is_outdated, is_frozen };
        let said = |process, version| {
            let writer = Some(Writer { pid: 42, version });
            outdated(MONITOR, &well(), &[process], writer).map(|finding| finding.commands[0].clone())
        };
        let own = env!("CARGO_PKG_VERSION");
        assert_eq!(said(process(Some(false), false), own), None);
        assert_eq!(
            said(process(Some(true), false), own).unwrap(),
            "sudo systemctl restart wellkeep-monitor.service"
        );
        assert!(said(process(None, false), "0.0.1").is_some());
        assert_eq!(said(process(None, true), own).unwrap(), "sudo kill -CONT 42");
    }

    #[test]
    fn nothing_installed_is_said_once() {
        let findings = judge(&[none(), none(), none(), none(), none()], &[], None, NOW);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].commands, ["wellkeep dev"]);
    }
}
