//! What a machine without a configuration would want to watch.

use futures_util::{StreamExt, TryStreamExt, stream};
use zbus::Connection;

use super::members::{ManagerProxy, Row};
use super::units::get_details;
use super::{BusError, CALLS_AT_ONCE};
use crate::systemd::unit::Details;

/// A running service unit that a person may want to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningService {
    /// The unit's name.
    pub unit: String,
    /// The unit's description.
    pub description: String,
    /// The main process.
    pub main_pid: Option<u32>,
}

pub(super) async fn list(connection: &Connection) -> Result<Vec<RunningService>, BusError> {
    let manager = ManagerProxy::new(connection).await?;
    let rows = manager.list_units_by_patterns(&["running"], &["*.service"]).await?;
    let rows: Vec<Row> = rows.into_iter().map(Row::from).filter(worth_watching).collect();
    let services = stream::iter(rows.iter().map(async |row| {
        let details = get_details(connection, row).await?;
        Ok::<_, BusError>((row, details))
    }));
    let services: Vec<(&Row, Details)> = services.buffered(CALLS_AT_ONCE).try_collect().await?;
    let starts_by_itself = |details: &Details| {
        !matches!(details.unit_file_state.as_deref(), None | Some("disabled" | "transient" | "masked"))
    };
    Ok(services
        .into_iter()
        .filter(|(_, details)| starts_by_itself(details))
        .map(|(row, details)| RunningService {
            unit: row.name.clone(),
            description: row.description.clone(),
            main_pid: details.main_pid,
        })
        .collect())
}

/// systemd's own services have its watchdog, and a login is nobody's service.
fn worth_watching(row: &Row) -> bool {
    let logins = ["user@", "getty@", "serial-getty@", "console-getty", "container-getty@", "autovt@"];
    row.load == "loaded"
        && !row.name.starts_with("systemd-")
        && !logins.iter().any(|login| row.name.starts_with(login))
}
