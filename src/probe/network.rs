//! What `http` and `port` share: names into addresses, and the kernel's errors into words.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::Outcome;

/// The addresses of a host, in the order in which the system wants them tried.
pub(super) type Addresses = Arc<[IpAddr]>;

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookupError {
    /// The system says so, in its words.
    #[error("name {host} does not resolve: {said}")]
    NoAddress { host: Arc<str>, said: Arc<str> },
    /// The system could not even ask.
    #[error("name {host} cannot be looked up: {said}")]
    Own { host: Arc<str>, said: Arc<str> },
}

impl LookupError {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            LookupError::NoAddress { .. } => Outcome::fail(self.to_string()),
            LookupError::Own { .. } => Outcome::unknown(self.to_string()),
        }
    }
}

/// Looks a name up as every program on this host does. An address needs no lookup.
///
/// Must be called on a tokio runtime. The caller's deadline ends the waiting, not the lookup.
pub(super) async fn resolve(host: &str) -> Result<Addresses, LookupError> {
    if let Ok(address) = host.parse() {
        return Ok(Arc::new([address]));
    }
    static LOOKUPS: LazyLock<Lookups> = LazyLock::new(Lookups::default);
    LOOKUPS.join(host, ask_the_system).await
}

/// The lookups in flight, at most one a name. `getaddrinfo` cannot be interrupted: without a name server it holds its
/// thread for 10 s and more, and a new one for each probe would in the end leave none for anybody (measured:
/// 40 hung lookups are 40 threads).
///
/// It is the one lock of the probes; nobody holds it for longer than a look into the map takes.
#[derive(Clone, Default)]
struct Lookups(Arc<Mutex<HashMap<Arc<str>, Lookup>>>);

type Lookup = Shared<BoxFuture<'static, Result<Addresses, LookupError>>>;

impl Lookups {
    /// Waits for the lookup of this name that is in flight, or starts one.
    fn join<F>(&self, host: &str, look: F) -> Lookup
    where
        F: FnOnce(&Arc<str>) -> Result<Addresses, LookupError> + Send + 'static,
    {
        let mut in_flight = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = in_flight.get(host) {
            return lookup.clone();
        }
        let host: Arc<str> = host.into();
        let entry = Entry { lookups: self.clone(), host: host.clone() };
        let task = tokio::task::spawn_blocking(move || look(&entry.host));
        let named = host.clone();
        let lookup = async move {
            // Fails only when the runtime ends before the lookup began.
            task.await
                .unwrap_or_else(|error| Err(LookupError::Own { host: named, said: error.to_string().into() }))
        };
        let lookup = lookup.boxed().shared();
        in_flight.insert(host, lookup.clone());
        lookup
    }
}

/// Takes its lookup out of those in flight when the system has answered, or when its runtime ended before it asked: an
/// answer is for those who waited for it, and never kept.
struct Entry {
    lookups: Lookups,
    host: Arc<str>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut in_flight = self.lookups.0.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.remove(&self.host);
    }
}

fn ask_the_system(host: &Arc<str>) -> Result<Addresses, LookupError> {
    let error = match (&**host, 0).to_socket_addrs() {
        Ok(addresses) => return Ok(addresses.map(|address| address.ip()).collect()),
        Err(error) => error,
    };
    // Out of file descriptors, the C library says "temporary failure in name resolution": ask the kernel.
    let own = is_own_trouble(&error).then_some(error.raw_os_error()).flatten();
    let own = own.or_else(|| {
        let no_descriptor = std::fs::File::open("/").err().filter(is_own_trouble)?;
        no_descriptor.raw_os_error()
    });
    if let Some(code) = own {
        return Err(LookupError::Own {
            host: host.clone(),
            said: in_words(&io::Error::from_raw_os_error(code)).into(),
        });
    }
    let said = error.to_string();
    let said = said.strip_prefix("failed to lookup address information: ").unwrap_or(&said);
    // EAI_AGAIN: no name server answered. That says nothing of the service, and restarting it would mend nothing.
    if said.starts_with("Temporary failure") {
        return Err(LookupError::Own { host: host.clone(), said: "no name server answers".into() });
    }
    Err(LookupError::NoAddress { host: host.clone(), said: said.into() })
}

/// Whether an error says something of this host and this process only, and nothing of the service.
pub(super) fn is_own_trouble(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                // Every local port is taken by connections that linger, or there is no address of this family.
                | libc::EADDRNOTAVAIL
                // A sandbox (`IPAddressDeny=`, `RestrictAddressFamilies=`), or a socket file that we may not open.
                | libc::EACCES
                | libc::EPERM
                | libc::EAFNOSUPPORT
        )
    )
}

/// The system's error in words for an operator, with what to do where we know it.
pub(super) fn in_words(error: &io::Error) -> String {
    let words = match error.raw_os_error() {
        Some(libc::EMFILE) => "this process has no file descriptor left (raise LimitNOFILE= of its unit)",
        Some(libc::ENFILE) => "this host has no file descriptor left (raise fs.file-max)",
        Some(libc::ENOBUFS | libc::ENOMEM) => "the kernel has no memory left for it",
        Some(libc::EADDRNOTAVAIL) => "this host has no local address or no free port for it",
        Some(libc::EACCES | libc::EPERM) => "permission denied",
        Some(libc::EAFNOSUPPORT) => "this process may not use that address family",
        Some(libc::ECONNREFUSED) => "connection refused",
        Some(libc::ECONNRESET | libc::EPIPE) => "connection reset",
        Some(libc::EHOSTUNREACH) => "no route to the host",
        Some(libc::ENETUNREACH) => "the network is unreachable",
        Some(libc::ETIMEDOUT) => "the kernel gave up waiting for an answer",
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            return text[..end].to_owned();
        }
    };
    words.to_owned()
}

/// What a TCP connection that did not come about says of the service.
pub(super) fn no_connection(error: &io::Error, to: &impl Display) -> Outcome {
    if is_own_trouble(error) {
        return Outcome::unknown(format!("cannot connect to {to}: {}", in_words(error)));
    }
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Outcome::fail(format!("connection refused by {to}")),
        _ => Outcome::fail(format!("cannot connect to {to}: {}", in_words(error))),
    }
}

/// What a connection to a unix socket that did not come about says of the service.
pub(super) fn no_unix_connection(error: &io::Error, path: &Path) -> Outcome {
    let path = path.display();
    match error.raw_os_error() {
        Some(libc::ENOENT) => Outcome::fail(format!("there is no socket {path}")),
        Some(libc::ECONNREFUSED) => {
            Outcome::fail(format!("connection refused by {path}: nobody listens on it"))
        }
        // A unix socket never makes a caller wait who said that he won't: it sends him away.
        Some(libc::EAGAIN) => Outcome::fail(format!("{path} takes no more connections: its queue is full")),
        _ => no_connection(error, &path),
    }
}

/// A duration for people: `3 s`, `2.5 s`, `45 ms`, `under 1 ms`.
pub(super) fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "under 1 ms".to_owned(),
        1..1000 => format!("{millis} ms"),
        _ if millis % 1000 < 50 => format!("{} s", millis / 1000),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_hung_lookup_is_joined_and_not_repeated() {
        let lookups = Lookups::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let (answer, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let join = || {
            let (asked, wait) = (asked.clone(), wait.clone());
            lookups.join("slow.example", move |_| {
                asked.fetch_add(1, Ordering::SeqCst);
                wait.lock().unwrap().recv().unwrap();
                Ok([IpAddr::from([127, 0, 0, 9])].into())
            })
        };
        runtime().block_on(async {
            // The first caller gives up; the lookup stays in flight, and the others wait for that one.
            assert!(tokio::time::timeout(Duration::from_millis(5), join()).await.is_err());
            let (second, third) = (join(), join());
            answer.send(()).unwrap();
            assert_eq!(second.await.unwrap()[..], third.await.unwrap()[..]);
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            // And an answer is not kept: the next caller asks again.
            answer.send(()).unwrap();
            join().await.unwrap();
            assert_eq!(asked.load(Ordering::SeqCst), 2);
        });
    }

    #[test]
    fn a_lookup_lost_with_its_runtime_is_forgotten() {
        let lookups = Lookups::default();
        let first = runtime();
        first.block_on(async { drop(lookups.join("x.example", |_| Ok([].into()))) });
        drop(first);
        assert!(lookups.0.lock().unwrap().is_empty());
    }

    #[test]
    fn an_address_needs_no_lookup_and_a_name_nobody_has_does_not_resolve() {
        runtime().block_on(async {
            assert_eq!(resolve("::1").await.unwrap()[..], ["::1".parse::<IpAddr>().unwrap()]);
            // A label of 70 letters: no name server is asked, so this holds on a machine without one.
            let nobody = format!("{}.invalid", "nobody-".repeat(10));
            let error = resolve(&nobody).await.unwrap_err();
            assert!(error.to_string().starts_with(&format!("name {nobody} does not resolve: ")), "{error}");
            assert!(matches!(error.outcome(), Outcome::Fail { .. }));
        });
    }

    #[test]
    fn trouble_of_our_own_is_unknown_and_trouble_of_the_service_is_a_failure() {
        let outcome = |code| no_connection(&io::Error::from_raw_os_error(code), &"10.0.0.1:80");
        for own in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL, libc::EPERM]
        {
            assert!(matches!(outcome(own), Outcome::Unknown { .. }), "{own}");
        }
        for theirs in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ECONNRESET, libc::ETIMEDOUT] {
            assert!(matches!(outcome(theirs), Outcome::Fail { .. }), "{theirs}");
        }
        assert_eq!(outcome(libc::ECONNREFUSED), Outcome::fail("connection refused by 10.0.0.1:80"));
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let shown = |micros| shown(Duration::from_micros(micros));
        assert_eq!(
            [shown(300), shown(45_900), shown(3_000_400), shown(2_500_000)],
            ["under 1 ms", "45 ms", "3 s", "2.5 s"]
        );
    }
}
