//! What the viewer needs of HTTP: the facts of a request, a response, and which headers every response carries.
//! The server's own types stay in `server.rs`.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::access::Sees;
use super::encoding::accepts_gzip;
use super::front::CLIENT;

/// On every response. The page runs its own script and style and nothing else: a service named `<script>` in
/// `monitor.yml`, or a body quoted in a reason, cannot become code.
pub(super) const SECURITY_HEADERS: [(&str, &str); 3] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
];

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// What is read of a request. Nothing else of it reaches the routes.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The path with the query, as sent.
    pub(super) target: String,
    /// The `Host` header; several are joined by `, ` and so never a known name.
    pub(super) host: Option<String>,
    pub(super) accept: Option<String>,
    pub(super) accept_encoding: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) if_modified_since: Option<String>,
    /// The origin of the page that asks, where it is another one.
    pub(super) origin: Option<String>,
    /// Whether a browser asks beforehand what the page may do.
    pub(super) asks_for_method: bool,
    pub(super) authorization: Option<Authorization>,
    /// Who asks, as the front saw it; none behind a unix socket.
    pub(super) client: Option<IpAddr>,
    /// How much it may see; nothing but what everybody may until the guard has looked at it.
    pub(super) sees: Sees,
}

/// What a client shows to be let in. It is never shown to anybody else.
#[derive(Clone)]
pub(super) struct Authorization(pub(super) String);

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(credentials)")
    }
}

/// The methods that are told apart. A HEAD is answered as a GET; the server leaves the body out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Method {
    #[default]
    Get,
    Head,
    Options,
    Other,
}

impl Request {
    /// A request with what its headers say; `header` gives the values of all headers of a name, joined by `, `. Who asks
    /// stands in the one that the front wrote.
    pub(super) fn new(
        method: Method,
        target: String,
        header: impl Fn(&'static str) -> Option<String>,
    ) -> Request {
        Request {
            method,
            target,
            host: header("Host"),
            accept: header("Accept"),
            accept_encoding: header("Accept-Encoding"),
            if_none_match: header("If-None-Match"),
            if_modified_since: header("If-Modified-Since"),
            origin: header("Origin"),
            asks_for_method: header("Access-Control-Request-Method").is_some(),
            authorization: header("Authorization").map(Authorization),
            client: header(CLIENT).and_then(|address| address.parse().ok()),
            sees: Sees::default(),
        }
    }

    /// The path without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of the first query parameter of this name.
    pub(super) fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, query) = self.target.split_once('?')?;
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether there is a query parameter of this name.
    pub(super) fn has_query(&self, name: &str) -> bool {
        self.query(name).is_some()
    }

    /// Whether an error should be a page: a person with a browser asked, and not for the API.
    fn wants_html(&self) -> bool {
        !self.path().starts_with("/api/")
            && self.accept.as_deref().is_some_and(|accept| accept.contains("text/html"))
    }
}

/// One answer, whole in memory.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) body: Body,
}

/// The bytes of an answer. All who are sent the same ones at a time can share them.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Built into the binary.
    Static(&'static [u8]),
    /// Made while the program runs.
    Made(Arc<Vec<u8>>),
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Body::Static(bytes) => bytes,
            Body::Made(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Made(Arc::new(bytes))
    }
}

impl From<Arc<Vec<u8>>> for Body {
    fn from(bytes: Arc<Vec<u8>>) -> Body {
        Body::Made(bytes)
    }
}

impl From<Cow<'static, [u8]>> for Body {
    fn from(bytes: Cow<'static, [u8]>) -> Body {
        match bytes {
            Cow::Borrowed(bytes) => Body::Static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        }
    }
}

impl Response {
    /// A body of some type. `no-cache` lets a browser keep it and makes it ask each time whether it still holds.
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
        Response {
            status,
            headers: vec![("Content-Type", content_type.into()), ("Cache-Control", "no-cache".into())],
            body: body.into(),
        }
    }

    /// A body in plain or, if the client takes it and there is one, packed by gzip. Both have one weak tag, which
    /// stands for what is said and not for its bytes: Caddy asks for gzip by itself and hands the plain bytes on, but not for
    /// a HEAD.
    pub(super) fn packed_or_plain<Packed: Into<Body>, Plain: Into<Body>>(
        request: &Request,
        status: u16,
        content_type: &'static str,
        tag: &str,
        packed: impl FnOnce() -> Option<Packed>,
        plain: impl FnOnce() -> Plain,
    ) -> Response {
        let packed = if accepts_gzip(request.accept_encoding.as_deref()) { packed() } else { None };
        let response = match packed {
            Some(packed) => Response::new(status, content_type, packed).with("Content-Encoding", "gzip"),
            None => Response::new(status, content_type, plain()),
        };
        response.with("ETag", format!("W/\"{tag}\"")).vary("Accept-Encoding")
    }

    /// No body at all.
    pub(super) fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Body::Static(&[]) }
    }

    /// A value as JSON, with a line end for whoever asks with curl.
    pub(super) fn json(status: u16, value: &impl Serialize) -> Response {
        let mut body = serde_json::to_vec(value).expect("strings, numbers and booleans always serialize");
        body.push(b'\n');
        Response::new(status, JSON, body)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// How caches may keep it, instead of asking each time.
    pub(super) fn cached(mut self, how: impl Into<Cow<'static, str>>) -> Response {
        self.headers.retain(|(name, _)| *name != "Cache-Control");
        self.with("Cache-Control", how)
    }

    /// One more header of the request by which answers differ.
    pub(super) fn vary(mut self, header: &'static str) -> Response {
        match self.headers.iter_mut().find(|(name, _)| *name == "Vary") {
            Some((_, listed)) => *listed = format!("{listed}, {header}").into(),
            None => self.headers.push(("Vary", header.into())),
        }
        self
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// This response, or 304 when the client already has it. A date counts only without a tag (RFC 9110, 13.1.3). The body stays: by it the server tells the length that
    /// the full answer would have, and does not send it.
    pub(super) fn unless_known(mut self, request: &Request) -> Response {
        let known = match (&request.if_none_match, &request.if_modified_since) {
            (Some(asked), _) => self.header("ETag").is_some_and(|tag| is_listed(tag, asked)),
            (None, Some(since)) => is_unmodified(self.header("Last-Modified"), since),
            (None, None) => false,
        };
        if known && self.status == 200 {
            self.status = 304;
        }
        self
    }
}

/// An answer that is not what was asked for: what is wrong, and what to do.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Problem {
    #[serde(skip)]
    pub(super) status: u16,
    #[serde(skip)]
    pub(super) headers: Vec<(&'static str, String)>,
    /// What is wrong.
    pub(super) error: String,
    /// What to do.
    pub(super) hint: String,
}

impl Problem {
    pub(super) fn new(status: u16, error: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem { status, headers: Vec::new(), error: error.into(), hint: hint.into() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Problem {
        self.headers.push((name, value.into()));
        self
    }

    /// A page for a person, JSON for everything else.
    pub(super) fn response(&self, request: &Request) -> Response {
        let headers = self.headers.iter().cloned();
        headers.fold(self.page_or_json(request), |response, (name, value)| response.with(name, value))
    }

    fn page_or_json(&self, request: &Request) -> Response {
        if !request.wants_html() {
            return Response::json(self.status, self);
        }
        let (error, hint) = (escape(&self.error), escape(&self.hint));
        // Relative, since a proxy may show all this below a path.
        let up = "../".repeat(request.path().matches('/').count().saturating_sub(1));
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{error}</title>\n\
             <link rel=\"stylesheet\" href=\"{up}static/status.css\">\n<h1>{error}</h1>\n<p>{hint}</p>\n\
             <p><a href=\"./{up}\">To the status page</a></p>\n</html>\n"
        );
        Response::new(self.status, HTML, page.into_bytes())
    }
}

/// Makes a text harmless inside HTML, in element content and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A fingerprint of bytes, for ETags: it need not resist an attacker, who could only fool himself.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Whether `If-None-Match` names this tag. Weak and strong are the same here (RFC 9110, 13.1.2).
fn is_listed(tag: &str, if_none_match: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if_none_match.trim() == "*" || if_none_match.split(',').any(|listed| strong(listed) == strong(tag))
}

/// Whether what was last modified then is not newer than what a client has. A date that is none is no condition.
fn is_unmodified(modified: Option<&str>, since: &str) -> bool {
    let (modified, since) = (modified.map(httpdate::parse_http_date), httpdate::parse_http_date(since));
    matches!((modified, since), (Some(Ok(modified)), Ok(since)) if modified <= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_strong() {
        for listed in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(is_listed("\"a\"", listed), "{listed}");
        }
        for other in ["\"b\"", "", "a", "\"aa\""] {
            assert!(!is_listed("\"a\"", other), "{other}");
        }
    }

    #[test]
    fn an_error_is_a_page_for_a_browser_and_json_for_the_rest() {
        let problem = Problem::new(404, "no <b>", "look");
        let mut request =
            Request { target: "/x".into(), accept: Some("text/html,*/*;q=0.8".into()), ..Request::default() };
        let page = String::from_utf8(problem.response(&request).body.to_vec()).unwrap();
        assert!(page.contains("no &lt;b&gt;") && !page.contains("<b>"), "{page}");
        for (path, style, top) in [
            ("/x", "static/status.css", "./"),
            ("/x/y?z=/", "../static/status.css", "./../"),
            ("", "static/status.css", "./"),
        ] {
            request.target = path.into();
            let page = String::from_utf8(problem.response(&request).body.to_vec()).unwrap();
            let links = [format!("href=\"{style}\""), format!("href=\"{top}\"")];
            assert!(links.iter().all(|link| page.contains(link)), "{path}: {page}");
        }
        request.target = "/api/x".into();
        let json = problem.response(&request).body.to_vec();
        assert_eq!(json, b"{\"error\":\"no <b>\",\"hint\":\"look\"}\n");
    }
}
