//! Pages of other origins that may read the API. Only those in the configuration: a browser would let any page that
//! somebody looks at read what that somebody can reach.
//!
//! Reading needs no question beforehand (preflight) unless the page adds a header of its own, as some libraries do; then
//! the answer allows harmless ones. `Authorization` is not among them: a page that holds the credentials publishes them.

use super::http::{Method, Request, Response};

/// Beside what every page may read: by `Age` and `Date` the widget tells how old the data is.
const READABLE: &str = "Age, Date, ETag, Retry-After";

const HEADERS: &str = "Accept, Cache-Control, Content-Type, If-Modified-Since, If-None-Match, Pragma";

/// The origins that may read.
#[derive(Debug)]
pub(super) struct Cors(Vec<String>);

impl Cors {
    pub(super) fn new(origins: Vec<String>) -> Cors {
        Cors(origins)
    }

    /// The answer to a browser that asks beforehand.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.method == Method::Options && request.asks_for_method;
        (asks && self.allows(request)).then(|| {
            Response::empty(204)
                .with("Access-Control-Allow-Methods", "GET, HEAD")
                .with("Access-Control-Allow-Headers", HEADERS)
                .with("Access-Control-Max-Age", "3600")
        })
    }

    /// The answer with the permission to read it, also of an error, where the origin has it.
    pub(super) fn permit(&self, request: &Request, response: Response) -> Response {
        if self.0.is_empty() {
            return response;
        }
        let response = response.vary("Origin");
        match request.origin.clone().filter(|_| self.allows(request)) {
            Some(origin) => response
                .with("Access-Control-Allow-Origin", origin)
                .with("Access-Control-Expose-Headers", READABLE),
            None => response,
        }
    }

    fn allows(&self, request: &Request) -> bool {
        request.origin.as_ref().is_some_and(|origin| self.0.contains(origin))
    }
}
