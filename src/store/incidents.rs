//! `incidents/ID/`: a folder for each time that a service was not well. `incident.json` says what happened and what was
//! done; beside it is the evidence that was saved before each heal, and what hooks said. Evidence may hold what is not
//! for everybody, so the files are 0640 and the folders 0750.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::files::read_regular;
use crate::status::write::replace_with_mode;
use crate::status::{HealResult, Incident, Timestamp};

/// The folder in the state directory.
const FOLDER: &str = "incidents";

const FILE: &str = "incident.json";

/// So many incidents are kept, and so many bytes of all their files. The oldest closed ones go first.
const KEPT: Bounds = Bounds { incidents: 200, bytes: 8 * 1024 * 1024 };

/// An incident is a few hundred bytes and a line for each heal.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// Of an incident the evidence of the first heal is kept, and of so many latest ones.
const LATEST_ATTEMPTS: u32 = 7;

/// A folder without a whole `incident.json` may be one that is being begun, if it is younger.
const BEGINNING: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy)]
struct Bounds {
    incidents: usize,
    bytes: u64,
}

/// Writes an incident whole, in place of what was written of it before, and keeps the folder within its bounds.
pub(super) fn write(state_dir: &Path, incident: &Incident) -> io::Result<()> {
    let folder = make_folder(state_dir, &incident.id)?;
    let is_new = !folder.join(FILE).exists();
    let mut bytes = serde_json::to_vec_pretty(incident)?;
    bytes.push(b'\n');
    replace_with_mode(&folder.join(FILE), &bytes, 0o640)?;
    if is_new || incident.ended.is_some() {
        prune(state_dir, KEPT)?;
    }
    Ok(())
}

/// Writes a file of an attempt: `evidence-3.txt`, `hook-3.txt`. Of an incident that goes on and on, the first and the
/// latest attempts are kept. Blocking.
///
/// # Errors
/// When the id cannot be a folder's name, or what the system said.
pub(crate) fn write_attempt(
    state_dir: &Path,
    id: &str,
    what: &str,
    attempt: u32,
    text: &str,
) -> io::Result<PathBuf> {
    let folder = make_folder(state_dir, id)?;
    let path = folder.join(format!("{what}-{attempt}.txt"));
    replace_with_mode(&path, text.as_bytes(), 0o640)?;
    if let Some(old) = attempt.checked_sub(LATEST_ATTEMPTS).filter(|old| *old > 1) {
        // There may be none: not every attempt runs a hook.
        let _ = std::fs::remove_file(folder.join(format!("{what}-{old}.txt")));
    }
    Ok(path)
}

/// The latest `limit` incidents, of one service or of all, newest first. Folders that hold none are passed over. Blocking.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn list(state_dir: &Path, service: Option<&str>, limit: usize) -> io::Result<Vec<Incident>> {
    let mut found: Vec<Incident> = ids(state_dir)?
        .iter()
        .filter_map(|id| read(state_dir, id).ok())
        .filter(|incident| service.is_none_or(|service| incident.service == service))
        .collect();
    found.sort_by(|a, b| (b.detected, &b.id).cmp(&(a.detected, &a.id)));
    found.truncate(limit);
    Ok(found)
}

/// The files that were saved for an incident, by their names: evidence and what hooks said.
///
/// # Errors
/// When the id cannot be a folder's name, or the folder cannot be read.
pub fn files(state_dir: &Path, id: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder(state_dir, id)?)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort_unstable();
    Ok(paths)
}

/// Closes what no monitor knows of any more: incidents that are open on disk and not `known` to be, because the monitor's
/// memory was lost. Otherwise they would stay open, and be kept, for ever.
pub(super) fn close_forgotten(state_dir: &Path, known: &BTreeSet<String>, now: Timestamp) -> io::Result<()> {
    for id in ids(state_dir)?.into_iter().filter(|id| !known.contains(id)) {
        let Ok(mut incident) = read(state_dir, &id) else { continue };
        if incident.ended.is_some() {
            continue;
        }
        incident.ended = Some(now);
        incident.outcome = Some("the monitor lost its memory of it: nobody saw the end".to_owned());
        for heal in incident.heals.iter_mut().filter(|heal| heal.result.is_none()) {
            heal.result = Some(HealResult::Interrupted);
        }
        write(state_dir, &incident)?;
    }
    prune(state_dir, KEPT)
}

fn read(state_dir: &Path, id: &str) -> io::Result<Incident> {
    let incident: Incident =
        serde_json::from_slice(&read_regular(&folder(state_dir, id)?.join(FILE), SIZE_LIMIT)?)?;
    if incident.id != id {
        return Err(io::Error::other(format!("{id}/{FILE} is about {:?}", incident.id)));
    }
    Ok(incident)
}

fn folder(state_dir: &Path, id: &str) -> io::Result<PathBuf> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !(1..=128).contains(&id.len()) || id.starts_with('.') || !id.chars().all(allowed) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{id:?} is no incident's name")));
    }
    Ok(state_dir.join(FOLDER).join(id))
}

fn make_folder(state_dir: &Path, id: &str) -> io::Result<PathBuf> {
    let folder = folder(state_dir, id)?;
    for (path, mode) in [(state_dir.join(FOLDER), 0o755), (folder.clone(), 0o750)] {
        match DirBuilder::new().mode(mode).create(&path) {
            // Whatever the umask.
            Ok(()) => std::fs::set_permissions(&path, Permissions::from_mode(mode))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !std::fs::symlink_metadata(&path)?.is_dir() {
                    return Err(io::Error::other(format!("{} is no folder", path.display())));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(folder)
}

/// The names of all folders that can be incidents', oldest first: an id begins with the time.
fn ids(state_dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(state_dir.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && folder(state_dir, &name).is_ok() {
            ids.push(name);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// A folder of an incident, as pruning sees it.
struct Kept {
    path: PathBuf,
    bytes: u64,
    is_open: bool,
}

/// Removes the oldest closed incidents until the rest is within the bounds. An open one is never removed; but if those
/// alone are too large, the evidence of the oldest is.
fn prune(state_dir: &Path, bounds: Bounds) -> io::Result<()> {
    let mut kept: Vec<Kept> = ids(state_dir)?.iter().filter_map(|id| weigh(state_dir, id).ok()).collect();
    let mut count = kept.len();
    let mut bytes: u64 = kept.iter().map(|folder| folder.bytes).sum();
    let is_over = |count: usize, bytes: u64| count > bounds.incidents || bytes > bounds.bytes;
    for folder in kept.iter().filter(|folder| !folder.is_open) {
        if !is_over(count, bytes) {
            return Ok(());
        }
        std::fs::remove_dir_all(&folder.path)?;
        count -= 1;
        bytes -= folder.bytes;
    }
    kept.retain(|folder| folder.is_open);
    for folder in &kept {
        if bytes <= bounds.bytes {
            return Ok(());
        }
        bytes -= remove_evidence(&folder.path)?;
    }
    Ok(())
}

fn weigh(state_dir: &Path, id: &str) -> io::Result<Kept> {
    let path = folder(state_dir, id)?;
    let mut bytes = 0;
    for entry in std::fs::read_dir(&path)? {
        bytes += entry?.metadata()?.len();
    }
    let is_open = match read(state_dir, id) {
        Ok(incident) => incident.ended.is_none(),
        Err(_) => age(&path)? < BEGINNING,
    };
    Ok(Kept { path, bytes, is_open })
}

fn age(path: &Path) -> io::Result<Duration> {
    // A folder from the future is a young one.
    Ok(SystemTime::now().duration_since(std::fs::metadata(path)?.modified()?).unwrap_or_default())
}

/// Removes all but the incident itself. Returns how many bytes that were.
fn remove_evidence(folder: &Path) -> io::Result<u64> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "txt") {
            removed += entry.metadata()?.len();
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::LastHeal;
    use std::os::unix::fs::MetadataExt;

    fn incident(number: i64, service: &str, is_open: bool) -> Incident {
        let at = Timestamp::from_millis(1_800_000_000_000 + number * 1000);
        Incident {
            id: format!("20270115T{number:06}Z-{service}"),
            service: service.to_owned(),
            began: at,
            detected: at,
            ended: (!is_open).then(|| at.plus_millis(5000)),
            cause: "HTTP 500".to_owned(),
            outcome: None,
            heals: vec![LastHeal { at, step: "restart".to_owned(), attempt: 1, result: None }],
        }
    }

    fn services(state_dir: &Path) -> Vec<String> {
        let found = list(state_dir, None, 1000).unwrap();
        found.into_iter().map(|incident| incident.service).collect()
    }

    #[test]
    fn incidents_come_back_newest_first_for_a_service_or_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(list(folder.path(), None, 10).unwrap(), []);
        for (number, service) in [(1, "web"), (2, "db"), (3, "web")] {
            write(folder.path(), &incident(number, service, false)).unwrap();
        }
        assert_eq!(services(folder.path()), ["web", "db", "web"]);
        let web = list(folder.path(), Some("web"), 10).unwrap();
        assert_eq!(web, [incident(3, "web", false), incident(1, "web", false)]);
        assert_eq!(list(folder.path(), None, 1).unwrap(), [incident(3, "web", false)]);
    }

    #[test]
    fn evidence_is_not_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let web = incident(1, "web", true);
        write(folder.path(), &web).unwrap();
        let path = write_attempt(folder.path(), &web.id, "evidence", 1, "text").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&path), 0o640);
        assert_eq!(mode(path.parent().unwrap()), 0o750);
        assert_eq!(mode(&path.with_file_name(FILE)), 0o640);
        assert_eq!(files(folder.path(), &web.id).unwrap(), [path]);
    }

    #[test]
    fn no_name_of_an_incident_leads_out_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        for id in ["", ".", "..", "../state", "a/b", "/etc", "a\0b", ".hidden", "a b"] {
            let named = Incident { id: id.to_owned(), ..incident(1, "web", true) };
            assert!(write(folder.path(), &named).is_err(), "{id:?}");
            assert!(write_attempt(folder.path(), id, "hook", 1, "").is_err(), "{id:?}");
            assert!(files(folder.path(), id).is_err(), "{id:?}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let web = incident(1, "web", true);
        std::fs::create_dir(folder.path().join(FOLDER)).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join(FOLDER).join(&web.id)).unwrap();
        assert!(write(folder.path(), &web).is_err());
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn broken_folders_are_passed_over() {
        let state_dir = tempfile::tempdir().unwrap();
        write(state_dir.path(), &incident(1, "web", true)).unwrap();
        let torn = incident(2, "torn", true);
        write(state_dir.path(), &torn).unwrap();
        let path = state_dir.path().join(FOLDER).join(&torn.id).join(FILE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let moved = state_dir.path().join(FOLDER).join("another-name");
        std::fs::create_dir(&moved).unwrap();
        std::fs::write(moved.join(FILE), &whole).unwrap();
        std::fs::write(state_dir.path().join(FOLDER).join("README"), "").unwrap();
        assert_eq!(services(state_dir.path()), ["web"]);
    }

    #[test]
    fn the_oldest_closed_go_first_and_the_open_ones_never() {
        let folder = tempfile::tempdir().unwrap();
        for (number, is_open) in [(1, true), (2, false), (3, false), (4, true), (5, false)] {
            write(folder.path(), &incident(number, &format!("s{number}"), is_open)).unwrap();
        }
        prune(folder.path(), Bounds { incidents: 4, bytes: u64::MAX }).unwrap();
        assert_eq!(services(folder.path()), ["s5", "s4", "s3", "s1"]);
        prune(folder.path(), Bounds { incidents: 0, bytes: u64::MAX }).unwrap();
        assert_eq!(services(folder.path()), ["s4", "s1"]);
    }

    #[test]
    fn what_is_too_large_goes_and_of_the_open_ones_only_the_evidence() {
        let folder = tempfile::tempdir().unwrap();
        let large = "x".repeat(10_000);
        for (number, is_open) in [(1, true), (2, false), (3, true)] {
            let incident = incident(number, &format!("s{number}"), is_open);
            write(folder.path(), &incident).unwrap();
            write_attempt(folder.path(), &incident.id, "evidence", 1, &large).unwrap();
        }
        prune(folder.path(), Bounds { incidents: 10, bytes: 15_000 }).unwrap();
        assert_eq!(services(folder.path()), ["s3", "s1"]);
        let files_of = |number| {
            let id = incident(number, &format!("s{number}"), true).id;
            files(folder.path(), &id).unwrap().len()
        };
        assert_eq!((files_of(1), files_of(3)), (0, 1));
    }

    #[test]
    fn of_an_endless_incident_the_first_and_the_latest_attempts_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for attempt in 1..=20 {
            write_attempt(folder.path(), "id", "evidence", attempt, "").unwrap();
        }
        let names = files(folder.path(), "id").unwrap();
        assert_eq!(names.len(), 1 + LATEST_ATTEMPTS as usize);
        assert!(names.iter().any(|path| path.ends_with("evidence-1.txt")));
        assert!(names.iter().any(|path| path.ends_with("evidence-14.txt")));
    }

    #[test]
    fn an_incident_that_no_monitor_remembers_is_closed_and_the_others_stay_open() {
        let folder = tempfile::tempdir().unwrap();
        for service in ["web", "db"] {
            write(folder.path(), &incident(1, service, true)).unwrap();
        }
        let now = Timestamp::from_millis(1_900_000_000_000);
        let known = [incident(1, "web", true).id].into();
        close_forgotten(folder.path(), &known, now).unwrap();
        assert_eq!(list(folder.path(), Some("web"), 1).unwrap(), [incident(1, "web", true)]);
        let db = list(folder.path(), Some("db"), 1).unwrap().remove(0);
        assert_eq!(db.ended, Some(now));
        assert!(db.outcome.unwrap().contains("lost its memory"));
        assert_eq!(db.heals[0].result, Some(HealResult::Interrupted));
    }
}
