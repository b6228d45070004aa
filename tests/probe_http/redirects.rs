//! Redirects.

use super::*;

const REDIRECTS: &str = "
location = /one { return 302 /two; }
location = /two { return 301 /three?token=secret; }
location = /three { return 200 'there'; }
location = /loop { return 307 /pool; }
location = /pool { return 307 /loop; }
location = /ftp { return 302 ftp://example.org/; }
absolute_redirect off;
";

#[test]
fn redirects_are_failures_unless_allowed() {
    let Some(nginx) = nginx("", REDIRECTS, &[]) else {
        return;
    };
    let base = format!("http://127.0.0.1:{}", nginx.port);
    let mut settings = get(&format!("{base}/one"));
    let not_followed =
        format!("redirects to {base}/two, which is not followed (allow it with `redirects: 1`)");
    let report = run(&settings);
    assert_eq!(reason(&report), not_followed);
    assert_eq!(detail(&report).status_code, Some(302));

    settings.redirects = 1;
    assert_eq!(
        failure(&settings),
        format!("redirects to {base}/three, which is more than `redirects: 1` allows")
    );
    settings.redirects = 2;
    settings.body = Some(regex::Regex::new("^there$").unwrap());
    assert_eq!(run(&settings).outcome, Outcome::PASS);

    let mut looping = get(&format!("{base}/loop"));
    looping.redirects = 9;
    assert_eq!(failure(&looping), format!("redirects in a loop: after 2 redirects again to {base}/loop"));
    let mut elsewhere = get(&format!("{base}/ftp"));
    elsewhere.redirects = 1;
    assert_eq!(failure(&elsewhere), "redirects to what is no http or https URL");

    let mut expected = get(&format!("{base}/one"));
    expected.status = vec![302..=302];
    assert_eq!(run(&expected).outcome, Outcome::PASS);
}

#[test]
fn headers_go_to_the_configured_server_only() {
    let (other, heard) = listening(b"HTTP/1.1 200 OK\r\n\r\n");
    let redirecting = bad_server(move |mut connection| {
        assert!(read_request(&connection).contains("x-token: secret"));
        let _ = write!(connection, "HTTP/1.1 302 Found\r\nlocation: http://{other}/\r\n\r\n");
    });
    let mut settings = at(redirecting);
    settings.redirects = 1;
    settings.headers = vec![("X-Token".into(), "secret".into())];
    assert_eq!(run(&settings).outcome, Outcome::PASS);
    let request = heard.recv().unwrap();
    assert!(!request.contains("secret"), "{request}");
}
