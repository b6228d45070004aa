//! What is built into the binary. No path of a URL ever reaches the disk, because there is nothing there to reach.

use std::borrow::Cow;
use std::sync::Mutex;
use std::time::Duration;

use super::encoding::{gzip_fast, gzip_well};
use super::http::{HTML, JSON, Request, Response, escape, fingerprint};
use super::openapi;
use super::plain::plain;
use super::source::{Snapshot, lock};
use crate::config;
use crate::status::history::{History, Incidents};
use crate::status::{self, Document};

/// The pages and what belongs to them, ready to be sent.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) index: Page,
    pub(super) admin: Page,
    pub(super) script: Asset,
    pub(super) style: Asset,
    pub(super) icon: Asset,
    pub(super) openapi: Asset,
    pub(super) status_schema: Asset,
    pub(super) history_schema: Asset,
    pub(super) incidents_schema: Asset,
    pub(super) config_schema: Asset,
    /// The title, for the badge of the host.
    pub(super) title: String,
}

/// A page: all of it but the table for those without JavaScript, which stands between the two.
#[derive(Debug)]
pub(super) struct Page {
    before: String,
    after: String,
    /// The whole for the last snapshot that it was asked for with, by the tag of that: a thousand requests a second cost
    /// no more than one.
    latest: Mutex<Option<(String, Asset)>>,
}

/// One thing ready to be sent, in plain and packed. All but the pages never change while the program runs.
#[derive(Debug)]
pub(super) struct Asset {
    content_type: &'static str,
    body: Cow<'static, [u8]>,
    packed: Option<Vec<u8>>,
    tag: String,
}

impl Pages {
    /// `{{title}}`, `{{announcements}}` and `{{refresh_s}}` in the two pages are replaced here, once; `{{plain}}` when one is asked for.
    pub(super) fn new(title: &str, announcements: &[String], refresh: Duration) -> Pages {
        let announcements: String = announcements
            .iter()
            .map(|line| format!("<p class=\"wk-announcement\">{}</p>\n", escape(line)))
            .collect();
        let page = |html: &str| {
            let (before, after) = html.split_once("{{plain}}").expect("the pages have a place for the table");
            let refresh_s = refresh.as_secs().max(1).to_string();
            let fill = |part: &str| {
                let part = part.replace("{{refresh_s}}", &refresh_s).replace("{{title}}", &escape(title));
                part.replace("{{announcements}}", &announcements)
            };
            Page { before: fill(before), after: fill(after), latest: Mutex::default() }
        };
        let schema = |text: &str| Asset::new("application/schema+json", text.as_bytes().to_vec());
        let script: &[u8] = include_bytes!("../../static/status.js");
        let style: &[u8] = include_bytes!("../../static/status.css");
        let icon: &[u8] = include_bytes!("../../static/favicon.svg");
        Pages {
            index: page(include_str!("../../static/index.html")),
            admin: page(include_str!("../../static/admin.html")),
            script: Asset::new("text/javascript; charset=utf-8", script),
            style: Asset::new("text/css; charset=utf-8", style),
            icon: Asset::new("image/svg+xml", icon),
            openapi: Asset::new(JSON, openapi::document().to_string().into_bytes()),
            status_schema: schema(&status::schema::<Document>()),
            history_schema: schema(&status::schema::<History>()),
            incidents_schema: schema(&status::schema::<Incidents>()),
            config_schema: schema(config::SCHEMA),
            title: title.to_owned(),
        }
    }
}

impl Page {
    /// The page with the state as `snapshot` has it, which must be the request's own: it may be one without details.
    pub(super) fn response(&self, snapshot: &Snapshot, request: &Request) -> Response {
        let tag = snapshot.tag();
        let mut latest = lock(&self.latest);
        if let Some((_, page)) = latest.as_ref().filter(|(of, _)| *of == tag) {
            return page.response(request);
        }
        let html = [self.before.as_str(), &plain(snapshot), &self.after].concat();
        let page = Asset::packed_by(gzip_fast, HTML, html.into_bytes());
        let response = page.response(request);
        *latest = Some((tag, page));
        response
    }
}

impl Asset {
    fn new(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Asset {
        Asset::packed_by(gzip_well, content_type, body)
    }

    fn packed_by(
        pack: fn(&[u8]) -> Option<Vec<u8>>,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Asset {
        let body = body.into();
        let (packed, tag) = (pack(&body), format!("{:016x}", fingerprint(&body)));
        Asset { content_type, body, packed, tag }
    }

    pub(super) fn response(&self, request: &Request) -> Response {
        let (packed, plain) = (|| self.packed.clone(), || self.body.clone());
        Response::packed_or_plain(request, 200, self.content_type, &self.tag, packed, plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_carry_title_and_announcements_as_text_and_the_refresh_in_seconds() {
        let announcements = ["We <3 Sundays".to_owned(), "and Mondays".to_owned()];
        let pages = Pages::new("<b>\"web\"</b>", &announcements, Duration::from_secs(20));
        for page in [&pages.index, &pages.admin] {
            let html = [page.before.as_str(), &page.after].concat();
            assert!(html.contains("&lt;b&gt;&quot;web&quot;&lt;/b&gt;"), "{html}");
            assert!(html.contains("20") && !html.contains("{{"), "{html}");
            assert!(
                html.contains(">We &lt;3 Sundays</p>\n<p") && html.contains(">and Mondays</p>"),
                "{html}"
            );
        }
    }
}
