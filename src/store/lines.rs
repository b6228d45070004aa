//! Files of lines that are only ever appended to, each with older ones behind it: at its limit the first becomes the
//! second, and the last goes away.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::files::open_regular;

/// A line longer than this is none of ours; it is passed over without being held in memory.
pub(super) const LINE_LIMIT: u64 = 64 * 1024;

/// When lines must be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDisk {
    /// At once: also if the machine loses its power now.
    Now,
    /// When the system sees fit, which is half a minute at most: a kill of the monitor loses nothing, either.
    Soon,
}

/// Appends whole lines to the first of these files, all or none of them. The file is opened anew each time: lines are rare,
/// and so whatever befell the file in between (a monitor killed in the middle of a line, an administrator who removed it)
/// is seen and healed.
pub(super) fn append(
    folder: &Path,
    names: &[&str],
    mut lines: Vec<u8>,
    limit: u64,
    on_disk: OnDisk,
) -> io::Result<()> {
    let mut file = open(folder, names)?;
    let mut length = file.metadata()?.len();
    if length > 0 && length + lines.len() as u64 > limit {
        rotate(folder, names)?;
        file = open(folder, names)?;
        length = file.metadata()?.len();
    }
    if length > 0 && !ends_a_line(&mut file)? {
        lines.insert(0, b'\n');
    }
    let written = file.write_all(&lines).and_then(|()| match on_disk {
        OnDisk::Now => file.sync_data(),
        OnDisk::Soon => Ok(()),
    });
    if written.is_err() {
        // A full disk took a part of it. If that cannot be taken back, the next append ends the torn line.
        let _ = file.set_len(length);
    }
    written
}

fn open(folder: &Path, names: &[&str]) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(folder.join(names[0]))?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    // Whatever the umask: these are for everybody.
    if file.metadata()?.mode() & 0o777 != 0o644 {
        file.set_permissions(Permissions::from_mode(0o644))?;
    }
    Ok(file)
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn rotate(folder: &Path, names: &[&str]) -> io::Result<()> {
    for (newer, older) in names.iter().zip(&names[1..]).rev() {
        match std::fs::rename(folder.join(newer), folder.join(older)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Takes each line of all these files, oldest first. Files that are not there are empty; of one that is longer than `most`,
/// which none of ours is, the end is read.
///
/// # Errors
/// When a file is there and cannot be read.
pub(super) fn for_each(
    folder: &Path,
    names: &[&str],
    most: u64,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    open_all(folder, names)?.into_iter().rev().try_for_each(|file| for_each_line(file, most, &mut take))
}

/// The files, newest first. All are opened before any is read, the newest first: should the writer rotate meanwhile, the
/// same file is met twice and told by its inode, and none is missed.
fn open_all(folder: &Path, names: &[&str]) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for name in names {
        let file = match open_regular(&folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io::Error::new(error.kind(), format!("{name}: {error}"))),
        };
        if seen.insert(file.metadata()?.ino()) {
            files.push(file);
        }
    }
    Ok(files)
}

fn for_each_line(mut file: File, most: u64, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let superfluous = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(superfluous))?;
    let mut reader = BufReader::new(file.take(most));
    let mut line = Vec::new();
    let mut is_rest = superfluous > 0;
    loop {
        line.clear();
        if reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n");
        // A last line without its end is being written, or was never finished.
        if is_whole && !is_rest {
            take(&line);
        }
        is_rest = !is_whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_that_is_too_long_the_last_whole_lines_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lines"), "first\nsecond\nthird\nfourth\n").unwrap();
        let read = |most: u64| {
            let mut found = Vec::new();
            let take = |line: &[u8]| found.push(String::from_utf8(line.to_vec()).unwrap());
            for_each(folder.path(), &["lines"], most, take).unwrap();
            found.concat()
        };
        assert_eq!(read(26), "first\nsecond\nthird\nfourth\n");
        assert_eq!(read(16), "third\nfourth\n", "a part of the second is no line");
        assert_eq!(read(3), "");
    }
}
