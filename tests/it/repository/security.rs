use std::collections::{BTreeMap, BTreeSet};

use super::files::{read, texts};

/// Threats that the document must speak of, each once.
fn wanted() -> BTreeSet<String> {
    (1..=20).chain(57..=103).map(|number| format!("T-{number:02}")).collect()
}

/// Rows of the threat table: id, and the last cell.
fn rows(document: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in document.lines().filter(|line| line.starts_with("| T-")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        let before = found.insert(cells[0].to_owned(), cells[2].to_owned());
        assert_eq!(before, None, "{} stands twice", cells[0]);
    }
    found
}

/// Names of every test function of the repository.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in texts().into_iter().filter(|(path, _)| path.ends_with(".rs")) {
        if !path.starts_with("tests/it/") && !text.contains("#[cfg(test)]") {
            continue;
        }
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        found.extend(names.map(str::to_owned));
    }
    found
}

/// Every threat has tests that exist, one of them named with its id, or a reason why it has none.
#[test]
fn every_threat_has_a_test_or_a_reason() {
    let document = read("docs/SECURITY.md");
    let (rows, tests) = (rows(&document), tests());
    let missing: Vec<_> = wanted().into_iter().filter(|id| !rows.contains_key(id)).collect();
    assert!(missing.is_empty(), "not in the document: {missing:?}");
    for (id, cell) in rows {
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let reasoned = cell.starts_with("does not apply: ") || cell.starts_with("no test: ");
        assert!(!named.is_empty() || reasoned, "{id} names no test and no reason: {cell}");
        for name in named.iter().filter(|_| !reasoned) {
            let function = name.rsplit("::").next().expect("a name");
            assert!(tests.contains(function), "{id} names {name}, which does not exist");
        }
        if wanted().contains(&id) && !reasoned {
            let mark = format!("t_{}_", &id["T-".len()..]);
            assert!(named.iter().any(|name| name.contains(&mark)), "{id} names no test that carries its id");
        }
    }
}
