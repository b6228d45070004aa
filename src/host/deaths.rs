//! The deaths of processes, told by the kernel at the moment they happen (0.3 ms after a `kill -9`).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Aborted, abortable};
use futures_util::stream::FuturesUnordered;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// So many processes are watched at most, each with a file descriptor. What is beyond that is seen when it is next
/// probed.
const WATCHED_AT_MOST: usize = 1024;

/// The processes whose end is waited for. A file descriptor stands for each, so another process with the same number is
/// never taken for it.
#[derive(Debug)]
pub struct Deaths<K> {
    watched: HashMap<(K, u32), AbortHandle>,
    waits: FuturesUnordered<Wait<K>>,
    /// Those that were gone already when they were to be watched.
    gone: VecDeque<K>,
}

/// Ends with its process, or when nobody is interested any more.
type Wait<K> = Pin<Box<dyn Future<Output = Result<(K, u32), Aborted>> + Send>>;

impl<K> Default for Deaths<K> {
    fn default() -> Self {
        Deaths { watched: HashMap::new(), waits: FuturesUnordered::new(), gone: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash + Send + 'static> Deaths<K> {
    /// From now on exactly these processes are watched for `key`; none, to forget it. Those that are watched already go
    /// on being watched. Must be called on a tokio runtime.
    pub fn watch(&mut self, key: K, pids: &[u32]) {
        self.watched.retain(|(of, pid), wait| {
            let is_wanted = *of != key || pids.contains(pid);
            if !is_wanted {
                wait.abort();
            }
            is_wanted
        });
        // Of what is about to be found out anew.
        self.gone.retain(|of| *of != key);
        for &pid in pids {
            if self.watched.len() >= WATCHED_AT_MOST {
                return;
            }
            if !self.watched.contains_key(&(key, pid)) {
                self.add(key, pid);
            }
        }
    }

    /// Who lost a process next; for ever pending while nothing is watched. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> K {
        if let Some(key) = self.gone.pop_front() {
            return key;
        }
        loop {
            match self.waits.next().await {
                Some(Ok((key, pid))) => {
                    self.watched.remove(&(key, pid));
                    return key;
                }
                Some(Err(Aborted)) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn add(&mut self, key: K, pid: u32) {
        let process = match open(pid) {
            Ok(process) => process,
            Err(Errno::SRCH) if self.gone.contains(&key) => return,
            Err(Errno::SRCH) => return self.gone.push_back(key),
            // No file descriptors left, a kernel before 5.3, a seccomp filter: the next probe sees it.
            Err(_) => return,
        };
        let (wait, handle) = abortable(async move {
            // It becomes readable when the process ends, and an error cannot be told from that.
            let _ = process.readable().await;
            (key, pid)
        });
        self.watched.insert((key, pid), handle);
        self.waits.push(Box::pin(wait));
    }
}

fn open(pid: u32) -> Result<AsyncFd<OwnedFd>, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let process = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types whose descriptor changes; an OwnedFd's does not"
    )]
    let process = AsyncFd::with_interest(process, Interest::READABLE);
    process.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    fn end(mut process: Child) {
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Whose process ended, told soon; None when nothing is told.
    async fn told(deaths: &mut Deaths<char>) -> Option<char> {
        timeout(Duration::from_millis(100), deaths.next()).await.ok()
    }

    #[tokio::test]
    async fn the_end_of_a_watched_process_is_told_once() {
        let (one, other) = (sleeper(), sleeper());
        let mut deaths = Deaths::default();
        deaths.watch('a', &[one.id()]);
        deaths.watch('b', &[other.id()]);
        assert_eq!(told(&mut deaths).await, None);
        end(other);
        assert_eq!(told(&mut deaths).await, Some('b'));
        assert_eq!(told(&mut deaths).await, None);
        end(one);
        assert_eq!(told(&mut deaths).await, Some('a'));
    }

    #[tokio::test]
    async fn one_process_may_matter_to_two() {
        let process = sleeper();
        let mut deaths = Deaths::default();
        deaths.watch('a', &[process.id()]);
        deaths.watch('b', &[process.id()]);
        end(process);
        let mut both = [told(&mut deaths).await, told(&mut deaths).await];
        both.sort_unstable();
        assert_eq!(both, [Some('a'), Some('b')]);
    }

    #[tokio::test]
    async fn a_process_that_is_gone_already_is_told_at_once() {
        let process = sleeper();
        let pid = process.id();
        end(process);
        let mut deaths = Deaths::default();
        deaths.watch('a', &[pid]);
        assert_eq!(told(&mut deaths).await, Some('a'));
        assert_eq!(told(&mut deaths).await, None);
    }

    #[tokio::test]
    async fn who_is_not_in_the_new_set_is_not_watched_any_more() {
        let (left_out, kept) = (sleeper(), sleeper());
        let mut deaths = Deaths::default();
        deaths.watch('a', &[left_out.id(), kept.id()]);
        deaths.watch('a', &[kept.id()]);
        end(left_out);
        assert_eq!(told(&mut deaths).await, None);
        end(kept);
        assert_eq!(told(&mut deaths).await, Some('a'));
    }

    #[tokio::test]
    async fn the_number_of_file_descriptors_is_bounded_and_they_are_given_back() {
        let process = sleeper();
        let mut deaths = Deaths::default();
        for key in 0..WATCHED_AT_MOST + 10 {
            deaths.watch(key, &[process.id()]);
        }
        assert_eq!(deaths.watched.len(), WATCHED_AT_MOST);
        for key in 0..WATCHED_AT_MOST {
            deaths.watch(key, &[]);
        }
        assert!(timeout(Duration::from_millis(100), deaths.next()).await.is_err());
        assert!(deaths.watched.is_empty() && deaths.waits.is_empty());
        end(process);
    }
}
