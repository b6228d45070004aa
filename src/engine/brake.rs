//! What speaks against a heal for all services alike: the host's budget, a common cause, a shutdown.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::status::Memory;

use super::heal::{HOUR, Obstacle};

/// So many services that go down within [`WINDOW`] have a common cause.
const COMMON: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);
/// Then for so long nothing is healed: what they have in common may come back by itself.
const PAUSE: Duration = Duration::from_secs(30);
/// Whose turn it is, is looked at so often.
const TURN: Duration = Duration::from_secs(1);

/// The host's brake.
#[derive(Debug, Default)]
pub(super) struct Brake {
    /// When each heal of the last hour stops counting.
    spent: VecDeque<Duration>,
    /// When which service went down.
    downs: VecDeque<(Duration, String)>,
    /// There is a common cause: until this nothing, afterwards one at a time.
    pulled: Option<Duration>,
    /// That the host's budget is used up was told, and no heal was possible since.
    is_noticed: bool,
    pub(super) shutting_down: bool,
}

impl Brake {
    /// A service went down. Says how many did so, if that is news of a common cause.
    pub(super) fn went_down(&mut self, key: &str, now: Duration) -> Option<usize> {
        self.downs.retain(|(at, other)| *at + WINDOW > now && other != key);
        self.downs.push_back((now, key.to_owned()));
        if self.downs.len() < COMMON || self.pulled.is_some() {
            return None;
        }
        self.pulled = Some(now + PAUSE);
        Some(self.downs.len())
    }

    /// It turned out not to be down of itself, or is not any more.
    pub(super) fn forget(&mut self, key: &str) {
        self.downs.retain(|(_, other)| other != key);
    }

    pub(super) fn is_pulled(&self) -> bool {
        self.pulled.is_some()
    }

    /// Nothing is down any more.
    pub(super) fn release(&mut self) {
        self.pulled = None;
        self.downs.clear();
    }

    /// What is in the way of any heal. `first` is who has to wait for nobody but the one who is `busy` (names).
    pub(super) fn obstacle(
        &self,
        budget: u32,
        busy: Option<&str>,
        first: Option<&str>,
        now: Duration,
    ) -> Option<Obstacle> {
        if self.shutting_down {
            return Some(Obstacle::new("shutdown", "the host shuts down", None));
        }
        if let Some(until) = self.pulled {
            if now < until {
                let words = "several services went down at once, which points to a common cause";
                return Some(Obstacle::new("common-cause", words, Some(until)));
            }
            let words = match (busy, first) {
                (Some(busy), _) => format!("one at a time after a common cause, and {busy} is being healed"),
                (None, Some(first)) => format!("one at a time after a common cause, and {first} comes first"),
                (None, None) => return self.host_budget(budget, now),
            };
            return Some(Obstacle::new("turn", words, Some(now + TURN)));
        }
        self.host_budget(budget, now)
    }

    fn host_budget(&self, budget: u32, now: Duration) -> Option<Obstacle> {
        let mut spent: Vec<Duration> = self.spent.iter().copied().filter(|at| *at > now).collect();
        spent.sort_unstable();
        let over = spent.len().checked_sub(budget as usize)?;
        let words = format!("the host's budget of {budget} heals an hour is used up");
        Some(Obstacle::new("host-budget", words, Some(spent[over])))
    }

    /// Whether this is the moment at which the host's budget is found to be used up.
    pub(super) fn exhaust(&mut self) -> bool {
        !std::mem::replace(&mut self.is_noticed, true)
    }

    /// A heal begins.
    pub(super) fn spend(&mut self, now: Duration) {
        self.is_noticed = false;
        self.spent.retain(|at| *at > now);
        self.spent.push_back(now + HOUR);
    }

    /// The heal that began then was not made after all. Another one may have begun since.
    pub(super) fn refund(&mut self, began: Duration) {
        if let Some(of) = self.spent.iter().position(|at| *at == began + HOUR) {
            self.spent.remove(of);
        }
    }

    /// How many heals of all services together were made within the last hour.
    pub(super) fn heals_within_an_hour(&self, now: Duration) -> usize {
        self.spent.iter().filter(|at| **at > now).count()
    }

    /// What must survive a restart of the monitor.
    pub(super) fn memory(&self, now: Duration) -> Memory {
        let left_ms = |at: Duration| at.saturating_sub(now).as_millis() as u64;
        let downs = self.downs.iter().map(|(at, key)| (key.clone(), left_ms(*at + WINDOW)));
        Memory {
            spent_ms: self.spent.iter().map(|at| left_ms(*at)).filter(|left| *left > 0).collect(),
            downs_ms: downs.filter(|(_, left)| *left > 0).collect(),
            braked_ms: self.pulled.map(left_ms),
            services: BTreeMap::new(),
        }
    }

    /// Takes up what an earlier monitor left.
    pub(super) fn recall(&mut self, memory: &Memory, now: Duration) {
        let at = |left: &u64| now + Duration::from_millis(*left);
        self.spent = memory.spent_ms.iter().map(at).collect();
        self.pulled = memory.braked_ms.as_ref().map(at);
        // When each went down, as a time of this clock, may be before it began.
        let downs = memory.downs_ms.iter().map(|(key, left)| (at(left).saturating_sub(WINDOW), key.clone()));
        self.downs = downs.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn code(brake: &Brake, busy: Option<&str>, first: Option<&str>, now: u64) -> Option<&'static str> {
        brake.obstacle(2, busy, first, secs(now)).map(|obstacle| obstacle.code)
    }

    #[test]
    fn the_third_that_goes_down_within_a_minute_pulls_the_brake_and_only_once() {
        let mut brake = Brake::default();
        assert_eq!(brake.went_down("a", secs(0)), None);
        assert_eq!(brake.went_down("b", secs(10)), None);
        assert_eq!(brake.went_down("b", secs(11)), None, "the same again");
        assert_eq!(brake.went_down("c", secs(60)), None, "a was a minute ago");
        assert_eq!(brake.went_down("d", secs(61)), Some(3));
        assert_eq!(brake.went_down("e", secs(62)), None, "it is told already");
        assert_eq!(code(&brake, None, None, 90), Some("common-cause"));
        assert_eq!(code(&brake, Some("a"), None, 91), Some("turn"));
        assert_eq!(code(&brake, None, Some("a"), 91), Some("turn"));
        assert_eq!(code(&brake, None, None, 91), None);
        brake.release();
        assert_eq!(code(&brake, Some("a"), Some("b"), 62), None);
    }

    #[test]
    fn what_turned_out_not_to_be_down_of_itself_does_not_count() {
        let mut brake = Brake::default();
        brake.went_down("a", secs(0));
        brake.went_down("b", secs(0));
        brake.forget("a");
        assert_eq!(brake.went_down("c", secs(1)), None);
    }

    #[test]
    fn the_budget_frees_a_heal_an_hour_after_it_was_made_and_a_shutdown_goes_before_all() {
        let mut brake = Brake::default();
        brake.spend(secs(0));
        assert_eq!(code(&brake, None, None, 5), None);
        brake.spend(secs(10));
        let obstacle = brake.obstacle(2, None, None, secs(20)).unwrap();
        assert_eq!((obstacle.code, obstacle.until), ("host-budget", Some(secs(3600))));
        // A reload to a smaller budget: two have to end, not one.
        assert_eq!(brake.obstacle(1, None, None, secs(20)).unwrap().until, Some(secs(3610)));
        assert_eq!(code(&brake, None, None, 3600), None);
        brake.shutting_down = true;
        assert_eq!(code(&brake, None, None, 20), Some("shutdown"));
    }

    #[test]
    fn a_refund_is_of_the_heal_that_was_not_made() {
        let mut brake = Brake::default();
        brake.spend(secs(0));
        brake.spend(secs(10));
        brake.refund(secs(0));
        assert_eq!(brake.memory(secs(10)).spent_ms, [3_600_000]);
        brake.refund(secs(5));
        assert_eq!(brake.memory(secs(10)).spent_ms.len(), 1, "nothing began then");
        let mut next = Brake::default();
        next.recall(&brake.memory(secs(20)), secs(0));
        assert_eq!(next.memory(secs(0)).spent_ms, [3_590_000]);
    }
}
