//! The tools with which settings are taken out of [`Node`]s. A tool that meets something wrong notes it and returns
//! none, and its caller goes on: so all problems of a file are told at once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::expand::{Expand, Secrets, Sources};
use super::tree::{Kind, Node, Value};

/// A longer value is cut in a message.
const SHOWN_CHARACTERS: usize = 60;

/// Keys that people will look for, and what they are told: those of later versions, which the documentation already
/// speaks of, and what is asked for in another way.
const NO_KEYS: [(&str, &str, &str); 3] = [
    ("drill", "this version has no drills yet", "remove the key"),
    (
        "hold",
        "a hold is no setting: a person asks for it, and it ends by itself",
        "remove the key; `wellkeep hold KEY --for 10m` asks for one",
    ),
    ("notify", "this version sends no notices yet", "remove the key"),
];

/// A complaint about a node, whose place nobody has looked up yet.
#[derive(Debug)]
pub(super) struct Complaint {
    /// The node's number.
    pub(super) id: u32,
    /// What was found, and what is wrong with it.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: Option<String>,
    /// The number of a node that belongs to the story: where the key stands first.
    pub(super) first: Option<u32>,
}

/// Why a text is not what it should be, as the end of a sentence that begins with "which".
pub(crate) struct Refusal {
    why: String,
    help: Option<String>,
}

impl Refusal {
    /// `Refusal::new("has no unit")`
    pub(crate) fn new(why: impl Into<String>) -> Refusal {
        Refusal { why: why.into(), help: None }
    }

    /// Better advice than what the place gives in general.
    pub(crate) fn help(self, help: impl Into<String>) -> Refusal {
        Refusal { help: Some(help.into()), ..self }
    }

    /// The refusal as a sentence, for a command line: `it has no unit; write 10s`.
    pub(super) fn into_sentence(self, help: &str) -> String {
        format!("it {}; {}", self.why, self.help.as_deref().unwrap_or(help))
    }
}

/// The entries of a block whose keys are all known.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n> {
    /// The block itself.
    pub(crate) node: &'n Node,
    entries: &'n [(Node, Node)],
}

impl<'n> Fields<'n> {
    /// The value of a key.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|(_, value)| value)
    }

    /// The key itself, to complain about.
    pub(crate) fn key(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|(key, _)| key)
    }

    /// The entries of a block, with keys that may be unknown; none of anything else.
    pub(super) fn unchecked(node: &'n Node) -> Option<Fields<'n>> {
        match &node.value {
            Value::Block(entries) => Some(Fields { node, entries }),
            _ => None,
        }
    }

    fn entry(&self, name: &str) -> Option<&'n (Node, Node)> {
        self.entries.iter().find(|(key, _)| key.text() == Some(name))
    }
}

/// Takes values out of nodes and keeps the complaints.
pub(crate) struct Decode<'e> {
    expand: Expand<'e>,
    complaints: Vec<Complaint>,
}

impl<'e> Decode<'e> {
    pub(super) fn new(expand: Expand<'e>) -> Decode<'e> {
        Decode { expand, complaints: Vec::new() }
    }

    /// The complaints, and where the secrets come from.
    pub(super) fn finish(self) -> (Vec<Complaint>, Sources) {
        (self.complaints, self.expand.into_sources())
    }

    /// How many problems have been noted so far.
    pub(super) fn complaints(&self) -> usize {
        self.complaints.len()
    }

    /// Notes a problem: what was found at the node, and what to write instead.
    pub(crate) fn complain(&mut self, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        self.complain_at(node.id, message, help);
    }

    pub(super) fn complain_at(&mut self, id: u32, message: impl Into<String>, help: impl Into<String>) {
        self.complaints.push(Complaint { id, message: message.into(), help: Some(help.into()), first: None });
    }

    /// Like `complain`, about something that stands at another node already.
    pub(super) fn complain_again(&mut self, id: u32, first: u32, message: impl Into<String>, help: &str) {
        self.complaints.push(Complaint {
            id,
            message: message.into(),
            help: Some(help.to_owned()),
            first: Some(first),
        });
    }

    /// Refuses what no part of a configuration may hold, all over the tree: tags, merge keys, keys that stand twice.
    pub(super) fn refuse_structure(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar { .. } => {}
            Value::Tagged(tag) => self.complain(
                node,
                format!("found the tag `!{tag}`"),
                "write the value without a tag; ${NAME} is how the environment comes in, `include` how files do",
            ),
            Value::List(items) => items.iter().for_each(|item| self.refuse_structure(item)),
            Value::Block(entries) => {
                self.refuse_keys(entries);
                entries.iter().for_each(|(_, value)| self.refuse_structure(value));
            }
        }
    }

    fn refuse_keys(&mut self, entries: &[(Node, Node)]) {
        let mut seen = HashMap::new();
        for (key, _) in entries {
            let Some(name) = key.text() else {
                let message = format!("found {} as a key", found(key));
                self.complain(key, message, "write text before the colon");
                continue;
            };
            if name == "<<" {
                let help = "repeat the keys, or write what all services share under `defaults`";
                self.complain(key, "found the merge key `<<`, which is not read", help);
                continue;
            }
            let first = *seen.entry(name).or_insert(key.id);
            if first != key.id {
                self.complain_again(key.id, first, "found this key a second time", "keep one of the two");
            }
        }
    }

    /// The block at a node. Unknown keys are noted; a key that `refuse_structure` refuses is passed over.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let Value::Block(entries) = &node.value else {
            self.no_block(node, "a block of keys", &format!("known keys: {}", known.join(", ")));
            return None;
        };
        for (key, _) in entries {
            match key.text() {
                Some(name) if name != "<<" && !known.contains(&name) => self.unknown_key(key, name, known),
                _ => {}
            }
        }
        Some(Fields { node, entries })
    }

    fn unknown_key(&mut self, key: &Node, name: &str, known: &[&str]) {
        if let Some((_, message, help)) = NO_KEYS.iter().find(|(later, ..)| *later == name) {
            return self.complain(key, *message, *help);
        }
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys: {}", known.join(", ")),
        };
        self.complain(key, "unknown key", help);
    }

    /// The items of a list, or the one item that stands in its place.
    pub(crate) fn one_or_many<'n>(&mut self, node: &'n Node, noun: &str, help: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.complain(node, format!("found an empty list, expected {noun}"), help);
                &[]
            }
            Value::List(items) => items,
            _ => std::slice::from_ref(node),
        }
    }

    /// A scalar, its variables put in, and then understood by `parse`. `noun` says what it should be ("a duration"),
    /// `help` what to write ("write for example 10s"); neither is made from the value, which may be a secret.
    pub(crate) fn parsed<T>(
        &mut self,
        node: &Node,
        noun: &str,
        help: &str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        self.parsed_with(Secrets::Refused, node, noun, help, parse)
    }

    /// Like `parsed`, for a text that may hold secrets.
    pub(crate) fn parsed_with<T>(
        &mut self,
        secrets: Secrets,
        node: &Node,
        noun: &str,
        help: &str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let Some(text) = node.text() else {
            self.wrong_type(node, noun, help);
            return None;
        };
        let expanded = match self.expand.expand(text, secrets) {
            Ok(expanded) => expanded,
            Err(error) => {
                self.complain(node, format!("found a value that {}", error.why), error.help);
                return None;
            }
        };
        let found = || match secrets {
            Secrets::Refused => found(node),
            Secrets::Anywhere => found_type(node).to_owned(),
            Secrets::InUrl => match node.value {
                Value::Scalar { kind: Kind::Text, .. } => {
                    format!("\"{}\"", shown(&without_url_secrets(text)))
                }
                _ => found(node),
            },
        };
        match (parse(expanded.as_deref().unwrap_or(text)), expanded) {
            (Ok(value), _) => Some(value),
            (Err(_), Some(_)) => {
                let message = format!("found {}, whose value is not {noun}", found());
                self.complain(node, message, help);
                None
            }
            (Err(refusal), None) => {
                let message = format!("found {}, which {}", found(), refusal.why);
                self.complain(node, message, refusal.help.unwrap_or_else(|| help.to_owned()));
                None
            }
        }
    }

    pub(super) fn wrong_type(&mut self, node: &Node, noun: &str, help: &str) {
        // A tag has been refused already.
        if !matches!(node.value, Value::Tagged(_)) {
            self.complain(node, format!("found {}, expected {noun}", found(node)), help);
        }
    }

    /// Complains about what stands in the place of a block. Only its type is named, for the block may be one of
    /// secrets: `headers: "Authorization: Bearer s3cret"`.
    pub(crate) fn no_block(&mut self, node: &Node, noun: &str, help: &str) {
        // A tag has been refused already.
        if !matches!(node.value, Value::Tagged(_)) {
            self.complain(node, format!("found {}, expected {noun}", found_type(node)), help);
        }
    }

    /// Text on one line, not empty.
    pub(crate) fn line(&mut self, node: &Node, noun: &str, help: &str) -> Option<String> {
        self.parsed(node, noun, help, |text| {
            if text.trim().is_empty() {
                return Err(Refusal::new("is empty"));
            }
            if text.chars().any(char::is_control) {
                return Err(Refusal::new("holds a line break or another control character"));
            }
            Ok(text.to_owned())
        })
    }

    /// The absolute path of a file or a folder.
    pub(crate) fn absolute_path(&mut self, node: &Node) -> Option<PathBuf> {
        self.parsed(node, "an absolute path", "write a path that begins with `/`", absolute_path)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, node: &Node) -> Option<bool> {
        self.parsed(node, "true or false", "write true or false", |text| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err(Refusal::new("is neither true nor false")),
        })
    }

    /// A whole number within a range.
    pub(crate) fn integer(&mut self, node: &Node, range: RangeInclusive<u32>) -> Option<u32> {
        let (low, high) = (*range.start(), *range.end());
        let noun = match high {
            u32::MAX => format!("a whole number of at least {low}"),
            _ => format!("a whole number from {low} to {high}"),
        };
        self.parsed(node, &noun, &format!("write {noun}"), |text| {
            // Wider than the range, so that a number beyond it is not called "no number".
            let number = text.parse::<i64>().map_err(|_| Refusal::new("is not a whole number"))?;
            if number < i64::from(low) {
                return Err(Refusal::new(format!("is less than {low}")));
            }
            match u32::try_from(number) {
                Ok(number) if number <= high => Ok(number),
                _ => Err(Refusal::new(format!("is more than {high}"))),
            }
        })
    }

    /// A number.
    pub(crate) fn number(&mut self, node: &Node) -> Option<f64> {
        self.parsed(node, "a number", "write for example 100 or 0.5", |text| {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| Refusal::new("is not a number"))
        })
    }

    /// The value as JSON has it: text in quotes stays text, a number without quotes is one.
    pub(crate) fn json(&mut self, node: &Node) -> Option<serde_json::Value> {
        match &node.value {
            Value::Scalar { kind: Kind::Null, .. } => Some(serde_json::Value::Null),
            Value::Scalar { kind: Kind::Bool, .. } => self.boolean(node).map(Into::into),
            Value::Scalar { kind: Kind::Number, .. } => {
                self.parsed(node, "a number", "write for example 5 or 0.5", |text| {
                    serde_json::from_str(text).map_err(|_| Refusal::new("is not a number as JSON writes it"))
                })
            }
            Value::Scalar { kind: Kind::Text, .. } => {
                self.parsed(node, "text", "write text", |text| Ok(text.into()))
            }
            Value::List(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Block(entries) => {
                entries.iter().map(|(key, value)| Some((key.text()?.to_owned(), self.json(value)?))).collect()
            }
            Value::Tagged(_) => None,
        }
    }

    /// A duration within a range.
    pub(crate) fn duration(&mut self, node: &Node, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (low, high) =
            (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        let noun = format!("a duration from {low} to {high}");
        self.parsed(node, &noun, "write for example 10s, 5m or 1h30m", |text| {
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Refusal::new("has no unit")
                    .help(format!("write {text}s for seconds, {text}m for minutes")));
            }
            let duration = humantime::parse_duration(text).map_err(|_| Refusal::new("is not a duration"))?;
            if duration < *range.start() {
                return Err(
                    Refusal::new(format!("is shorter than {low}")).help(format!("write {low} or more"))
                );
            }
            if duration > *range.end() {
                return Err(
                    Refusal::new(format!("is longer than {high}")).help(format!("write {high} or less"))
                );
            }
            Ok(duration)
        })
    }
}

/// A path that does not depend on where the program was started.
pub(crate) fn absolute_path(text: &str) -> Result<PathBuf, Refusal> {
    if !text.starts_with('/') {
        return Err(Refusal::new("is not an absolute path"));
    }
    if text.contains('\0') {
        return Err(Refusal::new("holds a NUL character"));
    }
    Ok(PathBuf::from(text))
}

/// A port number.
pub(crate) fn tcp_port(text: &str) -> Result<u16, Refusal> {
    match text.parse::<u16>() {
        Ok(0) | Err(_) => Err(Refusal::new("is not a port number from 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

/// What stands at a node, in words. Of what looks like a URL, the user name, the password and the query are left out.
pub(crate) fn found(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, kind: Kind::Text } => format!("\"{}\"", shown(&without_secrets(text))),
        Value::Scalar { text, kind: Kind::Bool | Kind::Number } => shown(text),
        Value::Tagged(tag) => format!("the tag `!{tag}`"),
        Value::Scalar { kind: Kind::Null, .. } | Value::List(_) | Value::Block(_) => {
            found_type(node).to_owned()
        }
    }
}

/// What kind of thing stands at a node, in words, and nothing of the thing itself.
fn found_type(node: &Node) -> &'static str {
    match &node.value {
        Value::Scalar { kind: Kind::Null, .. } => "nothing",
        Value::Scalar { kind: Kind::Bool, .. } => "true or false",
        Value::Scalar { kind: Kind::Number, .. } => "a number",
        Value::Scalar { kind: Kind::Text, .. } => "text",
        Value::List(_) => "a list",
        Value::Block(_) => "a block of keys",
        Value::Tagged(_) => "a tag",
    }
}

/// Cut to a length that fits into a message, and on one line.
pub(super) fn shown(text: &str) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    let mut out: String = text.chars().take(SHOWN_CHARACTERS).map(line).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        out.push_str("...");
    }
    out
}

/// A URL may stand anywhere by mistake. An `@` or a `?` alone makes none: units and regular expressions have them.
fn without_secrets(text: &str) -> Cow<'_, str> {
    let is_like_url = text.contains("://") || (text.contains(['@', '?']) && text.contains(['/', ':', '=']));
    if is_like_url { without_url_secrets(text) } else { Cow::Borrowed(text) }
}

/// What was meant to be a URL without what may be its user name, its password or its query.
fn without_url_secrets(text: &str) -> Cow<'_, str> {
    let is_scheme = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
    let (scheme, rest) = match text.find("://") {
        Some(at) if is_scheme(&text[..at]) => text.split_at(at + 3),
        _ => ("", text),
    };
    let (host, query) = (rest.rfind('@').map_or(0, |at| at + 1), rest.find('?'));
    match query {
        // A `?` in a password, or an `@` in a query: either may be what is secret.
        Some(query) if query < host => Cow::Owned(format!("{scheme}...")),
        Some(query) => Cow::Owned(format!("{scheme}{}?...", &rest[host..query])),
        None if host == 0 => Cow::Borrowed(text),
        None => Cow::Owned(format!("{scheme}{}", &rest[host..])),
    }
}

/// The nearest of the known words, if it is near enough to be meant.
pub(crate) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
