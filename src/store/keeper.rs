use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::warn;

use super::archive::Archive;
use super::standing::Standing;
use super::state::{self, Moment};
use super::{history, incidents, ledger};
use crate::log::Kind;
use crate::monitor::wall_clock;
use crate::status::history::{Day, INCIDENTS_KEPT};
use crate::status::worker::Worker;
use crate::status::{Entry, Incident, Memory, Transition};

/// So many writes may wait for a disk that hangs. More are lost, counted and told.
const WAITING: usize = 4096;

/// Of these so many may be saves: each holds all that is remembered, 4 MB with 10,000 services.
const SAVES_WAITING: usize = 32;

/// A disk that does not answer within this time hangs, as far as a heal is concerned.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes the ledger, the incidents and the state, on one thread and in this order: what was decided is on disk before the
/// state that follows from it.
#[derive(Debug)]
pub struct Store {
    worker: Worker<Job>,
    archive: Archive,
    boot_id: String,
    lost: u64,
    /// Each save that waits has one, too.
    saves: Arc<()>,
}

#[derive(Debug)]
enum Job {
    /// A decision, and how many before it found no room.
    Note(Entry, u64),
    Incident(Incident),
    Save(Memory, Moment, oneshot::Sender<Result<(), String>>, Arc<()>),
    /// The incidents that are open, as far as the monitor knows.
    CloseForgotten(BTreeSet<String>),
}

impl Store {
    /// A store in this directory, which exists. `memory` is what was loaded from it: open incidents that it does not know of
    /// are closed.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(state_dir: &Path, boot_id: &str, memory: &Memory) -> io::Result<Store> {
        let mut keeper = Keeper::new(state_dir);
        let worker = Worker::start("store", WAITING, move |batch| keeper.keep(batch))?;
        let known = memory.services.values().filter_map(|service| service.incident.as_ref());
        worker.hand_over(Job::CloseForgotten(known.map(|incident| incident.id.clone()).collect()));
        let archive = Archive::start(state_dir)?;
        Ok(Store { worker, archive, boot_id: boot_id.to_owned(), lost: 0, saves: Arc::default() })
    }

    /// Writes a decision into the ledger, soon.
    pub fn note(&mut self, entry: Entry) {
        if self.worker.hand_over(Job::Note(entry, self.lost)) {
            self.lost = 0;
        } else {
            self.lost += 1;
        }
    }

    /// Writes an incident down, soon, in place of what was written of it before.
    pub fn incident(&self, incident: Incident) {
        let (id, service) = (incident.id.clone(), incident.service.clone());
        if !self.worker.hand_over(Job::Incident(incident)) {
            warn!(service, event = %Kind::Storage, incident = id, "{service}: its incident is not written down: the disk of the state directory does not answer");
        }
    }

    /// Writes a change of state of a service down, soon.
    pub fn transition(&mut self, key: &str, transition: &Transition) {
        self.archive.transition(key, transition);
    }

    /// Writes down how these days went. The future ends when that is done, after 2 s at most, however it went. They are
    /// written also when it is dropped.
    pub fn history(&self, days: Vec<Day>) -> impl Future<Output = ()> + use<> {
        let written = self.archive.days(days);
        async move {
            // What went wrong was told by who writes.
            let _ = tokio::time::timeout(PATIENCE, written).await;
        }
    }

    /// Writes the memory of this moment down. The future ends when it is on disk, with all decisions before it, or with the
    /// reason why not, after 2 s at most. It is written also when the future is dropped. Of several that wait, the last
    /// one is written, and stands for all.
    pub fn save(&self, memory: Memory) -> impl Future<Output = Result<(), String>> + use<> {
        let (done, result) = oneshot::channel();
        let has_room = Arc::strong_count(&self.saves) <= SAVES_WAITING
            && self.worker.hand_over(Job::Save(memory, Moment::now(&self.boot_id), done, self.saves.clone()));
        async move {
            if !has_room {
                return Err("the disk of the state directory does not answer".to_owned());
            }
            match tokio::time::timeout(PATIENCE, result).await {
                Ok(Ok(saved)) => saved,
                Ok(Err(_)) => Err("the store's thread is gone".to_owned()),
                Err(_) => Err(format!("{} was not written within {PATIENCE:?}", state::FILE)),
            }
        }
    }
}

/// The thread's side.
struct Keeper {
    state_dir: PathBuf,
    ledger: Standing,
    incidents: Standing,
    state: Standing,
    /// The incidents that everybody is told of, newest first.
    told: Vec<Incident>,
}

impl Keeper {
    fn new(state_dir: &Path) -> Keeper {
        let standing = |name: &str, loss: &'static str| Standing::new(state_dir.join(name), loss);
        Keeper {
            ledger: standing(ledger::FILE, "decision"),
            incidents: standing("incidents", "incident"),
            state: standing(state::FILE, ""),
            told: Vec::new(),
            state_dir: state_dir.to_owned(),
        }
    }

    fn keep(&mut self, batch: Vec<Job>) {
        let mut entries = Vec::new();
        let mut lost = 0;
        let mut changed: Vec<Incident> = Vec::new();
        let mut latest = None;
        let mut waiting = Vec::new();
        for job in batch {
            match job {
                Job::Note(entry, lost_before) => {
                    entries.push(entry);
                    lost += lost_before;
                }
                Job::Incident(incident) => {
                    changed.retain(|earlier| earlier.id != incident.id);
                    changed.push(incident);
                }
                Job::Save(memory, at, done, waits) => {
                    drop(waits);
                    latest = Some((memory, at));
                    waiting.push(done);
                }
                Job::CloseForgotten(known) => {
                    let closed = incidents::close_forgotten(&self.state_dir, &known, wall_clock());
                    let told = closed.and_then(|()| self.tell_again());
                    self.incidents.tell(told, 0, 0);
                }
            }
        }
        if !entries.is_empty() {
            let written = ledger::append(&self.state_dir, &entries);
            self.ledger.tell(written, entries.len() as u64, lost);
        }
        if !changed.is_empty() {
            for incident in changed {
                self.incidents.tell(incidents::write(&self.state_dir, &incident), 1, 0);
                history::enlist(&mut self.told, incident);
            }
            self.incidents.tell(history::write_incidents(&self.state_dir, &self.told), 0, 0);
        }
        if let Some((memory, at)) = latest {
            let saved = state::save(&self.state_dir, memory, at);
            let answer = saved
                .as_ref()
                .copied()
                .map_err(|error| format!("{} cannot be written: {error}", state::FILE));
            for done in waiting {
                // Who does not wait any more does not want to know.
                let _ = done.send(answer.clone());
            }
            // Nothing is lost: the next one says all that this one would have said.
            self.state.tell(saved, 0, 0);
        }
    }

    /// The public list of incidents is made anew from what is kept of them, should it have been lost.
    fn tell_again(&mut self) -> io::Result<()> {
        let kept = incidents::list(&self.state_dir, None, INCIDENTS_KEPT)?;
        kept.into_iter().for_each(|incident| history::enlist(&mut self.told, incident));
        let is_told = history::incidents(&self.state_dir).is_ok_and(|told| told == self.told);
        if is_told { Ok(()) } else { history::write_incidents(&self.state_dir, &self.told) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Decision, ServiceMemory, Timestamp};

    fn entry(number: i64) -> Entry {
        Entry {
            at: Timestamp::from_millis(number * 1000),
            service: Some("web".to_owned()),
            decision: Decision::Wait,
            words: "not yet".to_owned(),
            incident: None,
            next_at: None,
        }
    }

    fn memory(attempts: u32) -> Memory {
        let web = ServiceMemory { attempts, ..ServiceMemory::default() };
        Memory { services: [("web".to_owned(), web)].into(), ..Memory::default() }
    }

    #[tokio::test]
    async fn once_a_save_ended_it_and_all_decisions_before_it_are_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::start(folder.path(), "boot", &Memory::default()).unwrap();
        for number in 1..=50 {
            store.note(entry(number));
        }
        let first = store.save(memory(1));
        let second = store.save(memory(2));
        second.await.unwrap();
        assert_eq!(ledger::read(folder.path(), Some("web"), 100).unwrap().len(), 50);
        let loaded = state::load(folder.path(), &Moment::now("boot"));
        assert_eq!(loaded.memory.services["web"].attempts, 2);
        first.await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_hangs_does_not_fill_the_memory_with_saves() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::start(folder.path(), "boot", &Memory::default()).unwrap();
        let waiting: Vec<Arc<()>> = (0..SAVES_WAITING).map(|_| store.saves.clone()).collect();
        let error = store.save(memory(2)).await.unwrap_err();
        assert!(error.contains("does not answer"), "{error}");
        drop(waiting);
        store.save(memory(3)).await.unwrap();
    }

    #[tokio::test]
    async fn a_save_that_fails_says_why_and_the_next_one_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("state");
        let store = Store::start(&state_dir, "boot", &Memory::default()).unwrap();
        let error = store.save(memory(1)).await.unwrap_err();
        assert!(error.contains("state.json cannot be written: "), "{error}");
        std::fs::create_dir(&state_dir).unwrap();
        store.save(memory(2)).await.unwrap();
        let loaded = state::load(&state_dir, &Moment::now("boot"));
        assert_eq!(loaded.memory.services["web"].attempts, 2);
    }
}
