use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// So long is waited for the kernel to end what it was told to kill. A process that waits for a disk ends later.
const DEATH: Duration = Duration::from_millis(500);

/// When a program has ended, so long is waited for output that a child of it still writes.
const LEFTOVERS: Duration = Duration::from_millis(100);

/// Between SIGTERM and SIGKILL it is looked so often whether the program ended.
const LOOK: Duration = Duration::from_millis(20);

/// How a program ended, and the last of what it wrote.
#[derive(Debug)]
pub(super) struct Ended {
    /// None when its time was over and it was killed.
    pub(super) status: Option<ExitStatus>,
    /// The end of what it wrote, stdout and stderr in their order.
    pub(super) output: Vec<u8>,
    /// So many bytes before that were not kept.
    pub(super) left_out: u64,
}

/// Runs a program in a process group of its own until it ends. When its time is over, the whole group is told to end, and
/// killed after `mercy`. Of its output the last `keep` bytes are kept. A child that it leaves behind may hold the output open:
/// it is neither waited for nor killed, for it may be what the program is for. Dropping the future kills the group.
///
/// # Errors
/// When the program cannot be started.
pub(super) async fn run(
    mut command: Command,
    limit: Duration,
    mercy: Duration,
    keep: usize,
) -> io::Result<Ended> {
    let end = Instant::now() + limit;
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    // To start a program is to read it, and its disk may hang: a hook on a network share while the network is down. Of one
    // that starts when nobody waits any more, the group is dropped and so killed. The command holds the writing end, and
    // with it the output would never end: it goes with the closure.
    let starting = tokio::task::spawn_blocking(move || command.spawn().map(Group::of));
    let mut group = match timeout_at(end, starting).await {
        Ok(started) => started.map_err(io::Error::other)??,
        Err(_) => return Err(io::Error::other(format!("its disk did not answer within {limit:?}"))),
    };
    let mut output = Output::new(Receiver::from_owned_fd(reader.into())?, keep);

    let in_time = tokio::select! {
        status = timeout_at(end, group.child.wait()) => status.ok(),
        () = output.read_for_ever() => None,
    };
    let status = match in_time {
        Some(status) => {
            group.is_over = true;
            Some(status?)
        }
        None => {
            group.signal(Signal::TERM);
            // The output ends when all of the group did, unless they wrote elsewhere.
            let _ = timeout(mercy, async { tokio::join!(output.read(), group.leader_ends()) }).await;
            group.signal(Signal::KILL);
            group.is_over = timeout(DEATH, group.child.wait()).await.is_ok();
            None
        }
    };
    let _ = timeout(LEFTOVERS, output.read()).await;
    Ok(Ended { status, output: output.kept.into(), left_out: output.left_out })
}

/// A program with all it started.
struct Group {
    child: Child,
    leader: Option<Pid>,
    /// The leader was waited for: its number may be another's by now.
    is_over: bool,
}

impl Group {
    fn of(child: Child) -> Group {
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Group { child, leader, is_over: false }
    }

    /// Waits for the end of the leader, and leaves it to be waited for: so its number stays its own, and the group's.
    async fn leader_ends(&self) {
        let Some(leader) = self.leader.filter(|_| !self.is_over) else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Ok(None) = waitid(WaitId::Pid(leader), options) {
            sleep(LOOK).await;
        }
    }

    fn signal(&self, signal: Signal) {
        // There may be nobody left.
        if let Some(leader) = self.leader.filter(|_| !self.is_over) {
            let _ = kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The last bytes of what comes out of a pipe.
struct Output {
    reader: Receiver,
    keep: usize,
    kept: VecDeque<u8>,
    left_out: u64,
}

impl Output {
    fn new(reader: Receiver, keep: usize) -> Output {
        Output { reader, keep, kept: VecDeque::new(), left_out: 0 }
    }

    /// Reads until the other end is closed. What was read stays when the future is dropped.
    async fn read(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = self.reader.read(&mut buffer).await {
            self.kept.extend(&buffer[..length]);
            let excess = self.kept.len().saturating_sub(self.keep);
            self.kept.drain(..excess);
            self.left_out += excess as u64;
        }
    }

    /// Reads, and does not end when the other end is closed.
    async fn read_for_ever(&mut self) {
        self.read().await;
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MERCY: Duration = Duration::from_secs(1);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    async fn run_for(script: &str, limit_ms: u64) -> (Ended, Duration) {
        let begun = Instant::now();
        let ended = run(shell(script), Duration::from_millis(limit_ms), MERCY, 4096).await.unwrap();
        (ended, begun.elapsed())
    }

    /// Whether a process is there that is no zombie.
    fn is_alive(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    async fn wait_until_gone(pid: &str) {
        for _ in 0..500 {
            if !is_alive(pid) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{pid} is still there");
    }

    #[tokio::test]
    async fn both_outputs_are_kept_in_their_order_and_of_much_the_end() {
        let (ended, _) = run_for("echo one; echo two >&2; echo three; exit 3", 10_000).await;
        assert_eq!(ended.output, b"one\ntwo\nthree\n");
        assert_eq!(ended.status.unwrap().code(), Some(3));
        let (ended, _) = run_for("head -c 1000000 /dev/zero; echo; echo the end", 10_000).await;
        assert_eq!((ended.output.len(), ended.left_out), (4096, 1_000_009 - 4096));
        assert!(ended.output.ends_with(b"\nthe end\n"));
    }

    #[tokio::test]
    async fn a_child_that_holds_the_output_open_is_not_waited_for_and_lives_on() {
        let (ended, took) = run_for("sleep 60 & echo $!", 10_000).await;
        assert!(ended.status.unwrap().success());
        assert!(took < Duration::from_secs(5), "{took:?}");
        let child = String::from_utf8(ended.output).unwrap();
        assert!(is_alive(child.trim()));
        let pid = Pid::from_raw(child.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_all_it_started_even_if_it_ignores_term() {
        let script = "trap '' TERM; sleep 60 & echo $!; while :; do sleep 60; done";
        let (ended, took) = run_for(script, 300).await;
        assert!(ended.status.is_none());
        assert!(took < Duration::from_secs(5), "{took:?}");
        let child = String::from_utf8(ended.output).unwrap();
        wait_until_gone(child.trim()).await;
    }

    #[tokio::test]
    async fn what_ends_when_told_to_has_its_last_words_and_is_not_waited_for_longer() {
        let (ended, took) = run_for("trap 'echo bye; exit 0' TERM; sleep 60 & wait", 300).await;
        assert!(ended.status.is_none());
        assert_eq!(ended.output, b"bye\n");
        assert!(took < Duration::from_millis(300) + MERCY, "{took:?}");
    }

    #[tokio::test]
    async fn what_writes_elsewhere_has_its_time_to_end_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        let script = format!(
            "exec >{} 2>&1; trap 'sleep 0.2; echo bye; exit 0' TERM; sleep 60 & wait",
            file.display()
        );
        let (ended, took) = run_for(&script, 300).await;
        assert!(ended.status.is_none());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "bye\n");
        assert!(took < Duration::from_millis(300) + MERCY, "{took:?}");
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_leaves_nothing_running() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 60 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
        let waiting = run(shell(&script), Duration::from_secs(60), MERCY, 4096);
        let written = async {
            while !file.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = waiting => panic!("it runs for a minute"),
            () = written => {}
        }
        wait_until_gone(std::fs::read_to_string(&file).unwrap().trim()).await;
    }
}
