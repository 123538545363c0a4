//! The policy is in force, in the page and in its worker.

use std::fs;
use std::path::Path;

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use serde_json::{Value, json};
use xtask::project;
use xtask::server::Server;

use crate::reading::{assert_content, open_sample, pane};

pub fn the_policy_stops_a_request_to_another_host(stage: &Stage) {
    let page = stage.open();
    let before = page.complaints();
    assert!(before.is_empty(), "{before:#?}");
    // The address is this machine's, so that nothing leaves even if the policy failed.
    let request = "fetch('http://127.0.0.2:9/').then(() => 'sent', () => 'refused')";
    assert_eq!(page.evaluate(request), "refused");
    assert_eq!(page.evaluate_in_worker(request), "refused");
    let inline = page.evaluate(
        "(() => { const script = document.createElement('script');
           script.textContent = 'window.intruder = true'; document.head.append(script);
           return window.intruder === true; })()",
    );
    assert_eq!(inline, false, "an inline script that was not hashed ran");
    page.wait_until("the refusals to be reported", PATIENCE, &|page| {
        let complaints = page.complaints();
        let in_worker =
            complaints.iter().filter(|line| line.starts_with("worker: Connecting to")).count();
        let refused = |directive: &str| {
            complaints.iter().any(|complaint| {
                complaint.contains("Content Security Policy") && complaint.contains(directive)
            })
        };
        refused("connect-src") && refused("script-src") && in_worker == 1
    });
}

/// On a host that sends no headers the page still has the policy in its `<meta>`. What that cannot do: a worker
/// obeys its own response, and `frame-ancestors` does not count in a `<meta>` (CSP3, section 3.3), so that only a
/// header keeps the page out of other pages' frames.
pub fn without_headers_the_page_keeps_its_policy(stage: &Stage) {
    let host = Server::start_bare(&project::dist()).expect("a server without headers");
    // Another port is another origin, and one that would answer.
    let other = Server::start_bare(&project::dist()).expect("another server");
    let page = Page::open(&stage.browser, &host.url(), false);
    assert_eq!(page.complaints(), Vec::<String>::new());
    let header =
        "fetch('./index.html').then(found => found.headers.get('Content-Security-Policy'))";
    assert_eq!(page.evaluate(header), Value::Null);

    page.evaluate(
        "window.refused = [];
         document.addEventListener('securitypolicyviolation',
             event => window.refused.push(event.effectiveDirective))",
    );
    let there = json!(other.url());
    let ask = format!("fetch({there}, {{ mode: 'no-cors' }}).then(() => 'sent', () => 'refused')");
    assert_eq!(page.evaluate(&ask), "refused");
    page.evaluate(&format!(
        "(() => {{ const frame = document.createElement('iframe');
           frame.src = {there}; document.body.append(frame);
           const form = document.createElement('form');
           form.action = {there}; document.body.append(form); form.submit(); }})()"
    ));
    page.wait_until("three refusals", PATIENCE, &|page| {
        let refused = page.evaluate("[...new Set(window.refused)].sort().join()");
        refused == "connect-src,form-action,frame-src"
    });
    assert_eq!(other.requests(), Vec::<String>::new(), "the policy let something out");
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            fs::copy(&path, &copied).expect("copying a file of the page");
        }
    }
}

/// Hosts of projects put a page below their name: `https://host/project/`.
pub fn the_page_works_in_a_folder_of_a_bare_host(stage: &Stage) {
    let site = stage.folder.join("site");
    copy(&project::dist(), &site.join("x"));
    let host = Server::start_bare(&site).expect("a server without headers");
    let url = format!("{}x/", host.url());
    let page = Page::open(&stage.browser, &url, false);
    open_sample(&page);
    assert_eq!(page.attribute("scan-title", "data-dims"), "176x192x170");
    let contrast = page.contrast_shown(&pane("axial"));
    assert!(contrast > 20.0, "the plane looks blank: grey deviation {contrast:.1}");
    for request in page.network_requests() {
        assert!(request.starts_with(&url), "{request} is not in the page's own folder");
    }
    assert_content(&page);
    drop((page, host));
    let _ = fs::remove_dir_all(&site);
}
