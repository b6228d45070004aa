//! The data behind the routes, and what is shown when it is not what it should be.
//!
//! | file | in memory | live checks | shown |
//! |---|---|---|---|
//! | good | | | it, and how far it can be believed *now* |
//! | missing | | given | live checks; the latest, stale, while new ones take too long |
//! | missing, unreadable, invalid | an earlier good one | | that one, stale, with the reason |
//! | missing, unreadable, invalid | nothing | | no data, with the reason |
//!
//! The file is read when it changed; how far it can be believed is judged at every request, because silence alone
//! makes it stale.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::document::Written;
use super::live::{Live, PATIENCE};
use super::{Clock, LiveChecks};
use crate::log::Kind;
use crate::status::Timestamp;
use crate::status::read::{Boot, Freshness, ReadError, Version};

/// Where the data comes from, and what was read last.
pub(super) struct Source {
    path: PathBuf,
    boot: Option<Boot>,
    now: Clock,
    live: Option<Live>,
    file: Mutex<File>,
}

/// What is known of the file.
struct File {
    /// What the file looked like when it was last read; none when that must be tried again.
    seen: Option<Version>,
    content: Result<Arc<Written>, Bad>,
    /// The log says that it cannot be shown.
    is_told_bad: bool,
}

/// A file that cannot be shown.
#[derive(Clone)]
struct Bad {
    problem: Arc<ReadError>,
    /// The last good content.
    kept: Option<Arc<Written>>,
}

/// What a request gets to see.
pub(super) struct Snapshot {
    pub(super) data: Data,
    /// Why it cannot be believed as it stands, in words; absent when it is fresh.
    pub(super) reason: Option<String>,
    pub(super) document: Arc<Written>,
    /// Seconds since the document was made, by this machine's clock; absent without a document.
    pub(super) age_s: Option<u64>,
}

/// What kind of data it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// From the file, as believable as [`Freshness`] says.
    File(Freshness),
    /// From the file as it was: the present one cannot be read.
    Kept,
    /// No monitor has written; the viewer looked for itself.
    Live,
    /// It did, and a new look takes so long that the last one is old by now.
    LiveBefore,
    /// There is nothing to show.
    None,
}

impl Data {
    /// All that [`Data::as_str`] says.
    pub(super) const WORDS: [&'static str; 7] =
        ["fresh", "stale", "earlier_boot", "stopped", "future", "live", "none"];

    /// Whether what the document says holds now, and a monitor stands behind it.
    pub(super) fn is_fresh(self) -> bool {
        self == Data::File(Freshness::Fresh)
    }

    /// Whether the page must show the figures as old.
    pub(super) fn is_stale(self) -> bool {
        !self.is_fresh() && self != Data::Live
    }

    /// The word for it: one of [`Data::WORDS`].
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Data::File(freshness) => freshness.as_str(),
            Data::Kept | Data::LiveBefore => "stale",
            Data::Live => "live",
            Data::None => "none",
        }
    }
}

impl Source {
    pub(super) fn new(path: PathBuf, boot: Option<Boot>, now: Clock, live: Option<LiveChecks>) -> Source {
        let not_read = Bad { problem: Arc::new(ReadError::Missing(path.display().to_string())), kept: None };
        Source {
            path,
            boot,
            now,
            live: live.map(|checks| Live::new(checks, PATIENCE)),
            file: Mutex::new(File { seen: None, content: Err(not_read), is_told_bad: false }),
        }
    }

    /// What to show now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let Bad { problem, kept } = match self.look_at_file() {
            Ok(document) => return self.judged(document),
            Err(bad) => bad,
        };
        match (&*problem, kept, &self.live) {
            (ReadError::Missing(_), _, Some(live)) => self.looked_live(live, &problem),
            (_, Some(document), _) => {
                let reason = format!("{problem}; these are the last good figures");
                self.shown(Data::Kept, Some(reason), document)
            }
            (_, None, _) => Snapshot::nothing(problem.to_string()),
        }
    }

    /// Reads the file if it is another one than last time.
    fn look_at_file(&self) -> Result<Arc<Written>, Bad> {
        let mut file = lock(&self.file);
        // Asked before reading: when the file is replaced in between, the next request reads once more.
        let version = std::fs::metadata(&self.path).ok().map(|metadata| Version::of(&metadata));
        if version.is_none() || version != file.seen {
            file.take(Written::read(&self.path), version);
        }
        file.content.clone()
    }

    fn judged(&self, document: Arc<Written>) -> Snapshot {
        let freshness = self.freshness(&document);
        let reason = reason(freshness, document.head.generated_at);
        self.shown(Data::File(freshness), reason, document)
    }

    /// How far a document can be believed by the wall clock, and by how long it has been seen. After the wall clock was set
    /// back, the last document of a dead monitor would be fresh once more when the time of its making comes again.
    fn freshness(&self, document: &Written) -> Freshness {
        let freshness = Freshness::of(&document.head, (self.now)(), self.boot.as_ref());
        let seen_for = document.since.elapsed();
        match freshness {
            Freshness::Fresh if seen_for > Duration::from_secs(document.head.stale_after_s.into()) => {
                Freshness::Stale { age_s: seen_for.as_secs() }
            }
            other => other,
        }
    }

    fn looked_live(&self, live: &Live, missing: &ReadError) -> Snapshot {
        match live.look(&self.now) {
            Ok(document) => {
                let freshness = self.freshness(&document);
                let (data, how) = match freshness {
                    Freshness::Fresh => (Data::Live, "the viewer looked for itself".to_owned()),
                    _ => (
                        Data::LiveBefore,
                        format!(
                            "the viewer last looked for itself at {}, and its next look takes long",
                            document.head.generated_at
                        ),
                    ),
                };
                self.shown(data, Some(format!("{missing}; {how}")), document)
            }
            Err(reason) => Snapshot::nothing(format!("{missing}, and {reason}")),
        }
    }

    fn shown(&self, data: Data, reason: Option<String>, document: Arc<Written>) -> Snapshot {
        let age_ms = (self.now)().as_millis().saturating_sub(document.head.generated_at.as_millis());
        let age_s = (age_ms.max(0).unsigned_abs() / 1000).max(document.since.elapsed().as_secs());
        Snapshot { data, reason, document, age_s: Some(age_s) }
    }
}

impl Snapshot {
    /// No data, and why.
    pub(super) fn nothing(reason: String) -> Snapshot {
        Snapshot {
            data: Data::None,
            reason: Some(reason),
            document: Arc::new(Written::nothing()),
            age_s: None,
        }
    }
}

impl File {
    /// Takes in what reading brought. Says so once when the file turns bad or good, not at each request.
    fn take(&mut self, read: Result<Written, ReadError>, version: Option<Version>) {
        self.seen = version;
        match read {
            Ok(document) => {
                if std::mem::take(&mut self.is_told_bad) {
                    tracing::info!(event = %Kind::Storage, "the status file can be read");
                }
                // Written anew with the same content it is not younger: a copy, or one that was taken from a backup.
                self.content = match self.latest() {
                    Some(known) if known.is_same(&document) => Ok(known.clone()),
                    _ => Ok(Arc::new(document)),
                };
            }
            Err(problem) => self.turn_bad(problem),
        }
    }

    fn turn_bad(&mut self, problem: ReadError) {
        // What the system refused it may grant the next time (a limit on open files); bad content stays bad.
        if !matches!(problem, ReadError::Invalid { .. }) {
            self.seen = None;
        }
        let is_news = match &self.content {
            Ok(_) => true,
            Err(known) => known.problem.to_string() != problem.to_string(),
        };
        if is_news {
            tracing::warn!(event = %Kind::Storage, "{problem}; the page and the API say so until it is mended");
            self.is_told_bad = true;
        }
        self.content = Err(Bad { problem: Arc::new(problem), kept: self.latest().cloned() });
    }

    /// The last good content.
    fn latest(&self) -> Option<&Arc<Written>> {
        match &self.content {
            Ok(document) => Some(document),
            Err(bad) => bad.kept.as_ref(),
        }
    }
}

/// Why figures cannot be believed, in words. Moments rather than ages, so that the words, and with them the ETag,
/// stay the same while nothing happens.
fn reason(freshness: Freshness, made: Timestamp) -> Option<String> {
    match freshness {
        Freshness::Fresh => None,
        Freshness::Stale { .. } => {
            Some(format!("the monitor has written nothing since {made}: it died, hangs, or cannot write"))
        }
        Freshness::EarlierBoot => Some(format!(
            "these figures are of {made}, before this machine was started: no monitor has written since"
        )),
        Freshness::Stopped => Some(format!("the monitor was stopped at {made}")),
        Freshness::Future { .. } => Some(format!(
            "these figures are dated {made}, later than this machine's clock: it was set back, or theirs was ahead"
        )),
    }
}

/// A lock that outlives a panic: what it guards is replaced whole or not at all.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
