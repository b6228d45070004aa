//! Reading the document, and deciding how far it can be believed. Who reads decides, from the document's own
//! `generated_at`, `boot_id` and `stale_after_s`: a dead monitor cannot say that it is dead.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Deserialize;

use super::{Document, Mode, MonitorState, SCHEMA, State, Timestamp};

/// A file larger than this is not a document of ours: 64 MiB (10,000 services take about 8).
pub const SIZE_LIMIT: u64 = 64 * 1024 * 1024;

/// Why there is no document to show.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file: no monitor has ever written here.
    #[error("{0} does not exist: no monitor has written here yet")]
    Missing(String),
    /// It is there and cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It was read and is not a document.
    #[error("{path} is not a status document: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a file looks like. One with the same version has the same content: the monitor replaces its files whole, so even a
/// second one within the clock's granularity has another inode. The change time is there for permissions that were mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    /// What a file looked like when this was asked of it.
    pub fn of(metadata: &Metadata) -> Version {
        Version {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// How far a document can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Written within its own `stale_after_s`.
    Fresh,
    /// Older than that, by so many seconds of age: the monitor died or hangs.
    Stale {
        /// The age in seconds.
        age_s: u64,
    },
    /// From before a reboot.
    EarlierBoot,
    /// The monitor said, when it ended in good order, that this is its last.
    Stopped,
    /// Dated so far in the future that its age cannot be told: the clock was set back.
    Future {
        /// So many seconds ahead.
        ahead_s: u64,
    },
}

impl Freshness {
    /// Judges a document by its head. `boot` is the one that is running, where that could be read.
    pub fn of(head: &Head, now: Timestamp, boot: Option<&Boot>) -> Freshness {
        let limit_ms = i64::from(head.stale_after_s) * 1000;
        let age_ms = now.as_millis().saturating_sub(head.generated_at.as_millis());
        if head.monitor.state == MonitorState::Stopped {
            Freshness::Stopped
        } else if boot.is_some_and(|boot| boot.is_after(head)) {
            Freshness::EarlierBoot
        } else if age_ms < -limit_ms {
            Freshness::Future { ahead_s: age_ms.unsigned_abs() / 1000 }
        } else if age_ms > limit_ms {
            Freshness::Stale { age_s: age_ms.unsigned_abs() / 1000 }
        } else {
            Freshness::Fresh
        }
    }

    /// Whether what the document says holds now.
    pub fn is_fresh(self) -> bool {
        self == Freshness::Fresh
    }

    /// The word for it: `fresh`, `stale`, `earlier_boot`, `stopped`, `future`.
    pub fn as_str(self) -> &'static str {
        match self {
            Freshness::Fresh => "fresh",
            Freshness::Stale { .. } => "stale",
            Freshness::EarlierBoot => "earlier_boot",
            Freshness::Stopped => "stopped",
            Freshness::Future { .. } => "future",
        }
    }
}

/// The fields of a document that say how far it can be believed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Head {
    /// The shape's version.
    pub schema: u32,
    /// Where the figures come from.
    pub mode: Mode,
    /// The worst state.
    pub overall: State,
    /// When it was made.
    pub generated_at: Timestamp,
    /// Which boot it is of.
    pub boot_id: String,
    /// When it turns stale.
    pub stale_after_s: u32,
    /// Whether its monitor was at work.
    pub monitor: HeadMonitor,
}

/// The part of `monitor` that a [`Head`] holds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HeadMonitor {
    /// Running or stopped.
    pub state: MonitorState,
}

/// Reads the file's bytes and its head; the services are not looked at.
pub fn read_head(path: &Path) -> Result<(Vec<u8>, Head), ReadError> {
    let bytes = read_bytes(path)?;
    let head: Head = parse(path, &bytes)?;
    Ok((bytes, head))
}

/// Reads the whole document, with its head and the bytes that both are from.
pub fn read(path: &Path) -> Result<(Document, Head, Vec<u8>), ReadError> {
    let (bytes, head) = read_head(path)?;
    Ok((parse(path, &bytes)?, head, bytes))
}

/// The boot that is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The kernel's id of it.
    pub id: String,
    /// When it began, where `/proc` tells.
    started_at: Option<Timestamp>,
}

impl Boot {
    /// Reads it from `/proc`, or what stands for it; none where that does not tell.
    pub fn of(proc_root: &Path) -> Option<Boot> {
        let id = std::fs::read_to_string(proc_root.join("sys/kernel/random/boot_id")).ok()?;
        let stat = std::fs::read_to_string(proc_root.join("stat")).unwrap_or_default();
        let began = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
        let started_at = began.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)));
        Some(Boot { id: id.trim().to_owned(), started_at })
    }

    /// Whether a document is from before this boot. Its id alone does not tell: a container has one of its own for its
    /// processes, and a service in a sandbox sees the machine's.
    fn is_after(&self, head: &Head) -> bool {
        let is_another = self.id != head.boot_id && !head.boot_id.is_empty();
        is_another && self.started_at.is_none_or(|began| head.generated_at < began)
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ReadError> {
    use std::io::Read;
    let shown = || path.display().to_string();
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => ReadError::Missing(shown()),
        _ => ReadError::Unreadable { path: shown(), source },
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        let reason = format!("it is larger than {} MiB", SIZE_LIMIT / 1024 / 1024);
        return Err(ReadError::Invalid { path: shown(), reason });
    }
    Ok(bytes)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ReadError> {
    /// Asked first, so that a document of another version is called that and not "missing field".
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let invalid = |reason: String| ReadError::Invalid { path: path.display().to_string(), reason };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(invalid("it is empty".to_owned()));
    }
    // serde_json passes over what nobody asked for without a look at its letters. The viewer passes it on, and a browser
    // would find no JSON.
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    let version: Version = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    if version.schema != SCHEMA {
        return Err(invalid(format!(
            "its schema is {}, this program reads {SCHEMA}: run the same version of monitor and viewer",
            version.schema
        )));
    }
    serde_json::from_str(text).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(generated_at_s: i64, boot_id: &str) -> Head {
        Head {
            schema: SCHEMA,
            mode: Mode::ProductionMonitoring,
            overall: State::Up,
            generated_at: Timestamp::from_millis(generated_at_s * 1000),
            boot_id: boot_id.to_owned(),
            stale_after_s: 15,
            monitor: HeadMonitor { state: MonitorState::Running },
        }
    }

    fn boot(began_s: Option<i64>) -> Boot {
        Boot { id: "this".to_owned(), started_at: began_s.map(|s| Timestamp::from_millis(s * 1000)) }
    }

    #[test]
    fn another_boot_id_means_an_earlier_boot_only_for_what_is_older_than_this_boot() {
        let of =
            |head: Head, boot: Boot| Freshness::of(&head, Timestamp::from_millis(1_000_000), Some(&boot));
        assert_eq!(of(head(995, "this"), boot(Some(900))), Freshness::Fresh);
        assert_eq!(of(head(995, "other"), boot(Some(998))), Freshness::EarlierBoot);
        // A service in a sandbox inside a container: another id, and yet it wrote a moment ago.
        assert_eq!(of(head(995, "other"), boot(Some(900))), Freshness::Fresh);
        assert_eq!(of(head(995, ""), boot(Some(998))), Freshness::Fresh);
        assert_eq!(of(head(995, "other"), boot(None)), Freshness::EarlierBoot);
    }

    #[test]
    fn the_running_boot_began_in_the_past() {
        let boot = Boot::of(Path::new("/proc")).unwrap();
        assert_eq!(boot.id.len(), 36);
        assert!(boot.started_at.unwrap().as_millis() > 1_500_000_000_000);
    }
}
