//! What it says of the service that no answer came, or not to its end. Pure.

use std::io;

use super::Settings;
use super::judge::{MILLIS_PER_DAY, Phase, Seen};
use super::tls::Leaf;
use super::words::{counted, date, days_ago, excerpt, joined};
use crate::probe::Outcome;
use crate::probe::network::{self, LookupError, shown};
use crate::status::Timestamp;

/// What kept a probe from reading an answer to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The time was over.
    TimedOut,
    /// The monitor cannot ask: its settings, its files.
    Own(String),
    /// The name has no address.
    Lookup(LookupError),
    /// The kernel's error, by its number.
    Io(i32),
    /// The connection ended too early.
    Closed,
    /// The certificate was refused.
    Certificate(CertificateFault),
    /// No TLS for another reason.
    Handshake(String),
    /// What came in the handshake was no TLS.
    NotTls,
    /// The headers do not end.
    HeadTooLarge,
    /// What came was no HTTP.
    NotHttp(String),
    /// It was sent elsewhere and did not go.
    Redirect(String),
    /// Something else, in the library's words.
    Other(String),
}

/// Why a certificate was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CertificateFault {
    Expired,
    NotYetValid,
    OtherName,
    Untrusted,
    /// Something else, in rustls' words.
    Unusable(String),
}

/// What it says of the service that no answer came, or not to its end.
pub(super) fn no_answer(settings: &Settings, seen: &Seen, trouble: &Trouble, now: Timestamp) -> Outcome {
    let server = || seen.server(settings);
    Outcome::fail(match trouble {
        Trouble::TimedOut => return Outcome::late(timed_out(settings, seen)),
        Trouble::Own(reason) => return Outcome::unknown(reason.as_str()),
        Trouble::Lookup(error) => return error.outcome(),
        Trouble::Io(code) => return broken(settings, seen, &io::Error::from_raw_os_error(*code)),
        Trouble::Closed => match seen.phase() {
            Phase::Body => format!("the body broke off after {}", counted(seen.body.read, "byte")),
            Phase::Handshake => format!("{} closed the connection in the TLS handshake", server()),
            _ => format!("{} closed the connection without an answer", server()),
        },
        Trouble::Certificate(fault) => refused_certificate(settings, seen, fault, now),
        Trouble::Handshake(error) => format!("TLS handshake with {} failed: {error}", server()),
        Trouble::NotTls => {
            format!("{} does not answer in TLS (if it speaks plain HTTP, the URL is http://)", server())
        }
        Trouble::HeadTooLarge => "headers too large or endless".to_owned(),
        Trouble::NotHttp(error) => format!("{} does not answer in HTTP: {error}", server()),
        Trouble::Redirect(reason) => reason.clone(),
        Trouble::Other(error) => format!("no answer from {}: {error}", server()),
    })
}

fn timed_out(settings: &Settings, seen: &Seen) -> String {
    let after = format!("timed out after {}", shown(seen.timeout));
    match seen.phase() {
        Phase::Lookup => {
            let host = seen.url(settings).host_str().unwrap_or_default();
            format!("{after} in name resolution of {host}")
        }
        Phase::Connect => format!("{after} in connect to {}", seen.server(settings)),
        Phase::Handshake => format!("{after} in the TLS handshake (connected in {})", seen.connected_in()),
        Phase::FirstByte => {
            format!("{after} waiting for the first byte (connected in {})", seen.connected_in())
        }
        Phase::Body => format!("{after} reading the body (got {})", counted(seen.body.read, "byte")),
    }
}

/// The kernel's error, in the words of the phase.
fn broken(settings: &Settings, seen: &Seen, error: &io::Error) -> Outcome {
    let server = || seen.server(settings);
    let words = network::in_words(error);
    if network::is_own_trouble(error) && seen.phase() != Phase::Connect {
        return Outcome::unknown(format!("cannot go on with {}: {words}", server()));
    }
    match (seen.phase(), &settings.unix_socket) {
        (Phase::Lookup | Phase::Connect, Some(path)) => network::no_unix_connection(error, path),
        (Phase::Lookup | Phase::Connect, None) => network::no_connection(error, &server()),
        (Phase::Handshake, _) => Outcome::fail(format!("{words} by {} in the TLS handshake", server())),
        (Phase::FirstByte, _) => Outcome::fail(format!("{words} by {} before an answer", server())),
        (Phase::Body, _) => {
            let got = counted(seen.body.read, "byte");
            Outcome::fail(format!("{words} while reading the body (got {got})"))
        }
    }
}

fn refused_certificate(settings: &Settings, seen: &Seen, fault: &CertificateFault, now: Timestamp) -> String {
    // A certificate that cannot be read is `Unusable`, and the words for that one need nothing of it.
    let leaf = Leaf::read(&seen.trace.certificate).unwrap_or_default();
    let not_after = Timestamp::from_millis(leaf.not_after_s.saturating_mul(1000));
    let trust = match &settings.ca_file {
        Some(path) => format!("not by {} (`ca_file`)", path.display()),
        None => "trust it with `ca_file`".to_owned(),
    };
    match fault {
        CertificateFault::Expired if not_after < now => {
            let ago = days_ago((now.as_millis() - not_after.as_millis()) / MILLIS_PER_DAY);
            format!("certificate expired on {} ({ago} ago)", date(not_after))
        }
        CertificateFault::Expired => {
            let date = date(not_after);
            format!(
                "a certificate that signs the server's has expired (the server's own is valid until {date})"
            )
        }
        CertificateFault::NotYetValid => {
            let begins = Timestamp::from_millis(leaf.not_before_s.saturating_mul(1000));
            format!("certificate is not valid before {begins} (or this host's clock is wrong)")
        }
        CertificateFault::OtherName => {
            let host = seen.url(settings).host_str().unwrap_or_default();
            let names = match leaf.names.is_empty() {
                true => "no name at all (subjectAltName)".to_owned(),
                false => excerpt(&joined(leaf.names.into_iter())),
            };
            format!("certificate is not for {host}: it is for {names}")
        }
        CertificateFault::Untrusted if leaf.self_signed => {
            format!("certificate is not trusted: self-signed by {} ({trust})", excerpt(&leaf.issuer))
        }
        CertificateFault::Untrusted => {
            format!("certificate is not trusted: signed by {} ({trust})", excerpt(&leaf.issuer))
        }
        // webpki's word for it is CaUsedAsEndEntity, and `openssl req -x509` makes such by default.
        CertificateFault::Unusable(_) if leaf.is_authority => format!(
            "certificate is not trusted: it is that of an authority (CA:TRUE) used for a server, by {} ({trust})",
            excerpt(&leaf.issuer)
        ),
        CertificateFault::Unusable(error) => format!("certificate cannot be used: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::probe::http::judge::Head;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn settings() -> Settings {
        Settings::get("https://user:password@web.example/?token=secret".parse().unwrap())
    }

    /// A probe that came as far as `phase`.
    fn seen(phase: Phase) -> Seen {
        let start = Instant::now();
        let at = |millis| Some(start + Duration::from_millis(millis));
        let mut seen = Seen::new(start, Duration::from_secs(3));
        seen.trace.lookup_begun = at(0);
        if phase >= Phase::Connect {
            seen.trace.lookup_ended = at(4);
            seen.trace.addresses = Some([[10, 0, 0, 1].into()].into());
        }
        if phase >= Phase::Handshake {
            seen.trace.handshake = at(12);
        }
        if phase >= Phase::FirstByte {
            seen.trace.connected = at(20);
        }
        if phase >= Phase::Body {
            seen.head = Some(Head::default());
            seen.body.read = 17;
        }
        assert_eq!(seen.phase(), phase);
        seen
    }

    #[test]
    fn a_timeout_names_the_phase_it_fell_into() {
        let timed_out = |phase| timed_out(&settings(), &seen(phase));
        let said = [
            (Phase::Lookup, "timed out after 3 s in name resolution of web.example"),
            (Phase::Connect, "timed out after 3 s in connect to web.example:443 (10.0.0.1)"),
            (Phase::Handshake, "timed out after 3 s in the TLS handshake (connected in 12 ms)"),
            (Phase::FirstByte, "timed out after 3 s waiting for the first byte (connected in 12 ms)"),
            (Phase::Body, "timed out after 3 s reading the body (got 17 bytes)"),
        ];
        for (phase, said) in said {
            assert_eq!(timed_out(phase), said);
        }
    }

    #[test]
    fn trouble_of_our_own_is_unknown_in_every_phase() {
        for phase in [Phase::Connect, Phase::Handshake, Phase::FirstByte, Phase::Body] {
            for code in [libc::EMFILE, libc::ENOBUFS, libc::ENOMEM] {
                let outcome = no_answer(&settings(), &seen(phase), &Trouble::Io(code), NOW);
                assert!(matches!(outcome, Outcome::Unknown { .. }), "{phase:?}: {outcome:?}");
            }
            let outcome = no_answer(&settings(), &seen(phase), &Trouble::Io(libc::ECONNRESET), NOW);
            assert!(matches!(outcome, Outcome::Fail { .. }), "{phase:?}: {outcome:?}");
        }
    }

    #[test]
    fn a_reason_holds_no_secret_of_the_url() {
        let troubles = [
            Trouble::TimedOut,
            Trouble::Io(libc::ECONNREFUSED),
            Trouble::Io(libc::ECONNRESET),
            Trouble::Closed,
            Trouble::NotTls,
            Trouble::Certificate(CertificateFault::OtherName),
            Trouble::Handshake("x".into()),
            Trouble::NotHttp("x".into()),
            Trouble::Other("x".into()),
        ];
        for trouble in troubles {
            for phase in [Phase::Lookup, Phase::Connect, Phase::Handshake, Phase::FirstByte, Phase::Body] {
                let said = format!("{:?}", no_answer(&settings(), &seen(phase), &trouble, NOW));
                assert!(!said.contains("password") && !said.contains("secret"), "{said}");
            }
        }
    }
}
