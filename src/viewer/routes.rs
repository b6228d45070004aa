//! Every address the viewer answers, in one table.

use std::borrow::Cow;
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::access::{For, Guard, Sees};
use super::cors::Cors;
use super::history::{self, Archive};
use super::hosts::Hosts;
use super::http::{JSON, Method, Problem, Request, Response, SECURITY_HEADERS};
use super::metrics::metrics;
use super::pages::Pages;
use super::source::{Data, Snapshot, Source};
use super::{badge, health};

/// What is behind the routes.
pub(super) struct Site {
    pub(super) hosts: Hosts,
    /// The path below which all of it is there a second time; empty, or with a slash before it.
    pub(super) base_path: String,
    pub(super) guard: Guard,
    pub(super) cors: Cors,
    pub(super) pages: Pages,
    pub(super) source: Source,
    pub(super) archive: Archive,
}

/// Gets the request, and of its path what [`At`] left open.
type Answer = fn(&Site, &Request, &str) -> Result<Response, Problem>;

/// Where an answer is found.
#[derive(Clone, Copy)]
pub(super) enum At {
    /// Exactly there.
    Path(&'static str),
    /// At anything directly below.
    Below(&'static str),
    /// At anything between the two.
    Between(&'static str, &'static str),
}

const ROUTES: &[(At, For, Answer)] = &[
    (At::Path("/"), For::Everybody, |site, request, _| {
        Ok(site.pages.index.response(&site.snapshot(request), request))
    }),
    (At::Path("/admin"), For::Details, |site, request, _| {
        Ok(site.pages.admin.response(&site.snapshot(request), request))
    }),
    (At::Path("/static/status.js"), For::Everybody, |site, request, _| {
        Ok(site.pages.script.response(request))
    }),
    (At::Path("/static/status.css"), For::Everybody, |site, request, _| {
        Ok(site.pages.style.response(request))
    }),
    (At::Path("/favicon.svg"), For::Everybody, |site, request, _| Ok(site.pages.icon.response(request))),
    (At::Path("/favicon.ico"), For::Everybody, |_, _, _| Ok(moved("favicon.svg"))),
    (At::Path("/api/status"), For::Either, |site, request, _| Ok(status(&site.snapshot(request), request))),
    (At::Below("/api/status/"), For::Either, |site, request, key| service(&site.snapshot(request), key)),
    (At::Below("/api/history/"), For::Either, history::service),
    (At::Path("/api/incidents"), For::Either, |site, request, _| history::incidents(site, request)),
    (At::Path("/api/openapi.json"), For::Everybody, |site, request, _| {
        Ok(site.pages.openapi.response(request))
    }),
    (At::Path("/api/schema/status.json"), For::Everybody, |site, request, _| {
        Ok(site.pages.status_schema.response(request))
    }),
    (At::Path("/api/schema/history.json"), For::Everybody, |site, request, _| {
        Ok(site.pages.history_schema.response(request))
    }),
    (At::Path("/api/schema/incidents.json"), For::Everybody, |site, request, _| {
        Ok(site.pages.incidents_schema.response(request))
    }),
    (At::Path("/api/schema/monitor.json"), For::Everybody, |site, request, _| {
        Ok(site.pages.config_schema.response(request))
    }),
    (At::Path("/badge.svg"), For::Everybody, |site, request, _| {
        Ok(badge::of_host(&site.snapshot(request), &site.pages.title))
    }),
    (At::Between("/badge/", ".svg"), For::Everybody, |site, request, key| {
        service_badge(&site.snapshot(request), key)
    }),
    (At::Path("/metrics"), For::Details, |site, request, _| {
        metrics(&site.snapshot(request), request.accept.as_deref())
    }),
    (At::Path("/health"), For::Everybody, |site, request, _| {
        health::health(&site.snapshot(request), request)
    }),
    (At::Path("/health/detailed"), For::Details, |site, request, _| {
        health::detailed(&site.snapshot(request), request)
    }),
    (At::Path("/livez"), For::Everybody, |_, _, _| Ok(alive())),
];

/// The addresses, as OpenAPI writes them, and for whom they are.
#[cfg(test)]
pub(super) fn addresses() -> impl Iterator<Item = (Cow<'static, str>, For)> {
    ROUTES.iter().map(|(at, whom, _)| (at.template("{key}"), *whom))
}

impl At {
    /// What of a path it leaves open; none when that is another one.
    fn matches(self, path: &str) -> Option<&str> {
        match self {
            At::Path(known) => (path == known).then_some(""),
            At::Below(folder) => path.strip_prefix(folder),
            At::Between(folder, extension) => path.strip_prefix(folder)?.strip_suffix(extension),
        }
    }

    /// The address, with a word for what is left open.
    fn template(self, word: &str) -> Cow<'static, str> {
        match self {
            At::Path(path) => Cow::Borrowed(path),
            At::Below(folder) => Cow::Owned(format!("{folder}{word}")),
            At::Between(folder, extension) => Cow::Owned(format!("{folder}{word}{extension}")),
        }
    }
}

impl Site {
    /// The whole answer to a request.
    pub(super) fn answer(&self, request: Request) -> Response {
        let request = self.without_base_path(request);
        let mut response = match self.route(&request) {
            Ok(response) => response.unless_known(&request),
            Err(problem) => problem.response(&request),
        };
        if response.status == 405 {
            response = response.with("Allow", "GET, HEAD");
        }
        for (name, value) in SECURITY_HEADERS {
            response = response.with(name, value);
        }
        self.cors.permit(&request, response)
    }

    /// What a proxy passes on with the path below which it shows the viewer. Without it everything is there as well: for
    /// the viewer's own probe, for scrapes and checks on the host, and for a proxy that takes the path off.
    fn without_base_path(&self, mut request: Request) -> Request {
        let below = request.target.strip_prefix(&self.base_path).filter(|below| below.starts_with('/'));
        if let Some(below) = below.filter(|_| !self.base_path.is_empty()) {
            request.target = below.to_owned();
        }
        request
    }

    fn route(&self, request: &Request) -> Result<Response, Problem> {
        if !self.hosts.accept(request.host.as_deref()) {
            return Err(self.misdirected(request));
        }
        if let Some(permission) = self.cors.preflight(request) {
            return Ok(permission);
        }
        if !matches!(request.method, Method::Get | Method::Head) {
            let error = "the viewer only shows: GET and HEAD, nothing else";
            return Err(Problem::new(
                405,
                error,
                "to change something, edit monitor.yml or use the command line",
            ));
        }
        let path = request.path();
        if !self.base_path.is_empty() && path == self.base_path {
            // All addresses in the page are relative, so the slash at the end matters.
            let last = path.rsplit('/').next().unwrap_or_default();
            return Ok(moved(format!("{last}/")));
        }
        let found = ROUTES.iter().find_map(|(at, whom, answer)| Some((at.matches(path)?, *whom, answer)));
        let (rest, whom, answer) = found.ok_or_else(not_found)?;
        let sees = self.guard.look(request, whom, Instant::now())?;
        let response = answer(self, &Request { sees, ..request.clone() }, rest)?;
        if whom == For::Everybody || !self.guard.tells_apart() {
            return Ok(response);
        }
        Ok(response.vary("Authorization").cached("private, no-cache"))
    }

    /// The data, without what the request may not see.
    pub(super) fn snapshot(&self, request: &Request) -> Snapshot {
        let snapshot = self.source.snapshot();
        match request.sees {
            Sees::Everything => snapshot,
            Sees::Public => snapshot.public(),
        }
    }

    fn misdirected(&self, request: &Request) -> Problem {
        let error =
            format!("this viewer does not answer to the name {:?}", request.host.as_deref().unwrap_or(""));
        // Not which names it does answer to: they name the machine, and who asks by another one may be anybody.
        let hint = "it answers to localhost, to addresses and names of its own machine, and to what `viewer: hosts:` in \
                    monitor.yml adds; or a proxy in front of it sends one of them as Host (nginx: proxy_set_header Host \
                    localhost)";
        Problem::new(421, error, hint)
    }
}

fn not_found() -> Problem {
    let known: Vec<Cow<'_, str>> = ROUTES.iter().map(|(at, ..)| at.template("KEY")).collect();
    Problem::new(404, "there is nothing at this address", format!("try one of {}", known.join(", ")))
}

/// The document, with how far it can be believed on top.
fn status(snapshot: &Snapshot, request: &Request) -> Response {
    let response = Response::packed_or_plain(
        request,
        code(snapshot),
        JSON,
        &snapshot.tag(),
        || snapshot.packed(),
        || snapshot.whole(),
    );
    dated(snapshot, response)
}

/// One service, with how far it can be believed on top.
fn service(snapshot: &Snapshot, key: &str) -> Result<Response, Problem> {
    if snapshot.data == Data::None {
        let reason = snapshot.reason.clone().unwrap_or_default();
        return Err(Problem::new(503, "there is no data", reason));
    }
    let services = snapshot.document.services();
    let service = services.get(key).ok_or_else(|| no_such_service(key, &services))?;
    let (body, tag) = snapshot.part(service);
    Ok(dated(snapshot, Response::new(code(snapshot), JSON, body).with("ETag", format!("\"{tag}\""))))
}

fn service_badge(snapshot: &Snapshot, key: &str) -> Result<Response, Problem> {
    if snapshot.data == Data::None {
        return Ok(badge::without_data(key));
    }
    let services = snapshot.document.services();
    let service = services.get(key).ok_or_else(|| no_such_service(key, &services))?;
    let service = serde_json::from_str(service.get()).map_err(|error| {
        let hint = "run the same version of monitor and viewer";
        Problem::new(500, format!("the service {key} cannot be understood: {error}"), hint)
    })?;
    Ok(badge::of_service(snapshot, &service))
}

/// A script that looks at the status alone, or at `fail_count == 0`, must not take "no data" for "all well".
fn code(snapshot: &Snapshot) -> u16 {
    if snapshot.data == Data::None { 503 } else { 200 }
}

/// The same seconds may see two documents, so a date tells them apart only when they are over.
const DATE_IS_CERTAIN_AFTER_S: u64 = 2;

/// How old the figures are. Their date is told only while they can be believed: who asks by date alone would else be told
/// that nothing has changed, when silence has made them stale.
fn dated(snapshot: &Snapshot, response: Response) -> Response {
    let Some(age_s) = snapshot.age_s else { return response };
    let response = response.with("Age", age_s.to_string());
    let modified = snapshot.document.head.generated_at.system_time();
    match modified.filter(|_| snapshot.data.is_fresh() && age_s >= DATE_IS_CERTAIN_AFTER_S) {
        Some(modified) => response.with("Last-Modified", httpdate::fmt_http_date(modified)),
        None => response,
    }
}

/// What is said of a key that no service has.
pub(super) fn no_such_service(key: &str, services: &IndexMap<String, &RawValue>) -> Problem {
    let keys = services.keys().map(String::as_str);
    Problem::new(404, format!("no service has the key {key:?}"), nearest(key, keys))
}

/// A longer key is no slip of the pen, and to compare it takes long: one of 7,000 letters with those of 1,000 services took
/// 3 s in a debug build, and a few such questions ended the viewer.
const LONGEST_COMPARED: usize = 128;

/// The known key that is most like the one asked for, in words.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    if key.len() > LONGEST_COMPARED {
        return "/api/status lists all services".to_owned();
    }
    let compared = known.map(|known| (strsim::jaro_winkler(key, known), known));
    match compared.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((likeness, best)) if likeness > 0.7 => {
            format!("did you mean {best:?}? /api/status lists all services")
        }
        Some(_) => "/api/status lists all services".to_owned(),
        None => "there are no services in monitor.yml yet".to_owned(),
    }
}

/// The viewer itself is there. It looks at nothing, so that the data can never make it look dead.
fn alive() -> Response {
    Response::json(200, &serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// `to` is relative, since a proxy may show all this below a path.
fn moved(to: impl Into<Cow<'static, str>>) -> Response {
    let to = to.into();
    let body = to.clone().into_owned().into_bytes();
    Response::new(301, "text/plain; charset=utf-8", body).with("Location", to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named_and_a_wild_guess_is_not() {
        let keys = ["flask_web", "postgres"];
        assert!(nearest("flask-web", keys.into_iter()).contains("\"flask_web\""));
        assert_eq!(nearest("zzz", keys.into_iter()), "/api/status lists all services");
        assert!(nearest("flask", std::iter::empty()).contains("monitor.yml"));
        let long = "flask_web".repeat(100);
        assert!(!nearest(&long, [long.as_str()].into_iter()).contains("did you mean"), "it is not compared");
    }
}
