//! When systemd is told that the monitor is at work: after a turn of the loop, as long as what it writes gets written.
//!
//! A write of the document that hangs is a reason to be started anew: nobody is told anything any more, and nothing is
//! healed, since what was decided must be on the disk first. A write that came back with an error is none: a full disk is
//! told, and tried again each second, and a new monitor would find the same disk with less memory of what was.

use std::time::Duration;

/// The limit that systemd sets, and when it was told last.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// Between two feedings, and how long a write may take: a third of the limit, so that one late turn does no harm.
    pause: Option<Duration>,
    next: Duration,
    is_withheld: bool,
}

/// What is to be done about systemd's limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Feeding {
    /// Tell it.
    Due,
    /// Nothing yet, or nothing new.
    NotDue,
    /// From now on it is told nothing: a write has been under way for so long. If it does not end, systemd will kill the
    /// monitor, two to three times that later.
    Withheld(Duration),
}

impl Watchdog {
    /// With the limit of systemd (`WATCHDOG_USEC`), or without one.
    pub(super) fn new(limit: Option<Duration>) -> Watchdog {
        let pause = limit.map(|limit| limit / 3).filter(|pause| !pause.is_zero());
        Watchdog { pause, next: Duration::ZERO, is_withheld: false }
    }

    /// After a turn of the loop at `now`. The document that is being written, if one is, has been since `writing_since`.
    pub(super) fn turned(&mut self, now: Duration, writing_since: Option<Duration>) -> Feeding {
        let Some(pause) = self.pause.filter(|_| now >= self.next) else { return Feeding::NotDue };
        match writing_since.map(|since| now.saturating_sub(since)) {
            Some(written_for) if written_for > pause => {
                if std::mem::replace(&mut self.is_withheld, true) {
                    return Feeding::NotDue;
                }
                Feeding::Withheld(written_for)
            }
            _ => {
                self.is_withheld = false;
                self.next = now + pause;
                Feeding::Due
            }
        }
    }

    /// When the loop must turn for its sake; never while a write hangs, for its end turns the loop.
    pub(super) fn wakeup(&self) -> Option<Duration> {
        self.pause.filter(|_| !self.is_withheld).map(|_| self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(30));

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_fed_three_times_within_the_limit_and_the_loop_wakes_for_it() {
        let mut watchdog = Watchdog::new(LIMIT);
        for second in [0, 10, 20, 30] {
            assert_eq!(watchdog.wakeup(), Some(at(second)));
            assert_eq!(watchdog.turned(at(second), None), Feeding::Due);
            assert_eq!(watchdog.turned(at(second + 9), None), Feeding::NotDue, "once is enough");
        }
    }

    #[test]
    fn a_write_that_hangs_starves_it_and_is_told_once() {
        let mut watchdog = Watchdog::new(LIMIT);
        assert_eq!(watchdog.turned(at(0), None), Feeding::Due);
        let written_since = Some(at(3));
        assert_eq!(watchdog.turned(at(10), written_since), Feeding::Due, "7 s are no hang");
        assert_eq!(watchdog.turned(at(20), written_since), Feeding::Withheld(at(17)));
        for second in 20..60 {
            assert_eq!(watchdog.turned(at(second), written_since), Feeding::NotDue);
            assert_eq!(watchdog.wakeup(), None, "or the loop would spin");
        }
    }

    #[test]
    fn a_write_that_comes_back_in_time_feeds_it_at_once() {
        let mut watchdog = Watchdog::new(LIMIT);
        watchdog.turned(at(0), None);
        assert_eq!(watchdog.turned(at(20), Some(at(1))), Feeding::Withheld(at(19)));
        assert_eq!(watchdog.turned(at(25), None), Feeding::Due);
        assert_eq!(watchdog.wakeup(), Some(at(35)));
    }

    #[test]
    fn a_write_that_fails_again_and_again_does_not_starve_it() {
        let mut watchdog = Watchdog::new(LIMIT);
        let fed = (0..300).filter(|&second| {
            // A full disk answers at once, and is tried again each second.
            watchdog.turned(at(second), Some(at(second))) == Feeding::Due
        });
        assert_eq!(fed.count(), 30);
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_wake_for() {
        let mut watchdog = Watchdog::new(None);
        assert_eq!(watchdog.turned(at(100), Some(at(0))), Feeding::NotDue);
        assert_eq!(watchdog.wakeup(), None);
    }
}
