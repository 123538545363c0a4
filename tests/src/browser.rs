//! Chromium over `--remote-debugging-pipe`: JSON messages that end in a zero byte, on descriptors 3 and 4.
//! <https://chromedevtools.github.io/devtools-protocol/>
//!
//! A thread reads whatever the browser says. Answers wait for their caller; events are kept in order, so that a
//! test can ask afterwards what was requested, logged or refused. Every worker is attached before its first
//! line runs, so that nothing it does escapes the record.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long the browser may take to answer one command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Headless, with WebGPU and WebGL in software (SwiftShader), and silent on the network by itself.
const FLAGS: [&str; 20] = [
    "--no-sandbox",
    "--headless",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--use-vulkan=swiftshader",
    "--enable-features=Vulkan",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--force-color-profile=srgb",
    "--lang=en-US",
    "--window-size=1440,900",
    "--remote-debugging-pipe",
];

/// One event of the browser.
#[derive(Clone, Debug)]
pub struct Event {
    /// The page or worker it comes from; empty for the browser itself.
    pub session: String,
    /// Its name, e.g. `Network.requestWillBeSent`.
    pub method: String,
    /// Its content.
    pub params: Value,
}

/// A running browser with a profile of its own, both gone when it is dropped.
pub struct Browser {
    process: Child,
    link: Arc<Link>,
    folder: PathBuf,
}

/// What the reading thread and the callers share.
struct Link {
    writer: Mutex<ChildStdin>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
    last_id: AtomicU64,
}

#[derive(Default)]
struct Inbox {
    answers: HashMap<u64, Value>,
    events: Vec<Event>,
    closed: bool,
}

impl Browser {
    /// Starts `executable` with a fresh profile below `folder`, which also takes its log and its downloads.
    pub fn start(executable: &Path, folder: &Path) -> Self {
        fs::create_dir_all(folder.join("downloads")).expect("a folder for the browser");
        let log = File::create(folder.join("browser.log")).expect("a log file for the browser");
        // The shell puts its own input and output where the browser expects the two pipes.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 0</dev/null 1>&2"#, "sh"])
            .arg(executable)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the browser starts");
        let writer = process.stdin.take().expect("a pipe to the browser");
        let reader = process.stdout.take().expect("a pipe from the browser");
        let link = Arc::new(Link {
            writer: Mutex::new(writer),
            inbox: Mutex::default(),
            changed: Condvar::new(),
            last_id: AtomicU64::new(0),
        });
        let reading = link.clone();
        thread::spawn(move || reading.read(BufReader::new(reader)));
        let browser = Self { process, link, folder: folder.to_path_buf() };
        let downloads = json!({
            "behavior": "allow", "downloadPath": browser.downloads(), "eventsEnabled": true,
        });
        browser.call("", "Browser.setDownloadBehavior", downloads);
        browser
    }

    /// Where the browser keeps what belongs to this run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where downloads land.
    pub fn downloads(&self) -> PathBuf {
        self.folder.join("downloads")
    }

    /// Sends a command to a session (empty: the browser) and returns its result.
    pub fn call(&self, session: &str, method: &str, params: Value) -> Value {
        self.try_call(session, method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// As [`Browser::call`], for the way out of a failed test.
    ///
    /// # Errors
    /// The browser's own message, or that it ended or did not answer.
    pub fn try_call(&self, session: &str, method: &str, params: Value) -> Result<Value, String> {
        let id = self.link.send(session, method, params);
        let answer = self.link.wait(ANSWER_TIMEOUT, |inbox| inbox.answers.remove(&id))?;
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].clone()),
        }
    }

    /// How many events there were so far: a mark for [`Browser::events_since`].
    pub fn mark(&self) -> usize {
        self.link.inbox.lock().unwrap().events.len()
    }

    /// Every event after a mark.
    pub fn events_since(&self, mark: usize) -> Vec<Event> {
        self.link.inbox.lock().unwrap().events[mark..].to_vec()
    }

    /// Waits for an event after a mark that satisfies `wanted`.
    pub fn wait_for_event(
        &self,
        mark: usize,
        timeout: Duration,
        what: &str,
        wanted: impl Fn(&Event) -> bool,
    ) -> Event {
        self.link
            .wait(timeout, |inbox| inbox.events[mark..].iter().find(|event| wanted(event)).cloned())
            .unwrap_or_else(|error| panic!("waiting for {what}: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.link.send("", "Browser.close", json!({}));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(self.folder.join("profile"));
    }
}

impl Link {
    /// Writes a command and returns its id. A browser that is gone is noticed by whoever waits.
    fn send(&self, session: &str, method: &str, params: Value) -> u64 {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let _ = self.writer.lock().unwrap().write_all(&bytes);
        id
    }

    /// Waits until `find` finds something in the inbox. The lock is given back before anything can panic.
    fn wait<T>(
        &self,
        timeout: Duration,
        mut find: impl FnMut(&mut Inbox) -> Option<T>,
    ) -> Result<T, String> {
        let start = Instant::now();
        let mut inbox = self.inbox.lock().unwrap();
        loop {
            if let Some(found) = find(&mut inbox) {
                return Ok(found);
            }
            if inbox.closed {
                return Err("the browser ended; see browser.log".into());
            }
            if start.elapsed() > timeout {
                return Err(format!("nothing within {timeout:?}"));
            }
            inbox = self.changed.wait_timeout(inbox, Duration::from_millis(200)).unwrap().0;
        }
    }

    fn read(&self, mut reader: impl BufRead) {
        let mut bytes = Vec::new();
        while matches!(reader.read_until(0, &mut bytes), Ok(length) if length > 0) {
            bytes.pop();
            if let Ok(message) = serde_json::from_slice::<Value>(&bytes) {
                self.take(message);
            }
            bytes.clear();
        }
        self.inbox.lock().unwrap().closed = true;
        self.changed.notify_all();
    }

    fn take(&self, mut message: Value) {
        if let Some(id) = message["id"].as_u64() {
            self.inbox.lock().unwrap().answers.insert(id, message);
        } else {
            let event = Event {
                session: message["sessionId"].as_str().unwrap_or_default().to_owned(),
                method: message["method"].as_str().unwrap_or_default().to_owned(),
                params: message["params"].take(),
            };
            if event.method == "Target.attachedToTarget" {
                let session = event.params["sessionId"].as_str().unwrap_or_default();
                self.observe(session);
            }
            self.inbox.lock().unwrap().events.push(event);
        }
        self.changed.notify_all();
    }

    /// Turns on the record for a new page or worker, and for the workers it will start.
    fn observe(&self, session: &str) {
        for domain in ["Runtime.enable", "Log.enable", "Network.enable"] {
            self.send(session, domain, json!({}));
        }
        let workers =
            json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true });
        self.send(session, "Target.setAutoAttach", workers);
        self.send(session, "Runtime.runIfWaitingForDebugger", json!({}));
    }
}
