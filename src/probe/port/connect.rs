//! One probe of a port or a socket, and what it says of the service that no address took the connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::Settings;
use crate::probe::network::{self, shown};
use crate::probe::{Detail, Outcome, Report, Step};

/// Connects once, and hangs up. Name resolution and every address of the name have `timeout` together.
///
/// Must run on a tokio runtime. A failed probe is an outcome, never an error.
pub async fn probe(settings: &Settings, timeout: Duration) -> Report {
    let mut attempt = Attempt { started: Instant::now(), timeout, steps: Vec::new() };
    let outcome = match settings {
        Settings::Tcp { host, port } => attempt.tcp(host, *port).await,
        Settings::Unix { path } => attempt.unix(path).await,
    };
    let mut detail = settings.blank();
    if matches!(outcome, Outcome::Pass { .. }) {
        detail.latency_ms = Some(attempt.started.elapsed().as_millis() as u64);
    }
    Report { steps: attempt.steps, ..Report::new(outcome, Detail::Port(detail)) }
}

/// One probe under way.
struct Attempt {
    started: Instant,
    timeout: Duration,
    steps: Vec<Step>,
}

/// Why one address of a name gave no connection.
enum Missed {
    /// The kernel said so.
    Error(io::Error),
    /// Nobody answered within so long.
    Silence(Duration),
}

impl Attempt {
    async fn tcp(&mut self, host: &str, port: u16) -> Outcome {
        let deadline = self.started + self.timeout;
        let addresses = match timeout_at(deadline, network::resolve(host)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => return error.outcome(),
            Err(_) => {
                let timeout = shown(self.timeout);
                return Outcome::late(format!("timed out after {timeout} in name resolution of {host}"));
            }
        };
        if host.parse::<IpAddr>().is_err() {
            self.step("resolve", self.started, || format!("{addresses:?}"));
        }
        let mut missed = Vec::new();
        for (tried, address) in addresses.iter().enumerate() {
            let address = SocketAddr::new(*address, port);
            let begun = Instant::now();
            // An address that swallows packets leaves the ones after it their share of the time.
            let left = deadline.saturating_duration_since(begun);
            let until = begun + left / (addresses.len() - tried) as u32;
            match timeout_at(until, TcpStream::connect(address)).await {
                Ok(Ok(connection)) if is_ourselves(&connection) => {
                    missed.push((address, Missed::Error(io::ErrorKind::ConnectionRefused.into())));
                }
                Ok(Ok(_connection)) => {
                    self.step("connect", begun, || address.to_string());
                    return Outcome::PASS;
                }
                Ok(Err(error)) => missed.push((address, Missed::Error(error))),
                // The only address: the time that was configured is the one to name.
                Err(_) if tried == 0 && until == deadline => {
                    missed.push((address, Missed::Silence(self.timeout)));
                }
                Err(_) => missed.push((address, Missed::Silence(until - begun))),
            }
        }
        judge(host, &missed)
    }

    async fn unix(&mut self, path: &Path) -> Outcome {
        match timeout_at(self.started + self.timeout, UnixStream::connect(path)).await {
            Ok(Ok(_connection)) => {
                self.step("connect", self.started, || path.display().to_string());
                Outcome::PASS
            }
            Ok(Err(error)) => network::no_unix_connection(&error, path),
            Err(_) => Outcome::late(format!(
                "timed out after {} in connect to {}",
                shown(self.timeout),
                path.display()
            )),
        }
    }

    fn step(&mut self, name: &'static str, begun: Instant, note: impl FnOnce() -> String) {
        self.steps.push(Step { name, took: begun.elapsed(), note: note() });
    }
}

/// On a loopback port that nobody listens on, the kernel may give the connection that very port as its own, and TCP lets
/// it connect to itself.
fn is_ourselves(connection: &TcpStream) -> bool {
    matches!((connection.local_addr(), connection.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

/// No address gave a connection: what that says. Where one address says something of the service and another only
/// something of this host (it has no IPv6, say), the former counts.
fn judge(host: &str, missed: &[(SocketAddr, Missed)]) -> Outcome {
    let outcomes = missed.iter().map(|(address, missed)| match missed {
        Missed::Error(error) => network::no_connection(error, address),
        Missed::Silence(waited) => {
            Outcome::late(format!("timed out after {} in connect to {address}", shown(*waited)))
        }
    });
    let (mut failures, mut own) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Outcome::Fail { reason, .. } => failures.push(reason),
            Outcome::Unknown { reason } => own.push(reason),
            Outcome::Pass { .. } => {}
        }
    }
    if !failures.is_empty() {
        let is_late = missed.iter().all(|(_, missed)| matches!(missed, Missed::Silence(_)));
        let outcome = if is_late { Outcome::late } else { Outcome::fail };
        return outcome(failures.join("; "));
    }
    if !own.is_empty() {
        return Outcome::unknown(own.join("; "));
    }
    Outcome::fail(format!("name {host} does not resolve: it has no addresses"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(address: &str, code: i32) -> (SocketAddr, Missed) {
        let error = io::Error::from_raw_os_error(code);
        (address.parse().unwrap(), Missed::Error(error))
    }

    #[test]
    fn a_host_without_ipv6_does_not_hide_that_ipv4_was_refused() {
        let missed = [error("[::1]:80", libc::EADDRNOTAVAIL), error("127.0.0.1:80", libc::ECONNREFUSED)];
        assert_eq!(judge("localhost", &missed), Outcome::fail("connection refused by 127.0.0.1:80"));
        let unknown = judge("localhost", &missed[..1]);
        assert!(matches!(unknown, Outcome::Unknown { .. }), "{unknown:?}");
    }

    #[tokio::test]
    async fn a_connection_to_itself_is_told_from_one_to_a_service() {
        let service = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = TcpStream::connect(service.local_addr().unwrap()).await.unwrap();
        assert!(!is_ourselves(&connection));
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let own = socket.local_addr().unwrap();
        assert!(is_ourselves(&socket.connect(own).await.unwrap()));
    }

    #[test]
    fn every_address_that_was_tried_stands_in_the_reason() {
        let silent = ("10.0.0.1:80".parse().unwrap(), Missed::Silence(Duration::from_millis(1500)));
        let missed = [silent, error("10.0.0.2:80", libc::ECONNREFUSED)];
        let expected = "timed out after 1.5 s in connect to 10.0.0.1:80; connection refused by 10.0.0.2:80";
        assert_eq!(judge("two.example", &missed), Outcome::fail(expected));
    }
}
