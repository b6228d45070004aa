//! Why a unit does not run: what was witnessed when it stopped.
//!
//! systemd does not tell afterwards whether somebody stopped a unit or it ended by itself. It can be seen only while it
//! happens: during an ordered stop the unit has a job, an exit and a kill from outside show none.

use std::collections::VecDeque;
use std::time::Duration;

use crate::probe::{Failure, Outcome};
use crate::status::{EndMemory, Timestamp};

use super::UnitChange;

/// Starts that are remembered, for systemd's limit on them. `StartLimitBurst=` is rarely more than ten.
const STARTS: usize = 64;

/// What is known of the intent behind a unit's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Intent {
    /// Nobody watched when it came to be as it is.
    #[default]
    Unknown,
    /// It was seen running or starting: it is meant to run.
    Run,
    /// A stop was ordered: by an administrator, a dependency, a shutdown.
    Stop,
    /// It was seen to end without an order: by itself, or killed from outside.
    Ended,
    /// It had failed, and somebody cleared that without starting it.
    Reset,
}

/// The witness of one unit.
#[derive(Debug, Default)]
pub(super) struct Witness {
    intent: Intent,
    active: String,
    has_job: bool,
    /// A job came for it while it was at rest as `failed`.
    is_ordered_at_rest: bool,
    /// Since when it has not been running, by systemd's account, as the first probe after its end read it.
    ended_at: Option<Timestamp>,
    /// Nobody watched for a while: it is the same end only if it has the same time.
    is_unsure: bool,
    starts: VecDeque<Duration>,
}

impl Witness {
    /// The state of the unit when the watch began. Whatever happened before, nobody saw.
    pub(super) fn begin(&mut self, change: &UnitChange) {
        let runs = is_up(&change.active);
        // What was seen before still holds if the unit is as it was then.
        if self.is_being_stopped() && !runs {
            self.is_unsure &= change.active == "deactivating";
        } else if change.active == "deactivating" && change.has_job {
            // Nobody saw the order, and yet it is there to be seen: what ends by itself has no job. The first half of a
            // restart is taken back by the second.
            (self.intent, self.is_unsure) = (Intent::Stop, false);
        } else if self.active != change.active || runs {
            self.intent = if runs { Intent::Run } else { Intent::Unknown };
        }
        self.active.clone_from(&change.active);
        self.has_job = change.has_job;
    }

    /// A change that was seen while it happened.
    ///
    /// | now                         | job | before it was | intent    |
    /// |-----------------------------|-----|---------------|-----------|
    /// | active, activating ...      |     |               | run       |
    /// | deactivating, inactive      | yes | meant to run  | stop      |
    /// | inactive                    | no  | up, with a job | stop: a unit without processes, or between two runs, ends at once |
    /// | deactivating, inactive, failed | no | meant to run | ended    |
    /// | inactive                    | no  | failed        | reset     |
    /// | failed                      |     | inactive      | ended: its start failed |
    /// | failed, as before           | came and went | any   | stop      |
    /// | anything else               |     |               | as before |
    pub(super) fn saw(&mut self, change: &UnitChange, now: Duration) {
        let before = std::mem::replace(&mut self.active, change.active.clone());
        let had_job = std::mem::replace(&mut self.has_job, change.has_job);
        let is_ordered_at_rest = before == "failed" && before == self.active && change.has_job && !had_job;
        let was_ordered_at_rest = std::mem::replace(&mut self.is_ordered_at_rest, is_ordered_at_rest);
        (self.ended_at, self.is_unsure) = (None, false);
        self.intent = match (change.active.as_str(), change.has_job, self.intent) {
            (active, _, _) if is_up(active) => Intent::Run,
            // A failed stop is still a stop: the unit ends as `failed`, and the order stands.
            ("deactivating" | "inactive", true, Intent::Run) => Intent::Stop,
            ("inactive", false, Intent::Run) if had_job && is_up(&before) => Intent::Stop,
            ("deactivating" | "inactive" | "failed", false, Intent::Run) => Intent::Ended,
            ("deactivating", true, _) => Intent::Stop,
            ("inactive", false, _) if before == "failed" => Intent::Reset,
            // An order came and went, and nothing else changed: a stop of what does not run anyway. A start that systemd
            // refused looks the same, and is told apart by the unit's result.
            ("failed", false, _) if before == "failed" && was_ordered_at_rest => Intent::Stop,
            // The second half of a restart, systemd's own or an administrator's, in which the start was refused.
            ("failed", _, Intent::Stop) if before == "inactive" => Intent::Ended,
            (_, _, intent) => intent,
        };
        if is_up(&self.active) && !is_up(&before) {
            self.remember_start(now);
        }
    }

    /// From now on nobody watches: what was seen of a running unit says nothing of what comes.
    pub(super) fn lose(&mut self) {
        if is_up(&self.active) {
            self.intent = Intent::Unknown;
        }
        self.is_unsure = true;
    }

    /// A probe read since when the unit has not been running. An end that was seen before a time without a watch is
    /// believed only if it is provably this one: meanwhile the unit may have been started and have ended again. An order
    /// whose end no probe had read yet stands all the same: were it called unknown, a stop that failed would be a crash.
    pub(super) fn note_end(&mut self, since: Option<Timestamp>) {
        let seconds = |at: Option<Timestamp>| at.map(|at| at.as_millis().div_euclid(1000));
        let is_unread_stop = self.intent == Intent::Stop && self.ended_at.is_none();
        if std::mem::take(&mut self.is_unsure)
            && !is_up(&self.active)
            && !self.is_being_stopped()
            && !is_unread_stop
            && (since.is_none() || seconds(since) != seconds(self.ended_at))
        {
            self.intent = Intent::Unknown;
        }
        self.ended_at = since;
    }

    /// Whether a stop was ordered and not over when the unit was last seen. What comes next, well or not, is its end: were
    /// it called unknown, a unit that fails on being stopped would be taken for one that crashed.
    fn is_being_stopped(&self) -> bool {
        self.intent == Intent::Stop && self.active == "deactivating"
    }

    /// How it ended, if that was seen.
    pub(super) fn memory(&self) -> Option<EndMemory> {
        let ordered = match self.intent {
            Intent::Stop => true,
            Intent::Ended => false,
            Intent::Run | Intent::Unknown | Intent::Reset => return None,
        };
        Some(EndMemory { active: self.active.clone(), ordered, since: self.ended_at })
    }

    /// Takes up what an earlier monitor saw. It holds if the unit is still as it was when the watch begins.
    pub(super) fn recall(&mut self, end: &EndMemory) {
        self.active.clone_from(&end.active);
        (self.ended_at, self.is_unsure) = (end.since, true);
        self.intent = if end.ordered { Intent::Stop } else { Intent::Ended };
    }

    /// An end that may be another one by now is no reason to start anything; that it was ordered still holds.
    pub(super) fn intent(&self) -> Intent {
        match self.intent {
            Intent::Ended if self.is_unsure => Intent::Unknown,
            intent => intent,
        }
    }

    /// We ordered what left it as it is, and it is meant to run: the stop of a restart whose start was refused, the
    /// reset before a start that was refused.
    pub(super) fn was_our_doing(&mut self) {
        if !is_up(&self.active) && !self.is_unsure {
            self.intent = Intent::Ended;
        }
    }

    /// A look found that it was started then. If nobody watched, this is the only trace of that start, and it is gone with
    /// the next one, while systemd still counts it.
    pub(super) fn note_start(&mut self, at: Duration) {
        if !self.starts.iter().any(|start| start.abs_diff(at) < SAME) {
            self.remember_start(at);
        }
    }

    fn remember_start(&mut self, at: Duration) {
        if self.starts.len() == STARTS {
            self.starts.pop_front();
        }
        self.starts.push_back(at);
    }

    /// When one more start is within systemd's limit of `burst` starts in `interval`; none when it is so now. `unseen`
    /// are starts that no signal showed: the one before anybody watched, and those that systemd made by itself, between
    /// which a unit is never seen down.
    pub(super) fn start_allowed_at(
        &self,
        burst: u32,
        interval: Duration,
        unseen: impl Iterator<Item = Duration>,
        now: Duration,
    ) -> Option<Duration> {
        let mut recent: Vec<Duration> = self.starts.iter().copied().collect();
        let mut seen = recent.clone();
        for start in unseen {
            match seen.iter().position(|other| other.abs_diff(start) < SAME) {
                // Each stands for one.
                Some(of) => drop(seen.swap_remove(of)),
                None => recent.push(start),
            }
        }
        recent.retain(|start| *start + interval > now);
        recent.sort_unstable();
        let spare = (burst as usize).checked_sub(recent.len());
        match spare {
            Some(0) | None => Some(recent[recent.len() - burst.max(1) as usize] + interval),
            Some(_) => None,
        }
    }
}

/// Two times of one start, one seen by us and one told by systemd.
const SAME: Duration = Duration::from_secs(2);

fn is_up(active: &str) -> bool {
    matches!(active, "active" | "activating" | "reloading" | "refreshing")
}

/// What a probe of a unit says, in the light of what was witnessed, and of whether we are just healing it.
pub(super) fn explained(outcome: Outcome, intent: Intent, result: Option<&str>, is_acting: bool) -> Outcome {
    let Outcome::Fail { reason, kind } = outcome else { return outcome };
    let told = |kind, reason| Outcome::Fail { reason, kind };
    match (kind, intent) {
        // Between the reset of a failed unit and its start, and between the two halves of a restart.
        (Failure::Unexplained | Failure::Stopping, _) if is_acting => {
            told(Failure::Starting, "being restarted by Wellkeep".to_owned())
        }
        (Failure::Unexplained, Intent::Ended) => told(
            Failure::Certain,
            "it ended, by itself or killed from outside: nobody ordered a stop".to_owned(),
        ),
        (Failure::Unexplained, Intent::Stop) => {
            told(Failure::Stopped, "stopped: an administrator, or a dependency, ordered it".to_owned())
        }
        (Failure::Unexplained, Intent::Reset) => told(
            kind,
            "it had failed, and an administrator reset that without starting it (`systemctl reset-failed`)"
                .to_owned(),
        ),
        (Failure::Unexplained, Intent::Unknown) => {
            told(kind, format!("{reason} (nobody watched when it came to that)"))
        }
        // A refused start is no stop, though the stop that came before it was ordered.
        (Failure::Certain, Intent::Stop) if result != Some("start-limit-hit") => {
            told(Failure::Stopped, format!("a stop was ordered, so it stays as it is: {reason}"))
        }
        (kind, _) => told(kind, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(changes: &[(&str, bool)]) -> Witness {
        let mut witness = Witness::default();
        for (number, (active, has_job)) in changes.iter().enumerate() {
            let change =
                UnitChange { unit: "web.service".into(), active: (*active).into(), has_job: *has_job };
            match number {
                0 => witness.begin(&change),
                _ => witness.saw(&change, Duration::from_secs(number as u64)),
            }
        }
        witness
    }

    #[test]
    fn a_stop_that_was_ordered_an_exit_and_a_crash_are_told_apart() {
        let stories: [(&[(&str, bool)], Intent); 22] = [
            // systemctl stop, of a unit that ends at once, in time, and not in time
            (&[("active", false), ("deactivating", true), ("inactive", false)], Intent::Stop),
            (&[("active", false), ("inactive", true), ("inactive", false)], Intent::Stop),
            (&[("active", false), ("deactivating", true), ("failed", false)], Intent::Stop),
            // exit 0, with and without something to clean up; killed
            (&[("active", false), ("inactive", false)], Intent::Ended),
            (&[("active", false), ("deactivating", false), ("inactive", false)], Intent::Ended),
            (&[("active", false), ("failed", false)], Intent::Ended),
            // systemctl restart
            (
                &[("active", false), ("deactivating", true), ("activating", true), ("active", false)],
                Intent::Run,
            ),
            // the start of a restart fails
            (
                &[("active", false), ("deactivating", true), ("activating", true), ("failed", false)],
                Intent::Ended,
            ),
            // not watched when it happened
            (&[("inactive", false)], Intent::Unknown),
            (&[("failed", false)], Intent::Unknown),
            // watched only from the middle of a stop on: one that fails; the first half of a restart; an end by itself
            (&[("deactivating", true), ("failed", false)], Intent::Stop),
            (&[("deactivating", true), ("activating", true), ("failed", false)], Intent::Ended),
            (&[("deactivating", false), ("failed", false)], Intent::Unknown),
            // systemctl reset-failed
            (&[("active", false), ("failed", false), ("inactive", false)], Intent::Reset),
            // systemd restarts what crashed, and on the way reaches its own limit of starts: 252, and 257
            (
                &[
                    ("active", false),
                    ("failed", false),
                    ("activating", false),
                    ("activating", true),
                    ("inactive", true),
                    ("failed", true),
                    ("failed", false),
                ],
                Intent::Ended,
            ),
            (&[("active", false), ("activating", true), ("failed", true), ("failed", false)], Intent::Ended),
            // systemctl stop of what has failed
            (&[("active", false), ("failed", false), ("failed", true), ("failed", false)], Intent::Stop),
            // the start of what has failed, which fails again
            (
                &[
                    ("failed", false),
                    ("failed", true),
                    ("active", true),
                    ("active", false),
                    ("failed", false),
                ],
                Intent::Ended,
            ),
            // a stop ordered while it is ending by itself
            (
                &[("active", false), ("deactivating", false), ("deactivating", true), ("inactive", false)],
                Intent::Stop,
            ),
            // stopped by order while systemd was about to restart it, and a unit without processes: both end at once
            (
                &[("active", false), ("activating", false), ("activating", true), ("inactive", false)],
                Intent::Stop,
            ),
            (&[("active", false), ("active", true), ("inactive", false)], Intent::Stop),
            // a start job waits in the queue
            (&[("inactive", false), ("inactive", true)], Intent::Unknown),
        ];
        for (changes, intent) in stories {
            assert_eq!(seen(changes).intent(), intent, "{changes:?}");
        }
    }

    #[test]
    fn what_happens_while_nobody_watches_is_unknown() {
        let mut witness = seen(&[("active", false)]);
        witness.lose();
        assert_eq!(witness.intent(), Intent::Unknown);
        witness.begin(&UnitChange { unit: "web.service".into(), active: "inactive".into(), has_job: false });
        assert_eq!(witness.intent(), Intent::Unknown);
    }

    #[test]
    fn what_was_seen_before_the_bus_was_lost_holds_while_the_unit_is_as_it_was() {
        let mut witness = seen(&[("active", false), ("deactivating", true), ("inactive", false)]);
        witness.note_end(Some(Timestamp::from_millis(5_000)));
        witness.lose();
        witness.begin(&UnitChange { unit: "web.service".into(), active: "inactive".into(), has_job: false });
        assert_eq!(witness.intent(), Intent::Stop);
        witness.note_end(Some(Timestamp::from_millis(5_000)));
        assert_eq!(witness.intent(), Intent::Stop);
        let mut another = seen(&[("active", false), ("deactivating", true), ("inactive", false)]);
        another.note_end(Some(Timestamp::from_millis(5_000)));
        another.lose();
        another.note_end(Some(Timestamp::from_millis(9_000)));
        assert_eq!(another.intent(), Intent::Unknown, "it ended again, and nobody saw how");
    }

    #[test]
    fn an_end_that_was_seen_before_the_bus_was_lost_is_no_reason_to_start_anything_until_it_is_proved() {
        let mut witness = seen(&[("active", false), ("inactive", false)]);
        witness.note_end(Some(Timestamp::from_millis(5_000)));
        witness.lose();
        witness.begin(&UnitChange { unit: "web.service".into(), active: "inactive".into(), has_job: false });
        assert_eq!(witness.intent(), Intent::Unknown, "started and stopped by hand meanwhile?");
        assert_eq!(witness.memory().map(|end| end.ordered), Some(false), "a probe may prove it yet");
        witness.note_end(Some(Timestamp::from_millis(5_000)));
        assert_eq!(witness.intent(), Intent::Ended);
    }

    #[test]
    fn a_stop_that_was_ordered_before_the_bus_was_lost_stays_one_however_it_ends() {
        for (active, order) in [("inactive", [0, 1]), ("failed", [0, 1]), ("failed", [1, 0])] {
            let mut witness = seen(&[("active", false), ("deactivating", true)]);
            witness.lose();
            // The watch and a probe race.
            for step in order {
                match step {
                    0 => witness.begin(&UnitChange {
                        unit: "web.service".into(),
                        active: active.into(),
                        has_job: false,
                    }),
                    _ => witness.note_end(Some(Timestamp::from_millis(9_000))),
                }
            }
            assert_eq!(witness.intent(), Intent::Stop, "{active} {order:?}");
        }
    }

    #[test]
    fn a_stop_that_failed_before_the_monitor_was_killed_stays_one_though_its_time_was_not_read() {
        let failed = UnitChange { unit: "web.service".into(), active: "failed".into(), has_job: false };
        for (ordered, intent) in [(true, Intent::Stop), (false, Intent::Unknown)] {
            let mut witness = Witness::default();
            witness.recall(&EndMemory { active: "failed".into(), ordered, since: None });
            witness.begin(&failed);
            witness.note_end(Some(Timestamp::from_millis(9_000)));
            assert_eq!(witness.intent(), intent);
        }
    }

    #[test]
    fn a_start_beyond_systemds_limit_waits_until_the_oldest_is_forgotten() {
        let secs = Duration::from_secs;
        // Running since before the watch; restarted once, at 2 s, and looked at.
        let mut witness = seen(&[("active", false), ("deactivating", true), ("activating", true)]);
        witness.note_start(secs(3));
        let allowed = |burst, now| witness.start_allowed_at(burst, secs(600), [].into_iter(), secs(now));
        assert_eq!(allowed(2, 10), None, "one start so far");
        assert_eq!(allowed(1, 10), Some(secs(602)));
        assert_eq!(allowed(1, 603), None);
        assert_eq!(Witness::default().start_allowed_at(1, secs(60), [].into_iter(), secs(10)), None);
    }

    #[test]
    fn a_start_that_nobody_saw_counts_also_after_the_next_one() {
        let secs = Duration::from_secs;
        let change =
            |active: &str| UnitChange { unit: "web.service".into(), active: active.into(), has_job: true };
        let mut witness = seen(&[("active", false)]);
        witness.note_start(secs(0));
        witness.saw(&change("deactivating"), secs(20));
        witness.saw(&change("active"), secs(20));
        witness.note_start(secs(20));
        assert_eq!(witness.start_allowed_at(2, secs(60), [].into_iter(), secs(30)), Some(secs(60)));
        assert_eq!(witness.start_allowed_at(3, secs(60), [].into_iter(), secs(30)), None);
    }
}
