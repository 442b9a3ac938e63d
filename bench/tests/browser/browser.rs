//! One browser: headless Chromium with a profile of its own, which reaches this machine's loopback and nothing else.
//!
//! Everything here waits for what it asks of a page, since pages change by themselves. What the browser complains of is
//! kept by it from the first page on and asserted by [`Browser::assert_clean`].

use flowtest_bench::child::{self, Child};
use flowtest_bench::error::Result;
use flowtest_testkit::wait::wait_until_or_async;
use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thirtyfour::error::{WebDriverError, WebDriverErrorInner, WebDriverResult};
use thirtyfour::prelude::*;
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel, WebDriver};

/// How long a page may take to show what it must.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// How long chromedriver may take to listen.
const START: Duration = Duration::from_secs(30);
/// How often a page is asked again.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Widths that pages are looked at: a phone, a tablet, a notebook, a projector.
pub(crate) const WIDTHS: [u32; 4] = [360, 768, 1280, 1920];

/// A page that is longer is cut: somebody looks at the picture.
const PICTURE_HEIGHT_MAX: u32 = 6_000;

/// What the pill in the corner says of the live feed.
pub(crate) fn link_is(state: &str) -> String {
    format!("document.querySelector('[data-link]').dataset.state === '{state}'")
}

/// What the strip at the top of every page says of the round.
pub(crate) fn stage_is(state: &str) -> String {
    format!("document.querySelector('[data-stage-state]').dataset.state === '{state}'")
}

pub(crate) struct Browser {
    // Ended before its driver, and both before the profile goes.
    driver: WebDriver,
    _chromedriver: Child,
    profile: tempfile::TempDir,
    origin: String,
}

impl Drop for Browser {
    /// Where a play failed nobody has told Chromium to quit, and it would go on with its pages beside all other tests.
    fn drop(&mut self) {
        let profile = self.profile.path().to_string_lossy();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let id = process.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
            if let Some(id) = id.filter(|_| String::from_utf8_lossy(&command).contains(&*profile)) {
                // It may have ended meanwhile.
                let _ = kill_process(id, Signal::KILL);
            }
        }
    }
}

/// What a browser noticed.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Warnings, errors and violations of the pages' policy.
    pub(crate) console: Vec<String>,
    /// Addresses of others that a page asked for.
    pub(crate) foreign: Vec<String>,
}

/// Browsers share two cores with a generator and servers: so many plays at the same time.
const PLAYS_MAX: usize = 2;
static PLAYS: Mutex<usize> = Mutex::new(0);
static PLAY_ENDED: Condvar = Condvar::new();

/// A play's turn, until it is dropped.
pub(crate) struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        *PLAYS.lock() -= 1;
        PLAY_ENDED.notify_one();
    }
}

/// A turn to play as soon as it comes, or none when there is no browser; that is said aloud.
pub(crate) fn turn() -> Option<Turn> {
    for program in ["chromium", "chromedriver"] {
        if child::find_program(program).is_none() {
            say(&format!(
                "SKIPPED: there is no {program}, so nobody looked at the dashboard in a browser; make test installs it"
            ));
            return None;
        }
    }
    let mut plays = PLAYS.lock();
    PLAY_ENDED.wait_while(&mut plays, |plays| *plays == PLAYS_MAX);
    *plays += 1;
    Some(Turn)
}

/// Says something past the test harness, which keeps what a passing test prints to itself.
pub(crate) fn say(message: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "browser: {message}");
}

/// Runs a play, which is a future, on a runtime of its own.
pub(crate) fn play(script: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .expect("a runtime")
        .block_on(script);
}

/// A page on which something moves is drawn sixty times a second, here by the processor: that is half of what a play costs.
const LITTLE_MOTION: &str = "--force-prefers-reduced-motion";

/// How often a driver is started that finds its port taken.
const DRIVER_STARTS: usize = 5;
/// Tries to act on an element that a page replaces meanwhile.
const STALE_TRIES: usize = 5;

fn start_driver() -> Result<(Child, u16)> {
    let mut command = std::process::Command::new(child::find_program("chromedriver").expect("turn() has looked"));
    command.arg("--port=0");
    let mut driver = Child::start("chromedriver", &command)?;
    let port = driver.wait_for("started successfully", START, |line| {
        line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
    })?;
    Ok((driver, port))
}

impl Browser {
    /// Opens one that looks at the site with this origin, for somebody who prefers that little moves.
    pub(crate) async fn open(origin: &str) -> Browser {
        Browser::with(origin, |capabilities| capabilities.add_arg(LITTLE_MOTION).expect("a flag")).await
    }

    /// Opens one in which all moves that is made to.
    pub(crate) async fn with_motion(origin: &str) -> Browser {
        Browser::with(origin, |_| ()).await
    }

    /// Opens one that runs no script of any page.
    pub(crate) async fn without_scripts(origin: &str) -> Browser {
        let blocked = json!({ "profile.managed_default_content_settings.javascript": 2 });
        Browser::with(origin, |capabilities| {
            capabilities.add_arg(LITTLE_MOTION).expect("a flag");
            capabilities.add_experimental_option("prefs", blocked).expect("it is JSON");
        })
        .await
    }

    async fn with(origin: &str, change: impl FnOnce(&mut thirtyfour::ChromeCapabilities)) -> Browser {
        // It wants the same free port for both families, and ends when the other one is taken.
        let (chromedriver, port): (Child, u16) = (0..DRIVER_STARTS)
            .map(|_| start_driver())
            .find(|started| !matches!(started, Err(error) if error.to_string().contains("Address already in use")))
            .expect("free ports")
            .unwrap_or_else(|error| panic!("{error}"));
        let profile = tempfile::tempdir().expect("a profile of its own");
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities
            .set_binary(&child::find_program("chromium").expect("turn() has looked").display().to_string())
            .expect("a path");
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        for flag in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--window-size=1280,900",
            // Names lead nowhere, but for this machine.
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
            &profile_flag,
        ] {
            capabilities.add_arg(flag).expect("a flag");
        }
        capabilities.set_logging_prefs("browser", LoggingPrefsLogLevel::All).expect("a level");
        capabilities.set_logging_prefs("performance", LoggingPrefsLogLevel::All).expect("a level");
        change(&mut capabilities);
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities)
            .await
            .unwrap_or_else(|error| panic!("no session with chromium: {error}; {}", chromedriver.last_words()));
        Browser { driver, _chromedriver: chromedriver, profile, origin: origin.to_owned() }
    }

    /// Goes to a path of the site and waits until it is loaded.
    pub(crate) async fn go(&self, path: &str) {
        // From a page to a place on itself nothing would be loaded.
        if path.contains('#') {
            self.driver.goto("about:blank").await.unwrap_or_else(|error| panic!("a blank page: {error}"));
        }
        self.driver.goto(format!("{}{path}", self.origin)).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// A file, as whoever has it opens it.
    pub(crate) async fn open_file(&self, file: &Path) {
        self.driver
            .goto(format!("file://{}", file.display()))
            .await
            .unwrap_or_else(|error| panic!("{file:?}: {error}"));
    }

    /// Path, query and fragment of where it is.
    pub(crate) async fn place(&self) -> String {
        let url = self.driver.current_url().await.expect("it is somewhere");
        url.as_str().strip_prefix(&self.origin).unwrap_or(url.as_str()).to_owned()
    }

    /// Signs in on the page for it.
    pub(crate) async fn sign_in(&self, name: &str, password: &str) {
        self.go("/login").await;
        self.fill("name", name).await;
        self.fill("password", password).await;
        self.submit("/login").await;
        self.until_place(|place| !place.starts_with("/login")).await;
    }

    /// The first element that fits, as soon as it is shown.
    pub(crate) async fn find(&self, css: &str) -> WebElement {
        let start = Instant::now();
        loop {
            match self.driver.query(By::Css(css)).wait(TIMEOUT, LOOK_EVERY).and_displayed().first().await {
                Ok(element) => return element,
                // The page put another one in its place between the look and the question whether it is shown.
                Err(error) if is_stale(&error) && start.elapsed() < TIMEOUT => {}
                Err(error) => panic!("no {css} on {}: {error}\n{}", self.place().await, self.words().await),
            }
        }
    }

    /// How many elements fit right now.
    pub(crate) async fn count(&self, css: &str) -> usize {
        self.driver.find_all(By::Css(css)).await.map_or(0, |found| found.len())
    }

    /// Writes into a field in place of what it holds.
    pub(crate) async fn fill(&self, name: &str, text: &str) {
        self.fill_in("", name, text).await;
    }

    /// The same for a field of the form that goes to a path.
    pub(crate) async fn fill_in(&self, form: &str, name: &str, text: &str) {
        let form = if form.is_empty() { String::new() } else { format!("form[action=\"{form}\"] ") };
        let css = format!("{form}[name=\"{name}\"]");
        self.with_element(&css, async |field: WebElement| {
            field.clear().await?;
            if text.is_empty() { Ok(()) } else { field.send_keys(text).await }
        })
        .await;
    }

    pub(crate) async fn click(&self, css: &str) {
        self.with_element(css, async |element: WebElement| {
            // Bars that stick to the edges of the window can lie over what is at its edge.
            self.driver.execute("arguments[0].scrollIntoView({block: 'center'})", vec![element.to_json()?]).await?;
            element.click().await
        })
        .await;
    }

    /// Presses a key, where the cursor is.
    pub(crate) async fn key(&self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.cdp("Input.dispatchKeyEvent", json!({ "type": kind, "key": key })).await;
        }
    }

    /// Does something with an element. A page that follows the round may put another one in its place meanwhile.
    async fn with_element(&self, css: &str, act: impl AsyncFn(WebElement) -> WebDriverResult<()>) {
        let mut tries = 0;
        loop {
            let done = act(self.find(css).await).await;
            tries += 1;
            match done {
                Ok(()) => return,
                Err(error) if tries == STALE_TRIES => panic!("{css}: {error}"),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    pub(crate) async fn submit(&self, action: &str) {
        self.unfold(action).await;
        self.click(&format!("form[action=\"{action}\"] button:not([type=\"button\"])")).await;
    }

    /// Opens all folds around the form that goes to a path.
    pub(crate) async fn unfold(&self, action: &str) {
        let folds = format!("details:not([open]):has(form[action=\"{action}\"]) > summary");
        let mut tries = 0;
        while let Ok(found) = self.driver.find(By::Css(folds.as_str())).await {
            let _ = found.scroll_into_view().await;
            // The page may have put another one in its place.
            let unfolded = found.click().await;
            tries += 1;
            assert!(tries < 2 * STALE_TRIES, "unfolding {action}: {unfolded:?}");
        }
    }

    /// Runs a script in the page, past its policy for scripts.
    pub(crate) async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let answer = self.driver.execute(script, arguments).await.unwrap_or_else(|error| panic!("{script}: {error}"));
        answer.json().clone()
    }

    /// Runs a script that calls its last argument with the answer.
    pub(crate) async fn run_async(&self, script: &str) -> Value {
        let answer =
            self.driver.execute_async(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"));
        answer.json().clone()
    }

    /// Waits until an expression of the page holds, and returns how long that took.
    pub(crate) async fn until(&self, expression: &str) -> Duration {
        match self.until_within(expression, TIMEOUT).await {
            Some(took) => took,
            None => panic!("never at {}: {expression}\n{}", self.place().await, self.words().await),
        }
    }

    /// The same, or nothing after `within`.
    pub(crate) async fn until_within(&self, expression: &str, within: Duration) -> Option<Duration> {
        let start = Instant::now();
        let script = format!("return Boolean({expression})");
        loop {
            // A page that is being left has no answer.
            if let Ok(answer) = self.driver.execute(script.as_str(), Vec::new()).await
                && answer.json() == &Value::Bool(true)
            {
                return Some(start.elapsed());
            }
            if start.elapsed() >= within {
                return None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the page says something, anywhere.
    pub(crate) async fn until_words(&self, words: &str) {
        wait_until_or_async(words, async || {
            let said = self.words().await;
            if said.contains(words) { Ok(()) } else { Err(format!("{} says:\n{said}", self.place().await)) }
        })
        .await;
    }

    pub(crate) async fn until_place(&self, wanted: impl Fn(&str) -> bool) {
        wait_until_or_async("the place", async || {
            let place = self.place().await;
            if wanted(&place) { Ok(()) } else { Err(format!("it is {place}:\n{}", self.words().await)) }
        })
        .await;
    }

    /// All that the page says.
    pub(crate) async fn words(&self) -> String {
        match self.driver.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// The words of an element, once it is shown.
    pub(crate) async fn words_of(&self, css: &str) -> String {
        let mut tries = 0;
        loop {
            let words = self.find(css).await.text().await;
            tries += 1;
            match words {
                Ok(words) => return words,
                // The page has put another one in its place.
                Err(error) => assert!(tries < STALE_TRIES, "{css}: {error}"),
            }
        }
    }

    /// Makes the window so wide, as far as pages know.
    pub(crate) async fn resize(&self, width: u32) {
        self.emulate(width, height_of(width)).await;
    }

    pub(crate) async fn emulate(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What the system prefers: `light` or `dark`.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }, { "name": "prefers-reduced-motion", "value": "reduce" }]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    pub(crate) async fn cdp(&self, method: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(method, parameters).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Takes a picture of the whole page, however long, which is kept as an artefact.
    pub(crate) async fn picture(&self, name: &str, width: u32) {
        let metrics = self.cdp("Page.getLayoutMetrics", json!({})).await;
        let height =
            metrics["cssContentSize"]["height"].as_f64().map_or(height_of(width), |height| height.ceil() as u32);
        self.emulate(width, height.clamp(height_of(width), PICTURE_HEIGHT_MAX)).await;
        let png = self.driver.screenshot_as_png().await.expect("a picture");
        self.resize(width).await;
        let folder = pictures();
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        std::fs::write(folder.join(format!("{name}-{width}.png")), png).expect("it is written");
    }

    /// What the browser complained of and whom it asked since the last time.
    pub(crate) async fn notes(&self) -> Notes {
        let console = self.driver.get_log("browser").await.expect("chromedriver has a log");
        let traffic = self.driver.get_log("performance").await.expect("chromedriver has a log");
        let mut notes = Notes::default();
        for entry in console {
            if matches!(entry.level.as_str(), "SEVERE" | "WARNING") || entry.message.contains("Content Security Policy")
            {
                notes.console.push(format!("{}: {}", entry.level, entry.message));
            }
        }
        for entry in traffic {
            let Ok(event) = serde_json::from_str::<Value>(&entry.message) else { continue };
            let message = &event["message"];
            let url = match message["method"].as_str() {
                Some("Network.requestWillBeSent") => &message["params"]["request"]["url"],
                Some("Network.webSocketCreated") => &message["params"]["url"],
                _ => continue,
            };
            let url = url.as_str().unwrap_or_default();
            if !self.is_ours(url) {
                notes.foreign.push(url.to_owned());
            }
        }
        notes
    }

    /// Ours is what this site serves, and what never leaves the browser.
    fn is_ours(&self, url: &str) -> bool {
        let host = self.origin.trim_start_matches("http://");
        let own = [format!("http://{host}"), format!("ws://{host}")];
        let travels = ["http:", "https:", "ws:", "wss:"].iter().any(|scheme| url.starts_with(scheme));
        !travels
            || own.iter().any(|own| url.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// No complaint in the console, no violation of the pages' policy, no request to anybody else.
    pub(crate) async fn assert_clean(&self) {
        self.assert_clean_but(&[]).await;
    }

    /// The same, but for complaints that the play has provoked.
    pub(crate) async fn assert_clean_but(&self, expected: &[&str]) {
        let notes = self.notes().await;
        let complaints: Vec<&String> =
            notes.console.iter().filter(|line| !expected.iter().any(|word| line.contains(word))).collect();
        assert!(complaints.is_empty(), "the console at {}: {complaints:#?}", self.place().await);
        assert!(notes.foreign.is_empty(), "requests to others: {:#?}", notes.foreign);
    }

    /// Ends the session and its browser in order.
    pub(crate) async fn close(self) {
        self.driver.clone().quit().await.expect("it ends");
    }
}

/// Whether an element is no longer in the page.
fn is_stale(error: &WebDriverError) -> bool {
    matches!(error.as_inner(), WebDriverErrorInner::StaleElementReference(_))
}

/// How high a window of this width is: a phone upright, anything else as screens are.
fn height_of(width: u32) -> u32 {
    if width < 600 { 780 } else { width * 9 / 16 }
}

/// Where pictures are kept: `build/screenshots`.
pub(crate) fn pictures() -> PathBuf {
    build().join("screenshots")
}

/// The build folder itself.
pub(crate) fn build() -> PathBuf {
    child::build_folder().parent().map_or_else(|| PathBuf::from("build"), Path::to_path_buf)
}
