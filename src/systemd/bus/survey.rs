//! A look at the whole installation, for `wellkeep doctor`: once, over a connection of its own, and nothing is changed.

use std::collections::HashMap;

use zbus::{Connection, OwnedVariant, fdo};

use super::members::{MANAGER, MANAGER_PATH, ManagerProxy, PropertiesProxy, Row};
use super::units::{details_of, list_by_names, properties_of, take, unless_gone};
use super::{ANSWERS_QUEUED, BusError, open, within_limit};
use crate::systemd::unit::UnitState;

const POLKIT: &str = "org.freedesktop.PolicyKit1";
const TIMEDATE: &str = "org.freedesktop.timedate1";

/// What systemd and the bus say of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// systemd's version in its own words: `252.39-1~deb12u1`.
    pub version: String,
    /// What this machine is virtualized by: `kvm`, `systemd-nspawn`, `docker`; empty on bare metal.
    pub virtualization: String,
    /// Whether polkitd runs, or would be started when asked.
    pub has_polkit: bool,
    /// The units that were asked for, in their order.
    pub units: Vec<InstalledUnit>,
    /// The clock, or why it could not be asked for.
    pub clock: Result<ClockSync, BusError>,
}

/// A unit, and what an installation can get wrong about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstalledUnit {
    /// Its state.
    pub state: UnitState,
    /// `DropInPaths`: the files that change what its own file says.
    pub drop_ins: Vec<String>,
    /// `NeedDaemonReload`: its files changed since systemd read them.
    pub needs_reload: bool,
    /// `User`; empty for root and for what is no service.
    pub user: String,
    /// `SupplementaryGroups`.
    pub groups: Vec<String>,
}

impl InstalledUnit {
    /// Whether something starts it at the next boot.
    pub fn is_enabled(&self) -> bool {
        let file_state = self.state.details.unit_file_state.as_deref().unwrap_or_default();
        !["", "disabled", "masked", "masked-runtime"].contains(&file_state)
    }
}

/// What keeps the clock right, as `timedatectl` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSync {
    /// The kernel says that it is synchronized.
    pub is_synchronized: bool,
    /// Whether a service that could do it is installed.
    pub can_be: bool,
}

pub(super) async fn survey(address: &str, names: &[&str]) -> Result<Survey, BusError> {
    within_limit(async {
        let connection = open(address, ANSWERS_QUEUED).await?;
        let (version, virtualization, has_polkit, units, clock) = tokio::join!(
            text(&connection, "Version"),
            text(&connection, "Virtualization"),
            has_polkit(&connection),
            units(&connection, names),
            clock(&connection),
        );
        Ok(Survey {
            version: version?,
            virtualization: virtualization?,
            has_polkit: has_polkit?,
            units: units?,
            clock,
        })
    })
    .await
}

async fn text(connection: &Connection, property: &str) -> Result<String, BusError> {
    let manager = PropertiesProxy::builder(connection).path(MANAGER_PATH).build().await?;
    let value = manager.get(MANAGER, property).await?;
    String::try_from(value).map_err(|_| BusError::Call(format!("{property} is no text")))
}

async fn has_polkit(connection: &Connection) -> Result<bool, BusError> {
    let bus = fdo::DBusProxy::new(connection).await?;
    let startable = bus.list_activatable_names().await.map_err(zbus::Error::from)?;
    Ok(startable.iter().any(|name| name.as_str() == POLKIT))
}

async fn units(connection: &Connection, names: &[&str]) -> Result<Vec<InstalledUnit>, BusError> {
    let manager = ManagerProxy::new(connection).await?;
    let mut units = Vec::new();
    for row in list_by_names(&manager, names).await? {
        let properties = unless_gone(properties_of(connection, &row).await?.get_all("").await)?;
        units.push(installed(row, properties.unwrap_or_default()));
    }
    Ok(units)
}

fn installed(row: Row, mut properties: HashMap<String, OwnedVariant>) -> InstalledUnit {
    InstalledUnit {
        drop_ins: take(&mut properties, "DropInPaths").unwrap_or_default(),
        needs_reload: take(&mut properties, "NeedDaemonReload").unwrap_or_default(),
        user: take(&mut properties, "User").unwrap_or_default(),
        groups: take(&mut properties, "SupplementaryGroups").unwrap_or_default(),
        state: UnitState {
            details: details_of(properties, &row.active),
            name: row.name,
            load: row.load,
            active: row.active,
            sub: row.sub,
            job: row.job,
            ..UnitState::default()
        },
    }
}

/// systemd starts the service that answers when it is asked; a machine without it is none the worse.
async fn clock(connection: &Connection) -> Result<ClockSync, BusError> {
    let timedate = PropertiesProxy::builder(connection)
        .destination(TIMEDATE)
        .path("/org/freedesktop/timedate1")
        .build()
        .await?;
    let is =
        async |property| timedate.get(TIMEDATE, property).await.map(|value| value.try_into() == Ok(true));
    Ok(ClockSync { is_synchronized: is("NTPSynchronized").await?, can_be: is("CanNTP").await? })
}
