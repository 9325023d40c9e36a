//! What a `User-Agent` says: of its device, for people ([`parse`]), and what of it lasts ([`UserAgent`]). A claim, never a
//! proof.
//!
//! The two do not share a parse: what lasts is looked at in every request and must stay the same over releases, or
//! sessions would seem to have changed hands; kinds and labels are for the eye and come from rules that grow.

use super::device::DeviceType;
use woothee::parser::{Parser, WootheeResult};

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

/// What was read from a user agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The kind of device; `None` when the text is not a known one.
    pub device_type: Option<DeviceType>,
    /// Family and operating system, `Firefox on Windows 10`; no version, nothing of the raw text.
    pub label: Option<String>,
}

/// Words that mark a television or a box beside it. The parser takes them for phones or computers.
const TELEVISIONS: [&str; 14] = [
    "SmartTV",
    "SMART-TV",
    "Smart-TV",
    "AppleTV",
    "Apple TV",
    "GoogleTV",
    "Android TV",
    "BRAVIA",
    "HbbTV",
    "NetCast",
    "Web0S",
    "CrKey",
    "Roku",
    "AFTT",
];

/// Reads a user agent.
pub fn parse(user_agent: &str) -> Parsed {
    let found = Parser::new().parse(user_agent);
    let of_category = || kind_of_category(found.as_ref()?, user_agent);
    Parsed { device_type: kind_of_words(user_agent).or_else(of_category), label: found.as_ref().and_then(label) }
}

fn kind_of_words(user_agent: &str) -> Option<DeviceType> {
    TELEVISIONS.iter().any(|word| user_agent.contains(word)).then_some(DeviceType::Tv)
}

fn kind_of_category(found: &WootheeResult<'_>, user_agent: &str) -> Option<DeviceType> {
    Some(match found.category {
        "pc" => DeviceType::Desktop,
        // Browsers of Android tablets leave out the word that those of phones carry.
        "smartphone" if found.os == "iPad" || (found.os == "Android" && !user_agent.contains("Mobile")) => {
            DeviceType::Tablet
        }
        "smartphone" | "mobilephone" => DeviceType::Phone,
        "appliance" => DeviceType::Tv,
        // Crawlers, and libraries that speak HTTP.
        "crawler" | "misc" => DeviceType::Server,
        _ => return None,
    })
}

fn label(found: &WootheeResult<'_>) -> Option<String> {
    let known = |text: &str| !text.is_empty() && text != "UNKNOWN";
    match (known(found.name), known(found.os)) {
        (true, true) => Some(format!("{} on {}", found.name, found.os)),
        (true, false) => Some(found.name.to_owned()),
        (false, true) => Some(found.os.to_owned()),
        (false, false) => None,
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

    #[test]
    fn common_agents_are_told_apart() {
        let table = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
                DeviceType::Desktop,
                "Firefox on Windows 10",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.1 Mobile/15E148 Safari/604.1",
                DeviceType::Phone,
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/17.0 Mobile/15E148 Safari/604.1",
                DeviceType::Tablet,
                "Safari on iPad",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/130.0.0.0 Mobile Safari/537.36",
                DeviceType::Phone,
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/130.0.0.0 Safari/537.36",
                DeviceType::Tablet,
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0 Safari/537.36",
                DeviceType::Tv,
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                DeviceType::Server,
                "Googlebot",
            ),
        ];
        for (agent, device_type, label) in table {
            let parsed = parse(agent);
            assert_eq!((parsed.device_type, parsed.label.as_deref()), (Some(device_type), Some(label)), "{agent}");
        }
        assert_eq!(parse("anything/1.0"), Parsed::default());
        assert_eq!(parse(""), Parsed::default());
    }

    proptest! {
        /// T-93
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            let _ = UserAgent::parse(&text);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            prop_assert!(parse(&text).label.is_none_or(|label| label.len() < 128));
        }
    }
}
