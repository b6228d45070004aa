//! The requests under way, counted, so that an orderly end can wait for them: whoever was let in is answered.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::source::lock;

/// How many requests are under way.
#[derive(Default)]
pub(super) struct UnderWay {
    state: Mutex<State>,
    fewer: Condvar,
}

#[derive(Default)]
struct State {
    count: usize,
    /// No more begin.
    is_over: bool,
}

/// One request under way, for as long as this lives.
pub(super) struct Pass(Arc<UnderWay>);

impl UnderWay {
    /// Lets a request begin; none once the end has come.
    pub(super) fn begin(self: &Arc<UnderWay>) -> Option<Pass> {
        let mut state = lock(&self.state);
        if state.is_over {
            return None;
        }
        state.count += 1;
        Some(Pass(self.clone()))
    }

    /// Lets no more begin, and waits for those under way, at most so long.
    pub(super) fn end(&self, patience: Duration) {
        let mut state = lock(&self.state);
        state.is_over = true;
        // Whether they are done or patience is at its end: the viewer ends. A poisoned lock is no reason not to.
        let _ = self.fewer.wait_timeout_while(state, patience, |state| state.count > 0);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        lock(&self.0.state).count -= 1;
        self.0.fewer.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_waits_for_those_under_way_and_lets_no_more_begin() {
        let under_way = Arc::new(UnderWay::default());
        let pass = under_way.begin().unwrap();
        let answering = std::thread::spawn(move || drop(pass));
        under_way.end(Duration::from_secs(60));
        answering.join().unwrap();
        assert!(under_way.begin().is_none());
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let under_way = Arc::new(UnderWay::default());
        let _hanging = under_way.begin();
        under_way.end(Duration::from_millis(1));
    }
}
