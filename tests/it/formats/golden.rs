//! Golden fixtures: what this release and earlier ones wrote, bytes beside their meaning. A reader that no longer reads
//! them, or writes them otherwise, breaks a fleet of two releases. `GOLDEN_WRITE=1` writes the files that are missing, never
//! one that is there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::{Value, json};

use super::{Format, Later, all};

/// Where the fixtures are.
pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/fixtures/golden")
}

/// Whether fixtures that are missing are to be made.
pub fn may_write() -> bool {
    std::env::var_os("GOLDEN_WRITE").is_some()
}

/// A fixture that is one document, made when it is missing.
pub fn document(name: &str, make: impl FnOnce() -> Value) -> Value {
    let file = fixtures().join(name);
    if !file.exists() && may_write() {
        std::fs::write(&file, serde_json::to_string_pretty(&make()).expect("JSON") + "\n").expect("a file");
    }
    let text = std::fs::read(&file).unwrap_or_else(|_| panic!("there is no fixture {name}"));
    serde_json::from_slice(&text).expect("JSON")
}

fn folder() -> PathBuf {
    fixtures().join("v1")
}

fn fixture(format: &Format) -> (Vec<u8>, String) {
    let file = folder().join(format!("{}.json", format.name));
    if !file.exists() && may_write() {
        let bytes = (format.sample)();
        let read = (format.read)(&bytes).unwrap_or_else(|| panic!("{}: its sample does not read", format.name));
        let says: Vec<&str> = read.says.lines().collect();
        let document = json!({ "bytes": URL_SAFE_NO_PAD.encode(&bytes), "says": says });
        let text = serde_json::to_string_pretty(&document).expect("JSON");
        std::fs::create_dir_all(folder()).expect("a folder");
        std::fs::write(&file, text + "\n").expect("a file");
    }
    let text = std::fs::read(&file).unwrap_or_else(|_| panic!("{} has no fixture", format.name));
    let document: Value = serde_json::from_slice(&text).expect("JSON");
    let bytes = URL_SAFE_NO_PAD.decode(document["bytes"].as_str().expect("bytes")).expect("base64url");
    let says = document["says"].as_array().expect("lines").iter().map(|line| line.as_str().expect("a line"));
    (bytes, says.collect::<Vec<_>>().join("\n"))
}

#[test]
fn every_format_has_a_fixture_that_reads_and_is_written_again() {
    let mut broken = Vec::new();
    for format in all() {
        let (bytes, says) = fixture(&format);
        let mut hold = |holds: bool, what: &str| {
            if !holds {
                broken.push(format!("{} {what}", format.name));
            }
        };
        let read = (format.read)(&bytes);
        hold(read.is_some(), "does not read its fixture");
        if let Some(read) = read {
            hold(read.says == says, &format!("says {} instead of {says}", read.says));
            hold(read.again.is_none_or(|again| again == bytes), "is written otherwise");
        }
        hold((format.sample)() == bytes, "comes out otherwise under the same keys");
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_fixture_is_left_over() {
    let names: Vec<String> = all().iter().map(|format| format!("{}.json", format.name)).collect();
    for entry in std::fs::read_dir(folder()).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        assert!(names.contains(&name), "{name} belongs to no format");
    }
}

/// The table in front of this module names every fixture, and no other.
#[test]
fn every_fixture_is_listed() {
    let table = include_str!("../formats.rs");
    let lines = table.lines().take_while(|line| line.starts_with("//!")).filter(|line| line.starts_with("//! |"));
    let listed: BTreeSet<String> = lines
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|name| name.contains('/') || name.contains('.'))
        .map(|name| name.split('/').next().expect("a first part").to_owned())
        .collect();
    let entries = std::fs::read_dir(fixtures()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    assert_eq!(names.collect::<BTreeSet<_>>(), &listed - &BTreeSet::from(["fixtures".to_owned()]));
}

/// F-32: what a later release writes is refused as a whole, or kept as it is; never misread, never cut short.
#[test]
fn f_32_what_a_later_release_writes_is_refused_or_kept() {
    for format in all() {
        let (bytes, says) = fixture(&format);
        for later in format.later {
            match *later {
                Later::Version(place) => {
                    for version in [bytes[place].wrapping_add(100), 255] {
                        let mut changed = bytes.clone();
                        changed[place] = version;
                        assert_eq!((format.read)(&changed), None, "{} of version {version} reads", format.name);
                    }
                }
                Later::Keeps(more) => {
                    let longer = [&bytes[..], more].concat();
                    let read = (format.read)(&longer).unwrap_or_else(|| panic!("{} refuses more", format.name));
                    assert_eq!(read.again.as_deref(), Some(&longer[..]), "{} loses what it does not know", format.name);
                    assert_ne!(read.says, says);
                }
            }
        }
    }
}
