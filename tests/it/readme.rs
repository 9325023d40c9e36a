//! The tour of the README, run as it stands there.

use std::path::Path;

use integration_tests::{Stack, json, settings};
use tokio::process::Command;

const SECTION: &str = "## A tour in five minutes";
const SCOPES: [&str; 5] = ["sessions:create", "sessions:read", "sessions:write", "users:manage", "devices:manage"];
/// Stands for any text.
const WILDCARD: char = '…';

/// The tour's commands, and the lines each block should print.
fn tour() -> Vec<(String, Vec<String>)> {
    let readme = std::fs::read_to_string(Path::new(settings::PACKAGE_DIR).join("../README.md")).expect("README.md");
    let section = readme.split_once(SECTION).expect("the tour").1;
    let section = section.split("\n## ").next().expect("its text");
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    for (index, text) in section.split("```").enumerate().filter(|(index, _)| index % 2 == 1) {
        let (language, body) = text.split_once('\n').expect("a language");
        match language {
            "sh" => blocks.push((body.to_owned(), Vec::new())),
            "text" => blocks.last_mut().expect("a command first").1 = body.lines().map(str::to_owned).collect(),
            other => panic!("block {index} of the tour is {other:?}"),
        }
    }
    blocks
}

/// Whether a line is a pattern's text with anything in place of each wildcard.
fn matches(pattern: &str, line: &str) -> bool {
    let (first, rest) = match pattern.split_once(WILDCARD) {
        None => return pattern == line,
        Some(parts) => parts,
    };
    let Some(mut line) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split(WILDCARD).collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = line.find(part) else { return false };
        line = &line[at + part.len()..];
    }
    line.ends_with(last)
}

#[tokio::test]
async fn the_tour_prints_what_the_readme_says() {
    let stack = Stack::builder().with_http_front().start().await;
    let application = json!({ "applicationId": "demo", "name": "Local demonstration", "scopes": SCOPES });
    let app = stack.create_application(application).await;
    let url = &stack.public_url;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(".dev")).expect("a folder");
    let environment =
        format!("SESSION_API_URL={url}\nSESSION_APPLICATION_ID={}\nSESSION_APPLICATION_KEY={}\n", app.id, app.key);
    std::fs::write(folder.path().join(".dev/env"), environment).expect("written");

    let tour = tour();
    assert!(tour.len() >= 7, "{} blocks", tour.len());
    let separator = "---- next block ----";
    let commands: Vec<&str> = tour.iter().map(|(commands, _)| commands.as_str()).collect();
    let script = format!("set -u\n{}", commands.join(&format!("echo '{separator}'\n")));
    // POSIX sh: what it takes, every shell of a reader takes.
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder.path()).output().await.expect("sh runs");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{printed}");
    let printed: Vec<Vec<&str>> = printed.split(&format!("{separator}\n")).map(|text| text.lines().collect()).collect();
    assert_eq!(printed.len(), tour.len());
    for ((commands, expected), printed) in tour.iter().zip(printed) {
        assert_eq!(printed.len(), expected.len(), "after\n{commands}\nprinted {printed:#?}");
        for (pattern, line) in expected.iter().zip(printed) {
            assert!(matches(pattern, line.trim_end()), "after\n{commands}\nprinted  {line}\nexpected {pattern}");
        }
    }
}

#[test]
fn wildcards_stand_for_any_text() {
    for (pattern, line) in [("a", "a"), ("a…c", "abc"), ("…c", "c"), ("a…", "a"), ("a…b…c", "axxbyyc")] {
        assert!(matches(pattern, line), "{pattern} {line}");
    }
    for (pattern, line) in [("a", "ab"), ("a…c", "ab"), ("…c", "cd"), ("a…b…c", "acc"), ("ab…b", "ab")] {
        assert!(!matches(pattern, line), "{pattern} {line}");
    }
}
