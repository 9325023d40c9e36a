//! What a user agent says of its device: the kind, and a short label for people. A claim, never a proof.

use super::device::DeviceType;
use woothee::parser::{Parser, WootheeResult};

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
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            prop_assert!(parse(&text).label.is_none_or(|label| label.len() < 128));
        }
    }
}
