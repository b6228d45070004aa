//! `ledger.jsonl`: every decision, one JSON object a line, oldest first. Lines are only ever appended. At 1 MiB the file
//! becomes `ledger.1.jsonl`, that one `ledger.2.jsonl`, and the third goes away: 3 MiB at most, about 12,000 decisions.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::lines::{self, OnDisk};
use crate::status::Entry;

/// The file that is written, and those before it, newest first.
const FILES: [&str; 3] = ["ledger.jsonl", "ledger.1.jsonl", "ledger.2.jsonl"];

/// The file that is written, in the state directory.
pub const FILE: &str = FILES[0];

/// A file is not appended to beyond this.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// What a single write of all decisions that may wait can make of an empty file.
const LONGEST: u64 = 4 * SIZE_LIMIT;

/// Appends entries, all or none of them.
pub(super) fn append(state_dir: &Path, entries: &[Entry]) -> io::Result<()> {
    append_bounded(state_dir, entries, SIZE_LIMIT)
}

fn append_bounded(state_dir: &Path, entries: &[Entry], limit: u64) -> io::Result<()> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    lines::append(state_dir, &FILES, text, limit, OnDisk::Now)
}

/// The latest `limit` entries, of one service or of all, oldest first. Lines that are no entries (torn by a crash, of a
/// newer version) are passed over, and files that are not there are empty. Blocking.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn read(state_dir: &Path, service: Option<&str>, limit: usize) -> io::Result<Vec<Entry>> {
    let mut latest = VecDeque::new();
    lines::for_each(state_dir, &FILES, LONGEST, |line| {
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { return };
        if service.is_some() && entry.service.as_deref() != service {
            return;
        }
        latest.push_back(entry);
        if latest.len() > limit {
            latest.pop_front();
        }
    })?;
    Ok(latest.into())
}

#[cfg(test)]
mod tests {
    use super::super::lines::LINE_LIMIT;
    use super::*;
    use crate::status::{Decision, Timestamp};
    use std::os::unix::fs::MetadataExt;

    fn entry(service: Option<&str>, number: i64) -> Entry {
        Entry {
            at: Timestamp::from_millis(number * 1000),
            service: service.map(str::to_owned),
            decision: Decision::Wait,
            words: format!("decision {number}\nand its second line"),
            incident: None,
            next_at: None,
        }
    }

    fn numbers(entries: &[Entry]) -> Vec<i64> {
        entries.iter().map(|entry| entry.at.as_millis() / 1000).collect()
    }

    #[test]
    fn entries_come_back_in_their_order_for_a_service_or_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), None, 10).unwrap(), []);
        append(folder.path(), &[entry(Some("web"), 1), entry(None, 2)]).unwrap();
        append(folder.path(), &[entry(Some("db"), 3), entry(Some("web"), 4)]).unwrap();
        assert_eq!(numbers(&read(folder.path(), None, 10).unwrap()), [1, 2, 3, 4]);
        assert_eq!(numbers(&read(folder.path(), Some("web"), 10).unwrap()), [1, 4]);
        assert_eq!(numbers(&read(folder.path(), None, 2).unwrap()), [3, 4]);
        assert_eq!(read(folder.path(), Some("db"), 1).unwrap(), [entry(Some("db"), 3)]);
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o644);
    }

    #[test]
    fn wherever_a_kill_tears_the_last_line_only_that_one_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), &[entry(None, 1), entry(None, 2)]).unwrap();
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for length in second..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(numbers(&read(folder.path(), None, 10).unwrap()), [1], "torn at {length}");
            append(folder.path(), &[entry(None, 3)]).unwrap();
            let found = numbers(&read(folder.path(), None, 10).unwrap());
            // Without its newline alone the line is whole again as soon as it is ended.
            let expected: &[i64] = if length == whole.len() - 1 { &[1, 2, 3] } else { &[1, 3] };
            assert_eq!(found, expected, "torn at {length}");
        }
    }

    #[test]
    fn the_files_stay_bounded_and_are_read_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let limit = 2000;
        for number in 0..100 {
            append_bounded(folder.path(), &[entry(None, number)], limit).unwrap();
        }
        for name in FILES {
            assert!(std::fs::metadata(folder.path().join(name)).unwrap().len() <= limit, "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        let found = numbers(&read(folder.path(), None, 1000).unwrap());
        assert!(found.len() > 20, "{found:?}");
        assert_eq!(found, (100 - found.len() as i64..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_rotation_between_two_opens_shows_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), &[entry(None, 1)]).unwrap();
        // What a reader sees who opened the first file just before the rotation, and the others after.
        std::fs::hard_link(folder.path().join(FILE), folder.path().join(FILES[1])).unwrap();
        assert_eq!(numbers(&read(folder.path(), None, 10).unwrap()), [1]);
    }

    #[test]
    fn what_is_no_entry_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let giant = vec![b'x'; 3 * LINE_LIMIT as usize];
        let lines: [&[u8]; 5] = [b"", b"null", b"{\"at\":1}", b"\xff\0", &giant];
        std::fs::write(folder.path().join(FILE), lines.join(&b'\n')).unwrap();
        append(folder.path(), &[entry(None, 1)]).unwrap();
        assert_eq!(numbers(&read(folder.path(), None, 10).unwrap()), [1]);
    }

    #[test]
    fn a_link_is_neither_written_nor_read() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(FILE)).unwrap();
        assert!(append(folder.path(), &[entry(None, 1)]).is_err());
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"");
        let error = read(folder.path(), None, 10).unwrap_err().to_string();
        assert!(error.contains("ledger.jsonl") && error.contains("symbolic link"), "{error}");
    }
}
