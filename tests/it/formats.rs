//! Every format that is stored or handed out, in one table: a sample of each, how it reads, and how it is written again.
//! Golden fixtures hold them over releases, the fuzz driver feeds their readers with what is no longer them.
//!
//! | what | fixture in `fixtures/golden` |
//! |---|---|
//! | records, documents, cursors, tokens, messages: one [`Format`] each | `v1/<name>.json` |
//! | an access token, and the key that it was signed with | `access_token.txt`, `access_token_key.json` |
//! | what else is signed with random numbers (receipts, event tokens, cookies), and the key | `signed-v1.json` |
//! | items of DynamoDB | `items-v1.json`, `items-erasure-v1.json` |
//! | entries of the outboxes | `outbox-v1.json` |
//! | the dump of the audit, its anchors and their key | `dump-v1/` |
//!
//! Scripts of the release before are in `fixtures/release_before`. A test holds this table to the files.

#[path = "formats/driver.rs"]
mod driver;
#[path = "formats/dump.rs"]
mod dump;
#[path = "formats/golden.rs"]
mod golden;
#[path = "formats/items.rs"]
mod items;
#[path = "formats/names.rs"]
mod names;
#[path = "formats/parsers.rs"]
mod parsers;
#[path = "formats/records.rs"]
mod records;
#[path = "formats/registry.rs"]
mod registry;
#[path = "formats/signed.rs"]
mod signed;
#[path = "formats/tokens.rs"]
mod tokens;

/// What reading some bytes gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What it says, for people and for comparison.
    pub says: String,
    /// The bytes that say the same; nothing where writing draws random numbers (signatures, salts).
    pub again: Option<Vec<u8>>,
}

/// What a reader makes of bytes that somebody changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// It is genuine: a change is refused. The bytes are a text that has no second spelling.
    Genuine,
    /// It may read as something else, which then reads the same again.
    Open,
}

/// One format.
pub struct Format {
    pub name: &'static str,
    pub guard: Guard,
    /// Bytes under fixed keys.
    pub sample: fn() -> Vec<u8>,
    /// `None` when the reader refuses.
    pub read: fn(&[u8]) -> Option<Read>,
    /// The same as a later release might write it: what has to be refused rather than misread, or kept.
    pub later: &'static [Later],
}

/// A change that a later release might make (F-32).
#[derive(Debug, Clone, Copy)]
pub enum Later {
    /// The byte at this place names a version that there is not yet: the reader refuses.
    Version(usize),
    /// Bytes are added at the end: the reader keeps them, and writes them again.
    Keeps(&'static [u8]),
}

/// All of them.
fn all() -> Vec<Format> {
    [records::formats(), tokens::formats(), signed::formats(), names::formats()].into_iter().flatten().collect()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
