use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sheet::Sheet;
use super::{
    DAYS_KEPT, FOLDER, INCIDENTS, Line, TRANSITIONS, TRANSITIONS_LIMIT, name_of, read_incidents, read_piece,
    read_sums,
};
use crate::status::history::{Day, Past, ServicePast, TRANSITIONS_TOLD, Tally};
use crate::status::read::Version;
use crate::status::{Incident, Timestamp};
use crate::store::files::read_regular;
use crate::store::lines;

/// So many days of services are kept, of 24 bytes each and up to twice that as they grow: 90 days of 1,000 services take 3 MB,
/// and of more than 2,200 no more than 10 MB. Those beyond, the oldest, are read each time.
const SUMS_KEPT: usize = 200_000;

/// A service takes as much room as so many of its days: services that come and go each day fill it as well.
const SERVICE_TAKES: usize = 4;

/// Today and yesterday are kept as they are on disk, if they are no larger: 4,000 services with trouble in each hour.
const SHEET_LIMIT: u64 = 2 * 1024 * 1024;

/// Reads the past for somebody who is asked for it again and again. What was read is kept for as long as its file is the same,
/// within bounds: 10 MB for the sums of the days before yesterday, of which nothing else is told, 2 MB for each of
/// yesterday and today, 4 MB for the changes of state, and the incidents. A thousand services take half of that.
///
/// Of the folder it opens only files that it knows by name, however many others are there.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    kept: Mutex<Kept>,
}

/// What is on disk at a moment. For as long as it is held all others wait.
pub struct Look<'r> {
    kept: MutexGuard<'r, Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Grows with each file that turns out to be another.
    edition: u64,
    /// The day and its predecessors that can be told, oldest first.
    paths: Vec<(i32, PathBuf)>,
    earlier: Earlier,
    /// Today and yesterday; without a sheet if they could not be read or are too large.
    latest: BTreeMap<i32, (Version, Option<Sheet>)>,
    transitions: ([Option<Version>; TRANSITIONS.len()], Sheet),
    incidents: (Option<Version>, Arc<Vec<Incident>>),
}

/// What is kept of earlier days.
#[derive(Debug, Default)]
struct Earlier {
    /// So many sums at most.
    limit: usize,
    /// What the file of each day looked like, and whether its sums are kept: not if they found no room. One that could not
    /// be read is not among them.
    files: BTreeMap<i32, (Version, bool)>,
    /// By service, in no order.
    sums: HashMap<String, Vec<(i32, Tally)>>,
}

impl Reader {
    /// A reader of this state directory.
    pub fn new(state_dir: &Path) -> Reader {
        Reader::with_limit(state_dir, SUMS_KEPT)
    }

    fn with_limit(state_dir: &Path, limit: usize) -> Reader {
        let earlier = Earlier { limit, ..Earlier::default() };
        Reader { folder: state_dir.join(FOLDER), kept: Mutex::new(Kept { earlier, ..Kept::default() }) }
    }

    /// Looks at each file, and reads those that are others than before. Blocking.
    ///
    /// # Errors
    /// When the folder, the changes of state or the incidents are there and cannot be read.
    pub fn look(&self, now: Timestamp) -> io::Result<Look<'_>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.follow(&self.folder, Day::number_of(now))?;
        Ok(Look { kept })
    }
}

impl Look<'_> {
    /// Two looks of one edition see the same.
    pub fn edition(&self) -> u64 {
        self.kept.edition
    }

    /// The latest incidents of all services, newest first.
    pub fn incidents(&self) -> Arc<Vec<Incident>> {
        self.kept.incidents.1.clone()
    }

    /// What is known of one service; of the days before yesterday without their hours, and the latest changes of state.
    pub fn service(&self, key: &str) -> ServicePast {
        let kept = &*self.kept;
        let mut past = ServicePast::default();
        for (number, sum) in kept.earlier.sums.get(key).into_iter().flatten() {
            past.take_sum(*number, *sum);
        }
        for (number, path) in &kept.paths {
            if let Some((_, Some(sheet))) = kept.latest.get(number) {
                let services = sheet.of(key).filter_map(|line| serde_json::from_slice(line).ok()).collect();
                past.take(key, Past { days: vec![Day { number: *number, services }], ..Past::default() });
            } else if !kept.earlier.keeps(*number) {
                past.take(key, read_piece(path, *number, Some(key)));
            }
        }
        let changes = kept.transitions.1.of(key);
        let too_many = changes.len().saturating_sub(TRANSITIONS_TOLD);
        let latest = changes.skip(too_many).filter_map(|line| serde_json::from_slice(line).ok());
        past.transitions = latest.map(|Line { transition, .. }| transition).collect();
        past
    }
}

impl Kept {
    fn follow(&mut self, folder: &Path, today: i32) -> io::Result<()> {
        if self.paths.last().is_none_or(|(number, _)| *number != today) {
            let numbers = today.saturating_sub(DAYS_KEPT as i32 - 1)..=today;
            self.paths = numbers.map(|number| (number, folder.join(name_of(number)))).collect();
        }
        let mut found = Vec::new();
        for (number, path) in &self.paths {
            // Asked before reading: when one is replaced in between, the next look reads once more.
            if let Some(version) = version(path)? {
                found.push((*number, path.as_path(), version));
            }
        }
        let (earlier, latest) = found.split_at(found.partition_point(|(number, ..)| *number < today - 1));
        self.edition += u64::from(self.earlier.follow(earlier));
        self.edition += u64::from(follow_latest(&mut self.latest, latest));
        self.edition += u64::from(follow_transitions(&mut self.transitions, folder)?);
        self.edition += u64::from(follow_incidents(&mut self.incidents, folder)?);
        Ok(())
    }
}

/// What a file looks like; none when there is none.
fn version(path: &Path) -> io::Result<Option<Version>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(Version::of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn follow_latest(kept: &mut BTreeMap<i32, (Version, Option<Sheet>)>, days: &[(i32, &Path, Version)]) -> bool {
    let before = kept.len();
    kept.retain(|number, (known, _)| days.iter().any(|(of, _, version)| of == number && version == known));
    let mut is_new = kept.len() < before;
    for (number, path, version) in days {
        if !kept.contains_key(number) {
            kept.insert(*number, (*version, read_regular(path, SHEET_LIMIT).ok().map(Sheet::new)));
            is_new = true;
        }
    }
    is_new
}

fn follow_transitions(
    (known, sheet): &mut ([Option<Version>; TRANSITIONS.len()], Sheet),
    folder: &Path,
) -> io::Result<bool> {
    let mut versions = [None; TRANSITIONS.len()];
    for (found, name) in versions.iter_mut().zip(TRANSITIONS) {
        *found = version(&folder.join(name))?;
    }
    if versions == *known {
        return Ok(false);
    }
    // The old ones go first: both together would be twice as much.
    (*known, *sheet) = Default::default();
    let mut bytes = Vec::new();
    lines::for_each(folder, &TRANSITIONS, TRANSITIONS_LIMIT, |line| bytes.extend_from_slice(line))?;
    bytes.shrink_to_fit();
    (*known, *sheet) = (versions, Sheet::new(bytes));
    Ok(true)
}

fn follow_incidents(
    (known, incidents): &mut (Option<Version>, Arc<Vec<Incident>>),
    folder: &Path,
) -> io::Result<bool> {
    let path = folder.join(INCIDENTS);
    let found = version(&path)?;
    if found == *known {
        return Ok(false);
    }
    (*known, *incidents) = Default::default();
    (*known, *incidents) = (found, Arc::new(read_incidents(&path)?));
    Ok(true)
}

impl Earlier {
    fn keeps(&self, day: i32) -> bool {
        self.files.get(&day).is_some_and(|(_, is_kept)| *is_kept)
    }

    /// Reads those of these days that are new: all at the first question, one after midnight. A monitor whose clock was
    /// set back may write one anew. True when something changed.
    fn follow(&mut self, found: &[(i32, &Path, Version)]) -> bool {
        let same: BTreeSet<i32> = found
            .iter()
            .filter(|(number, _, version)| self.files.get(number).is_some_and(|(known, _)| known == version))
            .map(|(number, ..)| *number)
            .collect();
        if same.len() == self.files.len() && same.len() == found.len() {
            return false;
        }
        let mut is_new = same.len() < self.files.len();
        if is_new {
            self.forget_all_but(&same);
        }
        let mut taken = self.sums.values().map(Vec::len).sum::<usize>() + SERVICE_TAKES * self.sums.len();
        for (number, path, version) in found.iter().rev() {
            if self.files.contains_key(number) {
                continue;
            }
            // What the system refuses it may grant the next time.
            let Ok(sums) = read_sums(path) else { continue };
            let new = sums.iter().filter(|(key, _)| !self.sums.contains_key(key)).count();
            let with = taken + sums.len() + SERVICE_TAKES * new;
            let has_room = with <= self.limit;
            self.files.insert(*number, (*version, has_room));
            is_new = true;
            if !has_room {
                continue;
            }
            taken = with;
            for (key, sum) in sums {
                self.sums.entry(key).or_default().push((*number, sum));
            }
        }
        is_new
    }

    /// Forgets the days whose files are others or gone, and that others found no room: there is some now.
    fn forget_all_but(&mut self, same: &BTreeSet<i32>) {
        self.files.retain(|number, (_, is_kept)| *is_kept && same.contains(number));
        self.sums.values_mut().for_each(|sums| sums.retain(|(number, _)| self.files.contains_key(number)));
        self.sums.retain(|_, sums| !sums.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        append_transitions, read_service,
        tests::{TODAY, day, service, tally},
        write_day, write_incidents,
    };
    use super::*;
    use crate::status::history::{DAY_MS, History};
    use crate::status::{State, Transition};

    const KEYS: [&str; 3] = ["web", "we", "db"];

    /// Noon of the day with this number.
    fn noon(number: i32) -> Timestamp {
        Timestamp::from_millis(i64::from(number) * DAY_MS + DAY_MS / 2)
    }

    /// 91 days, until today. `db` is there on every third.
    fn stage() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for number in TODAY - 90..=TODAY {
            let hours = |place: usize| {
                let bad = u32::try_from(number.rem_euclid(7)).unwrap() * 100;
                [(0, tally(3600, 0)), (place as i32, tally(3600 - bad, bad))]
            };
            let there = KEYS.iter().enumerate().filter(|(place, _)| *place < 2 || number % 3 == 0);
            let services = there.map(|(place, key)| service(key, number, &hours(place + 5))).collect();
            write_day(folder.path(), day(number, services)).unwrap();
        }
        folder
    }

    fn told(past: ServicePast, key: &str) -> History {
        History::of(key, past, &[], noon(TODAY))
    }

    #[test]
    fn what_is_told_with_kept_days_is_what_the_files_say_whether_all_some_or_none_find_room() {
        let folder = stage();
        for limit in [SUMS_KEPT, 100, 0] {
            let reader = Reader::with_limit(folder.path(), limit);
            for key in KEYS.into_iter().chain(KEYS) {
                let whole = told(read_service(folder.path(), key).unwrap(), key);
                assert!(whole.days[1].window.known > 0.0 || key == "db", "{key}");
                assert_eq!(
                    told(reader.look(noon(TODAY)).unwrap().service(key), key),
                    whole,
                    "{key}, {limit}"
                );
            }
            let earlier = &reader.kept.lock().unwrap().earlier;
            let kept: usize = earlier.sums.values().map(Vec::len).sum();
            assert!(kept <= limit, "{kept}");
            let left_out = earlier.files.values().filter(|(_, is_kept)| !is_kept).count();
            assert_eq!(left_out == 0, limit == SUMS_KEPT, "{left_out}");
        }
    }

    #[test]
    fn what_changes_is_seen_at_the_next_look_and_what_does_not_is_not_read_again() {
        let folder = stage();
        let reader = Reader::new(folder.path());
        // A look in an expression lasts as long as that, and two of them would wait for each other.
        let edition = || reader.look(noon(TODAY)).unwrap().edition();
        let first = edition();
        let second = edition();
        assert_eq!(second, first, "nothing has changed");
        let change = |state: State| {
            let transition = Transition { at: noon(TODAY), from: State::Up, to: state, reason: None };
            append_transitions(folder.path(), vec![("web".to_owned(), transition)]).unwrap();
        };
        change(State::Down);
        let second = edition();
        assert!(second > first);
        change(State::Up);
        let changes = |key: &str| reader.look(noon(TODAY)).unwrap().service(key).transitions;
        let seen: Vec<State> = changes("web").iter().map(|change| change.to).collect();
        assert_eq!(seen, [State::Down, State::Up], "both, oldest first");
        assert!(changes("we").is_empty());
        let third = edition();
        write_incidents(folder.path(), &[]).unwrap();
        let fourth = edition();
        assert!(third > second && fourth > third);
        write_day(folder.path(), day(TODAY, vec![service("web", TODAY, &[(3, tally(9, 9))])])).unwrap();
        let fifth = edition();
        assert!(fifth > fourth);
        std::fs::remove_file(folder.path().join("history/incidents.json")).unwrap();
        assert!(edition() > fifth);
    }

    #[test]
    fn what_else_lies_in_the_folder_is_not_read_and_what_is_too_large_only_to_its_end() {
        use std::os::unix::fs::symlink;
        let folder = stage();
        let history = folder.path().join(FOLDER);
        let whole = told(read_service(folder.path(), "db").unwrap(), "db");
        let path = |number: i32| history.join(name_of(number));
        let gib = |path: &Path| {
            let file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
            file.set_len(1 << 30).unwrap();
        };
        let transition = Transition { at: noon(TODAY), from: State::Up, to: State::Down, reason: None };
        gib(&history.join(TRANSITIONS[1]));
        gib(&history.join(TRANSITIONS[0]));
        append_one_line_to(&history.join(TRANSITIONS[0]), &transition);
        // `db` is not there on these days, so nothing is lost when something else is in the place of their files.
        let without: Vec<i32> = (TODAY - 90..=TODAY).filter(|number| number % 3 != 0).collect();
        assert!(
            without.contains(&TODAY) || without.contains(&(TODAY - 1)),
            "one of the latest is among them"
        );
        for (place, number) in without.iter().rev().take(8).enumerate() {
            std::fs::remove_file(path(*number)).unwrap();
            match place % 4 {
                0 => gib(&path(*number)),
                1 => symlink("/dev/zero", path(*number)).unwrap(),
                2 => std::fs::create_dir(path(*number)).unwrap(),
                _ => std::fs::write(path(*number), b"\0\xff{\n\n[]").unwrap(),
            }
        }
        for name in
            ["2026-11-23.jsonl~", "..jsonl", "9999-12-31.jsonl", "1970-01-01.jsonl", "\u{1b}[2J", "-.jsonl"]
        {
            gib(&history.join(name));
        }
        let reader = Reader::new(folder.path());
        for _ in 0..2 {
            let found = told(reader.look(noon(TODAY)).unwrap().service("db"), "db");
            assert_eq!(found.transitions, std::slice::from_ref(&transition));
            assert_eq!((found.days, found.failures), (whole.days.clone(), whole.failures));
        }
        let kept = reader.kept.lock().unwrap();
        assert!(kept.latest.keys().all(|number| *number >= TODAY - 1) && kept.earlier.files.len() <= 89);
        drop(kept);
        gib(&history.join(INCIDENTS));
        assert!(reader.look(noon(TODAY)).is_err(), "that there were none is not believed");
    }

    fn append_one_line_to(path: &Path, transition: &Transition) {
        let line = Line { service: "db".to_owned(), transition: transition.clone() };
        let text = format!("\n{}\n", serde_json::to_string(&line).unwrap());
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new().append(true).open(path).unwrap(),
            text.as_bytes(),
        )
        .unwrap();
    }

    #[test]
    fn services_that_come_and_go_each_day_do_not_fill_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        for number in TODAY - 90..=TODAY {
            let services =
                (0..20).map(|place| service(&format!("of_{number}_{place}"), number, &[(1, tally(9, 0))]));
            write_day(folder.path(), day(number, services.collect())).unwrap();
        }
        let reader = Reader::with_limit(folder.path(), 500);
        let key = format!("of_{}_7", TODAY - 80);
        let past = reader.look(noon(TODAY)).unwrap().service(&key);
        assert!(told(past, &key).days.iter().any(|day| day.window.known > 0.0), "it is read nevertheless");
        assert_eq!(reader.kept.lock().unwrap().earlier.sums.len(), 500 / (20 * (1 + SERVICE_TAKES)) * 20);
    }

    #[test]
    fn an_earlier_day_is_read_once_and_again_only_when_its_file_is_another() {
        let folder = stage();
        let reader = Reader::new(folder.path());
        let ratio = |number: i32, now: i32| {
            let past = reader.look(noon(now)).unwrap().service("web");
            let days = History::of("web", past, &[], noon(now)).days;
            days[days.len() - 1 - (now - number) as usize].window.ratio
        };
        assert_ne!(ratio(TODAY - 9, TODAY), Some(1.0));
        // What is not on disk tells whether somebody looked there.
        let mark = |number: i32| {
            let earlier = &mut reader.kept.lock().unwrap().earlier;
            let sums = earlier.sums.get_mut("web").unwrap();
            sums.iter_mut().find(|(of, _)| *of == number).unwrap().1 = Tally { up_ms: 1, ..Tally::default() };
        };
        mark(TODAY - 9);
        assert_eq!(ratio(TODAY - 9, TODAY), Some(1.0), "it was not read again");
        // The monitor goes on with today, and says its last word of yesterday.
        for number in [TODAY - 1, TODAY] {
            write_day(folder.path(), day(number, vec![service("web", number, &[(9, tally(0, 3600))])]))
                .unwrap();
        }
        assert_eq!(ratio(TODAY - 9, TODAY), Some(1.0), "nor was it then");
        assert!(ratio(TODAY - 1, TODAY) < Some(0.9), "but these were");
        // An earlier one is written.
        write_day(folder.path(), day(TODAY - 5, vec![service("web", TODAY - 5, &[(9, tally(0, 3600))])]))
            .unwrap();
        assert!(ratio(TODAY - 5, TODAY) < Some(0.9));
        // After midnight.
        assert!(ratio(TODAY - 1, TODAY + 1) < Some(0.9));
        assert_eq!(ratio(TODAY - 9, TODAY + 1), Some(1.0));
        // This one itself, at last.
        write_day(folder.path(), day(TODAY - 9, vec![service("web", TODAY - 9, &[(23, tally(5, 5))])]))
            .unwrap();
        assert_ne!(ratio(TODAY - 9, TODAY), Some(1.0));
    }
}
