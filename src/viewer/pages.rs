//! What is built into the binary. No path of a URL ever reaches the disk, because there is nothing there to reach.

use std::borrow::Cow;
use std::time::Duration;

use super::encoding::gzip_well;
use super::http::{HTML, JSON, Request, Response, escape, fingerprint};
use super::openapi;
use crate::config;
use crate::status::history::{History, Incidents};
use crate::status::{self, Document};

/// The pages and what belongs to them, ready to be sent.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) index: Asset,
    pub(super) admin: Asset,
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

/// One thing that never changes while the program runs.
#[derive(Debug)]
pub(super) struct Asset {
    content_type: &'static str,
    body: Cow<'static, [u8]>,
    packed: Option<Vec<u8>>,
    tag: String,
}

impl Pages {
    /// `{{title}}` and `{{refresh_s}}` in the two pages are replaced here, once.
    pub(super) fn new(title: &str, refresh: Duration) -> Pages {
        let page = |html: &str| {
            let refresh_s = refresh.as_secs().max(1).to_string();
            let html = html.replace("{{refresh_s}}", &refresh_s).replace("{{title}}", &escape(title));
            Asset::new(HTML, html.into_bytes())
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

impl Asset {
    fn new(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Asset {
        let body = body.into();
        let (packed, tag) = (gzip_well(&body), format!("{:016x}", fingerprint(&body)));
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
    fn the_pages_carry_the_title_as_text_and_the_refresh_in_seconds() {
        let pages = Pages::new("<b>\"web\"</b>", Duration::from_secs(20));
        for page in [&pages.index, &pages.admin] {
            let html = std::str::from_utf8(&page.body).unwrap();
            assert!(html.contains("&lt;b&gt;&quot;web&quot;&lt;/b&gt;"), "{html}");
            assert!(html.contains("20") && !html.contains("{{"), "{html}");
        }
    }
}
