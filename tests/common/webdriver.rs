//! A browser for tests: chromedriver over the WebDriver protocol, with the few commands the tests need.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

/// Longer than a busy machine needs for anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 10] = [
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    // Chromium refuses its sandbox to root, and tests in containers run as root.
    "--no-sandbox",
];

/// A Chromium of its own, with a fresh profile; it ends with this value.
pub(crate) struct Browser {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    session: String,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one; the error says why there is none here.
    pub(crate) fn start() -> Result<Browser, String> {
        let (driver, root) = start_driver()?;
        let profile = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // A second test in this process finds it installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .timeout(PATIENCE)
            .build()
            .expect("a plain client can be built");
        let mut browser = Browser { runtime, client, session: root, driver, _profile: profile };
        let profile_flag = format!("--user-data-dir={}", browser._profile.path().display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile_flag.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = browser.command("/session", wanted)?;
        let id = answer["sessionId"].as_str().ok_or("chromedriver gave no session")?;
        browser.session = format!("{}/session/{id}", browser.session);
        Ok(browser)
    }

    /// Goes to a page and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) {
        self.must("/url", json!({ "url": url }));
    }

    /// What a script returns; it is the body of a function.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.must("/execute/sync", json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true.
    ///
    /// # Panics
    /// When it has not after 60 s; the message shows the page's text.
    pub(crate) fn wait_until(&self, script: &str) {
        let start = Instant::now();
        while self.run(script) != Value::Bool(true) {
            assert!(
                start.elapsed() < PATIENCE,
                "never became true: {script}\nthe page says: {}\nthe console says: {:?}",
                self.run("return document.body.innerText"),
                self.console()
            );
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// The visible width in CSS pixels, and whether the reader likes it dark. A window itself cannot be as narrow as
    /// a phone.
    pub(crate) fn view_as(&self, width: u32, height: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
        self.devtools(
            "Emulation.setEmulatedMedia",
            // Without motion: a picture must not catch a colour half way.
            json!({"features": [
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]}),
        );
    }

    /// Presses a key wherever the focus is: a character, or one of WebDriver's names for the others.
    pub(crate) fn press(&self, key: &str) {
        let strokes = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.must("/actions", json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}));
    }

    /// One command of the developer tools.
    pub(crate) fn devtools(&self, name: &str, parameters: Value) -> Value {
        self.must("/goog/cdp/execute", json!({"cmd": name, "params": parameters}))
    }

    /// The console's messages since the last call.
    pub(crate) fn console(&self) -> Vec<String> {
        let log = self.must("/se/log", json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Writes a picture of the whole page.
    ///
    /// # Errors
    /// Chromium made none, which it sometimes does not on a busy machine, with nothing wrong with the page.
    pub(crate) fn screenshot(&self, file: &Path) -> Result<(), String> {
        let take = || {
            let whole = json!({"captureBeyondViewport": true});
            self.command("/goog/cdp/execute", json!({"cmd": "Page.captureScreenshot", "params": whole}))
        };
        let answer = take().or_else(|_| take())?;
        let text = answer["data"].as_str().expect("a picture in base64");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        std::fs::write(file, bytes).expect("the picture can be written");
        Ok(())
    }

    fn must(&self, path: &str, body: Value) -> Value {
        self.command(path, body.clone()).unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    fn command(&self, path: &str, body: Value) -> Result<Value, String> {
        let request = self.client.post(format!("{}{path}", self.session)).body(body.to_string());
        let text = self
            .runtime
            .block_on(async { request.send().await?.text().await })
            .map_err(|error| format!("chromedriver does not answer: {error}"))?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium outlives a killed chromedriver: the session has to be closed first.
        let request = self.client.delete(&self.session);
        let _ = self.runtime.block_on(async { request.send().await });
        stop(&mut self.driver);
    }
}

/// Starts chromedriver, and asks it where it listens. The free port that it finds for IPv4 may be taken for IPv6, and then
/// it ends without a word; on a busy machine that happens.
fn start_driver() -> Result<(Child, String), String> {
    for _ in 0..5 {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("chromedriver cannot be started ({error}): apt install chromium-driver")
            })?;
        if let Some(root) = address_of(&mut driver) {
            return Ok((driver, root));
        }
        stop(&mut driver);
    }
    Err("chromedriver did not say its port, five times".into())
}

fn address_of(driver: &mut Child) -> Option<String> {
    let output = BufReader::new(driver.stdout.take()?);
    let line = output.lines().map_while(Result::ok).find(|line| line.contains("successfully on port"))?;
    let port = line.rsplit(' ').next()?.trim_end_matches('.');
    Some(format!("http://127.0.0.1:{port}"))
}

fn stop(driver: &mut Child) {
    let _ = driver.kill();
    let _ = driver.wait();
}
