//! `state.json`: counters, budgets and open incidents. It is replaced whole, so a monitor that is killed at any moment
//! finds the old one or the new one.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::read_regular;
use crate::monitor::wall_clock;
use crate::status::write::replace;
use crate::status::{Memory, Timestamp};

/// Its name in the state directory.
pub const FILE: &str = "state.json";

/// Where one that cannot be used is kept.
const BROKEN: &str = "state.json.broken";

/// The version of its shape.
const SCHEMA: u32 = 1;

/// A larger file is not ours: 10,000 services of which each has something to remember take about 4 MB.
const SIZE_LIMIT: u64 = 8 * 1024 * 1024;

/// A moment by both clocks: within one boot the kernel's says how much time went by, across boots only the wall's can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The kernel's id of this boot; empty when it cannot be read.
    pub boot_id: String,
    /// The wall clock.
    pub wall: Timestamp,
    /// Since boot, also while the machine slept (`CLOCK_BOOTTIME`).
    pub uptime: Duration,
}

impl Moment {
    /// This moment.
    pub fn now(boot_id: &str) -> Moment {
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Moment {
            boot_id: boot_id.to_owned(),
            wall: wall_clock(),
            uptime: Duration::try_from(uptime).unwrap_or_default(),
        }
    }

    fn is_in_the_boot_of(&self, saved: &Saved) -> bool {
        !self.boot_id.is_empty() && self.boot_id == saved.boot_id
    }

    /// How long before this moment the file was saved; never negative.
    fn since(&self, saved: &Saved) -> Duration {
        let uptime_then = Duration::from_millis(saved.uptime_ms);
        if self.is_in_the_boot_of(saved) {
            return self.uptime.saturating_sub(uptime_then);
        }
        let by_wall = self.wall.as_millis().saturating_sub(saved.saved_at.as_millis());
        // A machine without a clock of its own wakes up in the past. It has been up for so long at least.
        Duration::from_millis(u64::try_from(by_wall).unwrap_or(0)).max(self.uptime)
    }
}

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    schema: u32,
    boot_id: String,
    saved_at: Timestamp,
    uptime_ms: u64,
    memory: Memory,
}

/// What was remembered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// As of now: the time since saving is taken off.
    pub memory: Memory,
    /// Why there is nothing, although there was a file.
    pub warning: Option<String>,
}

/// Reads what an earlier monitor saved. A file that cannot be used is kept aside and told, and nothing is remembered:
/// every budget is whole again. The other choice, to call all budgets spent, would leave what is down unhealed for an
/// hour; and what protects a service from us at any moment (the thresholds, the look just before, systemd's own limit of
/// starts) does not rest on this file.
pub fn load(state_dir: &Path, now: &Moment) -> Loaded {
    let path = state_dir.join(FILE);
    let saved = match read_regular(&path, SIZE_LIMIT).and_then(|bytes| parse(&bytes)) {
        Ok(saved) => saved,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::default(),
        Err(error) => {
            let kept = match std::fs::rename(&path, state_dir.join(BROKEN)) {
                Ok(()) => format!("it is kept as {BROKEN}"),
                Err(error) => format!("and it cannot be kept as {BROKEN}: {error}"),
            };
            let warning = format!(
                "{} cannot be used: {error}; {kept}, and the counters and budgets of healing begin anew",
                path.display()
            );
            return Loaded { memory: Memory::default(), warning: Some(warning) };
        }
    };
    let (elapsed, is_same_boot) = (now.since(&saved), now.is_in_the_boot_of(&saved));
    let memory = saved.memory.after(elapsed);
    Loaded { memory: if is_same_boot { memory } else { memory.of_an_earlier_boot() }, warning: None }
}

fn parse(bytes: &[u8]) -> io::Result<Saved> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let version: Version = serde_json::from_slice(bytes)?;
    if version.schema != SCHEMA {
        return Err(io::Error::other(format!(
            "its schema is {}, and this program reads {SCHEMA}",
            version.schema
        )));
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Replaces the file. When this returns, it is on disk.
pub(super) fn save(state_dir: &Path, memory: Memory, at: Moment) -> io::Result<()> {
    let saved = Saved {
        schema: SCHEMA,
        boot_id: at.boot_id,
        saved_at: at.wall,
        uptime_ms: u64::try_from(at.uptime.as_millis()).unwrap_or(u64::MAX),
        memory,
    };
    let mut bytes = serde_json::to_vec(&saved)?;
    bytes.push(b'\n');
    replace(&state_dir.join(FILE), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::ServiceMemory;

    fn at(boot_id: &str, wall_s: i64, uptime_s: u64) -> Moment {
        Moment {
            boot_id: boot_id.to_owned(),
            wall: Timestamp::from_millis(wall_s * 1000),
            uptime: Duration::from_secs(uptime_s),
        }
    }

    fn memory() -> Memory {
        let web = ServiceMemory { attempts: 2, pause_ms: 60_000, ..ServiceMemory::default() };
        Memory {
            spent_ms: vec![30_000, 3_000_000],
            services: [("web".to_owned(), web)].into(),
            ..Memory::default()
        }
    }

    fn loaded(saved: Moment, now: Moment) -> Memory {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), memory(), saved).unwrap();
        let loaded = load(folder.path(), &now);
        assert_eq!(loaded.warning, None);
        loaded.memory
    }

    #[test]
    fn within_a_boot_budgets_age_by_the_kernels_clock_whatever_the_wall_clock_says() {
        let memory = loaded(at("a", 1_000_000, 500), at("a", 1, 540));
        assert_eq!(memory.spent_ms, [2_960_000]);
        assert_eq!(memory.services["web"].pause_ms, 20_000);
        assert_eq!(memory.services["web"].attempts, 2);
    }

    #[test]
    fn across_boots_budgets_age_by_the_wall_clock_and_never_backwards() {
        let of = |now| loaded(at("a", 1_000_000, 500), now).spent_ms;
        assert_eq!(of(at("b", 1_000_040, 10)), [2_960_000]);
        assert_eq!(of(at("b", 900_000, 0)), [30_000, 3_000_000], "the clock was set back");
        assert_eq!(of(at("b", 900_000, 100)), [2_900_000], "but the machine is up for 100 s");
        assert_eq!(loaded(at("", 1_000_000, 500), at("", 1_000_040, 10)).spent_ms, [2_960_000]);
    }

    #[test]
    fn without_a_file_nothing_is_remembered_and_nothing_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path(), &at("a", 0, 0)), Loaded::default());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_kept_aside_and_told() {
        let whole = {
            let folder = tempfile::tempdir().unwrap();
            save(folder.path(), memory(), at("a", 0, 0)).unwrap();
            std::fs::read(folder.path().join(FILE)).unwrap()
        };
        let newer = String::from_utf8(whole.clone()).unwrap().replace("\"schema\":1", "\"schema\":2");
        let wrongs: [(&[u8], &str); 5] = [
            (b"", "EOF"),
            (&whole[..whole.len() / 2], "EOF"),
            (b"\0\0\0\0", "expected value"),
            (newer.as_bytes(), "schema is 2"),
            (b"{\"schema\":1,\"boot_id\":7}", "expected a string"),
        ];
        for (bytes, words) in wrongs {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(FILE), bytes).unwrap();
            let loaded = load(folder.path(), &at("a", 0, 0));
            let warning = loaded.warning.unwrap();
            assert!(warning.contains(words) && warning.contains("state.json"), "{warning}");
            assert_eq!(loaded.memory, Memory::default());
            assert_eq!(std::fs::read(folder.path().join(BROKEN)).unwrap(), bytes);
            assert!(!folder.path().join(FILE).exists());
        }
    }

    #[test]
    fn neither_a_link_nor_a_folder_nor_a_giant_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let warning = || load(folder.path(), &at("a", 0, 0)).warning.unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(warning().contains("symbolic link"));
        std::fs::remove_file(folder.path().join(BROKEN)).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(warning().contains("no regular file"));
        std::fs::remove_dir(folder.path().join(BROKEN)).unwrap();
        std::fs::File::create(&path).unwrap().set_len(SIZE_LIMIT + 1).unwrap();
        assert!(warning().contains("larger than"));
    }
}
