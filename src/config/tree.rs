//! The text of a file -> [`Node`]s. Only this file and `syntax` know the YAML parser.
//!
//! The parser tells where something stands only in an error. So a node gets a number instead of a place, in the
//! order of the file; whoever has a complaint about a node has [`locate`] read the text once more and fail exactly
//! there. A file without problems never pays for it.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::decode::shown;
use super::problem::Place;
use super::syntax::{REPETITION, SyntaxError, place_in, refuse_control_characters, syntax_error};

/// Three times as many as 1 MiB of services has; only aliases of aliases get there.
const NODE_LIMIT: u32 = 500_000;

/// A value of the file, or a key.
#[derive(Debug)]
pub(crate) struct Node {
    /// Counts the nodes of all files in reading order: a block, then its first key, then that key's value ...
    pub(crate) id: u32,
    pub(crate) value: Value,
}

impl Node {
    /// The text as written; none for lists, blocks, tags and for nothing.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, kind } if *kind != Kind::Null => Some(text),
            _ => None,
        }
    }
}

/// What stands at a node.
#[derive(Debug)]
pub(crate) enum Value {
    /// Text, a number, true or false, or nothing: always with the text as written.
    Scalar { text: String, kind: Kind },
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the file. A key may stand here twice.
    Block(Vec<(Node, Node)>),
    /// Something under a `!tag`, which is not read further.
    Tagged(String),
}

/// What YAML takes a scalar for. The text decides in the end, for a text with a `${VARIABLE}` may become a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `~`, `null`, or nothing at all.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// Anything else, and anything in quotes.
    Text,
}

/// Reads a text whose first node gets the number `first`; also gives the number after that of its last node.
pub(crate) fn read(text: &str, first: u32) -> Result<(Node, u32), SyntaxError> {
    refuse_control_characters(text)?;
    let syntax = |error: serde_yaml::Error| syntax_error(text, &error);
    let numbers = Numbers::from(first);
    let mut root = Build(&numbers).deserialize(document(text)).map_err(syntax)?;
    if let Some(second) = serde_yaml::Deserializer::from_str(text).nth(1) {
        return Err(SyntaxError {
            place: place_of(Build(&Numbers::up_to(first, first)).deserialize(second)),
            message: "found a second document after `---`".into(),
            help: Some(
                "write all services into one document, or into files of their own and `include` them".into(),
            ),
        });
    }
    AsWritten(&mut root).deserialize(document(text)).map_err(syntax)?;
    Ok((root, numbers.next.get()))
}

/// Where the node with the number `id` stands in a text whose first node has the number `first`. A node under an
/// alias stands where its anchor is.
pub(crate) fn locate(text: &str, first: u32, id: u32) -> Option<Place> {
    place_of(Build(&Numbers::up_to(first, id)).deserialize(document(text)))
}

/// What a node is called from the root on: `services[0].interval`. Empty for the root.
pub(crate) fn path_of(root: &Node, id: u32) -> String {
    let mut path = String::new();
    let mut here = root;
    while here.id != id {
        here = match &here.value {
            Value::List(items) => {
                let index = items.partition_point(|item| item.id <= id) - 1;
                path.push_str(&format!("[{index}]"));
                &items[index]
            }
            Value::Block(entries) => {
                let (key, value) = &entries[entries.partition_point(|(key, _)| key.id <= id) - 1];
                let dot = if path.is_empty() { "" } else { "." };
                path.push_str(dot);
                path.push_str(&key.text().map_or("?".into(), |key| shown(&step(key))));
                if id < value.id {
                    return path;
                }
                value
            }
            Value::Scalar { .. } | Value::Tagged(_) => return path,
        };
    }
    path
}

/// A key as a step of a path. It ends where no key goes on: `{"Authorization: Bearer s3cret"}` is a key, too.
fn step(key: &str) -> Cow<'_, str> {
    match key.find(|c: char| c.is_whitespace() || matches!(c, ':' | '=' | '@' | '?')) {
        Some(at) => Cow::Owned(format!("{}...", &key[..at])),
        None => Cow::Borrowed(key),
    }
}

fn place_of(read: Result<Node, serde_yaml::Error>) -> Option<Place> {
    place_in(&read.err()?)
}

/// The first document of a text; an empty text has an empty one.
fn document(text: &str) -> serde_yaml::Deserializer<'_> {
    serde_yaml::Deserializer::from_str(text).next().expect("the parser gives a first document for every text")
}

/// Hands out the numbers of the nodes.
struct Numbers {
    next: Cell<u32>,
    limit: u32,
    stop_at: Option<u32>,
}

impl Numbers {
    fn from(first: u32) -> Numbers {
        Numbers { next: Cell::new(first), limit: first.saturating_add(NODE_LIMIT), stop_at: None }
    }

    fn up_to(first: u32, id: u32) -> Numbers {
        Numbers { stop_at: Some(id), ..Numbers::from(first) }
    }

    /// The next number, or the error that makes the parser tell the place.
    fn next<E: de::Error>(&self) -> Result<u32, E> {
        let id = self.next.get();
        if self.stop_at == Some(id) {
            return Err(E::custom("here"));
        }
        if id >= self.limit {
            return Err(E::custom(REPETITION));
        }
        self.next.set(id + 1);
        Ok(id)
    }
}

/// Builds a node and everything in it. The text of a number, of true and false is missing yet: see [`AsWritten`].
#[derive(Clone, Copy)]
struct Build<'n>(&'n Numbers);

impl Build<'_> {
    fn scalar<E: de::Error>(self, kind: Kind, text: &str) -> Result<Node, E> {
        Ok(Node { id: self.0.next()?, value: Value::Scalar { text: text.to_owned(), kind } })
    }
}

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.scalar(Kind::Null, "")
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.scalar(Kind::Null, "")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
        self.scalar(Kind::Bool, "")
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Node, E> {
        self.scalar(Kind::Number, "")
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Node, E> {
        self.scalar(Kind::Number, "")
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Node, E> {
        self.scalar(Kind::Number, "")
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Node, E> {
        self.scalar(Kind::Number, "")
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
        self.scalar(Kind::Number, "")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        self.scalar(Kind::Text, text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let id = self.0.next()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node { id, value: Value::List(list) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let id = self.0.next()?;
        let mut block = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            block.push((key, entries.next_value_seed(self)?));
        }
        Ok(Node { id, value: Value::Block(block) })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let id = self.0.next()?;
        let (tag, content) = tagged.variant::<String>()?;
        content.newtype_variant::<IgnoredAny>()?;
        Ok(Node { id, value: Value::Tagged(tag) })
    }
}

/// Fills in the text of every scalar as written: `1.10` is not the number 1.1, and a name may be `0123`. The parser
/// gives it only to those who know that a scalar comes next, so this second reading follows the tree of the first.
struct AsWritten<'n>(&'n mut Node);

impl<'de> DeserializeSeed<'de> for AsWritten<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match &mut self.0.value {
            Value::Scalar { kind: Kind::Null, .. } | Value::Tagged(_) => {
                IgnoredAny::deserialize(deserializer).map(drop)
            }
            Value::Scalar { text, .. } => {
                *text = String::deserialize(deserializer)?;
                Ok(())
            }
            Value::List(_) | Value::Block(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for AsWritten<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list or block of the first reading")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if let Value::List(list) = &mut self.0.value {
            for item in list {
                items.next_element_seed(AsWritten(item))?;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        if let Value::Block(block) = &mut self.0.value {
            for (key, value) in block {
                entries.next_key_seed(AsWritten(key))?;
                entries.next_value_seed(AsWritten(value))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every node of a text with its path, its place, and whether it is a key.
    fn places(text: &str) -> Vec<String> {
        let (root, end) = read(text, 7).unwrap();
        (7..end)
            .map(|id| {
                let Place { line, column } = locate(text, 7, id).unwrap();
                format!("{line}:{column} {}", path_of(&root, id))
            })
            .collect()
    }

    #[test]
    fn keys_and_values_are_found_in_blocks_lists_and_brackets() {
        let text = "a: 1\nb:\n  - c: x\n    d: [é, \"2\", {e: ~}]\n  -\nb: 2\n";
        assert_eq!(
            places(text),
            [
                "1:1 ",
                "1:1 a",
                "1:4 a",
                "2:1 b",
                "3:3 b",
                "3:5 b[0]",
                "3:5 b[0].c",
                "3:8 b[0].c",
                "4:5 b[0].d",
                "4:8 b[0].d",
                "4:9 b[0].d[0]",
                "4:12 b[0].d[1]",
                "4:17 b[0].d[2]",
                "4:18 b[0].d[2].e",
                "4:21 b[0].d[2].e",
                "5:4 b[1]",
                "6:1 b",
                "6:4 b",
            ]
        );
    }

    #[test]
    fn a_node_under_an_alias_stands_at_its_anchor() {
        let text = "a: &a\n  b: 1\nc: *a\nd: 2\n";
        assert_eq!(places(text)[4..], ["2:6 a.b", "3:1 c", "1:4 c", "2:3 c.b", "2:6 c.b", "4:1 d", "4:4 d"]);
    }

    #[test]
    fn aliases_that_unfold_beyond_any_text_are_refused_before_they_fill_the_memory() {
        let list = format!("[{}]", vec!["x"; 20_000].join(", "));
        let text = format!("a: &a {list}\nb: [{}]\n", vec!["*a"; 100].join(", "));
        assert_eq!(read(&text, 0).unwrap_err().message, "found aliases that unfold without end");
        assert_eq!(
            read("a: &a [*a]", 0).unwrap_err().message,
            "found more than 128 blocks inside each other"
        );
    }

    #[test]
    fn nothing_tagged_is_read() {
        let (root, _) = read("a: !b {c: d}\ne: !f [g]\nh: !i j\nk: 1", 0).unwrap();
        let Value::Block(entries) = &root.value else {
            panic!("{root:?}");
        };
        let tags = entries.iter().filter(|(_, value)| matches!(value.value, Value::Tagged(_)));
        assert_eq!((tags.count(), entries[3].1.text()), (3, Some("1")));
    }
}
