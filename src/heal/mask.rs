//! Secrets in arguments. Environments are never copied; arguments are public on most machines (`ps` shows them), and yet
//! they have no place in a file that is kept and handed on.

/// An argument whose name holds one of these has a value that is not for everybody.
const NAMES: [&str; 10] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "api-key",
    "api_key",
    "authorization",
    "cookie",
];

const MASK: &str = "***";

/// The arguments with `***` in place of what looks secret: the value of `--password=...` or `DB_TOKEN=...`, what follows
/// `--token`, that of an `Authorization:` header, and the password of `scheme://user:password@host`. What is secret without
/// saying so (`-p hunter2`) stays.
pub(super) fn masked<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut is_secret = false;
    arguments
        .into_iter()
        .map(|argument| {
            let is_option = argument.starts_with('-');
            if std::mem::take(&mut is_secret) && !is_option {
                return MASK.to_owned();
            }
            // A header, as it is given to curl.
            if let Some((name, _)) = argument.split_once(": ").filter(|(name, _)| names_a_secret(name)) {
                return format!("{}: {MASK}", without_password(name));
            }
            // Any of them: `host=db password=x` is one argument, too.
            let name_end = end_of_secret_name(argument);
            match name_end.and_then(|end| Some(&argument[..end + argument[end..].find('=')?])) {
                Some(name) => format!("{}={MASK}", without_password(name)),
                None => {
                    is_secret = is_option && name_end.is_some() && !argument.contains('=');
                    without_password(argument)
                }
            }
        })
        .collect()
}

fn names_a_secret(name: &str) -> bool {
    end_of_secret_name(name).is_some()
}

/// Where the first name of something secret ends.
fn end_of_secret_name(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    NAMES.iter().filter_map(|secret| Some(text.find(secret)? + secret.len())).min()
}

/// An address without the password in it.
fn without_password(argument: &str) -> String {
    let shown = || {
        let (scheme, rest) = argument.split_once("://")?;
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let (login, _) = authority.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:{MASK}{}", &rest[login.len()..]))
    };
    shown().unwrap_or_else(|| argument.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_secret_is_masked_and_the_rest_stays() {
        let examples = [
            ("--password=x --port=80", "--password=*** --port=80"),
            ("--db-Token x serve", "--db-Token *** serve"),
            ("--token --verbose", "--token --verbose"),
            ("DB_PASSWORD=a=b", "DB_PASSWORD=***"),
            ("postgres://app:x@y@db/name?a=b", "postgres://app:***@db/name?a=b"),
            ("--dsn=redis://:x@db", "--dsn=redis://:***@db"),
            ("http://host/a:b@c", "http://host/a:b@c"),
            ("postgres://app:x@db/name?password=y", "postgres://app:***@db/name?password=***"),
            ("--requirepass x", "--requirepass ***"),
            ("MYSQL_PWD=x", "MYSQL_PWD=***"),
            ("gunicorn main:app -b 127.0.0.1:80", "gunicorn main:app -b 127.0.0.1:80"),
            ("password x", "password x"),
        ];
        for (arguments, shown) in examples {
            assert_eq!(masked(arguments.split(' ')).join(" "), shown);
        }
        assert_eq!(masked(["host=db password=x user=y"]), ["host=db password=***"]);
        assert_eq!(masked(["curl", "-H", "Authorization: Bearer x"]).join(" "), "curl -H Authorization: ***");
    }
}
