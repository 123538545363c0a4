//! The Content-Security-Policy: what keeps a scan on the device even if a line of the page were wrong.
//!
//! The policy is written twice. The `<meta>` in `dist/index.html` holds on any static host; the headers of the
//! dev server (and `dist/_headers` for hosts that read it) also cover the worker, whose policy comes from its own
//! response, and `frame-ancestors`, which a `<meta>` cannot state. <https://www.w3.org/TR/CSP3/>

use sha2::{Digest, Sha256};

const META_OPEN: &str = "<meta http-equiv=\"Content-Security-Policy\" content=\"";

/// Headers besides the policy that every response carries. The two `Cross-Origin` ones isolate the page from
/// other sites' windows and let it use shared memory.
pub const SECURITY_HEADERS: [(&str, &str); 6] = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
];

/// The policy that fits an HTML page: its inline scripts are allowed by hash, nothing else inline is.
pub fn for_meta(html: &str) -> String {
    let mut script = String::from("script-src 'self' 'wasm-unsafe-eval'");
    for hash in inline_script_hashes(html) {
        script.push_str(&format!(" '{hash}'"));
    }
    [
        "default-src 'none'",
        &script,
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    .join("; ")
}

/// The same policy as a header, which may also forbid frames.
pub fn for_header(html: &str) -> String {
    format!("{}; frame-ancestors 'none'", for_meta(html))
}

/// Writes the policy into the page's head, in place of an older one.
pub fn with_meta(html: &str) -> String {
    let bare = without_meta(html);
    let policy = format!("{META_OPEN}{}\">", for_meta(&bare));
    match bare.find("<head>") {
        Some(head) => {
            let after = head + "<head>".len();
            format!("{}{policy}{}", &bare[..after], &bare[after..])
        }
        None => format!("{policy}{bare}"),
    }
}

/// Names the build in the page's head; the page puts it into reports and manifests.
pub fn with_build(html: &str, build: &str) -> String {
    html.replacen("</head>", &format!("<meta name=\"build\" content=\"{build}\" /></head>"), 1)
}

/// The page without our policy.
fn without_meta(html: &str) -> String {
    let Some(start) = html.find(META_OPEN) else { return html.to_owned() };
    let Some(length) = html[start..].find('>') else { return html.to_owned() };
    format!("{}{}", &html[..start], &html[start + length + 1..])
}

/// `sha256-...` of every inline script, in the page's order.
///
/// The scanner knows as much HTML as trunk writes: `<script ATTRIBUTES>TEXT</script>` in lower case. A script
/// that it misses is refused by the browser, so a gap fails loudly and never opens a hole.
fn inline_script_hashes(html: &str) -> Vec<String> {
    let mut hashes = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find("<script") {
        rest = &rest[start..];
        let Some(open) = rest.find('>') else { break };
        let Some(close) = rest.find("</script>") else { break };
        let attributes = &rest[..open];
        if open < close && !attributes.contains(" src=") {
            let text = &rest[open + 1..close];
            hashes.push(format!("sha256-{}", base64(&Sha256::digest(text.as_bytes()))));
        }
        rest = &rest[close + "</script>".len()..];
    }
    hashes
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (word >> (18 - 6 * place)) & 63;
            let letter = if place <= chunk.len() { ALPHABET[sextet as usize] } else { b'=' };
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_gives_the_examples_of_rfc_4648() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in examples {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn inline_scripts_are_hashed_and_linked_ones_are_not() {
        // The hash of `alert('Hello, world.');` is the example of the CSP3 specification, section 8.3.
        let html =
            "<head></head><script src=\"a.js\"></script><script>alert('Hello, world.');</script>";
        assert_eq!(
            inline_script_hashes(html),
            ["sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="]
        );
    }

    #[test]
    fn writing_the_policy_twice_changes_nothing() {
        let html = "<!DOCTYPE html><html><head><title>x</title></head><script>1</script></html>";
        let once = with_meta(html);
        assert_eq!(with_meta(&once), once);
        assert!(once.contains("<head><meta http-equiv"));
        assert!(!once.contains("frame-ancestors"), "a meta element may not carry it");
    }

    #[test]
    fn the_policy_names_no_other_host() {
        let policy = for_header("<head></head>");
        assert!(policy.starts_with("default-src 'none'; "));
        for word in ["http", "*", "'unsafe-eval'", "'unsafe-inline'"] {
            assert!(!policy.contains(word), "{word} in {policy}");
        }
    }
}
