//! One scan of `/proc` for all process checks together.
//!
//! What it costs is opening and reading one small file for each process; the words of all checks are looked for in one
//! pass over a command line, so a thousand checks cost hardly more than one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aho_corasick::{AhoCorasick, BuildError};
use procfs::process::Stat;
use procfs::{FromRead, Uptime};

/// The kernel itself allows no longer command line.
const CMDLINE_LIMIT: u64 = 6 << 20;

/// The words of all process checks of a configuration, ready to be looked for.
#[derive(Debug)]
pub struct Matcher {
    automaton: AhoCorasick,
    /// For each check the numbers of its words, without repetition.
    checks: Vec<Vec<usize>>,
    /// For each word the checks that are looked at when it was seen: each check stands at its rarest word only.
    /// With `python` in a thousand checks, a Python process still leads to a handful of them.
    anchored: Vec<Vec<usize>>,
}

/// What one scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// For each check of the matcher, in its order, the living processes that match, by rising id.
    pub matches: Vec<Vec<Match>>,
    /// Whether other users' processes can be seen. If not, finding too few means nothing.
    pub sees_all: bool,
}

/// A living process that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Its id.
    pub pid: u32,
    /// Its resident memory in bytes.
    pub memory_bytes: u64,
    /// For how long it has been running, by the kernel's clock that also runs while the machine sleeps.
    pub age: Duration,
}

/// Why there is no scan. Says nothing about any process.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read: {source}")]
pub struct ScanError {
    path: PathBuf,
    source: io::Error,
}

impl Matcher {
    /// For checks given by their words; a check without words matches nothing.
    ///
    /// # Errors
    /// When the words are too many for the automaton (gigabytes of them).
    pub fn new<'a>(checks: impl IntoIterator<Item = &'a [String]>) -> Result<Matcher, BuildError> {
        let checks: Vec<&[String]> = checks.into_iter().collect();
        let mut words: Vec<&str> = checks.iter().copied().flatten().map(String::as_str).collect();
        words.sort_unstable();
        words.dedup();
        let number =
            |word: &String| words.binary_search(&word.as_str()).expect("collected from these checks");
        let checks: Vec<Vec<usize>> = checks
            .iter()
            .map(|check| {
                let mut numbers: Vec<usize> = check.iter().map(number).collect();
                numbers.sort_unstable();
                numbers.dedup();
                numbers
            })
            .collect();

        let mut uses = vec![0_usize; words.len()];
        checks.iter().flatten().for_each(|word| uses[*word] += 1);
        let mut anchored = vec![Vec::new(); words.len()];
        for (check, words) in checks.iter().enumerate() {
            if let Some(rarest) = words.iter().min_by_key(|word| uses[**word]) {
                anchored[*rarest].push(check);
            }
        }
        Ok(Matcher { automaton: AhoCorasick::new(&words)?, checks, anchored })
    }

    /// Looks at all processes that `proc_root` shows, but for the excluded ones. Blocking: a process that hangs in the kernel
    /// can hold up the reading of its command line for as long as it hangs.
    ///
    /// # Errors
    /// When the folder itself cannot be read. A process that ends meanwhile is no error, it is just not there.
    pub fn scan(&self, proc_root: &Path, excluded: &[u32]) -> Result<Scan, ScanError> {
        let fail = |path: &Path, source| ScanError { path: path.to_owned(), source };
        let uptime = uptime(proc_root).map_err(|error| fail(&proc_root.join("uptime"), error))?;
        let mut scan = Scan {
            matches: vec![Vec::new(); self.checks.len()],
            // With hidepid or ProtectProc= the first process is not there, or its files cannot be opened.
            sees_all: File::open(proc_root.join("1/cmdline")).is_ok(),
        };
        let mut seen = Seen::new(self.anchored.len());
        let mut line = Vec::with_capacity(4096);
        for entry in fs::read_dir(proc_root).map_err(|error| fail(proc_root, error))? {
            let entry = entry.map_err(|error| fail(proc_root, error))?;
            let Some(pid) = pid_of(&entry) else { continue };
            if excluded.contains(&pid) || read_command_line(proc_root, pid, &mut line).is_err() {
                continue;
            }
            let hits = self.matching_checks(&line, &mut seen);
            if hits.is_empty() {
                continue;
            }
            let Some(found) = look_closer(proc_root, pid, uptime) else {
                continue;
            };
            hits.iter().for_each(|check| scan.matches[*check].push(found));
        }
        scan.matches.iter_mut().for_each(|found| found.sort_unstable_by_key(|found| found.pid));
        Ok(scan)
    }

    /// The checks whose words all stand in this line.
    fn matching_checks<'a>(&self, line: &[u8], seen: &'a mut Seen) -> &'a [usize] {
        seen.forget();
        for found in self.automaton.find_overlapping_iter(line) {
            seen.note(found.pattern().as_usize());
        }
        for word in &seen.words {
            let candidates = self.anchored[*word].iter().copied();
            seen.hits
                .extend(candidates.filter(|check| self.checks[*check].iter().all(|w| seen.is_noted[*w])));
        }
        &seen.hits
    }
}

/// The words seen in one command line, kept apart from the matcher so that nothing is allocated for each line.
struct Seen {
    is_noted: Vec<bool>,
    words: Vec<usize>,
    hits: Vec<usize>,
}

impl Seen {
    fn new(words: usize) -> Seen {
        Seen { is_noted: vec![false; words], words: Vec::new(), hits: Vec::new() }
    }

    fn note(&mut self, word: usize) {
        if !self.is_noted[word] {
            self.is_noted[word] = true;
            self.words.push(word);
        }
    }

    fn forget(&mut self) {
        self.words.drain(..).for_each(|word| self.is_noted[word] = false);
        self.hits.clear();
    }
}

/// A process and those it was started by, up to the first: `wellkeep`, `sudo`, the shell ... Their command lines may name
/// what is looked for.
pub fn with_ancestors(proc_root: &Path, pid: u32) -> Vec<u32> {
    let parent = |pid: &u32| {
        let stat = Stat::from_file(proc_root.join(pid.to_string()).join("stat")).ok()?;
        u32::try_from(stat.ppid).ok().filter(|parent| *parent > 1)
    };
    // No tree of processes is deeper; a circle, which a changing tree could show, ends here too.
    std::iter::successors(Some(pid), parent).take(64).collect()
}

/// When the process started, in clock ticks since boot; together with the id this names a process for good. None when
/// there is no such process, or when we may not see it.
pub fn start_ticks(proc_root: &Path, pid: u32) -> Option<u64> {
    stat(proc_root, pid).map(|stat| stat.starttime)
}

fn stat(proc_root: &Path, pid: u32) -> Option<Stat> {
    Stat::from_file(proc_root.join(format!("{pid}/stat"))).ok()
}

/// Only for processes that match: for the kernel, `stat` is dearer than `cmdline` (9 µs against 7). None for one that
/// ended meanwhile, also when its parent has not taken note yet (zombie).
fn look_closer(proc_root: &Path, pid: u32, uptime: Duration) -> Option<Match> {
    let stat = stat(proc_root, pid)?;
    if matches!(stat.state, 'Z' | 'X') {
        return None;
    }
    let started = Duration::from_secs_f64(stat.starttime as f64 / procfs::ticks_per_second() as f64);
    Some(Match {
        pid,
        memory_bytes: stat.rss * procfs::page_size(),
        // A process can have started after the uptime was read.
        age: uptime.saturating_sub(started),
    })
}

fn uptime(proc_root: &Path) -> io::Result<Duration> {
    let uptime = Uptime::from_file(proc_root.join("uptime")).map_err(io::Error::other)?;
    Ok(uptime.uptime_duration())
}

fn pid_of(entry: &fs::DirEntry) -> Option<u32> {
    entry.file_name().to_str()?.parse().ok()
}

/// The arguments joined by single spaces. Read by hand, because procfs makes a string of each argument, which takes
/// longer than the system calls. Kernel threads and zombies have an empty one.
fn read_command_line(proc_root: &Path, pid: u32, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    let file = File::open(proc_root.join(format!("{pid}/cmdline")))?;
    // Without `take` the standard library asks for the file's size first, which is always 0 here.
    file.take(CMDLINE_LIMIT).read_to_end(line)?;
    while line.last() == Some(&0) {
        line.pop();
    }
    line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` made of files.
    struct FakeProc(tempfile::TempDir);

    impl FakeProc {
        fn new() -> FakeProc {
            let proc = FakeProc(tempfile::tempdir().unwrap());
            fs::write(proc.0.path().join("uptime"), "1000.00 1.00\n").unwrap();
            proc.process(1, "/sbin/init\0", 'S', 0)
        }

        fn process(self, pid: u32, cmdline: &str, state: char, started_s: u64) -> FakeProc {
            let folder = self.0.path().join(pid.to_string());
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("cmdline"), cmdline).unwrap();
            let ticks = started_s * procfs::ticks_per_second();
            let zeros = "0 ".repeat(27);
            let stat = format!(
                "{pid} (a name) {state} 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 4096 2 {zeros}\n"
            );
            fs::write(folder.join("stat"), stat).unwrap();
            self
        }

        fn without(self, path: &str) -> FakeProc {
            let path = self.0.path().join(path);
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
            self
        }

        fn scan(&self, checks: &[&[&str]]) -> Scan {
            matcher(checks).scan(self.0.path(), &[999]).unwrap()
        }

        fn pids(&self, words: &[&str]) -> Vec<u32> {
            self.scan(&[words]).matches[0].iter().map(|found| found.pid).collect()
        }
    }

    fn matcher(checks: &[&[&str]]) -> Matcher {
        let checks: Vec<Vec<String>> =
            checks.iter().map(|words| words.iter().map(|word| (*word).into()).collect()).collect();
        Matcher::new(checks.iter().map(Vec::as_slice)).unwrap()
    }

    #[test]
    fn all_words_must_stand_in_the_command_line_of_one_process() {
        let proc = FakeProc::new()
            .process(20, "gunicorn\0main:app\0", 'S', 0)
            .process(21, "gunicorn\0other:app\0", 'S', 0)
            .process(22, "python\0main:app\0", 'S', 0);
        assert_eq!(proc.pids(&["gunicorn", "main:app"]), [20]);
        assert_eq!(proc.pids(&["main:app", "gunicorn"]), [20]);
        assert_eq!(proc.pids(&["gunicorn"]), [20, 21]);
        assert_eq!(proc.pids(&["gunicorn", "gunicorn"]), [20, 21]);
        assert!(proc.pids(&["nginx"]).is_empty());
    }

    #[test]
    fn arguments_are_joined_by_single_spaces_so_a_word_may_span_them() {
        let proc = FakeProc::new().process(20, "java\0-jar\0/srv/app.jar\0", 'S', 0);
        assert_eq!(proc.pids(&["-jar /srv/app.jar"]), [20]);
        assert!(proc.pids(&["-jar/srv"]).is_empty());
    }

    #[test]
    fn words_that_lie_within_each_other_are_all_found() {
        let proc = FakeProc::new().process(20, "serve main:app\0\0\0", 'S', 0);
        assert_eq!(proc.pids(&["main:app", "main", "in:a", "app"]), [20]);
    }

    #[test]
    fn zombies_kernel_threads_and_the_dead_never_count() {
        let proc = FakeProc::new()
            .process(20, "", 'I', 0)
            .process(21, "worker\0", 'Z', 0)
            .process(22, "worker\0", 'X', 0)
            .process(23, "worker\0", 'T', 0)
            .process(24, "worker\0", 'D', 0);
        assert_eq!(proc.pids(&["worker"]), [23, 24]);
    }

    #[test]
    fn the_scanners_own_process_is_never_matched() {
        let proc = FakeProc::new().process(999, "wellkeep\0probe\0worker\0", 'R', 0);
        assert!(proc.pids(&["worker"]).is_empty());
    }

    #[test]
    fn a_process_is_told_with_those_that_started_it() {
        let own = std::process::id();
        let family = with_ancestors(Path::new("/proc"), own);
        assert_eq!(family[0], own);
        assert_eq!(family.get(1).copied().unwrap_or(1), std::os::unix::process::parent_id());
        assert!(!family.contains(&1), "{family:?}");
        assert_eq!(with_ancestors(Path::new("/nonexistent"), 7), [7]);
    }

    #[test]
    fn a_process_that_vanishes_during_the_scan_is_not_an_error() {
        let proc = FakeProc::new()
            .process(20, "worker\0", 'S', 0)
            .process(21, "worker\0", 'S', 0)
            .process(22, "worker\0", 'S', 0)
            .without("20/cmdline")
            .without("21/stat");
        assert_eq!(proc.pids(&["worker"]), [22]);
    }

    #[test]
    fn memory_and_age_are_those_of_the_process() {
        let scan = FakeProc::new().process(20, "worker\0", 'S', 990).scan(&[&["worker"]]);
        let found = scan.matches[0][0];
        assert_eq!(found.memory_bytes, 2 * procfs::page_size());
        assert_eq!(found.age, Duration::from_secs(10));
    }

    #[test]
    fn a_process_younger_than_the_scan_has_no_age_rather_than_a_negative_one() {
        let scan = FakeProc::new().process(20, "worker\0", 'S', 1001).scan(&[&["worker"]]);
        assert_eq!(scan.matches[0][0].age, Duration::ZERO);
    }

    #[test]
    fn each_check_gets_its_own_matches_in_one_scan() {
        let proc =
            FakeProc::new().process(20, "python\0a.py\0", 'S', 0).process(21, "python\0b.py\0", 'S', 0);
        let scan = proc.scan(&[&["python", "b.py"], &["python"], &["a.py"], &[], &["c.py"]]);
        let pids: Vec<Vec<u32>> =
            scan.matches.iter().map(|found| found.iter().map(|found| found.pid).collect()).collect();
        assert_eq!(pids, [vec![21], vec![20, 21], vec![20], vec![], vec![]]);
    }

    #[test]
    fn a_command_line_that_is_not_utf8_is_matched_by_its_bytes() {
        let proc = FakeProc::new().process(20, "", 'S', 0);
        fs::write(proc.0.path().join("20/cmdline"), b"caf\xe9\0worker\0").unwrap();
        assert_eq!(proc.pids(&["worker"]), [20]);
    }

    #[test]
    fn other_users_processes_are_hidden_when_the_first_process_is() {
        assert!(FakeProc::new().scan(&[]).sees_all);
        assert!(!FakeProc::new().without("1").scan(&[]).sees_all);
    }

    #[test]
    fn an_unreadable_proc_is_an_error_that_names_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let error = matcher(&[]).scan(folder.path(), &[999]).unwrap_err();
        assert!(
            error.to_string().starts_with(&folder.path().join("uptime").display().to_string()),
            "{error}"
        );
    }
}
