//! `monitor.yml` as a whole: its top level, the files that it includes, and the way from complaints to [`Problems`].

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::{Complaint, Decode, Fields};
use super::expand::{Env, Expand};
use super::problem::{Place, Problem, Problems};
use super::service::{self, Defaults, Draft};
use super::syntax::line_at;
use super::tree::{self, Kind, Node, Value};
use super::viewer::viewer;
use super::{
    Checked, Config, Healing, Monitor, Settings, Viewer, depends, expand, include, io_words, read_regular,
};
use crate::probe::{self, Check};

/// A larger file is refused before it is parsed.
const SIZE_LIMIT: u64 = 1024 * 1024;

const SERVICES_HELP: &str = "begin each service with `- key: NAME` on a line below `services:`";

/// See [`super::load`].
pub(super) fn load(path: &Path, env: Env<'_>) -> Result<Config, Problems> {
    parse(read_text(path)?, path, env)
}

/// See [`Config::parse`].
pub(super) fn parse(text: String, path: &Path, env: Env<'_>) -> Result<Config, Problems> {
    whole(text, path, Expand::new(env)).map(|whole| whole.config)
}

/// See [`super::check`].
pub(super) fn check(path: &Path, env: Env<'_>) -> Result<Checked, Problems> {
    let Whole { config, files, secrets, heal_not_applied, left_out, .. } =
        whole(read_text(path)?, path, Expand::without_credentials(env))?;
    Ok(Checked {
        files,
        services: config.services.len(),
        checks: config.services.iter().map(|service| service.checks.len()).sum(),
        unread_credentials: secrets.unread_credentials,
        heal_not_applied,
        left_out,
        needed_files: secrets.files.into_iter().chain(ca_files(&config)).collect(),
        needs_authorities: https(&config).any(|http| http.ca_file.is_none() && !http.insecure),
    })
}

fn https(config: &Config) -> impl Iterator<Item = &probe::http::Settings> {
    let checks = config.services.iter().flat_map(|service| &service.checks);
    checks.filter_map(|check| match &*check.check {
        Check::Http(http) if http.url.scheme() == "https" => Some(&**http),
        _ => None,
    })
}

fn ca_files(config: &Config) -> impl Iterator<Item = PathBuf> + use<'_> {
    https(config).filter_map(|http| http.ca_file.clone())
}

/// See [`super::load_healing`].
pub(super) fn load_healing(path: &Path, env: Env<'_>) -> Result<Healing, Problems> {
    let Whole { config, file_of, .. } = whole(read_text(path)?, path, Expand::without_credentials(env))?;
    let services = file_of.into_iter().zip(config.services);
    Ok(Healing {
        heals: services.filter_map(|(file, service)| Some((file, service.heal?))).collect(),
        observe: config.monitor.observe,
    })
}

/// See [`super::load_settings`].
pub(super) fn load_settings(path: &Path, env: Env<'_>) -> Result<Settings, Problems> {
    let mut decode = Decode::new(Expand::new(env));
    let main = Source::read(path, read_text(path)?, 0)?;
    let mut block = |name: &str| {
        let node = Fields::unchecked(&main.root)?.get(name)?;
        decode.refuse_structure(node);
        Some(node)
    };
    let (own, page) = (block("monitor"), block("viewer"));
    let settings = Settings {
        monitor: own.map(|node| monitor(&mut decode, node)).unwrap_or_default(),
        viewer: page.map(|node| viewer(&mut decode, node)).unwrap_or_default(),
    };
    match decode.finish() {
        (complaints, _) if complaints.is_empty() => Ok(settings),
        (complaints, _) => Err(problems(&[&main], complaints, Vec::new())),
    }
}

/// A right configuration, and what a person who asks about it should know besides.
struct Whole {
    config: Config,
    /// The file and those that it includes.
    files: Vec<PathBuf>,
    /// The file of each service.
    file_of: Vec<PathBuf>,
    /// Where its secrets come from.
    secrets: expand::Sources,
    /// The services that the `heal` of `defaults` does not apply to, and why.
    heal_not_applied: Vec<(String, String)>,
    /// The services that are not on this machine, and the file by which that is told.
    left_out: Vec<(String, PathBuf)>,
}

fn whole(text: String, path: &Path, expand: Expand<'_>) -> Result<Whole, Problems> {
    let mut decode = Decode::new(expand);
    let main = Source::read(path, text, 0)?;
    let top = Top::decode(&mut decode, &main.root);
    let (included, failures) = read_included(include::files(&mut decode, top.include, path), main.ids.end);

    let services = Services::decode(&mut decode, &top, &included);
    services.refuse_double_keys(&mut decode);
    // Without the services of a file that could not be read there is no telling who is missing.
    if failures.is_empty() {
        services.refuse_none(&mut decode, &main.root, &top);
        services.refuse_all_left_out(&mut decode, &main.root, &top);
        depends::check(&mut decode, &services.drafts);
    }

    let (complaints, secrets) = decode.finish();
    if complaints.is_empty() && failures.is_empty() {
        let (drafts, left_out) = services.on_this_machine();
        let why_not = |draft: &Draft| Some((draft.service.key.clone(), draft.heal_not_applied.clone()?));
        let sources: Vec<&Source> = std::iter::once(&main).chain(&included).collect();
        let file_of = drafts.iter().map(|draft| PathBuf::from(&source_of(&sources, draft.key.id).label));
        let (files, file_of) =
            (sources.iter().map(|source| PathBuf::from(&source.label)).collect(), file_of.collect());
        let heal_not_applied = drafts.iter().filter_map(why_not).collect();
        let config = Config {
            path: Some(path.to_owned()),
            services: drafts.into_iter().map(|draft| draft.service).collect(),
            monitor: top.monitor,
            viewer: top.viewer,
        };
        return Ok(Whole { config, files, file_of, secrets, heal_not_applied, left_out });
    }
    let sources: Vec<&Source> = std::iter::once(&main).chain(&included).collect();
    Err(problems(&sources, complaints, failures))
}

/// Reads the included files, whose nodes are numbered from `first` on.
fn read_included(paths: Vec<PathBuf>, mut first: u32) -> (Vec<Source>, Vec<Problem>) {
    let (mut sources, mut failures) = (Vec::new(), Vec::new());
    for path in paths {
        match read_text(&path).and_then(|text| Source::read(&path, text, first)) {
            Ok(source) => {
                first = source.ids.end;
                sources.push(source);
            }
            Err(problem) => failures.push(*problem),
        }
    }
    (sources, failures)
}

/// A file that was read.
struct Source {
    label: String,
    text: String,
    /// The numbers of its nodes.
    ids: Range<u32>,
    root: Node,
}

impl Source {
    fn read(path: &Path, text: String, first: u32) -> Result<Source, Box<Problem>> {
        let label = path.display().to_string();
        match tree::read(&text, first) {
            Ok((root, end)) => Ok(Source { label, text, ids: first..end, root }),
            Err(error) => Err(Box::new(Problem {
                source_line: error.place.and_then(|place| line_at(&text, place)),
                file: label,
                place: error.place,
                path: String::new(),
                message: error.message,
                help: error.help,
            })),
        }
    }
}

/// What stands at the top level, but for the services, which need the defaults first.
struct Top<'n> {
    services: Option<&'n Node>,
    include: Option<&'n Node>,
    defaults: Defaults,
    monitor: Monitor,
    viewer: Viewer,
}

impl<'n> Top<'n> {
    fn decode(decode: &mut Decode<'_>, root: &'n Node) -> Top<'n> {
        let mut top = Top {
            services: None,
            include: None,
            defaults: Defaults::default(),
            monitor: Monitor::default(),
            viewer: Viewer::default(),
        };
        if is_nothing(root) {
            decode.complain(root, "found no configuration in this file", SERVICES_HELP);
            return top;
        }
        decode.refuse_structure(root);
        let Some(fields) = decode.fields(root, &["services", "defaults", "monitor", "viewer", "include"])
        else {
            return top;
        };
        top.services = fields.get("services");
        top.include = fields.get("include");
        if let Some(node) = fields.get("defaults") {
            top.defaults = Defaults::decode(decode, node);
        }
        if let Some(node) = fields.get("monitor") {
            top.monitor = monitor(decode, node);
        }
        if let Some(node) = fields.get("viewer") {
            top.viewer = viewer(decode, node);
        }
        top
    }
}

fn is_nothing(root: &Node) -> bool {
    matches!(root.value, Value::Scalar { kind: Kind::Null, .. })
}

/// The keys of `monitor`.
pub(super) const MONITOR_KEYS: [&str; 5] =
    ["status_file", "state_dir", "heartbeat", "observe", "heal_budget"];

fn monitor(decode: &mut Decode<'_>, node: &Node) -> Monitor {
    let default = Monitor::default();
    let Some(fields) = decode.fields(node, &MONITOR_KEYS) else {
        return default;
    };
    // Readers call a document of 15 s stale, so a heartbeat must come well before.
    let range = Duration::from_secs(1)..=Duration::from_secs(10);
    let heartbeat = fields.get("heartbeat").and_then(|node| decode.duration(node, range));
    let observe = fields.get("observe").and_then(|node| decode.boolean(node));
    let heal_budget = fields.get("heal_budget").and_then(|node| decode.integer(node, 1..=1000));
    Monitor {
        status_file: fields.get("status_file").and_then(|node| decode.absolute_path(node)),
        state_dir: fields.get("state_dir").and_then(|node| decode.absolute_path(node)),
        heartbeat: heartbeat.unwrap_or(default.heartbeat),
        observe: observe.unwrap_or(default.observe),
        heal_budget: heal_budget.unwrap_or(default.heal_budget),
    }
}

/// The services of all files.
#[derive(Default)]
struct Services {
    drafts: Vec<Draft>,
    /// How many entries there are, also those that are no service because of their problems.
    entries: usize,
}

impl Services {
    fn decode(decode: &mut Decode<'_>, top: &Top<'_>, included: &[Source]) -> Services {
        let mut services = Services::default();
        if let Some(node) = top.services {
            services.add(decode, node, &top.defaults);
        }
        for source in included {
            if let Some(node) = included_services(decode, &source.root) {
                services.add(decode, node, &top.defaults);
            }
        }
        services
    }

    fn add(&mut self, decode: &mut Decode<'_>, node: &Node, defaults: &Defaults) {
        let Value::List(items) = &node.value else {
            return decode.wrong_type(node, "a list of services", SERVICES_HELP);
        };
        self.entries += items.len();
        let drafts = items.iter().filter_map(|item| service::decode(decode, item, defaults));
        self.drafts.extend(drafts);
    }

    /// A monitor that watches nothing would look well.
    fn refuse_none(&self, decode: &mut Decode<'_>, root: &Node, top: &Top<'_>) {
        let node = match top.services {
            _ if self.entries > 0 => return,
            // Has been complained about already.
            Some(node) if !matches!(node.value, Value::List(_)) => return,
            Some(node) => node,
            // They were meant to stand under the key that was complained about, or in the included file.
            None if decode.complaints() > 0 => return,
            None => root,
        };
        decode.complain(node, "found no services", SERVICES_HELP);
    }

    /// Nor would one that watches nothing on this machine.
    fn refuse_all_left_out(&self, decode: &mut Decode<'_>, root: &Node, top: &Top<'_>) {
        if !self.drafts.is_empty() && self.drafts.iter().all(|draft| draft.left_out.is_some()) {
            let message = "found only services whose `if_exists` names a file that does not exist";
            decode.complain(top.services.unwrap_or(root), message, "add a service that is on this machine");
        }
    }

    /// The services without those that are not on this machine, which nobody can need then; and those, each with the
    /// file that does not exist.
    fn on_this_machine(self) -> (Vec<Draft>, Vec<(String, PathBuf)>) {
        let (mut kept, mut left_out) = (Vec::new(), Vec::new());
        for mut draft in self.drafts {
            match draft.left_out.take() {
                Some(path) => left_out.push((draft.service.key, path)),
                None => kept.push(draft),
            }
        }
        for draft in &mut kept {
            draft.service.depends_on.retain(|key| left_out.iter().all(|(absent, _)| absent != key));
        }
        (kept, left_out)
    }

    fn refuse_double_keys(&self, decode: &mut Decode<'_>) {
        let mut seen = HashMap::new();
        for Draft { key, .. } in &self.drafts {
            let first = *seen.entry(key.key.as_str()).or_insert(key.id);
            if first != key.id {
                let message = format!("found {}, which another service has", key.written);
                decode.complain_again(key.id, first, message, "give every service a key of its own");
            }
        }
    }
}

/// The services of an included file, which holds nothing else. One without any content is fine: people comment out
/// what they do not need.
fn included_services<'n>(decode: &mut Decode<'_>, root: &'n Node) -> Option<&'n Node> {
    if is_nothing(root) {
        return None;
    }
    decode.refuse_structure(root);
    decode.fields(root, &["services"])?.get("services")
}

/// Looks up the places of the complaints, and puts all problems into the order of the files.
fn problems(sources: &[&Source], mut complaints: Vec<Complaint>, failures: Vec<Problem>) -> Problems {
    // Numbers are in the order of the files; an error in YAML itself comes last, for it has no number.
    complaints.sort_by_key(|complaint| complaint.id);
    let failures = failures.into_iter().map(Err);
    let all: Vec<Result<Complaint, Problem>> = complaints.into_iter().map(Ok).chain(failures).collect();
    Problems::new(all, |problem| match problem {
        Ok(complaint) => placed(sources, complaint),
        Err(problem) => problem,
    })
}

fn placed(sources: &[&Source], complaint: Complaint) -> Problem {
    let place_of = |id: u32| {
        let source = source_of(sources, id);
        (source, tree::locate(&source.text, source.ids.start, id))
    };
    let (source, place) = place_of(complaint.id);
    let mut message = complaint.message;
    if let Some((first, Some(Place { line, .. }))) = complaint.first.map(place_of) {
        match first.label == source.label {
            true => message.push_str(&format!(" (the first is on line {line})")),
            false => message.push_str(&format!(" (the first is on line {line} of {})", first.label)),
        }
    }
    Problem {
        file: source.label.clone(),
        place,
        path: tree::path_of(&source.root, complaint.id),
        message,
        help: complaint.help,
        source_line: place.and_then(|place| line_at(&source.text, place)),
    }
}

/// The file that a node stands in.
fn source_of<'s>(sources: &[&'s Source], id: u32) -> &'s Source {
    sources[sources.partition_point(|source| source.ids.start <= id) - 1]
}

/// The text of a file, or the problem with the file as a whole.
fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    let problem = |message: String, help: &str| {
        Box::new(Problem {
            file: path.display().to_string(),
            place: None,
            path: String::new(),
            message,
            help: Some(help.to_owned()),
            source_line: None,
        })
    };
    let bytes = read_regular(path, SIZE_LIMIT + 1).map_err(|cause| {
        let help = match cause.kind() {
            std::io::ErrorKind::NotFound => "write it, or name another file with --config",
            std::io::ErrorKind::PermissionDenied => "let the user that runs wellkeep read it",
            _ => "name a file with --config",
        };
        problem(format!("cannot be read: {}", io_words(&cause)), help)
    })?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(problem("is larger than 1 MiB".into(), "split it into files under `include`"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        problem(format!("is not UTF-8 text (line {line})"), "save it as UTF-8")
    })
}
