//! Metrics as text: the two formats that Prometheus reads, and which of them was asked for.
//!
//! By hand, for the crates that exist instrument a program that counts for itself, and here a document is retold. Beyond
//! that, the official `prometheus-client` (0.25) writes OpenMetrics alone and leaves label values unescaped, so one
//! quotation mark in a service's name would cost the whole scrape.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus text format 0.0.4, for everybody who does not ask for more: people, old agents.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for. OpenMetrics goes first where both are wanted as much.
    pub(super) fn wanted(accept: Option<&str>) -> Format {
        let (mut text, mut open_metrics) = (0.0f32, 0.0f32);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let mut quality = 1.0;
            let mut version = None;
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            if media.eq_ignore_ascii_case("text/plain") {
                text = text.max(quality);
            } else if media.eq_ignore_ascii_case("application/openmetrics-text")
                && version.is_none_or(|version| version == "1.0.0")
            {
                open_metrics = open_metrics.max(quality);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Format::OpenMetrics } else { Format::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What is said of a metric beside its values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    /// The name as it is asked for in queries, with `_total` or `_info`.
    name: &'static str,
    kind: Kind,
    /// One sentence or two, with the unit. Written as it stands: no backslash, quotation mark or line end.
    help: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
    Info,
}

impl Family {
    /// A value that goes up and down.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Kind::Gauge, help }
    }

    /// A count that only grows, and begins anew at times. Its name ends in `_total`.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Kind::Counter, help }
    }

    /// Labels that describe, with the value 1. Its name ends in `_info`.
    pub(super) const fn info(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Kind::Info, help }
    }

    /// The lines before the samples. OpenMetrics takes the ends that tell a counter and an info off the name, and says
    /// the unit; the older format knows neither infos nor units.
    fn head(&self, format: Format) -> String {
        let Family { name, help, .. } = self;
        match format {
            Format::Text => {
                let kind = if matches!(self.kind, Kind::Counter) { "counter" } else { "gauge" };
                format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")
            }
            Format::OpenMetrics => {
                let (end, kind) = match self.kind {
                    Kind::Gauge => ("", "gauge"),
                    Kind::Counter => ("_total", "counter"),
                    Kind::Info => ("_info", "info"),
                };
                let family = name.strip_suffix(end).unwrap_or(name);
                let unit = ["seconds", "bytes"].into_iter().find(|unit| family.ends_with(unit));
                let unit = unit.map(|unit| format!("# UNIT {family} {unit}\n")).unwrap_or_default();
                format!("# TYPE {family} {kind}\n{unit}# HELP {family} {help}\n")
            }
        }
    }
}

/// Metrics with their samples, in the order of their names; samples stay in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    families: BTreeMap<&'static str, (Family, String)>,
}

impl Exposition {
    /// Adds a sample.
    pub(super) fn add(&mut self, family: Family, labels: &[(&str, &str)], value: f64) {
        let (_, samples) = self.families.entry(family.name).or_insert((family, String::new()));
        samples.push_str(family.name);
        for (place, (name, value)) in labels.iter().enumerate() {
            samples.push(if place == 0 { '{' } else { ',' });
            samples.push_str(name);
            samples.push_str("=\"");
            push_escaped(samples, value);
            samples.push('"');
        }
        if !labels.is_empty() {
            samples.push('}');
        }
        // Writing to a string never fails.
        let _ = writeln!(samples, " {value}");
    }

    /// All of it as text. It is taken apart meanwhile: with thousands of services it is too large to be there twice.
    pub(super) fn into_text(self, format: Format) -> String {
        // The heads are the rest: a kilobyte or so each.
        let length: usize = self.families.values().map(|(_, samples)| samples.len() + 1024).sum();
        let mut text = String::with_capacity(length);
        for (family, samples) in self.families.into_values() {
            text.push_str(&family.head(format));
            text.push_str(&samples);
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

/// A label's value. The two formats agree on what must be escaped in it.
fn push_escaped(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_whoever_asks_for_it() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            prometheus_2,
            prometheus_3,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=\"1.0.0\" ; q=0.5, text/plain;q=0.5",
        ] {
            assert_eq!(Format::wanted(Some(accept)), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain;version=0.0.4",
            // Prometheus before 2.35, and who wants it less, or not at all.
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;q=0.3,text/plain;q=0.4",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=nonsense",
        ] {
            assert_eq!(Format::wanted(Some(accept)), Format::Text, "{accept}");
        }
        assert_eq!(Format::wanted(None), Format::Text);
    }

    const AGE: Family = Family::gauge("a_seconds", "Age in seconds.");
    const HEALS: Family = Family::counter("heals_total", "Heals.");
    const BUILD: Family = Family::info("build_info", "The version.");

    fn exposition() -> Exposition {
        let mut exposition = Exposition::default();
        exposition.add(HEALS, &[("service", "web"), ("result", "healed")], 2.0);
        exposition.add(BUILD, &[("version", "1")], 1.0);
        exposition.add(AGE, &[], 0.045);
        exposition.add(HEALS, &[("service", "db"), ("result", "healed")], 1_763_888_400.0);
        exposition
    }

    #[test]
    fn in_the_text_format_names_are_whole_and_an_info_is_a_gauge() {
        let text = "# HELP a_seconds Age in seconds.\n# TYPE a_seconds gauge\na_seconds 0.045\n\
             # HELP build_info The version.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
             # HELP heals_total Heals.\n# TYPE heals_total counter\n\
             heals_total{service=\"web\",result=\"healed\"} 2\n\
             heals_total{service=\"db\",result=\"healed\"} 1763888400\n";
        assert_eq!(exposition().into_text(Format::Text), text);
    }

    #[test]
    fn in_open_metrics_families_lose_their_ends_units_are_told_and_the_end_is_marked() {
        let text = "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds Age in seconds.\na_seconds 0.045\n\
             # TYPE build info\n# HELP build The version.\nbuild_info{version=\"1\"} 1\n\
             # TYPE heals counter\n# HELP heals Heals.\n\
             heals_total{service=\"web\",result=\"healed\"} 2\n\
             heals_total{service=\"db\",result=\"healed\"} 1763888400\n# EOF\n";
        assert_eq!(exposition().into_text(Format::OpenMetrics), text);
    }

    #[test]
    fn a_label_can_hold_anything() {
        let mut exposition = Exposition::default();
        exposition.add(BUILD, &[("version", "C:\\n \"ä\"\nb")], 1.0);
        let line = "build_info{version=\"C:\\\\n \\\"ä\\\"\\nb\"} 1\n";
        let text = exposition.into_text(Format::Text);
        assert!(text.ends_with(line), "{text}");
    }
}
