//! `history/`: how long each service was well, hour by hour, and its changes of state. For everybody to read (0644), so
//! that the viewer, which has no rights, can.
//!
//! - `2026-11-23.jsonl`: a day of UTC, a line for each service. Today's is replaced once a minute, so a monitor that is
//!   killed loses a minute at most, and no reader sees half a file; those before are never touched again. The latest
//!   91 are kept.
//! - `transitions.jsonl`, `.1`: each change of state, appended when it happens.
//! - `incidents.json`: the latest 200 incidents, without their evidence.
//!
//! Sizes: a day without trouble takes 50 bytes and the key; one with trouble in each of its hours about 500; today's has 270
//! more, for how fast the service answered in the last 24 hours. So 90 days of 50 services take 0.3 MB, of 1,000 services
//! 5.7 MB, and 8 MiB are not enough only for more than 1,400 services, or for more than 180 that fail in each hour of all
//! days. Changes of state take 4 MiB at most. What is written a day is 1,440 times today's file, whose lines have the last
//! hour's slots as well: 11 MB for 20 services, 520 MB for 1,000, a few hundredths of what `status.json` takes.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::read_regular;
use super::lines::{self, OnDisk};
use crate::status::history::{DAYS, Day, INCIDENTS_KEPT, Past, ServiceDay, ServicePast, Tally};
use crate::status::write::{replace, sweep};
use crate::status::{Incident, Transition};

mod reader;
mod sheet;

pub use reader::{Look, Reader};

/// The folder in the state directory.
pub const FOLDER: &str = "history";

const TRANSITIONS: [&str; 2] = ["transitions.jsonl", "transitions.1.jsonl"];

const INCIDENTS: &str = "incidents.json";

/// Of an incident that goes on and on, so many of the latest heals are told.
const HEALS_KEPT: usize = 20;

/// One day more than is shown: the day that is under way is not a whole one.
const DAYS_KEPT: usize = DAYS + 1;

/// In a day so many services are told that are not watched any more, or as many as are watched if those are more. A
/// configuration whose keys are others at each reload would otherwise make a day as large as it likes.
const DEPARTED: usize = 1000;

/// A file of changes of state is not appended to beyond this: about 12,000 of them.
const TRANSITIONS_LIMIT: u64 = 2 * 1024 * 1024;

/// A larger list of incidents is not ours: 200 with 20 heals each take half a megabyte.
const INCIDENTS_LIMIT: u64 = 4 * 1024 * 1024;

/// A larger file is not ours: a day of 10,000 services with trouble in each hour takes 5 MB.
const SIZE_LIMIT: u64 = 8 * 1024 * 1024;

/// A line of the changes of state.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    service: String,
    #[serde(flatten)]
    transition: Transition,
}

/// Writes what is known of a day, together with what is on disk of it. Then the oldest days go, until those that are left
/// are few enough: it is their number that bounds them, so a clock that jumps costs one day at most. A day that is older than
/// all that are kept is not written.
pub(super) fn write_day(state_dir: &Path, mut day: Day) -> io::Result<()> {
    let folder = make_folder(state_dir)?;
    let path = folder.join(name_of(day.number));
    match read_day(&path, day.number) {
        Ok(before) => {
            let departed = day.services.len().max(DEPARTED);
            day.join(before, departed);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !make_room(&folder, day.number)? {
                return Ok(());
            }
        }
        // Whatever stands there instead, it is no day of ours.
        Err(_) => {}
    }
    let mut text = Vec::new();
    for service in &day.services {
        serde_json::to_writer(&mut text, service)?;
        text.push(b'\n');
    }
    replace(&path, &text)
}

/// Removes the oldest days, so that there is room for this one. False when it would be the oldest itself.
fn make_room(folder: &Path, number: i32) -> io::Result<bool> {
    let days = days(folder)?;
    let too_many = (days.len() + 1).saturating_sub(DAYS_KEPT);
    if too_many > 0 && days.first().is_some_and(|(oldest, _)| number < *oldest) {
        return Ok(false);
    }
    for (_, path) in &days[..too_many] {
        std::fs::remove_file(path)?;
    }
    Ok(true)
}

/// Appends changes of state with the keys of their services.
pub(super) fn append_transitions(state_dir: &Path, changes: Vec<(String, Transition)>) -> io::Result<()> {
    let folder = make_folder(state_dir)?;
    let mut text = Vec::new();
    for (service, transition) in changes {
        serde_json::to_writer(&mut text, &Line { service, transition })?;
        text.push(b'\n');
    }
    lines::append(&folder, &TRANSITIONS, text, TRANSITIONS_LIMIT, OnDisk::Soon)
}

/// Replaces the list of incidents, newest first. Reasons and causes are in the document as well; evidence is not told.
pub(super) fn write_incidents(state_dir: &Path, incidents: &[Incident]) -> io::Result<()> {
    let mut text = serde_json::to_vec(incidents)?;
    text.push(b'\n');
    replace(&make_folder(state_dir)?.join(INCIDENTS), &text)
}

/// Puts an incident into such a list, in place of what was known of it before.
pub(super) fn enlist(incidents: &mut Vec<Incident>, mut incident: Incident) {
    let superfluous = incident.heals.len().saturating_sub(HEALS_KEPT);
    incident.heals.drain(..superfluous);
    incidents.retain(|known| known.id != incident.id);
    let place =
        incidents.partition_point(|known| (known.detected, &known.id) > (incident.detected, &incident.id));
    incidents.insert(place, incident);
    incidents.truncate(INCIDENTS_KEPT);
}

/// All that is on disk of the days, oldest first, and then the changes of state: a piece at a time, since all days of a
/// thousand services at once take 30 MB. What is broken is passed over. Blocking.
///
/// # Errors
/// When the folder, or the changes of state, are there and cannot be read.
pub fn read_each(state_dir: &Path, take: impl FnMut(Past)) -> io::Result<()> {
    read_lines(state_dir, None, take)
}

/// What is on disk of one service.
///
/// # Errors
/// As [`read_each`].
pub fn read_service(state_dir: &Path, key: &str) -> io::Result<ServicePast> {
    let mut past = ServicePast::default();
    read_lines(state_dir, Some(key), |piece| past.take(key, piece))?;
    Ok(past)
}

/// The latest incidents of all services, newest first, without their evidence; none when none was ever written. Blocking.
///
/// # Errors
/// When the list is there and cannot be read.
pub fn incidents(state_dir: &Path) -> io::Result<Vec<Incident>> {
    read_incidents(&state_dir.join(FOLDER).join(INCIDENTS))
}

fn read_incidents(path: &Path) -> io::Result<Vec<Incident>> {
    match read_regular(path, INCIDENTS_LIMIT) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn read_lines(state_dir: &Path, key: Option<&str>, mut take: impl FnMut(Past)) -> io::Result<()> {
    let folder = state_dir.join(FOLDER);
    for (number, path) in days(&folder)? {
        take(read_piece(&path, number, key));
    }
    take(read_transitions(&folder, key)?);
    Ok(())
}

/// A day, of all services or of one.
fn read_piece(path: &Path, number: i32, key: Option<&str>) -> Past {
    let bytes = read_regular(path, SIZE_LIMIT).unwrap_or_default();
    let day = Day { number, services: services(&bytes, wanted(key)) };
    Past { days: vec![day], transitions: Vec::new() }
}

fn read_transitions(folder: &Path, key: Option<&str>) -> io::Result<Past> {
    let is_wanted = wanted(key);
    let mut transitions = Vec::new();
    lines::for_each(folder, &TRANSITIONS, TRANSITIONS_LIMIT, |line| {
        if is_wanted(line)
            && let Ok(Line { service, transition }) = serde_json::from_slice(line)
        {
            transitions.push((service, transition));
        }
    })?;
    Ok(Past { days: Vec::new(), transitions })
}

/// Only a line that begins so is parsed: of a thousand services one is wanted.
fn wanted(key: Option<&str>) -> impl Fn(&[u8]) -> bool {
    let start = key.map(line_start);
    move |line| start.as_deref().is_none_or(|start| line.starts_with(start))
}

/// How a line about a service begins.
fn line_start(key: &str) -> Vec<u8> {
    let key = serde_json::to_string(key).unwrap_or_default();
    format!("{{\"service\":{key},").into_bytes()
}

fn read_day(path: &Path, number: i32) -> io::Result<Day> {
    Ok(Day { number, services: services(&read_regular(path, SIZE_LIMIT)?, |_| true) })
}

/// What each service's line of a day comes to.
fn read_sums(path: &Path) -> io::Result<Vec<(String, Tally)>> {
    let bytes = read_regular(path, SIZE_LIMIT)?;
    let lines = bytes.split(|byte| *byte == b'\n');
    let days = lines.filter_map(|line| serde_json::from_slice::<ServiceDay>(line).ok());
    Ok(days.map(|day| (day.sum(), day.service)).map(|(sum, key)| (key, sum)).collect())
}

fn services(bytes: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Vec<ServiceDay> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| is_wanted(line));
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The days that are there, oldest first.
fn days(folder: &Path) -> io::Result<Vec<(i32, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut days = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(number) = name.and_then(number_of_file) {
            days.push((number, path));
        }
    }
    days.sort_unstable();
    Ok(days)
}

/// Whether a file with this name is one of a day: as large as there are services, and at most 91 of them.
pub fn is_day(file_name: &str) -> bool {
    number_of_file(file_name).is_some()
}

fn number_of_file(name: &str) -> Option<i32> {
    Day::number_of_name(name.strip_suffix(".jsonl")?)
}

fn name_of(number: i32) -> String {
    format!("{}.jsonl", Day { number, services: Vec::new() }.name())
}

fn make_folder(state_dir: &Path) -> io::Result<PathBuf> {
    let folder = state_dir.join(FOLDER);
    match DirBuilder::new().mode(0o755).create(&folder) {
        Ok(()) => {
            // Whatever the umask.
            std::fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !std::fs::symlink_metadata(&folder)?.is_dir() {
                return Err(io::Error::other(format!("{} is no folder", folder.display())));
            }
        }
        Err(error) => return Err(error),
    }
    Ok(folder)
}

/// Clears away what a killed monitor left half written.
pub(super) fn clear(state_dir: &Path) -> io::Result<()> {
    sweep(&make_folder(state_dir)?, std::time::Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::history::{Counted, DAY_MS, HOUR_MS};
    use crate::status::{State, Timestamp};
    use proptest::prelude::*;
    use std::os::unix::fs::MetadataExt;

    pub(super) const TODAY: i32 = 20_780;

    pub(super) fn tally(up_s: u32, down_s: u32) -> Tally {
        Tally { up_ms: up_s * 1000, down_ms: down_s * 1000, ..Tally::default() }
    }

    /// A day of a service with these hours.
    pub(super) fn service(key: &str, number: i32, hours: &[(i32, Tally)]) -> ServiceDay {
        let hours = hours.iter().map(|(hour, tally)| (24 * number + hour, *tally));
        ServiceDay::of(key, Some(State::Up), number, hours, std::iter::empty())
    }

    pub(super) fn day(number: i32, services: Vec<ServiceDay>) -> Day {
        Day { number, services }
    }

    fn hours(state_dir: &Path, key: &str) -> Vec<(i32, i32, Tally)> {
        let mut days = Vec::new();
        read_lines(state_dir, Some(key), |piece| days.extend(piece.days)).unwrap();
        let of = |day: &Day| {
            let number = day.number;
            let hours: Vec<_> = day.services.iter().flat_map(ServiceDay::hours).collect();
            hours.into_iter().map(move |(hour, tally)| (number, hour, tally))
        };
        days.iter().flat_map(of).collect()
    }

    fn change(number: i64) -> (String, Transition) {
        let at = Timestamp::from_millis(number * 1000);
        (
            "web".to_owned(),
            Transition { at, from: State::Up, to: State::Down, reason: Some("port".to_owned()) },
        )
    }

    #[test]
    fn a_day_without_trouble_takes_a_line_of_fifty_bytes_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<(i32, Tally)> = (0..24).map(|hour| (hour, tally(3600, 0))).collect();
        write_day(folder.path(), day(TODAY, vec![service("web", TODAY, &all)])).unwrap();
        let path = folder.path().join("history/2026-11-23.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"service\":\"web\",\"worst\":\"up\",\"hours\":[[0,24,3600]]}\n");
        assert_eq!(hours(folder.path(), "web").len(), 24);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o755);
    }

    #[test]
    fn how_fast_it_answered_comes_back_and_a_line_without_that_is_read_as_before() {
        use crate::status::history::Latency;
        let folder = tempfile::tempdir().unwrap();
        let first = 24 * TODAY - 3;
        let hour =
            |probes: u32, mean_ms: u32, max_ms: u32| Latency { probes, sum_ms: probes * mean_ms, max_ms };
        let latency = [(first, hour(360, 12, 80)), (first + 1, hour(300, 0, 9)), (first + 5, hour(1, 7, 7))];
        let all = [(0, tally(3600, 0))];
        let line = service("web", TODAY, &all).with_latency(latency.into_iter());
        write_day(folder.path(), day(TODAY, vec![line, service("db", TODAY, &all)])).unwrap();
        let text = std::fs::read_to_string(folder.path().join("history/2026-11-23.jsonl")).unwrap();
        let written = format!("\"latency\":[[{first},360,12,80,300,0,9],[{},1,7,7]]}}\n", first + 5);
        assert!(text.contains(&written) && text.matches("latency").count() == 1, "{text}");
        let mut found = Vec::new();
        read_lines(folder.path(), Some("web"), |past| {
            let services = past.days.iter().flat_map(|day| &day.services);
            found.extend(services.flat_map(|service| service.latency().collect::<Vec<_>>()));
        })
        .unwrap();
        assert_eq!(found, latency);
        assert_eq!(hours(folder.path(), "db").len(), 1);
    }

    #[test]
    fn one_service_is_never_taken_for_another() {
        let folder = tempfile::tempdir().unwrap();
        let lines = ["web", "web2", "we"].map(|key| service(key, TODAY, &[(1, tally(key.len() as u32, 0))]));
        write_day(folder.path(), day(TODAY, lines.to_vec())).unwrap();
        assert_eq!(hours(folder.path(), "web"), [(TODAY, 1, tally(3, 0))]);
        assert_eq!(hours(folder.path(), "w"), []);
        let mut counts = Vec::new();
        let count = |past: Past| counts.extend(past.days.iter().map(|day| day.services.len()));
        read_each(folder.path(), count).unwrap();
        assert_eq!(counts, [3]);
    }

    #[test]
    fn a_monitor_that_has_forgotten_an_hour_or_a_service_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let whole = [(3, tally(3000, 600)), (4, tally(100, 0))];
        let others = vec![service("web", TODAY, &whole), service("gone", TODAY, &whole)];
        write_day(folder.path(), day(TODAY, others)).unwrap();
        let later = [(3, tally(5, 0)), (4, tally(160, 0)), (5, tally(7, 0))];
        write_day(folder.path(), day(TODAY, vec![service("web", TODAY, &later)])).unwrap();
        let expected = [(TODAY, 3, tally(3000, 600)), (TODAY, 4, tally(160, 0)), (TODAY, 5, tally(7, 0))];
        assert_eq!(hours(folder.path(), "web"), expected);
        assert_eq!(hours(folder.path(), "gone").len(), 2);
    }

    #[test]
    fn keys_that_are_others_at_each_reload_make_no_day_endless() {
        let folder = tempfile::tempdir().unwrap();
        for reload in 0..30 {
            let watched =
                (0..100).map(|place| service(&format!("{reload}_{place}"), TODAY, &[(1, tally(9, 0))]));
            write_day(folder.path(), day(TODAY, watched.collect())).unwrap();
        }
        let path = folder.path().join("history/2026-11-23.jsonl");
        let found = read_day(&path, TODAY).unwrap().services;
        assert_eq!(found.len(), 100 + DEPARTED);
        assert!(found.iter().all(|of| of.service.split('_').next().unwrap().parse::<u32>().unwrap() >= 19));
    }

    #[test]
    fn after_a_simulated_year_of_50_services_with_trouble_each_day_a_quarter_of_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        for number in TODAY - 365..=TODAY {
            let of = |place: i32| {
                let hours = (0..24).map(|hour| {
                    let is_bad = (place + number + hour) % 12 == 0;
                    (hour, if is_bad { tally(3000 + hour as u32, 600) } else { tally(3600, 0) })
                });
                service(&format!("service_{place}"), number, &hours.collect::<Vec<_>>())
            };
            write_day(folder.path(), day(number, (0..50).map(of).collect())).unwrap();
        }
        let days = days(&folder.path().join(FOLDER)).unwrap();
        assert_eq!((days.len(), days[0].0, days[90].0), (91, TODAY - 90, TODAY));
        let bytes: u64 = days.iter().map(|(_, path)| std::fs::metadata(path).unwrap().len()).sum();
        assert!(bytes < 1024 * 1024, "{bytes}");
        // Two bad hours break the day into five runs at most: 120 bytes a line.
        println!("{bytes} bytes for 91 days of 50 services");
    }

    #[test]
    fn a_clock_that_jumps_costs_one_day_at_most_and_never_those_before() {
        let folder = tempfile::tempdir().unwrap();
        let write = |number: i32| {
            write_day(folder.path(), day(number, vec![service("web", number, &[(0, tally(9, 0))])])).unwrap();
        };
        (TODAY - 90..=TODAY).for_each(write);
        let kept = || -> Vec<i32> {
            days(&folder.path().join(FOLDER)).unwrap().into_iter().map(|(number, _)| number).collect()
        };
        write(0);
        assert_eq!(kept(), (TODAY - 90..=TODAY).collect::<Vec<_>>(), "1970 is no news");
        write(TODAY + 365);
        assert_eq!(kept().len(), 91);
        assert_eq!((kept()[0], kept()[89], kept()[90]), (TODAY - 89, TODAY, TODAY + 365));
    }

    #[test]
    fn changes_of_state_survive_and_stay_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..40 {
            let changes = (0..1000).map(|place| change(number * 1000 + place)).collect();
            append_transitions(folder.path(), changes).unwrap();
        }
        let found = read_service(folder.path(), "web").unwrap().transitions;
        assert_eq!(found.last(), Some(&change(39_999).1));
        assert!(found.len() > 12_000, "{}", found.len());
        for name in TRANSITIONS {
            let length = std::fs::metadata(folder.path().join(FOLDER).join(name)).unwrap().len();
            assert!(length <= TRANSITIONS_LIMIT, "{name}: {length}");
        }
    }

    #[test]
    fn of_many_incidents_the_latest_are_told_and_of_an_endless_one_the_latest_heals() {
        use crate::status::LastHeal;
        let at = |number: i64| Timestamp::from_millis(number * 1000);
        let incident = |number: i64, heals: u32| Incident {
            id: format!("{number:04}-web"),
            service: "web".to_owned(),
            began: at(number),
            detected: at(number),
            ended: None,
            cause: "port".to_owned(),
            outcome: None,
            heals: (1..=heals)
                .map(|attempt| LastHeal { at: at(number), step: "restart".to_owned(), attempt, result: None })
                .collect(),
        };
        let mut told = Vec::new();
        (0..300).for_each(|number| enlist(&mut told, incident(number, 0)));
        enlist(&mut told, incident(299, 100));
        assert_eq!((told.len(), told[0].began, told[199].began), (200, at(299), at(100)));
        assert_eq!((told[0].heals.len(), told[0].heals[19].attempt), (20, 100));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(incidents(folder.path()).unwrap(), []);
        write_incidents(folder.path(), &told).unwrap();
        assert_eq!(incidents(folder.path()).unwrap(), told);
    }

    fn arbitrary_hour() -> impl Strategy<Value = Tally> {
        (0..=3600_u32, 0..=3600_u32, 0..=3_u16, 0..=3_u16).prop_map(|(up, down, restarts, heals)| Tally {
            restarts,
            heals,
            ..tally(up.min(3600 - down.min(3600)), down)
        })
    }

    proptest! {
        /// However a file was cut off or damaged, what can be read is whole lines, and no hour has more than an hour.
        #[test]
        fn wherever_a_file_is_torn_the_lines_before_are_read(
            all in prop::collection::vec(arbitrary_hour(), 24),
            at in 0.0..1.0_f64,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let hours_of: Vec<(i32, Tally)> = (0..).zip(all).collect();
            let lines = vec![service("a", TODAY, &hours_of), service("b", TODAY, &hours_of)];
            write_day(folder.path(), day(TODAY, lines)).unwrap();
            let known: Vec<_> =
                hours_of.iter().filter(|(_, tally)| *tally != Tally::default()).map(|(hour, tally)| (TODAY, *hour, *tally)).collect();
            prop_assert_eq!(&hours(folder.path(), "b"), &known);
            let path = folder.path().join("history/2026-11-23.jsonl");
            let whole = std::fs::read(&path).unwrap();
            let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let length = first + ((whole.len() - first) as f64 * at) as usize;
            std::fs::write(&path, &whole[..length]).unwrap();
            prop_assert_eq!(&hours(folder.path(), "a"), &known);
            prop_assert!(length >= whole.len() - 1 || hours(folder.path(), "b").is_empty());
            // The next minute it is whole again.
            write_day(folder.path(), day(TODAY, vec![service("b", TODAY, &hours_of)])).unwrap();
            prop_assert_eq!(hours(folder.path(), "a").len(), hours(folder.path(), "b").len());
        }

        #[test]
        fn no_bytes_whatever_make_a_reader_fail_or_an_hour_too_long(bytes in prop::collection::vec(any::<u8>(), 0..300), numbers in prop::collection::vec(any::<i32>(), 0..9)) {
            let folder = tempfile::tempdir().unwrap();
            let path = make_folder(folder.path()).unwrap().join("2026-11-23.jsonl");
            let mut text = format!("{{\"service\":\"web\",\"hours\":[{numbers:?}],\"slots\":[{numbers:?}],\"latency\":[{numbers:?}]}}\n").into_bytes();
            text.extend(bytes);
            std::fs::write(&path, text).unwrap();
            let mut found = Vec::new();
            let collect = |past: Past| found.extend(past.days.into_iter().flat_map(|day| day.services));
            read_each(folder.path(), collect).unwrap();
            for service in &found {
                prop_assert!(service.hours().count() <= 24 && service.slots().count() <= 288);
                prop_assert!(service.hours().all(|(_, tally)| tally.up_ms <= 3_600_000));
                prop_assert!(service.latency().all(|(_, latency)| latency.mean_ms().is_some()));
            }
        }
    }

    #[test]
    fn days_and_hours_are_those_of_utc() {
        assert_eq!(Day::number_of_name("2026-11-23"), Some(TODAY));
        assert_eq!(day(TODAY, Vec::new()).name(), "2026-11-23");
        for wrong in ["2026-11-31", "2026-1-1", "", "transitions", "20261123"] {
            assert_eq!(Day::number_of_name(wrong), None, "{wrong}");
        }
        let mut account = crate::status::history::Account::new(HOUR_MS, 48);
        let start = i64::from(TODAY) * DAY_MS;
        let at = |minutes: i64| Timestamp::from_millis(start + minutes * 60_000);
        account.book(at(50), at(70), Counted::Up, State::Up);
        let booked: Vec<(i32, u32)> =
            account.range(24 * TODAY, 24 * TODAY + 24).map(|(hour, tally)| (hour, tally.up_ms)).collect();
        assert_eq!(booked, [(24 * TODAY, 600_000), (24 * TODAY + 1, 600_000)]);
    }
}
