//! Who may do what to a file, by owners and modes. Access lists are not looked at: whoever uses them knows.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A user as the kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    /// All groups.
    pub(super) gids: HashSet<u32>,
}

impl Account {
    /// Reads a user from `passwd` and `group`, with these groups besides its own. None when it is in neither.
    pub(super) fn find(passwd: &str, group: &str, name: &str, besides: &[String]) -> Option<Account> {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let user = passwd.lines().map(fields).find(|fields| fields.first().is_some_and(|it| it == name))?;
        let uid = user.get(2)?.parse().ok()?;
        let own: u32 = user.get(3)?.parse().ok()?;
        let is_in = |fields: &[String]| {
            let members = fields.get(3).map(String::as_str).unwrap_or_default();
            members.split(',').any(|member| member == name) || besides.contains(&fields[0])
        };
        let groups = group.lines().map(fields).filter(|fields| is_in(fields));
        let gids = groups.filter_map(|fields| fields.get(2)?.parse().ok()).chain([own]).collect();
        Some(Account { name: name.to_owned(), uid, gids })
    }

    /// Whether all these bits (4 read, 2 write, 1 search) are granted.
    pub(super) fn may(&self, metadata: &Metadata, bits: u32) -> bool {
        self.granted(metadata.uid(), metadata.gid(), metadata.mode(), bits)
    }

    fn granted(&self, uid: u32, gid: u32, mode: u32, bits: u32) -> bool {
        // The first class that fits decides, also when it grants less than the others.
        let class = if self.uid == uid {
            mode >> 6
        } else if self.gids.contains(&gid) {
            mode >> 3
        } else {
            mode
        };
        self.uid == 0 || class & bits == bits
    }

    /// Whether this user can read a file: search all folders above it, and read it itself.
    pub(super) fn reads(&self, path: &Path) -> Reading {
        let folders: Vec<&Path> =
            path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
        let steps = folders.into_iter().rev().map(|folder| (folder, 1)).chain([(path, 4)]);
        for (step, bits) in steps {
            match std::fs::metadata(step) {
                Ok(metadata) if self.may(&metadata, bits) => {}
                Ok(metadata) => {
                    return Reading::Denied { at: step.to_owned(), mode: metadata.mode() & 0o7777 };
                }
                Err(error) => return Reading::Untold { at: step.to_owned(), kind: error.kind() },
            }
        }
        Reading::Granted
    }
}

/// Whether somebody can read a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    Granted,
    /// Not, because of this folder or file.
    Denied {
        at: PathBuf,
        mode: u32,
    },
    /// It cannot be told, because of this one.
    Untold {
        at: PathBuf,
        kind: io::ErrorKind,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nwellkeep:x:998:997::/var/lib/wellkeep:/usr/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\nwellkeep:x:997:\nsystemd-journal:x:101:\nweb:x:50:alice,wellkeep\n";

    #[test]
    fn a_user_has_its_own_group_those_it_is_in_and_those_the_unit_adds() {
        let account = Account::find(PASSWD, GROUP, "wellkeep", &["systemd-journal".to_owned()]).unwrap();
        assert_eq!((account.uid, account.gids), (998, HashSet::from([997, 50, 101])));
        assert_eq!(Account::find(PASSWD, GROUP, "keep", &[]), None);
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let account = Account::find(PASSWD, GROUP, "wellkeep", &[]).unwrap();
        assert!(account.granted(998, 0, 0o400, 4));
        assert!(!account.granted(998, 0, 0o077, 4), "the owner is no other");
        assert!(account.granted(0, 50, 0o640, 4));
        assert!(!account.granted(0, 50, 0o640, 2));
        assert!(!account.granted(0, 0, 0o640, 4));
        assert!(Account { uid: 0, ..account }.granted(1, 1, 0, 7), "root may all");
    }

    #[test]
    fn a_file_is_read_through_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let (closed, file) = (folder.path().join("closed"), folder.path().join("closed/token"));
        std::fs::create_dir(&closed).unwrap();
        std::fs::write(&file, "secret").unwrap();
        for (path, mode) in [(folder.path(), 0o755), (closed.as_path(), 0o700), (file.as_path(), 0o644)] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let stranger = Account { name: "s".into(), uid: 12345, gids: HashSet::from([12345]) };
        assert_eq!(stranger.reads(&file), Reading::Denied { at: closed.clone(), mode: 0o700 });
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o711)).unwrap();
        assert_eq!(stranger.reads(&file), Reading::Granted);
        let missing = Reading::Untold { at: closed.join("none"), kind: io::ErrorKind::NotFound };
        assert_eq!(stranger.reads(&closed.join("none")), missing);
    }
}
