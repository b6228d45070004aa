//! TLS: whom to trust, and for how long.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
    CertificateParams::new(names).unwrap()
}

fn self_signed(params: &CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn https(server: &Server) -> Settings {
    get(&format!("https://127.0.0.1:{}/", server.port))
}

#[test]
fn an_expired_certificate_is_a_failure_that_says_since_when() {
    let mut expired = params(&["127.0.0.1"]);
    expired.not_after = date_time_ymd(2024, 1, 1);
    expired.not_before = date_time_ymd(2023, 1, 1);
    let (certificate, key) = self_signed(&expired);
    let Some(server) = openssl(&certificate, &key) else {
        return;
    };
    let mut settings = https(&server);
    settings.ca_file = Some(server.folder().join("certificate.pem"));
    let report = run(&settings);
    assert_eq!(reason(&report), "certificate expired on 2024-01-01 (53 days ago)");
    let read = detail(&report).certificate.as_ref().unwrap();
    assert_eq!((read.not_after.to_string().as_str(), read.days_left), ("2024-01-01T00:00:00Z", -54));

    settings.ca_file = None;
    settings.insecure = true;
    let Outcome::Pass { warning: Some(warning) } = run(&settings).outcome else { panic!() };
    assert_eq!(warning, "certificate expired on 2024-01-01 (53 days ago)");
    settings.certificate_days = 0;
    assert_eq!(run(&settings).outcome, Outcome::PASS);
}

#[test]
fn a_certificate_about_to_expire_is_a_warning() {
    let mut soon = params(&["127.0.0.1"]);
    soon.not_after = date_time_ymd(2099, 1, 9);
    let (certificate, key) = self_signed(&soon);
    let Some(server) = openssl(&certificate, &key) else {
        return;
    };
    let mut settings = https(&server);
    settings.ca_file = Some(server.folder().join("certificate.pem"));
    let report = run(&settings);
    assert_eq!(report.outcome, Outcome::PASS);
    let left = detail(&report).certificate.as_ref().unwrap().days_left;
    settings.certificate_days = left as u32 + 1;
    let Outcome::Pass { warning: Some(warning) } = run(&settings).outcome else { panic!() };
    assert_eq!(warning, format!("certificate expires on 2099-01-09, in {left} days"));
}

#[test]
fn a_self_signed_certificate_is_trusted_by_its_own_file_only() {
    // As `openssl req -x509` makes it: it calls itself an authority.
    let mut params = params(&["127.0.0.1"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (certificate, key) = self_signed(&params);
    let Some(server) = openssl(&certificate, &key) else {
        return;
    };
    let mut settings = https(&server);
    let (other, _) = self_signed(&params);
    let path = server.folder().join("ca.pem");
    std::fs::write(&path, other).unwrap();
    settings.ca_file = Some(path.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new();
    let run = |settings: &Settings| runtime.block_on(probe(&client, settings, Duration::from_secs(10), NOW));
    assert!(reason(&run(&settings)).starts_with("certificate is not trusted: "), "{:?}", run(&settings));

    // The file is read again when it was written again.
    std::fs::write(&path, format!("{certificate}\n")).unwrap();
    assert_eq!(run(&settings).outcome, Outcome::PASS);

    // No session is resumed: every probe sees the certificate.
    assert!(detail(&run(&settings)).certificate.is_some());

    // And it is trusted for its own names only.
    settings.url = format!("https://localhost:{}/", server.port).parse().unwrap();
    assert_eq!(reason(&run(&settings)), "certificate is not for localhost: it is for 127.0.0.1");

    std::fs::write(&path, "no certificate").unwrap();
    assert!(unknown(&run(&settings)).contains("holds no certificate"));
    std::fs::remove_file(&path).unwrap();
    assert!(unknown(&run(&settings)).contains("cannot be read"));
}

#[test]
fn nginx_with_a_certificate_of_an_own_authority_passes_with_its_file() {
    let (mut authority, key) = (params(&[]), KeyPair::generate().unwrap());
    authority.distinguished_name.push(DnType::CommonName, "Our Authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["127.0.0.1"]).signed_by(&key, &issuer).unwrap().pem();
    let lines = "ssl_certificate @/cert.pem; ssl_certificate_key @/key.pem; location / { return 200 'ok'; }";
    let key = key.serialize_pem();
    let files = [("cert.pem", &*certificate), ("key.pem", &key), ("ca.pem", &authority_pem)];
    let Some(nginx) = nginx("ssl", lines, &files) else {
        return;
    };
    let mut settings = https(&nginx);
    settings.ca_file = Some(nginx.folder().join("ca.pem"));
    assert_eq!(run(&settings).outcome, Outcome::PASS);

    settings.ca_file = None;
    let report = run(&settings);
    match &report.outcome {
        // On a host without ca-certificates nobody is trusted, and the probe says what to install.
        Outcome::Unknown { reason } => assert!(reason.contains("install the package ca-certificates")),
        _ => {
            let expected = "certificate is not trusted: signed by CN=Our Authority (trust it with `ca_file`)";
            assert_eq!(reason(&report), expected);
        }
    }
}

#[test]
fn without_ca_certificates_https_cannot_tell_and_http_works() {
    const MARK: &str = "WELLKEEP_TEST_WITHOUT_AUTHORITIES";
    if std::env::var_os(MARK).is_none() {
        let test = "tls::without_ca_certificates_https_cannot_tell_and_http_works";
        return in_a_process_of_its_own(test, (MARK, "1"), |process| {
            process.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
        });
    }
    let report = run(&get(&format!("https://{}/", silent())));
    assert!(unknown(&report).contains("install the package ca-certificates"), "{report:?}");
    assert_eq!(run(&at(answering(b"HTTP/1.1 200 OK\r\n\r\n"))).outcome, Outcome::PASS);
}

#[test]
fn a_server_that_never_shakes_hands_times_out_in_the_handshake() {
    let report = run_for(&get(&format!("https://{}/", silent())).trusting_anybody(), SHORT);
    let reason = reason(&report);
    assert!(reason.starts_with("timed out after 300 ms in the TLS handshake (connected in "), "{reason}");
}

#[test]
fn a_plain_http_server_under_an_https_url_is_told_so() {
    let address = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let reason = failure(&get(&format!("https://{address}/")).trusting_anybody());
    assert!(
        reason.contains("does not answer in TLS (if it speaks plain HTTP, the URL is http://)"),
        "{reason}"
    );
}

trait TrustingAnybody {
    fn trusting_anybody(self) -> Settings;
}

impl TrustingAnybody for Settings {
    fn trusting_anybody(mut self) -> Settings {
        self.insecure = true;
        self
    }
}
