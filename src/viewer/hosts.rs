//! Whom a browser thinks it talks to. Without this check any web page could point a name of its own at this
//! machine's address and read the status of services that are none of its business (DNS rebinding): the browser
//! would call that the same origin.

use std::net::IpAddr;
use std::path::Path;

use crate::config::Listen;

/// The names under which the viewer answers.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    reach: Reach,
    names: Vec<String>,
}

/// Which addresses are answered beside the names. An address cannot be rebound, so this is about saying early that
/// a proxy is set up in a way that was not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Loopback addresses.
    Loopback,
    /// Every address.
    AnyAddress,
    /// No browser comes in through a unix socket by itself: a proxy does, and it may say what it likes.
    Proxied,
}

impl Hosts {
    /// The rule for an address. `names` are the machine's own and those of the configuration.
    pub(super) fn new(listen: &Listen, names: Vec<String>) -> Hosts {
        let reach = match listen {
            Listen::Tcp(address) if address.ip().is_loopback() => Reach::Loopback,
            Listen::Tcp(_) => Reach::AnyAddress,
            Listen::Unix(_) => Reach::Proxied,
        };
        let mut known = vec!["localhost".to_owned()];
        known.extend(names.iter().map(|name| plain(name)));
        known.dedup();
        Hosts { reach, names: known }
    }

    /// Whether a request with this `Host` is answered. Without the header it is: every browser sends one, and only
    /// a browser can be fooled.
    pub(super) fn accept(&self, host: Option<&str>) -> bool {
        let Some(host) = host.filter(|_| self.reach != Reach::Proxied) else {
            return true;
        };
        let name = plain(without_port(host));
        if self.names.contains(&name) {
            return true;
        }
        let ip = name.parse::<IpAddr>();
        ip.is_ok_and(|ip| self.reach == Reach::AnyAddress || ip.is_loopback())
    }
}

/// The names of this machine: the whole, its first label, and that under `.local`. Empty where `/proc` does not tell.
pub(super) fn own_names(proc_root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(proc_root.join("sys/kernel/hostname")).unwrap_or_default();
    let name = plain(&text);
    let Some(label) = name.split('.').next().filter(|label| !label.is_empty()) else {
        return Vec::new();
    };
    let mut names = vec![label.to_owned(), format!("{label}.local")];
    if name != label {
        names.insert(0, name.clone());
    }
    names
}

/// Lower case, without white space, brackets and the root's dot.
fn plain(name: &str) -> String {
    let name = name.trim().trim_start_matches('[').trim_end_matches(']');
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// `name:80` and `[::1]:80` without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str) -> Hosts {
        Hosts::new(&Listen::Tcp(listen.parse().unwrap()), vec!["Web1.example.com".into()])
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_are_answered() {
        let hosts = hosts("127.0.0.1:9355");
        for good in [
            "localhost",
            "localhost:8080",
            "LOCALHOST.",
            "127.0.0.1:9355",
            "127.0.0.2",
            "[::1]:9355",
            "[::1]",
            "web1.example.com",
        ] {
            assert!(hosts.accept(Some(good)), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:9355",
            "192.0.2.7",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost, evil.example",
            "localhost@evil.example",
            "",
            ":9355",
        ] {
            assert!(!hosts.accept(Some(bad)), "{bad}");
        }
        assert!(hosts.accept(None));
    }

    #[test]
    fn beyond_loopback_any_address_is_answered_and_no_foreign_name() {
        let hosts = hosts("0.0.0.0:9355");
        assert!(hosts.accept(Some("192.0.2.7:9355")));
        assert!(hosts.accept(Some("[2001:db8::7]:9355")));
        assert!(hosts.accept(Some("web1.example.com")));
        assert!(!hosts.accept(Some("evil.example")));
    }

    #[test]
    fn behind_a_unix_socket_the_proxy_says_what_it_likes() {
        let hosts = Hosts::new(&Listen::Unix("/run/x".into()), Vec::new());
        assert!(hosts.accept(Some("status.example.com")));
    }

    #[test]
    fn the_machine_answers_to_its_whole_name_and_its_first_label() {
        let proc_root = tempfile::tempdir().unwrap();
        let kernel = proc_root.path().join("sys/kernel");
        std::fs::create_dir_all(&kernel).unwrap();
        std::fs::write(kernel.join("hostname"), "Web1.example.com\n").unwrap();
        assert_eq!(own_names(proc_root.path()), ["web1.example.com", "web1", "web1.local"]);
        assert!(own_names(Path::new("/nonexistent")).is_empty());
    }
}
