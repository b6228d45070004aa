//! When a document is written: when something changed, but not too often, and with the heartbeat.

use std::time::Duration;

use super::Now;

/// Between two documents at least so long, whatever else changes.
pub(super) const COALESCE: Duration = Duration::from_millis(100);

/// A change of state, or of a verdict, is what people and scripts wait for, and seldom alone: with 100 ms between any two, one kill of a
/// main process in ten was read only after 90 ms, wherever something had changed just before. Documents with such news
/// may be this close to the one before ...
pub(super) const COALESCE_NEWS: Duration = Duration::from_millis(20);

/// ... and so far ahead of one every 100 ms: three of them.
const AHEAD: Duration = Duration::from_millis(300);

/// A document that could not be written is tried again after so long.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// When the next document is to be written.
#[derive(Debug)]
pub(super) struct Publishing {
    /// When the last one was asked for; none before the first, which is due at once.
    last: Option<Duration>,
    /// Something changed since.
    pub(super) changed: bool,
    /// So did the state of a service, of its unit, or the verdict of a check.
    pub(super) has_news: bool,
    /// Those so far, at one every 100 ms, are enough until then.
    enough_until: Duration,
    /// The last one could not be written; not again before this.
    retry_at: Option<Duration>,
}

impl Publishing {
    /// The first one is due at once.
    pub(super) fn new() -> Publishing {
        Publishing {
            last: None,
            changed: true,
            has_news: false,
            enough_until: Duration::ZERO,
            retry_at: None,
        }
    }

    /// When the next one is due.
    pub(super) fn due(&self, heartbeat: Duration) -> Duration {
        let due = self.last.map_or(Duration::ZERO, |last| match (self.has_news, self.changed) {
            (true, _) => (last + COALESCE_NEWS).max(self.enough_until.saturating_sub(AHEAD)),
            (false, true) => last + COALESCE,
            (false, false) => last + heartbeat,
        });
        due.max(self.retry_at.unwrap_or(Duration::ZERO))
    }

    /// One was asked for.
    pub(super) fn asked(&mut self, now: Now) {
        let enough_until = self.enough_until.max(now.mono) + COALESCE;
        let last = Some(now.mono);
        *self = Publishing { last, changed: false, has_news: false, enough_until, retry_at: None };
    }

    /// It could not be written.
    pub(super) fn failed(&mut self, now: Now) {
        self.changed = true;
        self.retry_at = Some(now.mono + WRITE_RETRY);
    }
}
