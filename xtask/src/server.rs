//! A static server for one folder and one machine: what `cargo xtask serve` and the browser tests load the page
//! from.
//!
//! It does little on purpose: GET and HEAD, files below one folder, this machine only, no ranges, no
//! compression, one connection a request. A request that names another host is refused, so that a foreign
//! site cannot reach it by rebinding its name to this address.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{TaskError, TaskResult};
use crate::policy;

/// Longest request head that is read, in bytes.
const HEAD_LIMIT: u64 = 16 * 1024;
/// A browser that stays silent for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many ports above the preferred one are tried.
const PORTS_TRIED: u16 = 50;

/// A running server. It stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<String>>>,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `folder` on 127.0.0.1, on `preferred_port` or the next one that is free; 0 takes any.
    ///
    /// # Errors
    /// [`TaskError::File`] when the folder is not there, [`TaskError::Missing`] when no port is free.
    pub fn start(folder: &Path, preferred_port: u16) -> TaskResult<Self> {
        Self::start_with(folder, preferred_port, true)
    }

    /// As [`Server::start`] on any port, as a host does that does not read `dist/_headers`: responses carry neither
    /// the policy nor the other security headers.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_bare(folder: &Path) -> TaskResult<Self> {
        Self::start_with(folder, 0, false)
    }

    fn start_with(folder: &Path, preferred_port: u16, secure: bool) -> TaskResult<Self> {
        let folder =
            folder.canonicalize().map_err(|source| TaskError::file("serve", folder, source))?;
        let listener = (0..PORTS_TRIED)
            .find_map(|offset| {
                let port = preferred_port.checked_add(offset)?;
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
            })
            .ok_or_else(|| TaskError::Missing {
                what: format!("a free port from {preferred_port} on"),
                remedy: "name another one with --port".into(),
            })?;
        let address = listener
            .local_addr()
            .map_err(|source| TaskError::Start { command: "server".into(), source })?;
        let stopping = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let thread = {
            let (stopping, requests) = (stopping.clone(), requests.clone());
            thread::spawn(move || {
                accept(&listener, (folder.as_path(), secure), &stopping, &requests);
            })
        };
        Ok(Self { address, stopping, requests, listener: Some(thread) })
    }

    /// The page's address.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The targets that were asked for so far, in order.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the server ends, which is when the program does.
    pub fn wait(mut self) {
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // A last connection wakes the listener, which then sees the flag.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
    }
}

/// Answers connections, a thread each, until told to stop.
fn accept(
    listener: &TcpListener,
    (folder, secure): (&Path, bool),
    stopping: &AtomicBool,
    requests: &Arc<Mutex<Vec<String>>>,
) {
    for stream in listener.incoming() {
        if stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let (folder, requests) = (folder.to_path_buf(), requests.clone());
        // A connection that breaks is the browser's business: it asks again.
        thread::spawn(move || drop(answer(stream, (folder.as_path(), secure), &requests)));
    }
}

/// Reads one request and writes its answer.
fn answer(
    stream: TcpStream,
    (folder, secure): (&Path, bool),
    requests: &Mutex<Vec<String>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new((&stream).take(HEAD_LIMIT));
    let mut head = String::new();
    while reader.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
    if head.is_empty() {
        return Ok(());
    }
    let request = Request::parse(&head);
    if let Some(request) = &request {
        requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.target.clone());
    }
    let response = respond(request.as_ref(), folder);
    let with_body = request.is_none_or(|request| request.method != "HEAD");
    write_response(&stream, &response, secure, with_body)
}

/// The parts of a request that matter here.
struct Request {
    method: String,
    target: String,
    host: String,
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target, version) = (first.next()?, first.next()?, first.next()?);
        if !version.starts_with("HTTP/1.") {
            return None;
        }
        let host = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("host"))
            .map(|(_, value)| value.trim().to_owned())?;
        Some(Self { method: method.to_owned(), target: target.to_owned(), host })
    }
}

struct Response {
    status: &'static str,
    content_type: &'static str,
    policy: String,
    body: Vec<u8>,
}

impl Response {
    fn refusal(status: &'static str) -> Self {
        let body = format!("{status}\n").into_bytes();
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            policy: policy::for_header(""),
            body,
        }
    }
}

fn respond(request: Option<&Request>, folder: &Path) -> Response {
    let Some(request) = request else { return Response::refusal("400 Bad Request") };
    let name = request.host.rsplit_once(':').map_or(request.host.as_str(), |(name, _)| name);
    if !matches!(name, "127.0.0.1" | "localhost") {
        return Response::refusal("403 Forbidden");
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::refusal("405 Method Not Allowed");
    }
    let Some(path) = file_for(&request.target, folder) else {
        return Response::refusal("404 Not Found");
    };
    let Ok(body) = fs::read(&path) else { return Response::refusal("404 Not Found") };
    let content_type = content_type(&path);
    let html = if content_type.starts_with("text/html") {
        String::from_utf8_lossy(&body)
    } else {
        "".into()
    };
    Response { status: "200 OK", content_type, policy: policy::for_header(&html), body }
}

/// The file that a request target names, if it lies inside `folder` (which is canonical).
fn file_for(target: &str, folder: &Path) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = percent_decoded(path)?;
    let hidden_or_outside = |part: &str| part.starts_with('.') || part.contains(['\\', '\0', ':']);
    if path.split('/').any(hidden_or_outside) {
        return None;
    }
    let mut file = folder.join(path.trim_start_matches('/'));
    if file.is_dir() {
        file.push("index.html");
    }
    // Links are followed only to where they stay inside.
    let file = file.canonicalize().ok()?;
    (file.starts_with(folder) && file.is_file()).then_some(file)
}

/// `%41` becomes `A`; `None` for broken escapes and bytes that are not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = rest.get(2..)?;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// MIME type by extension. Streaming compilation needs `application/wasm`; `.gz` is a file of its own here and
/// must not be unpacked by the browser, so it never becomes a `Content-Encoding`.
fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "md" | "txt" => "text/plain; charset=utf-8",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

fn write_response(
    mut stream: &TcpStream,
    response: &Response,
    secure: bool,
    with_body: bool,
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
        response.status,
        response.content_type,
        response.body.len()
    );
    if secure {
        head.push_str(&format!("Content-Security-Policy: {}\r\n", response.policy));
        for (name, value) in policy::SECURITY_HEADERS {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("Cache-Control: no-cache\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if with_body {
        stream.write_all(&response.body)?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a page, removed at the end.
    struct Site(PathBuf);

    impl Site {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("prism-site-{name}-{}", std::process::id()));
            fs::create_dir_all(folder.join("dist/packs")).unwrap();
            fs::write(folder.join("dist/index.html"), "<head></head>page").unwrap();
            fs::write(folder.join("dist/page.wasm"), b"\0asm").unwrap();
            fs::write(folder.join("dist/packs/a b.gz"), b"pack").unwrap();
            fs::write(folder.join("secret"), "secret").unwrap();
            Self(folder)
        }

        fn dist(&self) -> PathBuf {
            self.0.join("dist")
        }
    }

    impl Drop for Site {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn ask(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(server: &Server, target: &str) -> String {
        ask(server, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    #[test]
    fn files_carry_their_type_and_the_policy() {
        let site = Site::new("types");
        let server = Server::start(&site.dist(), 0).unwrap();
        let page = get(&server, "/?sample");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("Content-Type: text/html; charset=utf-8\r\n"));
        assert!(page.contains("Content-Security-Policy: default-src 'none'; "));
        assert!(page.contains("frame-ancestors 'none'"));
        assert!(page.ends_with("page"));
        assert!(get(&server, "/page.wasm").contains("Content-Type: application/wasm\r\n"));
        let pack = get(&server, "/packs/a%20b.gz");
        assert!(pack.ends_with("pack") && !pack.contains("Content-Encoding"));
        assert_eq!(server.requests(), ["/?sample", "/page.wasm", "/packs/a%20b.gz"]);
    }

    #[test]
    fn a_bare_server_sends_files_and_no_policy() {
        let site = Site::new("bare");
        let server = Server::start_bare(&site.dist()).unwrap();
        let page = get(&server, "/");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("page"), "{page}");
        assert!(!page.contains("Policy"), "{page}");
    }

    #[test]
    fn nothing_outside_the_folder_is_served() {
        let site = Site::new("outside");
        let server = Server::start(&site.dist(), 0).unwrap();
        for target in [
            "/../secret",
            "/%2e%2e/secret",
            "/packs/..%2f..%2fsecret",
            "//etc/passwd",
            "/%00",
            "/%zz",
            "/..\\secret",
        ] {
            assert!(get(&server, target).starts_with("HTTP/1.1 404 "), "{target}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(site.0.join("secret"), site.dist().join("link")).unwrap();
            assert!(get(&server, "/link").starts_with("HTTP/1.1 404 "));
        }
    }

    #[test]
    fn other_hosts_and_methods_are_refused() {
        let site = Site::new("refused");
        let server = Server::start(&site.dist(), 0).unwrap();
        let rebound = ask(&server, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
        assert!(rebound.starts_with("HTTP/1.1 403 "), "{rebound}");
        let post = ask(&server, "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
        let head = ask(&server, "HEAD / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask(&server, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn a_taken_port_leads_to_the_next() {
        let site = Site::new("ports");
        let first = Server::start(&site.dist(), 0).unwrap();
        let second = Server::start(&site.dist(), first.address.port()).unwrap();
        assert_ne!(first.address.port(), second.address.port());
    }
}
