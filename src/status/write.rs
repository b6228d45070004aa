//! Writing the document: whole or not at all. A reader never sees half a file, and an old good file survives a full
//! disk, because the new one is written beside it, synced, and renamed over it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atomicwrites::{AtomicFile, OverwriteBehavior};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};
use tokio::sync::mpsc;

use super::Document;
use super::worker::Worker;

/// Readable by everybody: the viewer has no rights at all.
const MODE: u32 = 0o644;

/// More documents never wait: the loop hands one over when none is under way, and one more at its end.
const WAITING: usize = 4;

/// The prefix of the folders in which `atomicwrites` makes its files.
const TEMPORARY: &str = ".atomicwrite";

/// The document as text: a field a line, a service a line, so that it can be read and searched by people.
pub fn render(document: &Document) -> Vec<u8> {
    let mut text = Vec::with_capacity(1024 + document.services.len() * 768);
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Lines::default());
    document.serialize(&mut serializer).expect("a document has string keys and is written to memory");
    text.push(b'\n');
    text
}

/// Replaces the file by these bytes, readable by everybody, or leaves it as it is.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with_mode(path, bytes, MODE)
}

/// The same, with other permissions.
pub(crate) fn replace_with_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut new = OpenOptions::new();
    // A new file and nothing that somebody put there: root writes the rule for polkit in a folder of polkit's user.
    new.write(true).create_new(true);
    AtomicFile::new(path, OverwriteBehavior::AllowOverwrite)
        .write_with_options(
            |file| {
                // Whatever the umask: 0027 would lock the viewer out.
                file.set_permissions(std::fs::Permissions::from_mode(mode))?;
                file.write_all(bytes)
            },
            new,
        )
        .map_err(io::Error::from)
}

/// Removes what a monitor that was killed in the middle of a write left in the folder, if it is at least this old: what
/// is younger may be of somebody who is at work.
///
/// # Errors
/// When the folder cannot be read, or a leaving cannot be removed.
pub fn sweep(folder: &Path, min_age: Duration) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let is_leaving =
            entry.file_name().to_string_lossy().starts_with(TEMPORARY) && metadata.file_type().is_dir();
        if is_leaving && metadata.modified()?.elapsed().unwrap_or_default() >= min_age {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Writes documents one after the other on a thread of its own: a disk that hangs in `fsync` stops the documents and
/// not the probes, and nothing else that hangs stops the documents.
#[derive(Debug)]
pub struct Writer {
    documents: Worker<Vec<u8>>,
    results: mpsc::UnboundedReceiver<io::Result<()>>,
    under_way: usize,
}

impl Writer {
    /// A writer of this file.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn new(path: PathBuf) -> io::Result<Writer> {
        let (written, results) = mpsc::unbounded_channel();
        let documents = Worker::start("writer", WAITING, move |batch: Vec<Vec<u8>>| {
            for bytes in batch {
                // Nobody waits for the result when the monitor is at its end.
                let _ = written.send(replace(&path, &bytes));
            }
        })?;
        Ok(Writer { documents, results, under_way: 0 })
    }

    /// Whether a document is being written.
    pub fn is_busy(&self) -> bool {
        self.under_way > 0
    }

    /// Hands a document over. It is written after those that were handed over before.
    pub fn start(&mut self, bytes: Vec<u8>) {
        if self.documents.hand_over(bytes) {
            self.under_way += 1;
        }
    }

    /// Waits until the oldest document under way is written; for ever when none is. Nothing is lost when the future is
    /// dropped.
    pub async fn finished(&mut self) -> io::Result<()> {
        if !self.is_busy() {
            return std::future::pending().await;
        }
        let result = self.results.recv().await;
        self.under_way -= 1;
        result.unwrap_or_else(|| Err(io::Error::other("the writer's thread is gone")))
    }
}

/// Breaks the line before each key of the two outer levels, and nowhere else.
#[derive(Default)]
struct Lines {
    depth: usize,
}

impl Lines {
    const BROKEN: usize = 2;

    fn break_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        CompactFormatter.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let broken = self.depth <= Lines::BROKEN;
        self.depth -= 1;
        if broken {
            self.break_line(writer)?;
        }
        CompactFormatter.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        CompactFormatter.begin_object_key(writer, first)?;
        if self.depth <= Lines::BROKEN { self.break_line(writer) } else { Ok(()) }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        CompactFormatter.begin_object_value(writer)?;
        if self.depth <= Lines::BROKEN { writer.write_all(b" ") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_file_is_replaced_whole_readable_by_all_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, MODE);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn sweeping_removes_the_leavings_of_a_killed_monitor_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".atomicwriteabc")).unwrap();
        std::fs::write(folder.path().join(".atomicwriteabc/tmpfile.tmp"), "half").unwrap();
        std::fs::write(folder.path().join("status.json"), "whole").unwrap();
        std::fs::create_dir(folder.path().join("holds")).unwrap();
        sweep(folder.path(), Duration::from_secs(60)).unwrap();
        assert!(folder.path().join(".atomicwriteabc").exists(), "somebody may be at work in it");
        sweep(folder.path(), Duration::ZERO).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["holds", "status.json"]);
    }

    #[test]
    fn the_two_outer_levels_have_a_line_a_key_and_the_rest_none() {
        let value = serde_json::json!({"a": 1, "b": {"c": {"d": [1, {"e": 2}], "f": 3}}, "g": {}});
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, Lines::default());
        value.serialize(&mut serializer).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            "{\n  \"a\": 1,\n  \"b\": {\n    \"c\": {\"d\":[1,{\"e\":2}],\"f\":3}\n  },\n  \"g\": {\n  }\n}"
        );
    }
}
