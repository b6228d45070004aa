//! Badges: a name and a state as a small picture, for a README or a wiki.
//!
//! A picture in a page runs no script and is kept by caches in between, so it says little and holds for ten seconds, or
//! less where the figures do. What is old is grey and called stale: a badge is never green for a monitor that is dead.

use serde::Deserialize;

use super::http::{Response, escape, fingerprint};
use super::source::{Data, Snapshot};
use crate::status::State;

/// How long a cache may keep one at most, in seconds.
const CACHED_S: u64 = 10;

const HEIGHT: u32 = 20;
/// Left and right of a text.
const MARGIN: u32 = 6;
/// A longer name is cut.
const CHARACTERS: usize = 60;
const LABEL_COLOUR: &str = "#3b434e";

/// What a badge needs to know of a service.
#[derive(Deserialize)]
pub(super) struct Shown {
    name: String,
    state: State,
}

/// The badge of a service.
pub(super) fn of_service(snapshot: &Snapshot, service: &Shown) -> Response {
    badge(snapshot, &service.name, service.state)
}

/// The badge of the host: the worst of its states.
pub(super) fn of_host(snapshot: &Snapshot, title: &str) -> Response {
    badge(snapshot, title, snapshot.document.head.overall)
}

/// The badge when there is no data, so that nobody knows the name.
pub(super) fn without_data(key: &str) -> Response {
    response(&svg(key, "no data", GREY), CACHED_S)
}

fn badge(snapshot: &Snapshot, name: &str, state: State) -> Response {
    let (word, colour) = match snapshot.data {
        Data::None => ("no data", GREY),
        data if data.is_stale() => ("stale", GREY),
        _ => (state.as_str(), colour(state)),
    };
    // In a cache it must not outlive what it shows.
    let holds_s = match snapshot.data.is_stale() {
        true => CACHED_S,
        false => u64::from(snapshot.document.head.stale_after_s).saturating_sub(snapshot.age_s.unwrap_or(0)),
    };
    response(&svg(name, word, colour), holds_s.min(CACHED_S))
}

fn response(svg: &str, holds_s: u64) -> Response {
    let etag = format!("\"{:016x}\"", fingerprint(svg.as_bytes()));
    let cached = format!("max-age={holds_s}, must-revalidate");
    Response::new(200, "image/svg+xml", svg.as_bytes().to_vec()).with("ETag", etag).cached(cached)
}

const GREY: &str = "#515b69";

/// As on the page, in its light colours, on which white can be read.
fn colour(state: State) -> &'static str {
    match state {
        State::Up => "#136b38",
        State::Degraded => "#8a4b00",
        State::Down | State::Unstable => "#b3201a",
        State::Starting => "#1b57b0",
        State::Blocked => "#86423d",
        State::Unknown | State::Held | State::Stopped => GREY,
    }
}

/// For a screen reader it is one picture with one sentence. Attributes and no style, which the security policy of a page
/// that shows it alone would not run.
fn svg(name: &str, word: &str, colour: &str) -> String {
    let name = cut(name);
    let (name_width, word_width) = (width(&name), width(word));
    let left = name_width + 2 * MARGIN;
    let whole = left + word_width + 2 * MARGIN;
    let right = whole - left;
    let word_at = left + MARGIN;
    let name = escape(&name);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{HEIGHT}" role="img" aria-label="{name}: {word}">
<title>{name}: {word}</title>
<clipPath id="r"><rect width="{whole}" height="{HEIGHT}" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{left}" height="{HEIGHT}" fill="{LABEL_COLOUR}"/><rect x="{left}" width="{right}" height="{HEIGHT}" fill="{colour}"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="{MARGIN}" y="14" textLength="{name_width}" lengthAdjust="spacingAndGlyphs">{name}</text><text x="{word_at}" y="14" textLength="{word_width}" lengthAdjust="spacingAndGlyphs">{word}</text></g>
</svg>
"##
    )
}

/// Control characters may not stand in XML at all, not even escaped.
fn cut(name: &str) -> String {
    let is_allowed = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    let clean = |c| if is_allowed(c) { c } else { ' ' };
    let mut cut: String = name.chars().take(CHARACTERS).map(clean).collect();
    if name.chars().nth(CHARACTERS).is_some() {
        cut.push('…');
    }
    cut
}

/// About how wide Verdana of 11 px is. `textLength` makes every font fit in.
fn width(text: &str) -> u32 {
    let tenths = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 35,
        'f' | 'r' | 't' | ' ' | '-' | '(' | ')' | '/' | 'I' | '"' => 47,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 103,
        'A'..='Z' => 78,
        ' '..='~' => 68,
        c if c.is_alphabetic() && c < '\u{2e80}' => 73,
        _ => 115,
    };
    (text.chars().map(tenths).sum::<u32>() / 10).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_whatever_it_is() {
        let svg = svg("<script>\"&'\u{0}\u{1b}", "up", "#fff");
        assert!(svg.contains("&lt;script&gt;&quot;&amp;&#39;  "), "{svg}");
        assert!(!svg.contains("<script"), "{svg}");
        assert!(cut(&"ä".repeat(1000)).chars().count() <= CHARACTERS + 1);
        assert!(super::svg("", "up", "#fff").contains("textLength=\"1\""));
    }

    #[test]
    fn only_up_is_green_and_every_text_can_be_read() {
        let green = colour(State::Up);
        for state in State::ALL {
            assert_eq!(colour(state) == green, state == State::Up, "{state}");
            assert!(contrast_with_white(colour(state)) >= 4.5, "{state}");
        }
        assert!(contrast_with_white(LABEL_COLOUR) >= 4.5);
    }

    #[test]
    fn the_colours_are_those_of_the_page() {
        let style = include_str!("../../static/status.css");
        for state in State::ALL {
            assert!(style.contains(&format!(": {};", colour(state))), "{state}");
        }
    }

    /// By the formula of WCAG 2.
    fn contrast_with_white(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        1.05 / (0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5) + 0.05)
    }
}
