//! The past, from the files that the monitor writes for everybody below `history/`. It is not in the document, which is
//! written every few seconds: 90 days of a service would make that three times as large, for what changes once a minute.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::Clock;
use super::access::Sees;
use super::encoding::gzip_fast;
use super::http::{JSON, Problem, Request, Response};
use super::public::{PublicHistory, PublicIncidents};
use super::routes::{Site, no_such_service};
use super::source::{Data, Snapshot};
use crate::status::history::{History, Incidents};
use crate::store::history::{self, Reader};

/// Where the past is.
pub(super) struct Archive {
    state_dir: PathBuf,
    reader: Reader,
    now: Clock,
}

impl Archive {
    pub(super) fn new(state_dir: PathBuf, now: Clock) -> Archive {
        Archive { reader: Reader::new(&state_dir), state_dir, now }
    }

    fn of_service(&self, key: &str) -> io::Result<History> {
        let now = (self.now)();
        let past = self.reader.service(key, now)?;
        Ok(History::of(key, past, history::incidents(&self.state_dir)?, now))
    }

    fn incidents(&self) -> io::Result<Incidents> {
        let found = history::incidents(&self.state_dir)?;
        Ok(Incidents { incidents: found.into_iter().map(Into::into).collect() })
    }

    fn unreadable(&self, request: &Request, error: &io::Error) -> Problem {
        if request.sees == Sees::Public {
            return Problem::new(503, "the past cannot be read at the moment", "try again in a while");
        }
        let folder = self.state_dir.join(history::FOLDER);
        let hint =
            "the monitor makes it with mode 0755 and its files with 0644: see its log for why they are not";
        Problem::new(503, format!("{} cannot be read: {error}", folder.display()), hint)
    }
}

/// What is known of a service's past. A key never becomes a path: it only says which lines are wanted.
pub(super) fn service(site: &Site, request: &Request, key: &str) -> Result<Response, Problem> {
    let snapshot = site.snapshot(request);
    if snapshot.data == Data::None {
        return Err(Problem::new(503, "there is no data", snapshot.reason.unwrap_or_default()));
    }
    let services = snapshot.document.services();
    if !services.contains_key(key) {
        return Err(no_such_service(key, &services));
    }
    let past = site.archive.of_service(key).map_err(|error| site.archive.unreadable(request, &error))?;
    Ok(match request.sees {
        Sees::Everything => told(&snapshot, request, &past),
        Sees::Public => told(&snapshot, request, &PublicHistory::from(past)),
    })
}

/// The latest incidents of all services.
pub(super) fn incidents(site: &Site, request: &Request) -> Result<Response, Problem> {
    let found = site.archive.incidents().map_err(|error| site.archive.unreadable(request, &error))?;
    let snapshot = site.snapshot(request);
    Ok(match request.sees {
        Sees::Everything => told(&snapshot, request, &found),
        Sees::Public => told(&snapshot, request, &PublicIncidents::from(found)),
    })
}

fn told(snapshot: &Snapshot, request: &Request, past: &impl Serialize) -> Response {
    let past = serde_json::to_vec(past).expect("the past is plain data with string keys");
    let (body, tag) = snapshot.beside(&past);
    Response::packed_or_plain(request, 200, JSON, &tag, || gzip_fast(&body), || body.clone().into())
}
