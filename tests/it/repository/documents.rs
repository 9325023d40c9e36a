use super::files::read;
use integration_tests::Value;
use integration_tests::template::Template;
use std::collections::BTreeSet;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// `METHOD path` of every route that gets deployed.
fn deployed() -> BTreeSet<String> {
    let functions = Template::of_repository().functions();
    let routes = functions.iter().flat_map(|function| function.http_events());
    routes.map(|(method, path)| format!("{} {path}", method.to_ascii_uppercase())).collect()
}

#[test]
fn the_readme_lists_every_endpoint_and_no_other() {
    let readme = read("README.md");
    let mut listed = BTreeSet::new();
    for row in readme.lines().filter(|line| line.starts_with('|')) {
        // `PUT`, `PATCH /path` share a path.
        let mut methods = Vec::new();
        for span in row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2) {
            let (method, path) = span.split_once(' ').unwrap_or((span, ""));
            if METHODS.contains(&method) {
                methods.push(method);
                if path.starts_with('/') {
                    listed.extend(methods.drain(..).map(|method| format!("{method} {path}")));
                }
            }
        }
    }
    assert_eq!(listed, deployed());
}

#[test]
fn the_openapi_document_has_every_endpoint_and_no_other() {
    let document: Value = serde_json::from_str(&read("functions/openapi/openapi.json")).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("operations").keys().map(|method| method.to_ascii_uppercase());
        described.extend(methods.filter(|m| METHODS.contains(&m.as_str())).map(|method| format!("{method} {path}")));
    }
    assert_eq!(described, deployed());
}

/// The vocabulary of the audit is documented, and no other.
#[test]
fn audit_md_has_a_row_for_every_event_type_and_no_other() {
    let document = read("docs/AUDIT.md");
    let events = document.split("\n## ").find(|section| section.starts_with("Events")).expect("the section");
    let mut rows = Vec::new();
    for row in events.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 6, "{row}");
        rows.push((cells[0].trim_matches('`').to_owned(), cells[3].to_owned()));
    }
    let types: Vec<&str> = rows.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(types, shared::core::audit::EVENT_TYPES);
    let (_, reasons) = rows.iter().find(|(kind, _)| kind == "session.ended").expect("a row");
    let reasons: BTreeSet<&str> = reasons.split('`').skip(1).step_by(2).collect();
    let known: BTreeSet<&str> = shared::core::end_reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(reasons, known);
}
