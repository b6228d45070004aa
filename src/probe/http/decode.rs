//! The forms of an `http` check in `monitor.yml`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{CERTIFICATE_DAYS, JsonCondition, JsonExpect, Settings};
use crate::config::{Decode, Fields, Node, Refusal, Secrets, Value, absolute_path};

impl Settings {
    pub(crate) const KEYS: [&str; 8] =
        ["url", "headers", "expect", "redirects", "ca_file", "insecure", "slow", "certificate_days"];

    /// `http://127.0.0.1:5000/health`, or `http://unix:/run/app.sock:/health`.
    pub(crate) fn decode_short(decode: &mut Decode<'_>, node: &Node) -> Option<Settings> {
        let help = "write for example http://127.0.0.1:5000/health";
        let (url, unix_socket) = decode.parsed_with(Secrets::InUrl, node, "an HTTP URL", help, target)?;
        Some(Settings { unix_socket, ..Settings::get(url) })
    }

    /// `{url: ..., headers: ..., expect: ...}`.
    pub(crate) fn decode_block(decode: &mut Decode<'_>, fields: Fields<'_>) -> Option<Settings> {
        let target = match fields.get("url") {
            Some(node) => Settings::decode_short(decode, node),
            None => {
                let help = "add for example url: http://127.0.0.1:5000/health";
                decode.complain(fields.node, "found an http check without `url`", help);
                None
            }
        };
        let headers = fields.get("headers").map(|node| headers(decode, node));
        let expect = fields.get("expect").map(|node| Expect::decode(decode, node));
        let redirects = fields.get("redirects").map(|node| decode.integer(node, 0..=10));
        let ca_file = fields.get("ca_file").and_then(|node| decode.absolute_path(node));
        let insecure = fields.get("insecure").map(|node| decode.boolean(node));
        let slow = fields
            .get("slow")
            .and_then(|node| decode.duration(node, Duration::from_millis(1)..=Duration::from_secs(3600)));
        let certificate_days = fields.get("certificate_days").map(|node| decode.integer(node, 0..=3650));
        if let (Some(Some(true)), Some(key)) = (insecure, fields.key("ca_file")) {
            let help = "keep `ca_file` and remove `insecure`";
            decode.complain(key, "found `ca_file` beside insecure: true, which verifies nothing", help);
        }

        let defaults = target?;
        let expect = expect.unwrap_or_default();
        Some(Settings {
            headers: headers.unwrap_or_default(),
            status: expect.status.unwrap_or(defaults.status),
            body: expect.body,
            json: expect.json,
            redirects: redirects.flatten().map_or(0, |count| count as u8),
            ca_file,
            insecure: insecure.flatten().unwrap_or(false),
            slow,
            certificate_days: certificate_days.flatten().unwrap_or(CERTIFICATE_DAYS),
            url: defaults.url,
            unix_socket: defaults.unix_socket,
        })
    }
}

/// A URL and, where it names one, the unix socket to reach it by. No refusal holds more of the text than its scheme,
/// for the rest may hold a password.
fn target(text: &str) -> Result<(reqwest::Url, Option<PathBuf>), Refusal> {
    if let Some(rest) = text.strip_prefix("http://unix:") {
        return unix_target(rest);
    }
    let Some((scheme, _)) = text.split_once("://") else {
        return Err(Refusal::new("has no http:// or https:// in front"));
    };
    if text.starts_with("https://unix:") {
        return Err(
            Refusal::new("asks for TLS on a unix socket").help("write http://unix:/run/app.sock:/health")
        );
    }
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(Refusal::new("is neither http:// nor https://"));
    }
    let url = reqwest::Url::parse(text).map_err(|error| Refusal::new(format!("is not a URL ({error})")))?;
    // `http:///path` is understood as the host `path` by browsers and by the parser.
    let authority = &text[scheme.len() + 3..];
    if url.host_str().is_none_or(str::is_empty) || authority.starts_with(['/', '\\']) {
        return Err(Refusal::new("names no host"));
    }
    if url.port() == Some(0) {
        return Err(Refusal::new("has the port 0, which nobody can listen on"));
    }
    Ok((url, None))
}

/// `/run/app.sock:/health`, the end of `http://unix:/run/app.sock:/health`.
fn unix_target(rest: &str) -> Result<(reqwest::Url, Option<PathBuf>), Refusal> {
    let (socket, path) = match rest.split_once(":/") {
        Some((socket, path)) => (socket, path),
        None => (rest, ""),
    };
    let help = "write http://unix:/run/app.sock:/health";
    let socket = absolute_path(socket)
        .map_err(|_| Refusal::new("names no absolute path of a socket after `unix:`").help(help))?;
    let url = reqwest::Url::parse(&format!("http://localhost/{path}"))
        .map_err(|error| Refusal::new(format!("is not a URL ({error})")).help(help))?;
    Ok((url, Some(socket)))
}

/// The headers to send. A value is never shown.
fn headers(decode: &mut Decode<'_>, node: &Node) -> Vec<(String, String)> {
    let Value::Block(entries) = &node.value else {
        let help = "write for example headers: {Authorization: \"Bearer ${credential:token}\"}";
        decode.no_block(node, "a block of headers", help);
        return Vec::new();
    };
    entries
        .iter()
        .filter_map(|(key, value)| {
            let name = key.text()?;
            if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
                decode.complain(
                    key,
                    "found what cannot be the name of a header",
                    "use letters, digits and `-`",
                );
                return None;
            }
            let (noun, help) = ("the text of a header", "write the header's text");
            let own = |text: &str| Ok(text.to_owned());
            let text = decode.parsed_with(Secrets::Anywhere, value, noun, help, own)?;
            if reqwest::header::HeaderValue::from_str(&text).is_err() {
                let message = "found a value with a line break or another control character";
                decode.complain(
                    value,
                    message,
                    "write it on one line; a secret's file may hold more than one",
                );
                return None;
            }
            Some((name.to_owned(), text))
        })
        .collect()
}

/// The block `expect`.
#[derive(Default)]
struct Expect {
    status: Option<Vec<RangeInclusive<u16>>>,
    body: Option<regex::Regex>,
    json: Vec<JsonCondition>,
}

impl Expect {
    fn decode(decode: &mut Decode<'_>, node: &Node) -> Expect {
        let Some(fields) = decode.fields(node, &["status", "body", "json"]) else {
            return Expect::default();
        };
        let status = fields.get("status").map(|node| {
            let help = "write 200, [200, 204] or 200-299";
            let items = decode.one_or_many(node, "an HTTP status", help);
            items
                .iter()
                .filter_map(|item| decode.parsed(item, "an HTTP status", help, status_range))
                .collect()
        });
        let body = fields.get("body").and_then(|node| {
            let help = "escape what is meant literally with a backslash, inside single quotes";
            decode.parsed(node, "a regular expression", help, body_regex)
        });
        let json = match fields.get("json") {
            Some(node) => {
                let help = "write for example json: [{pointer: /status, equals: ok}]";
                let items = decode.one_or_many(node, "a list of conditions", help);
                items.iter().flat_map(|item| json_conditions(decode, item)).collect()
            }
            None => Vec::new(),
        };
        Expect { status, body, json }
    }
}

fn status_range(text: &str) -> Result<RangeInclusive<u16>, Refusal> {
    let status = |text: &str| {
        let code = text.trim().parse().ok().filter(|code| (100..=999).contains(code));
        code.ok_or_else(|| Refusal::new("is not an HTTP status from 100 to 999"))
    };
    match text.split_once('-') {
        None => status(text).map(|code| code..=code),
        Some((low, high)) => {
            let (low, high) = (status(low)?, status(high)?);
            if low > high {
                return Err(Refusal::new("ends before it begins").help(format!("write {high}-{low}")));
            }
            Ok(low..=high)
        }
    }
}

fn body_regex(text: &str) -> Result<regex::Regex, Refusal> {
    regex::Regex::new(text).map_err(|error| {
        // A syntax error is drawn over several lines; the last one says what is wrong.
        let drawn = error.to_string();
        let last = drawn.lines().last().unwrap_or_default();
        Refusal::new(format!("is not a regular expression: {}", last.trim_start_matches("error: ")))
    })
}

/// One condition of `json`: one for each of `equals`, `exists`, `min` and `max`.
fn json_conditions(decode: &mut Decode<'_>, node: &Node) -> Vec<JsonCondition> {
    let Some(fields) = decode.fields(node, &["pointer", "equals", "exists", "min", "max"]) else {
        return Vec::new();
    };
    let help = "write for example pointer: /status, or /checks/0/ok";
    let pointer = match fields.get("pointer") {
        Some(node) => decode.parsed(node, "a JSON pointer", help, |text| match text {
            "" => Ok(String::new()),
            _ if text.starts_with('/') => Ok(text.to_owned()),
            _ => Err(Refusal::new("does not begin with `/`")),
        }),
        None => {
            decode.complain(node, "found a condition without `pointer`", help);
            None
        }
    };
    let expects = json_expects(decode, fields);
    match pointer {
        Some(pointer) => {
            expects.into_iter().map(|expect| JsonCondition { pointer: pointer.clone(), expect }).collect()
        }
        None => Vec::new(),
    }
}

fn json_expects(decode: &mut Decode<'_>, fields: Fields<'_>) -> Vec<JsonExpect> {
    let names = ["equals", "exists", "min", "max"];
    if names.iter().all(|name| fields.get(name).is_none()) {
        let help = "add equals: VALUE, exists: true, min: NUMBER or max: NUMBER";
        decode.complain(fields.node, "found a condition that expects nothing", help);
    }
    let exists = fields.get("exists").and_then(|node| match decode.boolean(node)? {
        true => Some(JsonExpect::Exists),
        false => {
            decode.complain(
                node,
                "found exists: false, which is no condition",
                "write exists: true, or remove it",
            );
            None
        }
    });
    let equals = fields.get("equals").and_then(|node| decode.json(node)).map(JsonExpect::Equals);
    let min = fields.get("min").and_then(|node| decode.number(node)).map(JsonExpect::Min);
    let max = fields.get("max").and_then(|node| decode.number(node)).map(JsonExpect::Max);
    [exists, equals, min, max].into_iter().flatten().collect()
}
