//! Every address the viewer answers, in one table.

use std::borrow::Cow;

use serde::Serialize;

use super::hosts::Hosts;
use super::http::{JSON, Method, Problem, Request, Response, SECURITY_HEADERS};
use super::metrics::metrics;
use super::pages::Pages;
use super::source::{Data, Snapshot, Source};

/// What is behind the routes.
pub(super) struct Site {
    pub(super) hosts: Hosts,
    pub(super) pages: Pages,
    pub(super) source: Source,
}

/// Gets the request, and of its path what [`At`] left open.
type Answer = fn(&Site, &Request, &str) -> Result<Response, Problem>;

/// Where an answer is found.
enum At {
    /// Exactly there.
    Path(&'static str),
    /// At anything directly below.
    Below(&'static str),
}

const ROUTES: &[(At, Answer)] = &[
    (At::Path("/"), |site, _, _| Ok(site.pages.index.response())),
    (At::Path("/admin"), |site, _, _| Ok(site.pages.admin.response())),
    (At::Path("/static/status.js"), |site, _, _| Ok(site.pages.script.response())),
    (At::Path("/static/status.css"), |site, _, _| Ok(site.pages.style.response())),
    (At::Path("/favicon.svg"), |site, _, _| Ok(site.pages.icon.response())),
    (At::Path("/favicon.ico"), |_, _, _| Ok(moved("favicon.svg"))),
    (At::Path("/api/status"), |site, _, _| Ok(status(&site.source.snapshot()))),
    (At::Below("/api/status/"), |site, _, key| service(&site.source.snapshot(), key)),
    (At::Path("/metrics"), |site, request, _| metrics(&site.source.snapshot(), request.accept.as_deref())),
    (At::Path("/health"), |site, _, _| Ok(health(&site.source.snapshot()))),
    (At::Path("/livez"), |_, _, _| Ok(alive())),
];

impl Site {
    /// The whole answer to a request.
    pub(super) fn answer(&self, request: &Request) -> Response {
        let mut response = match self.route(request) {
            Ok(response) => response.unless_known(request),
            Err(problem) => problem.response(request),
        };
        if response.status == 405 {
            response = response.with("Allow", "GET, HEAD");
        }
        for (name, value) in SECURITY_HEADERS {
            response = response.with(name, value);
        }
        response
    }

    fn route(&self, request: &Request) -> Result<Response, Problem> {
        if !self.hosts.accept(request.host.as_deref()) {
            return Err(self.misdirected(request));
        }
        if request.method == Method::Other {
            let error = "the viewer only shows: GET and HEAD, nothing else";
            return Err(Problem::new(
                405,
                error,
                "to change something, edit monitor.yml or use the command line",
            ));
        }
        let path = request.path();
        for (at, answer) in ROUTES {
            match at {
                At::Path(known) if path == *known => return answer(self, request, ""),
                At::Below(folder) => {
                    if let Some(rest) = path.strip_prefix(folder) {
                        return answer(self, request, rest);
                    }
                }
                At::Path(_) => {}
            }
        }
        Err(not_found())
    }

    fn misdirected(&self, request: &Request) -> Problem {
        let error =
            format!("this viewer does not answer to the name {:?}", request.host.as_deref().unwrap_or(""));
        let hint = format!(
            "it answers to {}; a proxy in front of it must send one of them as Host (nginx: proxy_set_header Host localhost)",
            self.hosts.described()
        );
        Problem::new(421, error, hint)
    }
}

fn not_found() -> Problem {
    let known: Vec<Cow<'_, str>> = ROUTES
        .iter()
        .map(|(at, _)| match at {
            At::Path(path) => Cow::Borrowed(*path),
            At::Below(folder) => Cow::Owned(format!("{folder}KEY")),
        })
        .collect();
    Problem::new(404, "there is nothing at this address", format!("try one of {}", known.join(", ")))
}

/// The document, with how far it can be believed on top.
fn status(snapshot: &Snapshot) -> Response {
    let (body, etag) = snapshot.whole();
    figures(snapshot, body, etag)
}

/// One service, with how far it can be believed on top.
fn service(snapshot: &Snapshot, key: &str) -> Result<Response, Problem> {
    if snapshot.data == Data::None {
        let reason = snapshot.reason.clone().unwrap_or_default();
        return Err(Problem::new(503, "there is no data", reason));
    }
    let services = snapshot.document.services();
    let Some(service) = services.get(key) else {
        let keys = services.keys().map(String::as_str);
        return Err(Problem::new(404, format!("no service has the key {key:?}"), nearest(key, keys)));
    };
    let (body, etag) = snapshot.part(service);
    Ok(figures(snapshot, body, etag))
}

fn figures(snapshot: &Snapshot, body: Vec<u8>, etag: String) -> Response {
    // A script that looks at the status alone, or at `fail_count == 0`, must not take "no data" for "all well".
    let status = if snapshot.data == Data::None { 503 } else { 200 };
    let response = Response::new(status, JSON, body).with("ETag", etag);
    match snapshot.age_s {
        Some(age_s) => response.with("Age", age_s.to_string()),
        None => response,
    }
}

/// The known key that is most like the one asked for, in words.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let likeness = |known: &str| strsim::jaro_winkler(key, known);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best {
        Some(best) if likeness(best) > 0.7 => {
            format!("did you mean {best:?}? /api/status lists all services")
        }
        Some(_) => "/api/status lists all services".to_owned(),
        None => "there are no services in monitor.yml yet".to_owned(),
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    reason: String,
}

/// For load balancers and other monitors: 200 only when a monitor is at work and every service is ok.
fn health(snapshot: &Snapshot) -> Response {
    let document = &snapshot.document;
    let problem = if !snapshot.data.is_fresh() {
        Some(snapshot.reason.clone().unwrap_or_default())
    } else if document.total == 0 {
        Some("no services are configured".to_owned())
    } else if document.fail_count > 0 {
        Some(format!("{} of {} services are not ok", document.fail_count, document.total))
    } else {
        None
    };
    let (code, status, reason) = match problem {
        Some(reason) => (503, "fail", reason),
        None => (200, "ok", format!("{} of {} services are ok", document.total, document.total)),
    };
    Response::json(code, &Health { status, reason })
}

/// The viewer itself is there. It looks at nothing, so that the data can never make it look dead.
fn alive() -> Response {
    Response::json(200, &serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// `to` is relative, since a proxy may show all this below a path.
fn moved(to: &'static str) -> Response {
    Response::new(301, "text/plain; charset=utf-8", to.as_bytes()).with("Location", to)
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
    }
}
