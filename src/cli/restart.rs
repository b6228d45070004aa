//! `wellkeep restart`

use std::time::Duration;

use clap::Args;

use super::document::{Known, Source};
use super::wait::{Wait, Wanted, until};
use super::{Exit, complain, print, runtime};
use crate::engine::HealEnd;
use crate::monitor::wall_clock;
use crate::systemd::{Bus, BusAddress, UnitCall};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sudo wellkeep restart web           restart it, and wait until its checks say that it is well\n  \
    sudo wellkeep restart web --timeout 3m || journalctl -u web -n 50\n\n\
    A unit that failed or was stopped is started. This is your order and not a heal: it needs your own right to \
    restart units, and counts against no budget.\n\n\
    Exit codes: 0 restarted and well, 1 not well in time, 2 not restarted, or nobody can tell.")]
pub(super) struct Arguments {
    /// The service
    #[arg(value_name = "KEY")]
    key: String,
    /// So long it may take to be well after its restart
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Do not wait for the checks
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    carry_out(arguments).unwrap_or_else(|problem| {
        complain(problem);
        Exit::CannotTell
    })
}

fn carry_out(arguments: Arguments) -> Result<Exit, String> {
    let Arguments { key, timeout, no_wait, source } = arguments;
    let unit = find_unit(&key, &source, no_wait)?;
    let restarted = runtime::block_on(restart(&unit));
    let (done, end) = restarted.map_err(|error| format!("the runtime cannot start: {error}"))??;
    match end {
        HealEnd::Done => print(&format!("{done}\n")),
        HealEnd::Failed(why) | HealEnd::Untold(why) => {
            complain(format_args!("{key} is not well: {why}\n  look at: journalctl -u {unit} -n 50"));
            return Ok(Exit::NotWell);
        }
        HealEnd::Cancelled(why) => return Err(format!("{unit} was not restarted: {why}")),
        HealEnd::Forbidden(why) => {
            return Err(format!("{unit} was not restarted: {why}\n  a person may run it with sudo"));
        }
    };
    if no_wait {
        return Ok(Exit::Well);
    }
    // Only what is seen from now on was seen of the service as it is now.
    let wait = Wait::new(vec![key], Wanted::Up, wall_clock());
    Ok(until(&source.locate().status_file, wait, timeout))
}

/// The unit of a service. Nothing is restarted whose end nobody would see.
fn find_unit(key: &str, source: &Source, no_wait: bool) -> Result<String, String> {
    let known = Known::read(&source.locate().status_file)?;
    let service = known.service(key)?;
    if let (Some(warning), false) = (known.distrust(), no_wait) {
        return Err(format!(
            "nothing was restarted, as nobody could tell whether it helped. {warning}\n  or restart without waiting: --no-wait"
        ));
    }
    let healed = service.heal.as_ref().and_then(|heal| heal.unit.clone());
    let checked = || service.checks.systemd.as_ref().map(|check| check.detail.unit.clone());
    healed.or_else(checked).ok_or_else(|| {
        format!("{key} has no unit to restart: give it a `systemd` check in {}", known.config_path())
    })
}

/// What was done, in words, and how it ended.
async fn restart(unit: &str) -> Result<(String, HealEnd), String> {
    let bus = Bus::new(BusAddress::System);
    let (facts, _) = bus.inspect(Some(unit)).await;
    let facts = match facts {
        Some(Ok(facts)) => facts,
        Some(Err(error)) => return Err(format!("{unit} was not restarted: {error}")),
        None => return Err(format!("{unit} was not restarted: systemd says nothing of it")),
    };
    if let Some(why) = impossible(&facts.load) {
        return Err(format!("{unit} was not restarted: {why}"));
    }
    let (call, done) = order(&facts.active, unit);
    Ok((done, bus.act(call, unit, None).await))
}

/// What no order changes: there is nothing to start.
fn impossible(load: &str) -> Option<&'static str> {
    match load {
        "masked" => Some("it is masked; `systemctl unmask` allows it again"),
        "not-found" => Some("there is no such unit"),
        _ => None,
    }
}

/// A running unit is restarted, any other one started: a person asked for it, so it may be one that was stopped.
fn order(active: &str, unit: &str) -> (UnitCall, String) {
    match active {
        "active" | "reloading" | "refreshing" | "activating" => {
            (UnitCall::TryRestart, format!("{unit} was restarted"))
        }
        "failed" => (UnitCall::Start, format!("{unit} had failed and was started")),
        _ => (UnitCall::Start, format!("{unit} was stopped and is started")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_started_is_told_from_what_failed() {
        assert!(impossible("masked").unwrap().contains("unmask"));
        assert!(impossible("not-found").is_some() && impossible("loaded").is_none());
    }

    #[test]
    fn a_running_unit_is_restarted_and_any_other_started() {
        for (active, call) in [
            ("active", UnitCall::TryRestart),
            ("activating", UnitCall::TryRestart),
            ("failed", UnitCall::Start),
            ("inactive", UnitCall::Start),
        ] {
            assert_eq!(order(active, "web.service").0, call, "{active}");
        }
    }
}
