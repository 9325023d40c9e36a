use std::collections::{BTreeMap, BTreeSet};

use super::files::{read, texts};

/// Threats that the document must speak of, each once.
fn wanted() -> BTreeSet<String> {
    (1..=103).map(|number| format!("T-{number:02}")).collect()
}

/// The requirements of OWASP ASVS 5.0, chapters V7 and V9: sections, and how many each has.
const ASVS: [(&str, u32); 8] =
    [("7.1", 3), ("7.2", 4), ("7.3", 2), ("7.4", 5), ("7.5", 3), ("7.6", 2), ("9.1", 3), ("9.2", 4)];

/// Whether a threat's tests carry its id: those of tokens share one corpus of forgeries, those of parsing one of requests.
fn has_tests_of_its_own(id: &str) -> bool {
    !("T-21".."T-57").contains(&id)
}

/// Every row of every table that names tests: ids, and the last cell.
fn claims(document: &str) -> Vec<(Vec<String>, String)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = document.lines().filter(|line| line.starts_with("| ") && line.contains("::")).map(cells);
    let several = rows.filter(|cells| cells.len() > 1);
    several.map(|cells| (cells[0].split(", ").map(str::to_owned).collect(), cells[cells.len() - 1].clone())).collect()
}

/// The names of tests in a cell.
fn named(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
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

/// Whether a test stands where its path says: those of `shared` beside what they test, the others in `tests/it`.
fn stands(name: &str, texts: &[(String, String)]) -> bool {
    let (module, function) = name.rsplit_once("::").expect("a path");
    let module = module.trim_end_matches("::tests").replace("::", "/");
    let places =
        ["tests/it", "shared/src"].map(|folder| [".rs", "/mod.rs"].map(|end| format!("{folder}/{module}{end}")));
    let starts = ["(", "<"].map(|rest| format!("fn {function}{rest}"));
    let there = |path: &String| places.iter().flatten().any(|place| place == path);
    texts.iter().any(|(path, text)| there(path) && starts.iter().any(|start| text.contains(start)))
}

/// Every threat has tests that exist, one of them named with its id, or a reason why it has none.
#[test]
fn every_threat_has_a_test_or_a_reason() {
    let document = read("docs/SECURITY.md");
    let (rows, texts) = (rows(&document), texts());
    let missing: Vec<_> = wanted().into_iter().filter(|id| !rows.contains_key(id)).collect();
    assert!(missing.is_empty(), "not in the document: {missing:?}");
    for (id, cell) in rows {
        let named = named(&cell);
        let reasoned = cell.starts_with("does not apply: ") || cell.starts_with("no test: ");
        assert!(!named.is_empty() || reasoned, "{id} names no test and no reason: {cell}");
        for name in named.iter().filter(|_| !reasoned) {
            assert!(stands(name, &texts), "{id} names {name}, which does not exist");
        }
        if has_tests_of_its_own(&id) && !reasoned {
            let mark = format!("t_{}_", &id["T-".len()..]);
            assert!(named.iter().any(|name| name.contains(&mark)), "{id} names no test that carries its id");
        }
    }
}

/// Every requirement of the two chapters and every invariant has a test, and every test that the document names exists.
#[test]
fn every_requirement_and_invariant_has_a_test_that_exists() {
    let (document, texts) = (read("docs/SECURITY.md"), texts());
    let claims = claims(&document);
    let unknown: Vec<_> = claims
        .iter()
        .flat_map(|(_, cell)| named(cell))
        .filter(|name| name.contains("::") && !stands(name, &texts))
        .collect();
    assert!(unknown.is_empty(), "tests that do not exist: {unknown:?}");
    let covered: BTreeSet<String> = claims.into_iter().flat_map(|(ids, _)| ids).collect();
    let numbers =
        ASVS.iter().flat_map(|(section, count)| (1..=*count).map(move |number| format!("ASVS {section}.{number}")));
    let wanted = numbers.chain((1..=16).map(|number| format!("I-{number}")));
    let missing: Vec<_> = wanted.filter(|id| !covered.contains(id)).collect();
    assert!(missing.is_empty(), "not in the document: {missing:?}");
}
