//! Who may see the details. What everybody may see is in `public.rs`; what a route needs stands in the table of routes.

use std::fmt;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use subtle::{Choice, ConstantTimeEq};

use super::attempts::Attempts;
use super::http::{Problem, Request};
use super::source::lock;
use crate::config::{self, Details, SecretSource};

/// A secret may be so long, in bytes. What is compared is filled up to it, so that not even its length can be measured.
const LONGEST: usize = 256;

/// A shorter token is refused: it is made by a machine, once (`openssl rand -hex 16`).
const SHORTEST_TOKEN: usize = 16;
/// The same for a password, which a person types.
const SHORTEST_PASSWORD: usize = 8;

/// Why the viewer cannot protect what it was told to.
#[derive(Debug, thiserror::Error)]
#[error(
    "the viewer does not start, for it could not keep the details from strangers: `viewer: access: {key}` {why}"
)]
pub struct AccessError {
    key: &'static str,
    why: String,
}

/// How much a request may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Sees {
    /// Names and states.
    #[default]
    Public,
    /// All there is.
    Everything,
}

/// For whom a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Nobody is asked who they are; the answer holds what everybody may see.
    Everybody,
    /// The answer holds what everybody may see, and more for who shows credentials, or must since `?details` asks for it.
    Either,
    /// Only for who may see the details.
    Details,
}

/// The rule in force.
#[derive(Debug)]
pub struct Guard(Rule);

#[derive(Debug)]
enum Rule {
    Everybody,
    Nobody,
    With(Box<Credentials>, Mutex<Attempts>),
}

#[derive(Debug)]
struct Credentials {
    token: Option<Secret>,
    login: Option<(Secret, Secret)>,
    /// The `WWW-Authenticate` that goes with them.
    challenge: String,
}

impl Guard {
    /// Reads the secrets.
    ///
    /// # Errors
    ///
    /// When one cannot be read or is too weak to be one.
    pub(super) fn new(details: &Details, env: &dyn Fn(&str) -> Option<String>) -> Result<Guard, AccessError> {
        Ok(Guard(match details {
            Details::Everybody => Rule::Everybody,
            Details::Nobody => Rule::Nobody,
            Details::With(access) => Rule::With(Box::new(Credentials::read(access, env)?), Mutex::default()),
        }))
    }

    /// Whether answers differ by who asks.
    pub(super) fn tells_apart(&self) -> bool {
        matches!(self.0, Rule::With(..))
    }

    /// What a request may see of a route, or why it gets no answer.
    pub(super) fn look(&self, request: &Request, route: For, now: Instant) -> Result<Sees, Problem> {
        let must_see = route == For::Details || (route == For::Either && request.has_query("details"));
        match (&self.0, route, &request.authorization) {
            (Rule::Everybody, ..) => Ok(Sees::Everything),
            (_, For::Everybody, _) => Ok(Sees::Public),
            (Rule::With(credentials, attempts), _, Some(shown)) => {
                credentials.check(&shown.0, &mut lock(attempts), now, request.client)?;
                Ok(Sees::Everything)
            }
            (Rule::With(credentials, _), _, None) if must_see => {
                Err(credentials.refuse("the details are only for who has the credentials"))
            }
            (Rule::Nobody, ..) if must_see => Err(Problem::new(
                403,
                "the details are not shown here",
                "`wellkeep status` and `wellkeep why KEY` tell them on the host; to show them here, set `viewer: access:` \
                 in monitor.yml",
            )),
            _ => Ok(Sees::Public),
        }
    }
}

impl Credentials {
    fn read(
        access: &config::Access,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Credentials, AccessError> {
        let read = |key, source: &SecretSource, shortest| {
            let text = source.read(env, "viewer").map_err(|why| AccessError { key, why })?;
            Secret::checked(&text, shortest).map_err(|why| AccessError { key, why: why.to_owned() })
        };
        let token = access.token.as_ref().map(|source| {
            let token = read("token", source, SHORTEST_TOKEN)?;
            let why = "has characters that no header can carry: use letters and digits";
            let fits = token.bytes().iter().all(u8::is_ascii_graphic);
            if fits { Ok(token) } else { Err(AccessError { key: "token", why: why.to_owned() }) }
        });
        let login = access.login.as_ref().map(|login| {
            let user = Secret::new(login.user.as_bytes())
                .ok_or_else(|| AccessError { key: "user", why: "is longer than 256 bytes".to_owned() })?;
            Ok((user, read("password", &login.password, SHORTEST_PASSWORD)?))
        });
        let schemes = [
            login.as_ref().map(|_| r#"Basic realm="Wellkeep", charset="UTF-8""#),
            token.as_ref().map(|_| r#"Bearer realm="Wellkeep""#),
        ];
        let challenge = schemes.into_iter().flatten().collect::<Vec<_>>().join(", ");
        Ok(Credentials { token: token.transpose()?, login: login.transpose()?, challenge })
    }

    /// Who has failed too often is refused whatever it shows: an answer that depends on it would be a free guess.
    fn check(
        &self,
        shown: &str,
        attempts: &mut Attempts,
        now: Instant,
        client: Option<IpAddr>,
    ) -> Result<(), Problem> {
        if let Some(wait) = attempts.wait(now, client) {
            let seconds = wait.as_secs() + 1;
            let hint = format!("wait for {seconds} s; each wrong one makes it longer");
            let problem = Problem::new(429, "too many wrong credentials came from this address", hint);
            return Err(problem.with("Retry-After", seconds.to_string()));
        }
        if self.accept(shown) {
            return Ok(());
        }
        attempts.failed(now, client);
        Err(self.refuse("these credentials are wrong"))
    }

    fn accept(&self, shown: &str) -> bool {
        let Some((scheme, value)) = shown.split_once(' ') else { return false };
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.token.as_ref().is_some_and(|token| token.is(value.as_bytes()).into());
        }
        let Some((user, password)) = self.login.as_ref().filter(|_| scheme.eq_ignore_ascii_case("basic"))
        else {
            return false;
        };
        let Ok(pair) = BASE64.decode(value) else { return false };
        let colon = pair.iter().position(|byte| *byte == b':').unwrap_or(pair.len());
        let (shown_user, rest) = pair.split_at(colon);
        // Both are compared, whatever the first says.
        (user.is(shown_user) & password.is(rest.get(1..).unwrap_or_default())).into()
    }

    fn refuse(&self, error: &str) -> Problem {
        let hint = match (&self.login, &self.token) {
            (Some(_), Some(_)) => "log in, or send `Authorization: Bearer TOKEN`",
            (Some(_), None) => "log in with user and password",
            (None, _) => "send `Authorization: Bearer TOKEN`",
        };
        Problem::new(401, error, hint).with("WWW-Authenticate", self.challenge.clone())
    }
}

/// What is compared in a time that does not depend on it. It is never shown.
struct Secret {
    filled_up: [u8; LONGEST],
    length: u64,
}

impl Secret {
    fn new(bytes: &[u8]) -> Option<Secret> {
        let mut filled_up = [0; LONGEST];
        filled_up.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Secret { filled_up, length: bytes.len() as u64 })
    }

    fn checked(text: &str, shortest: usize) -> Result<Secret, &'static str> {
        if text.len() < shortest {
            return Err(match shortest {
                SHORTEST_TOKEN => "is shorter than 16 characters; `openssl rand -hex 16` makes a good one",
                _ => "is shorter than 8 characters",
            });
        }
        if text.chars().any(char::is_control) {
            return Err("holds a line break or another control character; write it on one line");
        }
        Secret::new(text.as_bytes()).ok_or("is longer than 256 bytes")
    }

    fn bytes(&self) -> &[u8] {
        &self.filled_up[..self.length as usize]
    }

    fn is(&self, shown: &[u8]) -> Choice {
        // Too long is wrong whatever the secret is.
        Secret::new(shown).map_or(Choice::from(0), |shown| {
            self.filled_up.ct_eq(&shown.filled_up) & self.length.ct_eq(&shown.length)
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::viewer::http::Authorization;

    const TOKEN: &str = "0123456789abcdef";

    fn guard(folder: &Path) -> Guard {
        std::fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
        std::fs::write(folder.join("password"), "pass:wörd\n").unwrap();
        let file = |name: &str| SecretSource::File(folder.join(name));
        let login = config::Login { user: "ada".into(), password: file("password") };
        let access = config::Access { token: Some(file("token")), login: Some(login) };
        Guard::new(&Details::With(access), &|_| None).unwrap()
    }

    fn asking(authorization: Option<&str>) -> Request {
        let authorization = authorization.map(|text| Authorization(text.to_owned()));
        Request { target: "/x".into(), authorization, ..Request::default() }
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair))
    }

    fn status(looked: Result<Sees, Problem>) -> u16 {
        looked.map_or_else(|problem| problem.status, |_| 200)
    }

    #[test]
    fn only_the_whole_token_or_the_whole_login_lets_in() {
        let folder = tempfile::tempdir().unwrap();
        let guard = guard(folder.path());
        let look = |shown: &str| guard.look(&asking(Some(shown)), For::Details, Instant::now());
        for right in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN}"), basic("ada:pass:wörd")] {
            assert_eq!(look(&right).unwrap(), Sees::Everything, "{right}");
        }
        let long = "x".repeat(10_000);
        for wrong in [
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            format!("Bearer {TOKEN}0"),
            format!("Bearer {}", &TOKEN[1..]),
            format!("Bearer {TOKEN}\0"),
            format!("Bearer {long}"),
            format!("Basic {TOKEN}"),
            format!("Digest {TOKEN}"),
            basic("ada"),
            basic("ada:"),
            basic(":pass:wörd"),
            basic("ada:pass"),
            basic("Ada:pass:wörd"),
            basic(&format!("ada:{long}")),
            basic(&format!("ada:{TOKEN}")),
        ] {
            // A guard of its own each time: ten wrong ones are refused without a look.
            let guard = self::guard(folder.path());
            let looked = guard.look(&asking(Some(&wrong)), For::Details, Instant::now());
            assert_eq!(status(looked), 401, "{wrong}");
        }
    }

    #[test]
    fn a_public_answer_needs_nothing_and_credentials_that_are_wrong_are_told_even_there() {
        let folder = tempfile::tempdir().unwrap();
        let guard = guard(folder.path());
        let look = |request: &Request, route| guard.look(request, route, Instant::now());
        assert_eq!(look(&asking(None), For::Everybody).unwrap(), Sees::Public);
        assert_eq!(look(&asking(Some("Bearer wrong")), For::Everybody).unwrap(), Sees::Public);
        assert_eq!(look(&asking(None), For::Either).unwrap(), Sees::Public);
        assert_eq!(status(look(&asking(Some("Bearer wrong")), For::Either)), 401);
        assert_eq!(status(look(&asking(None), For::Details)), 401);
        let details = Request { target: "/x?details".into(), ..Request::default() };
        assert_eq!(status(look(&details, For::Either)), 401);
    }

    #[test]
    fn who_guesses_is_refused_unseen_and_the_right_one_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (guard, now) = (guard(folder.path()), Instant::now());
        let right = asking(Some(&format!("Bearer {TOKEN}")));
        let mut looks = (0..20).map(|_| status(guard.look(&asking(Some("Bearer x")), For::Details, now)));
        assert!(looks.by_ref().take(10).all(|status| status == 401));
        assert!(looks.all(|status| status == 429));
        let refused = guard.look(&right, For::Details, now).unwrap_err();
        assert_eq!(refused.status, 429, "else the answer would tell whether a guess was right");
        assert!(refused.headers.iter().any(|(name, value)| *name == "Retry-After" && value == "6"));
        let elsewhere = Request { client: Some("192.0.2.1".parse().unwrap()), ..right };
        assert_eq!(status(guard.look(&elsewhere, For::Details, now)), 200);
    }

    #[test]
    fn a_secret_that_is_missing_or_weak_is_no_protection_and_said_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let access = config::Access { token: Some(SecretSource::File(path.clone())), login: None };
        let error = || Guard::new(&Details::With(access.clone()), &|_| None).unwrap_err().to_string();
        assert!(error().contains("`viewer: access: token` needs the file"), "{}", error());
        for (weak, why) in [
            ("", "is shorter than 16"),
            ("0123456789abcde\n", "is shorter than 16"),
            ("0123456789\nabcdef", "line break"),
            ("0123456789 abcdef", "no header can carry"),
            (&"x".repeat(257), "longer than 256"),
        ] {
            std::fs::write(&path, weak).unwrap();
            assert!(error().contains(why), "{weak}: {}", error());
            assert!(weak.trim().is_empty() || !error().contains(weak.trim()), "{}", error());
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let shown = format!("{:?} {:?}", guard(folder.path()), asking(Some(&format!("Bearer {TOKEN}"))));
        assert!(!shown.contains(TOKEN) && !shown.contains("wörd"), "{shown}");
    }
}
