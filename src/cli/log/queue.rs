//! The lines that wait to be written.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Line;

/// A bounded queue from any thread to one. Not a channel, for its end must be able to wait until it is empty, and not for
/// ever.
pub(super) struct Queue {
    room: usize,
    state: Mutex<State>,
    has_come: Condvar,
    is_done: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Line>,
    /// So many found no room since that was last told.
    lost: u64,
    /// The last that was taken is still being written.
    is_at_work: bool,
}

impl State {
    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.lost == 0 && !self.is_at_work
    }
}

/// What is to be written next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Line(Line),
    /// Everything that had room is out, and so many lines had none.
    Lost(u64),
}

impl Queue {
    pub(super) fn new(room: usize) -> Queue {
        Queue { room, state: Mutex::default(), has_come: Condvar::new(), is_done: Condvar::new() }
    }

    /// Puts a line at the end, never waiting; without room it is lost and counted.
    pub(super) fn push(&self, line: Line) {
        let mut state = self.state();
        if state.waiting.len() < self.room {
            state.waiting.push_back(line);
        } else {
            state.lost += 1;
        }
        self.has_come.notify_one();
    }

    /// Waits for what is to be written next. Who asks again has written what came before.
    pub(super) fn next(&self) -> Next {
        let mut state = self.state();
        loop {
            state.is_at_work = true;
            if let Some(line) = state.waiting.pop_front() {
                return Next::Line(line);
            }
            if state.lost > 0 {
                return Next::Lost(std::mem::take(&mut state.lost));
            }
            state.is_at_work = false;
            self.is_done.notify_all();
            state = self.has_come.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all is written, but not longer than `limit`. Says whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let state = self.state();
        let waited = self.is_done.wait_timeout_while(state, limit, |state| !state.is_done());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_done()
    }

    /// Nothing under this lock runs code of others, so a panic leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;
    use std::sync::Arc;

    fn line(text: &str) -> Line {
        Line::last_words(Kind::Start, text.to_owned())
    }

    fn text(next: Next) -> String {
        match next {
            Next::Line(line) => line.message,
            Next::Lost(count) => format!("lost {count}"),
        }
    }

    #[test]
    fn lines_come_out_in_their_order_and_of_those_without_room_the_number() {
        let queue = Queue::new(2);
        for said in ["one", "two", "three", "four"] {
            queue.push(line(said));
        }
        let came: Vec<String> = (0..3).map(|_| text(queue.next())).collect();
        assert_eq!(came, ["one", "two", "lost 2"]);
        queue.push(line("five"));
        assert_eq!(text(queue.next()), "five");
    }

    #[test]
    fn the_end_waits_for_the_line_that_is_being_written_but_not_for_ever() {
        let queue = Arc::new(Queue::new(2));
        assert!(queue.flush(Duration::ZERO), "nothing waits");
        queue.push(line("one"));
        assert!(!queue.flush(Duration::from_millis(1)), "nobody writes");
        queue.next();
        assert!(!queue.flush(Duration::from_millis(1)), "it is being written");
        let writer = queue.clone();
        let written = std::thread::spawn(move || writer.next());
        assert!(queue.flush(Duration::from_secs(60)), "who asks for the next has written the last");
        queue.push(line("two"));
        assert_eq!(text(written.join().unwrap()), "two");
    }
}
