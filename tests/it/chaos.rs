//! The fault table: that it is whole and can be run. What it says is in docs/CHAOS.md.

use std::process::Stdio;

use integration_tests::settings;

use crate::repository::files::read;

/// Every fault has its row, in the program and in the report.
#[test]
fn the_report_has_a_row_for_every_fault() {
    let report = read("docs/CHAOS.md");
    let catalogue = read("tests/src/bin/chaos/catalogue.rs");
    for number in 1..=44 {
        let id = format!("F-{number:02}");
        assert!(report.contains(&format!("\n| {id} | ")), "{id} is not in the report");
        // Gaps name a fault as well.
        let named = |text: String| catalogue.matches(&text).count();
        assert_eq!(named(format!("\"{id}\",")) - named(format!("id: \"{id}\",")), 1, "{id} in the catalogue");
    }
}

/// A cheap fault from end to end: the program runs, its clients are served, its oracles find nothing.
#[tokio::test]
async fn a_fault_is_tried_out() {
    let output = tokio::process::Command::new(settings::functions_dir().join("chaos"))
        .env("ONLY", "F-07")
        .env("CHAOS_LOAD", "40")
        .env_remove("CHAOS_REPORT")
        .env_remove("CHAOS_SEED")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("chaos is built");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 tried out, nothing broken"), "{told}");
}
