use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{FOLDER, days, read_day, read_piece, read_transitions};
use crate::status::Timestamp;
use crate::status::history::{Day, ServicePast, Tally};
use crate::status::read::Version;

/// So many days of services are kept, of 24 bytes each and up to twice that as they grow: 90 days of 1,000 services take 3 MB,
/// and of more than 2,200 no more than 10 MB. Those beyond, the oldest, are read each time.
const SUMS_KEPT: usize = 200_000;

/// Reads the past for somebody who is asked for it again and again, of one service after another. Of the days before
/// yesterday only the sums are told, and they do not change: they are kept, for a thousand services have 7 MB on disk.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    earlier: Mutex<Earlier>,
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
        let earlier = Mutex::new(Earlier { limit, ..Earlier::default() });
        Reader { folder: state_dir.join(FOLDER), earlier }
    }

    /// What is on disk of one service; of the days before yesterday without their hours. Blocking.
    ///
    /// # Errors
    /// As [`super::read_each`].
    pub fn service(&self, key: &str, now: Timestamp) -> io::Result<ServicePast> {
        let mut past = ServicePast::default();
        let all = days(&self.folder)?;
        let yesterday = Day::number_of(now) - 1;
        let (earlier, latest) = all.split_at(all.partition_point(|(number, _)| *number < yesterday));
        let left_out = {
            let mut known = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
            known.follow(earlier);
            for (number, sum) in known.sums.get(key).into_iter().flatten() {
                past.take_sum(*number, *sum);
            }
            earlier.iter().filter(|(number, _)| !known.keeps(*number)).collect::<Vec<_>>()
        };
        for (number, path) in left_out.into_iter().chain(latest) {
            past.take(key, read_piece(path, *number, Some(key)));
        }
        past.take(key, read_transitions(&self.folder, Some(key))?);
        Ok(past)
    }
}

impl Earlier {
    fn keeps(&self, day: i32) -> bool {
        self.files.get(&day).is_some_and(|(_, is_kept)| *is_kept)
    }

    /// Reads those of these days that are new: all at the first question, one after midnight. A monitor whose clock was
    /// set back may write one anew.
    fn follow(&mut self, days: &[(i32, PathBuf)]) {
        // Asked before reading: when one is replaced in between, the next question reads once more.
        let version = |path: &Path| std::fs::metadata(path).ok().map(|metadata| Version::of(&metadata));
        let found: Vec<_> =
            days.iter().filter_map(|(number, path)| Some((*number, path, version(path)?))).collect();
        let same: BTreeSet<i32> = found
            .iter()
            .filter(|(number, _, version)| self.files.get(number).is_some_and(|(known, _)| known == version))
            .map(|(number, ..)| *number)
            .collect();
        if same.len() < self.files.len() {
            self.forget_all_but(&same);
        }
        let kept: usize = self.sums.values().map(Vec::len).sum();
        let mut room = self.limit.saturating_sub(kept);
        for (number, path, version) in found.into_iter().rev().filter(|(number, ..)| !same.contains(number)) {
            // What the system refuses it may grant the next time.
            let Ok(day) = read_day(path, number) else { continue };
            let rest = room.checked_sub(day.services.len());
            self.files.insert(number, (version, rest.is_some()));
            let Some(rest) = rest else { continue };
            room = rest;
            for service in day.services {
                let sum = service.sum();
                self.sums.entry(service.service).or_default().push((number, sum));
            }
        }
    }

    /// Forgets the days whose files are others or gone, and that others found no room: there is some now.
    fn forget_all_but(&mut self, same: &BTreeSet<i32>) {
        self.files.retain(|number, (_, is_kept)| *is_kept && same.contains(number));
        self.sums.values_mut().for_each(|sums| sums.retain(|(number, _)| same.contains(number)));
        self.sums.retain(|_, sums| !sums.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        read_service,
        tests::{TODAY, day, service, tally},
        write_day,
    };
    use super::*;
    use crate::status::history::{DAY_MS, History};

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
        History::of(key, past, Vec::new(), noon(TODAY))
    }

    #[test]
    fn what_is_told_with_kept_days_is_what_the_files_say_whether_all_some_or_none_find_room() {
        let folder = stage();
        for limit in [SUMS_KEPT, 100, 0] {
            let reader = Reader::with_limit(folder.path(), limit);
            for key in KEYS.into_iter().chain(KEYS) {
                let whole = told(read_service(folder.path(), key).unwrap(), key);
                assert!(whole.days[1].window.known > 0.0 || key == "db", "{key}");
                assert_eq!(told(reader.service(key, noon(TODAY)).unwrap(), key), whole, "{key}, {limit}");
            }
            let earlier = reader.earlier.lock().unwrap();
            let kept: usize = earlier.sums.values().map(Vec::len).sum();
            assert!(kept <= limit, "{kept}");
            let left_out = earlier.files.values().filter(|(_, is_kept)| !is_kept).count();
            assert_eq!(left_out == 0, limit == SUMS_KEPT, "{left_out}");
        }
    }

    #[test]
    fn an_earlier_day_is_read_once_and_again_only_when_its_file_is_another() {
        let folder = stage();
        let reader = Reader::new(folder.path());
        let ratio = |number: i32, now: i32| {
            let past = reader.service("web", noon(now)).unwrap();
            let days = History::of("web", past, Vec::new(), noon(now)).days;
            days[days.len() - 1 - (now - number) as usize].window.ratio
        };
        assert_ne!(ratio(TODAY - 9, TODAY), Some(1.0));
        // What is not on disk tells whether somebody looked there.
        let mark = |number: i32| {
            let mut earlier = reader.earlier.lock().unwrap();
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
