//! The members of systemd's D-Bus interface that are used, declared by hand instead of the thousands of lines that a
//! generator makes.

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant, proxy};

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    fn list_units_by_names(&self, names: &[&str]) -> zbus::Result<Vec<RawRow>>;
    fn list_units_by_patterns(&self, states: &[&str], patterns: &[&str]) -> zbus::Result<Vec<RawRow>>;
    fn list_unit_files_by_patterns(
        &self,
        states: &[&str],
        patterns: &[&str],
    ) -> zbus::Result<Vec<(String, String)>>;

    /// Without it systemd announces nothing, unless somebody else happens to have asked for it.
    fn subscribe(&self) -> zbus::Result<()>;

    /// The reply is a job: it says that something is queued, not that it is done.
    fn try_restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

#[proxy(interface = "org.freedesktop.DBus.Properties", default_service = "org.freedesktop.systemd1")]
pub(super) trait Properties {
    fn get_all(&self, interface: &str) -> zbus::Result<HashMap<String, OwnedVariant>>;
    fn get(&self, interface: &str, property: &str) -> zbus::Result<OwnedVariant>;
}

/// What `ListUnits...` says of a unit, as far as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) load: String,
    pub(super) active: String,
    pub(super) sub: String,
    pub(super) path: OwnedObjectPath,
    pub(super) job: Option<String>,
}

/// Name, description, load, active and sub state, the followed unit, object path, id, type and path of the job.
pub(super) type RawRow =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl From<RawRow> for Row {
    fn from((name, description, load, active, sub, _, path, job, job_type, _): RawRow) -> Row {
        Row { name, description, load, active, sub, path, job: (job != 0).then_some(job_type) }
    }
}
