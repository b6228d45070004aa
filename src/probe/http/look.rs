//! One probe: asks, goes where it is sent as far as that is allowed, reads the body.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::client::{Body, Client, Trace};
use super::judge::{self, Seen};
use super::trouble::Trouble;
use super::{BODY_LIMIT, Settings};
use crate::probe::Report;
use crate::status::Timestamp;

/// How much is read of a body that is only shown: the first 200 characters, of at most four bytes each.
const EXCERPT_BYTES: usize = 1024;

/// GETs the URL once. Name resolution, connect, TLS handshake, redirects and body have `timeout` together.
///
/// Must run on a tokio runtime. A failed probe is an outcome, never an error. Dropping the future ends the probe.
pub async fn probe(client: &Client, settings: &Settings, timeout: Duration, now: Timestamp) -> Report {
    judge::report(settings, &look(client, settings, timeout).await, now)
}

/// The same, and what took how long: for people who ask, at the cost of formatting it.
pub async fn probe_with_steps(
    client: &Client,
    settings: &Settings,
    timeout: Duration,
    now: Timestamp,
) -> Report {
    let seen = look(client, settings, timeout).await;
    Report { steps: judge::steps(settings, &seen), ..judge::report(settings, &seen, now) }
}

async fn look(client: &Client, settings: &Settings, timeout: Duration) -> Seen {
    Trace::scope(async {
        let mut seen = Seen::new(Instant::now(), timeout);
        let deadline = seen.started + timeout;
        let end = timeout_at(deadline, follow(client, settings, &mut seen)).await;
        seen.end = end.unwrap_or(Err(Trouble::TimedOut));
        seen.ended = Instant::now();
        seen.trace = Trace::take();
        seen
    })
    .await
}

/// What is known is in `seen` at any time, because the deadline may end this anywhere.
async fn follow(client: &Client, settings: &Settings, seen: &mut Seen) -> Result<(), Trouble> {
    let mut url = settings.url.clone();
    loop {
        // Headers may be secrets, and are for the server that was configured only.
        let theirs = seen.redirects.is_empty() || url.origin() == settings.url.origin();
        let headers = if theirs { &settings.headers[..] } else { &[] };
        let mut response = client.get(settings, url, headers).await?;
        let head = response.head();
        let next = judge::redirect(settings, &seen.redirects, &head);
        if let Ok(Some(next)) = next {
            seen.redirects.push(next.clone());
            seen.asked = Instant::now();
            Trace::take();
            url = next;
            continue;
        }
        seen.answered = Some(Instant::now());
        seen.body = body_wanted(settings, head.status);
        seen.head = Some(head);
        next.map_err(Trouble::Redirect)?;
        return response.read_into(&mut seen.body).await;
    }
}

/// What is read of the body of an answer with this status.
fn body_wanted(settings: &Settings, status: u16) -> Body {
    if !judge::expects(settings, status) {
        return Body::kept(EXCERPT_BYTES);
    }
    if settings.body.is_some() || !settings.json.is_empty() {
        return Body::kept(BODY_LIMIT);
    }
    Body::counted()
}
