//! Live checks: what the viewer shows on a machine where no monitor runs. However many pages are open and however
//! fast they are reloaded, the services are looked at once in five seconds, and never twice at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::document::Written;
use super::source::lock;
use super::{Clock, LiveChecks};
use crate::status::Timestamp;

/// From the end of a look to the start of the next, in milliseconds: the pace of a monitor's heartbeat.
const PACE_MS: u64 = 5_000;

/// How long the request that starts a look waits for its end: a check that times out takes 3 s unless configured.
/// A look goes on without it, so that slow services never occupy what answers requests.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// The checks and what they last said.
pub(super) struct Live {
    shared: Arc<Shared>,
    patience: Duration,
}

/// What a look has in common with those who wait for it.
struct Shared {
    checks: LiveChecks,
    state: Mutex<State>,
    looked: Condvar,
}

#[derive(Default)]
struct State {
    /// A thread looks at this moment.
    is_looking: bool,
    latest: Option<Look>,
}

/// What one look said, and when it ended.
struct Look {
    at: Timestamp,
    result: Result<Arc<Written>, String>,
}

impl Live {
    pub(super) fn new(checks: LiveChecks, patience: Duration) -> Live {
        let shared = Shared { checks, state: Mutex::default(), looked: Condvar::new() };
        Live { shared: Arc::new(shared), patience }
    }

    /// The latest look, made now if it is time for one and it does not take too long. It may be of any age.
    pub(super) fn look(&self, now: &Clock) -> Result<Arc<Written>, String> {
        let mut state = lock(&self.shared.state);
        if state.is_looking || state.is_recent(now()) {
            return state.latest();
        }
        let (shared, clock) = (self.shared.clone(), now.clone());
        std::thread::Builder::new()
            .name("viewer-look".to_owned())
            .spawn(move || shared.look(&clock))
            .map_err(|error| format!("live checks cannot start: {error}"))?;
        state.is_looking = true;
        let (state, _) = self
            .shared
            .looked
            .wait_timeout_while(state, self.patience, |state| state.is_looking)
            .unwrap_or_else(PoisonError::into_inner);
        state.latest()
    }
}

impl Shared {
    /// One look, whatever it takes. One that panicked is over, too: the next may go better.
    fn look(&self, now: &Clock) {
        let result = match catch_unwind(AssertUnwindSafe(|| (self.checks)())) {
            Ok(result) => result.map(Written::from_document).map(Arc::new),
            Err(_) => Err("a fault in Wellkeep, told in its log".to_owned()),
        };
        *lock(&self.state) = State { is_looking: false, latest: Some(Look { at: now(), result }) };
        self.looked.notify_all();
    }
}

impl State {
    fn latest(&self) -> Result<Arc<Written>, String> {
        match &self.latest {
            Some(Look { result: Ok(document), .. }) => Ok(document.clone()),
            Some(Look { result: Err(error), .. }) => Err(format!("live checks failed: {error}")),
            None => Err("the first live checks are under way".to_owned()),
        }
    }

    /// A clock that was set back or far forward makes the next look due, it does not put it off.
    fn is_recent(&self, now: Timestamp) -> bool {
        self.latest.as_ref().is_some_and(|look| now.as_millis().abs_diff(look.at.as_millis()) < PACE_MS)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn nobody_waits_longer_than_patience_for_a_look_and_it_is_not_started_twice() {
        let (finish, may_finish) = channel::<()>();
        let (started, has_started) = channel();
        let may_finish = Mutex::new(may_finish);
        let checks: LiveChecks = Box::new(move || {
            started.send(()).unwrap();
            let _ = lock(&may_finish).recv();
            Err("none".to_owned())
        });
        let live = Live::new(checks, Duration::from_millis(1));
        let now: Clock = Arc::new(|| Timestamp::from_millis(0));
        for _ in 0..3 {
            assert_eq!(live.look(&now).unwrap_err(), "the first live checks are under way");
        }
        finish.send(()).unwrap();
        while live.look(&now).unwrap_err() != "live checks failed: none" {
            std::thread::yield_now();
        }
        assert_eq!(has_started.try_iter().count(), 1);
    }
}
