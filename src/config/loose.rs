//! Who but root can write a file. What root does by a file must be root's own word: whoever can write the file, or put
//! another one in its place, could have units restarted that are none of theirs.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows.
const LINKS: usize = 40;

/// A file or folder that others than root can write. An access list that lets somebody write shows as the group's right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// The file, or a folder on the way to it.
    pub at: PathBuf,
    /// Whose it is.
    pub owner: u32,
    /// Its mode, with the bits of a sticky folder: in `/tmp`, too, everybody can put a file where none is.
    pub mode: u32,
}

impl Loose {
    /// The first file or folder on the way from `/` to this file, through all symbolic links, that others than root can
    /// write; none when there is none.
    ///
    /// # Errors
    /// What the system says of a step that cannot be looked at.
    pub fn find(path: &Path) -> io::Result<Option<Loose>> {
        walk(path, |at, metadata| judge(at, metadata.uid(), metadata.mode()))
    }

    /// The commands that give it back to root alone.
    pub fn remedy(&self) -> Vec<String> {
        let at = self.at.display();
        let owner = (self.owner != 0).then(|| format!("sudo chown root: {at}"));
        let mode = (self.mode & 0o022 != 0).then(|| format!("sudo chmod go-w {at}"));
        owner.into_iter().chain(mode).collect()
    }
}

/// `/etc/wellkeep/monitor.d (owner 65534, mode 0755)`
impl fmt::Display for Loose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (owner {}, mode {:04o})", self.at.display(), self.owner, self.mode)
    }
}

fn judge(at: &Path, owner: u32, mode: u32) -> Option<Loose> {
    (owner != 0 || mode & 0o022 != 0).then(|| Loose { at: at.to_owned(), owner, mode: mode & 0o7777 })
}

/// Looks at every folder on the way to a file, those on the way of symbolic links as well, and at the file, and ends with
/// the first that is found loose: whoever can write a folder could take away what comes after it just now. A link itself
/// can be changed only by who can write its folder.
fn walk(path: &Path, mut judge: impl FnMut(&Path, &Metadata) -> Option<Loose>) -> io::Result<Option<Loose>> {
    let parts = |path: &Path| {
        let part = |part: Component<'_>| part.as_os_str().to_owned();
        path.components().map(part).collect::<VecDeque<OsString>>()
    };
    let mut left = parts(&std::path::absolute(path)?);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = left.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        // An absolute part, `/`, begins anew.
        let next = at.join(&part);
        let metadata = fs::symlink_metadata(&next)?;
        if !metadata.is_symlink() {
            if let Some(loose) = judge(&next, &metadata) {
                return Ok(Some(loose));
            }
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        let mut target = parts(&fs::read_link(&next)?);
        target.append(&mut left);
        left = target;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_root_owns_and_nobody_else_can_write_is_roots_word() {
        let is_loose = |owner, mode| judge(Path::new("/x"), owner, mode).is_some();
        for (owner, mode) in [(65534, 0o755), (0, 0o775), (0, 0o757), (0, 0o1777), (1000, 0o400)] {
            assert!(is_loose(owner, mode), "{owner} {mode:o}");
        }
        assert!(!is_loose(0, 0o755) && !is_loose(0, 0o640));
        let loose = judge(Path::new("/x"), 7, 0o100_666).unwrap();
        assert_eq!(loose.to_string(), "/x (owner 7, mode 0666)");
        assert_eq!(loose.remedy(), ["sudo chown root: /x", "sudo chmod go-w /x"]);
    }

    #[test]
    fn the_way_goes_through_the_folders_of_every_link() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["conf", "between", "real"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("real/web.yml"), "").unwrap();
        std::os::unix::fs::symlink("../between/b", root.join("conf/a")).unwrap();
        std::os::unix::fs::symlink(root.join("real/web.yml"), root.join("between/b")).unwrap();
        let mut steps = Vec::new();
        walk(&root.join("conf/a"), |at, _| {
            steps.push(at.to_owned());
            None
        })
        .unwrap();
        for name in ["conf", "between", "real", "real/web.yml"] {
            assert!(steps.contains(&root.join(name)), "{name}: {steps:?}");
        }
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        assert_eq!(walk(&root.join("loop"), |_, _| None).unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }
}
