//! The way of a request from its bytes to those of the answer, without a socket: the same head parser, the same routes, the
//! same words of the server. For fuzzing, which has no time for sockets.

use super::front::{HEADERS, Passed, find_end, refusal, with_connection};
use super::http::{Method, Request, Response};
use super::lines;
use super::server;

/// The answer to the first request in what a client sent, as it would go over the wire; none while its head has no end.
///
/// # Panics
/// When what is passed on to the server is not one whole request without a body, or when the server's answer is one that
/// the front could not read. Each would cost the viewer one of its lines for good.
pub(super) fn answer(received: &[u8], handler: impl Fn(Request) -> Response) -> Option<Vec<u8>> {
    let passed = match Passed::parse(&received[..find_end(received)?], None) {
        Ok(passed) => passed,
        Err(problem) => return Some(refusal(&problem).into_bytes()),
    };
    let (head, body) = server::parts(handler(request(&passed.text)));
    let lengths = lines::lengths(&head, passed.is_head).expect("the server's answer can be read");
    let lengths = lengths.expect("the server's answer has an end");
    assert_eq!(head.len(), lengths.head, "the head is followed by something");
    let body = if lengths.body > 0 { &*body } else { &[] };
    assert_eq!(body.len(), lengths.body, "another length is told");
    Some([&with_connection(&head, passed.is_last), body].concat())
}

/// What the server reads of what was passed on.
fn request(text: &str) -> Request {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS + 1];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(text.as_bytes());
    assert_eq!(parsed, Ok(httparse::Status::Complete(text.len())), "one request and nothing else: {text:?}");
    let header = |name: &str| {
        let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let values: Vec<&str> =
            named.map(|header| std::str::from_utf8(header.value).expect("ASCII")).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("OPTIONS") => Method::Options,
        _ => Method::Other,
    };
    Request::new(method, request.path.unwrap_or_default().to_owned(), header)
}
