use std::path::Path;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

/// Takes lines as they are found.
pub(super) struct Lines {
    listener: mpsc::UnboundedSender<String>,
}

impl Lines {
    /// Takes a line. None when nobody wants more: the time is over, or it is enough.
    pub(super) fn add(&self, line: impl Into<String>) -> Option<()> {
        self.listener.send(line.into()).ok()
    }
}

/// So many looks at once, those included that hang for good: their threads never come back, and the pool that they are of
/// is also that of name look-ups and process scans.
static JOBS: Semaphore = Semaphore::const_new(48);

/// What a job finds that reads files and may hang in any of them: the lines until it is done, or its time is over, or there
/// are so many bytes. The thread of a job that hangs stays behind; its lines do not get lost.
pub(super) async fn gather(
    limit: Duration,
    size: usize,
    job: impl FnOnce(&Lines) -> Option<()> + Send + 'static,
) -> String {
    let Ok(permit) = JOBS.try_acquire() else {
        return "(not had: too many earlier looks still hang in the kernel)\n".to_owned();
    };
    let end = Instant::now() + limit;
    let (listener, mut lines) = mpsc::unbounded_channel();
    // Detached: to wait for it would be to hang with it.
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        job(&Lines { listener })
    });
    let mut text = String::new();
    loop {
        match timeout_at(end, lines.recv()).await {
            Ok(Some(line)) if text.len() + line.len() < size => {
                text.push_str(&line);
                text.push('\n');
            }
            Ok(Some(_)) => {
                text.push_str(&format!("(the rest is left out: it is more than {} KiB)\n", size / 1024));
                return text;
            }
            Ok(None) => return text,
            Err(_) => {
                text.push_str(&format!("(not had: what comes after this took longer than {limit:?})\n"));
                return text;
            }
        }
    }
}

/// A small file of `/proc` as text, at most 64 KiB of it; or why it cannot be read.
pub(super) fn read(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    match file.and_then(|file| file.take(64 * 1024).read_to_end(&mut bytes)) {
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(words(&error)),
    }
}

/// What the system said, without its `(os error 13)`.
pub(super) fn words(error: &std::io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or(&said).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_costs_only_what_comes_after_it() {
        let (go_on, gate) = std::sync::mpsc::channel::<()>();
        let text = gather(Duration::from_millis(100), 1000, move |lines| {
            lines.add("before")?;
            let _ = gate.recv();
            lines.add("after")
        })
        .await;
        assert_eq!(text, "before\n(not had: what comes after this took longer than 100ms)\n");
        drop(go_on);
    }

    #[tokio::test]
    async fn what_is_endless_is_cut_and_told_to_stop() {
        let (done, is_done) = tokio::sync::oneshot::channel();
        let text = gather(Duration::from_secs(60), 2048, move |lines| {
            while lines.add("x".repeat(99)).is_some() {}
            done.send(()).ok()
        })
        .await;
        assert!(text.ends_with("(the rest is left out: it is more than 2 KiB)\n") && text.len() < 2200);
        is_done.await.unwrap();
    }
}
