//! What the kernel and the system offer: pressure, pidfds, control groups, sight of processes, limits, a journal that
//! stays, certificate authorities.

use std::path::Path;

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::finding::Finding;
use crate::host;

/// A watch on the holds needs one instance; a desktop or a container host may have used them all up.
const FEW_INOTIFY_INSTANCES: u64 = 16;
/// Each probe in flight has an open file, and so has each watched process.
const FEW_OPEN_FILES: u64 = 1024;

/// What was read.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    has_pressure: bool,
    has_pidfd: bool,
    cgroup: Cgroup,
    /// The `hidepid=` that `/proc` is mounted with, if it hides anything.
    hidepid: Option<String>,
    /// `max_user_instances`; none where it cannot be read.
    inotify_instances: Option<u64>,
    /// How many files the monitor may have open; none where it does not run or cannot be read.
    open_files: Option<u64>,
    /// Whether the journal is kept on disk; none without systemd.
    journal_stays: Option<bool>,
    /// How many certificate authorities the system has, where a check needs them.
    authorities: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cgroup {
    /// Version 2, and whether it accounts for memory.
    V2 { memory: bool },
    /// Version 1, or both.
    Older,
}

impl Kernel {
    pub(super) fn read(
        root: &Path,
        monitor: Option<u32>,
        has_systemd: bool,
        needs_authorities: bool,
    ) -> Kernel {
        let proc_root = root.join("proc");
        let text = |path: std::path::PathBuf| std::fs::read_to_string(path).ok();
        let pressure = host::pressure(&proc_root);
        let controllers = text(root.join("sys/fs/cgroup/cgroup.controllers"));
        Kernel {
            has_pressure: pressure.memory.is_some() && pressure.cpu.is_some(),
            has_pidfd: pidfd_open(getpid(), PidfdFlags::empty()).is_ok(),
            cgroup: controllers.map_or(Cgroup::Older, |names| Cgroup::V2 {
                memory: names.split_whitespace().any(|name| name == "memory"),
            }),
            hidepid: text(proc_root.join("mounts")).and_then(|mounts| hidepid(&mounts)),
            inotify_instances: text(proc_root.join("sys/fs/inotify/max_user_instances"))
                .and_then(|number| number.trim().parse().ok()),
            open_files: monitor
                .and_then(|pid| text(proc_root.join(pid.to_string()).join("limits")))
                .and_then(|limits| open_files(&limits)),
            journal_stays: has_systemd.then(|| root.join("var/log/journal").is_dir()),
            authorities: needs_authorities.then(|| rustls_native_certs::load_native_certs().certs.len()),
        }
    }

    pub(super) fn judge(&self) -> Vec<Finding> {
        let checks = [
            self.pressure(),
            self.pidfd(),
            self.cgroup(),
            self.sight(),
            self.inotify(),
            self.files(),
            self.journal(),
            self.certificates(),
        ];
        checks.into_iter().flatten().collect()
    }

    fn pressure(&self) -> Option<Finding> {
        let what = "pressure (PSI)";
        Some(if self.has_pressure {
            Finding::ok(what, "told by the kernel")
        } else {
            Finding::note(what, "not told: a late answer of a machine that starves looks like one of the service")
                .advise("Debian's kernels have it; elsewhere boot with psi=1 on the kernel's command line. Is it there?")
                .run("cat /proc/cmdline")
        })
    }

    fn pidfd(&self) -> Option<Finding> {
        let what = "pidfd";
        Some(if self.has_pidfd {
            Finding::ok(what, "there: the end of a process is known at once")
        } else {
            Finding::note(what, "missing: the end of a process is seen only at the next look")
                .advise("It needs Linux 5.3, and a sandbox that allows pidfd_open. Which kernel is it?")
                .run("uname --kernel-release")
        })
    }

    fn cgroup(&self) -> Option<Finding> {
        let what = "control groups";
        Some(match self.cgroup {
            Cgroup::V2 { memory: true } => Finding::ok(what, "version 2, with memory"),
            Cgroup::V2 { memory: false } => {
                Finding::note(what, "version 2 without memory: no figures of it, and MemoryMax= has no effect")
                    .advise("In a container the host decides; elsewhere remove cgroup_disable=memory from:")
                    .run("cat /proc/cmdline")
            }
            Cgroup::Older => Finding::note(what, "version 1: some figures and limits of units are missing")
                .advise("Boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line. What is it now?")
                .run("cat /proc/cmdline"),
        })
    }

    fn sight(&self) -> Option<Finding> {
        let what = "sight of processes";
        Some(match &self.hidepid {
            None => Finding::ok(what, "all of them"),
            Some(option) => Finding::warning(
                what,
                format!("/proc is mounted with {option}: process checks will say \"unknown\""),
            )
            .advise(
                "Add SupplementaryGroups= with the group in `gid=` of that mount, or \
                         AmbientCapabilities=CAP_SYS_PTRACE, to the monitor's unit:",
            )
            .run("findmnt /proc")
            .run("sudo systemctl edit wellkeep-monitor.service"),
        })
    }

    fn inotify(&self) -> Option<Finding> {
        let instances = self.inotify_instances.filter(|instances| *instances < FEW_INOTIFY_INSTANCES)?;
        let found = format!("{instances} instances for each user: holds may be seen only after a second");
        Some(
            Finding::note("inotify", found)
                .advise("Allow more:")
                .run("echo fs.inotify.max_user_instances=128 | sudo tee /etc/sysctl.d/60-inotify.conf")
                .run("sudo sysctl --system"),
        )
    }

    fn files(&self) -> Option<Finding> {
        let files = self.open_files.filter(|files| *files < FEW_OPEN_FILES)?;
        let found =
            format!("the monitor may have {files} at once: many services at a time will be \"unknown\"");
        Some(
            Finding::warning("open files", found)
                .advise("The shipped unit says LimitNOFILE=8192; see what changes that:")
                .run("systemctl cat wellkeep-monitor.service"),
        )
    }

    fn journal(&self) -> Option<Finding> {
        let what = "journal";
        Some(if self.journal_stays? {
            Finding::ok(what, "kept on disk")
        } else {
            Finding::note(what, "kept in memory: what services said before a crash of the machine is lost")
                .advise("Keep it on disk:")
                .run("sudo mkdir --parents /var/log/journal")
                .run("sudo journalctl --flush")
        })
    }

    fn certificates(&self) -> Option<Finding> {
        let what = "certificate authorities";
        Some(match self.authorities? {
            0 => Finding::problem(what, "none are installed, so every check of an https URL fails")
                .advise("Install them, and restart the monitor:")
                .run("sudo apt install ca-certificates")
                .run("sudo systemctl restart wellkeep-monitor"),
            count => Finding::ok(what, format!("{count} of them")),
        })
    }
}

/// The option of the last mount on `/proc`, which hides the ones below it.
fn hidepid(mounts: &str) -> Option<String> {
    let mount = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .rfind(|fields| matches!(fields.as_slice(), [_, "/proc", "proc", ..]))?;
    let options = mount.get(3)?.split(',');
    let hides =
        |option: &&str| option.strip_prefix("hidepid=").is_some_and(|value| !["0", "off"].contains(&value));
    options.into_iter().find(hides).map(str::to_owned)
}

/// The soft limit, from `/proc/PID/limits`.
fn open_files(limits: &str) -> Option<u64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    fn kernel() -> Kernel {
        Kernel {
            has_pressure: true,
            has_pidfd: true,
            cgroup: Cgroup::V2 { memory: true },
            hidepid: None,
            inotify_instances: Some(128),
            open_files: Some(8192),
            journal_stays: Some(true),
            authorities: Some(140),
        }
    }

    fn worst(kernel: &Kernel) -> Level {
        kernel.judge().iter().map(|finding| finding.level).max().unwrap()
    }

    #[test]
    fn what_is_merely_missing_is_a_note_and_what_blinds_the_monitor_more() {
        assert_eq!(worst(&kernel()), Level::Ok);
        assert_eq!(worst(&Kernel { has_pressure: false, ..kernel() }), Level::Note);
        assert_eq!(worst(&Kernel { has_pidfd: false, ..kernel() }), Level::Note);
        assert_eq!(worst(&Kernel { cgroup: Cgroup::Older, ..kernel() }), Level::Note);
        assert_eq!(worst(&Kernel { journal_stays: Some(false), ..kernel() }), Level::Note);
        assert_eq!(worst(&Kernel { inotify_instances: Some(1), ..kernel() }), Level::Note);
        assert_eq!(worst(&Kernel { hidepid: Some("hidepid=2".into()), ..kernel() }), Level::Warning);
        assert_eq!(worst(&Kernel { open_files: Some(64), ..kernel() }), Level::Warning);
        assert_eq!(worst(&Kernel { authorities: Some(0), ..kernel() }), Level::Problem);
        assert_eq!(worst(&Kernel { authorities: None, ..kernel() }), Level::Ok);
    }

    #[test]
    fn the_mount_on_top_says_who_sees_processes() {
        let plain = "proc /proc proc rw,nosuid 0 0\n";
        assert_eq!(hidepid(plain), None);
        let hidden =
            format!("{plain}proc /proc proc rw,hidepid=invisible,gid=4 0 0\ntmpfs /proc/x tmpfs rw 0 0\n");
        assert_eq!(hidepid(&hidden).as_deref(), Some("hidepid=invisible"));
        assert_eq!(hidepid("proc /proc proc rw,hidepid=0 0 0\n"), None);
    }

    #[test]
    fn the_soft_limit_counts() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files unlimited"), None);
    }
}
