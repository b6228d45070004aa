//! A document as bytes. The viewer passes on what the monitor wrote, byte for byte, so that it never becomes a second
//! opinion of the document's shape; it puts its own word on top: how far the figures can be believed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Instant;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::encoding::gzip_fast;
use super::http::fingerprint;
use super::public::PublicDocument;
use super::source::{Data, Snapshot, lock};
use crate::status::read::{self, Head, HeadMonitor, ReadError};
use crate::status::{Document, Mode, MonitorState, SCHEMA, State, Timestamp};

/// A document as it was written.
#[derive(Debug)]
pub(super) struct Written {
    bytes: Vec<u8>,
    fingerprint: u64,
    pub(super) head: Head,
    pub(super) total: u32,
    pub(super) fail_count: u32,
    /// When it was first seen here, by a clock that nobody sets: it is at least as old as that tells.
    pub(super) since: Instant,
    /// The same without the details, made when it is first asked for; none if it cannot be understood.
    public: OnceLock<Option<Arc<Written>>>,
    /// The keys of the services, gathered when one is first asked for.
    keys: OnceLock<HashSet<Box<str>>>,
    /// The whole with the viewer's word on top, for as long as somebody is being sent it: all who are share it.
    whole: Mutex<Tagged<Weak<Vec<u8>>>>,
    /// The same, packed: once for each word and not for each request.
    packed: Mutex<Tagged<Arc<Vec<u8>>>>,
}

/// A whole answer with its tag; the tag is empty as long as there is none.
#[derive(Debug, Default)]
struct Tagged<T> {
    tag: String,
    bytes: T,
}

/// The counts, and the services unparsed.
#[derive(Deserialize)]
struct Parts<'a> {
    total: u32,
    fail_count: u32,
    #[serde(borrow)]
    services: IndexMap<String, &'a RawValue>,
}

impl Written {
    /// Reads the file and makes sure that the parts the viewer needs are there.
    pub(super) fn read(path: &Path) -> Result<Written, ReadError> {
        let (bytes, head) = read::read_head(path)?;
        let parts: Parts<'_> = serde_json::from_slice(&bytes).map_err(|error| ReadError::Invalid {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        let (total, fail_count) = (parts.total, parts.fail_count);
        Ok(Written::new(bytes, head, total, fail_count))
    }

    /// A document that was made in this process.
    pub(super) fn from_document(document: Document) -> Written {
        let bytes =
            serde_json::to_vec(&document).expect("a document always serializes: its keys are strings");
        let head = Head {
            schema: document.schema,
            mode: document.mode,
            overall: document.overall,
            generated_at: document.generated_at,
            boot_id: document.boot_id,
            stale_after_s: document.stale_after_s,
            monitor: HeadMonitor { state: document.monitor.state },
        };
        Written::new(bytes, head, document.total, document.fail_count)
    }

    /// What stands for a document when there is none: the fields that readers rely on, and no service.
    pub(super) fn nothing() -> Written {
        let head = Head {
            schema: SCHEMA,
            mode: Mode::ProductionMonitoring,
            overall: State::Unknown,
            generated_at: Timestamp::default(),
            boot_id: String::new(),
            stale_after_s: 0,
            monitor: HeadMonitor { state: MonitorState::Stopped },
        };
        let bytes = serde_json::json!({
            "schema": head.schema,
            "mode": head.mode,
            "overall": head.overall,
            "ok_count": 0,
            "fail_count": 0,
            "total": 0,
            "services": {},
        });
        Written::new(bytes.to_string().into_bytes(), head, 0, 0)
    }

    fn new(bytes: Vec<u8>, head: Head, total: u32, fail_count: u32) -> Written {
        Written {
            fingerprint: fingerprint(&bytes),
            bytes,
            head,
            total,
            fail_count,
            since: Instant::now(),
            public: OnceLock::new(),
            keys: OnceLock::new(),
            whole: Mutex::default(),
            packed: Mutex::default(),
        }
    }

    /// Whether both have the same content.
    pub(super) fn is_same(&self, other: &Written) -> bool {
        self.fingerprint == other.fingerprint && self.bytes == other.bytes
    }

    /// What everybody may see of it; none when it cannot be understood.
    pub(super) fn public(&self) -> Option<Arc<Written>> {
        self.public.get_or_init(|| self.without_details().ok().map(Arc::new)).clone()
    }

    fn without_details(&self) -> serde_json::Result<Written> {
        let public: PublicDocument = self.parse()?;
        let bytes = serde_json::to_vec(&public)?;
        Ok(Written::new(bytes, self.head.clone(), self.total, self.fail_count))
    }

    /// A part of the document, understood. The file was only looked at for the parts that every viewer needs.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.bytes)
    }

    /// Whether there is a service with this key.
    pub(super) fn has(&self, key: &str) -> bool {
        let all = || self.services().into_keys().map(String::into_boxed_str).collect();
        self.keys.get_or_init(all).contains(key)
    }

    /// The services by key. Parsed anew at each call, which takes 3 ms for a thousand: kept, they would double the
    /// memory for the rarest of the questions.
    pub(super) fn services(&self) -> IndexMap<String, &RawValue> {
        let parts: Parts<'_> = self.parse().expect("it was parsed when it was read");
        parts.services
    }
}

/// The viewer's own first fields.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ViewersWord")]
pub(super) struct Word<'a> {
    /// Whether the figures are old, or nobody stands behind them.
    stale: bool,
    /// What the viewer says of them.
    viewer: Viewer<'a>,
}

#[derive(Serialize, JsonSchema)]
struct Viewer<'a> {
    /// How far the figures can be believed.
    #[schemars(extend("enum" = Data::WORDS))]
    data: &'static str,
    /// Why no further, in words; absent when they are fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The viewer's version.
    version: &'static str,
}

impl Snapshot {
    /// The tag of the whole document with the viewer's word on top.
    pub(super) fn tag(&self) -> String {
        format!("{:016x}-{:016x}", self.document.fingerprint, fingerprint(&self.word()))
    }

    /// The whole document with the viewer's word on top.
    pub(super) fn whole(&self) -> Arc<Vec<u8>> {
        let tag = self.tag();
        let mut whole = lock(&self.document.whole);
        if whole.tag == tag
            && let Some(bytes) = whole.bytes.upgrade()
        {
            return bytes;
        }
        let bytes = Arc::new(splice(&self.word(), &self.document.bytes));
        *whole = Tagged { tag, bytes: Arc::downgrade(&bytes) };
        bytes
    }

    /// The same, packed; none where that is not worth it. Who comes while it is being made waits for it, since to make it
    /// a second time takes no less.
    pub(super) fn packed(&self) -> Option<Arc<Vec<u8>>> {
        let tag = self.tag();
        let mut packed = lock(&self.document.packed);
        if packed.tag != tag {
            let bytes = gzip_fast(&self.whole())?.into();
            *packed = Tagged { tag, bytes };
        }
        Some(packed.bytes.clone())
    }

    /// One part of the document with the viewer's word on top, and its tag.
    pub(super) fn part(&self, part: &RawValue) -> (Vec<u8>, String) {
        self.beside(part.get().as_bytes())
    }

    /// A JSON object that is told beside the document, with the viewer's word on top, and its tag.
    pub(super) fn beside(&self, object: &[u8]) -> (Vec<u8>, String) {
        let bytes = splice(&self.word(), object);
        let tag = format!("{:016x}", fingerprint(&bytes));
        (bytes, tag)
    }

    fn word(&self) -> Vec<u8> {
        let word = Word {
            stale: self.data.is_stale(),
            viewer: Viewer {
                data: self.data.as_str(),
                reason: self.reason.as_deref(),
                version: env!("CARGO_PKG_VERSION"),
            },
        };
        serde_json::to_vec(&word).expect("strings and booleans always serialize")
    }
}

/// Puts the fields of one JSON object before those of another. What is not an object with fields stays as it is.
fn splice(first: &[u8], second: &[u8]) -> Vec<u8> {
    let Some(open) = second.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        return second.to_vec();
    };
    let rest = &second[open + 1..];
    let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
    if second[open] != b'{' || next == Some(&b'}') {
        return second.to_vec();
    }
    let mut spliced = Vec::with_capacity(first.len() + second.len());
    spliced.extend_from_slice(first.strip_suffix(b"}").unwrap_or(first));
    spliced.push(b',');
    spliced.extend_from_slice(rest);
    spliced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_viewers_word_comes_first_and_the_rest_is_untouched() {
        let spliced = splice(br#"{"stale":true}"#, b"\n {\n  \"a\": 1.50, \"b\": [ ]\n}\n");
        assert_eq!(spliced, b"{\"stale\":true,\n  \"a\": 1.50, \"b\": [ ]\n}\n");
    }

    #[test]
    fn what_is_no_object_with_fields_is_left_alone() {
        for odd in ["", " ", "{}", "{ }", "[1]", "null", "\"{\""] {
            assert_eq!(splice(b"{\"stale\":true}", odd.as_bytes()), odd.as_bytes());
        }
    }
}
