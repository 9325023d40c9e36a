//! What each operation asks of its stores in a warm environment, counted by proxies before Redis, before DynamoDB and KMS,
//! and before PostgreSQL.

use integration_tests::{Environment, Request, Stack, Value, json};

use super::Notebook;
use crate::measurement::{Bound, Measurement, Table};
use crate::site;

/// What one request cost.
struct Cost {
    redis: u64,
    aws: u64,
    database: u64,
}

/// Counts round trips and calls.
pub async fn run(notebook: &mut Notebook) {
    let builder =
        |stack: integration_tests::StackBuilder| stack.with_redis_proxy().with_moto_proxy().with_database_proxy();
    let stack = site::stack(builder).await;
    let repetitions = notebook.size(50, 5);
    let mut table = Table::new(
        "Redis round trips, AWS calls and database connections per request, in a warm environment",
        &["operation", "requests", "Redis, fewest", "Redis, most", "AWS calls", "database connections"],
    );
    let mut off_path = 0;
    for operation in OPERATIONS {
        let costs = costs(&stack, operation, repetitions).await;
        let trips: Vec<f64> = costs.iter().map(|cost| cost.redis as f64).collect();
        let figure = Measurement::of(format!("Redis round trips: {}", operation.name), "", &trips);
        notebook.measure(figure.must(Bound::Exactly(operation.trips)));
        let (aws, database) =
            costs.iter().fold((0, 0), |(aws, database), cost| (aws + cost.aws, database + cost.database));
        if matches!(operation.kind, Kind::Read | Kind::Refresh) {
            off_path += aws + database;
        }
        let most = trips.iter().copied().fold(0.0, f64::max);
        let fewest = trips.iter().copied().fold(f64::INFINITY, f64::min);
        let cells = [operation.name.to_owned(), trips.len().to_string(), fewest.to_string(), most.to_string()];
        table.row(cells.into_iter().chain([aws.to_string(), database.to_string()]));
    }
    notebook.table(table);
    let figure = Measurement::new("KMS, DynamoDB and PostgreSQL on warm reads and refreshes", "calls", off_path as f64);
    notebook.measure(figure.must(Bound::Exactly(0.0)));
    let calls = calls_of_a_start(&stack).await;
    let unwraps = calls.iter().filter(|(target, _)| target.ends_with("Decrypt")).map(|(_, count)| *count as f64).sum();
    notebook.measure(Measurement::new("KMS calls of a start of get-session", "", unwraps).must(Bound::Exactly(1.0)));
    let mut table = Table::new("Calls of one start of get-session to DynamoDB and KMS", &["call", "times"]);
    calls.into_iter().for_each(|(target, count)| table.row([target, count.to_string()]));
    notebook.table(table);
}

async fn calls_of_a_start(stack: &Stack) -> Vec<(String, u64)> {
    let before = stack.moto_proxy().targets();
    let get = Environment::spawn(site::specification(stack, "get-session")).await;
    get.ready().await.expect("get-session starts");
    let after = stack.moto_proxy().targets().into_iter();
    let calls = after.map(|(target, count)| {
        let earlier = before.get(&target).copied().unwrap_or_default();
        (target, count - earlier)
    });
    calls.filter(|(_, count)| *count > 0).collect()
}

#[derive(Clone, Copy)]
enum Kind {
    Create,
    Read,
    Update,
    UpdateAny,
    Refresh,
    RefreshElsewhere,
    Introspect,
    Delete,
}

#[derive(Clone, Copy)]
struct Operation {
    name: &'static str,
    kind: Kind,
    trips: f64,
}

const OPERATIONS: [Operation; 8] = [
    Operation { name: "create", kind: Kind::Create, trips: 1.0 },
    Operation { name: "read", kind: Kind::Read, trips: 1.0 },
    Operation { name: "update", kind: Kind::Update, trips: 1.0 },
    Operation { name: "update, version unknown", kind: Kind::UpdateAny, trips: 2.0 },
    Operation { name: "refresh", kind: Kind::Refresh, trips: 1.0 },
    Operation { name: "refresh, context changed", kind: Kind::RefreshElsewhere, trips: 2.0 },
    Operation { name: "introspect", kind: Kind::Introspect, trips: 1.0 },
    Operation { name: "delete", kind: Kind::Delete, trips: 1.0 },
];

/// The first two requests of each kind warm the environment and are not counted.
async fn costs(stack: &Stack, operation: Operation, repetitions: usize) -> Vec<Cost> {
    let mut costs = Vec::new();
    let mut session = site::session(stack, "counted").await;
    let path = format!("/sessions/{}", session.session_id);
    for number in 0..repetitions + 2 {
        let version = number + 1;
        let app = &stack.app;
        let change =
            |tag: &str| app.request("PUT", &path).header("if-match", tag).json(&json!({ "data": site::data() }));
        let refresh = |token: &str, client: Value| {
            let body = json!({ "refreshToken": token, "client": client });
            app.request("POST", &format!("{path}/refresh")).json(&body)
        };
        let request = match operation.kind {
            Kind::Create => {
                let user = format!("new-{number}");
                let body = json!({ "userId": user, "data": site::data(), "client": site::client() });
                app.request("POST", "/sessions").json(&body)
            }
            Kind::Read => app.request("GET", &path),
            Kind::Update => change(&format!("\"{version}\"")),
            Kind::UpdateAny => change("*"),
            Kind::Refresh => refresh(&session.refresh_token, site::client()),
            Kind::RefreshElsewhere => {
                let address = if number % 2 == 0 { "198.51.100.7" } else { "203.0.113.10" };
                refresh(&session.refresh_token, json!({ "ip": address, "userAgent": "shop-app/4.2 (Android 16)" }))
            }
            Kind::Introspect => app.request("POST", "/introspect").form(&[("token", &session.access_token)]),
            Kind::Delete => {
                let doomed = site::session(stack, &format!("old-{number}")).await;
                app.request("DELETE", &format!("/sessions/{}", doomed.session_id))
            }
        };
        let (answer, cost) = counted(stack, request).await;
        if let Some(token) = answer["refreshToken"].as_str().filter(|_| !matches!(operation.kind, Kind::Create)) {
            token.clone_into(&mut session.refresh_token);
        }
        if number >= 2 {
            costs.push(cost);
        }
    }
    costs
}

async fn counted(stack: &Stack, request: Request) -> (Value, Cost) {
    let (redis, moto, database) = (stack.redis_proxy(), stack.moto_proxy(), stack.database_proxy());
    let before = (redis.counts(), moto.calls(""), database.counts());
    let response = request.send().await;
    assert!((200..300).contains(&response.status), "{response:?}");
    let cost = Cost {
        redis: (redis.counts() - before.0).round_trips,
        aws: moto.calls("") - before.1,
        database: (database.counts() - before.2).connections,
    };
    (serde_json::from_slice(&response.body).unwrap_or(Value::Null), cost)
}
