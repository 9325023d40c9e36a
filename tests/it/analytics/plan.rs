use integration_tests::{Stack, Value};
use shared::adapters::postgres::rollups::READ_COUNTS;
use shared::core::analytics::grain::cover;
use shared::core::analytics::query::{Parameters, Query, Report};
use shared::core::analytics::{Grain, Span};
use shared::core::time::Timestamp;
use time::OffsetDateTime;
use tokio_postgres::Client;

/// Roll-ups of a year at every grain, for this many events per quarter of an hour.
async fn fill(client: &Client, application: &str, events: i64) {
    for (grain, step) in [(1, "15 minutes"), (2, "1 hour"), (3, "6 hours"), (4, "1 day"), (5, "1 month")] {
        let statement = format!(
            "INSERT INTO rollup_counts
             SELECT $1, metric, {grain}, starts_at, '', $2::bigint
             FROM generate_series('2025-12-01Z'::timestamptz, '2027-02-01Z', '{step}') AS starts_at,
                  unnest(ARRAY['created', 'ended', 'refreshed', 'activities']) AS metric
             ON CONFLICT (application_id, metric, grain, starts_at, key)
             DO UPDATE SET count = rollup_counts.count + EXCLUDED.count"
        );
        client.execute(&statement, &[&application, &events]).await.expect("roll-ups");
    }
    client.batch_execute("VACUUM ANALYZE rollup_counts").await.expect("statistics");
}

/// Every node of a plan.
fn nodes<'a>(plan: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(plan);
    plan["Plans"].as_array().into_iter().flatten().for_each(|plan| nodes(plan, found));
}

/// Rows that a report reads of the table, after checking that it reads them by ranges of the primary key.
async fn rows_read(client: &Client, application: &str, spans: &[Vec<Span>]) -> f64 {
    let flat = || (0_i32..).zip(spans).flat_map(|(slot, spans)| spans.iter().map(move |span| (slot, span)));
    let slots: Vec<i32> = flat().map(|(slot, _)| slot).collect();
    let grains: Vec<i16> = flat().map(|(_, span)| span.grain.code()).collect();
    let firsts: Vec<OffsetDateTime> = flat().map(|(_, span)| span.first.to_offset_date_time()).collect();
    let pasts: Vec<OffsetDateTime> = flat().map(|(_, span)| span.past.to_offset_date_time()).collect();
    let metrics = ["created", "ended", "refreshed", "activities"].to_vec();
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {READ_COUNTS}");
    let row = client.query_one(&explain, &[&slots, &grains, &firsts, &pasts, &metrics, &application]).await;
    let plan: Value = row.expect("a plan").get(0);
    let mut found = Vec::new();
    nodes(&plan[0]["Plan"], &mut found);
    let scans: Vec<_> = found.into_iter().filter(|node| node["Relation Name"] == "rollup_counts").collect();
    assert_eq!(scans.len(), 1, "{plan}");
    let kind = scans[0]["Node Type"].as_str().expect("a type");
    assert!(["Index Scan", "Index Only Scan"].contains(&kind), "{plan}");
    assert_eq!(scans[0]["Index Name"], "rollup_counts_pkey", "{plan}");
    let number = |name: &str| scans[0][name].as_f64().unwrap_or_default();
    assert_eq!(number("Rows Removed by Filter"), 0.0, "{plan}");
    assert_eq!(number("Rows Removed by Index Recheck"), 0.0, "{plan}");
    number("Actual Rows") * number("Actual Loops")
}

/// What a year costs depends on its days and the zone, not on what happened: ranges of one index, at most a dozen rows a day
/// and metric where days are no days of UTC.
#[tokio::test]
async fn a_year_is_read_from_one_index_and_costs_the_same_for_any_number_of_events() {
    let stack = Stack::builder().with_database().start().await;
    let client = stack.database().connect().await;
    let now = Timestamp::parse("2027-01-01T00:00:00Z").expect("an instant");
    let spans = |zone: &str| {
        let date = |text: &str| Some(text.to_owned());
        let parameters = Parameters {
            from: date("2026-01-01"),
            to: date("2027-01-01"),
            time_zone: date(zone),
            ..Parameters::default()
        };
        let query = Query::parse(Report::Activity, &parameters, now).expect("a question");
        assert_eq!(query.slots.len(), 365);
        query.slots.iter().map(|slot| cover(slot.start, slot.end, Grain::Quarter)).collect::<Vec<_>>()
    };
    // 35 thousand quarters of 3 thousand events are a hundred million.
    let mut costs = Vec::new();
    for (events, applications) in [(30, 1), (3_000, 3)] {
        fill(&client, &stack.app.id, events).await;
        for number in 1..applications {
            fill(&client, &format!("other-{number}"), events).await;
        }
        let mut cost = Vec::new();
        for (zone, rows) in [("UTC", 1.0), ("Europe/Vienna", 10.0), ("Asia/Kathmandu", 16.0)] {
            let read = rows_read(&client, &stack.app.id, &spans(zone)).await;
            assert!(read <= 365.0 * 4.0 * rows, "{zone}: {read}");
            cost.push(read);
        }
        costs.push(cost);
    }
    assert_eq!(costs[0], costs[1]);
}
