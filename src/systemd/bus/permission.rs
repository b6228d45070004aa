//! Whether we may act on a unit, and the words for it when we may not.

use zbus::{Connection, fdo};

use super::act::{error_reply, is_denied};
use super::members::ManagerProxy;
use super::{ANSWERS_QUEUED, BusError, open, within_limit};
use crate::systemd::unit::{Permission, UnitCall};

const POLKIT: &str = "org.freedesktop.PolicyKit1";

/// A mode that only a stop may have: systemd first checks the permission for what is asked, and then refuses it for this.
///
/// polkit itself tells nobody but root what it would say to the details that a rule looks at (unit and verb), and its
/// rules are readable for nobody else either.
const REFUSED_MODE: &str = "triggering";

pub(super) async fn may_heal(address: &str, call: UnitCall, unit: &str) -> Permission {
    let answer = within_limit(async {
        let connection = open(address, ANSWERS_QUEUED).await?;
        let manager = ManagerProxy::new(&connection).await?;
        let asked = match call {
            UnitCall::TryRestart => manager.try_restart_unit(unit, REFUSED_MODE).await,
            UnitCall::Start => manager.start_unit(unit, REFUSED_MODE).await,
            UnitCall::Reload => manager.reload_unit(unit, REFUSED_MODE).await,
        };
        let Err(error) = asked else { return Ok(Permission::Given) };
        let Some((name, words)) = error_reply(&error) else { return Err(error.into()) };
        if is_denied(&name) {
            return Ok(Permission::Refused(refused(&connection, unit, &words).await));
        }
        Ok(Permission::Given)
    });
    answer.await.unwrap_or_else(|error: BusError| Permission::Untold(error.to_string()))
}

/// Why systemd denied it, and what to do.
pub(super) async fn refused(connection: &Connection, unit: &str, words: &str) -> String {
    refused_words(unit, words, rustix::process::getuid().as_raw(), has_polkit(connection).await)
}

fn refused_words(unit: &str, words: &str, uid: u32, has_polkit: Option<bool>) -> String {
    let cure = match has_polkit {
        Some(false) => {
            "polkitd is not installed, and without it systemd obeys root alone: install polkitd, \
             or let the monitor run as root"
        }
        Some(true) => "no polkit rule allows it: for the monitor's user `wellkeep privileges` makes one",
        None => "`wellkeep privileges` says what is missing",
    };
    format!("systemd does not let user {uid} act on {unit} ({words}); {cure}")
}

/// Whether polkit runs, or would be started when asked.
async fn has_polkit(connection: &Connection) -> Option<bool> {
    let bus = fdo::DBusProxy::new(connection).await.ok()?;
    let startable = bus.list_activatable_names().await.ok()?;
    Some(startable.iter().any(|name| name.as_str() == POLKIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_is_told_what_to_do() {
        let words = |has_polkit| refused_words("web.service", "Permission denied", 998, has_polkit);
        assert_eq!(
            words(Some(false)),
            "systemd does not let user 998 act on web.service (Permission denied); polkitd is not installed, and \
             without it systemd obeys root alone: install polkitd, or let the monitor run as root"
        );
        assert!(words(Some(true)).ends_with("for the monitor's user `wellkeep privileges` makes one"));
        assert!(words(None).ends_with("`wellkeep privileges` says what is missing"));
    }
}
