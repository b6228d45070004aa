//! reqwest: one fresh connection, one GET, and what became of it, in our own words.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue, LOCATION};
use tokio::time::Instant;

use super::judge::Head;
use super::tls::{self, Trust};
use super::trouble::Trouble;
use super::{BODY_LIMIT, Settings};
use crate::probe::network::{self, Addresses, LookupError};

/// What the probes of all `http` checks share: one reqwest client for each way of connecting, made when first needed.
///
/// Cheap to make. A new one reads the system's certificate authorities anew.
#[derive(Debug, Default)]
pub struct Client {
    made: Mutex<Made>,
}

/// The reqwest clients by what they trust and where they connect to.
#[derive(Debug, Default)]
struct Made {
    /// For `http://`: trusts nobody, so that the authorities (1.4 MB, 3 ms) are read only where they are needed.
    plain: Option<reqwest::Client>,
    system: Option<reqwest::Client>,
    insecure: Option<reqwest::Client>,
    ca_files: HashMap<PathBuf, Versioned>,
    unix_sockets: HashMap<PathBuf, reqwest::Client>,
}

/// What changes when a file is written again: its time, its size.
type Version = (Option<SystemTime>, u64);

/// A client, and the version of the file that it trusts.
type Versioned = (Version, reqwest::Client);

impl Client {
    /// A client that has connected to nothing yet.
    pub fn new() -> Client {
        Client::default()
    }

    /// Sends a GET on a fresh connection and returns when the headers of the answer are read. The phases are noted
    /// in the [`Trace`] of the task.
    pub(super) async fn get(
        &self,
        settings: &Settings,
        url: Url,
        headers: &[(String, String)],
    ) -> Result<Response, Trouble> {
        let client = match &settings.ca_file {
            Some(path) if url.scheme() == "https" && !settings.insecure && settings.unix_socket.is_none() => {
                self.with_ca_file(path).await?
            }
            _ => self.client_for(settings, &url)?,
        };
        // The builder, unlike `Request::new`, turns user name and password of the URL into a header.
        let request = client.get(url).build();
        let mut request = request.map_err(|error| Trouble::Own(deepest(&error)))?;
        for (name, value) in headers {
            let (name, value) = header(name, value)?;
            request.headers_mut().append(name, value);
        }
        match client.execute(request).await {
            Ok(response) => Ok(Response(response)),
            Err(error) => Err(classify(&error)),
        }
    }

    /// The client that trusts a file, made again when the file was written again: authorities are renewed under a
    /// monitor that runs for years. The file may be on a disk that hangs, so it is read off the loop's thread.
    async fn with_ca_file(&self, path: &Path) -> Result<reqwest::Client, Trouble> {
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let (at_hand, file) = (made().ca_files.get(path).cloned(), path.to_owned());
        let trusting = tokio::task::spawn_blocking(move || trusting_file(&file, at_hand));
        let (version, client) = trusting.await.map_err(|error| Trouble::Own(error.to_string()))??;
        made().ca_files.insert(path.to_owned(), (version, client.clone()));
        Ok(client)
    }

    fn client_for(&self, settings: &Settings, url: &Url) -> Result<reqwest::Client, Trouble> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let made = &mut *made;
        if let Some(path) = &settings.unix_socket {
            if let Some(client) = made.unix_sockets.get(path) {
                return Ok(client.clone());
            }
            let client = build(builder(Trust::Nobody).unix_socket(path.as_path()))?;
            made.unix_sockets.insert(path.clone(), client.clone());
            return Ok(client);
        }
        let (slot, trust): (_, fn() -> Trust) = match (url.scheme(), settings.insecure) {
            ("http", _) => (&mut made.plain, || Trust::Nobody),
            (_, true) => (&mut made.insecure, || Trust::Anybody),
            (_, false) => (&mut made.system, Trust::system),
        };
        if let Some(client) = slot {
            return Ok(client.clone());
        }
        let trust = trust();
        if url.scheme() == "https" && matches!(trust, Trust::Nobody) {
            // Not kept: the authorities may be installed by the next probe.
            return Err(Trouble::Own(
                "no certificate authorities are installed: install the package ca-certificates, \
                 or name a file with `ca_file`"
                    .to_owned(),
            ));
        }
        let client = build(builder(trust))?;
        Ok(slot.insert(client).clone())
    }
}

/// The client that trusts a file: the one at hand, unless the file was written again since. Blocking.
fn trusting_file(path: &Path, at_hand: Option<Versioned>) -> Result<Versioned, Trouble> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| Trouble::Own(format!("ca_file {} cannot be read: {error}", path.display())))?;
    let version = (metadata.modified().ok(), metadata.len());
    match at_hand {
        Some(at_hand) if at_hand.0 == version => Ok(at_hand),
        _ => Ok((version, build(builder(Trust::file(path).map_err(Trouble::Own)?))?)),
    }
}

/// No time limit is set here: the caller's deadline is over everything, and one timer a probe is enough.
fn builder(trust: Trust) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("wellkeep/", env!("CARGO_PKG_VERSION")))
        // Without this the proxy variables of the environment are obeyed, even where the feature is off.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // A fresh connection each time: that the port accepts is part of what is asked.
        .pool_max_idle_per_host(0)
        .http1_only()
        .dns_resolver(NotedLookup)
        .connector_layer(NotedConnect)
        .tls_backend_preconfigured(trust.into_config())
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Trouble> {
    let client = builder.build();
    client.map_err(|error| Trouble::Own(format!("no HTTP client could be made: {}", deepest(&error))))
}

/// The value may be a secret, so an error names the header only.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Trouble> {
    let wrong =
        |what: &str| Trouble::Own(format!("header {name:?} cannot be sent: its {what} is not valid in HTTP"));
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("name"))?;
    let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong("value"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

/// An answer whose headers are read, and whose body is not.
pub(super) struct Response(reqwest::Response);

impl Response {
    /// The status, and where it points to.
    pub(super) fn head(&self) -> Head {
        let location = self.0.headers().get(LOCATION);
        Head {
            status: self.0.status().as_u16(),
            status_name: self.0.status().canonical_reason().unwrap_or_default(),
            location: location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }
    }

    /// Reads the body to its end or to the limit, whichever comes first.
    pub(super) async fn read_into(&mut self, body: &mut Body) -> Result<(), Trouble> {
        while body.read < body.limit {
            let Some(chunk) = self.0.chunk().await.map_err(|error| classify(&error))? else {
                return Ok(());
            };
            let room = body.limit - body.read;
            let chunk = &chunk[..chunk.len().min(room)];
            body.read += chunk.len();
            if body.keep {
                body.bytes.extend_from_slice(chunk);
            }
        }
        Ok(())
    }
}

/// What is read of a body.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// How many bytes are read at most.
    pub limit: usize,
    /// Whether they are kept.
    pub keep: bool,
    /// How many were read.
    pub read: usize,
    /// What was kept.
    pub bytes: Vec<u8>,
}

impl Body {
    /// A body to be looked at.
    pub(super) fn kept(limit: usize) -> Body {
        Body { limit, keep: true, ..Body::default() }
    }

    /// A body that must only come.
    pub(super) fn counted() -> Body {
        Body { limit: BODY_LIMIT, ..Body::default() }
    }
}

/// When each phase of a request began or ended. reqwest has no interface for that; the hooks that it has (name
/// resolution, connector, verifier) run in the task of the probe, and find its trace there.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub lookup_begun: Option<Instant>,
    pub lookup_ended: Option<Instant>,
    /// What the lookup brought.
    pub addresses: Option<Addresses>,
    /// The TCP connection stands, and the TLS handshake begins.
    pub handshake: Option<Instant>,
    /// The connection stands, with TLS where there is TLS.
    pub connected: Option<Instant>,
    /// The server's certificate, in DER; empty without one.
    pub certificate: Vec<u8>,
}

tokio::task_local! {
    static TRACE: RefCell<Trace>;
}

impl Trace {
    /// Runs a probe with a trace of its own.
    pub(super) async fn scope<F: Future>(probe: F) -> F::Output {
        TRACE.scope(RefCell::default(), probe).await
    }

    /// Notes something in the trace of the probe that runs; does nothing outside of one.
    pub(super) fn note(note: impl FnOnce(&mut Trace)) {
        // An error means that no probe runs: then nobody wants to know.
        let _ = TRACE.try_with(|trace| note(&mut trace.borrow_mut()));
    }

    /// What was noted, leaving an empty trace behind.
    pub(super) fn take() -> Trace {
        TRACE.try_with(RefCell::take).unwrap_or_default()
    }
}

struct NotedLookup;

impl reqwest::dns::Resolve for NotedLookup {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            Trace::note(|trace| trace.lookup_begun = Some(Instant::now()));
            let addresses = network::resolve(name.as_str()).await?;
            Trace::note(|trace| {
                trace.lookup_ended = Some(Instant::now());
                trace.addresses = Some(addresses.clone());
            });
            // The port is the URL's.
            let addresses: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[derive(Clone)]
struct NotedConnect;

impl<S> tower::Layer<S> for NotedConnect {
    type Service = NotedConnector<S>;

    fn layer(&self, connector: S) -> NotedConnector<S> {
        NotedConnector(connector)
    }
}

#[derive(Clone)]
struct NotedConnector<S>(S);

impl<S, Request> tower::Service<Request> for NotedConnector<S>
where
    S: tower::Service<Request>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let connecting = self.0.call(request);
        Box::pin(async move {
            let connection = connecting.await?;
            Trace::note(|trace| trace.connected = Some(Instant::now()));
            Ok(connection)
        })
    }
}

/// Finds, in the errors wrapped in one another, the one that says what happened.
fn classify(error: &reqwest::Error) -> Trouble {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(trouble) = recognize(error) {
            return trouble;
        }
        next = inner(error);
    }
    Trouble::Other(deepest(error))
}

fn recognize(error: &(dyn Error + 'static)) -> Option<Trouble> {
    if let Some(error) = error.downcast_ref::<LookupError>() {
        return Some(Trouble::Lookup(error.clone()));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidCertificate(error) => Trouble::Certificate(tls::fault(error)),
            rustls::Error::InvalidMessage(_) => Trouble::NotTls,
            other => Trouble::Handshake(other.to_string()),
        });
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return match error {
            _ if error.is_incomplete_message() => Some(Trouble::Closed),
            // The question has a method of its own, but in builds with hyper's server only.
            _ if error.is_parse() && error.to_string().contains("too large") => Some(Trouble::HeadTooLarge),
            _ if error.is_parse() => Some(Trouble::NotHttp(error.to_string())),
            _ => None,
        };
    }
    let error = error.downcast_ref::<io::Error>()?;
    match error.raw_os_error() {
        Some(code) => Some(Trouble::Io(code)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Some(Trouble::Closed),
        None => None,
    }
}

/// The error inside an error. An `io::Error` passes over what it wraps when it is asked for its source.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// The innermost error's words: the outer ones hold the URL, which may hold a secret.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(error) = inner(deepest) {
        deepest = error;
    }
    match deepest.downcast_ref::<reqwest::Error>() {
        Some(_) => "the HTTP library gave no reason".to_owned(),
        None => deepest.to_string(),
    }
}
