//! `${VARIABLE}`, `${file:/path}` and `${credential:NAME}` in a text. It is done after the YAML was read, so that no
//! value, whatever stands in it, changes the structure of the file.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{io_words, read_regular};

/// What is put in from a file is at most 64 KiB.
const SECRET_LIMIT: u64 = 64 * 1024;

const SECRET_HELP: &str = "a secret may stand in the value of a header, and in the user name, password and query of a \
     URL; everything else may be shown to everybody";

/// The environment, or what a test puts in its place.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Where `${file:}` and `${credential:}` may stand in a text. Most settings are published: in status.json, in the
/// reason of a failure, in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// Nowhere.
    Refused,
    /// Anywhere: the text is never shown.
    Anywhere,
    /// The text is a URL, whose user name, password and query are never shown.
    InUrl,
}

/// Why a text cannot be put together. It never holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExpandError {
    /// What is wrong, after "found a value that": `needs the variable PORT, which is not set`.
    pub(super) why: String,
    /// What to do.
    pub(super) help: String,
}

fn error<T>(why: impl Into<String>, help: impl Into<String>) -> Result<T, ExpandError> {
    Err(ExpandError { why: why.into(), help: help.into() })
}

/// Puts variables and secrets into texts.
pub(super) struct Expand<'e> {
    env: Env<'e>,
    /// The credentials that something else stands for, where that is good enough.
    unread: Option<BTreeSet<String>>,
    /// The files that secrets were read from.
    files: BTreeSet<PathBuf>,
}

/// Where secrets come from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sources {
    /// The credentials that were noted and not read.
    pub(super) unread_credentials: Vec<String>,
    /// The files that secrets were read from.
    pub(super) files: Vec<PathBuf>,
}

impl<'e> Expand<'e> {
    /// Every secret must be there.
    pub(super) fn new(env: Env<'e>) -> Expand<'e> {
        Expand { env, unread: None, files: BTreeSet::new() }
    }

    /// For a person who asks whether a file is right: systemd hands credentials to the unit alone, so outside of one
    /// they are noted, and a word stands in for them.
    pub(super) fn without_credentials(env: Env<'e>) -> Expand<'e> {
        Expand { env, unread: env(CREDENTIALS_FOLDER).is_none().then(BTreeSet::new), files: BTreeSet::new() }
    }

    /// Where the secrets come from that were put in.
    pub(super) fn into_sources(self) -> Sources {
        Sources {
            unread_credentials: self.unread.into_iter().flatten().collect(),
            files: self.files.into_iter().collect(),
        }
    }

    /// The text with all values put in; none when there is nothing to put in. `$$` is a dollar, and so is a `$`
    /// before anything but `{`, for regular expressions end with it.
    pub(super) fn expand(&mut self, text: &str, secrets: Secrets) -> Result<Option<String>, ExpandError> {
        if !text.contains("${") && !text.contains("$$") {
            return Ok(None);
        }
        let pieces = pieces(text, self.env)?;
        let may_stand = match secrets {
            Secrets::Refused => !pieces.iter().any(|piece| matches!(piece, Piece::Secret(_))),
            Secrets::Anywhere => true,
            Secrets::InUrl => are_hidden_in_url(&pieces),
        };
        if !may_stand {
            return error("puts in a secret where none may stand", SECRET_HELP);
        }
        let mut out = String::with_capacity(text.len());
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(&text),
                Piece::Secret(source) if secrets == Secrets::InUrl => {
                    push_encoded(&mut out, &self.secret(source)?);
                }
                Piece::Secret(source) => out.push_str(&self.secret(source)?),
            }
        }
        Ok(Some(out))
    }

    fn secret(&mut self, source: Source<'_>) -> Result<String, ExpandError> {
        match source {
            Source::File(path) => {
                self.files.insert(path.into());
            }
            Source::Credential(name) => {
                if let (true, Some(unread)) = (is_credential(name), &mut self.unread) {
                    unread.insert(name.to_owned());
                    return Ok("credential".to_owned());
                }
            }
        }
        source.read(self.env, "monitor")
    }
}

/// Where a secret is that is read later, by whoever needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `${file:/path}`: the content of a file, without the line break at its end.
    File(PathBuf),
    /// `${credential:NAME}`: a credential of systemd.
    Credential(String),
}

impl SecretSource {
    /// Understands a text that is one of the two forms and nothing besides.
    pub(super) fn parse(text: &str) -> Option<SecretSource> {
        let inner = text.trim().strip_prefix("${")?.strip_suffix('}')?;
        if let Some(name) = inner.strip_prefix("credential:") {
            return is_credential(name).then(|| SecretSource::Credential(name.to_owned()));
        }
        let path = inner.strip_prefix("file:")?;
        (path.starts_with('/') && !path.contains(['\0', '{', '}'])).then(|| SecretSource::File(path.into()))
    }

    /// Reads it. `unit` is who needs it, for the advice: "viewer".
    ///
    /// # Errors
    ///
    /// Why it cannot be read, and what to do, in words that never hold a value.
    pub(crate) fn read(&self, env: Env<'_>, unit: &str) -> Result<String, String> {
        let read = match self {
            SecretSource::File(path) => secret(path, "let the user that the unit runs as read it"),
            SecretSource::Credential(name) => Source::Credential(name).read(env, unit),
        };
        read.map_err(|error| format!("{}; {}", error.why, error.help))
    }
}

impl Source<'_> {
    fn read(self, env: Env<'_>, unit: &str) -> Result<String, ExpandError> {
        let name = match self {
            Source::File(path) => {
                return secret(
                    Path::new(path),
                    "give the path of a readable text file: ${file:/etc/app/token}",
                );
            }
            Source::Credential(name) => name,
        };
        if !is_credential(name) {
            return error(
                format!("names the credential `{name}`, which is no name of a credential"),
                "write ${credential:NAME} with the name in `LoadCredential=NAME:/path`",
            );
        }
        match env(CREDENTIALS_FOLDER) {
            Some(folder) => secret(
                &PathBuf::from(folder).join(name),
                &format!("check `LoadCredential=` in the unit of the {unit}"),
            ),
            None => error(
                format!("needs the credential {name}, and systemd has handed over none"),
                format!("add `LoadCredential={name}:/path` to the unit of the {unit}"),
            ),
        }
    }
}

fn is_credential(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

/// The variable by which systemd tells a unit where its credentials are.
const CREDENTIALS_FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// A part of a text.
enum Piece<'t> {
    /// As written, or the value of a variable.
    Text(Cow<'t, str>),
    /// To be read yet.
    Secret(Source<'t>),
}

/// Where a secret comes from.
#[derive(Clone, Copy)]
enum Source<'t> {
    File(&'t str),
    Credential(&'t str),
}

fn pieces<'t>(text: &'t str, env: Env<'_>) -> Result<Vec<Piece<'t>>, ExpandError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        pieces.push(Piece::Text(rest[..at].into()));
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            pieces.push(Piece::Text("$".into()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((name, after)) = after.split_once('}') else {
                return error(
                    "opens `${` and never closes it",
                    "close it with `}`, or write `$${` for the text itself",
                );
            };
            pieces.push(if let Some(path) = name.strip_prefix("file:") {
                Piece::Secret(Source::File(path))
            } else if let Some(credential) = name.strip_prefix("credential:") {
                Piece::Secret(Source::Credential(credential))
            } else {
                Piece::Text(variable(name, env)?.into())
            });
            rest = after;
        } else {
            pieces.push(Piece::Text("$".into()));
        }
    }
    pieces.push(Piece::Text(rest.into()));
    Ok(pieces)
}

/// Whether all secrets of a URL stand in its user name, its password or its query.
fn are_hidden_in_url(pieces: &[Piece<'_>]) -> bool {
    // No variable and no configuration file holds this character.
    const SECRET: char = '\0';
    let mut url = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => url.push_str(text),
            Piece::Secret(_) => url.push(SECRET),
        }
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return !url.contains(SECRET);
    };
    let shown = rest.split('?').next().unwrap_or_default();
    // Where the parser of the URL, too, sees the end of the host. It takes a backslash for a slash.
    let authority = shown.split(['/', '\\', '#']).next().unwrap_or_default();
    let host = authority.rfind('@').map_or(0, |at| at + 1);
    !scheme.contains(SECRET) && !shown[host..].contains(SECRET)
}

/// A secret stands for itself: a slash in a password would end the host, and the rest of it would be shown as the
/// path. A colon may stay, so that a file may hold `user:password`.
fn push_encoded(url: &mut String, secret: &str) {
    for byte in secret.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b':' => url.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => url.push(byte.into()),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn variable(name: &str, env: Env<'_>) -> Result<String, ExpandError> {
    let (name, default) = match name.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    if !is_variable(name) {
        // Without what stands between the braces: it may be the middle of a password.
        return error(
            "holds a `${` with no variable after it",
            "write ${NAME}, ${NAME:-default}, ${file:/path}, ${credential:NAME}, or `$${` for the text itself",
        );
    }
    match (env(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => error(
            format!("needs the variable {name}, which is not set"),
            format!("set it for the monitor and the viewer, or write ${{{name}:-default}}"),
        ),
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The content of a file without the line break at its end, which editors and `echo` put there.
fn secret(path: &Path, help: &str) -> Result<String, ExpandError> {
    let shown = path.display();
    if !path.is_absolute() {
        return error(format!("names the file `{shown}`, which is not an absolute path"), help);
    }
    let text = match read_regular(path, SECRET_LIMIT + 1) {
        Ok(bytes) if bytes.len() as u64 > SECRET_LIMIT => {
            return error(format!("needs the file {shown}, which is larger than 64 KiB"), help);
        }
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()),
        Err(cause) => Err(io_words(&cause)),
    };
    match text {
        Ok(text) => {
            let trimmed = text.strip_suffix('\n').unwrap_or(&text);
            Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned())
        }
        Err(cause) => error(format!("needs the file {shown}, which cannot be read: {cause}"), help),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("5000".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn expand(text: &str, env: Env<'_>) -> Result<Option<String>, ExpandError> {
        Expand::new(env).expand(text, Secrets::Anywhere)
    }

    fn expanded(text: &str) -> String {
        expand(text, &env).unwrap().unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn a_variable_is_put_in_and_a_default_stands_in_for_one_that_is_unset_or_empty() {
        assert_eq!(expanded("http://h:${PORT}/"), "http://h:5000/");
        assert_eq!(expanded("${UNSET:-80}${EMPTY:-81}${PORT:-82}"), "80815000");
        assert_eq!(expanded("[${EMPTY}]"), "[]");
    }

    #[test]
    fn a_dollar_is_a_dollar_unless_a_brace_follows() {
        assert_eq!(expanded("^ok$"), "^ok$");
        assert_eq!(expanded("$PORT costs $$5 or $${PORT}"), "$PORT costs $5 or ${PORT}");
    }

    #[test]
    fn a_value_that_looks_like_a_variable_is_not_expanded_again() {
        assert_eq!(expand("${A}", &|_| Some("${B}".into())).unwrap().unwrap(), "${B}");
    }

    #[test]
    fn an_unset_variable_is_named() {
        assert_eq!(expand("${NOPE}", &env).unwrap_err().why, "needs the variable NOPE, which is not set");
        assert!(expand("${PORT", &env).is_err());
        assert!(expand("${1}", &env).is_err());
        assert!(expand("${}", &env).is_err());
    }

    #[test]
    fn a_secret_comes_from_a_file_or_a_credential_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "s3cret \n\n").unwrap();
        let path = folder.path().display().to_string();
        let env = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| path.clone());
        let file = format!("Bearer ${{file:{path}/token}}");
        assert_eq!(expand(&file, &env).unwrap().unwrap(), "Bearer s3cret \n");
        assert_eq!(expand("${credential:token}", &env).unwrap().unwrap(), "s3cret \n");
        assert!(expand("${credential:../token}", &env).is_err());
        assert!(expand("${credential:absent}", &env).is_err());
        assert!(expand("${file:token}", &env).is_err());
        assert!(expand("${credential:token}", &|_| None).is_err());
    }

    #[test]
    fn a_secret_in_a_url_stands_only_where_the_url_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s"), "a/b@c?d#e:f %é\n").unwrap();
        let path = folder.path().display().to_string();
        let env = |name: &str| (name == CREDENTIALS_FOLDER).then(|| path.clone());
        let expand = |url: &str| Expand::new(&env).expand(url, Secrets::InUrl);
        let encoded = "a%2Fb%40c%3Fd%23e:f%20%25%C3%A9";
        for url in [
            "http://@@h/x",
            "http://u:@@h/x",
            "http://@:p@h",
            "http://h/x?a=1&token=",
            "http://h?",
            "http://unix:/run/a.sock:/x?",
        ] {
            let (written, hidden) = match url.split_once("@@") {
                Some((before, after)) => (format!("{before}${{credential:s}}@{after}"), true),
                None if url.contains("@:") => (url.replacen('@', "${credential:s}", 1), true),
                None => (format!("{url}${{credential:s}}"), true),
            };
            assert_eq!(expand(&written).is_ok(), hidden, "{written}");
            assert!(expand(&written).unwrap().unwrap().contains(encoded), "{written}");
        }
        for written in [
            "${credential:s}",
            "${credential:s}://h/",
            "${credential:s}@h/",
            "http://${credential:s}/",
            "http://${credential:s}",
            "http://u@${credential:s}/",
            "http://h:${credential:s}/",
            "http://h/${credential:s}",
            "http://h/${credential:s}@x",
            "http://h\\${credential:s}@x",
            "http://h/${credential:s}?x",
            "http://h/#${credential:s}@x",
            "http://unix:${credential:s}:/x",
            "http://unix:/run/a.sock:/${credential:s}",
        ] {
            let refused = expand(written).unwrap_err();
            assert_eq!(refused.why, "puts in a secret where none may stand", "{written}");
        }
    }

    #[test]
    fn a_secret_that_may_not_stand_somewhere_is_not_even_read() {
        let refused = Expand::new(&env).expand("${file:/nonexistent}", Secrets::Refused).unwrap_err();
        assert_eq!(refused.why, "puts in a secret where none may stand");
        assert_eq!(Expand::new(&env).expand("${PORT}", Secrets::Refused), Ok(Some("5000".into())));
    }
}
