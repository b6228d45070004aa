//! `heal` of a service and of `defaults`: which steps, when, and how often.

use std::time::Duration;

use super::decode::{Decode, Fields, Refusal, found};
use super::tree::{Node, Value};
use super::{CheckConfig, Heal, HealMode, Hook, Step, Timing};
use crate::probe::Check;
use crate::probe::systemd::unit_name;

/// The keys of the block.
pub(super) const KEYS: [&str; 8] =
    ["mode", "unit", "steps", "run", "backoff", "backoff_max", "budget", "verify_within"];
/// The keys of a step that runs a program.
pub(super) const STEP_KEYS: [&str; 3] = ["run", "timeout", "user"];

const HELP: &str = "write restart, reload, observe, off, or a block with `steps`";
const UNIT_HELP: &str = "write for example nginx.service";
const STEP_HELP: &str = "write restart, reload, or {run: [/usr/local/bin/fix, argument]}";
const RUN_HELP: &str = "write the program and its arguments as a list: [/usr/local/bin/fix, argument]";

/// The longest ladder.
const STEPS: usize = 8;
/// A program has so long unless it says otherwise.
const HOOK_TIMEOUT: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The types of unit that a restart makes sense for. That of a target, a slice or a mount takes others down with it.
const RESTARTED_TYPES: [&str; 4] = ["service", "socket", "timer", "path"];
/// Whoever heals cannot restart itself: the incident would end in the middle of its first heal, again and again.
const OWN_UNIT: &str = "wellkeep-monitor.service";

/// What `heal` asks for, before it is known for which service.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// Whether it heals at all. The other settings count even where it does not: a service may build on them.
    on: bool,
    /// The settings. Its unit is only the one that `heal` itself names.
    heal: Heal,
}

impl Default for Policy {
    /// Off, as everything is that nobody asked for.
    fn default() -> Policy {
        Policy { on: false, heal: Heal { unit: None, ..Heal::restart("") } }
    }
}

impl Policy {
    /// Takes `heal` out of `defaults`.
    pub(super) fn of_defaults(decode: &mut Decode<'_>, fields: Fields<'_>) -> Policy {
        let built_in = Policy::default();
        let Some(node) = fields.get("heal") else {
            return built_in;
        };
        if let Some(key) = Fields::unchecked(node).and_then(|block| block.key("unit")) {
            decode.complain(
                key,
                "found a unit for all services",
                "write it in the service that it belongs to",
            );
        }
        built_in.overridden(decode, node)
    }

    /// What this `heal` says, on top of what `self` says.
    fn overridden(&self, decode: &mut Decode<'_>, node: &Node) -> Policy {
        if let Value::Block(_) = node.value {
            return match decode.fields(node, &KEYS) {
                Some(fields) => self.with_block(decode, fields),
                None => self.clone(),
            };
        }
        let step = |step| Policy {
            on: true,
            heal: Heal { mode: HealMode::Act, steps: vec![step], ..self.heal.clone() },
        };
        let policy = decode.parsed(node, "how to heal", HELP, |text| match text {
            "restart" => Ok(step(Step::Restart)),
            "reload" => Ok(step(Step::Reload)),
            "observe" => Ok(Policy { on: true, heal: Heal { mode: HealMode::Observe, ..self.heal.clone() } }),
            text if is_off(text) => Ok(Policy { on: false, ..self.clone() }),
            "true" | "True" | "TRUE" | "on" | "yes" | "act" => Err(Refusal::new("does not say what to do")),
            _ => Err(Refusal::new("is no way to heal")),
        });
        policy.unwrap_or_else(|| self.clone())
    }

    /// A block turns healing on, unless it says `mode: off` itself.
    fn with_block(&self, decode: &mut Decode<'_>, fields: Fields<'_>) -> Policy {
        let base = &self.heal;
        let mode = fields.get("mode").and_then(|node| {
            decode.parsed(node, "a mode", "write act, observe or off", |text| match text {
                "act" => Ok((true, HealMode::Act)),
                "observe" => Ok((true, HealMode::Observe)),
                text if is_off(text) => Ok((false, base.mode)),
                _ => Err(Refusal::new("is no mode")),
            })
        });
        let (on, mode) = mode.unwrap_or((true, base.mode));
        let unit = fields.get("unit").and_then(|node| {
            decode.parsed(node, "a unit", UNIT_HELP, |text| {
                let unit = unit_name(text)?;
                unrestartable(&unit).map_or(Ok(unit), |(why, help)| Err(Refusal::new(why).help(help)))
            })
        });
        let steps = steps(decode, fields);
        let (backoff, backoff_max) = backoff(decode, fields, base);
        let budget = fields.get("budget").and_then(|node| decode.integer(node, 1..=60));
        let verify_within =
            fields.get("verify_within").and_then(|node| decode.duration(node, 5 * SECOND..=HOUR));
        Policy {
            on,
            heal: Heal {
                mode,
                unit: unit.or_else(|| base.unit.clone()),
                steps: steps.unwrap_or_else(|| base.steps.clone()),
                backoff,
                backoff_max,
                budget: budget.unwrap_or(base.budget),
                verify_within: verify_within.unwrap_or(base.verify_within),
            },
        }
    }
}

/// What healing comes to at one service.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) heal: Option<Heal>,
    /// Why what `defaults` say does not apply here.
    pub(super) not_applied: Option<String>,
}

/// The healing of a service with these checks. What it asks for itself must be possible; what `defaults` ask for
/// applies where it is possible.
pub(super) fn of_service(
    decode: &mut Decode<'_>,
    fields: Fields<'_>,
    defaults: &Policy,
    checks: &[CheckConfig],
    timing: Timing,
) -> Applied {
    let own = fields.get("heal");
    let before = decode.complaints();
    let Policy { on, mut heal } =
        own.map_or_else(|| defaults.clone(), |node| defaults.overridden(decode, node));
    if !on {
        return Applied::default();
    }
    heal.unit = heal.unit.or_else(|| checked_unit(checks));
    match (own, obstacle(&heal)) {
        (_, None) => {}
        (None, Some((why, _))) => return Applied { heal: None, not_applied: Some(why) },
        // What is wrong already may be the unit, or that of the `systemd` check.
        (Some(_), Some(_)) if decode.complaints() > before => {}
        (Some(_), Some(_)) if heal.unit.is_none() && fields.get("systemd").is_some() => {}
        (Some(node), Some((why, help))) => {
            decode.complain(node, format!("found a heal by restart or reload, but {why}"), help);
        }
    }
    let own_verify = own.and_then(Fields::unchecked).and_then(|block| block.get("verify_within"));
    if own_verify.is_none() {
        heal.verify_within = heal.verify_within.max(longest_recovery(timing));
    }
    Applied { heal: Some(heal), not_applied: None }
}

/// A service that is allowed a slow start cannot be verified before its end, and then not before enough rounds have
/// passed. So a `verify_within` that was not written for this service gives way.
fn longest_recovery(timing: Timing) -> Duration {
    timing.start_grace + timing.retry_interval * timing.success_threshold
}

fn checked_unit(checks: &[CheckConfig]) -> Option<String> {
    checks.iter().find_map(|check| match &*check.check {
        Check::Systemd(settings) => Some(settings.unit.clone()),
        _ => None,
    })
}

/// Why the steps cannot be made, and what to do. A program can always be run.
fn obstacle(heal: &Heal) -> Option<(String, &'static str)> {
    if heal.steps.iter().all(|step| matches!(step, Step::Run(_))) {
        return None;
    }
    let Some(unit) = &heal.unit else {
        let help =
            "add `systemd: web.service` to the service, or heal by `{unit: web.service}` or by `{run: ...}`";
        return Some(("the service has no unit".to_owned(), help));
    };
    let (why, help) = unrestartable(unit)?;
    Some((format!("{unit}, the unit of its `systemd` check, {why}"), help))
}

/// Why a unit must not be restarted, and what to do.
fn unrestartable(unit: &str) -> Option<(String, &'static str)> {
    if unit == OWN_UNIT {
        let help = "remove it: systemd itself restarts the monitor (`Restart=always` in its unit)";
        return Some(("is the monitor itself".to_owned(), help));
    }
    let (_, kind) = unit.rsplit_once('.')?;
    if RESTARTED_TYPES.contains(&kind) {
        return None;
    }
    let help = "name a .service, .socket, .timer or .path by `heal: {unit: ...}`, or write `heal: off`";
    Some((format!("is a {kind}, and what hangs on it would be restarted, too"), help))
}

/// `off` is text to YAML 1.2, and false to many other things.
fn is_off(text: &str) -> bool {
    matches!(text, "off" | "false" | "False" | "FALSE")
}

/// The backoff and its longest pause. Of two that do not fit, the inherited one gives way.
fn backoff(decode: &mut Decode<'_>, fields: Fields<'_>, base: &Heal) -> (Duration, Duration) {
    let backoff = fields.get("backoff").and_then(|node| decode.duration(node, SECOND..=HOUR));
    let longest = fields.get("backoff_max").and_then(|node| decode.duration(node, SECOND..=DAY));
    match (backoff, longest) {
        (Some(backoff), Some(longest)) => {
            if let Some(node) = fields.get("backoff_max").filter(|_| longest < backoff) {
                let shown = humantime::format_duration(backoff);
                let message = format!("found {}, which is shorter than the backoff of {shown}", found(node));
                decode.complain(node, message, format!("write {shown} or more, or lower `backoff`"));
            }
            (backoff, longest)
        }
        (Some(backoff), None) => (backoff, base.backoff_max.max(backoff)),
        (None, Some(longest)) => (base.backoff.min(longest), longest),
        (None, None) => (base.backoff, base.backoff_max),
    }
}

/// The ladder of a block: `steps`, or `run` for a single program.
fn steps(decode: &mut Decode<'_>, fields: Fields<'_>) -> Option<Vec<Step>> {
    if let (Some(steps), Some(run)) = (fields.key("steps"), fields.key("run")) {
        let later = if steps.id > run.id { steps } else { run };
        let help =
            "keep one of the two: a program is a step, too: steps: [reload, {run: [/usr/local/bin/fix]}]";
        decode.complain(later, "found both `steps` and `run`, two forms of one setting", help);
    }
    match (fields.get("steps"), fields.get("run")) {
        (Some(node), _) => ladder(decode, node),
        (None, Some(node)) => {
            let command = command(decode, node)?;
            Some(vec![Step::Run(Hook { command, timeout: HOOK_TIMEOUT, user: None })])
        }
        (None, None) => None,
    }
}

fn ladder(decode: &mut Decode<'_>, node: &Node) -> Option<Vec<Step>> {
    let items = decode.one_or_many(node, "at least one step", STEP_HELP);
    if items.len() > STEPS {
        let message = format!("found {} steps, more than {STEPS}", items.len());
        decode.complain(node, message, "leave some out: the last step is repeated anyway");
    }
    items.iter().map(|item| step(decode, item)).collect()
}

fn step(decode: &mut Decode<'_>, node: &Node) -> Option<Step> {
    if let Value::Block(_) = node.value {
        let fields = decode.fields(node, &STEP_KEYS)?;
        return hook(decode, fields).map(Step::Run);
    }
    decode.parsed(node, "a step", STEP_HELP, |text| match text {
        "restart" => Ok(Step::Restart),
        "reload" => Ok(Step::Reload),
        _ => Err(Refusal::new("is no step")),
    })
}

fn hook(decode: &mut Decode<'_>, fields: Fields<'_>) -> Option<Hook> {
    let timeout = fields.get("timeout").and_then(|node| decode.duration(node, SECOND..=HOUR));
    let help = "write the name of a user of this machine";
    let user = fields.get("user").and_then(|node| decode.parsed(node, "a user", help, user_name));
    let Some(node) = fields.get("run") else {
        decode.complain(
            fields.node,
            "found a step without `run`",
            "add for example run: [/usr/local/bin/fix]",
        );
        return None;
    };
    Some(Hook { command: command(decode, node)?, timeout: timeout.unwrap_or(HOOK_TIMEOUT), user })
}

/// A program and its arguments. No shell sees them, so nothing in them has a meaning of its own.
fn command(decode: &mut Decode<'_>, node: &Node) -> Option<Vec<String>> {
    let is_list = matches!(node.value, Value::List(_));
    let words = decode.one_or_many(node, "a program", RUN_HELP);
    let command = words.iter().enumerate().map(|(place, word)| match place {
        0 => decode.parsed(word, "the absolute path of a program", RUN_HELP, |text| program(text, is_list)),
        _ => decode.parsed(word, "an argument", "write text, in quotes if need be", without_nul),
    });
    // All of them, so that all problems are told.
    let command: Vec<Option<String>> = command.collect();
    command.into_iter().collect::<Option<Vec<String>>>().filter(|command| !command.is_empty())
}

fn program(text: &str, is_list: bool) -> Result<String, Refusal> {
    if !is_list && text.contains(char::is_whitespace) {
        return Err(Refusal::new("is a command line, and no shell is there to take it apart"));
    }
    if !text.starts_with('/') || text.ends_with('/') {
        return Err(Refusal::new("is not the absolute path of a program"));
    }
    without_nul(text)
}

fn without_nul(text: &str) -> Result<String, Refusal> {
    match text.contains('\0') {
        true => Err(Refusal::new("holds a NUL character")),
        false => Ok(text.to_owned()),
    }
}

/// The name of a user, as `useradd` allows it.
pub(super) fn user_name(text: &str) -> Result<String, Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    match begins_well && text.len() <= 32 && text.chars().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err(Refusal::new("is not the name of a user")),
    }
}
