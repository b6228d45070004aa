//! The fuzz targets of `tests/fuzz` as a plain test, which needs no other compiler: everything in the corpus, and then for
//! some seconds (`WELLKEEP_FUZZ_SECONDS`, 5 by default, for each of the two) what comes of changing it at random.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "fuzz/bodies.rs"]
mod bodies;

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// Pieces with a meaning to one of the two.
const PIECES: [&[u8]; 40] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"Host: localhost\r\n",
    b"Host:",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Accept: text/html\r\n",
    b"Accept: application/openmetrics-text\r\n",
    b"If-None-Match: *\r\n",
    b"/api/status",
    b"/api/status/flask_web",
    b"/metrics",
    b"/health",
    b"/..",
    b"%00",
    b"\xff",
    b"\xc3\xa4",
    b": ",
    b" ",
    b"\t",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u0000",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"\"services\":{}",
];

/// One change.
#[derive(Debug, Clone)]
enum Change {
    Byte(Index, u8),
    Piece(Index, &'static [u8]),
    Cut(Index, Index),
    Twice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), select(&PIECES[..])).prop_map(|(at, piece)| Change::Piece(at, piece)),
        (at(), at()).prop_map(|(from, to)| Change::Cut(from, to)),
        (at(), at()).prop_map(|(from, to)| Change::Twice(from, to)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let at = |index: &Index| index.index(bytes.len() + 1);
        let between = |from: &Index, to: &Index| (at(from).min(at(to)), at(from).max(at(to)));
        match change {
            Change::Byte(index, byte) => {
                let at = at(index);
                bytes.splice(at..(at + 1).min(bytes.len()), [*byte]);
            }
            Change::Piece(index, piece) => {
                let at = at(index);
                bytes.splice(at..at, piece.iter().copied());
            }
            Change::Cut(from, to) => {
                let (from, to) = between(from, to);
                bytes.drain(from..to);
            }
            Change::Twice(from, to) => {
                let (from, to) = between(from, to);
                let again = bytes[from..to].to_vec();
                bytes.splice(to..to, again);
            }
        }
    }
    bytes
}

/// Tries the corpus as it is, and then changed until the time is over.
fn fuzz(name: &str, body: fn(&[u8])) {
    let corpus = bodies::corpus(name);
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|bytes| body(bytes));
    let seconds = std::env::var("WELLKEEP_FUZZ_SECONDS").map_or(5, |seconds| seconds.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let inputs = (prop_oneof![9 => select(corpus), 1 => Just(Vec::new())], vec(change(), 0..8));
    let mut count = 0;
    while Instant::now() < end {
        // The same inputs in each run, as many as there is time for: what is new is for `tests/fuzz/run` to find, and not for
        // whoever changes something else.
        let rng_seed = RngSeed::Fixed(count);
        let config = Config { cases: 64, failure_persistence: None, rng_seed, ..Config::default() };
        let outcome = TestRunner::new(config).run(&inputs, |(bytes, changes)| {
            body(&changed(bytes, &changes));
            Ok(())
        });
        if let Err(TestError::Fail(reason, (bytes, changes))) = outcome {
            // To be kept in the corpus.
            panic!("{reason}\n{}", changed(bytes, &changes).escape_ascii());
        }
        count += 64;
    }
    println!("{name}: {count} inputs");
}

#[test]
fn every_request_gets_one_answer_that_can_be_read_and_the_server_one_request_or_none() {
    fuzz("request", bodies::request);
}

#[test]
fn whatever_the_file_holds_every_address_is_answered_and_nothing_is_green_without_a_reason() {
    fuzz("document", bodies::document);
}
