use futures::future::join_all;
use integration_tests::{Stack, json};
use std::collections::BTreeMap;

/// Deployments migrate, also two at once, also again.
#[tokio::test]
async fn migrating_again_or_in_parallel_changes_nothing() {
    let stack = Stack::builder().with_database().with_environments(4).start().await;
    let client = stack.database().connect().await;
    let again = stack.run_migrations().await;
    assert_eq!(again["applied"], json!([]), "{again}");

    // A fresh schema, by four deployments at once.
    client.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.expect("an empty schema");
    let runs = join_all((0..4).map(|_| stack.run_migrations())).await;
    let applied: usize = runs.iter().map(|run| run["applied"].as_array().expect("a list").len()).sum();
    let versions: Vec<_> = runs.iter().map(|run| &run["version"]).collect();
    let history = client.query_one("SELECT count(*), max(version)::bigint FROM refinery_schema_history", &[]).await;
    let history = history.expect("the history");
    assert_eq!(applied as i64, history.get::<_, i64>(0), "{runs:?}");
    assert!(versions.iter().all(|version| version.as_i64() == Some(history.get(1))), "{runs:?}");

    let query = "SELECT relname::text, relkind::text FROM pg_class \
                 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')";
    let rows = client.query(query, &[]).await.expect("tables");
    let mut tables: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for parent in ["audit_events_", "activity_"] {
        let months = tables.extract_if(.., |name, _| name.starts_with(parent)).count();
        assert_eq!(months, 3, "{parent}: this month and the next two");
    }
    let expected = [
        ("activity", "p"),
        ("alerts", "r"),
        ("alerts_progress", "r"),
        ("audit_anchors", "r"),
        ("audit_chain_anchors", "r"),
        ("audit_chain_heads", "r"),
        ("audit_events", "p"),
        ("audit_written_through", "r"),
        ("refinery_schema_history", "r"),
        ("rollup_counts", "r"),
        ("rollup_distinct", "r"),
        ("rollup_samples", "r"),
        ("rollup_spreads", "r"),
    ];
    assert_eq!(tables, expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into());
    let heads: i64 = client.query_one("SELECT count(*) FROM audit_chain_heads", &[]).await.expect("heads").get(0);
    assert_eq!(heads, 64);
    stack.app.start_session("ada").await;
    assert_eq!(stack.run_write_audit().await["written"], 1);
}
