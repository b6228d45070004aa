//! The document as the commands read it: where it is, how far it can be believed, and what is in it by key.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{ConfigFile, Exit, StateDir, StatusFile, words};
use crate::config::{self, DEFAULT_PATH, Settings};
use crate::monitor::wall_clock;
use crate::status::read::{self, Freshness, ReadError};
use crate::status::{Document, Service, State, Timestamp};

/// More keys than this are counted and not named.
const KEYS_NAMED: usize = 20;

/// Where the document is, and everything beside it.
#[derive(Debug, Clone, Args)]
pub(super) struct Source {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    status_file: StatusFile,
    #[command(flatten)]
    state_dir: StateDir,
}

/// The paths that a [`Source`] comes to.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) status_file: PathBuf,
    pub(super) state_dir: PathBuf,
}

impl Source {
    /// The command line and the environment go before the configuration, which may be missing or wrong: that is the
    /// monitor's business. Who names a document means the monitor that writes it, which need not be the configured one.
    pub(super) fn locate(&self) -> Located {
        let settings = match &self.status_file.status_file {
            Some(_) => Settings::default(),
            None => self.config.settings().unwrap_or_default(),
        };
        let status_file = self.status_file.path(&settings.monitor);
        Located { state_dir: self.state_dir.path(&settings.monitor, &status_file), status_file }
    }

    /// The units of a service: the one that is looked at and the one that is healed, if it has any. The document knows them,
    /// however old it is; without it the configuration does, unless a document was named.
    ///
    /// # Errors
    /// That there is no such service, with the nearest key, or why neither can be read.
    pub(super) fn units_of(&self, key: &str) -> Result<Vec<String>, String> {
        let known = Known::read(&self.locate().status_file);
        if let Ok(Ok(service)) = known.as_ref().map(|known| known.service(key)) {
            let looked_at = service.checks.systemd.as_ref().map(|check| check.detail.unit.clone());
            let healed = service.heal.as_ref().and_then(|heal| heal.unit.clone());
            return Ok(looked_at.into_iter().chain(healed).collect());
        }
        if self.status_file.status_file.is_none()
            && let Ok(config) = self.config.load()
        {
            let keys = config.services.iter().map(|service| service.key.as_str());
            let service = config.services.iter().find(|service| service.key == key);
            let service = service.ok_or_else(|| unknown_key(key, keys))?;
            return Ok(service.unit().map(str::to_owned).into_iter().collect());
        }
        Err(known.and_then(|known| known.service(key).map(drop)).err().unwrap_or_default())
    }
}

/// A document that was read, and how far it can be believed.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) document: Document,
    pub(super) freshness: Freshness,
    /// When it was read.
    pub(super) now: Timestamp,
    /// The file's own bytes.
    pub(super) bytes: Vec<u8>,
}

impl Known {
    /// Reads the document.
    ///
    /// # Errors
    /// Why there is none, and what to do, as sentences.
    pub(super) fn read(path: &Path) -> Result<Known, String> {
        Known::try_read(path).map_err(|error| advice(&error))
    }

    /// The same, for who has advice of its own.
    pub(super) fn try_read(path: &Path) -> Result<Known, ReadError> {
        let (document, head, bytes) = read::read(path)?;
        let now = wall_clock();
        let freshness = Freshness::of(&head, now, read::Boot::of(Path::new("/proc")).as_ref());
        Ok(Known { document, freshness, now, bytes })
    }

    /// Why its figures must not be believed; none when they can be.
    pub(super) fn distrust(&self) -> Option<String> {
        let why = match self.freshness {
            Freshness::Fresh => return None,
            Freshness::Stale { age_s } => format!("the monitor has not written for {}", words::rough(age_s)),
            Freshness::EarlierBoot => "the document is from before the last reboot".to_owned(),
            Freshness::Stopped => "the monitor was stopped".to_owned(),
            Freshness::Future { ahead_s } => {
                format!("the document is dated {} in the future", words::rough(ahead_s))
            }
        };
        Some(format!(
            "STALE: {why}. This is what was last known, not what is. Look at: systemctl status wellkeep-monitor"
        ))
    }

    /// The service of this key.
    ///
    /// # Errors
    /// That there is none, with the nearest key or all of them.
    pub(super) fn service(&self, key: &str) -> Result<&Service, String> {
        let services = &self.document.services;
        services.get(key).ok_or_else(|| unknown_key(key, services.keys().map(String::as_str)))
    }

    /// The exit code: what is wrong goes before what cannot be told.
    pub(super) fn verdict(&self, services: &[&Service]) -> Exit {
        let any = |states: &[State]| services.iter().any(|service| states.contains(&service.state));
        if !self.freshness.is_fresh() || services.is_empty() {
            return Exit::CannotTell;
        }
        if any(&[State::Down, State::Unstable, State::Blocked]) {
            return Exit::NotWell;
        }
        if any(&[State::Unknown]) {
            return Exit::CannotTell;
        }
        if services.iter().all(|service| service.ok) { Exit::Well } else { Exit::NotWell }
    }

    /// The file that services are written in.
    pub(super) fn config_path(&self) -> &str {
        self.document.monitor.config.path.as_deref().unwrap_or(DEFAULT_PATH)
    }
}

fn unknown_key<'k>(key: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    if let Some(nearest) = config::nearest(key, known.clone()) {
        return format!("there is no service {key:?}; did you mean {nearest:?}?");
    }
    let count = known.clone().count();
    let mut named = known.take(KEYS_NAMED).collect::<Vec<_>>().join(", ");
    if count > KEYS_NAMED {
        named += &format!(" and {} more", count - KEYS_NAMED);
    }
    format!("there is no service {key:?}; the keys are: {named}")
}

fn advice(error: &ReadError) -> String {
    let next = match error {
        ReadError::Missing(_) => {
            "start one (systemctl start wellkeep-monitor, or: wellkeep dev), or name the file with --status-file"
        }
        ReadError::Unreadable { .. } => "it should have mode 0644 in a folder of mode 0755",
        ReadError::Invalid { .. } => "name the right file with --status-file",
    };
    format!("{error}\n  {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_or_with_all_but_not_with_a_thousand() {
        let said = |key: &str, known: &[&str]| unknown_key(key, known.iter().copied());
        assert_eq!(said("shpo", &["shop", "db"]), r#"there is no service "shpo"; did you mean "shop"?"#);
        assert_eq!(said("mail", &["shop", "db"]), r#"there is no service "mail"; the keys are: shop, db"#);
        let many: Vec<String> = (0..1000).map(|number| format!("service_{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(said("mail", &many).ends_with("service_19 and 980 more"), "{}", said("mail", &many));
    }
}
