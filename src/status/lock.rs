//! One monitor a state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The lock's file in the state directory. The kernel lets go of the lock when the process ends, however it ends, so
/// the file may stay.
const FILE: &str = "monitor.lock";

/// Held as long as the monitor works in its state directory.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Why the state directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another monitor works there.
    #[error(
        "another monitor ({holder}) is already running in {folder}: stop it first, or give this one a folder of its own \
         with --state-dir"
    )]
    Taken {
        /// The state directory.
        folder: String,
        /// What the other one wrote about itself: `pid 123`.
        holder: String,
    },
    /// The lock's file cannot be made or locked.
    #[error("cannot lock {path}: {source}; give another folder with --state-dir")]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateLock {
    /// Takes the lock of a state directory, or names who has it.
    pub fn acquire(folder: &Path) -> Result<StateLock, LockError> {
        let path = folder.join(FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // A holder that has not yet written its name is named as what it is.
                let _ = file.take(64).read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "just starting" } else { holder.trim() };
                return Err(LockError::Taken {
                    folder: folder.display().to_string(),
                    holder: holder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // A full disk must not keep the monitor from its work: the name is for people, the lock is the kernel's.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "pid {}", std::process::id()));
        Ok(StateLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_monitor_is_refused_and_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateLock::acquire(folder.path()).unwrap();
        let error = StateLock::acquire(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        StateLock::acquire(folder.path()).unwrap();
    }
}
