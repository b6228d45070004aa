//! What the YAML parser says, in plain words.

use super::problem::Place;

/// What the parser says when aliases of aliases unfold too far, and `tree` as well.
pub(super) const REPETITION: &str = "repetition limit exceeded";

/// Why a text is not YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) place: Option<Place>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// The place in an error of the parser, if it has one.
pub(super) fn place_in(error: &serde_yaml::Error) -> Option<Place> {
    let location = error.location()?;
    Some(Place { line: location.line(), column: location.column() })
}

/// The line at a place.
pub(super) fn line_at(text: &str, place: Place) -> Option<String> {
    lines(text).get(place.line - 1).map(ToString::to_string)
}

/// The lines as YAML counts them: with more line breaks than other people know.
fn lines(text: &str) -> Vec<&str> {
    text.split('\n')
        .flat_map(|line| {
            line.strip_suffix('\r').unwrap_or(line).split(['\r', '\u{85}', '\u{2028}', '\u{2029}'])
        })
        .collect()
}

/// The parser refuses these too, but does not say where they stand.
pub(super) fn refuse_control_characters(text: &str) -> Result<(), SyntaxError> {
    let refused = |c: char| {
        matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}'
            | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let unmarked = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some((at, found)) = unmarked.char_indices().find(|(_, c)| refused(*c)) else {
        return Ok(());
    };
    let before = lines(&unmarked[..at]);
    Err(SyntaxError {
        place: Some(Place {
            line: before.len(),
            column: before.last().map_or(0, |line| line.chars().count()) + 1,
        }),
        message: format!("found the control character U+{:04X}", u32::from(found)),
        help: Some("remove it, or write it as an escape in double quotes".into()),
    })
}

/// The parser's error in plain words, where it is a common one.
pub(super) fn syntax_error(text: &str, error: &serde_yaml::Error) -> SyntaxError {
    let said = error.to_string();
    let mut place = place_in(error);
    let tab = place.is_some_and(|place| {
        line_at(text, place).is_some_and(|line| line.chars().nth(place.column - 1) == Some('\t'))
    });
    let problem = [" at line ", " at position ", ", while "]
        .iter()
        .fold(said.as_str(), |rest, mark| rest.split(mark).next().unwrap_or(rest));
    // These two are noticed only at the end of the file, or in the line below.
    if matches!(problem, "found unexpected end of stream" | "could not find expected ':'") {
        place = beginning(&said).or(place);
    }
    let (message, help) = match problem {
        _ if tab => ("found a tab where YAML takes only spaces", "indent with spaces"),
        "found character that cannot start any token" => (
            "found a character that cannot start a value",
            "put the value in quotes if it begins with @, `, % or the like",
        ),
        "mapping values are not allowed in this context" => (
            "found a `:` that does not belong here",
            "indent the line like its neighbours, or put the text in quotes if `: ` is part of it",
        ),
        "did not find expected key" => (
            "this line is not a key of the block it stands in",
            "indent it like its neighbours; after a text in quotes the line must end",
        ),
        "did not find expected '-' indicator" => (
            "this line does not begin with `-` as the list above it does",
            "indent it like the keys of the item above, or begin it with `- `",
        ),
        "block sequence entries are not allowed in this context" => {
            ("found a `-` that does not belong here", "begin the list on a line of its own below its key")
        }
        "could not find expected ':'" => {
            ("found a line that is no `key: value`", "write a `:` and a blank after the key")
        }
        "did not find expected ',' or ']'" => (
            "found something else where a list in brackets goes on with `,` or ends with `]`",
            "close the bracket",
        ),
        "did not find expected ',' or '}'" => (
            "found something else where a block in braces goes on with `,` or ends with `}`",
            "close the brace; a value that begins with `{` needs quotes",
        ),
        "did not find expected node content" => {
            ("found no value where one should stand", "write the value, and close the bracket or the brace")
        }
        "found unexpected end of stream" => ("found quotes that are never closed", "close them"),
        "found unknown escape character" => (
            "found an unknown escape after a backslash in double quotes",
            "use single quotes, which take backslashes as they are",
        ),
        "unknown anchor" => (
            "found an alias without its anchor",
            "put the text in quotes if it only begins with `*`, else define the anchor with `&` above",
        ),
        "recursion limit exceeded" => ("found more than 128 blocks inside each other", "close the brackets"),
        _ if problem.ends_with(REPETITION) => {
            ("found aliases that unfold without end", "write the values out")
        }
        other => (other, ""),
    };
    let begun = match (beginning(&said), place) {
        (Some(begun), Some(place)) if begun.line < place.line && !tab => {
            format!(" (begun on line {})", begun.line)
        }
        _ => String::new(),
    };
    SyntaxError {
        place,
        message: message.to_owned() + &begun,
        help: (!help.is_empty()).then(|| help.to_owned()),
    }
}

/// Where that begins which the parser was in the middle of: "PROBLEM at line 5 column 1, while scanning a quoted
/// scalar at line 3 column 11".
fn beginning(said: &str) -> Option<Place> {
    let (_, context) = said.split_once(", while ")?;
    let (_, place) = context.split_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    Some(Place { line: line.parse().ok()?, column: column.parse().ok()? })
}
