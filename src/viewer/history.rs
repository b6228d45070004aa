//! The past, from the files that the monitor writes for everybody below `history/`. It is not in the document, which is
//! written every few seconds: 90 days of a service would make that three times as large, for what changes once a minute.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use serde::Serialize;

use super::Clock;
use super::access::Sees;
use super::encoding::gzip_fast;
use super::http::{JSON, Problem, Request, Response};
use super::public::{PublicHistory, PublicIncidents};
use super::routes::{Site, no_such_service};
use super::source::{Data, Snapshot, lock};
use crate::status::Timestamp;
use crate::status::history::{History, Incidents};
use crate::store::history::{self, Look, Reader};

/// So many bytes of answers are kept at most, for the rest of the second that they are of.
const KEPT_BYTES: usize = 2 * 1024 * 1024;

/// Where the past is.
pub(super) struct Archive {
    state_dir: PathBuf,
    reader: Reader,
    now: Clock,
    answers: Mutex<Answers>,
}

/// The answers of one second.
#[derive(Default)]
struct Answers {
    second: i64,
    bytes: usize,
    /// By the service's key, without one the incidents of all; and by what may be seen of it.
    made: HashMap<(Option<String>, Sees), Arc<Answer>>,
}

/// An answer, and what it was made of. It is the same for all who ask for the same within a second, so that a second costs
/// what one of them does.
struct Answer {
    /// Of the files.
    edition: u64,
    /// Of the document and the viewer's word on it.
    snapshot: String,
    bytes: Arc<Vec<u8>>,
    tag: String,
    packed: OnceLock<Option<Arc<Vec<u8>>>>,
}

impl Archive {
    pub(super) fn new(state_dir: PathBuf, now: Clock) -> Archive {
        Archive { reader: Reader::new(&state_dir), state_dir, now, answers: Mutex::default() }
    }

    /// What the files say at this second: the answer that was made of them before, or the one that `make` makes.
    fn answer(
        &self,
        key: Option<&str>,
        snapshot: &Snapshot,
        request: &Request,
        make: impl FnOnce(Look<'_>, Timestamp) -> Vec<u8>,
    ) -> Result<Response, Problem> {
        let second = (self.now)().as_millis().div_euclid(1000);
        let now = Timestamp::from_millis(second * 1000);
        let look = self.reader.look(now).map_err(|error| self.unreadable(request, &error))?;
        let (edition, snapshot_tag) = (look.edition(), snapshot.tag());
        let place = (key.map(str::to_owned), request.sees);
        let known = lock(&self.answers).at(second).made.get(&place).cloned();
        let known = known.filter(|known| known.edition == edition && known.snapshot == snapshot_tag);
        let answer = known.unwrap_or_else(|| {
            let (bytes, tag) = snapshot.beside(&make(look, now));
            let (bytes, packed) = (Arc::new(bytes), OnceLock::new());
            let answer = Arc::new(Answer { edition, snapshot: snapshot_tag, bytes, tag, packed });
            lock(&self.answers).at(second).keep(place, answer.clone());
            answer
        });
        let packed = || answer.packed.get_or_init(|| gzip_fast(&answer.bytes).map(Arc::new)).clone();
        Ok(Response::packed_or_plain(request, 200, JSON, &answer.tag, packed, || answer.bytes.clone()))
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

impl Answers {
    /// Those of this second.
    fn at(&mut self, second: i64) -> &mut Answers {
        if self.second != second {
            *self = Answers { second, ..Answers::default() };
        }
        self
    }

    /// Keeps one in place of what was there, if there is room. Packed it is a tenth of its size, which is left out.
    fn keep(&mut self, place: (Option<String>, Sees), answer: Arc<Answer>) {
        if let Some(before) = self.made.remove(&place) {
            self.bytes -= before.bytes.len();
        }
        // Those that are there stay: each that goes for another one would be made anew, too.
        if self.bytes + answer.bytes.len() <= KEPT_BYTES {
            self.bytes += answer.bytes.len();
            self.made.insert(place, answer);
        }
    }
}

/// What is known of a service's past. A key never becomes a path: it only says which lines are wanted.
pub(super) fn service(site: &Site, request: &Request, key: &str) -> Result<Response, Problem> {
    let snapshot = site.snapshot(request);
    if snapshot.data == Data::None {
        return Err(Problem::new(503, "there is no data", snapshot.reason.unwrap_or_default()));
    }
    if !snapshot.document.has(key) {
        return Err(no_such_service(key, &snapshot.document.services()));
    }
    site.archive.answer(Some(key), &snapshot, request, |look, now| {
        let (past, incidents) = (look.service(key), look.incidents());
        drop(look);
        let past = History::of(key, past, &incidents, now);
        match request.sees {
            Sees::Everything => json(&past),
            Sees::Public => json(&PublicHistory::from(past)),
        }
    })
}

/// The latest incidents of all services.
pub(super) fn incidents(site: &Site, request: &Request) -> Result<Response, Problem> {
    let snapshot = site.snapshot(request);
    site.archive.answer(None, &snapshot, request, |look, _| {
        let found = look.incidents();
        drop(look);
        let incidents = Incidents { incidents: found.iter().cloned().map(Into::into).collect() };
        match request.sees {
            Sees::Everything => json(&incidents),
            Sees::Public => json(&PublicIncidents::from(incidents)),
        }
    })
}

fn json(past: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(past).expect("the past is plain data with string keys")
}
