//! The page as a person uses it: found by its hooks, clicked, typed into, given files; and the record of what
//! it complained about and asked the network for.
//!
//! A hook is the value of a `data-test` attribute, or a selector of its own when it begins with `[`, `#` or `.`.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::{Browser, Event};

/// Standard deviation of the grey values in [`Page::statistic`].
const CONTRAST: &str = "Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2))";

/// Side of the square that [`Page::colour_at`] and [`Page::grey_at`] look at, in pixels.
const SQUARE: f64 = 8.0;

/// The control key in [`Page::press_with`] and [`Page::wheel_with`], as the browser's protocol counts it.
pub const CTRL: u32 = 2;

/// The shift key, as [`CTRL`].
pub const SHIFT: u32 = 8;

/// How long ordinary reactions of the page may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One tab of the browser.
pub struct Page<'browser> {
    browser: &'browser Browser,
    target: String,
    session: String,
    /// Events before this one belong to earlier pages.
    opened: usize,
}

/// A file that the page offered for download.
pub struct Download {
    /// The suggested name.
    pub name: String,
    /// The content.
    pub bytes: Vec<u8>,
}

impl<'browser> Page<'browser> {
    /// Opens `url` in a new tab and waits until the page's program runs and its worker is ready. Scans are not
    /// segmented before they are asked to be, unless `automatic`.
    pub fn open(browser: &'browser Browser, url: &str, automatic: bool) -> Self {
        let opened = browser.mark();
        let target = browser.call("", "Target.createTarget", json!({ "url": "about:blank" }));
        let target = target["targetId"].as_str().expect("a target").to_owned();
        let attached = browser.call(
            "",
            "Target.attachToTarget",
            json!({ "targetId": target, "flatten": true }),
        );
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let page = Self { browser, target, session, opened };
        page.call("Page.enable", json!({}));
        let remembered = if automatic { "yes" } else { "no" };
        let remember = format!("localStorage.setItem('prism.automatic', '{remembered}')");
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": remember }));
        page.call("Page.navigate", json!({ "url": url }));
        page.wait_until_started();
        page
    }

    fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(&self.session, method, params)
    }

    /// Runs an expression in the page; a promise is awaited.
    pub fn evaluate(&self, expression: &str) -> Value {
        self.evaluate_in(&self.session, expression)
    }

    /// Runs an expression in the page's newest worker; a promise is awaited.
    pub fn evaluate_in_worker(&self, expression: &str) -> Value {
        self.evaluate_in(&self.worker(), expression)
    }

    /// The session of the worker that this page started last.
    fn worker(&self) -> String {
        let started = self.events().into_iter().rfind(|event| {
            event.method == "Target.attachedToTarget"
                && event.session == self.session
                && event.params["targetInfo"]["type"] == "worker"
        });
        let started = started.expect("the page has a worker");
        started.params["sessionId"].as_str().unwrap_or_default().to_owned()
    }

    fn evaluate_in(&self, session: &str, expression: &str) -> Value {
        let answer = self.browser.call(
            session,
            "Runtime.evaluate",
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        if let Some(details) = answer.get("exceptionDetails") {
            panic!("{expression}: {details}");
        }
        answer["result"]["value"].clone()
    }

    /// An expression for the element behind a hook.
    fn element(hook: &str) -> String {
        format!("document.querySelector({})", json!(selector(hook)))
    }

    /// Whether there is an element with this hook.
    pub fn has(&self, hook: &str) -> bool {
        self.evaluate(&format!("{} !== null", Self::element(hook))) == true
    }

    /// An attribute of the element behind a hook; empty when either is absent.
    pub fn attribute(&self, hook: &str, name: &str) -> String {
        let value =
            self.evaluate(&format!("{}?.getAttribute({}) ?? ''", Self::element(hook), json!(name)));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// The visible text of the element behind a hook; empty when it is absent.
    pub fn text(&self, hook: &str) -> String {
        let value = self.evaluate(&format!("{}?.innerText.trim() ?? ''", Self::element(hook)));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// The visible texts of all elements with this hook, one a line.
    pub fn texts(&self, hook: &str) -> String {
        let value = self.evaluate(&format!(
            "[...document.querySelectorAll({})].map(element => element.innerText.trim()).join('\\n')",
            json!(selector(hook))
        ));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// What the page is doing: `empty`, `reading`, `scan`, `running` or `done`.
    pub fn state(&self) -> String {
        self.attribute("app", "data-state")
    }

    /// Waits until the page is in a state.
    pub fn wait_for_state(&self, state: &str, timeout: Duration) {
        self.wait_until(&format!("the state {state}"), timeout, &|page| page.state() == state);
    }

    /// Waits until a condition holds; on failure tells what the page says.
    pub fn wait_until(&self, what: &str, timeout: Duration, condition: &dyn Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            if start.elapsed() > timeout {
                panic!(
                    "waited {timeout:?} for {what}; state {:?}, notice {:?}, complaints {:#?}",
                    self.state(),
                    self.texts("notice"),
                    self.complaints()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks the middle of an element with the mouse.
    pub fn click(&self, hook: &str) {
        self.click_at(hook, [0.5, 0.5]);
    }

    /// Clicks an element with the mouse at shares of its width and height; of words over several
    /// lines those of the first.
    pub fn click_at(&self, hook: &str, [across, down]: [f64; 2]) {
        let element = Self::element(hook);
        self.wait_until(&format!("{hook} to be usable"), PATIENCE, &|page| {
            page.evaluate(&format!("{element} !== null && !{element}.disabled")) == true
        });
        let place = self.evaluate(&format!(
            "(() => {{ const element = {element}; element.scrollIntoView({{ block: 'center' }});
               const box = element.getClientRects()[0] ?? element.getBoundingClientRect();
               return [box.x + box.width * {across}, box.y + box.height * {down}]; }})()"
        ));
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            self.call(
                "Input.dispatchMouseEvent",
                json!({ "type": kind, "x": place[0], "y": place[1], "button": button, "clickCount": 1 }),
            );
        }
    }

    /// Where an element is at shares of its width and height, in pixels of the window.
    fn place(&self, hook: &str, [across, down]: [f64; 2]) -> Value {
        self.evaluate(&format!(
            "(() => {{ const box = {}.getBoundingClientRect();
               return [box.x + box.width * {across}, box.y + box.height * {down}]; }})()",
            Self::element(hook)
        ))
    }

    /// Moves the mouse over an element, without a button.
    pub fn point_at(&self, hook: &str, at: [f64; 2]) {
        let place = self.place(hook, at);
        self.call(
            "Input.dispatchMouseEvent",
            json!({ "type": "mouseMoved", "x": place[0], "y": place[1], "button": "none" }),
        );
    }

    /// Drags with a mouse button (`left`, `middle`, `right`) from one share of an element to another.
    pub fn drag(&self, hook: &str, button: &str, from: [f64; 2], to: [f64; 2]) {
        let (first, last) = (self.place(hook, from), self.place(hook, to));
        for (kind, place, held) in [
            ("mouseMoved", &first, "none"),
            ("mousePressed", &first, button),
            ("mouseMoved", &last, button),
            ("mouseReleased", &last, button),
        ] {
            self.call(
                "Input.dispatchMouseEvent",
                json!({ "type": kind, "x": place[0], "y": place[1], "button": held, "clickCount": 1 }),
            );
        }
    }

    /// Turns the wheel over the middle of an element by some pixels, down for positive ones.
    pub fn wheel(&self, hook: &str, pixels: f64) {
        self.wheel_with(hook, pixels, 0);
    }

    /// As [`Page::wheel`] while keys ([`CTRL`], [`SHIFT`]) are held.
    pub fn wheel_with(&self, hook: &str, pixels: f64, held: u32) {
        let place = self.place(hook, [0.5, 0.5]);
        self.call(
            "Input.dispatchMouseEvent",
            json!({
                "type": "mouseWheel", "x": place[0], "y": place[1], "deltaX": 0, "deltaY": pixels,
                "modifiers": held,
            }),
        );
    }

    /// Gives the window another size, in pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": true });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Presses and releases a key, named as in `KeyboardEvent.key`.
    pub fn press(&self, key: &str) {
        self.press_with(key, 0);
    }

    /// As [`Page::press`] while other keys ([`CTRL`], [`SHIFT`]) are held.
    pub fn press_with(&self, key: &str, held: u32) {
        let (code, number, text) = match key {
            "Tab" => ("Tab".to_owned(), 9, String::new()),
            "Enter" => ("Enter".to_owned(), 13, "\r".to_owned()),
            " " => ("Space".to_owned(), 32, " ".to_owned()),
            "Escape" => ("Escape".to_owned(), 27, String::new()),
            "PageUp" => ("PageUp".to_owned(), 33, String::new()),
            "PageDown" => ("PageDown".to_owned(), 34, String::new()),
            "End" => ("End".to_owned(), 35, String::new()),
            "Home" => ("Home".to_owned(), 36, String::new()),
            "ArrowLeft" => ("ArrowLeft".to_owned(), 37, String::new()),
            "ArrowUp" => ("ArrowUp".to_owned(), 38, String::new()),
            "ArrowRight" => ("ArrowRight".to_owned(), 39, String::new()),
            "ArrowDown" => ("ArrowDown".to_owned(), 40, String::new()),
            // Signs have numbers of their own; their letters' belong to other keys.
            "+" => ("Equal".to_owned(), 187, key.to_owned()),
            "-" => ("Minus".to_owned(), 189, key.to_owned()),
            "?" => ("Slash".to_owned(), 191, key.to_owned()),
            "[" => ("BracketLeft".to_owned(), 219, key.to_owned()),
            "]" => ("BracketRight".to_owned(), 221, key.to_owned()),
            letter => {
                let upper = letter.to_uppercase();
                (
                    format!("Key{upper}"),
                    upper.bytes().next().map_or(0, u32::from),
                    letter.to_owned(),
                )
            }
        };
        let event = |kind: &str| {
            let mut event = json!({
                "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number,
                "modifiers": held,
            });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.clone().into();
            }
            event
        };
        self.call("Input.dispatchKeyEvent", event("keyDown"));
        self.call("Input.dispatchKeyEvent", event("keyUp"));
    }

    /// Gives files to a file input, which the page cannot tell from a person's choice.
    pub fn choose_files(&self, hook: &str, files: &[PathBuf]) {
        let document = self.call("DOM.getDocument", json!({}));
        let node = self.call(
            "DOM.querySelector",
            json!({ "nodeId": document["root"]["nodeId"], "selector": selector(hook) }),
        );
        self.call("DOM.setFileInputFiles", json!({ "nodeId": node["nodeId"], "files": files }));
    }

    /// Drops files onto the middle of an element, as from a file manager.
    pub fn drop_files(&self, hook: &str, files: &[PathBuf]) {
        let place = self.evaluate(&format!(
            "(() => {{ const box = {}.getBoundingClientRect();
               return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            Self::element(hook)
        ));
        let data = json!({ "items": [], "files": files, "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "data": data });
            self.call("Input.dispatchDragEvent", event);
        }
    }

    /// Loads the page again, whatever would be lost, and waits as [`Page::open`] does.
    pub fn reload(&self) {
        self.evaluate("document.querySelector('[data-test=app]').dataset.state = 'starting'");
        self.call("Page.reload", json!({}));
        // The question whether to leave, which stops the page, where it asks one.
        thread::sleep(Duration::from_millis(500));
        let leave = json!({ "accept": true });
        let _ = self.browser.try_call(&self.session, "Page.handleJavaScriptDialog", leave);
        self.wait_until_started();
    }

    fn wait_until_started(&self) {
        let state = format!("{}?.getAttribute('data-state') ?? ''", Self::element("app"));
        let asked = json!({ "expression": state, "returnByValue": true });
        self.wait_until("the page to start", Duration::from_secs(180), &|page| {
            // Between two pages nobody answers.
            let answer = page.browser.try_call(&page.session, "Runtime.evaluate", asked.clone());
            answer.is_ok_and(|answer| {
                answer["result"]["value"]
                    .as_str()
                    .is_some_and(|state| !matches!(state, "" | "starting"))
            })
        });
    }

    /// Sets the value of a select element and tells the page.
    pub fn choose(&self, hook: &str, value: &str) {
        self.evaluate(&format!(
            "(() => {{ const element = {}; element.value = {};
               element.dispatchEvent(new Event('input', {{ bubbles: true }}));
               element.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()",
            Self::element(hook),
            json!(value)
        ));
        assert_eq!(
            self.evaluate(&format!("{}.value", Self::element(hook))),
            value,
            "{hook} has no choice {value}"
        );
    }

    /// Clicks a download button and returns the file once it is complete.
    pub fn download(&self, hook: &str) -> Download {
        let mark = self.browser.mark();
        self.click(hook);
        let begun = self.browser.wait_for_event(mark, PATIENCE, hook, |event| {
            event.method == "Browser.downloadWillBegin"
        });
        let id = begun.params["guid"].clone();
        let name = begun.params["suggestedFilename"].as_str().expect("a file name").to_owned();
        self.browser.wait_for_event(mark, PATIENCE, &name, |event| {
            event.method == "Browser.downloadProgress"
                && event.params["guid"] == id
                && event.params["state"] == "completed"
        });
        let path = self.browser.downloads().join(&name);
        let bytes = fs::read(&path).expect("the downloaded file");
        fs::remove_file(&path).expect("removing the downloaded file");
        Download { name, bytes }
    }

    /// Saves a picture of the page, if the browser still gives one.
    pub fn save_picture(&self, path: &Path) {
        let format = json!({ "format": "png" });
        let answer = self.browser.try_call(&self.session, "Page.captureScreenshot", format);
        let picture = answer.ok().and_then(|answer| base64_decoded(answer["data"].as_str()?));
        if let Some(picture) = picture {
            let _ = fs::write(path, picture);
        }
    }

    /// How the page looks on paper (`true`) or on the screen.
    pub fn on_paper(&self, paper: bool) {
        let media = if paper { "print" } else { "" };
        self.call("Emulation.setEmulatedMedia", json!({ "media": media }));
    }

    /// Standard deviation of the grey values (0 to 255) of a picture's bytes.
    pub fn contrast_of(&self, picture: &[u8]) -> f64 {
        let image = format!("createImageBitmap(new Blob([Uint8Array.from({})]))", json!(picture));
        self.statistic(&image, CONTRAST)
    }

    /// Standard deviation of the grey values (0 to 255) that an element shows: 0 for a blank one.
    ///
    /// The browser takes the picture, as the canvas itself cannot be read back after it was shown.
    pub fn contrast_shown(&self, hook: &str) -> f64 {
        self.shown(hook, CONTRAST)
    }

    /// Mean difference between the strongest and the weakest of red, green and blue (0 to 255) that an element
    /// shows: near 0 for a grey one.
    pub fn colour_shown(&self, hook: &str) -> f64 {
        self.shown(hook, "colour / count")
    }

    /// As [`Page::colour_shown`] of a few pixels around a place in an element, at shares of its width and height.
    pub fn colour_at(&self, hook: &str, at: [f64; 2]) -> f64 {
        self.shown_at(hook, at, "colour / count")
    }

    /// Mean grey value (0 to 255) of a few pixels around a place in an element, as [`Page::colour_at`].
    pub fn grey_at(&self, hook: &str, at: [f64; 2]) -> f64 {
        self.shown_at(hook, at, "sum / count")
    }

    /// A statistic of the pixels that an element shows.
    fn shown(&self, hook: &str, statistic: &str) -> f64 {
        let place = self.evaluate(&format!(
            "(() => {{ const box = {}.getBoundingClientRect();
               return [box.x, box.y, box.width, box.height]; }})()",
            Self::element(hook)
        ));
        let clip = json!({
            "x": place[0], "y": place[1], "width": place[2], "height": place[3], "scale": 1,
        });
        self.pictured(&clip, statistic)
    }

    /// A statistic of the pixels around a place in an element.
    fn shown_at(&self, hook: &str, at: [f64; 2], statistic: &str) -> f64 {
        let place = self.place(hook, at);
        let [x, y] = [0, 1].map(|axis| place[axis].as_f64().expect("a place") - SQUARE / 2.0);
        let clip = json!({ "x": x, "y": y, "width": SQUARE, "height": SQUARE, "scale": 1 });
        self.pictured(&clip, statistic)
    }

    /// A statistic of the pixels in a part of the window.
    fn pictured(&self, clip: &Value, statistic: &str) -> f64 {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png", "clip": clip }));
        let image = format!(
            "(async () => {{
                const image = new Image();
                image.src = 'data:image/png;base64,' + {};
                await image.decode();
                return image;
            }})()",
            picture["data"]
        );
        self.statistic(&image, statistic)
    }

    /// A statistic of an image, an expression for what a canvas can draw or for its promise.
    fn statistic(&self, image: &str, statistic: &str) -> f64 {
        let number = self.evaluate(&format!(
            "(async () => {{
                const image = await {image};
                const canvas = new OffscreenCanvas(image.width, image.height);
                const context = canvas.getContext('2d');
                context.drawImage(image, 0, 0);
                const pixels = context.getImageData(0, 0, image.width, image.height).data;
                let sum = 0, squares = 0, colour = 0, count = pixels.length / 4;
                for (let at = 0; at < pixels.length; at += 4) {{
                    const [red, green, blue] = pixels.slice(at, at + 3);
                    const grey = (red + green + blue) / 3;
                    sum += grey; squares += grey * grey;
                    colour += Math.max(red, green, blue) - Math.min(red, green, blue);
                }}
                return {statistic};
            }})()"
        ));
        number.as_f64().expect("a number")
    }

    /// Everything that the page or its workers reported as an error: exceptions, `console.error`, refusals by
    /// the security policy, files that were not found.
    pub fn complaints(&self) -> Vec<String> {
        self.events().iter().filter_map(complaint).collect()
    }

    /// Every address that the page or its workers asked the network for, in order.
    pub fn network_requests(&self) -> Vec<String> {
        self.events()
            .iter()
            .filter(|event| {
                matches!(
                    event.method.as_str(),
                    "Network.requestWillBeSent" | "Network.webSocketCreated"
                )
            })
            .map(|event| {
                let url = event.params["request"]["url"].as_str();
                url.or(event.params["url"].as_str()).unwrap_or_default().to_owned()
            })
            .filter(|url| !url.starts_with("blob:") && !url.starts_with("data:"))
            .collect()
    }

    fn events(&self) -> Vec<Event> {
        self.browser.events_since(self.opened)
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let path = self.browser.folder().join("failure.png");
            self.save_picture(&path);
            eprintln!("the page when it failed: {}", path.display());
        }
        let _ = self.browser.try_call("", "Target.closeTarget", json!({ "targetId": self.target }));
    }
}

fn selector(hook: &str) -> String {
    if hook.starts_with(['[', '#', '.']) {
        hook.to_owned()
    } else {
        format!("[data-test=\"{hook}\"]")
    }
}

/// The error that an event reports, if it does.
fn complaint(event: &Event) -> Option<String> {
    match event.method.as_str() {
        "Runtime.exceptionThrown" => {
            let details = &event.params["exceptionDetails"];
            let text = details["exception"]["description"].as_str().or(details["text"].as_str());
            Some(format!("exception: {}", text.unwrap_or_default()))
        }
        "Runtime.consoleAPICalled" if event.params["type"] == "error" => {
            let arguments = event.params["args"].as_array()?;
            let words: Vec<String> = arguments
                .iter()
                .map(|argument| {
                    let text = argument["value"].as_str().or(argument["description"].as_str());
                    text.unwrap_or_default().to_owned()
                })
                .collect();
            Some(format!("console.error: {}", words.join(" ")))
        }
        "Log.entryAdded" if event.params["entry"]["level"] == "error" => {
            let entry = &event.params["entry"];
            Some(format!(
                "{}: {} {}",
                entry["source"].as_str().unwrap_or_default(),
                entry["text"].as_str().unwrap_or_default(),
                entry["url"].as_str().unwrap_or_default()
            ))
        }
        _ => None,
    }
}

/// Standard base64 (RFC 4648, section 4) as the browser writes it; `None` for anything else.
fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let sextet = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(sextet);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_reads_the_examples_of_rfc_4648() {
        assert_eq!(base64_decoded("Zm9vYmFy").unwrap(), b"foobar");
        assert_eq!(base64_decoded("Zm9vYg==").unwrap(), b"foob");
        assert_eq!(base64_decoded("Zm9v!"), None);
    }
}
