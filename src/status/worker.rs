//! A thread of its own for what may hang: a disk that does not answer stops that thread and not the loop.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};

/// A thread that does jobs in their order, and ends once it is dropped and all jobs are done.
#[derive(Debug)]
pub(crate) struct Worker<J> {
    jobs: SyncSender<J>,
}

impl<J: Send + 'static> Worker<J> {
    /// A thread that does `work` with all the jobs that wait, as often as there are any. So who gets many at once may
    /// leave out those that a later one makes needless. At most `room` jobs wait.
    ///
    /// # Errors
    /// When the system is at its limit of threads.
    pub(crate) fn start(
        name: &str,
        room: usize,
        mut work: impl FnMut(Vec<J>) + Send + 'static,
    ) -> io::Result<Worker<J>> {
        let (jobs, waiting) = sync_channel(room);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(first) = waiting.recv() {
                work(std::iter::once(first).chain(waiting.try_iter()).collect());
            }
        })?;
        Ok(Worker { jobs })
    }

    /// Hands a job over, never waiting. False when it was not taken: there is no room, because the disk hangs.
    pub(crate) fn hand_over(&self, job: J) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn while_one_job_hangs_others_wait_up_to_a_bound_and_nobody_is_kept_waiting() {
        let (go_on, gate) = mpsc::channel::<()>();
        let (done, batches) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let worker = Worker::start("test", 2, move |batch: Vec<u32>| {
            begun.send(()).unwrap();
            gate.recv().unwrap();
            done.send(batch).unwrap();
        })
        .unwrap();
        assert!(worker.hand_over(1));
        has_begun.recv().unwrap();
        assert!(worker.hand_over(2) && worker.hand_over(3));
        assert!(!worker.hand_over(4), "there is room for two");
        drop(worker);
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        assert_eq!(batches.iter().collect::<Vec<_>>(), [vec![1], vec![2, 3]]);
    }
}
