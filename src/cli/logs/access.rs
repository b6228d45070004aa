//! What we may see of the journal. journalctl leaves out what it may not read, and says so in words made for itself.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

/// How much of the journal is shown to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    All,
    /// The system's journal is there and not for us.
    OwnLinesOnly,
    NoJournal,
}

impl Access {
    pub(super) fn of_this_machine() -> Access {
        Access::to(&[Path::new("/var/log/journal"), Path::new("/run/log/journal")])
    }

    /// The folders hold one folder for each machine, in which `system.journal` is the one of the system.
    fn to(folders: &[&Path]) -> Access {
        let machines = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let mut access = Access::NoJournal;
        for machine in machines {
            match File::open(machine.path().join("system.journal")) {
                Ok(_) => return Access::All,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => access = Access::OwnLinesOnly,
                Err(_) => {}
            }
        }
        access
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_journal_and_one_that_we_may_read_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Access::to(&[folder.path(), Path::new("/nonexistent")]), Access::NoJournal);
        let machine = folder.path().join("0123");
        fs::create_dir(&machine).unwrap();
        assert_eq!(Access::to(&[folder.path()]), Access::NoJournal);
        fs::write(machine.join("system.journal"), "").unwrap();
        assert_eq!(Access::to(&[Path::new("/nonexistent"), folder.path()]), Access::All);
    }
}
