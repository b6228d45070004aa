//! `wellkeep privileges`

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{ConfigFile, Exit, complain, environment, print, runtime};
use crate::config::{self, Heal, HealMode, Healing, Loose, Step};
use crate::probe::counted;
use crate::status::write::replace;
use crate::systemd::{Bus, BusAddress};

/// polkitd reads the rules of the whole folder in the order of their names; those of the distribution begin at 50.
pub(super) const DEFAULT_FILE: &str = "/etc/polkit-1/rules.d/49-wellkeep.rules";

/// The step stands before the start of the monitor, which must not wait for a bus that hangs.
const BUS_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(
    after_help = "The monitor runs as a user without rights. This rule of polkit lets that user do what `heal` in the \
    configuration asks for and nothing else: restart (start, try-restart, reset-failed) or reload exactly those units. \
    It is written by the monitor's unit whenever that starts or reloads, so there is nothing to be done by hand.\n\n\
    Examples:\n  \
    wellkeep privileges                     what the monitor may do, as a rule of polkit\n  \
    sudo wellkeep privileges --write        write it where polkit reads it, or remove it when nothing is healed\n  \
    wellkeep privileges --user ops --config ./monitor.yml\n\n\
    A file of the configuration that others than root can write, itself or a folder above it, grants nothing.\n\n\
    Exit codes: 0 printed, written or as it should be, 2 cannot be written or others can write the configuration, 78 wrong configuration (an old rule stays)."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigFile,
    /// The user that the monitor runs as
    #[arg(long, value_name = "NAME", default_value = "wellkeep", value_parser = config::parse_user)]
    user: String,
    /// Write the rule instead of printing it, as root
    #[arg(long)]
    write: bool,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE, requires = "write")]
    file: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let main = &arguments.config.config;
    let is_root = rustix::process::geteuid().is_root();
    if let Some(loose) = loose(main) {
        complain(format_args!(
            "{} is not root's word alone: others than root can write {loose}",
            main.display()
        ));
        let remedy = loose.remedy().join(" && ");
        if is_root {
            complain(format_args!(
                "it gets no rule for polkit, so nothing is healed until this is mended: {remedy}"
            ));
            return if arguments.write { take_away(&arguments.file) } else { Exit::CannotTell };
        }
        complain(format_args!("run by root, this would grant nothing before: {remedy}"));
    }
    let healing = match config::load_healing(&arguments.config.config, &environment) {
        Ok(healing) => healing,
        // In the unit the monitor itself names the problems, a moment later.
        Err(problems) if arguments.write => {
            let (config, file) = (arguments.config.config.display(), arguments.file.display());
            let count = counted(problems.count(), "problem");
            complain(format_args!(
                "{file} stays as it is: {config} has {count}, which `wellkeep check` names"
            ));
            return Exit::WrongConfig;
        }
        Err(problems) => {
            complain(format_args!("{problems:#}"));
            return Exit::WrongConfig;
        }
    };
    let (healing, passed_over) = if is_root { trusted(healing) } else { (healing, Vec::new()) };
    for (file, loose) in passed_over {
        let remedy = loose.remedy().join(" && ");
        complain(format_args!(
            "{} is passed over, and what it asks for is not permitted: others than root can write {loose}; then: {remedy}",
            file.display()
        ));
    }
    let Wanted { rule, is_resolved } = wanted(&arguments.user, &healing);
    if !is_resolved {
        complain(
            "systemd cannot be asked, so an alias among the units is not resolved: its heals will be denied until this is run again",
        );
    }
    if !arguments.write {
        print(
            rule.as_deref()
                .unwrap_or("// Nothing is healed by restart or reload, so no rights are needed.\n"),
        );
        return Exit::Well;
    }
    match put(&arguments.file, rule.as_deref()) {
        Ok(done) => {
            print(&format!("{}: {}\n", arguments.file.display(), done.words(&arguments.user)));
            Exit::Well
        }
        Err(error) => {
            complain(format_args!("{} cannot be written: {}", arguments.file.display(), remedy(&error)));
            Exit::CannotTell
        }
    }
}

/// What lets others than root say what this file says. What cannot be looked at has been complained of already, or is
/// gone.
pub(super) fn loose(path: &Path) -> Option<Loose> {
    Loose::find(path).ok().flatten()
}

/// What root may grant of it: without the files that others can write, which are named besides. When others can write the
/// main file, nothing, as it says what is included.
pub(super) fn trusted(mut healing: Healing) -> (Healing, Vec<(PathBuf, Loose)>) {
    let files: BTreeSet<PathBuf> = healing.heals.iter().map(|(file, _)| file.clone()).collect();
    let passed_over: Vec<_> = files.into_iter().filter_map(|file| Some((loose(&file)?, file))).collect();
    healing.heals.retain(|(file, _)| passed_over.iter().all(|(_, passed)| passed != file));
    (healing, passed_over.into_iter().map(|(loose, file)| (file, loose)).collect())
}

/// No rule at all.
fn take_away(file: &Path) -> Exit {
    if let Err(error) = put(file, None) {
        complain(format_args!("{} cannot be removed: {}", file.display(), remedy(&error)));
    }
    Exit::CannotTell
}

/// The rule that a configuration asks for.
pub(super) struct Wanted {
    /// Its text; none when nothing needs a right.
    pub(super) rule: Option<String>,
    /// Whether systemd told the units' own names.
    pub(super) is_resolved: bool,
}

/// What this user must be allowed to heal like this. It takes as long as systemd takes to answer, 2 s at most.
pub(super) fn wanted(user: &str, healing: &Healing) -> Wanted {
    let rights = rights(healing);
    let canonical = canonical(&rights);
    let is_resolved = canonical.is_some();
    Wanted { rule: rule(user, &canonical.unwrap_or(rights)), is_resolved }
}

/// What may be done to which unit. In an order of its own, so that the same rights always give the same file.
type Rights = BTreeSet<(String, &'static str)>;

/// What the policies need. Whoever only observes needs nothing.
fn rights(healing: &Healing) -> Rights {
    if healing.observe {
        return Rights::new();
    }
    let acting = healing.heals.iter().map(|(_, heal)| heal).filter(|heal| heal.mode == HealMode::Act);
    acting.flat_map(rights_of).collect()
}

fn rights_of(heal: &Heal) -> impl Iterator<Item = (String, &'static str)> {
    let verbs = heal.steps.iter().flat_map(verbs);
    let unit = heal.unit.iter();
    unit.flat_map(move |unit| verbs.clone().map(move |verb| (unit.clone(), *verb)))
}

/// What systemd 252 and 257 call in front of polkit what a step does (measured): `TryRestartUnit`, and for a unit that
/// does not run `ResetFailedUnit` and `StartUnit`.
fn verbs(step: &Step) -> &'static [&'static str] {
    match step {
        Step::Restart => &["start", "try-restart", "reset-failed"],
        Step::Reload => &["reload"],
        Step::Run(_) => &[],
    }
}

/// The same rights with the units' own names: polkit is asked about `mariadb.service` also when `mysql.service`, an alias
/// of it, is to be restarted. None where systemd cannot be asked.
fn canonical(rights: &Rights) -> Option<Rights> {
    let mut names: Vec<&str> = rights.iter().map(|(unit, _)| unit.as_str()).collect();
    names.dedup();
    if names.is_empty() {
        return Some(Rights::new());
    }
    let asked = runtime::block_on(async { Bus::new(BusAddress::System).units(&names, BUS_LIMIT).await });
    let units = asked.ok()?.ok()?;
    let own_names: HashMap<&str, &str> =
        names.iter().zip(&units).map(|(name, unit)| (*name, unit.name.as_str())).collect();
    Some(rights.iter().map(|(unit, verb)| (own_names[unit.as_str()].to_owned(), *verb)).collect())
}

/// The rule as polkit reads it; none without rights. All names are written as JSON strings, which are JavaScript's.
///
/// A name and a verb are one text, compared whole: what is not in the list is not decided here, and so denied by
/// systemd's own default. `start` must also come with the words of an ordinary start: since some version after 252,
/// systemd asks for the same verb when somebody defines a new, transient unit with commands of his own. On a name without
/// a unit file (a package that was removed, a name mistyped) that would make the user root (measured on 257).
fn rule(user: &str, rights: &Rights) -> Option<String> {
    if rights.is_empty() {
        return None;
    }
    let quoted = |text: &str| serde_json::to_string(text).expect("a string is JSON");
    let lines: Vec<String> =
        rights.iter().map(|(unit, verb)| format!("    {}", quoted(&format!("{verb} {unit}")))).collect();
    Some(format!(
        r#"// What wellkeep-monitor may do to units, and no more. Written by `wellkeep privileges --write` from `heal` in its
// configuration whenever it starts or reloads: what is changed here is lost.
polkit.addRule(function(action, subject) {{
  if (action.id != "org.freedesktop.systemd1.manage-units" || subject.user != {user}) {{
    return polkit.Result.NOT_HANDLED;
  }}
  var verb = action.lookup("verb");
  // Newer versions of systemd also call it "start" when somebody starts a transient unit with commands of his own.
  if (verb == "start" && action.lookup("polkit.message") != "Authentication is required to start '$(unit)'.") {{
    return polkit.Result.NOT_HANDLED;
  }}
  var allowed = [
{lines}
  ];
  if (allowed.indexOf(verb + " " + action.lookup("unit")) >= 0) {{
    return polkit.Result.YES;
  }}
  return polkit.Result.NOT_HANDLED;
}});
"#,
        user = quoted(user),
        lines = lines.join(",\n"),
    ))
}

/// What was done to the file.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    Written,
    Removed,
    Nothing { exists: bool },
}

impl Done {
    fn words(&self, user: &str) -> String {
        match self {
            Done::Written => format!("written: the user {user} may do what `heal` asks for"),
            Done::Removed => {
                "removed: nothing is healed by restart or reload, so no rights are needed".into()
            }
            Done::Nothing { exists: true } => "as it should be".into(),
            Done::Nothing { exists: false } => "not needed: nothing is healed by restart or reload".into(),
        }
    }
}

/// Brings the file to this content, or away. One that is right already is left alone: polkitd reads all rules again
/// whenever one changes.
fn put(file: &Path, rule: Option<&str>) -> io::Result<Done> {
    let Some(rule) = rule else {
        return match std::fs::remove_file(file) {
            Ok(()) => Ok(Done::Removed),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(Done::Nothing { exists: false })
            }
            Err(error) => Err(error),
        };
    };
    if is_right(file, rule) {
        return Ok(Done::Nothing { exists: true });
    }
    replace(file, rule.as_bytes())?;
    Ok(Done::Written)
}

/// Whether the file is there with this content, for everybody to read and for nobody else to write.
fn is_right(file: &Path, rule: &str) -> bool {
    let mode = std::fs::symlink_metadata(file)
        .ok()
        .filter(|metadata| metadata.is_file())
        .map(|metadata| metadata.permissions().mode() & 0o777);
    mode == Some(0o644) && std::fs::read(file).is_ok_and(|bytes| bytes == rule.as_bytes())
}

fn remedy(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "there is no such folder, so polkit is not installed, and nothing that `heal` asks for will be permitted; \
             install it (on Debian: apt install polkitd)"
                .into()
        }
        // Its own words name a temporary file, which helps nobody.
        ErrorKind::PermissionDenied => "permission denied; run it with sudo".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook() -> Step {
        Step::Run(config::Hook { command: vec!["/bin/true".into()], timeout: BUS_LIMIT, user: None })
    }

    fn healing(heals: Vec<Heal>) -> Healing {
        Healing {
            heals: heals.into_iter().map(|heal| ("monitor.yml".into(), heal)).collect(),
            observe: false,
        }
    }

    fn granted(healing: &Healing) -> Vec<String> {
        rights(healing).iter().map(|(unit, verb)| format!("{verb} {unit}")).collect()
    }

    #[test]
    fn a_step_needs_its_own_verbs_and_a_program_none() {
        let restart = Heal::restart("b.service");
        let reload = Heal { steps: vec![hook(), Step::Reload], ..Heal::restart("a.service") };
        let program = Heal { steps: vec![hook()], ..Heal::restart("c.service") };
        assert_eq!(
            granted(&healing(vec![restart.clone(), restart, reload, program])),
            ["reload a.service", "reset-failed b.service", "start b.service", "try-restart b.service"]
        );
    }

    #[test]
    fn whoever_only_observes_gets_no_rights() {
        let act = Heal::restart("a.service");
        let observe = Heal { mode: HealMode::Observe, ..Heal::restart("b.service") };
        assert!(granted(&healing(vec![observe])).is_empty());
        assert!(granted(&Healing { observe: true, ..healing(vec![act]) }).is_empty());
    }

    #[test]
    fn a_name_never_ends_the_string_that_it_stands_in() {
        let rights = Rights::from([("dev-disk\\x2d\"];evil(\"\n.service".to_owned(), "start")]);
        let rule = rule("we\"ll", &rights).unwrap();
        assert!(rule.contains(r#"    "start dev-disk\\x2d\"];evil(\"\n.service""#), "{rule}");
        assert!(rule.contains(r#"subject.user != "we\"ll")"#), "{rule}");
    }

    #[test]
    fn the_file_is_written_only_when_it_changes_and_goes_when_nothing_is_healed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("49-wellkeep.rules");
        assert_eq!(put(&file, None).unwrap(), Done::Nothing { exists: false });
        assert_eq!(put(&file, Some("one")).unwrap(), Done::Written);
        assert_eq!(put(&file, Some("one")).unwrap(), Done::Nothing { exists: true });
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(put(&file, Some("one")).unwrap(), Done::Written, "everybody could write it");
        assert_eq!(put(&file, Some("two")).unwrap(), Done::Written);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(put(&file, None).unwrap(), Done::Removed);
        assert!(!file.exists());
    }

    #[test]
    fn a_machine_without_polkit_is_told_what_to_install_and_only_when_it_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("polkit-1/rules.d/49-wellkeep.rules");
        assert_eq!(put(&file, None).unwrap(), Done::Nothing { exists: false });
        assert!(remedy(&put(&file, Some("one")).unwrap_err()).contains("apt install polkitd"));
    }
}
