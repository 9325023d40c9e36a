//! Where events may be sent: a strict reading of a receiver's URL, and of the addresses its name stands for.
//!
//! A receiver is named by an operator and reached by a job inside the account, so its URL is an opening for requests to
//! places that only the job can reach (SSRF). The URL is checked when the receiver is added; its name may stand for
//! another address later, so the addresses are checked again before each connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest URL of a receiver, in bytes.
pub const URL_BYTES_MAX: usize = 1024;
/// Names that mean this machine or a private network (RFC 6761, RFC 6762, RFC 8375, the names of cloud metadata).
const PRIVATE_SUFFIXES: [&str; 7] = ["localhost", "local", "internal", "intranet", "lan", "home.arpa", "test"];

/// A receiver's URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether it is `https`.
    pub secure: bool,
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query, at least `/`.
    pub path: String,
}

impl Target {
    /// Reads `https://host[:port][/path][?query]`. `allow_loopback` also takes `127.0.0.1`, with `http` too: for
    /// development and tests.
    ///
    /// # Errors
    /// What is wrong, as a sentence about the field.
    pub fn parse(url: &str, allow_loopback: bool) -> Result<Self, &'static str> {
        if url.len() > URL_BYTES_MAX {
            return Err("must be at most 1024 bytes long");
        }
        // Parsers disagree about the rest: white space, backslashes, raw international text.
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte)) {
            return Err("must consist of the characters of a URL");
        }
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) if allow_loopback => (false, rest),
            _ => return Err("must begin with https://"),
        };
        if rest.contains('#') {
            return Err("must not have a fragment");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err("must not have credentials");
        }
        let (host, port) = host_and_port(authority, if secure { 443 } else { 80 })?;
        let loopback = allow_loopback && host == "127.0.0.1";
        if !loopback {
            check_host(&host)?;
        }
        if !secure && !loopback {
            return Err("must begin with https://");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Target { secure, host, port, path })
    }

    /// The `Host` header.
    pub fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

fn host_and_port(authority: &str, default: u16) -> Result<(String, u16), &'static str> {
    const PORT: &str = "must have a port from 1 to 65535";
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("must have a valid host")?;
            host.parse::<Ipv6Addr>().map_err(|_| "must have a valid host")?;
            let port =
                if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or("must have a valid host")?) };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None => default,
        Some(text) => {
            let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|port| digits && *port != 0).ok_or(PORT)?
        }
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn check_host(host: &str) -> Result<(), &'static str> {
    const PRIVATE: &str = "must not name a private address";
    if let Ok(address) = host.parse::<IpAddr>() {
        return if is_public(address) { Ok(()) } else { Err(PRIVATE) };
    }
    let labels: Vec<&str> = host.split('.').collect();
    let valid = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Resolvers read 2130706433, 0x7f.1 and 127.1 as addresses; no name of the public DNS ends in a number.
    let numeric = labels.last().is_some_and(|label| label.starts_with(|first: char| first.is_ascii_digit()));
    if host.len() > 253 || labels.len() < 2 || numeric || !labels.iter().all(valid) {
        return Err(if host == "localhost" { PRIVATE } else { "must have a valid host" });
    }
    let private =
        PRIVATE_SUFFIXES.iter().any(|suffix| host.strip_suffix(suffix).is_some_and(|before| before.ends_with('.')));
    if private { Err(PRIVATE) } else { Ok(()) }
}

/// Whether an address belongs to the public internet: no loopback, private, link-local or special network (RFC 6890), and
/// none of them behind an address that embeds another.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

/// Global unicast (2000::/3) without what embeds or tunnels other addresses and what is for documents.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    // Teredo, ORCHID, benchmarks and other protocol assignments (2001::/23), documents, 6to4, documents again.
    let special = matches!((first, second), (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff));
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(url: &str) -> &'static str {
        match Target::parse(url, false) {
            Err(detail) => detail,
            Ok(target) => panic!("{url} gave {target:?}"),
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        let target = |host: &str, port, path: &str| Target { secure: true, host: host.into(), port, path: path.into() };
        let parse = |url| Target::parse(url, false);
        assert_eq!(parse("https://Hooks.Example.com"), Ok(target("hooks.example.com", 443, "/")));
        assert_eq!(parse("https://a.example:8443/x/y?z=1"), Ok(target("a.example", 8443, "/x/y?z=1")));
        assert_eq!(parse("https://a.example?z=1"), Ok(target("a.example", 443, "/?z=1")));
        assert_eq!(parse("https://8.8.8.8/"), Ok(target("8.8.8.8", 443, "/")));
        let v6 = parse("https://[2606:4700::1111]:444/x").expect("a public address");
        assert_eq!((v6.host.as_str(), v6.port), ("2606:4700::1111", 444));
        assert_eq!(v6.host_header(), "[2606:4700::1111]:444");
        assert_eq!(parse("https://a.example:443/").map(|target| target.host_header()), Ok("a.example".into()));
    }

    /// What a job inside the account could reach and the world can not.
    #[test]
    fn private_places_are_refused() {
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.79.129",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:db8::1]",
            "localhost",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "x.internal",
            "a.home.arpa",
        ] {
            assert_eq!(refused(&format!("https://{host}/x")), "must not name a private address", "{host}");
        }
        for host in [
            "2130706433",
            "0x7f000001",
            "127.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "metadata",
            "a..b",
            "-a.example",
            "a_b.example",
            "",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
        ] {
            refused(&format!("https://{host}/x"));
        }
    }

    #[test]
    fn other_schemes_credentials_and_fragments_are_refused() {
        for url in [
            "http://a.example/",
            "ftp://a.example/",
            "HTTPS://a.example/",
            "//a.example/",
            "a.example",
            "",
            "https:a.example",
        ] {
            assert_eq!(refused(url), "must begin with https://", "{url}");
        }
        assert_eq!(refused("https://user:password@a.example/"), "must not have credentials");
        assert_eq!(refused("https://user@a.example/"), "must not have credentials");
        assert_eq!(refused("https://a.example/#x"), "must not have a fragment");
        assert_eq!(refused("https://a.example#x"), "must not have a fragment");
        for url in [
            "https://a.example/ x",
            "https://a.example\\@b.example/",
            "https://a.example/\r\nX: y",
            "https://ä.example/",
        ] {
            assert_eq!(refused(url), "must consist of the characters of a URL", "{url}");
        }
        for port in ["0", "65536", "+1", "", "1x", "000443"] {
            assert_eq!(refused(&format!("https://a.example:{port}/")), "must have a port from 1 to 65535", "{port}");
        }
        assert_eq!(
            refused(&format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX))),
            "must be at most 1024 bytes long"
        );
    }

    #[test]
    fn loopback_is_for_development_alone() {
        assert!(Target::parse("http://127.0.0.1:8080/x", true).is_ok_and(|target| !target.secure));
        assert!(Target::parse("https://127.0.0.1:8080/x", true).is_ok_and(|target| target.secure));
        for url in ["http://a.example/", "http://127.0.0.2/", "https://10.0.0.1/", "http://localhost/"] {
            assert!(Target::parse(url, true).is_err(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_no_private_address_passes(text in "https?://.{0,40}", address in any::<u32>()) {
            let _ = Target::parse(&text, true);
            let address = Ipv4Addr::from(address);
            let parsed = Target::parse(&format!("https://{address}/"), false);
            prop_assert_eq!(parsed.is_ok(), is_public(address.into()));
            let mapped = IpAddr::V6(address.to_ipv6_mapped());
            prop_assert_eq!(is_public(mapped), is_public(address.into()));
        }
    }
}
