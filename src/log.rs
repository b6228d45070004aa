//! What a line of the log says beside its text, in the journal and as JSON: `service`, `event` and `incident`, and no
//! other field. The text alone must do, too: `journalctl -u` shows nothing else.

use schemars::JsonSchema;
use serde::Serialize;

use crate::status::Decision;

/// What a line is about: its field `event`. Scripts filter by these words; each line of ours has one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A service changed its state.
    Transition,
    /// A service is down, confirmed: an incident begins.
    Opened,
    /// A service is to be healed: the step is made.
    Heal,
    /// A service would be healed, but it is only observed.
    WouldHeal,
    /// A service is not healed now; looked at again later.
    Wait,
    /// A service is not healed, unless a person does something.
    Refuse,
    /// A heal that was decided was not made after all.
    Cancel,
    /// A heal helped: verified.
    Healed,
    /// A heal did not help.
    HealFailed,
    /// A person is needed: the budget is used up, or the permission is missing.
    Notice,
    /// A person asked for a pause, or such a wish cannot be read.
    Hold,
    /// A pause ended.
    Release,
    /// The incident ends.
    Closed,
    /// Where it is kept what was found before a heal, or why it is not; the same of what a hook wrote.
    Evidence,
    /// Whether healing is permitted on this machine.
    Permission,
    /// The configuration was read again, or is wrong.
    Config,
    /// A file of Wellkeep's own cannot be written or read, or can be again.
    Storage,
    /// Units are not watched for the moment.
    Units,
    /// The host shuts down, or does not after all.
    Host,
    /// The monitor or the viewer begins: what it watches, where it listens.
    Start,
    /// It ended in good order.
    Stop,
    /// It cannot begin, or not go on.
    Failed,
    /// The viewer has trouble with its clients or with its own server.
    Viewer,
    /// Lines of the log were lost.
    Log,
    /// A fault in Wellkeep itself.
    Fault,
}

impl Kind {
    /// The word in the field.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Transition => "transition",
            Kind::Opened => "opened",
            Kind::Heal => "heal",
            Kind::WouldHeal => "would_heal",
            Kind::Wait => "wait",
            Kind::Refuse => "refuse",
            Kind::Cancel => "cancel",
            Kind::Healed => "healed",
            Kind::HealFailed => "heal_failed",
            Kind::Notice => "notice",
            Kind::Hold => "hold",
            Kind::Release => "release",
            Kind::Closed => "closed",
            Kind::Evidence => "evidence",
            Kind::Permission => "permission",
            Kind::Config => "config",
            Kind::Storage => "storage",
            Kind::Units => "units",
            Kind::Host => "host",
            Kind::Start => "start",
            Kind::Stop => "stop",
            Kind::Failed => "failed",
            Kind::Viewer => "viewer",
            Kind::Log => "log",
            Kind::Fault => "fault",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A decision has the same word in the ledger and in the log.
impl From<Decision> for Kind {
    fn from(decision: Decision) -> Kind {
        match decision {
            Decision::Opened => Kind::Opened,
            Decision::Heal => Kind::Heal,
            Decision::WouldHeal => Kind::WouldHeal,
            Decision::Wait => Kind::Wait,
            Decision::Refuse => Kind::Refuse,
            Decision::Cancel => Kind::Cancel,
            Decision::Healed => Kind::Healed,
            Decision::HealFailed => Kind::HealFailed,
            Decision::Notice => Kind::Notice,
            Decision::Hold => Kind::Hold,
            Decision::Release => Kind::Release,
            Decision::Closed => Kind::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_has_the_same_word_in_the_log_as_in_the_ledger() {
        for word in [
            "opened",
            "heal",
            "would_heal",
            "wait",
            "refuse",
            "cancel",
            "healed",
            "heal_failed",
            "notice",
            "hold",
            "release",
            "closed",
        ] {
            let decision: Decision = serde_json::from_value(word.into()).unwrap();
            assert_eq!(Kind::from(decision).as_str(), word);
        }
    }

    #[test]
    fn the_words_that_are_documented_are_those_that_are_logged() {
        let schema = serde_json::to_value(schemars::schema_for!(Kind)).unwrap();
        let documented =
            schema["oneOf"].as_array().unwrap().iter().map(|word| word["const"].as_str().unwrap());
        let documented: Vec<&str> = documented.collect();
        assert!(
            documented.contains(&Kind::HealFailed.as_str()) && documented.contains(&Kind::Fault.as_str())
        );
        for word in [Kind::Transition, Kind::WouldHeal, Kind::HealFailed, Kind::Log] {
            assert_eq!(serde_json::to_value(word).unwrap(), word.as_str());
        }
    }
}
