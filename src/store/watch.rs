use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::sync::mpsc;
use tracing::warn;

use super::holds::{self, Holds};
use crate::log::Kind;
use crate::monitor::wall_clock;

/// The folder is read again so often, whatever the kernel told: holds end by time, and no notice is a promise.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// The same without inotify (the system is at its limit of watches).
const POLL: Duration = Duration::from_secs(1);

/// After a notice so long, for what comes with it: one change of a file is several notices.
const GATHER: Duration = Duration::from_millis(20);

/// Watches the holds: what changes there is told within milliseconds.
#[derive(Debug)]
pub struct HoldWatch {
    news: mpsc::UnboundedReceiver<Holds>,
}

impl HoldWatch {
    /// Begins to watch the holds of a state directory.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(state_dir: &Path) -> io::Result<HoldWatch> {
        let (teller, news) = mpsc::unbounded_channel();
        let state_dir = state_dir.to_owned();
        std::thread::Builder::new().name("holds".to_owned()).spawn(move || watch(&state_dir, &teller))?;
        Ok(HoldWatch { news })
    }

    /// All holds in force, first as they are and then whenever they changed. Nothing is lost when the future is dropped.
    pub async fn changed(&mut self) -> Holds {
        match self.news.recv().await {
            Some(holds) => holds,
            None => std::future::pending().await,
        }
    }
}

/// Reads again and again and tells what changed, on a thread of its own, for the disk may hang. When nobody listens any more
/// it ends, at the next look.
fn watch(state_dir: &Path, teller: &mpsc::UnboundedSender<Holds>) {
    let notices = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
    if let Err(error) = &notices {
        warn!(event = %Kind::Hold, "changed holds are noticed within a second and not at once: {error}");
    }
    holds::sweep(state_dir, Duration::from_secs(60));
    let mut told = None;
    let mut warned = BTreeSet::new();
    while !teller.is_closed() {
        let made = holds::make_folder(state_dir);
        // The folder that stands there now: it may be another than the last time. The same one again costs nothing.
        let watched = notices.as_ref().ok().filter(|notices| register(notices, state_dir).is_ok());
        let reading = holds::read(state_dir, wall_clock());
        holds::remove_expired(state_dir, &reading);
        let mut warnings: BTreeSet<String> = reading.warnings.into_iter().collect();
        warnings.extend(made.err().map(|error| format!("the folder of holds cannot be made: {error}")));
        warnings.difference(&warned).for_each(|warning| warn!(event = %Kind::Hold, "{warning}"));
        warned = warnings;
        if told.as_ref() != Some(&reading.holds) {
            // Nobody listens: the loop ends.
            let _ = teller.send(reading.holds.clone());
            told = Some(reading.holds);
        }
        match watched {
            Some(notices) => wait(notices),
            None => std::thread::sleep(POLL),
        }
    }
}

fn register(notices: &OwnedFd, state_dir: &Path) -> rustix::io::Result<()> {
    let kinds = WatchFlags::CREATE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
        | WatchFlags::DONT_FOLLOW;
    inotify::add_watch(notices, holds::path_in(state_dir), kinds).map(drop)
}

/// Waits for a notice and takes all that came with it. What they say does not matter: the folder is read again.
fn wait(notices: &OwnedFd) {
    let limit = Timespec::try_from(SAFETY_NET).ok();
    // An interruption is as good a reason to look again as any.
    if poll(&mut [PollFd::new(notices, PollFlags::IN)], limit.as_ref()) != Ok(1) {
        return;
    }
    std::thread::sleep(GATHER);
    let mut taken = [0; 4096];
    while rustix::io::read(notices, &mut taken).is_ok_and(|length| length > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Hold, Timestamp};

    fn hold(for_s: i64) -> Hold {
        let now = Timestamp::from_millis(wall_clock().as_millis() / 1000 * 1000);
        Hold { since: now, until: now.plus_millis(for_s * 1000), by: "ada".to_owned(), reason: None }
    }

    async fn next(watch: &mut HoldWatch) -> Vec<Option<String>> {
        let news = tokio::time::timeout(Duration::from_secs(10), watch.changed()).await;
        news.expect("told long before the safety net").into_iter().map(|(key, _)| key).collect()
    }

    #[tokio::test]
    async fn holds_are_told_at_once_when_they_come_change_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = HoldWatch::start(folder.path()).unwrap();
        assert_eq!(next(&mut watch).await, []);
        holds::write(folder.path(), Some("web"), &hold(600)).unwrap();
        assert_eq!(next(&mut watch).await, [Some("web".to_owned())]);
        holds::write(folder.path(), Some("web"), &hold(900)).unwrap();
        assert_eq!(next(&mut watch).await, [Some("web".to_owned())]);
        holds::write(folder.path(), None, &hold(900)).unwrap();
        assert_eq!(next(&mut watch).await, [None, Some("web".to_owned())]);
        holds::release(folder.path(), Some("web")).unwrap();
        assert_eq!(next(&mut watch).await, [None]);
    }

    #[tokio::test]
    async fn a_folder_that_was_removed_is_made_again_and_watched() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = HoldWatch::start(folder.path()).unwrap();
        assert_eq!(next(&mut watch).await, []);
        holds::write(folder.path(), Some("web"), &hold(600)).unwrap();
        assert_eq!(next(&mut watch).await, [Some("web".to_owned())]);
        std::fs::remove_dir_all(folder.path().join("holds")).unwrap();
        assert_eq!(next(&mut watch).await, []);
        holds::write(folder.path(), Some("db"), &hold(600)).unwrap();
        assert_eq!(next(&mut watch).await, [Some("db".to_owned())]);
    }

    #[tokio::test]
    async fn a_dropped_wait_loses_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = HoldWatch::start(folder.path()).unwrap();
        assert_eq!(next(&mut watch).await, []);
        holds::write(folder.path(), Some("web"), &hold(600)).unwrap();
        for _ in 0..200 {
            if let Ok(news) = tokio::time::timeout(Duration::from_millis(1), watch.changed()).await {
                assert_eq!(news.len(), 1);
                return;
            }
        }
        assert_eq!(next(&mut watch).await, [Some("web".to_owned())]);
    }
}
