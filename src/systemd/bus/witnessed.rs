//! Who is watched and what was last witnessed of each: signals in, signs out. Nothing here talks to anybody.

use std::collections::HashMap;

use super::members::Row;
use crate::systemd::unit::Sign;

/// Everything that shuts the machine down (poweroff, reboot, halt, kexec) queues a job for it.
pub(super) const SHUTDOWN_TARGET: &str = "shutdown.target";
const SHUTDOWN_PATH: &str = "/org/freedesktop/systemd1/unit/shutdown_2etarget";

/// The watched units. `At` is a place in the order in which messages arrived.
#[derive(Debug)]
pub(super) struct Witnessed<At> {
    /// The names asked for, each with the object path of its unit: aliases share one.
    places: Vec<(String, String)>,
    units: HashMap<String, Unit<At>>,
}

#[derive(Debug)]
struct Unit<At> {
    names: Vec<String>,
    standing: Standing,
    /// Where in the order of messages this standing is from.
    at: At,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    active: String,
    sub: String,
    has_job: bool,
}

/// What a signal says of a unit. What it does not mention did not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) active: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) has_job: Option<bool>,
}

impl<At> Default for Witnessed<At> {
    fn default() -> Self {
        Witnessed { places: Vec::new(), units: HashMap::new() }
    }
}

impl<At: Copy + Ord> Witnessed<At> {
    /// Watches the units of these names from now on, which systemd described in these rows, and after them the one of
    /// `shutdown.target`. Whether that makes a difference.
    ///
    /// A unit that was watched before goes on by its signals: some may still be on their way, and they say why it came
    /// to what the row shows.
    pub(super) fn adopt(&mut self, names: &[String], rows: &[Row], at: At) -> bool {
        let mut known = std::mem::take(&mut self.units);
        for unit in known.values_mut() {
            unit.names.clear();
        }
        let mut places = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let path = row.path.as_str();
            let unit = known.remove(path).unwrap_or_else(|| Unit::new(row, at));
            let unit = self.units.entry(path.to_owned()).or_insert(unit);
            if let Some(name) = names.get(place) {
                unit.names.push(name.clone());
                places.push((name.clone(), path.to_owned()));
            }
        }
        let differs = places != self.places;
        self.places = places;
        differs
    }

    /// Whether signals of this object are of interest.
    pub(super) fn watches(&self, path: &str) -> bool {
        self.units.contains_key(path)
    }

    /// How all of them are, in the order of their names.
    pub(super) fn signs(&self) -> Vec<Sign> {
        let sign = |(name, path): &(String, String)| Some(self.units.get(path)?.standing.sign(name));
        self.places.iter().filter_map(sign).collect()
    }

    /// Takes a signal, and tells whose state it changed. A signal that was sent before systemd described the unit tells
    /// nothing new.
    pub(super) fn apply(&mut self, path: &str, change: Change, at: At) -> Vec<Sign> {
        let Some(unit) = self.units.get_mut(path) else { return Vec::new() };
        if at < unit.at {
            return Vec::new();
        }
        let standing = Standing {
            active: change.active.unwrap_or_else(|| unit.standing.active.clone()),
            sub: change.sub.unwrap_or_else(|| unit.standing.sub.clone()),
            has_job: change.has_job.unwrap_or(unit.standing.has_job),
        };
        if standing == unit.standing {
            return Vec::new();
        }
        unit.standing = standing;
        unit.names.iter().map(|name| unit.standing.sign(name)).collect()
    }

    /// Whether the machine is shutting down.
    pub(super) fn is_shutting_down(&self) -> bool {
        let target = self.units.get(SHUTDOWN_PATH).map(|unit| &unit.standing);
        target.is_some_and(|target| target.has_job || target.active == "active")
    }
}

impl<At> Unit<At> {
    fn new(row: &Row, at: At) -> Unit<At> {
        let standing =
            Standing { active: row.active.clone(), sub: row.sub.clone(), has_job: row.job.is_some() };
        Unit { names: Vec::new(), standing, at }
    }
}

impl Standing {
    fn sign(&self, name: &str) -> Sign {
        Sign {
            unit: name.to_owned(),
            active: self.active.clone(),
            sub: self.sub.clone(),
            has_job: self.has_job,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "/org/freedesktop/systemd1/unit/web_2eservice";
    const DATABASE: &str = "/org/freedesktop/systemd1/unit/database_2eservice";

    fn row(path: &str, active: &str, job: Option<&str>) -> Row {
        Row {
            name: "the canonical one".into(),
            description: String::new(),
            load: "loaded".into(),
            active: active.into(),
            sub: "sub".into(),
            path: zbus::ObjectPath::try_from(path.to_owned()).unwrap().into(),
            job: job.map(str::to_owned),
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn sign(unit: &str, active: &str, has_job: bool) -> Sign {
        Sign { unit: unit.into(), active: active.into(), sub: "sub".into(), has_job }
    }

    /// Watches an active `web.service` since message 10.
    fn web() -> Witnessed<u32> {
        let mut witnessed = Witnessed::default();
        let rows = [row(WEB, "active", None), row(SHUTDOWN_PATH, "inactive", None)];
        assert!(witnessed.adopt(&names(&["web.service"]), &rows, 10));
        witnessed
    }

    fn becomes(active: &str, has_job: bool) -> Change {
        Change { active: Some(active.into()), sub: None, has_job: Some(has_job) }
    }

    #[test]
    fn an_ordered_stop_shows_its_job_and_an_exit_shows_none() {
        let mut ordered = web();
        assert_eq!(
            ordered.apply(WEB, becomes("deactivating", true), 11),
            [sign("web.service", "deactivating", true)]
        );
        let mut exit = web();
        assert_eq!(exit.apply(WEB, becomes("inactive", false), 11), [sign("web.service", "inactive", false)]);
    }

    #[test]
    fn what_a_signal_does_not_mention_stays_as_it_was() {
        let mut web = web();
        web.apply(WEB, becomes("deactivating", true), 11);
        let change = Change { sub: Some("stop-sigkill".into()), ..Change::default() };
        let expected = Sign { sub: "stop-sigkill".into(), ..sign("web.service", "deactivating", true) };
        assert_eq!(web.apply(WEB, change, 12), [expected]);
    }

    #[test]
    fn a_signal_that_changes_nothing_tells_nothing() {
        assert_eq!(web().apply(WEB, becomes("active", false), 11), []);
    }

    #[test]
    fn a_signal_from_before_the_list_and_one_of_a_stranger_tell_nothing() {
        assert_eq!(web().apply(WEB, becomes("failed", false), 9), []);
        assert_eq!(web().apply(DATABASE, becomes("failed", false), 11), []);
        assert!(!web().watches(DATABASE));
    }

    #[test]
    fn an_alias_is_told_under_the_name_that_was_asked_for() {
        let mut witnessed = Witnessed::default();
        let rows = [row(WEB, "active", None), row(WEB, "active", None)];
        witnessed.adopt(&names(&["web.service", "www.service"]), &rows, 1);
        let told = witnessed.apply(WEB, becomes("failed", false), 2);
        assert_eq!(told, [sign("web.service", "failed", false), sign("www.service", "failed", false)]);
    }

    #[test]
    fn a_new_set_of_units_keeps_what_was_witnessed_of_those_that_stay() {
        let mut witnessed = web();
        let rows = [row(DATABASE, "active", None), row(WEB, "inactive", None)];
        assert!(witnessed.adopt(&names(&["database.service", "web.service"]), &rows, 20));
        // The row is ahead of the signals that say how it came to it.
        assert_eq!(
            witnessed.signs(),
            [sign("database.service", "active", false), sign("web.service", "active", false)]
        );
        let told = witnessed.apply(WEB, becomes("deactivating", true), 19);
        assert_eq!(told, [sign("web.service", "deactivating", true)]);
        assert!(!witnessed.adopt(&names(&["database.service", "web.service"]), &rows, 30));
    }

    #[test]
    fn a_name_that_becomes_an_alias_makes_a_difference() {
        let mut witnessed = web();
        assert!(witnessed.adopt(&names(&["web.service"]), &[row(DATABASE, "active", None)], 20));
        assert!(!witnessed.watches(WEB));
    }

    #[test]
    fn a_job_of_the_shutdown_target_is_the_shutdown_and_no_sign_of_a_unit() {
        let mut web = web();
        assert!(!web.is_shutting_down());
        assert_eq!(web.apply(SHUTDOWN_PATH, becomes("inactive", true), 11), []);
        assert!(web.is_shutting_down());
        assert_eq!(web.signs().len(), 1);
        web.apply(SHUTDOWN_PATH, becomes("inactive", false), 12);
        assert!(!web.is_shutting_down());
        web.apply(SHUTDOWN_PATH, becomes("active", false), 13);
        assert!(web.is_shutting_down());
    }
}
