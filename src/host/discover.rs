//! What there is to watch on this host: for `wellkeep dev` without a configuration.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::listeners::{Listener, listeners};
use crate::config::{CheckConfig, Config, Monitor, Service, Timing, Viewer};
use crate::probe::{Check, Severity, http, port, process, systemd};
use crate::systemd::{Bus, BusAddress, RunningService};

/// At most so many units and so many listeners: a first look, not an inventory.
const AT_MOST: usize = 20;

/// The bus may take so long.
const BUS_LIMIT: Duration = Duration::from_secs(2);

/// A configuration that watches this host: the viewer that shows it (HTTP, port and process), the running units, and
/// who else listens on a TCP port.
pub async fn this_host(proc_root: &Path, viewer: Option<SocketAddr>) -> Config {
    let units = Bus::new(BusAddress::System).list_services(BUS_LIMIT).await.unwrap_or_default();
    let listeners = listeners(proc_root).unwrap_or_default();
    let mut keys = Keys::default();
    let mut services = vec![ourselves(viewer, &mut keys)];
    services.extend(units.iter().take(AT_MOST).map(|unit| of_unit(unit, &mut keys)));
    let of_units: BTreeSet<u32> = units.iter().filter_map(|unit| unit.main_pid).collect();
    let passing = passing_ports(proc_root);
    let mut seen = BTreeSet::new();
    let others = listeners.iter().filter(|listener| {
        let owner = listener.owner.as_ref().map(|owner| owner.pid);
        let port = listener.address.port();
        viewer != Some(listener.address)
            && owner.is_none_or(|pid| !of_units.contains(&pid))
            && !passing.contains(&port)
            && !is_link_local(listener.address)
            // Most listen on IPv4 and on IPv6.
            && seen.insert((port, owner))
    });
    services.extend(others.take(AT_MOST).map(|listener| of_listener(listener, &mut keys)));
    Config { path: None, services, monitor: Monitor::default(), viewer: Viewer::default() }
}

/// An address of IPv6 that means nothing without its interface, which `/proc/net/tcp6` does not tell.
fn is_link_local(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The ports that the kernel hands out to whoever asks for any: who listens there will be elsewhere tomorrow.
fn passing_ports(proc_root: &Path) -> RangeInclusive<u16> {
    let text =
        std::fs::read_to_string(proc_root.join("sys/net/ipv4/ip_local_port_range")).unwrap_or_default();
    let mut bounds = text.split_whitespace().filter_map(|bound| bound.parse().ok());
    match (bounds.next(), bounds.next()) {
        (Some(first), Some(last)) => first..=last,
        // Linux's own default.
        _ => 32768..=60999,
    }
}

fn ourselves(viewer: Option<SocketAddr>, keys: &mut Keys) -> Service {
    let mut checks = Vec::new();
    if let Some(address) = viewer
        && let Ok(url) = format!("http://{}/livez", reachable(address)).parse()
    {
        checks.push(Check::http(http::Settings::get(url)));
        checks.push(port_of(reachable(address)));
    }
    checks.push(Check::Process(process::Settings { words: own_words(), min: 1, max: None }));
    Service {
        primary: true,
        group: Some("Wellkeep".to_owned()),
        ..service(keys, "wellkeep", "Wellkeep", checks)
    }
}

fn of_unit(unit: &RunningService, keys: &mut Keys) -> Service {
    let name = if unit.description.is_empty() { &unit.unit } else { &unit.description };
    let checks = vec![Check::Systemd(systemd::Settings { unit: unit.unit.clone() })];
    let stem = unit.unit.strip_suffix(".service").unwrap_or(&unit.unit);
    Service { group: Some("Units".to_owned()), ..service(keys, stem, name, checks) }
}

fn of_listener(listener: &Listener, keys: &mut Keys) -> Service {
    let port = listener.address.port();
    // Whose it is can be read by its own user and by root alone.
    let (key, name) = match &listener.owner {
        Some(owner) => (format!("{}-{port}", owner.name), format!("{} on port {port}", owner.name)),
        None => (format!("port-{port}"), format!("Port {port}")),
    };
    let checks = vec![port_of(reachable(listener.address))];
    Service { group: Some("Listeners".to_owned()), ..service(keys, &key, &name, checks) }
}

fn port_of(address: SocketAddr) -> Check {
    Check::Port(port::Settings::Tcp { host: address.ip().to_string(), port: address.port() })
}

fn service(keys: &mut Keys, key: &str, name: &str, checks: Vec<Check>) -> Service {
    let check = |check| CheckConfig { check: Arc::new(check), severity: Severity::Critical };
    Service {
        key: keys.unique(key),
        name: name.to_owned(),
        group: None,
        primary: false,
        checks: checks.into_iter().map(check).collect(),
        depends_on: Vec::new(),
        timing: Timing::default(),
        heal: None,
    }
}

/// An address that listens everywhere is reached at the loopback address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The words of our own command line.
fn own_words() -> Vec<String> {
    std::env::args().take(2).collect()
}

/// Keys as `monitor.yml` would take them, each once.
#[derive(Default)]
struct Keys(BTreeSet<String>);

impl Keys {
    fn unique(&mut self, wanted: &str) -> String {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        let key: String =
            wanted.chars().take(56).map(|letter| if fits(letter) { letter } else { '_' }).collect();
        let mut candidates = std::iter::once(key.clone()).chain((2..).map(|n| format!("{key}-{n}")));
        let free = candidates.find(|candidate| !self.0.contains(candidate)).expect("the numbers do not end");
        self.0.insert(free.clone());
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_such_as_the_configuration_takes() {
        let mut keys = Keys::default();
        let made: Vec<String> = ["a b", "a_b", "a b", "getty@tty1"].map(|wanted| keys.unique(wanted)).into();
        assert_eq!(made, ["a_b", "a_b-2", "a_b-3", "getty_tty1"]);
    }
}
