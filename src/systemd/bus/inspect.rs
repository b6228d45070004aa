//! A look at one unit and at the machine just before a heal: everything is read, nothing is remembered.

use std::collections::HashMap;
use std::time::Duration;

use zbus::{Connection, OwnedVariant};

use super::members::{MANAGER, MANAGER_PATH, ManagerProxy, PropertiesProxy, Row};
use super::units::{list_by_names, properties_of, take, unless_gone};
use super::{ANSWERS_QUEUED, BusError, open, within_limit};
use crate::engine::{SystemPhase, UnitFacts};
use crate::host;

/// What is known of a unit around an act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) facts: UnitFacts,
    /// How long the unit may take to stop, and to start; None is without limit.
    pub(super) stop_limit: Option<Duration>,
    pub(super) start_limit: Option<Duration>,
    /// It is a service that goes on running once it is started, and is no `Type=oneshot`.
    pub(super) stays: bool,
}

/// `DefaultTimeoutStartSec=` and `DefaultTimeoutStopSec=` as systemd ships them, for units that have no such property.
const DEFAULT_LIMIT: Duration = Duration::from_secs(90);

pub(super) async fn inspect(
    address: &str,
    unit: Option<&str>,
) -> (Option<Result<UnitFacts, BusError>>, SystemPhase) {
    let answer = within_limit(async {
        let connection = open(address, ANSWERS_QUEUED).await?;
        let facts = async {
            match unit {
                Some(unit) => Some(look(&connection, unit).await.map(|look| look.facts)),
                None => None,
            }
        };
        let phase = async { phase(&connection).await.unwrap_or(SystemPhase::Unknown) };
        Ok(tokio::join!(facts, phase))
    });
    answer.await.unwrap_or_else(|error| (unit.map(|_| Err(error)), SystemPhase::Unknown))
}

/// Reads a unit by one of its names.
pub(super) async fn look(connection: &Connection, unit: &str) -> Result<Look, BusError> {
    let manager = ManagerProxy::new(connection).await?;
    let Ok([row]) = <[Row; 1]>::try_from(list_by_names(&manager, &[unit]).await?) else {
        return Err(BusError::RowCount { asked: 1, got: 0 });
    };
    let properties = unless_gone(properties_of(connection, &row).await?.get_all("").await)?;
    Ok(read(row, properties.unwrap_or_default(), host::monotonic_us()))
}

/// What decides (the states and the job) is from the row, where it is of one moment.
fn read(row: Row, mut properties: HashMap<String, OwnedVariant>, now_us: u64) -> Look {
    let mut is_set = |name| take(&mut properties, name) == Some(true);
    let refuses_manual = is_set("RefuseManualStart") | is_set("RefuseManualStop");
    let can_reload = is_set("CanReload");
    let kind: Option<String> = take(&mut properties, "Type");
    let burst: Option<u32> = take(&mut properties, "StartLimitBurst");
    let interval: Option<u64> = take(&mut properties, "StartLimitIntervalUSec");
    let started: Option<u64> = take(&mut properties, "ActiveEnterTimestampMonotonic");
    let runs = matches!(row.active.as_str(), "active" | "reloading");
    let facts = UnitFacts {
        load: row.load,
        active: row.active,
        sub: row.sub,
        job: row.job,
        result: take(&mut properties, "Result"),
        invocation: take(&mut properties, "InvocationID").and_then(invocation),
        refuses_manual,
        can_reload,
        // systemd's own rule: with either of them 0 there is no limit.
        start_limit: burst
            .zip(interval)
            .filter(|(burst, interval)| *burst > 0 && *interval > 0)
            .map(|(burst, interval)| (burst, Duration::from_micros(interval))),
        running_for: started
            .filter(|started| runs && *started > 0)
            .map(|started| Duration::from_micros(now_us.saturating_sub(started))),
    };
    Look {
        facts,
        stop_limit: limit(take(&mut properties, "TimeoutStopUSec")),
        start_limit: limit(take(&mut properties, "TimeoutStartUSec")),
        stays: kind.is_some_and(|kind| kind != "oneshot"),
    }
}

/// 16 bytes; none, or all of them 0, before the first start.
fn invocation(id: Vec<u8>) -> Option<String> {
    if id.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `infinity` travels as the largest number there is.
fn limit(micros: Option<u64>) -> Option<Duration> {
    match micros {
        None => Some(DEFAULT_LIMIT),
        Some(u64::MAX) => None,
        Some(micros) => Some(Duration::from_micros(micros)),
    }
}

async fn phase(connection: &Connection) -> Result<SystemPhase, BusError> {
    let manager = PropertiesProxy::builder(connection).path(MANAGER_PATH).build().await?;
    let state: Option<String> = manager.get(MANAGER, "SystemState").await?.try_into().ok();
    Ok(match state.as_deref() {
        Some("initializing" | "starting") => SystemPhase::Starting,
        Some("running" | "degraded") => SystemPhase::Running,
        Some("stopping" | "maintenance") => SystemPhase::Stopping,
        _ => SystemPhase::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    fn look(active: &str, properties: Vec<(&str, Variant<'static>)>) -> Look {
        let row = Row {
            name: "web.service".into(),
            description: "Web".into(),
            load: "loaded".into(),
            active: active.into(),
            sub: "running".into(),
            path: zbus::ObjectPath::from_static_str_unchecked("/web").into(),
            job: Some("stop".into()),
        };
        let owned = properties
            .into_iter()
            .map(|(name, value)| (name.to_owned(), OwnedVariant::try_from(value).unwrap()));
        read(row, owned.collect(), 10_000_000)
    }

    #[test]
    fn everything_that_may_speak_against_a_heal_is_read() {
        let mut id = vec![0_u8; 14];
        id.extend([0xab, 0x01]);
        let look = look(
            "active",
            vec![
                ("Result", "exit-code".into()),
                ("InvocationID", id.into()),
                ("RefuseManualStart", false.into()),
                ("RefuseManualStop", true.into()),
                ("CanReload", true.into()),
                ("StartLimitBurst", 5_u32.into()),
                ("StartLimitIntervalUSec", 10_000_000_u64.into()),
                ("ActiveEnterTimestampMonotonic", 7_000_000_u64.into()),
                ("TimeoutStopUSec", 5_000_000_u64.into()),
                ("TimeoutStartUSec", u64::MAX.into()),
                ("Type", "notify".into()),
            ],
        );
        let expected = Look {
            facts: UnitFacts {
                load: "loaded".into(),
                active: "active".into(),
                sub: "running".into(),
                job: Some("stop".into()),
                result: Some("exit-code".into()),
                invocation: Some("0000000000000000000000000000ab01".into()),
                refuses_manual: true,
                can_reload: true,
                start_limit: Some((5, Duration::from_secs(10))),
                running_for: Some(Duration::from_secs(3)),
            },
            stop_limit: Some(Duration::from_secs(5)),
            start_limit: None,
            stays: true,
        };
        assert_eq!(look, expected);
    }

    #[test]
    fn what_is_unset_or_without_limit_is_absent() {
        let nothing = look("inactive", vec![]);
        let unset = look(
            "inactive",
            vec![
                ("InvocationID", Vec::<u8>::new().into()),
                ("StartLimitBurst", 5_u32.into()),
                ("StartLimitIntervalUSec", 0_u64.into()),
                ("ActiveEnterTimestampMonotonic", 7_000_000_u64.into()),
                ("Type", "oneshot".into()),
            ],
        );
        assert_eq!(unset, nothing);
        assert_eq!(nothing.facts.start_limit, None);
        assert_eq!(nothing.facts.running_for, None);
        assert_eq!(nothing.stop_limit, Some(DEFAULT_LIMIT));
    }
}
