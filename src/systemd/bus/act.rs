//! Asking systemd to act, and the end of it: the reply to the call only says that a job is queued.
//!
//! Always in the mode `fail`: `replace` would cancel the job of an administrator who is just stopping the unit.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};
use zbus::{Connection, DBusError, OwnedObjectPath};

use super::inspect::{Look, look};
use super::members::{JobRemovedStream, ManagerProxy};
use super::permission::refused;
use super::watch::SIGNALS_QUEUED;
use super::{ANSWERS_QUEUED, BusError, RECONNECT_INTERVAL, open, within_limit};
use crate::engine::{HealEnd, UnitFacts};
use crate::systemd::unit::UnitCall;

/// Where the unit has no limit of its own. Whatever takes longer than that, nobody waits for any more.
const NO_LIMIT: Duration = Duration::from_secs(15 * 60);
/// For what the limits of the unit do not count: the final kill, units that it needs, a busy machine.
const SLACK: Duration = Duration::from_secs(30);
/// While nothing is announced, it is looked so often whether there is still a job to wait for.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn act(address: &str, call: UnitCall, unit: &str, seen: Option<&UnitFacts>) -> HealEnd {
    let (link, before) = match within_limit(Link::open(address, unit)).await {
        Ok(opened) => opened,
        Err(error) => return HealEnd::Cancelled(format!("nothing was done: {error}")),
    };
    // A bus that hung just now has given others time.
    let is_as_seen = |seen: &UnitFacts| {
        (&before.facts.active, &before.facts.invocation) == (&seen.active, &seen.invocation)
    };
    if !seen.is_none_or(is_as_seen) {
        return HealEnd::Cancelled(format!("meanwhile {unit} became {}", before.facts.active));
    }
    let limit = limit(call, &before);
    let end = timeout(limit, async {
        match within_limit(link.order(call, unit, &before)).await {
            Ok(Order::Queued(job, removed)) => match link.follow(&job, removed, unit).await {
                Some(result) => judge(&result, call, unit, &before, link.after(unit).await.as_ref()),
                None => judge_unwitnessed(call, unit, &before, &settled(address, unit).await),
            },
            Ok(Order::Refused(end)) => end,
            // No reply does not mean that it was not done.
            Err(_) => judge_unwitnessed(call, unit, &before, &settled(address, unit).await),
        }
    });
    end.await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        HealEnd::Failed(format!("{unit} is not {} after {limit}; systemd goes on with it", done(call)))
    })
}

/// A connection to act over.
struct Link {
    connection: Connection,
    manager: ManagerProxy<'static>,
}

/// What became of a call.
enum Order {
    /// The job is queued; here the end of every job is announced.
    Queued(OwnedObjectPath, Box<JobRemovedStream>),
    Refused(HealEnd),
}

impl Link {
    async fn open(address: &str, unit: &str) -> Result<(Link, Look), BusError> {
        let connection = open(address, SIGNALS_QUEUED).await?;
        let manager = ManagerProxy::new(&connection).await?;
        let before = look(&connection, unit).await?;
        Ok((Link { connection, manager }, before))
    }

    /// Makes the call. The ends of jobs are listened to before, because ours may end before the reply is read.
    async fn order(&self, call: UnitCall, unit: &str, before: &Look) -> Result<Order, BusError> {
        let manager = &self.manager;
        manager.subscribe().await?;
        let removed = manager.receive_job_removed().await?;
        let queued = match call {
            UnitCall::TryRestart => manager.try_restart_unit(unit, "fail").await,
            UnitCall::Reload => manager.reload_unit(unit, "fail").await,
            UnitCall::Start => match self.reset(unit, before).await {
                Ok(()) => manager.start_unit(unit, "fail").await,
                Err(error) => Err(error),
            },
        };
        match queued {
            Ok(job) => Ok(Order::Queued(job, Box::new(removed))),
            Err(error) => match error_reply(&error) {
                Some((name, words)) if is_denied(&name) => {
                    Ok(Order::Refused(HealEnd::Forbidden(refused(&self.connection, unit, &words).await)))
                }
                Some((name, words)) => Ok(Order::Refused(refusal(&name, &words))),
                None => Err(error.into()),
            },
        }
    }

    /// Also ends the start limit's count, which belongs to the run that failed.
    async fn reset(&self, unit: &str, before: &Look) -> zbus::Result<()> {
        if before.facts.active == "failed" { self.manager.reset_failed_unit(unit).await } else { Ok(()) }
    }

    /// Waits for the result of a job. None when that was not witnessed: the bus went away, or the job is gone and
    /// nothing was announced.
    async fn follow(
        &self,
        job: &OwnedObjectPath,
        mut removed: Box<JobRemovedStream>,
        unit: &str,
    ) -> Option<String> {
        let mut wait = LOOK_INTERVAL;
        loop {
            tokio::select! {
                // In this order: what was announced before the look is read before it counts.
                biased;
                signal = removed.next() => {
                    let signal = signal?;
                    let ended = signal.args().ok()?;
                    if ended.job() == job {
                        return Some(ended.result().clone());
                    }
                }
                () = sleep(wait) => {
                    let has_job = self.after(unit).await?.facts.job.is_some();
                    if !has_job && wait.is_zero() {
                        return None;
                    }
                    wait = if has_job { LOOK_INTERVAL } else { Duration::ZERO };
                }
            }
        }
    }

    async fn after(&self, unit: &str) -> Option<Look> {
        within_limit(look(&self.connection, unit)).await.ok()
    }
}

/// The unit once nothing is queued for it any more. Waits for a bus for as long as the caller has patience.
async fn settled(address: &str, unit: &str) -> Look {
    loop {
        let now = within_limit(async { look(&open(address, ANSWERS_QUEUED).await?, unit).await }).await;
        match now {
            Ok(now) if now.facts.job.is_none() => return now,
            _ => sleep(RECONNECT_INTERVAL).await,
        }
    }
}

/// How long to wait for the job.
fn limit(call: UnitCall, unit: &Look) -> Duration {
    let stop = match call {
        UnitCall::TryRestart => unit.stop_limit,
        UnitCall::Start | UnitCall::Reload => Some(Duration::ZERO),
    };
    match (stop, unit.start_limit) {
        (Some(stop), Some(start)) => stop.saturating_add(start).saturating_add(SLACK),
        _ => NO_LIMIT,
    }
}

/// The name and the text of an error that systemd or the bus sent as an answer.
pub(super) fn error_reply(error: &zbus::Error) -> Option<(String, String)> {
    match error {
        zbus::Error::MethodError(name, words, _) => {
            Some((name.to_string(), words.clone().unwrap_or_default()))
        }
        zbus::Error::FDO(reply) => {
            let name = reply.name().to_string();
            // The bus answers in systemd's place when that is gone, or is not heard of in time.
            let is_systemd_silent =
                ["NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected", "Timeout"]
                    .iter()
                    .any(|kind| name.strip_prefix("org.freedesktop.DBus.Error.") == Some(*kind));
            (!is_systemd_silent).then(|| (name, reply.description().unwrap_or_default().to_owned()))
        }
        _ => None,
    }
}

pub(super) fn is_denied(name: &str) -> bool {
    matches!(
        name,
        "org.freedesktop.DBus.Error.AccessDenied"
            | "org.freedesktop.DBus.Error.AuthFailed"
            | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
    ) || name.starts_with("org.freedesktop.PolicyKit1.Error.")
}

fn refusal(name: &str, words: &str) -> HealEnd {
    match name.strip_prefix("org.freedesktop.systemd1.") {
        Some("TransactionIsDestructive") => {
            HealEnd::Cancelled(format!("somebody else's order is under way and goes first: {words}"))
        }
        Some("ShuttingDown") => HealEnd::Cancelled("the machine is shutting down".into()),
        _ => HealEnd::Failed(format!("systemd refuses: {words}")),
    }
}

/// What the result of our job means, with the unit after it as far as that could be read.
fn judge(result: &str, call: UnitCall, unit: &str, before: &Look, after: Option<&Look>) -> HealEnd {
    let what = what(call);
    match result {
        "done" => after.map_or(HealEnd::Done, |after| judge_done(call, unit, before, after)),
        "canceled" => HealEnd::Cancelled(format!(
            "another order for {unit} took the place of the {what}, as `systemctl stop` does"
        )),
        "skipped" | "invalid" => HealEnd::Cancelled(format!("nothing was done: {unit} was not running")),
        "failed" => HealEnd::Failed(format!("the {what} of {unit} failed{}", cause(after))),
        "timeout" => {
            HealEnd::Failed(format!("the {what} of {unit} took longer than its JobTimeoutSec= allows"))
        }
        "dependency" => HealEnd::Failed(format!(
            "{unit} was not started, because a unit that it requires failed to start"
        )),
        "assert" => {
            HealEnd::Failed(format!("{unit} was not started, because an Assert...= of the unit is not met"))
        }
        other => HealEnd::Failed(format!("systemd gave up the {what} of {unit}: {other}")),
    }
}

/// `done` is also the result of a job that found nothing to do.
fn judge_done(call: UnitCall, unit: &str, before: &Look, after: &Look) -> HealEnd {
    let is_another_run = after.facts.invocation != before.facts.invocation;
    let runs = matches!(after.facts.active.as_str(), "active" | "activating" | "reloading");
    match call {
        // systemd forgets a unit that does not run, and with it which of the two it was.
        UnitCall::Start if after.stays && after.facts.active == "inactive" => HealEnd::Failed(format!(
            "{unit} does not run: it ended at once, or a Condition...= of the unit is not met"
        )),
        UnitCall::Start if runs && !is_another_run => {
            HealEnd::Cancelled(format!("nothing was done: {unit} was running already"))
        }
        UnitCall::TryRestart if !is_another_run => {
            HealEnd::Cancelled(format!("nothing was done: {unit} was not running"))
        }
        _ => HealEnd::Done,
    }
}

/// What may be said when the job's result was not heard.
fn judge_unwitnessed(call: UnitCall, unit: &str, before: &Look, after: &Look) -> HealEnd {
    let is_another_run =
        after.facts.invocation.is_some() && after.facts.invocation != before.facts.invocation;
    let (active, what) = (after.facts.active.as_str(), what(call));
    match (call, active) {
        (UnitCall::TryRestart | UnitCall::Start, "active" | "activating" | "reloading") if is_another_run => {
            HealEnd::Done
        }
        _ => HealEnd::Untold(format!(
            "how the {what} of {unit} ended is not known, because D-Bus was lost; the unit is {active} now{}",
            cause(Some(after))
        )),
    }
}

/// Why a unit failed, as far as it says so.
fn cause(after: Option<&Look>) -> String {
    let Some(facts) = after.map(|after| &after.facts) else { return String::new() };
    match (facts.result.as_deref(), facts.start_limit) {
        (Some("start-limit-hit"), Some((burst, interval))) => format!(
            ": systemd refuses more than {burst} starts within {} (StartLimitBurst=)",
            humantime::format_duration(interval)
        ),
        (None | Some("success"), _) => String::new(),
        (Some(result), _) => format!(" ({result})"),
    }
}

fn what(call: UnitCall) -> &'static str {
    match call {
        UnitCall::TryRestart => "restart",
        UnitCall::Start => "start",
        UnitCall::Reload => "reload",
    }
}

fn done(call: UnitCall) -> &'static str {
    match call {
        UnitCall::TryRestart => "restarted",
        UnitCall::Start => "started",
        UnitCall::Reload => "reloaded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::UnitFacts;

    fn look(active: &str, invocation: &str) -> Look {
        let facts = UnitFacts {
            active: active.into(),
            invocation: Some(invocation.into()),
            result: Some("success".into()),
            start_limit: Some((5, Duration::from_secs(10))),
            ..UnitFacts::default()
        };
        let limit = Some(Duration::from_secs(90));
        Look { facts, stop_limit: limit, start_limit: limit, stays: true }
    }

    fn is_cancelled(end: &HealEnd) -> bool {
        matches!(end, HealEnd::Cancelled(_))
    }

    fn is_failed(end: &HealEnd) -> bool {
        matches!(end, HealEnd::Failed(_))
    }

    #[test]
    fn done_is_believed_only_when_something_was_done() {
        let (running, again) = (look("active", "1"), look("active", "2"));
        let done =
            |call, before: &Look, after: &Look| judge("done", call, "web.service", before, Some(after));
        assert_eq!(done(UnitCall::TryRestart, &running, &again), HealEnd::Done);
        assert!(is_cancelled(&done(UnitCall::TryRestart, &running, &running)));
        assert_eq!(done(UnitCall::Reload, &running, &running), HealEnd::Done);

        let failed = look("failed", "1");
        assert_eq!(done(UnitCall::Start, &failed, &again), HealEnd::Done);
        assert!(is_cancelled(&done(UnitCall::Start, &running, &running)));
        assert!(is_failed(&done(UnitCall::Start, &failed, &look("inactive", "2"))));
        let oneshot = Look { stays: false, ..look("inactive", "2") };
        assert_eq!(done(UnitCall::Start, &failed, &oneshot), HealEnd::Done);
    }

    #[test]
    fn done_counts_when_the_unit_could_not_be_read_after_it() {
        let end = judge("done", UnitCall::TryRestart, "web.service", &look("active", "1"), None);
        assert_eq!(end, HealEnd::Done);
    }

    #[test]
    fn somebody_elses_order_is_no_failure() {
        let before = look("active", "1");
        let end = judge("canceled", UnitCall::TryRestart, "web.service", &before, None);
        assert!(is_cancelled(&end), "{end:?}");
        let end = refusal("org.freedesktop.systemd1.TransactionIsDestructive", "a 'stop' job is queued");
        assert!(is_cancelled(&end), "{end:?}");
        let end = refusal("org.freedesktop.systemd1.UnitMasked", "Unit web.service is masked.");
        assert_eq!(end, HealEnd::Failed("systemd refuses: Unit web.service is masked.".into()));
    }

    #[test]
    fn a_failure_says_why_as_far_as_the_unit_does() {
        let words = |result: &str| {
            let mut after = look("failed", "2");
            after.facts.result = Some(result.into());
            match judge("failed", UnitCall::Start, "web.service", &look("failed", "1"), Some(&after)) {
                HealEnd::Failed(words) => words,
                end => panic!("{end:?}"),
            }
        };
        assert_eq!(words("exit-code"), "the start of web.service failed (exit-code)");
        assert_eq!(words("success"), "the start of web.service failed");
        let limit = "the start of web.service failed: systemd refuses more than 5 starts within 10s (StartLimitBurst=)";
        assert_eq!(words("start-limit-hit"), limit);
    }

    #[test]
    fn without_a_witness_only_another_run_counts_as_a_restart() {
        let before = look("active", "1");
        let end = |call, after| judge_unwitnessed(call, "web.service", &before, &after);
        assert_eq!(end(UnitCall::TryRestart, look("active", "2")), HealEnd::Done);
        let is_untold = |end| matches!(end, HealEnd::Untold(_));
        assert!(is_untold(end(UnitCall::TryRestart, look("active", "1"))));
        assert!(is_untold(end(UnitCall::TryRestart, look("inactive", "2"))));
        assert!(is_untold(end(UnitCall::Reload, look("active", "1"))));
    }

    #[test]
    fn a_job_is_awaited_for_as_long_as_the_unit_may_take() {
        let unit = look("active", "1");
        assert_eq!(limit(UnitCall::TryRestart, &unit), Duration::from_secs(210));
        assert_eq!(limit(UnitCall::Start, &unit), Duration::from_secs(120));
        let endless = Look { stop_limit: None, ..unit };
        assert_eq!(limit(UnitCall::TryRestart, &endless), NO_LIMIT);
        assert_eq!(limit(UnitCall::Start, &endless), Duration::from_secs(120));
    }

    #[test]
    fn a_bus_that_answers_in_systemds_place_says_nothing_of_the_call() {
        let reply = |name: fn(String) -> zbus::fdo::Error| zbus::Error::FDO(Box::new(name("words".into())));
        assert_eq!(error_reply(&reply(zbus::fdo::Error::NoReply)), None);
        assert_eq!(error_reply(&reply(zbus::fdo::Error::ServiceUnknown)), None);
        let (name, words) = error_reply(&reply(zbus::fdo::Error::AccessDenied)).unwrap();
        assert!(is_denied(&name) && words == "words", "{name} {words}");
    }
}
