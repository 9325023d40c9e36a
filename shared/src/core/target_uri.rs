//! Whether a URI that a client states is the one it called (RFC 9449 §4.3): compared after normalisation by RFC 3986
//! §6.2, without query and fragment.

/// Whether `stated` is `base` and the path behind it. `base` is the configured public URL; `path` is as API Gateway
/// hands it over, percent-decoded.
pub fn is_same(stated: &str, base: &str, path: &str) -> bool {
    let (Some(stated), Some(base)) = (Parts::of(stated), Parts::of(base)) else { return false };
    let wanted = [base.path.trim_end_matches('/').as_bytes(), path.as_bytes()].concat();
    let wanted = if wanted.is_empty() { b"/".to_vec() } else { wanted };
    stated.scheme == base.scheme
        && stated.authority == base.authority
        && decode(&without_dots(&stated.path)).is_some_and(|path| path == wanted)
}

struct Parts {
    scheme: String,
    authority: String,
    path: String,
}

impl Parts {
    /// Scheme, authority and path of an HTTP URI. A user name has no place in one.
    fn of(uri: &str) -> Option<Self> {
        let uri = uri.split(['?', '#']).next()?;
        let (scheme, rest) = uri.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => return None,
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let authority = authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(default_port).or(authority.strip_suffix(':')).unwrap_or(&authority);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
        if authority.is_empty() || !authority.chars().all(plain) || !uri.is_ascii() {
            return None;
        }
        Some(Parts { scheme, authority: authority.to_owned(), path: path.to_owned() })
    }
}

/// The path without `.` and `..` segments, those written `%2E` included (RFC 3986 §5.2.4, §6.2.2.2).
fn without_dots(path: &str) -> String {
    let path = path.replace("%2e", ".").replace("%2E", ".");
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// `%XX` as bytes; `None` for a stray percent sign.
fn decode(path: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = behind;
            }
            byte => decoded.push(*byte),
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "https://sessions.example";

    #[test]
    fn equivalent_uris_are_the_same() {
        for stated in [
            "https://sessions.example/sessions/user/a%20b",
            "HTTPS://Sessions.Example/sessions/user/a%20b",
            "https://sessions.example:443/sessions/user/a%20b",
            "https://sessions.example:/sessions/user/a%20b",
            "https://sessions.example/sessions/user/%61%20b",
            "https://sessions.example/sessions/./user/x/../a%20b",
            "https://sessions.example/sessions/%2e/user/a%20b",
            "https://sessions.example/sessions/user/a%20b?limit=1",
            "https://sessions.example/sessions/user/a%20b#top",
        ] {
            assert!(is_same(stated, BASE, "/sessions/user/a b"), "{stated}");
        }
        assert!(is_same("https://x.example/v1/token", "https://x.example/v1", "/token"), "a base with a path");
        assert!(is_same("http://127.0.0.1:9000/token", "http://127.0.0.1:9000", "/token"));
        assert!(is_same("https://x.example", "https://x.example", "/"));
    }

    #[test]
    fn other_uris_are_not() {
        for stated in [
            "http://sessions.example/token",
            "https://sessions.example:8443/token",
            "https://sessions.example.:443/token",
            "https://other.example/token",
            "https://sessions.example@other.example/token",
            "https://user@sessions.example/token",
            "https://sessions.example/token/",
            "https://sessions.example//token",
            "https://sessions.example/TOKEN",
            "https://sessions.example/prod/token",
            "https://sessions.example/%",
            "https://sessions.example/toke%6",
            "https://sessions.example/toke%+6e",
            "https://sessions.ex\u{e4}mple/token",
            "sessions.example/token",
            "/token",
            "",
        ] {
            assert!(!is_same(stated, BASE, "/token"), "{stated}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_comparison_panic(stated in ".*", path in ".*") {
            is_same(&stated, BASE, &path);
        }
    }
}
