//! What a `User-Agent` says that lasts: family, major version and operating system. Minor versions come and go every
//! week, so nothing is judged by them.

/// The lasting parts of a user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAgent<'a> {
    /// The browser or client: the word of its product token.
    pub family: &'a str,
    /// The first number of the product's version; 0 when there is none.
    pub major: u16,
    /// The operating system, when it is told.
    pub system: Option<&'static str>,
}

/// Product tokens in the order in which they win: a derived browser also names those it descends from.
const PRODUCTS: [(&str, &str); 10] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
];

/// Marks of operating systems in the order in which they win: Android names Linux, iPads name Mac OS X.
const SYSTEMS: [(&str, &str); 8] = [
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
];

impl<'a> UserAgent<'a> {
    /// Reads a header; `None` when it names no product at all.
    pub fn parse(text: &'a str) -> Option<Self> {
        let system = SYSTEMS.iter().find(|(mark, _)| text.contains(mark)).map(|(_, system)| *system);
        let known = PRODUCTS.iter().find_map(|(token, family)| Some((*family, text.split_once(token)?.1)));
        let (family, version) = match known {
            Some(found) => found,
            None => {
                let product = text.split_whitespace().next()?;
                product.split_once('/').unwrap_or((product, ""))
            }
        };
        let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
        Some(UserAgent { family, major: version[..digits].parse().unwrap_or(0), system })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lasting_parts_are_found() {
        let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        for (text, family, major, system) in [
            (format!("{windows} Chrome/131.0.0.0 Safari/537.36"), "Chrome", 131, Some("Windows")),
            (format!("{windows} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.1"), "Edge", 131, Some("Windows")),
            (format!("{phone} Version/18.1 Mobile/15E148 Safari/604.1"), "Safari", 18, Some("iOS")),
            (format!("{phone} CriOS/131.0 Mobile/15E148 Safari/604.1"), "Chrome", 131, Some("iOS")),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Firefox/133.0".into(), "Firefox", 133, Some("Linux")),
            ("Mozilla/5.0 (Linux; Android 15) Chrome/131.0 Mobile".into(), "Chrome", 131, Some("Android")),
            ("shop-app/7.2 (Android 15)".into(), "shop-app", 7, Some("Android")),
            ("curl".into(), "curl", 0, None),
            ("x/99999999 y".into(), "x", 0, None),
        ] {
            assert_eq!(UserAgent::parse(&text), Some(UserAgent { family, major, system }), "{text}");
        }
        assert_eq!(UserAgent::parse("  "), None);
    }

    proptest! {
        /// T-93
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            let _ = UserAgent::parse(&text);
        }
    }
}
