//! The `viewer` block: where the page listens, and who may see what of it.

use std::net::IpAddr;
use std::time::Duration;

use super::decode::{Decode, Fields, Refusal};
use super::expand::SecretSource;
use super::tree::Node;
use super::{Access, Details, LISTEN_HELP, Login, Viewer, listen};

/// The keys of `viewer`.
pub(super) const VIEWER_KEYS: [&str; 10] = [
    "listen",
    "port_fallback",
    "refresh",
    "title",
    "announcements",
    "hosts",
    "base_path",
    "cors",
    "public_details",
    "access",
];

/// The keys of `access`.
pub(super) const ACCESS_KEYS: [&str; 3] = ["token", "user", "password"];

const HOST_HELP: &str = "write a name such as status.example.org";
const ORIGIN_HELP: &str = "write for example https://example.org: scheme, name, and the port if it has one";
const BASE_PATH_HELP: &str = "write for example /wellkeep";
const SECRET_HELP: &str = "write ${credential:NAME}, with `LoadCredential=NAME:/path` in the unit of the viewer, or \
     ${file:/path}";

pub(super) fn viewer(decode: &mut Decode<'_>, node: &Node) -> Viewer {
    let default = Viewer::default();
    let Some(fields) = decode.fields(node, &VIEWER_KEYS) else {
        return default;
    };
    let noun = "an address to listen on";
    let listen = fields.get("listen").and_then(|node| decode.parsed(node, noun, LISTEN_HELP, listen));
    let port_fallback = fields.get("port_fallback").and_then(|node| decode.boolean(node));
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let refresh = fields.get("refresh").and_then(|node| decode.duration(node, range));
    let base_path =
        fields.get("base_path").and_then(|node| decode.parsed(node, "a path", BASE_PATH_HELP, base_path));
    Viewer {
        listen: listen.unwrap_or(default.listen),
        port_fallback: port_fallback.unwrap_or(default.port_fallback),
        refresh: refresh.unwrap_or(default.refresh),
        title: fields.get("title").and_then(|node| decode.line(node, "a title", "write text on one line")),
        announcements: announcements(decode, fields),
        hosts: list(decode, fields, "hosts", "a host name", HOST_HELP, host),
        base_path: base_path.unwrap_or_default(),
        cors: list(decode, fields, "cors", "an origin", ORIGIN_HELP, origin),
        details: details(decode, fields),
    }
}

fn announcements(decode: &mut Decode<'_>, fields: Fields<'_>) -> Vec<String> {
    let Some(node) = fields.get("announcements") else { return Vec::new() };
    let (noun, help) = ("an announcement", "write text on one line");
    let items = decode.one_or_many(node, noun, help);
    items.iter().filter_map(|item| decode.line(item, noun, help)).collect()
}

fn list(
    decode: &mut Decode<'_>,
    fields: Fields<'_>,
    key: &str,
    noun: &str,
    help: &str,
    parse: fn(&str) -> Result<String, Refusal>,
) -> Vec<String> {
    let Some(node) = fields.get(key) else { return Vec::new() };
    let items = decode.one_or_many(node, noun, help);
    items.iter().filter_map(|item| decode.parsed(item, noun, help, parse)).collect()
}

/// Who has a password for the details means that not everybody shall see them: the two keys together say that once.
fn details(decode: &mut Decode<'_>, fields: Fields<'_>) -> Details {
    let public = fields.get("public_details").and_then(|node| decode.boolean(node));
    let access = fields.get("access").and_then(|node| access(decode, node));
    if let (Some(true), Some(key)) = (public, fields.key("access")) {
        let message = "found `access` beside `public_details: true`, with which it protects nothing";
        decode.complain(key, message, "remove one of the two");
    }
    match access {
        Some(access) => Details::With(access),
        None if public == Some(false) => Details::Nobody,
        None => Details::Everybody,
    }
}

fn access(decode: &mut Decode<'_>, node: &Node) -> Option<Access> {
    let fields = decode.fields(node, &ACCESS_KEYS)?;
    let problems = decode.complaints();
    let token = fields.get("token").and_then(|node| secret(decode, node));
    let help = "write a name without a colon";
    let user = fields.get("user").and_then(|node| decode.parsed(node, "a user name", help, user_name));
    let password = fields.get("password").and_then(|node| secret(decode, node));
    if decode.complaints() > problems {
        return None;
    }
    match (&user, &password) {
        (Some(_), None) => {
            decode.complain(node, "found a `user` and no `password`", format!("password: {SECRET_HELP}"));
        }
        (None, Some(_)) => decode.complain(node, "found a `password` and no `user`", "add `user: NAME`"),
        (None, None) if token.is_none() => {
            let help = "write `token`, or `user` and `password`";
            decode.complain(node, "found nothing by which anybody could be let in", help);
        }
        _ => {}
    }
    let login = user.zip(password).map(|(user, password)| Login { user, password });
    Some(Access { token, login })
}

/// Where a secret stands. Only the viewer reads it, and not here: the monitor, which reads all of the file, has no
/// business with it. A message never holds the text, which may be the secret itself.
fn secret(decode: &mut Decode<'_>, node: &Node) -> Option<SecretSource> {
    let Some(text) = node.text() else {
        decode.wrong_type(node, "the place of a secret", SECRET_HELP);
        return None;
    };
    let source = SecretSource::parse(text);
    if source.is_none() {
        let message = "found a text that is not the place of a secret, and everybody may read this file";
        decode.complain(node, message, SECRET_HELP);
    }
    source
}

fn user_name(text: &str) -> Result<String, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::new("is empty"));
    }
    // Basic authentication ends the name at the first colon.
    if text.contains(':') || text.chars().any(char::is_control) {
        return Err(Refusal::new("holds a colon or a control character"));
    }
    Ok(text.to_owned())
}

/// A name or an address as it stands in `Host`, in lower case and without a port.
fn host(text: &str) -> Result<String, Refusal> {
    if text.contains('/') {
        return Err(Refusal::new("is a URL or a path and not a name"));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    if text.contains(':') {
        return Err(Refusal::new("has a port, which does not count here").help("write the name alone"));
    }
    if text == "*" {
        let why = "stands for all names: then any web page could point a name at this machine and read along";
        return Err(Refusal::new(why).help("write the names"));
    }
    match is_host_name(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Refusal::new("is not a host name")),
    }
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// An origin as browsers send it: lower case, and without the port that is usual for its scheme.
fn origin(text: &str) -> Result<String, Refusal> {
    if text == "*" {
        let why = "stands for all origins: then any web page that somebody looks at could read along";
        return Err(Refusal::new(why).help("write the origins"));
    }
    let text = text.to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://").ok_or_else(|| Refusal::new("has no scheme"))?;
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Err(Refusal::new("has a scheme other than http and https")),
    };
    if rest.contains(['/', '?', '#', '@']) {
        let why = "is more than an origin, which ends before the first slash";
        return Err(Refusal::new(why));
    }
    let rest = rest.strip_suffix(usual).unwrap_or(rest);
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (rest, None),
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_name = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(name),
    };
    if !is_name || port.is_some_and(|port| super::tcp_port(port).is_err()) {
        return Err(Refusal::new("is not an origin"));
    }
    Ok(format!("{scheme}://{rest}"))
}

/// A path without a slash at its end; `/` is none at all.
fn base_path(text: &str) -> Result<String, Refusal> {
    let Some(path) = text.strip_prefix('/') else {
        return Err(Refusal::new("does not begin with a slash"));
    };
    if path.is_empty() {
        return Ok(String::new());
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_segment = |segment: &str| {
        !["", ".", ".."].contains(&segment)
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    if !path.split('/').all(is_segment) {
        return Err(Refusal::new("has parts that are not letters, digits, `-`, `.`, `_` and `~`"));
    }
    Ok(format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (written, sent) in [
            ("https://Example.org", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://example.org:80", "http://example.org"),
            ("https://example.org:8443", "https://example.org:8443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(origin(written).ok().as_deref(), Some(sent), "{written}");
        }
        for wrong in
            ["*", "example.org", "https://example.org/", "ftp://h", "https://", "https://h:x", "null"]
        {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_base_path_has_a_slash_before_it_and_none_after_it() {
        for (written, kept) in [("/", ""), ("/a", "/a"), ("/a/", "/a"), ("/a/b-1.2_3~", "/a/b-1.2_3~")] {
            assert_eq!(base_path(written).ok().as_deref(), Some(kept), "{written}");
        }
        for wrong in ["", "a", "//", "/a//b", "/..", "/a/./b", "/a?b", "/a b", "/\"", "/%2e"] {
            assert!(base_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_without_a_port() {
        for (written, kept) in [("Status.example.org", "status.example.org"), ("::1", "::1"), ("a", "a")] {
            assert_eq!(host(written).ok().as_deref(), Some(kept), "{written}");
        }
        for wrong in ["", "*", "a:80", "http://a", "a/b", "a..b", "a b", "."] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
