//! The export of everything that is held on a person: its sections in their order, where a page ends, and what people are
//! told about the collection itself.

use super::crypto;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A part of an export. Its rows come one by one, in an order that a position can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Section {
    /// Live sessions with their data.
    Sessions,
    /// Devices with their data.
    Devices,
    /// State, settings, epoch.
    User,
    /// Where and with what the user was seen.
    History,
    /// What the ledger of ends keeps.
    Ledger,
    /// The audit, personal fields opened.
    Audit,
    /// Activities.
    Activities,
    /// Messages to receivers.
    Deliveries,
    /// Erasures of this pseudonym.
    Erasures,
}

/// Every section, in the order of an export.
pub const SECTIONS: [Section; 9] = [
    Section::Sessions,
    Section::Devices,
    Section::User,
    Section::History,
    Section::Ledger,
    Section::Audit,
    Section::Activities,
    Section::Deliveries,
    Section::Erasures,
];

impl Section {
    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Section::Sessions => "sessions",
            Section::Devices => "devices",
            Section::User => "user",
            Section::History => "history",
            Section::Ledger => "ledger",
            Section::Audit => "audit",
            Section::Activities => "activities",
            Section::Deliveries => "deliveries",
            Section::Erasures => "erasures",
        }
    }

    /// The one after it.
    pub fn next(self) -> Option<Section> {
        SECTIONS.into_iter().find(|section| *section > self)
    }
}

/// Where an export goes on: behind a row of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The section.
    #[serde(rename = "s")]
    pub section: Section,
    /// The last row of it that was told, in words of its store; empty before the first.
    #[serde(rename = "p")]
    pub position: String,
}

impl Cursor {
    /// The beginning of an export.
    pub fn start() -> Self {
        Cursor { section: SECTIONS[0], position: String::new() }
    }

    /// The text of `next`.
    pub fn text(&self) -> String {
        crypto::encode(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads [`Cursor::text`].
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_slice(&crypto::decode_vec(text)?).ok()
    }
}

/// A page that is being filled.
#[derive(Debug)]
pub struct Page {
    sections: Map<String, Value>,
    bytes: usize,
    bytes_max: usize,
    rows: usize,
}

impl Page {
    /// An empty page of at most so many bytes of rows.
    pub fn new(bytes_max: usize) -> Self {
        Page { sections: Map::new(), bytes: 0, bytes_max, rows: 0 }
    }

    /// Adds a row, unless it does not fit any more. Every page takes one row, so an export always goes on.
    pub fn add(&mut self, section: Section, row: Value) -> bool {
        let bytes = serde_json::to_string(&row).map_or(0, |text| text.len()) + 1;
        if self.rows > 0 && self.bytes + bytes > self.bytes_max {
            return false;
        }
        self.bytes += bytes;
        self.rows += 1;
        if let Value::Array(rows) = self.section(section) {
            rows.push(row);
        }
        true
    }

    /// Names a section, so that an empty one shows as empty.
    pub fn section(&mut self, section: Section) -> &mut Value {
        self.sections.entry(section.name()).or_insert_with(|| Value::Array(Vec::new()))
    }

    /// The document, with what it is about on the first page.
    pub fn finish(self, first: bool, subject: &str, at: Timestamp, next: Option<&Cursor>) -> Value {
        let mut document = self.sections;
        document.insert("subject".into(), json!(subject));
        document.insert("exportedAt".into(), json!(at));
        if first {
            document.insert("about".into(), about());
        }
        if let Some(next) = next {
            document.insert("next".into(), json!(next.text()));
        }
        Value::Object(document)
    }
}

/// What a person has a right to know about the collection (GDPR, article 15 (1)).
pub fn about() -> Value {
    json!({
        "purposes": [
            "Keeping the user signed in on their devices, and ending that at once when asked.",
            "Telling stolen sessions from honest ones.",
            "An audit of what happened to sessions, for the operator and for the user.",
            "Counting use, if activity tracking is on."
        ],
        "sources": ["The applications in which the user signs in.", "The requests of the user's devices."],
        "recipients": [
            "The applications of the same group; another one only while the user shares a session with it.",
            "Receivers that an application has registered hear of ends by pseudonym, without anything personal."
        ],
        "retention": {
            "sessions": "Until they end; a record without attributes stays for 31 days at most, to say why.",
            "devices": "400 days after the last session on them, or until removed.",
            "user": "Until erased.",
            "history": "90 days after the last sighting; sixteen entries at most.",
            "ledger": "31 days; privacy settings until erased; an erasure 400 days.",
            "audit": "As many months as the operator keeps, 13 by default, or as the application keeps, if that is less.",
            "activities": "As many months as the operator keeps (ACTIVITY_RETENTION_MONTHS), or the days that the application keeps, if that is less.",
            "deliveries": "A week."
        },
        "minimisation": "Addresses are cut to their network (/24, /56), coordinates to half a degree. User agents are kept \
            while a session lives, and as the name of browser and system afterwards.",
        "automatedDecisions": {
            "logic": "A request from another context than its session's is scored: a new device 15, changed traits of the \
                device 45, another network 10, another country 15, a journey nobody makes 40, an older version of the same \
                browser 20, a burst of new sessions, and a replayed token lately. The score decides whether the session goes \
                on, has to authenticate again, is held until then, or ends. Thresholds are those of the application.",
            "consequences": "At worst the user has to sign in again.",
            "contest": "The application sees score and reasons, and can lift the standing by authenticating the user."
        },
        "rights": ["Export", "Erasure", "Switching off activity tracking, location, fingerprinting and sharing"]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_follow_each_other_and_cursors_read_back() {
        for pair in SECTIONS.windows(2) {
            assert_eq!(pair[0].next(), Some(pair[1]));
        }
        assert_eq!(Section::Erasures.next(), None);
        let cursor = Cursor { section: Section::Audit, position: "x/1".into() };
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        assert_eq!(Cursor::parse("!"), None);
        assert_eq!(Cursor::parse(&crypto::encode(b"{}")), None);
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_and_takes_one_row_at_least() {
        let mut page = Page::new(10);
        assert!(page.add(Section::User, json!("a row that is longer than the page")));
        assert!(!page.add(Section::User, json!("b")));
        let mut page = Page::new(10);
        assert!(page.add(Section::User, json!("1234")) && !page.add(Section::User, json!("1234")));
    }

    /// The weights that people are told are those that judge them.
    #[test]
    fn the_logic_tells_the_weights() {
        use crate::core::risk::Signal;
        let logic = about()["automatedDecisions"]["logic"].as_str().expect("text").to_owned();
        for (signal, words) in [
            (Signal::NewDevice, "a new device"),
            (Signal::FingerprintDrift, "traits of the device"),
            (Signal::NetworkChange, "another network"),
            (Signal::CountryChange, "another country"),
            (Signal::ImpossibleTravel, "nobody makes"),
        ] {
            assert!(logic.contains(&format!("{words} {}", signal.weight())), "{words}");
        }
    }
}
