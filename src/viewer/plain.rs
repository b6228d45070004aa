//! The state for those without JavaScript: a small table, made from the document like everything else. It claims no more
//! than the page: what cannot be believed is said first, and then every state is one that was.

use std::fmt::Write;

use indexmap::IndexMap;
use serde::Deserialize;

use super::http::escape;
use super::source::{Data, Snapshot};
use crate::status::{State, Timestamp};

/// So many services have a row; the worst come first. It is in every page that is sent, and almost always unread.
const ROWS: usize = 200;

/// What is read of a document, so that one without the details is enough.
#[derive(Deserialize)]
struct Named {
    services: IndexMap<String, Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    state: State,
    since: Timestamp,
}

/// The table, and above it how far it can be believed.
pub(super) fn plain(snapshot: &Snapshot) -> String {
    if snapshot.data == Data::None {
        return said("There is no data", snapshot.reason.as_deref());
    }
    let Ok(Named { services }) = snapshot.document.parse() else {
        return said("The data cannot be understood", Some("run the same version of monitor and viewer"));
    };
    let made = snapshot.document.head.generated_at;
    let is_old = snapshot.data.is_stale();
    let mut html = if is_old {
        said("This is old data: it is what was last known", snapshot.reason.as_deref())
    } else {
        // Of live checks it is said who looked.
        said(&summary(&services), snapshot.reason.as_deref())
    };
    let mut rows: Vec<&Row> = services.values().collect();
    rows.sort_by_key(|row| row.state);
    let _ = write!(
        html,
        "<table class=\"wk-plain\">\n<caption>As of {made}; the page must be loaded again for news.</caption>\n\
         <thead><tr><th scope=\"col\">Service</th><th scope=\"col\">State</th><th scope=\"col\">Since</th></tr></thead>\n<tbody>\n"
    );
    for Row { name, state, since } in rows.iter().take(ROWS) {
        let (name, was) = (escape(name), if is_old { "was " } else { "" });
        // With a space, where a narrow screen may break the line.
        let since = since.to_string().replace('T', " ").replace('Z', " UTC");
        let _ = writeln!(html, "<tr><th scope=\"row\">{name}</th><td>{was}{state}</td><td>{since}</td></tr>");
    }
    html.push_str("</tbody>\n</table>\n");
    if let Some(more) = rows.len().checked_sub(ROWS).filter(|more| *more > 0) {
        let _ = writeln!(html, "<p>And {more} more, none of them in a worse state.</p>");
    }
    html
}

fn summary(services: &IndexMap<String, Row>) -> String {
    let well = services.values().filter(|row| row.state == State::Up).count();
    match services.len() {
        0 => "No services are configured".to_owned(),
        all if all == well => format!("All services are well: {all}"),
        all => format!("{well} of {all} services are well"),
    }
}

fn said(headline: &str, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(": {}", escape(reason))).unwrap_or_default();
    format!("<p><strong>{}</strong>{reason}.</p>\n", escape(headline))
}
