//! Pieces of the sentences that operators read.

use reqwest::Url;

use crate::status::Timestamp;

/// How many characters of a body, or of a value in it, a reason shows.
const EXCERPT_CHARS: usize = 200;

/// A URL without user name, password, query and fragment.
pub(super) fn without_secrets(url: &Url) -> String {
    if url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
    {
        return url.as_str().to_owned();
    }
    let mut url = url.clone();
    // Both fail only for URLs that cannot have a user at all.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// In quotation marks, cut and escaped like [`excerpt`].
pub(super) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", excerpt(&String::from_utf8_lossy(bytes)))
}

/// The first 200 characters, with what a terminal or a reader would stumble over escaped. A run of white space counts
/// and shows as one blank: the indentation of a page says nothing.
pub(super) fn excerpt(text: &str) -> String {
    let mut words = text.split_whitespace().flat_map(|word| word.chars().chain([' ']));
    let mut excerpt = String::new();
    for character in words.by_ref().take(EXCERPT_CHARS) {
        match character {
            '"' | '\'' | '\\' => excerpt.push(character),
            _ => excerpt.extend(character.escape_debug()),
        }
    }
    let is_cut = words.any(|character| character != ' ');
    excerpt.truncate(excerpt.trim_end().len());
    if is_cut {
        excerpt.push('…');
    }
    excerpt
}

/// With commas between them.
pub(super) fn joined(parts: impl Iterator<Item = String>) -> String {
    let mut joined = String::new();
    for part in parts {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(&part);
    }
    joined
}

/// `1 byte`, `17 bytes`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    let mut text = format!("{count} {thing}");
    if count != 1 {
        text.push('s');
    }
    text
}

/// `53 days`, `less than a day`.
pub(super) fn days_ago(days: i64) -> String {
    match usize::try_from(days) {
        Ok(0) | Err(_) => "less than a day".to_owned(),
        Ok(days) => counted(days, "day"),
    }
}

/// `2026-10-01`, in UTC.
pub(super) fn date(time: Timestamp) -> String {
    let mut text = time.to_string();
    text.truncate(text.find('T').unwrap_or(text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_between_characters_and_cannot_steer_a_terminal() {
        assert_eq!(excerpt("\u{1b}[2J\u{202e}\r\n  \"größer\" \\"), "\\u{1b}[2J\\u{202e} \"größer\" \\");
        assert_eq!(excerpt(&"€".repeat(200)), "€".repeat(200));
        assert_eq!(excerpt(&"€".repeat(201)), "€".repeat(200) + "…");
    }
}
