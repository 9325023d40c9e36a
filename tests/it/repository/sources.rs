use super::files::{read, texts};
use integration_tests::template::Template;
use std::collections::BTreeSet;

/// The code of a source file: without comments, and without what only tests see.
pub(super) fn code(text: &str) -> String {
    let tested = text.split("#[cfg(test)]").next().unwrap_or_default();
    tested.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

pub fn sources(folder: &str) -> Vec<(String, String)> {
    // A build script runs where a function is made, and no part of it is in the function.
    let part = |path: &str| path.starts_with(folder) && path.ends_with(".rs") && !path.ends_with("/build.rs");
    let files = texts().into_iter().filter(|(path, _)| part(path));
    let sources: Vec<_> = files.map(|(path, text)| (path, code(&text))).collect();
    assert!(!sources.is_empty(), "{folder}");
    sources
}

/// Decisions are pure: no I/O, no clock, no randomness, no thread of control of their own.
#[test]
fn the_core_decides_without_io_clock_or_randomness() {
    const FOREIGN: [&str; 21] = [
        "tokio",
        "aws_",
        "redis",
        "lambda",
        "tracing",
        "http::",
        "refinery",
        "postgres",
        "SystemTime",
        "Instant",
        "std::time",
        "clock::",
        "getrandom",
        "SystemRandom",
        "SecureRandom",
        "random::",
        "std::env",
        "std::fs",
        "std::net::Tcp",
        "std::thread",
        "async fn",
    ];
    for (path, code) in sources("shared/src/core") {
        for word in FOREIGN {
            // ring blinds its signatures with a generator of its own.
            let allowed = path.ends_with("jwt_provider.rs") && word == "SystemRandom";
            assert!(allowed || !code.contains(word), "{path} names {word}");
        }
        for outer in ["crate::adapters", "crate::service", "crate::config"] {
            assert!(!code.contains(outer), "{path} reaches for {outer}");
        }
    }
}

/// One clock, one generator, one reader of the environment.
#[test]
fn clock_randomness_and_settings_have_one_place_each() {
    let only = [
        ("SystemTime::now", &["shared/src/clock.rs"][..]),
        (
            "SystemRandom",
            &["shared/src/random.rs", "shared/src/core/jwt_provider.rs", "shared/src/service/rotate_keys.rs"],
        ),
        ("std::env::var", &["shared/src/config.rs", "shared/src/telemetry.rs"]),
    ];
    let mut all = sources("shared/src");
    all.extend(sources("functions"));
    for (word, places) in only {
        for (path, code) in &all {
            assert!(places.contains(&path.as_str()) || !code.contains(word), "{path} names {word}");
        }
    }
}

/// Jobs reach PostgreSQL, requests to the audit, and what erases or exports a whole person; requests to sessions never do.
#[test]
fn requests_do_not_reach_postgres() {
    let allowed = [
        "write-audit",
        "cleanup-sessions",
        "migrate-database",
        "evaluate-alerts",
        "query-audit",
        "verify-audit",
        "erase-user",
        "export-user",
        "query-analytics",
    ];
    for (path, code) in sources("functions") {
        let allowed = allowed.iter().any(|name| path.starts_with(&format!("functions/{name}/")));
        assert!(allowed || !code.contains("postgres"), "{path} names postgres");
    }
    let allowed = [
        "audit_drain.rs",
        "alerts.rs",
        "anchors.rs",
        "cleanup.rs",
        "query_audit.rs",
        "verify_audit.rs",
        "erase.rs",
        "export.rs",
        "analytics.rs",
    ];
    for (path, code) in sources("shared/src/service") {
        let allowed = allowed.iter().any(|name| path.ends_with(&format!("/{name}")));
        let allowed = allowed || path.contains("/audit_drain/");
        assert!(allowed || !code.contains("postgres"), "{path} names postgres");
    }
}

/// Every variable that the template sets is read, and what the README lists is what can be set.
#[test]
fn variables_of_template_configuration_and_readme_agree() {
    let readers = [read("shared/src/config.rs"), read("shared/src/telemetry.rs")].map(|text| code(&text)).join("\n");
    let upper = |text: &str| {
        let shape = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        text.len() > 3 && text.contains('_') && text.chars().all(shape)
    };
    let read_here: BTreeSet<&str> = readers.split('"').filter(|text| upper(text)).collect();
    // The allocator reads its own.
    let by_libraries = ["MIMALLOC_ALLOW_THP"];
    for function in Template::of_repository().functions() {
        for variable in function.variables().keys() {
            let read = read_here.contains(variable) || by_libraries.contains(variable);
            assert!(read, "{} sets {variable}, which nothing reads", function.name());
        }
    }
    // Lambda sets these; nobody configures them.
    let by_lambda = [
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_LAMBDA_FUNCTION_NAME",
    ];
    let configured: BTreeSet<&str> =
        read_here.into_iter().filter(|name| !by_lambda.contains(name)).chain(by_libraries).collect();
    let readme = read("README.md");
    let table = readme.split("| variable | meaning |").nth(1).expect("the table of variables");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let first_cells: String = rows.filter_map(|line| line.split('|').nth(1)).collect();
    let listed: BTreeSet<&str> = first_cells.split('`').filter(|text| upper(text)).collect();
    assert_eq!(listed, configured);
}
