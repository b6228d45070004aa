//! `holds/`: pauses of healing that people asked for, a file each: `holds/KEY.json`, and `holds/@all.json` for the whole
//! host (no key holds an `@`). Whoever may write there may hold: root and the monitor's user. Everybody may read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, openat, renameat, unlinkat};

use super::files::read_regular;
use crate::status::{Hold, Timestamp};

/// Holds by service; `None` is the whole host. It comes first, the services follow by their keys.
pub type Holds = Vec<(Option<String>, Hold)>;

/// The folder in the state directory.
const FOLDER: &str = "holds";

/// What stands for the whole host.
const ALL: &str = "@all";

/// A hold ends by itself after 24 h at most.
const LONGEST_MS: i64 = 24 * 60 * 60 * 1000;

/// A hold may begin so long after now at most, for clocks that are corrected. Otherwise one from before a clock was set
/// back would last until that time comes again.
const AHEAD_MS: i64 = 60 * 60 * 1000;

/// A hold is a few lines.
const SIZE_LIMIT: u64 = 4096;

/// Begins the name of a file that is being written.
const BEGUN: &str = ".new-";

/// So many files are looked at; there is one a service.
const FILES_LIMIT: usize = 20_000;

/// What the folder says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The holds in force.
    pub holds: Holds,
    /// Files that hold nobody although they should, each in a sentence that names it.
    pub warnings: Vec<String>,
    /// Files of holds that are over.
    expired: Vec<Expired>,
}

/// A file of a hold that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expired {
    name: String,
    inode: u64,
}

/// The folder in a state directory.
pub(super) fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}

/// Makes the folder, unless it is there: 0755, of the owner of the state directory. So a hold that root asks for before
/// the first start of the monitor does not keep that out.
///
/// # Errors
/// What the system said.
pub fn make_folder(state_dir: &Path) -> io::Result<()> {
    let folder = path_in(state_dir);
    match std::fs::create_dir(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let here = Folder::open(state_dir)?;
    let owner = std::fs::metadata(state_dir)?;
    if owner.uid() != here.handle.metadata()?.uid() {
        std::os::unix::fs::fchown(&here.handle, Some(owner.uid()), Some(owner.gid()))?;
    }
    here.handle.set_permissions(std::fs::Permissions::from_mode(0o755))
}

/// The holds in force now. A broken file holds nobody. Blocking.
pub fn read(state_dir: &Path, now: Timestamp) -> Reading {
    let mut reading = Reading::default();
    let opened = Folder::open(state_dir).and_then(|folder| Ok((folder.names()?, folder)));
    let (names, folder) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return reading,
        Err(error) => {
            reading.warnings.push(format!("{} cannot be read: {error}", path_in(state_dir).display()));
            return reading;
        }
    };
    for name in names {
        match understand(&folder, &name, now) {
            Ok((key, hold)) if hold.until > now => reading.holds.push((key, hold)),
            Ok((_, hold)) if hold.until.plus_millis(AHEAD_MS) < now => {
                reading.expired.extend(folder.inode(&name).map(|inode| Expired { name, inode }));
            }
            Ok(_) => {}
            // It was released while we read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let path = path_in(state_dir).join(name);
                reading.warnings.push(format!("{} holds nobody: {error}", path.display()));
            }
        }
    }
    reading.holds.sort_by(|a, b| a.0.cmp(&b.0));
    reading
}

/// One file: whom it holds, and how.
fn understand(folder: &Folder, name: &str, now: Timestamp) -> io::Result<(Option<String>, Hold)> {
    let key = key_of(name).ok_or_else(|| io::Error::other("its name is no service's key and not @all"))?;
    let bytes = read_regular(&folder.path(name), SIZE_LIMIT)?;
    let hold: Hold = serde_json::from_slice(&bytes)?;
    if hold.since.as_millis() > now.as_millis().saturating_add(AHEAD_MS) {
        return Err(io::Error::other(format!("it begins in the future, at {}", hold.since)));
    }
    Ok((key, bounded(hold)))
}

/// A hold that ends within 24 h, with words that are fit for a terminal.
fn bounded(hold: Hold) -> Hold {
    let printable = |text: String| text.chars().filter(|c| !c.is_control()).collect::<String>();
    Hold {
        since: hold.since,
        until: hold.until.min(hold.since.plus_millis(LONGEST_MS)),
        by: printable(hold.by),
        reason: hold.reason.map(printable),
    }
}

/// The service that a file is about; `Some(None)` is the whole host.
fn key_of(name: &str) -> Option<Option<String>> {
    match name.strip_suffix(".json")? {
        ALL => Some(None),
        key => is_key(key).then(|| Some(key.to_owned())),
    }
}

/// Whether this can be a key of `monitor.yml`, and so a file's name.
fn is_key(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(allowed)
}

fn name_of(key: Option<&str>) -> io::Result<String> {
    match key {
        None => Ok(format!("{ALL}.json")),
        Some(key) if is_key(key) => Ok(format!("{key}.json")),
        Some(key) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{key:?} is no key of a service")))
        }
    }
}

/// Holds a service, or the whole host, in place of a hold that it may have. It is on disk when this returns. What would
/// last longer than 24 h is cut.
///
/// # Errors
/// When the key is none, or what the system said: only root and the monitor's user may.
pub fn write(state_dir: &Path, key: Option<&str>, hold: &Hold) -> io::Result<()> {
    let name = name_of(key)?;
    make_folder(state_dir)?;
    let folder = Folder::open(state_dir)?;
    let bytes = serde_json::to_vec(&bounded(hold.clone()))?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the reason is too long: at most 3,000 bytes",
        ));
    }
    folder.replace(&name, &format!("{BEGUN}{}", std::process::id()), &bytes)
}

/// Ends the hold of a service, or of the whole host. False when there was none.
///
/// # Errors
/// As [`write`].
pub fn release(state_dir: &Path, key: Option<&str>) -> io::Result<bool> {
    let name = name_of(key)?;
    let removed = Folder::open(state_dir).and_then(|folder| std::fs::remove_file(folder.path(&name)));
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the files of holds that were long over when they were read: a clock that is set forward by mistake and back again
/// ends no hold for good. A file that took the place of one since then is
/// another one, by its inode, and stays.
pub(super) fn remove_expired(state_dir: &Path, reading: &Reading) {
    let Ok(folder) = Folder::open(state_dir) else { return };
    for Expired { name, inode } in &reading.expired {
        if folder.inode(name) == Some(*inode) {
            // It holds nobody, so it may as well stay.
            let _ = std::fs::remove_file(folder.path(name));
        }
    }
}

/// Removes what a `wellkeep hold` that was killed left, if it is at least this old. No harm if it stays.
pub(super) fn sweep(state_dir: &Path, min_age: Duration) {
    let Ok(folder) = Folder::open(state_dir) else { return };
    let Ok(entries) = std::fs::read_dir(folder.path("")) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(BEGUN)) {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        if written.is_ok_and(|at| at.elapsed().unwrap_or_default() >= min_age) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The folder itself and not what stands in its place. Root writes here, in a directory of the monitor's user: a link that
/// somebody puts there must not lead root elsewhere. So everything goes through the opened folder.
struct Folder {
    handle: File,
}

impl Folder {
    fn open(state_dir: &Path) -> io::Result<Folder> {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let handle = OpenOptions::new().read(true).custom_flags(flags).open(path_in(state_dir))?;
        Ok(Folder { handle })
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("/proc/self/fd").join(self.handle.as_raw_fd().to_string()).join(name)
    }

    /// The files that should be holds, by name. What is written at this moment has another ending.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(""))?.take(FILES_LIMIT) {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".json") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Replaces a file, by way of one that is `begun` beside it, itself and new. A folder for it, as `atomicwrites` makes
    /// one, would not do: whoever owns this folder may put a link in the place of that folder, and root would empty what it
    /// leads to.
    fn replace(&self, name: &str, begun: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Of a process with our number that was killed. If it is anything else, the next call says so.
        let _ = unlinkat(&self.handle, begun, AtFlags::empty());
        let mut file = File::from(openat(&self.handle, begun, flags, Mode::from_raw_mode(0o600))?);
        let written = (|| {
            file.write_all(bytes)?;
            // Whatever the umask: everybody may read.
            fchmod(&file, Mode::from_raw_mode(0o644))?;
            file.sync_all()?;
            renameat(&self.handle, begun, &self.handle, name)?;
            self.handle.sync_all()
        })();
        if written.is_err() {
            let _ = unlinkat(&self.handle, begun, AtFlags::empty());
        }
        written
    }

    fn inode(&self, name: &str) -> Option<u64> {
        std::fs::symlink_metadata(self.path(name)).ok().map(|metadata| metadata.ino())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn hold(since_s: i64, until_s: i64) -> Hold {
        Hold {
            since: NOW.plus_millis(since_s * 1000),
            until: NOW.plus_millis(until_s * 1000),
            by: "ada".to_owned(),
            reason: Some("deploy".to_owned()),
        }
    }

    fn keys(reading: &Reading) -> Vec<Option<&str>> {
        reading.holds.iter().map(|(key, _)| key.as_deref()).collect()
    }

    #[test]
    fn a_hold_is_read_as_it_was_written_until_it_is_over_or_released() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), NOW), Reading::default());
        write(folder.path(), Some("web"), &hold(-60, 600)).unwrap();
        write(folder.path(), None, &hold(0, 60)).unwrap();
        let reading = read(folder.path(), NOW);
        assert_eq!(reading.holds, [(None, hold(0, 60)), (Some("web".to_owned()), hold(-60, 600))]);
        assert_eq!(keys(&read(folder.path(), NOW.plus_millis(60_000))), [Some("web")]);
        assert!(release(folder.path(), Some("web")).unwrap());
        assert!(!release(folder.path(), Some("web")).unwrap());
        assert_eq!(keys(&read(folder.path(), NOW)), [None]);
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("holds"), mode("holds/@all.json")), (0o755, 0o644));
    }

    #[test]
    fn no_hold_lasts_longer_than_24_hours_whoever_wrote_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let day = 24 * 60 * 60;
        write(folder.path(), Some("a"), &hold(-10, 100 * day)).unwrap();
        let by_hand = serde_json::to_vec(&hold(-10, 100 * day)).unwrap();
        std::fs::write(folder.path().join("holds/b.json"), by_hand).unwrap();
        let reading = read(folder.path(), NOW);
        assert_eq!(reading.holds.len(), 2);
        assert!(reading.holds.iter().all(|(_, found)| *found == hold(-10, day - 10)), "{reading:?}");
    }

    #[test]
    fn a_file_that_is_no_hold_holds_nobody_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        make_folder(folder.path()).unwrap();
        let holds = folder.path().join("holds");
        let good = serde_json::to_string(&hold(0, 60)).unwrap();
        std::fs::write(folder.path().join("elsewhere"), &good).unwrap();
        std::os::unix::fs::symlink("../elsewhere", holds.join("link.json")).unwrap();
        std::fs::create_dir(holds.join("folder.json")).unwrap();
        std::fs::write(holds.join("torn.json"), &good[..20]).unwrap();
        std::fs::write(holds.join("empty.json"), "").unwrap();
        std::fs::write(holds.join("large.json"), good.replace("deploy", &"x".repeat(5000))).unwrap();
        std::fs::write(holds.join("@web.json"), &good).unwrap();
        std::fs::write(holds.join("a key.json"), &good).unwrap();
        std::fs::write(holds.join("future.json"), serde_json::to_string(&hold(7200, 9000)).unwrap()).unwrap();
        std::fs::write(holds.join("README"), "passed over in silence").unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, holds.join("fifo.json"), fifo, mode, 0).unwrap();

        let reading = read(folder.path(), NOW);
        assert_eq!(reading.holds, []);
        let wrong = ["@web", "a key", "empty", "fifo", "folder", "future", "large", "link", "torn"];
        assert_eq!(reading.warnings.len(), wrong.len(), "{:#?}", reading.warnings);
        for (warning, name) in reading.warnings.iter().zip(wrong) {
            assert!(warning.contains(&format!("holds/{name}.json holds nobody: ")), "{warning}");
        }
    }

    #[test]
    fn neither_a_strange_key_nor_a_link_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for key in ["", "../state", "a/b", "@all", "a\0b", &"x".repeat(65)] {
            assert!(write(folder.path(), Some(key), &hold(0, 60)).is_err(), "{key:?}");
            assert!(release(folder.path(), Some(key)).is_err(), "{key:?}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let linked = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), linked.path().join("holds")).unwrap();
        assert!(write(linked.path(), Some("web"), &hold(0, 60)).is_err());
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        assert!(read(linked.path(), NOW).warnings[0].contains("holds cannot be read"));
    }

    #[test]
    fn root_never_writes_through_what_the_owner_of_the_folder_put_in_its_way() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), Some("web"), &hold(0, 60)).unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let holds = folder.path().join("holds");
        std::os::unix::fs::symlink(&victim, holds.join("link")).unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        opened.replace("web.json", "link", b"{}").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        std::fs::create_dir(holds.join("in the way")).unwrap();
        assert!(opened.replace("web.json", "in the way", b"[]").is_err());
        assert_eq!(std::fs::read_to_string(holds.join("web.json")).unwrap(), "{}");
        // Nothing is left beside it, and no folder was made in which a file could be swapped for a link.
        std::fs::remove_dir(holds.join("in the way")).unwrap();
        assert_eq!(opened.names().unwrap(), ["web.json"]);
        assert_eq!(std::fs::read_dir(&holds).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_hold_left_is_removed_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        make_folder(folder.path()).unwrap();
        let left = folder.path().join("holds/.new-1");
        std::fs::write(&left, "half").unwrap();
        sweep(folder.path(), Duration::from_secs(60));
        assert!(left.exists(), "somebody may be at work on it");
        sweep(folder.path(), Duration::ZERO);
        assert!(!left.exists());
    }

    #[test]
    fn what_is_over_is_removed_unless_a_new_hold_took_its_place() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), Some("old"), &hold(-8000, -7000)).unwrap();
        write(folder.path(), Some("again"), &hold(-8000, -7000)).unwrap();
        write(folder.path(), Some("web"), &hold(-60, 60)).unwrap();
        let reading = read(folder.path(), NOW);
        write(folder.path(), Some("again"), &hold(0, 60)).unwrap();
        remove_expired(folder.path(), &reading);
        assert!(!folder.path().join("holds/old.json").exists());
        assert_eq!(keys(&read(folder.path(), NOW)), [Some("again"), Some("web")]);
    }

    #[test]
    fn words_of_a_hold_cannot_steer_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let sly =
            Hold { by: "\u{1b}[2Jada\n".to_owned(), reason: Some("a\u{9b}31mb".to_owned()), ..hold(0, 60) };
        write(folder.path(), Some("web"), &sly).unwrap();
        let (_, found) = read(folder.path(), NOW).holds.remove(0);
        assert_eq!((found.by.as_str(), found.reason.as_deref()), ("[2Jada", Some("a31mb")));
    }
}
