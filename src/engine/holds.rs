//! Pauses that people asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::status::{Decision, Hold};

use super::watched::Held;
use super::{Command, Engine, Now};

/// A hold ends after this at the latest, whatever its file says.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);

impl Engine {
    /// The holds that are in force now, instead of those before.
    pub(super) fn take_holds(
        &mut self,
        now: Now,
        holds: Vec<(Option<String>, Hold)>,
        commands: &mut Vec<Command>,
    ) {
        let holds = holds.into_iter().map(|(key, hold)| (key, Held::of(hold, LONGEST_HOLD, now)));
        let holds: BTreeMap<_, _> = holds.filter(|(_, held)| held.until > now.mono).collect();
        let before = std::mem::replace(&mut self.holds, holds.clone());
        for (key, held) in &holds {
            if before.get(key).is_none_or(|old| old.hold != held.hold) {
                self.note_hold(now, key.as_deref(), Decision::Hold, held.words(), commands);
            }
        }
        for key in before.into_keys().filter(|key| !holds.contains_key(key)) {
            self.note_hold(now, key.as_deref(), Decision::Release, "released".to_owned(), commands);
        }
        self.apply_holds(now, commands);
    }

    fn note_hold(
        &mut self,
        now: Now,
        key: Option<&str>,
        decision: Decision,
        words: String,
        commands: &mut Vec<Command>,
    ) {
        let place = key.and_then(|key| self.services.iter().position(|service| service.config.key == key));
        // A hold of a service that is not watched holds nobody.
        if key.is_none() || place.is_some() {
            self.note(now, place, decision, words, None, commands);
        }
    }

    /// Gives each service the hold that is on it, its own before the host's.
    pub(super) fn apply_holds(&mut self, now: Now, commands: &mut Vec<Command>) {
        for place in 0..self.services.len() {
            let service = &mut self.services[place];
            let own = self.holds.get(&Some(service.config.key.clone()));
            let held = own.or_else(|| self.holds.get(&None)).cloned();
            if service.held != held {
                service.held = held;
                self.evaluate(now, place, commands);
            }
        }
    }

    /// Ends the holds whose time is over.
    pub(super) fn end_holds(&mut self, now: Now, commands: &mut Vec<Command>) {
        let over: Vec<_> = self
            .holds
            .iter()
            .filter(|(_, held)| held.until <= now.mono)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &over {
            self.holds.remove(key);
            self.note_hold(now, key.as_deref(), Decision::Release, "its time is over".to_owned(), commands);
        }
        if !over.is_empty() {
            self.apply_holds(now, commands);
        }
    }
}
