//! One entry of `services`, and the `defaults` it starts from.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::decode::{Decode, Fields, Refusal, found};
use super::tree::{Node, Value};
use super::{CheckConfig, Service, Timing, heal};
use crate::probe::{FORMS, Form, Severity};

/// The keys of a service besides its checks.
const OWN_KEYS: [&str; 14] = [
    "key",
    "name",
    "group",
    "primary",
    "if_exists",
    "depends_on",
    "severity",
    "interval",
    "retry_interval",
    "timeout",
    "failure_threshold",
    "success_threshold",
    "start_grace",
    "heal",
];

/// The keys of `defaults`.
const DEFAULT_KEYS: [&str; 9] = [
    "group",
    "interval",
    "retry_interval",
    "timeout",
    "failure_threshold",
    "success_threshold",
    "start_grace",
    "severity",
    "heal",
];

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest key of a service.
const KEY_LENGTH: usize = 64;

/// What a service has that does not say otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Defaults {
    timing: Timing,
    severity: Severity,
    group: Option<String>,
    heal: heal::Policy,
}

impl Defaults {
    /// Takes `defaults` out of its node.
    pub(super) fn decode(decode: &mut Decode<'_>, node: &Node) -> Defaults {
        let built_in = Defaults::default();
        match decode.fields(node, &DEFAULT_KEYS) {
            Some(fields) => Defaults {
                heal: heal::Policy::of_defaults(decode, fields),
                ..built_in.overridden(decode, fields)
            },
            None => built_in,
        }
    }

    /// With what these fields say of timing, severity and group. Healing is another matter: a service's own must fit
    /// its checks.
    fn overridden(&self, decode: &mut Decode<'_>, fields: Fields<'_>) -> Defaults {
        let group = fields.get("group").and_then(|node| group(decode, node));
        Defaults {
            timing: timing(decode, fields, self.timing),
            severity: severity(decode, fields).unwrap_or(self.severity),
            group: group.or_else(|| self.group.clone()),
            heal: self.heal.clone(),
        }
    }
}

/// A service whose references to others have not been followed yet.
pub(super) struct Draft {
    pub(super) service: Service,
    /// Where its own key stands.
    pub(super) key: Reference,
    /// Where its `depends_on` stand.
    pub(super) references: Vec<Reference>,
    /// Why the `heal` of `defaults` does not apply to it.
    pub(super) heal_not_applied: Option<String>,
    /// The file of its `if_exists`, where that does not exist: the service is not on this machine.
    pub(super) left_out: Option<PathBuf>,
}

/// The key of a service, where it stands in a file.
pub(super) struct Reference {
    pub(super) key: String,
    /// The node's number.
    pub(super) id: u32,
    /// The key as written, for messages: it may come from a variable.
    pub(super) written: String,
}

impl Reference {
    fn decode(decode: &mut Decode<'_>, node: &Node, help: &str) -> Option<Reference> {
        Some(Reference {
            key: decode.parsed(node, "the key of a service", help, service_key)?,
            id: node.id,
            written: found(node),
        })
    }
}

/// Takes one service out of its node. None when it has no usable key; every other problem leaves a service, so that
/// others can still refer to it.
pub(super) fn decode(decode: &mut Decode<'_>, node: &Node, defaults: &Defaults) -> Option<Draft> {
    if !matches!(node.value, Value::Block(_)) {
        decode.wrong_type(node, "a service", "write its keys: `- key: NAME`, and below it `port: 5000`");
        return None;
    }
    let fields = decode.fields(node, &KEYS)?;
    let key = match fields.get("key") {
        Some(node) => Reference::decode(decode, node, "write for example key: flask_web"),
        None => {
            decode.complain(node, "found a service without `key`", "add for example key: flask_web");
            None
        }
    };
    let own = defaults.overridden(decode, fields);
    let name = fields.get("name").and_then(|node| decode.line(node, "a name", "write text on one line"));
    let primary = fields.get("primary").and_then(|node| decode.boolean(node));
    let if_exists = fields.get("if_exists").and_then(|node| decode.absolute_path(node));
    let checks = checks(decode, fields, own.severity);
    let healing = heal::of_service(decode, fields, &own.heal, &checks, own.timing);
    let references = fields.get("depends_on").map_or_else(Vec::new, |node| depends_on(decode, node));
    let key = key?;
    Some(Draft {
        service: Service {
            key: key.key.clone(),
            name: name.unwrap_or_else(|| key.key.clone()),
            group: own.group,
            primary: primary.unwrap_or(false),
            checks,
            depends_on: references.iter().map(|reference| reference.key.clone()).collect(),
            timing: own.timing,
            heal: healing.heal,
        },
        key,
        references,
        heal_not_applied: healing.not_applied,
        // What cannot be told, for want of rights, is no reason to watch less.
        left_out: if_exists.filter(|path| matches!(path.try_exists(), Ok(false))),
    })
}

fn service_key(text: &str) -> Result<String, Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() {
        return Err(Refusal::new("is empty"));
    }
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        let refusal = Refusal::new(format!("holds the character {c:?}"));
        return Err(refusal.help("use letters, digits, `_`, `-` and `.`; `name` takes any text"));
    }
    if text.len() > KEY_LENGTH {
        return Err(Refusal::new(format!("is {} characters long", text.len()))
            .help(format!("use at most {KEY_LENGTH}; `name` takes any text")));
    }
    // A browser would take these for folders in `/api/status/KEY`.
    if text == "." || text == ".." {
        return Err(Refusal::new("is a folder's name"));
    }
    Ok(text.to_owned())
}

fn group(decode: &mut Decode<'_>, node: &Node) -> Option<String> {
    decode.line(node, "the name of a group", "write text on one line")
}

fn severity(decode: &mut Decode<'_>, fields: Fields<'_>) -> Option<Severity> {
    let help = "write critical (a failure is `down`) or warning (a failure is `degraded`)";
    decode.parsed(fields.get("severity")?, "a severity", help, |text| match text {
        "critical" => Ok(Severity::Critical),
        "warning" => Ok(Severity::Warning),
        _ => Err(Refusal::new("is no severity")),
    })
}

/// The timing that the fields set, on top of `base`. A `retry_interval` or a `timeout` that was set elsewhere is cut
/// to the interval; one that stands beside it must fit.
fn timing(decode: &mut Decode<'_>, fields: Fields<'_>, base: Timing) -> Timing {
    let mut duration = |name: &str, low: Duration| {
        let node = fields.get(name)?;
        Some(decode.duration(node, low..=DAY))
    };
    let interval = duration("interval", SECOND);
    let retry_interval = duration("retry_interval", SECOND);
    let timeout = duration("timeout", Duration::from_millis(1));
    let start_grace = duration("start_grace", Duration::ZERO);
    let mut threshold = |name: &str| decode.integer(fields.get(name)?, 1..=100);
    let failure_threshold = threshold("failure_threshold");
    let success_threshold = threshold("success_threshold");

    // Without a usable interval there is nothing to compare with.
    let longest = match interval {
        Some(None) => DAY,
        Some(Some(interval)) => interval,
        None => base.interval,
    };
    let mut fitting = |name: &str, set: Option<Option<Duration>>, inherited: Duration| match set.flatten() {
        Some(own) => {
            if let Some(node) = fields.get(name).filter(|_| own > longest) {
                too_long(decode, node, longest);
            }
            own
        }
        None => inherited.min(longest),
    };
    Timing {
        interval: longest,
        retry_interval: fitting("retry_interval", retry_interval, base.retry_interval),
        timeout: fitting("timeout", timeout, base.timeout),
        start_grace: start_grace.flatten().unwrap_or(base.start_grace),
        failure_threshold: failure_threshold.unwrap_or(base.failure_threshold),
        success_threshold: success_threshold.unwrap_or(base.success_threshold),
    }
}

fn too_long(decode: &mut Decode<'_>, node: &Node, interval: Duration) {
    let interval = humantime::format_duration(interval);
    decode.complain(
        node,
        format!("found {}, which is longer than the interval of {interval}", found(node)),
        format!("write {interval} or less, or raise `interval`"),
    );
}

fn depends_on(decode: &mut Decode<'_>, node: &Node) -> Vec<Reference> {
    let help = "write the key of another service, or a list of keys";
    let items = decode.one_or_many(node, "the key of a service", help);
    items.iter().filter_map(|item| Reference::decode(decode, item, help)).collect()
}

/// All keys of a service: the names of the checks in both forms stand between the others.
pub(super) static KEYS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let checks = FORMS.iter().flat_map(|form| [form.short, form.long]);
    let mut keys: Vec<&str> = OWN_KEYS[..4].iter().copied().chain(checks).collect();
    // `port` and `systemd` are the keys of both their forms.
    keys.dedup();
    keys.extend(&OWN_KEYS[4..]);
    keys
});

/// The checks of a service, one of a kind.
fn checks(decode: &mut Decode<'_>, fields: Fields<'_>, severity: Severity) -> Vec<CheckConfig> {
    let has_check = |form: &Form| fields.get(form.short).or(fields.get(form.long)).is_some();
    if !FORMS.iter().any(has_check) {
        decode.complain(
            fields.key("key").unwrap_or(fields.node),
            "found a service without a check",
            "add at least one of url, port, systemd and process_match",
        );
    }
    FORMS.iter().filter_map(|form| check(decode, fields, form, severity)).collect()
}

/// The check of one kind, in its short or its long form.
fn check(
    decode: &mut Decode<'_>,
    fields: Fields<'_>,
    form: &Form,
    inherited: Severity,
) -> Option<CheckConfig> {
    let (short, long) = match fields.get(form.short) {
        node if form.short != form.long => (node, fields.get(form.long)),
        // One key for both forms: a block is the long one.
        Some(node) if matches!(node.value, Value::Block(_)) => (None, Some(node)),
        node => (node, None),
    };
    if let (Some(_), Some(_)) = (short, long) {
        let later = [form.short, form.long]
            .into_iter()
            .filter_map(|name| fields.key(name))
            .max_by_key(|key| key.id)?;
        let message = format!("found both `{}` and `{}`, two forms of one check", form.short, form.long);
        decode.complain(later, message, "keep one of the two");
    }
    let (check, own) = match (short, long) {
        (_, Some(block)) => {
            let known: Vec<&str> = form.block_keys.iter().copied().chain(["severity"]).collect();
            let block = decode.fields(block, &known)?;
            ((form.decode_block)(decode, block), severity(decode, block))
        }
        (Some(node), None) => ((form.decode_short)(decode, node), None),
        (None, None) => return None,
    };
    Some(CheckConfig { check: Arc::new(check?), severity: own.unwrap_or(inherited) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{file, viewer};
    use super::*;

    #[test]
    fn the_shipped_example_mentions_every_key_of_a_service_and_every_kind_in_both_forms() {
        let example = include_str!("../../config/monitor.yml");
        let mentioned = |key: &str, value: &str| {
            example.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ', '-', '{']);
                line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':')).is_some_and(|rest| {
                    // A block has nothing beside its key.
                    value.is_empty() || rest.trim().is_empty() == (value == "block")
                })
            })
        };
        let own = KEYS.iter().chain(&DEFAULT_KEYS);
        let top = file::MONITOR_KEYS.iter().chain(&viewer::VIEWER_KEYS).chain(&viewer::ACCESS_KEYS);
        for key in own.chain(&heal::KEYS).chain(&heal::STEP_KEYS).chain(top) {
            assert!(mentioned(key, ""), "{key}");
        }
        for form in &FORMS {
            assert!(mentioned(form.long, "block"), "the long form of {}", form.long);
            assert!(form.short == "process_match" || mentioned(form.short, "value"), "{}", form.short);
            for key in form.block_keys {
                assert!(mentioned(key, ""), "{key} of {}", form.long);
            }
        }
    }

    #[test]
    fn the_schema_for_editors_knows_the_same_keys() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../config/monitor.schema.json")).unwrap();
        let known = |pointer: &str| {
            let properties = schema.pointer(pointer).unwrap()["properties"].as_object().unwrap();
            properties.keys().map(String::as_str).collect::<BTreeSet<&str>>()
        };
        let set = |keys: &[&'static str]| keys.iter().copied().collect::<BTreeSet<&str>>();
        assert_eq!(known("/$defs/service"), set(&KEYS));
        assert_eq!(known("/properties/defaults"), set(&DEFAULT_KEYS));
        assert_eq!(known("/properties/monitor"), set(&file::MONITOR_KEYS));
        assert_eq!(known("/properties/viewer"), set(&viewer::VIEWER_KEYS));
        assert_eq!(known("/properties/viewer/properties/access"), set(&viewer::ACCESS_KEYS));
        assert_eq!(known("/$defs/heal/anyOf/2"), set(&heal::KEYS));
        assert_eq!(known("/$defs/heal/anyOf/2/properties/steps/items/anyOf/2"), set(&heal::STEP_KEYS));
        for form in &FORMS {
            let block = known(&format!("/$defs/{}", form.long));
            assert_eq!(block, set(&[form.block_keys, &["severity"]].concat()), "{}", form.long);
        }
    }
}
