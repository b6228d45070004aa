use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::history;
use super::standing::Standing;
use crate::status::Transition;
use crate::status::history::Day;
use crate::status::worker::Worker;

/// So many writes may wait for a disk that hangs. More are lost, counted and told.
const WAITING: usize = 1024;

/// Of these so many may be of days: with 1,000 services each holds half a megabyte.
const DAYS_WAITING: usize = 4;

/// Writes the past down, on a thread of its own: a heal waits for the state to be on disk, and not for this.
#[derive(Debug)]
pub(super) struct Archive {
    worker: Worker<Job>,
    lost: u64,
    /// Each writing of days that waits has one, too.
    waiting: Arc<()>,
}

#[derive(Debug)]
enum Job {
    /// How these days went. Who waits is told when it is written.
    Days(Vec<Day>, oneshot::Sender<()>, Arc<()>),
    /// A change of state of a service, and how many before it found no room.
    Transition(String, Transition, u64),
}

impl Archive {
    pub(super) fn start(state_dir: &Path) -> io::Result<Archive> {
        let mut archivist = Archivist::new(state_dir);
        let worker = Worker::start("history", WAITING, move |batch| archivist.keep(batch))?;
        Ok(Archive { worker, lost: 0, waiting: Arc::default() })
    }

    pub(super) fn transition(&mut self, key: &str, transition: &Transition) {
        let job = Job::Transition(key.to_owned(), transition.clone(), self.lost);
        self.lost = if self.worker.hand_over(job) { 0 } else { self.lost + 1 };
    }

    /// Ends when the days are written, or are not.
    pub(super) fn days(&self, days: Vec<Day>) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        // Those that find no room are no loss: the next ones say all that these would have said.
        if Arc::strong_count(&self.waiting) <= DAYS_WAITING {
            self.worker.hand_over(Job::Days(days, done, self.waiting.clone()));
        }
        written
    }
}

/// The thread's side.
struct Archivist {
    state_dir: PathBuf,
    days: Standing,
    transitions: Standing,
    is_clear: bool,
}

impl Archivist {
    fn new(state_dir: &Path) -> Archivist {
        let folder = state_dir.join(history::FOLDER);
        Archivist {
            days: Standing::new(folder.clone(), ""),
            transitions: Standing::new(folder.join("transitions.jsonl"), "change of state"),
            state_dir: state_dir.to_owned(),
            is_clear: false,
        }
    }

    fn keep(&mut self, batch: Vec<Job>) {
        let mut changes = Vec::new();
        let mut lost = 0;
        let mut written = Vec::new();
        for job in batch {
            match job {
                Job::Days(days, done, waits) => written.push((days, done, waits)),
                Job::Transition(key, transition, lost_before) => {
                    changes.push((key, transition));
                    lost += lost_before;
                }
            }
        }
        if !changes.is_empty() {
            let count = changes.len() as u64;
            let appended = history::append_transitions(&self.state_dir, changes);
            self.transitions.tell(appended, count, lost);
        }
        for (days, done, _waits) in written {
            let kept = self
                .clear()
                .and_then(|()| days.into_iter().try_for_each(|day| history::write_day(&self.state_dir, day)));
            self.days.tell(kept, 0, 0);
            // Who does not wait any more does not want to know.
            let _ = done.send(());
        }
    }

    /// Once, before the first day is written.
    fn clear(&mut self) -> io::Result<()> {
        if !self.is_clear {
            history::clear(&self.state_dir)?;
            self.is_clear = true;
        }
        Ok(())
    }
}
