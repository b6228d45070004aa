use std::io;
use std::path::PathBuf;

use tracing::{error, info};

use crate::log::Kind;

/// How writing of one kind goes: a full disk is told once, and that it goes again, with what was lost meanwhile.
pub(super) struct Standing {
    path: PathBuf,
    /// What may be lost when a write fails, in the singular.
    loss: &'static str,
    is_failing: bool,
    lost: u64,
}

/// What people are told of writing.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Bad(String),
    Good(String),
}

impl Standing {
    pub(super) fn new(path: PathBuf, loss: &'static str) -> Standing {
        Standing { path, loss, is_failing: false, lost: 0 }
    }

    pub(super) fn tell(&mut self, result: io::Result<()>, count: u64, lost_before: u64) {
        match self.news(result, count, lost_before) {
            Some(News::Bad(words)) => error!(event = %Kind::Storage, "{words}"),
            Some(News::Good(words)) => info!(event = %Kind::Storage, "{words}"),
            None => {}
        }
    }

    /// What is new after a write of so many, before which so many were lost.
    fn news(&mut self, result: io::Result<()>, count: u64, lost_before: u64) -> Option<News> {
        self.lost += lost_before;
        let path = self.path.display();
        match result {
            Err(error) => {
                self.lost += count;
                let is_new = !std::mem::replace(&mut self.is_failing, true);
                is_new.then(|| News::Bad(format!("cannot write {path}: {error}; trying again each time")))
            }
            Ok(()) if self.is_failing || self.lost > 0 => {
                self.is_failing = false;
                let lost = match std::mem::take(&mut self.lost) {
                    0 => String::new(),
                    lost => format!("; lost meanwhile: {}", counted(lost, self.loss)),
                };
                Some(News::Good(format!("{path} is written again{lost}")))
            }
            Ok(()) => None,
        }
    }
}

fn counted(count: u64, loss: &str) -> String {
    crate::probe::counted(usize::try_from(count).unwrap_or(usize::MAX), loss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_once_and_so_is_what_was_lost_when_it_works_again() {
        let mut standing = Standing::new("ledger.jsonl".into(), "decision");
        let full = || Err(io::Error::other("no space left"));
        assert_eq!(standing.news(Ok(()), 1, 0), None);
        let bad = "cannot write ledger.jsonl: no space left; trying again each time";
        assert_eq!(standing.news(full(), 2, 0), Some(News::Bad(bad.to_owned())));
        assert_eq!(standing.news(full(), 3, 0), None);
        let good = "ledger.jsonl is written again; lost meanwhile: 6 decisions";
        assert_eq!(standing.news(Ok(()), 1, 1), Some(News::Good(good.to_owned())));
        assert_eq!(standing.news(Ok(()), 1, 0), None);
    }
}
