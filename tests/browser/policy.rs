//! The policy is in force, in the page and in its worker.

use prism_tests::page::PATIENCE;
use prism_tests::runner::Stage;

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
