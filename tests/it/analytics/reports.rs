use super::traffic::{Fact, offset, queue, traffic};
use integration_tests::{Application, Stack, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

pub(crate) async fn report(app: &Application, path: &str) -> Value {
    app.request("GET", &format!("/analytics/{path}")).send().await.expect(200).json()
}

fn rows(report: &Value) -> Vec<Value> {
    report["rows"].as_array().expect("rows").clone()
}

fn instant(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().expect("an instant"), &Rfc3339).expect("RFC 3339")
}

/// Instants at which a fact counts as somebody's activity.
fn active(fact: &Fact) -> Vec<OffsetDateTime> {
    match fact.actor {
        "service" => Vec::new(),
        _ if fact.activities.is_empty() => vec![fact.at],
        _ => fact.activities.clone(),
    }
}

/// What the report about an interval has to say.
fn expected(facts: &[Fact], start: OffsetDateTime, end: OffsetDateTime) -> Value {
    let inside = |at: &OffsetDateTime| start <= *at && *at < end;
    let of = |kind: &str| facts.iter().filter(|fact| fact.kind == kind && inside(&fact.at)).count();
    let before = |kind: &str| facts.iter().filter(|fact| fact.kind == kind && fact.at < end).count() as i64;
    let busy = || facts.iter().filter(|fact| active(fact).iter().any(inside));
    json!({
        "created": of("session.created"),
        "ended": of("session.ended"),
        "refreshed": of("session.refreshed"),
        "activities": facts.iter().flat_map(|fact| &fact.activities).filter(|at| inside(at)).count(),
        "activeUsers": busy().map(|fact| fact.user).collect::<HashSet<_>>().len(),
        "activeSessions": busy().map(|fact| (fact.user, fact.session)).collect::<HashSet<_>>().len(),
        "openSessions": before("session.created") - before("session.ended"),
    })
}

/// A value at its place among sorted ones, and whether what was told of it is within one per cent.
fn close(told: &Value, sorted: &[f64], at: f64) -> bool {
    let exact = sorted[((sorted.len() - 1) as f64 * at) as usize];
    (told.as_f64().expect("a number") - exact).abs() <= exact * 0.011 + 0.01
}

#[tokio::test]
async fn reports_are_plain_counts_in_every_zone() {
    let stack = Stack::builder().with_database().start().await;
    let other = stack.create_application(json!({ "name": "Other", "scopes": ["analytics:read"] })).await;
    let mut redis = stack.redis().connection().await;
    let facts = traffic(4_711, &stack.app.id, 120);
    let others = traffic(17, &other.id, 40);
    // In parts and with repetitions: neither batches nor second deliveries change a count.
    for part in facts.chunks(150) {
        queue(&mut redis, part).await;
        queue(&mut redis, &others[..others.len().min(30)]).await;
        stack.run_write_audit().await;
        queue(&mut redis, &part[..part.len() / 2]).await;
    }
    queue(&mut redis, &others).await;
    stack.run_write_audit().await;
    assert_eq!(stack.run_write_audit().await["taken"], 0);

    for zone in ["UTC", "Europe/Vienna", "Asia/Kathmandu"] {
        for (interval, from, to, count) in [
            ("hour", "2026-03-28", "2026-03-30", if zone == "Europe/Vienna" { 47 } else { 48 }),
            ("day", "2026-03-24", "2026-04-06", 13),
            ("week", "2026-03-23", "2026-04-06", 2),
            ("month", "2026-03-01", "2026-05-01", 2),
        ] {
            let encoded = zone.replace('/', "%2F");
            let path = format!("activity?timeZone={encoded}&interval={interval}&from={from}&to={to}");
            let told = report(&stack.app, &path).await;
            let rows = rows(&told);
            assert_eq!((rows.len(), &told["timeZone"]), (count, &json!(zone)), "{path}");
            assert_eq!(told["rows"][0]["start"], told["from"], "{path}");
            for (index, row) in rows.iter().enumerate() {
                let start = instant(&row["start"]);
                let end = rows.get(index + 1).map_or(instant(&told["to"]), |next| instant(&next["start"]));
                assert_eq!(start.offset(), offset(zone, start), "{row}");
                if interval != "hour" {
                    assert_eq!(start.time(), time::Time::MIDNIGHT, "{row}");
                }
                let mut wanted = expected(&facts, start, end);
                wanted["start"] = row["start"].clone();
                assert_eq!(*row, wanted, "{path}");
            }
        }
    }

    // What is told of the whole time.
    let range = "timeZone=Asia%2FKathmandu&from=2026-03-26&to=2026-04-01";
    let (start, end) = (datetime!(2026-03-25 18:15 UTC), datetime!(2026-03-31 18:15 UTC));
    let inside = |kind: &str| {
        let kind = kind.to_owned();
        facts.iter().filter(move |fact| fact.kind == kind && start <= fact.at && fact.at < end)
    };
    for (name, column, key) in [
        ("geography", "country", (|fact: &Fact| fact.country) as fn(&Fact) -> Option<&'static str>),
        ("devices", "deviceType", |fact: &Fact| fact.device),
    ] {
        let mut wanted = BTreeMap::<String, (u64, HashSet<u32>)>::new();
        for fact in inside("session.created") {
            let entry = wanted.entry(key(fact).unwrap_or("unknown").to_owned()).or_default();
            entry.0 += 1;
            entry.1.insert(fact.user);
        }
        let told: BTreeMap<String, (u64, u64)> = rows(&report(&stack.app, &format!("{name}?{range}")).await)
            .iter()
            .map(|row| {
                let number = |name: &str| row[name].as_u64().expect("a number");
                (row[column].as_str().expect("a key").to_owned(), (number("sessions"), number("users")))
            })
            .collect();
        let wanted: BTreeMap<_, _> =
            wanted.into_iter().map(|(key, (sessions, users))| (key, (sessions, users.len() as u64))).collect();
        assert_eq!(told, wanted, "{name}");
    }
    for (by, key) in [
        ("application", (|fact: &Fact| fact.application.clone()) as fn(&Fact) -> String),
        ("deviceType", |fact: &Fact| fact.device.unwrap_or("unknown").to_owned()),
        ("endReason", |fact: &Fact| fact.reason.to_owned()),
    ] {
        let mut wanted = BTreeMap::<String, Vec<f64>>::new();
        for fact in inside("session.ended") {
            let lasted = fact.at - fact.began.expect("a beginning");
            wanted.entry(key(fact)).or_default().push((lasted.whole_milliseconds() as f64) / 1000.0);
        }
        let told = rows(&report(&stack.app, &format!("durations?{range}&by={by}")).await);
        let keys: BTreeSet<_> = told.iter().map(|row| row["key"].as_str().expect("a key").to_owned()).collect();
        assert_eq!(keys, wanted.keys().cloned().collect(), "{by}");
        for row in told {
            let mut values = wanted[row["key"].as_str().expect("a key")].clone();
            values.sort_by(f64::total_cmp);
            assert_eq!(row["count"], values.len(), "{by}");
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((row["meanSeconds"].as_f64().expect("a mean") - mean).abs() < 0.01, "{row}");
            for (name, at) in [("p50Seconds", 0.5), ("p90Seconds", 0.9), ("p95Seconds", 0.95), ("p99Seconds", 0.99)] {
                assert!(close(&row[name], &values, at), "{row} of {values:?}");
            }
        }
    }
    let mut wanted = BTreeMap::<(String, String), u64>::new();
    for fact in facts.iter().filter(|fact| fact.kind == "session.risk_raised" || fact.reason == "reuse") {
        *wanted.entry((fact.kind.to_owned(), fact.reason.to_owned())).or_default() += 1;
    }
    let mut told = BTreeMap::<(String, String), u64>::new();
    for row in rows(&report(&stack.app, "security-events?from=2026-03-20&to=2026-04-30").await) {
        let text = |name: &str| row[name].as_str().expect("a word").to_owned();
        *told.entry((text("type"), text("reason"))).or_default() += row["count"].as_u64().expect("a count");
    }
    assert_eq!(told, wanted);

    let created = rows(&report(&other, "activity?from=2026-03-20&to=2026-04-30").await);
    let created: u64 = created.iter().map(|row| row["created"].as_u64().expect("a number")).sum();
    assert_eq!(created, 40);
}

/// What others do, even with the same users, is nothing to an application.
#[tokio::test]
async fn i_9_reports_tell_an_application_nothing_of_others() {
    let stack = Stack::builder().with_database().start().await;
    let group = &stack.app.record["groupId"];
    let silent = json!({ "name": "Silent", "scopes": ["analytics:read"], "groupId": group });
    let silent = stack.create_application(silent).await;
    let mut redis = stack.redis().connection().await;
    queue(&mut redis, &traffic(3, &stack.app.id, 20)).await;
    stack.run_write_audit().await;
    let range = "from=2026-03-20&to=2026-04-20";
    for name in ["activity", "durations", "geography", "devices", "security-events", "performance"] {
        for row in rows(&report(&silent, &format!("{name}?{range}")).await) {
            let mut numbers = row.as_object().expect("a row").iter().filter(|(name, _)| *name != "start");
            assert!(numbers.all(|(_, value)| *value == json!(0)), "{name}: {row}");
        }
        if name != "performance" {
            assert!(!rows(&report(&stack.app, &format!("{name}?{range}")).await).is_empty(), "{name}");
        }
    }
}

/// Beyond what is counted exactly, distinct counts keep to the stated error.
#[tokio::test]
async fn many_users_are_counted_within_the_stated_error() {
    let stack = Stack::builder().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    let start = datetime!(2026-05-04 00:00 UTC);
    let template = traffic(1, &stack.app.id, 1).remove(0);
    let facts: Vec<Fact> = (0..6000)
        .map(|number| Fact {
            id: format!("many-{number}"),
            user: number,
            session: number,
            country: None,
            device: None,
            at: start + Duration::seconds(i64::from(number) * 20),
            ..template.clone()
        })
        .collect();
    queue(&mut redis, &facts).await;
    stack.run_write_audit().await;
    let told = rows(&report(&stack.app, "activity?from=2026-05-04&to=2026-05-11&interval=week").await);
    assert_eq!((told.len(), &told[0]["created"]), (1, &json!(6000)));
    for name in ["activeUsers", "activeSessions"] {
        let error = told[0][name].as_f64().expect("a number") / 6000.0 - 1.0;
        assert!(error.abs() < 3.0 * 0.0163, "{name}: {error}");
    }
}

#[tokio::test]
async fn files_are_for_spreadsheets_and_bad_questions_are_refused() {
    let stack = Stack::builder().with_database_proxy().start().await;
    let mut redis = stack.redis().connection().await;
    queue(&mut redis, &traffic(2, &stack.app.id, 5)).await;
    stack.run_write_audit().await;
    let path = "/analytics/devices?from=2026-03-20&to=2026-04-20&format=csv";
    let file = stack.app.request("GET", path).send().await.expect(200);
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"devices.csv\"");
    assert!(file.text().starts_with("deviceType,sessions,users\r\n"), "{}", file.text());
    for (query, field) in [
        ("activity?interval=year", "interval"),
        ("activity?timeZone=Mars%2FOlympus", "timeZone"),
        ("activity?from=2019-01-01&to=2019-02-01", "from"),
        ("activity?from=2025-01-01&to=2026-12-01", "to"),
        ("activity?from=x", "from"),
        ("geography?by=endReason", "by"),
        ("geography?interval=minute", "interval"),
        ("activity?format=xml", "format"),
        ("activity?unknown=1", "unknown"),
    ] {
        let refused = stack.app.request("GET", &format!("/analytics/{query}")).send().await;
        assert_eq!(refused.expect_problem(400, "invalid_request").json()["errors"][0]["field"], field, "{query}");
    }
    stack.app.request("GET", "/analytics/everything").send().await.expect_problem(404, "not_found");
    stack.database_proxy().go_offline().await;
    let away = stack.app.request("GET", "/analytics/activity").send().await;
    assert_eq!(away.expect_problem(503, "dependency_unavailable").header("retry-after"), "1");
}
