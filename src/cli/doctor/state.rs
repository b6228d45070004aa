//! The state directory and the document in it.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::access::Account;
use super::finding::{Finding, Orders};
use super::units::Running;
use crate::cli::document::Known;
use crate::cli::words;
use crate::status::read::{Freshness, ReadError};
use crate::store::history;

/// Incidents are bounded by 8 MiB, the ledger by 3, changes of state by 4, the list of incidents by less than 1; what lies
/// here beyond that and the files that grow with the number of services is not ours.
const BOUND_MIB: u64 = 17;
const MIB: u64 = 1024 * 1024;
/// So many files at most are looked at: more are a finding by themselves.
const FILES_LIMIT: usize = 20_000;
/// A document of 10,000 services takes 8 MiB, and is written beside the old one.
const SPACE_MIB: u64 = 32;
const FEW_INODES: u64 = 100;

/// What was read.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    folder: Result<Folder, ErrorKind>,
    status_file: PathBuf,
    /// The mode of the document.
    mode: Option<u32>,
    document: Result<Known, ReadError>,
}

#[derive(Debug, Clone)]
struct Folder {
    owner: u32,
    mode: u32,
    /// Whether the monitor's user may write it; none when that user is not known.
    is_writable: Option<bool>,
    system: FileSystem,
    /// What lies in it but for the files that grow with the services, and how many files that are.
    bytes: u64,
    files: usize,
    /// Temporary folders that a killed monitor left behind.
    leftovers: usize,
}

#[derive(Debug, Clone, Copy)]
struct FileSystem {
    kind: Option<i64>,
    is_read_only: bool,
    free_bytes: u64,
    /// None where there is no such limit (btrfs, xfs with its own).
    free_inodes: Option<u64>,
}

impl StateDir {
    /// Reads it, as it is for this user.
    pub(super) fn read(path: &Path, status_file: &Path, account: Option<&Account>) -> StateDir {
        StateDir {
            path: path.to_owned(),
            folder: Folder::read(path, status_file, account).map_err(|error| error.kind()),
            mode: std::fs::metadata(status_file).ok().map(|metadata| metadata.mode() & 0o777),
            document: Known::try_read(status_file),
            status_file: status_file.to_owned(),
        }
    }

    /// The document, however old it is.
    pub(super) fn known(&self) -> Option<&Known> {
        self.document.as_ref().ok()
    }

    /// `user` is the monitor's, `main_pid` the main process of its unit while that runs.
    pub(super) fn judge(
        &self,
        user: &str,
        main_pid: Option<u32>,
        running: &[Running],
        orders: &Orders,
    ) -> Vec<Finding> {
        let shown = self.path.display().to_string();
        let mut findings = match &self.folder {
            Ok(folder) => folder.judge(&shown, user, orders),
            // Of the document in it there is no more to say.
            Err(ErrorKind::NotFound) if matches!(self.document, Err(ReadError::Missing(_))) => {
                return vec![
                    Finding::problem(&shown, "does not exist: no monitor has ever run here")
                        .advise("The monitor makes it:")
                        .run(&orders.start),
                ];
            }
            Err(kind) => vec![
                Finding::unknown(&shown, format!("cannot be looked at: {kind}"))
                    .advise("As root it can:")
                    .run("sudo wellkeep doctor"),
            ],
        };
        findings.extend(self.judge_document(main_pid, running, orders));
        findings
    }

    fn judge_document(&self, main_pid: Option<u32>, running: &[Running], orders: &Orders) -> Vec<Finding> {
        let shown = self.status_file.display().to_string();
        let start = if main_pid.is_some() { &orders.restart } else { &orders.start };
        let known = match &self.document {
            Ok(known) => known,
            Err(ReadError::Unreadable { source, .. }) => {
                return vec![
                    Finding::unknown(&shown, format!("cannot be read: {source}"))
                        .advise("Everybody should be able to:")
                        .run(format!("sudo chmod a+rx {}", self.path.display()))
                        .run(format!("sudo chmod 0644 {shown}")),
                ];
            }
            Err(ReadError::Missing(_)) => {
                return vec![
                    Finding::problem(&shown, "does not exist")
                        .advise("The monitor writes it; its log says why it does not:")
                        .run(&orders.log)
                        .run(start),
                ];
            }
            Err(error) => {
                return vec![
                    Finding::problem(&shown, error.to_string())
                        .advise("Have it written anew:")
                        .run(start)
                        .run("wellkeep status"),
                ];
            }
        };
        let mut findings = vec![judge_freshness(&shown, known, running, start, orders)];
        if let Some(mode) = self.mode.filter(|mode| mode & 0o444 != 0o444) {
            let found = format!("has mode {mode:04o}, so the viewer cannot read it");
            findings.push(
                Finding::problem(&shown, found)
                    .advise("The monitor gives it 0644; somebody took that away:")
                    .run(format!("sudo chmod 0644 {shown}")),
            );
        }
        let writer = known.document.monitor.pid;
        if let Some(main_pid) = main_pid
            && known.freshness.is_fresh()
            && writer != main_pid
        {
            let found = format!(
                "written by pid {writer}, while the monitor's unit is pid {main_pid}: two monitors write"
            );
            findings.push(
                Finding::problem(&shown, found)
                    .advise("End the other one:")
                    .run(format!("sudo kill {writer}")),
            );
        }
        findings
    }
}

fn judge_freshness(shown: &str, known: &Known, running: &[Running], start: &str, orders: &Orders) -> Finding {
    let monitor = &known.document.monitor;
    let process = running.iter().find(|running| running.pid == monitor.pid);
    let what = known.document.services.len();
    match known.freshness {
        Freshness::Fresh => {
            let found = format!("fresh, written by pid {}, {}", monitor.pid, words::counted(what, "service"));
            Finding::ok(shown, found)
        }
        Freshness::Stale { age_s } => {
            let age = words::rough(age_s);
            match process {
                Some(process) if process.is_frozen => {
                    let found = format!(
                        "not written for {age}: the monitor (pid {}) was stopped by a signal",
                        process.pid
                    );
                    Finding::problem(shown, found)
                        .advise("Let it go on; systemd would restart it, too, after a minute:")
                        .run(format!("sudo kill -CONT {}", process.pid))
                }
                Some(process) => {
                    let found =
                        format!("not written for {age}, though the monitor runs (pid {})", process.pid);
                    Finding::problem(shown, found)
                        .advise("It hangs, or cannot write. The log says which:")
                        .run(&orders.log)
                        .run(&orders.restart)
                }
                None => Finding::problem(shown, format!("not written for {age}: its monitor is gone"))
                    .advise("Start one:")
                    .run(start),
            }
        }
        Freshness::EarlierBoot => {
            Finding::problem(shown, "from before the last reboot: no monitor has run since")
                .advise("Start it, also at every boot:")
                .run("sudo systemctl enable --now wellkeep-monitor")
        }
        Freshness::Stopped => {
            Finding::problem(shown, "its monitor was stopped").advise("If that is not meant:").run(start)
        }
        Freshness::Future { ahead_s } => {
            let found = format!("dated {} in the future: the clock was set back", words::rough(ahead_s));
            Finding::problem(shown, found)
                .advise("See that the clock is right, then have it written anew:")
                .run("timedatectl")
                .run(start)
        }
    }
}

impl Folder {
    #[allow(clippy::useless_conversion, reason = "the magic number is narrower on machines of 32 bits")]
    fn read(path: &Path, status_file: &Path, account: Option<&Account>) -> io::Result<Folder> {
        let metadata = std::fs::metadata(path)?;
        let vfs = rustix::fs::statvfs(path)?;
        let mut folder = Folder {
            owner: metadata.uid(),
            mode: metadata.mode() & 0o7777,
            is_writable: account.map(|account| account.may(&metadata, 0o3)),
            system: FileSystem {
                kind: rustix::fs::statfs(path).ok().map(|system| i64::from(system.f_type)),
                is_read_only: vfs.f_flag.contains(StatVfsMountFlags::RDONLY),
                free_bytes: vfs.f_bavail.saturating_mul(vfs.f_frsize),
                free_inodes: (vfs.f_files > 0).then_some(vfs.f_favail),
            },
            bytes: 0,
            files: 0,
            leftovers: 0,
        };
        folder.walk(path, status_file);
        Ok(folder)
    }

    /// Adds up what lies in it. What cannot be read is not counted: evidence is for its owner alone.
    fn walk(&mut self, path: &Path, status_file: &Path) {
        let grows = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path == status_file || name == "state.json" || history::is_day(&name)
        };
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if self.files >= FILES_LIMIT {
                    return;
                }
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    self.leftovers +=
                        usize::from(is_leftover(&entry.file_name().to_string_lossy(), &metadata));
                    folders.push(entry.path());
                } else if !grows(&entry.path()) {
                    self.files += 1;
                    self.bytes += metadata.len();
                }
            }
        }
    }

    fn judge(&self, shown: &str, user: &str, orders: &Orders) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.is_writable == Some(false) {
            let found =
                format!("{user} cannot write it: owned by uid {}, mode {:04o}", self.owner, self.mode);
            findings.push(
                Finding::problem(shown, found)
                    .advise("Give it back, and let the monitor begin anew:")
                    .run(format!("sudo chown --recursive {user}: {shown}"))
                    .run(format!("sudo chmod 0755 {shown}"))
                    .run(&orders.restart),
            );
        } else if self.mode & 0o005 != 0o005 || self.mode & 0o002 != 0 {
            let why =
                if self.mode & 0o002 != 0 { "everybody may write it" } else { "the viewer cannot read it" };
            findings.push(
                Finding::problem(shown, format!("has mode {:04o} instead of 0755: {why}", self.mode))
                    .advise("Set it right:")
                    .run(format!("sudo chmod 0755 {shown}")),
            );
        }
        findings.extend(self.system.judge(shown));
        if self.files >= FILES_LIMIT || self.bytes > BOUND_MIB * MIB {
            let found = format!(
                "holds {} MiB in {} files; Wellkeep keeps {BOUND_MIB} MiB",
                self.bytes / MIB,
                self.files
            );
            findings.push(
                Finding::warning(shown, found)
                    .advise("Something that is not of Wellkeep lies there, or lies there twice. See what is large:")
                    .run(format!("sudo du --all --human-readable {shown} | sort --human-numeric-sort | tail")),
            );
        }
        if self.leftovers > 0 {
            let found =
                format!("{} of writes that were cut off", words::counted(self.leftovers, "temporary folder"));
            findings.push(
                Finding::note(shown, found)
                    .advise("The monitor removes them when it starts:")
                    .run(&orders.restart),
            );
        }
        if findings.is_empty() {
            let free = self.system.free_bytes / MIB;
            let found =
                format!("mode {:04o}, {} KiB used, {free} MiB free", self.mode, self.bytes.div_ceil(1024));
            findings.push(Finding::ok(shown, found));
        }
        findings
    }
}

/// What `atomicwrites` makes, when it is older than any write takes.
fn is_leftover(name: &str, metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
    name.starts_with(".atomicwrite") && age.as_secs() > 60
}

impl FileSystem {
    fn judge(&self, shown: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.is_read_only {
            findings.push(
                Finding::problem(shown, "lies on a file system that is read-only, so nothing can be written")
                    .advise("The kernel does that after errors of a disk; see whether it did:")
                    .run("sudo dmesg --level=err,warn | tail -n 30")
                    .run(format!("findmnt --target {shown}")),
            );
        }
        if self.free_bytes < SPACE_MIB * MIB {
            let found = format!("{} MiB are free on its file system", self.free_bytes / MIB);
            let full = if self.free_bytes < MIB { Finding::problem } else { Finding::warning };
            findings.push(
                full(shown, found)
                    .advise("Make room; nothing is recorded on a full disk:")
                    .run(format!("df --human-readable {shown}")),
            );
        }
        if self.free_inodes.is_some_and(|free| free < FEW_INODES) {
            findings.push(
                Finding::problem(shown, "its file system has no room for more files (inodes)")
                    .advise("Somebody made very many small ones; find out where:")
                    .run(format!("df --inodes {shown}")),
            );
        }
        match self.kind.and_then(kind) {
            Some(Kind::Memory) => findings.push(
                Finding::warning(shown, "lies in memory (tmpfs): budgets and history are lost with each boot")
                    .advise("Put it on a disk: `monitor: {state_dir: ...}` in the configuration, or see who mounts it there:")
                    .run(format!("findmnt --target {shown}")),
            ),
            Some(Kind::Network(name)) => findings.push(
                Finding::warning(shown, format!("lies on a network file system ({name}), which hangs when the network does"))
                    .advise("Put it on a local disk: `monitor: {state_dir: ...}` in the configuration. See who mounts it there:")
                    .run(format!("findmnt --target {shown}")),
            ),
            None => {}
        }
        findings
    }
}

/// What is special about a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Network(&'static str),
}

/// By the magic numbers of `statfs(2)`.
fn kind(magic: i64) -> Option<Kind> {
    Some(match magic {
        0x0102_1994 | 0x8584_58f6 => Kind::Memory,
        0x6969 => Kind::Network("NFS"),
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => Kind::Network("SMB"),
        0x00c3_6400 => Kind::Network("Ceph"),
        0x6573_5546 => Kind::Network("FUSE"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::cli::testing::{at, document};

    const PLENTY: FileSystem =
        FileSystem { kind: None, is_read_only: false, free_bytes: 1 << 40, free_inodes: Some(1 << 20) };

    fn folder() -> Folder {
        let folder = Folder {
            owner: 998,
            mode: 0o755,
            is_writable: Some(true),
            system: PLENTY,
            bytes: 4096,
            files: 3,
            leftovers: 0,
        };
        assert_eq!(worst(&folder).0, Level::Ok);
        folder
    }

    fn worst(folder: &Folder) -> (Level, String) {
        let worst = folder
            .judge("/var/lib/wellkeep", "wellkeep", &Orders::systemd())
            .into_iter()
            .max_by_key(|finding| finding.level)
            .unwrap();
        (worst.level, worst.commands.first().cloned().unwrap_or_default())
    }

    #[test]
    fn a_folder_that_the_monitor_cannot_write_or_others_can_is_a_problem() {
        let (level, command) = worst(&Folder { is_writable: Some(false), ..folder() });
        assert_eq!(
            (level, command.as_str()),
            (Level::Problem, "sudo chown --recursive wellkeep: /var/lib/wellkeep")
        );
        for mode in [0o750, 0o777] {
            let (level, command) = worst(&Folder { mode, ..folder() });
            assert_eq!((level, command.as_str()), (Level::Problem, "sudo chmod 0755 /var/lib/wellkeep"));
        }
    }

    #[test]
    fn a_disk_that_is_full_read_only_in_memory_or_far_away_is_told() {
        let level = |system| worst(&Folder { system, ..folder() }).0;
        assert_eq!(level(FileSystem { free_bytes: 10 * MIB, ..PLENTY }), Level::Warning);
        assert_eq!(level(FileSystem { free_bytes: 0, ..PLENTY }), Level::Problem);
        assert_eq!(level(FileSystem { free_inodes: Some(3), ..PLENTY }), Level::Problem);
        assert_eq!(level(FileSystem { free_inodes: None, ..PLENTY }), Level::Ok);
        assert_eq!(level(FileSystem { is_read_only: true, ..PLENTY }), Level::Problem);
        assert_eq!(level(FileSystem { kind: Some(0x0102_1994), ..PLENTY }), Level::Warning);
        assert_eq!(level(FileSystem { kind: Some(0x6969), ..PLENTY }), Level::Warning);
        assert_eq!(level(FileSystem { kind: Some(0xef53), ..PLENTY }), Level::Ok);
    }

    #[test]
    fn more_than_is_kept_and_what_was_cut_off_are_told() {
        assert_eq!(worst(&Folder { bytes: 100 * MIB, ..folder() }).0, Level::Warning);
        assert_eq!(worst(&Folder { files: FILES_LIMIT, ..folder() }).0, Level::Warning);
        assert_eq!(worst(&Folder { leftovers: 2, ..folder() }).0, Level::Note);
    }

    #[test]
    fn what_grows_with_the_number_of_services_is_not_too_much() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("history")).unwrap();
        let write =
            |name: &str, length| std::fs::write(folder.path().join(name), vec![b'x'; length]).unwrap();
        for name in ["status.json", "state.json", "history/2026-11-23.jsonl"] {
            write(name, 1000);
        }
        write("history/transitions.jsonl", 7);
        write("history/mine.jsonl", 20);
        let read = Folder::read(folder.path(), &folder.path().join("status.json"), None).unwrap();
        assert_eq!((read.bytes, read.files), (27, 2));
    }

    /// A state directory whose document pid 1 wrote.
    fn with_document(freshness: Freshness) -> StateDir {
        let known = Known {
            document: document("12:00:00", json!({})),
            freshness,
            now: at("12:00:00"),
            bytes: vec![],
        };
        StateDir {
            path: "/s".into(),
            folder: Ok(folder()),
            status_file: "/s/status.json".into(),
            mode: Some(0o644),
            document: Ok(known),
        }
    }

    fn said(state: &StateDir, main_pid: Option<u32>, running: &[Running]) -> (Level, String) {
        let findings = state.judge_document(main_pid, running, &Orders::systemd());
        let worst = findings.into_iter().max_by_key(|finding| finding.level).unwrap();
        (worst.level, worst.commands.first().cloned().unwrap_or_default())
    }

    fn monitor(is_frozen: bool) -> Running {
        Running { pid: 1, command: "monitor".into(), is_outdated: None, is_frozen }
    }

    #[test]
    fn a_document_that_is_old_is_told_with_what_became_of_its_monitor() {
        assert_eq!(said(&with_document(Freshness::Fresh), Some(1), &[]).0, Level::Ok);
        let stale = with_document(Freshness::Stale { age_s: 40 });
        assert_eq!(said(&stale, None, &[]).1, "sudo systemctl enable --now wellkeep-monitor");
        assert_eq!(said(&stale, Some(1), &[monitor(true)]).1, "sudo kill -CONT 1");
        assert!(said(&stale, Some(1), &[monitor(false)]).1.contains("journalctl"));
        assert_eq!(said(&with_document(Freshness::Future { ahead_s: 90 }), Some(1), &[]).1, "timedatectl");
        assert_eq!(said(&with_document(Freshness::EarlierBoot), None, &[]).0, Level::Problem);
    }

    #[test]
    fn a_document_of_another_process_than_the_units_means_two_monitors() {
        let (level, command) = said(&with_document(Freshness::Fresh), Some(7), &[]);
        assert_eq!((level, command.as_str()), (Level::Problem, "sudo kill 1"));
    }

    #[test]
    fn a_document_that_the_viewer_cannot_read_is_a_problem() {
        let state = StateDir { mode: Some(0o640), ..with_document(Freshness::Fresh) };
        assert_eq!(said(&state, Some(1), &[]), (Level::Problem, "sudo chmod 0644 /s/status.json".to_owned()));
    }
}
