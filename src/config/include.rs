//! `include`: which files a pattern names.

use std::path::{Path, PathBuf};

use super::decode::{Decode, Refusal, found};
use super::io_words;
use super::tree::Node;

const HELP: &str = "write for example monitor.d/*.yml, or a list of files";

/// The files that `include` in the file `main` names, each once, those of a pattern sorted by name. A pattern that
/// nothing matches is fine, a file that does not exist is a problem.
pub(super) fn files(decode: &mut Decode<'_>, include: Option<&Node>, main: &Path) -> Vec<PathBuf> {
    let Some(include) = include else {
        return Vec::new();
    };
    let folder = main.parent().unwrap_or(Path::new(""));
    let noun = "the path of a file or a pattern";
    let mut files: Vec<PathBuf> = Vec::new();
    for item in decode.one_or_many(include, noun, HELP) {
        let Some(pattern) = decode.parsed(item, noun, HELP, pattern) else {
            continue;
        };
        for file in matching(decode, item, &folder.join(pattern)) {
            if file != main && !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
}

fn pattern(text: &str) -> Result<PathBuf, Refusal> {
    let path = Path::new(text);
    if path.file_name().is_none() || text.ends_with('/') {
        return Err(Refusal::new("names no file"));
    }
    let in_folder = path.parent().is_some_and(|folder| is_pattern(&folder.to_string_lossy()));
    if in_folder {
        return Err(Refusal::new("has `*` or `?` before its last `/`").help("write one pattern a folder"));
    }
    Ok(path.to_owned())
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

fn matching(decode: &mut Decode<'_>, item: &Node, path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !is_pattern(&name) {
        if !path.is_file() {
            let message = format!("found {}, which is no file", found(item));
            decode.complain(item, message, "write the path from the folder of this file, or remove it");
            return Vec::new();
        }
        return vec![path.to_owned()];
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(cause) => {
            let message = format!("found {}, whose folder cannot be read: {}", found(item), io_words(&cause));
            decode.complain(item, message, "let the user that runs wellkeep read the folder");
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.file_name()))
        .filter(|file| matches(&name, &file.to_string_lossy()))
        .map(|file| path.with_file_name(file))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    files
}

/// Whether a name matches a pattern with `*` and `?`, as a shell has it: hidden files only if the pattern says the dot.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and how far the name was when it took nothing.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some('?') => (p, n) = (p + 1, n + 1),
            Some(c) if *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    (p, n) = (at + 1, taken + 1);
                    star = Some((at, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_takes_any_part_of_a_name_and_a_question_mark_one_character() {
        for (pattern, name, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yml~", false),
            ("*.yml", ".hidden.yml", false),
            (".*.yml", ".hidden.yml", true),
            ("*", "anything", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxa", false),
            ("*.y*ml", "a.yaml.yml", true),
            ("10-*", "1-a", false),
            ("?", "é", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
