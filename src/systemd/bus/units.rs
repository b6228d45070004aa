//! The states of units by polling: one `ListUnitsByNames` for all (0.4 ms for 100 units, 3.8 ms for 1,000).
//!
//! What concerns a single unit costs a call for each: `GetAll` half a millisecond of PID 1 alone, so it is made only when
//! something hints at a change. For what changes without a hint, two `Get` of 25 µs do.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use zbus::{Connection, OwnedVariant, fdo};

use super::members::{ManagerProxy, PropertiesProxy, Row};
use super::{BusError, CALLS_AT_ONCE};
use crate::host;
use crate::systemd::unit::{Details, Exit, UnitState};

/// What changes without a hint is read again after this: memory, and whether the unit is enabled.
const DETAILS_MAX_AGE: Duration = Duration::from_secs(30);

/// What was read of single units, by the name that was asked for.
pub(super) type DetailsCache = HashMap<String, Cached>;

/// A unit's details, and the facts that would show them to be out of date.
#[derive(Debug, Clone)]
pub(super) struct Cached {
    row: Row,
    read_at: Instant,
    /// The main process's start in clock ticks since boot: the same id with another start is another process.
    main_start: Option<u64>,
    details: Details,
    nearest: Option<String>,
}

/// Why details must be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stale {
    /// Never read, or something hints at a change.
    Changed,
    /// No hint, but it was some time ago.
    Old,
    /// It does not run. Started and ended again between two looks, it leaves the same row, and no process to tell it by.
    AtRest,
}

/// The states of these units, in their order. Details go into the cache one by one, so that a call that takes too long
/// (a thousand units at the first look, a busy machine) is shorter the next time.
pub(super) async fn read(
    connection: &Connection,
    cache: &mut DetailsCache,
    proc_root: &Path,
    names: &[&str],
) -> Result<Vec<UnitState>, BusError> {
    let manager = ManagerProxy::new(connection).await?;
    let rows = list_by_names(&manager, names).await?;

    let stale: Vec<(&str, &Row, Stale, Option<Cached>)> = names
        .iter()
        .zip(&rows)
        .filter_map(|(name, row)| {
            let cached = cache.get(*name);
            let stale = staleness(cached, row, proc_root)?;
            Some((*name, row, stale, cached.cloned()))
        })
        .collect();
    let mut reads = stream::iter(stale)
        .map(async |(name, row, stale, cached)| match (stale, cached) {
            (Stale::Old, Some(cached)) => (name, refresh(connection, cached).await),
            (Stale::AtRest, Some(cached)) => (name, unless_it_ran(connection, cached, proc_root).await),
            _ => (name, read_anew(connection, row, proc_root).await),
        })
        .buffer_unordered(CALLS_AT_ONCE);
    while let Some((name, read)) = reads.next().await {
        cache.insert(name.to_owned(), read?);
    }
    drop(reads);

    let mut units: Vec<UnitState> =
        names.iter().zip(rows).map(|(name, row)| unit_state(row, cache.get(*name))).collect();
    find_active_triggers(&manager, &mut units).await?;
    Ok(units)
}

/// The rows in the order of the names. systemd leaves out invalid names silently, which shifts all that follow, and
/// answers an alias under its canonical name: the position is the only key, and only while the counts agree.
pub(super) async fn list_by_names(manager: &ManagerProxy<'_>, names: &[&str]) -> Result<Vec<Row>, BusError> {
    let rows = manager.list_units_by_names(names).await?;
    if rows.len() != names.len() {
        return Err(BusError::RowCount { asked: names.len(), got: rows.len() });
    }
    Ok(rows.into_iter().map(Row::from).collect())
}

fn unit_state(row: Row, cached: Option<&Cached>) -> UnitState {
    UnitState {
        name: row.name,
        load: row.load,
        active: row.active,
        sub: row.sub,
        job: row.job,
        waits_for: None,
        nearest: cached.and_then(|cached| cached.nearest.clone()),
        details: cached.map(|cached| cached.details.clone()).unwrap_or_default(),
    }
}

/// Whether and why the details must be read. A restart between two looks leaves the same row, but not the same main
/// process.
fn staleness(cached: Option<&Cached>, row: &Row, proc_root: &Path) -> Option<Stale> {
    match cached {
        None => Some(Stale::Changed),
        Some(cached) if cached.row != *row => Some(Stale::Changed),
        Some(cached) if cached.main_start != main_start(&cached.details, proc_root) => Some(Stale::Changed),
        Some(cached) if cached.read_at.elapsed() < DETAILS_MAX_AGE => {
            let is_at_rest = row.load == "loaded" && matches!(row.active.as_str(), "inactive" | "failed");
            is_at_rest.then_some(Stale::AtRest)
        }
        // Of a unit without a process anything may have changed: an unmet condition, what triggers it ...
        Some(cached) if cached.main_start.is_none() => Some(Stale::Changed),
        Some(_) => Some(Stale::Old),
    }
}

fn main_start(details: &Details, proc_root: &Path) -> Option<u64> {
    host::processes::start_ticks(proc_root, details.main_pid?)
}

async fn read_anew(connection: &Connection, row: &Row, proc_root: &Path) -> Result<Cached, BusError> {
    let details = match row.load.as_str() {
        "not-found" => Details::default(),
        _ => get_details(connection, row).await?,
    };
    let nearest = match row.load.as_str() {
        "not-found" => nearest_unit(connection, &row.name).await?,
        _ => None,
    };
    Ok(Cached {
        row: row.clone(),
        read_at: Instant::now(),
        main_start: main_start(&details, proc_root),
        details,
        nearest,
    })
}

/// The details of a unit that does not run, read again only if it ran meanwhile: its end is another one then, and what was
/// seen of the end before says nothing of it.
async fn unless_it_ran(
    connection: &Connection,
    cached: Cached,
    proc_root: &Path,
) -> Result<Cached, BusError> {
    let unit = properties_of(connection, &cached.row).await?;
    let since = unless_gone(unit.get("org.freedesktop.systemd1.Unit", "StateChangeTimestamp").await)?;
    let since_us = since.and_then(|at| u64::try_from(at).ok()).filter(|at| *at != 0);
    if since_us == cached.details.since_us {
        return Ok(cached);
    }
    read_anew(connection, &cached.row, proc_root).await
}

/// Reads again what changes in a running service without a hint.
async fn refresh(connection: &Connection, mut cached: Cached) -> Result<Cached, BusError> {
    let unit = properties_of(connection, &cached.row).await?;
    let memory = unit.get("org.freedesktop.systemd1.Service", "MemoryCurrent").await;
    let unit_file = unit.get("org.freedesktop.systemd1.Unit", "UnitFileState").await;
    if let (Some(memory), Some(unit_file)) = (unless_gone(memory)?, unless_gone(unit_file)?) {
        cached.details.memory_bytes = memory_of(memory.try_into().ok());
        cached.details.unit_file_state = unit_file.try_into().ok().filter(|state: &String| !state.is_empty());
        cached.read_at = Instant::now();
    }
    Ok(cached)
}

pub(super) async fn get_details(connection: &Connection, row: &Row) -> Result<Details, BusError> {
    let unit = properties_of(connection, row).await?;
    // The empty interface means all of them: one call for what the unit and what the service has.
    let properties = unless_gone(unit.get_all("").await)?;
    Ok(properties.map(|properties| details_of(properties, &row.active)).unwrap_or_default())
}

pub(super) async fn properties_of<'a>(
    connection: &Connection,
    row: &'a Row,
) -> zbus::Result<PropertiesProxy<'a>> {
    PropertiesProxy::builder(connection).path(&row.path).build().await
}

/// A unit can go away between two calls, and then systemd answers with an error. That is no reason to know nothing of
/// the others, and the row still says what the unit was.
pub(super) fn unless_gone<T>(answer: zbus::Result<T>) -> Result<Option<T>, BusError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(zbus::Error::MethodError(..)) => Ok(None),
        Err(zbus::Error::FDO(error))
            if matches!(*error, fdo::Error::UnknownObject(_) | fdo::Error::UnknownInterface(_)) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn details_of(mut properties: HashMap<String, OwnedVariant>, active: &str) -> Details {
    let started = match active {
        "active" | "reloading" => "ActiveEnterTimestampMonotonic",
        "activating" => "InactiveExitTimestampMonotonic",
        _ => "",
    };
    let start_failed = |properties: &mut _, result, at| {
        take(properties, result) == Some(false) && take::<u64>(properties, at).is_some_and(|at| at > 0)
    };
    Details {
        exit: exit_of(take(&mut properties, "ExecMainCode"), take(&mut properties, "ExecMainStatus")),
        runs_once: take::<String>(&mut properties, "Type").as_deref() == Some("oneshot")
            && take(&mut properties, "RemainAfterExit") == Some(false),
        condition_unmet: start_failed(&mut properties, "ConditionResult", "ConditionTimestampMonotonic"),
        assertion_unmet: start_failed(&mut properties, "AssertResult", "AssertTimestampMonotonic"),
        result: take(&mut properties, "Result"),
        restarts: take(&mut properties, "NRestarts"),
        main_pid: take(&mut properties, "MainPID").filter(|pid| *pid != 0),
        memory_bytes: memory_of(take(&mut properties, "MemoryCurrent")),
        unit_file_state: take(&mut properties, "UnitFileState").filter(|state: &String| !state.is_empty()),
        triggered_by: take(&mut properties, "TriggeredBy").unwrap_or_default(),
        since_us: take(&mut properties, "StateChangeTimestamp").filter(|at| *at != 0),
        started_us: take(&mut properties, started).filter(|at| *at != 0),
    }
}

pub(super) fn take<T: TryFrom<OwnedVariant>>(
    properties: &mut HashMap<String, OwnedVariant>,
    name: &str,
) -> Option<T> {
    properties.remove(name)?.try_into().ok()
}

/// `[not set]` travels as the largest number there is.
fn memory_of(bytes: Option<u64>) -> Option<u64> {
    bytes.filter(|bytes| *bytes != u64::MAX)
}

/// From `ExecMainCode`, which is the `si_code` of SIGCHLD (0 while nothing has ended), and `ExecMainStatus`.
fn exit_of(code: Option<i32>, status: Option<i32>) -> Option<Exit> {
    match code? {
        1 => status.map(Exit::Status),
        2 => status.map(Exit::Signal),
        3 => status.map(Exit::CoreDump),
        _ => None,
    }
}

/// For inactive units that something starts on demand: whether that something is active. Asked anew each time, because
/// stopping a socket changes nothing of its service.
async fn find_active_triggers(manager: &ManagerProxy<'_>, units: &mut [UnitState]) -> Result<(), BusError> {
    let idle = |unit: &&mut UnitState| unit.active == "inactive" && !unit.details.triggered_by.is_empty();
    let mut idle: Vec<&mut UnitState> = units.iter_mut().filter(idle).collect();
    let mut names: Vec<String> = idle.iter().flat_map(|unit| unit.details.triggered_by.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    names.sort();
    names.dedup();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows = list_by_names(manager, &names).await?;
    let active: Vec<Row> = rows.into_iter().filter(|row| row.active == "active").collect();
    for unit in &mut idle {
        let trigger = active.iter().find(|row| unit.details.triggered_by.contains(&row.name));
        unit.waits_for = trigger.map(|row| row.name.clone());
    }
    Ok(())
}

/// The installed unit of the same type whose name is most similar, if any is close enough to be a slip of the pen.
async fn nearest_unit(connection: &Connection, name: &str) -> Result<Option<String>, BusError> {
    let Some((stem, suffix)) = name.rsplit_once('.') else {
        return Ok(None);
    };
    let manager = ManagerProxy::new(connection).await?;
    let pattern = format!("*.{suffix}");
    let files = manager.list_unit_files_by_patterns(&[], &[&pattern]).await?;
    let stems = files
        .iter()
        .filter_map(|(path, _)| Path::new(path).file_stem()?.to_str())
        .filter(|candidate| !candidate.ends_with('@'));
    let (distance, nearest) = match stems.map(|s| (strsim::damerau_levenshtein(stem, s), s)).min() {
        Some(best) => best,
        None => return Ok(None),
    };
    let close_enough = distance <= (stem.chars().count() / 3).clamp(1, 3);
    Ok(close_enough.then(|| format!("{nearest}.{suffix}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use zbus::Variant;

    use super::*;

    fn row() -> Row {
        Row {
            name: "web.service".into(),
            description: "Web".into(),
            load: "loaded".into(),
            active: "active".into(),
            sub: "running".into(),
            path: zbus::ObjectPath::from_static_str_unchecked("/web").into(),
            job: None,
        }
    }

    /// A `/proc` in which process 42 started at this tick.
    fn proc_with_start(ticks: u64) -> tempfile::TempDir {
        let proc_root = tempfile::tempdir().unwrap();
        fs::create_dir(proc_root.path().join("42")).unwrap();
        let zeros = "0 ".repeat(29);
        let stat = format!("42 (web) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} {zeros}\n");
        fs::write(proc_root.path().join("42/stat"), stat).unwrap();
        proc_root
    }

    fn cached(main_pid: Option<u32>) -> Cached {
        Cached {
            row: row(),
            read_at: Instant::now(),
            main_start: main_pid.map(|_| 1000),
            details: Details { main_pid, ..Details::default() },
            nearest: None,
        }
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(DETAILS_MAX_AGE).unwrap()
    }

    #[test]
    fn details_are_kept_while_nothing_hints_at_a_change() {
        let proc_root = proc_with_start(1000);
        assert_eq!(staleness(Some(&cached(Some(42))), &row(), proc_root.path()), None);
        assert_eq!(staleness(Some(&cached(None)), &row(), proc_root.path()), None);
    }

    #[test]
    fn a_unit_that_does_not_run_is_asked_whether_it_ran_meanwhile() {
        let nowhere = tempfile::tempdir().unwrap();
        for active in ["inactive", "failed"] {
            let row = Row { active: active.into(), ..row() };
            let cached = Cached { row: row.clone(), ..cached(None) };
            assert_eq!(staleness(Some(&cached), &row, nowhere.path()), Some(Stale::AtRest), "{active}");
        }
        let missing = Row { active: "inactive".into(), load: "not-found".into(), ..row() };
        let cached = Cached { row: missing.clone(), ..cached(None) };
        assert_eq!(staleness(Some(&cached), &missing, nowhere.path()), None);
    }

    #[test]
    fn details_are_read_anew_when_the_row_changed_or_was_never_seen() {
        let proc_root = proc_with_start(1000);
        let failed = Row { active: "failed".into(), ..row() };
        let stale = staleness(Some(&cached(Some(42))), &failed, proc_root.path());
        assert_eq!(stale, Some(Stale::Changed));
        assert_eq!(staleness(None, &row(), proc_root.path()), Some(Stale::Changed));
    }

    #[test]
    fn a_main_process_that_is_gone_or_whose_id_is_used_again_means_a_restart() {
        let used_again = proc_with_start(1001);
        let stale = staleness(Some(&cached(Some(42))), &row(), used_again.path());
        assert_eq!(stale, Some(Stale::Changed));
        let gone = tempfile::tempdir().unwrap();
        assert_eq!(staleness(Some(&cached(Some(42))), &row(), gone.path()), Some(Stale::Changed));
    }

    #[test]
    fn old_details_of_a_running_service_are_refreshed_and_others_read_anew() {
        let proc_root = proc_with_start(1000);
        let old = |main_pid| Cached { read_at: long_ago(), ..cached(main_pid) };
        assert_eq!(staleness(Some(&old(Some(42))), &row(), proc_root.path()), Some(Stale::Old));
        assert_eq!(staleness(Some(&old(None)), &row(), proc_root.path()), Some(Stale::Changed));
    }

    fn properties<'a>(
        pairs: impl IntoIterator<Item = (&'a str, Variant<'a>)>,
    ) -> HashMap<String, OwnedVariant> {
        let owned = |value: Variant<'_>| OwnedVariant::try_from(value).unwrap();
        pairs.into_iter().map(|(name, value)| (name.to_owned(), owned(value))).collect()
    }

    #[test]
    fn what_systemd_leaves_unset_is_absent() {
        let unset = properties([
            ("MainPID", 0_u32.into()),
            ("MemoryCurrent", u64::MAX.into()),
            ("UnitFileState", "".into()),
            ("StateChangeTimestamp", 0_u64.into()),
            ("ActiveEnterTimestampMonotonic", 0_u64.into()),
            ("ExecMainCode", 0_i32.into()),
            ("ExecMainStatus", 0_i32.into()),
            ("ConditionResult", false.into()),
            ("ConditionTimestampMonotonic", 0_u64.into()),
        ]);
        assert_eq!(details_of(unset, "active"), Details::default());
        assert_eq!(details_of(HashMap::new(), "active"), Details::default());
    }

    #[test]
    fn what_systemd_says_is_read() {
        let said = properties([
            ("MainPID", 42_u32.into()),
            ("MemoryCurrent", 4096_u64.into()),
            ("UnitFileState", "enabled".into()),
            ("StateChangeTimestamp", 7_u64.into()),
            ("ActiveEnterTimestampMonotonic", 5_u64.into()),
            ("InactiveExitTimestampMonotonic", 4_u64.into()),
            ("ExecMainCode", 2_i32.into()),
            ("ExecMainStatus", 9_i32.into()),
            ("Result", "signal".into()),
            ("NRestarts", 3_u32.into()),
            ("Type", "oneshot".into()),
            ("RemainAfterExit", false.into()),
            ("ConditionResult", false.into()),
            ("ConditionTimestampMonotonic", 1_u64.into()),
            ("AssertResult", true.into()),
            ("AssertTimestampMonotonic", 1_u64.into()),
            ("TriggeredBy", vec!["web.socket"].into()),
        ]);
        let expected = Details {
            result: Some("signal".into()),
            exit: Some(Exit::Signal(9)),
            restarts: Some(3),
            main_pid: Some(42),
            memory_bytes: Some(4096),
            unit_file_state: Some("enabled".into()),
            runs_once: true,
            triggered_by: vec!["web.socket".into()],
            condition_unmet: true,
            assertion_unmet: false,
            since_us: Some(7),
            started_us: Some(5),
        };
        assert_eq!(details_of(said, "active"), expected);
    }

    #[test]
    fn the_start_counts_from_leaving_inactive_until_the_unit_is_up() {
        let both = || {
            properties([
                ("ActiveEnterTimestampMonotonic", 5_u64.into()),
                ("InactiveExitTimestampMonotonic", 8_u64.into()),
            ])
        };
        assert_eq!(details_of(both(), "active").started_us, Some(5));
        assert_eq!(details_of(both(), "activating").started_us, Some(8));
        assert_eq!(details_of(both(), "failed").started_us, None);
    }
}
