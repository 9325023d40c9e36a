//! What every operation costs in a warm environment: exact numbers of Redis round trips, AWS calls and database
//! connections, counted by proxies.

use std::collections::BTreeMap;
use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::environment::Environment;
use integration_tests::{Application, ClientKey, Request, Response, Stack, Value, json};

/// What an operation asked of its stores.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Cost {
    redis_round_trips: u64,
    redis_connections: u64,
    aws_connections: u64,
    aws_calls: BTreeMap<String, u64>,
    database_connections: u64,
}

impl Cost {
    /// Redis and nothing else, over the connection that is open already.
    fn redis(round_trips: u64) -> Self {
        Cost { redis_round_trips: round_trips, ..Cost::default() }
    }

    /// With calls of these DynamoDB operations.
    fn and_dynamodb(mut self, calls: &[(&str, u64)]) -> Self {
        self.aws_calls = calls.iter().map(|(name, count)| (format!("DynamoDB_20120810.{name}"), *count)).collect();
        // How many connections the client's pool holds by then is its own affair.
        self
    }
}

/// Whoever moves the clock pays for holding it to the store's again, once.
const COMPARISON: u64 = 1;

/// One environment per function, every store behind a counting proxy.
async fn counted() -> Stack {
    let builder = Stack::builder().with_environments(1).with_clock();
    builder.with_redis_proxy().with_moto_proxy().with_database_proxy().start().await
}

/// Sends a request to a warm environment and returns the response with what it cost.
async fn cost(stack: &Stack, request: Request) -> (Response, Cost) {
    let (redis, moto, database) = (stack.redis_proxy(), stack.moto_proxy(), stack.database_proxy());
    let before = (redis.counts(), moto.counts(), database.counts(), moto.targets());
    let response = request.send().await;
    let redis = redis.counts() - before.0;
    let calls = moto.targets().into_iter().map(|(target, count)| {
        let earlier = before.3.get(&target).copied().unwrap_or_default();
        (target, count - earlier)
    });
    let cost = Cost {
        redis_round_trips: redis.round_trips,
        redis_connections: redis.connections,
        aws_connections: (moto.counts() - before.1).connections,
        aws_calls: calls.filter(|(_, count)| *count > 0).collect(),
        database_connections: (database.counts() - before.2).connections,
    };
    (response, cost)
}

/// Asserts status and cost of a request.
async fn costs(stack: &Stack, what: &str, request: Request, status: u16, expected: Cost) -> Response {
    let (response, mut found) = cost(stack, request).await;
    let response = response.expect(status);
    if !expected.aws_calls.is_empty() {
        found.aws_connections = 0;
    }
    assert_eq!(found, expected, "{what}");
    response
}

fn get(app: &Application, session: &SessionTokens) -> Request {
    app.request("GET", &format!("/sessions/{}", session.session_id))
}

fn change(app: &Application, method: &str, session: &SessionTokens, if_match: &str, data: Value) -> Request {
    let request = app.request(method, &format!("/sessions/{}", session.session_id)).header("if-match", if_match);
    match method {
        "PATCH" => request.body("application/merge-patch+json", json!({ "data": data }).to_string().as_bytes()),
        _ => request.json(&json!({ "data": data })),
    }
}

fn refresh(app: &Application, session: &SessionTokens, token: &str) -> Request {
    app.request("POST", &format!("/sessions/{}/refresh", session.session_id)).json(&json!({ "refreshToken": token }))
}

async fn session_with_data(app: &Application, user: &str) -> SessionTokens {
    SessionTokens::from_created(&app.create_session(json!({ "userId": user, "data": { "cart": [1] } })).await)
}

#[tokio::test]
async fn a_read_is_one_round_trip_and_two_when_activity_is_due() {
    let stack = counted().await;
    let app = &stack.app;
    let (session, other) = (session_with_data(app, "ada").await, session_with_data(app, "ada").await);
    get(app, &session).send().await.expect(200);
    costs(&stack, "application", get(app, &session), 200, Cost::redis(1)).await;
    costs(&stack, "application, data not seen before", get(app, &other), 200, Cost::redis(1)).await;
    get(app, &other).bearer(&other.access_token).send().await.expect(200);
    let own = get(app, &session).bearer(&session.access_token);
    costs(&stack, "holder, not seen before", own.clone(), 200, Cost::redis(1)).await;
    costs(&stack, "holder", own, 200, Cost::redis(1)).await;
    let refreshed = app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    let renewed = get(app, &session).bearer(refreshed["accessToken"].as_str().expect("a token"));
    costs(&stack, "holder, token not seen before", renewed, 200, Cost::redis(1)).await;
    let another = get(app, &other).bearer(&session.access_token);
    costs(&stack, "holder, another own session", another, 200, Cost::redis(1)).await;
    let stranger = app.start_session("bob").await;
    let foreign = get(app, &stranger).bearer(&session.access_token);
    foreign.clone().send().await.expect(404);
    costs(&stack, "holder, a stranger's session: counted as a miss", foreign, 404, Cost::redis(1)).await;

    let body = json!({ "userId": "ada", "idleTimeoutSeconds": 60 });
    let short = SessionTokens::from_created(&app.create_session(body).await);
    costs(&stack, "activity recorded just now", get(app, &short), 200, Cost::redis(1)).await;
    // The first touch of all brings its script along.
    stack.advance(Duration::from_secs(4));
    get(app, &short).send().await.expect(200);
    stack.advance(Duration::from_secs(4));
    costs(&stack, "activity due", get(app, &short), 200, Cost::redis(2 + COMPARISON)).await;
    costs(&stack, "activity recorded", get(app, &short), 200, Cost::redis(1)).await;
}

/// Beyond its own, an environment's request costs one trip more when it tells what it has measured: once a minute at most.
#[tokio::test]
async fn recording_activities_is_one_round_trip_and_telling_measurements_another_once_a_minute() {
    let stack = counted().await;
    let session = stack.app.start_session("ada").await;
    let record = stack.app.request("POST", &format!("/sessions/{}/activity", session.session_id));
    let record = record.json(&json!({ "activities": [{ "name": "a" }, { "name": "b", "properties": { "c": 1 } }] }));
    record.clone().send().await.expect(202);
    record.clone().bearer(&session.access_token).send().await.expect(202);
    costs(&stack, "application", record.clone(), 202, Cost::redis(1)).await;
    costs(&stack, "holder", record.clone().bearer(&session.access_token), 202, Cost::redis(1)).await;
    stack.advance(Duration::from_secs(55));
    costs(&stack, "within a minute", record.clone(), 202, Cost::redis(1 + COMPARISON)).await;
    stack.advance(Duration::from_secs(10));
    let (response, cost) = cost(&stack, record.clone()).await;
    response.expect(202);
    assert_eq!(cost.redis_round_trips, 3 + COMPARISON, "a minute after the first, by a new script");
    costs(&stack, "told just now", record, 202, Cost::redis(1)).await;
}

#[tokio::test]
async fn a_creation_is_one_round_trip() {
    let stack = counted().await;
    let policy = json!({ "sessionLimit": { "max": 2, "onLimit": "evict_oldest" } });
    let app = stack.create_application(json!({ "name": "Two", "scopes": ["sessions:create"], "policy": policy })).await;
    app.start_session("warm").await;
    let create = |user: &str| app.request("POST", "/sessions").json(&json!({ "userId": user, "data": { "a": 1 } }));
    costs(&stack, "create", create("ada"), 201, Cost::redis(1)).await;
    let keyed = || create("ada").header("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324");
    costs(&stack, "create with Idempotency-Key", keyed(), 201, Cost::redis(1)).await;
    costs(&stack, "the same again: claim, then record", keyed(), 201, Cost::redis(2)).await;
    let legacy = || app.request("POST", "/sessions").json(&json!({ "userId": "bob", "legacySession": "8e03978e" }));
    costs(&stack, "create with legacySession", legacy(), 201, Cost::redis(1)).await;
    costs(&stack, "the same again: exchange, then record", legacy(), 201, Cost::redis(2)).await;
    // The eviction goes into the ledger.
    let evicting = Cost::redis(1).and_dynamodb(&[("PutItem", 1)]);
    let evicted = costs(&stack, "create with eviction", create("ada"), 201, evicting).await;
    assert_eq!(evicted.json()["evicted"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_change_of_data_is_one_round_trip_when_version_and_data_are_known() {
    let stack = counted().await;
    let app = &stack.app;
    let session = session_with_data(app, "ada").await;
    app.put(&session.session_id, "\"1\"", json!({ "data": { "cart": [2] } })).await.expect(200);
    let put = change(app, "PUT", &session, "\"2\"", json!({ "cart": [3] }));
    costs(&stack, "PUT with If-Match", put, 200, Cost::redis(1)).await;
    let seen = change(app, "PATCH", &session, "\"3\"", json!({ "lang": "en" }));
    let patched = costs(&stack, "PATCH of data written here", seen, 200, Cost::redis(1)).await;
    assert_eq!(patched.json()["data"], json!({ "cart": [3], "lang": "en" }));
    let again = change(app, "PATCH", &session, "\"4\"", json!({ "cart": null }));
    costs(&stack, "PATCH of a PATCH", again, 200, Cost::redis(1)).await;
    let any = change(app, "PUT", &session, "*", json!({ "cart": [4] }));
    costs(&stack, "PUT with If-Match: *", any, 200, Cost::redis(2)).await;
    let any = change(app, "PATCH", &session, "*", json!({ "cart": [5] }));
    costs(&stack, "PATCH with If-Match: *", any, 200, Cost::redis(2)).await;
    let unseen = session_with_data(app, "ada").await;
    let patch = change(app, "PATCH", &unseen, "\"1\"", json!({ "cart": [6] }));
    costs(&stack, "PATCH of data not seen here", patch, 200, Cost::redis(2)).await;
    let stale = change(app, "PUT", &session, "\"1\"", json!({ "cart": [7] }));
    costs(&stack, "PUT with a stale version", stale, 412, Cost::redis(1)).await;
}

#[tokio::test]
async fn a_lock_is_one_round_trip_and_costs_a_change_of_data_none() {
    let stack = counted().await;
    let app = &stack.app;
    let (warm, session) = (session_with_data(app, "ada").await, session_with_data(app, "ada").await);
    let ask = |session: &SessionTokens, body: Value| {
        app.request("POST", &format!("/sessions/{}/lock", session.session_id)).json(&body)
    };
    let release = |session: &SessionTokens, token: &str| {
        app.request("DELETE", &format!("/sessions/{}/lock", session.session_id)).header("session-lock", token)
    };
    let token = |response: &Response| response.json()["lockToken"].as_str().expect("a token").to_owned();
    let first = token(&ask(&warm, json!({})).send().await);
    release(&warm, &first).send().await.expect(204);
    app.put(&warm.session_id, "*", json!({ "data": {} })).await.expect(200);

    let granted = token(&costs(&stack, "lock", ask(&session, json!({})), 201, Cost::redis(1)).await);
    costs(&stack, "renew", ask(&session, json!({ "lockToken": granted })), 200, Cost::redis(1)).await;
    costs(&stack, "locked: refused, and told of by a new script", ask(&session, json!({})), 423, Cost::redis(3)).await;
    let put = || change(app, "PUT", &session, "\"1\"", json!({ "cart": [2] }));
    costs(&stack, "PUT without the lock", put(), 423, Cost::redis(2)).await;
    costs(&stack, "PUT under the lock", put().header("session-lock", &granted), 200, Cost::redis(1)).await;
    costs(&stack, "unlock", release(&session, &granted), 204, Cost::redis(1)).await;
}

#[tokio::test]
async fn a_refresh_is_one_round_trip_and_two_when_the_context_changed() {
    let stack = counted().await;
    let app = &stack.app;
    let body = json!({ "userId": "ada", "client": { "ip": "203.0.113.10", "userAgent": "agent" } });
    let session = SessionTokens::from_created(&app.create_session(body).await);
    let stated = |token: &str, address: &str| {
        let client = json!({ "ip": address, "userAgent": "agent" });
        refresh(app, &session, token).json(&json!({ "refreshToken": token, "client": client }))
    };
    // The first one only warms the environment.
    let first = stated(&session.refresh_token, "203.0.113.10").send().await.expect(200);
    let second = first.json()["refreshToken"].as_str().expect("a token").to_owned();
    let rotated = costs(&stack, "rotate", stated(&second, "203.0.113.11"), 200, Cost::redis(1)).await;
    let third = rotated.json()["refreshToken"].as_str().expect("a token").to_owned();
    let retried = costs(&stack, "retry in grace", stated(&second, "203.0.113.11"), 200, Cost::redis(1)).await;
    assert_eq!(retried.json()["refreshToken"], third.as_str());
    let moved = costs(&stack, "context changed", stated(&third, "198.51.100.7"), 200, Cost::redis(2)).await;
    let fourth = moved.json()["refreshToken"].as_str().expect("a token").to_owned();
    let holder = |token: &str| refresh(app, &session, token).anonymous().source_ip("198.51.100.8").user_agent("agent");
    let fifth = holder(&fourth).send().await.expect(200).json()["refreshToken"].as_str().expect("a token").to_owned();
    costs(&stack, "by the holder", holder(&fifth), 200, Cost::redis(1)).await;
    // Within one minute.
    stack.clock().freeze();
    let garbage = || refresh(app, &session, "rt_AAAA");
    costs(&stack, "garbage 1: told of, by a new script", garbage(), 401, Cost::redis(2)).await;
    for number in 2..=9 {
        let name = format!("garbage {number}");
        costs(&stack, &name, garbage(), 401, Cost::redis(0)).await;
    }
    costs(&stack, "garbage 10: counted, by a new script", garbage(), 401, Cost::redis(2)).await;
    let replayed = Cost::redis(2).and_dynamodb(&[("PutItem", 1)]);
    costs(&stack, "replay, told of, with its ledger entry", stated(&second, "203.0.113.11"), 401, replayed).await;
}

/// 8.2.4: the next request is judged, and an unchanged context costs nothing for it.
#[tokio::test]
async fn asvs_8_2_4_a_holder_whose_context_changed_costs_one_round_trip_more_once() {
    let stack = counted().await;
    let app = &stack.app;
    let body = json!({ "userId": "ada", "client": { "ip": "203.0.113.10", "userAgent": "agent/1" } });
    let session = SessionTokens::from_created(&app.create_session(body.clone()).await);
    let from = |request: Request, address: &str| {
        request.bearer(&session.access_token).source_ip(address).user_agent("agent/1")
    };
    from(get(app, &session), "203.0.113.10").send().await.expect(200);
    app.put(&session.session_id, "\"1\"", json!({ "data": {} })).await.expect(200);
    app.list("ada").await.expect(200);
    // The first judgement of each function brings its script along.
    from(get(app, &session), "192.0.2.1").send().await.expect(200);
    costs(&stack, "equal context", from(get(app, &session), "192.0.2.9"), 200, Cost::redis(1)).await;
    costs(&stack, "changed context", from(get(app, &session), "198.51.100.7"), 200, Cost::redis(2)).await;
    costs(&stack, "judged", from(get(app, &session), "198.51.100.7"), 200, Cost::redis(1)).await;
    costs(&stack, "by an application", get(app, &session), 200, Cost::redis(1)).await;
    let put = |address: &str| from(change(app, "PUT", &session, "*", json!({})), address);
    put("203.0.113.10").send().await.expect(200);
    let put =
        |version: u32, address: &str| from(change(app, "PUT", &session, &format!("\"{version}\""), json!({})), address);
    costs(&stack, "PUT, equal context", put(3, "203.0.113.11"), 200, Cost::redis(1)).await;
    costs(&stack, "PUT, changed context", put(4, "192.0.2.1"), 200, Cost::redis(2)).await;
    let list = |address: &str| from(app.request("GET", "/sessions/user/ada"), address);
    costs(&stack, "list, equal context", list("192.0.2.2"), 200, Cost::redis(1)).await;
    let stated = |address: &str| {
        let form = [("token", session.access_token.as_str()), ("client_ip", address), ("client_user_agent", "agent/1")];
        app.request("POST", "/introspect").form(&form)
    };
    stated("203.0.113.10").send().await.expect(200);
    costs(&stack, "introspection, equal context", stated("203.0.113.77"), 200, Cost::redis(1)).await;
    costs(&stack, "introspection, changed context", stated("192.0.2.1"), 200, Cost::redis(2)).await;
    let create = |agent: &str| {
        let body = json!({ "userId": "ada", "client": { "ip": "203.0.113.10", "userAgent": agent } });
        app.request("POST", "/sessions").json(&body)
    };
    costs(&stack, "create with a known context", create("agent/1"), 201, Cost::redis(1)).await;
    costs(&stack, "create with a new device: allowed", create("other/1"), 201, Cost::redis(1)).await;
}

#[tokio::test]
async fn an_end_is_one_round_trip_and_one_ledger_entry() {
    let stack = counted().await;
    let app = &stack.app;
    let warm = app.start_session("warm").await;
    app.delete(&warm.session_id).await.expect(204);
    app.revoke(&warm.refresh_token).await.expect(200);
    app.delete_user_sessions("warm").await.expect(204);
    let ledger = || Cost::redis(1).and_dynamodb(&[("PutItem", 1)]);
    let delete = |session: &SessionTokens| app.request("DELETE", &format!("/sessions/{}", session.session_id));

    let session = app.start_session("ada").await;
    costs(&stack, "delete", delete(&session), 204, ledger()).await;
    costs(&stack, "delete again", delete(&session), 204, ledger()).await;
    let (own, other) = (app.start_session("ada").await, app.start_session("ada").await);
    let remote = delete(&other).bearer(&own.access_token);
    // Whether the caller's own session lives is settled before the ledger is written.
    let checked = Cost::redis(2).and_dynamodb(&[("PutItem", 1)]);
    costs(&stack, "holder deletes another own session", remote, 204, checked).await;
    let logout = delete(&own).bearer(&own.access_token);
    costs(&stack, "holder deletes its own", logout, 204, ledger()).await;

    let revoke = |token: &str| app.request("POST", "/revoke").form(&[("token", token)]);
    let (first, second) = (app.start_session("ada").await, app.start_session("ada").await);
    costs(&stack, "revoke a refresh token", revoke(&first.refresh_token), 200, ledger()).await;
    costs(&stack, "revoke an access token", revoke(&second.access_token), 200, ledger()).await;
    costs(&stack, "revoke garbage", revoke("garbage"), 200, Cost::redis(0)).await;

    let epoch = || [("PutItem", 1), ("UpdateItem", 1)];
    let holder = app.start_session("ada").await;
    let all = app.request("DELETE", "/sessions/user/ada");
    let by_holder = all.clone().bearer(&holder.access_token);
    costs(&stack, "holder ends all: checked first", by_holder, 204, Cost::redis(2).and_dynamodb(&epoch())).await;
    costs(&stack, "end all of a user", all, 204, Cost::redis(1).and_dynamodb(&epoch())).await;
}

#[tokio::test]
async fn introspection_and_lists_are_one_round_trip() {
    let stack = counted().await;
    let app = &stack.app;
    let session = app.start_session("ada").await;
    app.introspect(&session.refresh_token).await.expect(200);
    app.list("ada").await.expect(200);
    let introspect = |token: &str| app.request("POST", "/introspect").form(&[("token", token)]);
    for (what, token) in [("access token", &session.access_token), ("refresh token", &session.refresh_token)] {
        let found = costs(&stack, what, introspect(token), 200, Cost::redis(1)).await;
        assert_eq!(found.json()["active"], true, "{what}");
    }
    costs(&stack, "garbage", introspect("garbage"), 200, Cost::redis(0)).await;
    let list = app.request("GET", "/sessions/user/ada");
    costs(&stack, "list", list.clone(), 200, Cost::redis(1)).await;
    let by_holder = list.bearer(&session.access_token);
    by_holder.clone().send().await.expect(200);
    costs(&stack, "list by the holder", by_holder, 200, Cost::redis(1)).await;
}

/// A quota costs a round trip per share of a twentieth, 50 permits at most, and none in between.
#[tokio::test]
async fn a_quota_is_taken_in_shares() {
    let stack = counted().await;
    let policy = json!({ "rateLimits": { "applicationPerMinute": 200 } });
    let app = stack.create_application(json!({ "name": "Limited", "scopes": ["sessions:create", "sessions:read"],
        "policy": policy }));
    let app = app.await;
    let session = app.start_session("ada").await;
    stack.clock().freeze();
    // A credit of ten, then the first lease, which brings its script.
    for _ in 0..11 {
        get(&app, &session).send().await.expect(200);
    }
    for share in 0..3 {
        for request in 2..=10 {
            let name = format!("share {share}, request {request}");
            costs(&stack, &name, get(&app, &session), 200, Cost::redis(1)).await;
        }
        costs(&stack, "a new share", get(&app, &session), 200, Cost::redis(2)).await;
    }
    // Past the quota nothing is asked until the minute is over.
    while get(&app, &session).send().await.status == 200 {}
    costs(&stack, "over the quota", get(&app, &session), 429, Cost::redis(0)).await;
    stack.advance(Duration::from_secs(61));
    get(&app, &session).send().await.expect(200);
    costs(&stack, "the next minute", get(&app, &session), 200, Cost::redis(1)).await;
}

/// Naming a device costs one DynamoDB update; what concerns devices and documents costs what it says and no more.
#[tokio::test]
async fn devices_and_documents_cost_what_they_need() {
    let stack = counted().await;
    let app = &stack.app;
    let named = |user: &str, device: &str| json!({ "userId": user, "device": { "deviceId": device } });
    let create = |device: &str| app.request("POST", "/sessions").json(&named("ada", device));
    let dynamodb = |round_trips: u64, calls: &[(&str, u64)]| Cost::redis(round_trips).and_dynamodb(calls);
    create("warm").send().await.expect(201);
    costs(&stack, "create on a new device", create("phone"), 201, dynamodb(1, &[("UpdateItem", 1)])).await;
    let created = costs(&stack, "create on a device", create("phone"), 201, dynamodb(1, &[("UpdateItem", 1)])).await;
    let session = SessionTokens::from_created(&created);
    let path = |device: &str, rest: &str| format!("/users/ada/devices/{device}{rest}");
    let by_holder = |method: &str, path: &str| app.request(method, path).bearer(&session.access_token);

    let list = || app.request("GET", "/users/ada/devices");
    list().send().await.expect(200);
    costs(&stack, "list", list(), 200, dynamodb(0, &[("Query", 1)])).await;
    by_holder("GET", "/users/ada/devices").send().await.expect(200);
    let by_token = by_holder("GET", "/users/ada/devices");
    costs(&stack, "list by the holder", by_token, 200, dynamodb(1, &[("Query", 1)])).await;

    let rename = || app.request("PATCH", &path("phone", "")).json(&json!({ "name": "Phone" }));
    rename().send().await.expect(200);
    let changed = dynamodb(1, &[("GetItem", 1), ("UpdateItem", 1)]);
    costs(&stack, "rename", rename(), 200, changed).await;
    app.request("DELETE", &path("warm", "")).send().await.expect(204);
    create("laptop").send().await.expect(201);
    let removed = dynamodb(1, &[("UpdateItem", 1), ("PutItem", 1)]);
    costs(&stack, "remove", app.request("DELETE", &path("laptop", "")), 204, removed).await;
    let signed_out = app.request("DELETE", "/sessions/user/ada?deviceId=phone");
    signed_out.clone().send().await.expect(204);
    costs(&stack, "end all of a device", signed_out, 204, dynamodb(1, &[("UpdateItem", 1), ("PutItem", 1)])).await;

    let data = path("phone", "/data");
    let put = |tag: &str| app.request("PUT", &data).header("if-match", tag).json(&json!({ "data": { "a": 1 } }));
    let patch = |tag: &str| app.request("PATCH", &data).header("if-match", tag).json(&json!({ "data": { "b": 1 } }));
    put("\"0\"").send().await.expect(200);
    costs(&stack, "PUT of data", put("\"1\""), 200, dynamodb(1, &[("UpdateItem", 1)])).await;
    let read = dynamodb(1, &[("GetItem", 1), ("UpdateItem", 1)]);
    costs(&stack, "PATCH of data", patch("\"2\""), 200, read).await;
    costs(&stack, "GET of data", app.request("GET", &data), 200, dynamodb(0, &[("GetItem", 1)])).await;
    let state = || app.request("GET", "/users/ada/state");
    state().send().await.expect(200);
    costs(&stack, "GET of the state", state(), 200, dynamodb(0, &[("GetItem", 1)])).await;
}

/// Sessions that nobody shares pay nothing for sharing; through a share a read costs the family's round trip more.
#[tokio::test]
async fn sharing_and_step_up_cost_what_they_must() {
    let stack = counted().await;
    let app = &stack.app;
    let scopes = ["sessions:create", "sessions:read", "sessions:write"];
    // What is not there for it costs one round trip more, where misses are counted.
    let policy = json!({ "rateLimits": { "unknownPerMinute": 0 } });
    let related = json!({ "name": "Related", "scopes": scopes, "groupId": app.record["groupId"], "policy": policy });
    let related = stack.create_application(related).await;
    let of = |session: &SessionTokens, rest: &str| format!("/sessions/{}/{rest}", session.session_id);
    let share = |session: &SessionTokens| {
        app.request("POST", &of(session, "share")).json(&json!({ "applicationId": related.id }))
    };
    let redeem = |code: &Value| related.request("POST", "/sessions/redeem").json(&json!({ "code": code }));
    let withdraw =
        |session: &SessionTokens| app.request("DELETE", &of(session, &format!("share?applicationId={}", related.id)));
    let warm = session_with_data(app, "warm").await;
    let code = share(&warm).send().await.expect(201).json()["code"].clone();
    let taken = SessionTokens::from_created(&redeem(&code).send().await);
    get(&related, &warm).send().await.expect(200);
    get(app, &warm).send().await.expect(200);
    change(&related, "PUT", &warm, "\"1\"", json!({})).send().await.expect(200);
    refresh(&related, &taken, &taken.refresh_token).send().await.expect(200);
    related.introspect(&taken.access_token).await.expect(200);
    related.list("warm").await.expect(200);
    withdraw(&warm).send().await.expect(204);
    let step_up = |session: &SessionTokens| {
        let later = stack.now() + Duration::from_secs(5);
        let later = later.format(&time::format_description::well_known::Rfc3339).expect("a time");
        app.request("POST", &of(session, "step-up")).json(&json!({ "authTime": later }))
    };
    step_up(&warm).send().await.expect(200);

    let session = session_with_data(app, "ada").await;
    costs(&stack, "another application's, not shared", get(&related, &session), 404, Cost::redis(1)).await;
    let shared = costs(&stack, "share: read, script", share(&session), 201, Cost::redis(2)).await;
    let taken = costs(&stack, "redeem: read, script", redeem(&shared.json()["code"]), 201, Cost::redis(2)).await;
    let taken = SessionTokens::from_created(&taken);
    costs(&stack, "read by the owner", get(app, &session), 200, Cost::redis(1)).await;
    costs(&stack, "read through a share", get(&related, &session), 200, Cost::redis(2)).await;
    let put = change(&related, "PUT", &session, "\"1\"", json!({ "a": 1 }));
    costs(&stack, "PUT through a share", put, 200, Cost::redis(1)).await;
    let introspect = related.request("POST", "/introspect").form(&[("token", &taken.access_token)]);
    costs(&stack, "introspect through a share", introspect, 200, Cost::redis(2)).await;
    let next = refresh(&related, &taken, &taken.refresh_token);
    costs(&stack, "refresh through a share", next, 200, Cost::redis(1)).await;
    costs(&stack, "list", related.request("GET", "/sessions/user/ada"), 200, Cost::redis(1)).await;
    costs(&stack, "step-up: read, script", step_up(&session), 200, Cost::redis(2)).await;
    let ledger = Cost::redis(1).and_dynamodb(&[("PutItem", 1)]);
    costs(&stack, "withdraw", withdraw(&session), 204, ledger).await;
}

/// A proof of possession is marked as used: one round trip more, for bound sessions only.
#[tokio::test]
async fn a_proof_costs_one_round_trip() {
    let stack = counted().await;
    let (app, key) = (&stack.app, ClientKey::new());
    let body = json!({ "userId": "ada", "data": { "a": 1 }, "dpopJkt": key.thumbprint() });
    let session = SessionTokens::from_created(&app.create_session(body).await);
    let path = format!("/sessions/{}", session.session_id);
    let prove = |method: &str, path: &str| key.proof(&stack, method, path);
    let holder = |method: &str| {
        let proof = prove(method, &path).of_token(&session.access_token).sign();
        stack.request(method, &path).dpop(&session.access_token, &proof)
    };
    holder("GET").send().await.expect(200);
    costs(&stack, "read", holder("GET"), 200, Cost::redis(2)).await;
    let bearer = stack.request("GET", &path).bearer(&session.access_token);
    // Within one minute.
    stack.clock().freeze();
    costs(&stack, "refused before any store but told of", bearer.clone(), 401, Cost::redis(1)).await;
    costs(&stack, "again in the same minute", bearer, 401, Cost::redis(0)).await;
    let altered = prove("PUT", &path).of_token(&session.access_token).sign();
    let altered = stack.request("GET", &path).dpop(&session.access_token, &altered);
    costs(&stack, "a proof for something else", altered, 401, Cost::redis(1)).await;
    let change = json!({ "data": { "a": 2 } });
    let put = || holder("PUT").header("if-match", "*").json(&change);
    put().send().await.expect(200);
    costs(&stack, "update with If-Match: *", put(), 200, Cost::redis(3)).await;

    let refresh_path = format!("{path}/refresh");
    let present = |token: &str| {
        let request = stack.request("POST", &refresh_path).json(&json!({ "refreshToken": token }));
        request.proof(&prove("POST", &refresh_path).sign())
    };
    let warm = present(&session.refresh_token).send().await.expect(200).json();
    let token = warm["refreshToken"].as_str().expect("a token").to_owned();
    let rotated = costs(&stack, "refresh", present(&token), 200, Cost::redis(2)).await.json();
    let token = rotated["refreshToken"].as_str().expect("a token").to_owned();
    let form = [("grant_type", "refresh_token"), ("client_id", app.id.as_str()), ("refresh_token", token.as_str())];
    let grant = stack.request("POST", "/token").form(&form).proof(&prove("POST", "/token").sign());
    costs(&stack, "token endpoint", grant, 200, Cost::redis(2)).await;
}

/// T-58: an answer takes the time of its round trips, and what is another's takes as many as what never existed.
#[tokio::test]
async fn t_58_what_is_anothers_costs_what_never_existed_costs() {
    // Permits are taken in shares: whose turn it is would show in the counts.
    let unlimited = json!({ "holderPerMinute": 0, "addressPerMinute": 0, "unknownPerMinute": 0 });
    let policy = json!({ "rateLimits": unlimited });
    let builder = Stack::builder().with_environments(1).with_clock().with_policy(policy);
    let stack = builder.with_redis_proxy().with_moto_proxy().with_database_proxy().start().await;
    let scopes = &stack.app.record["scopes"];
    let other = stack.create_application(json!({ "name": "Other", "scopes": scopes })).await;
    let (live, ended) = (session_with_data(&other, "ada").await, other.start_session("ada").await);
    other.delete(&ended.session_id).await.expect(204);
    let own = stack.app.start_session("ada").await;
    let mut nothing = live.session_id.clone();
    // Another session of the same bucket, which is in the first characters.
    nothing.replace_range(12..20, "AAAAAAAA");
    // A refresh is refused by its token, which names its session, before anything is asked for.
    let operations = [
        ("GET", "", json!(null)),
        ("PUT", "", json!({ "data": { "a": 1 } })),
        ("PATCH", "", json!({ "data": { "a": 1 } })),
        ("DELETE", "", json!(null)),
        ("POST", "/lock", json!({ "ttlSeconds": 5 })),
        ("POST", "/activity", json!({ "activities": [{ "name": "seen" }] })),
    ];
    for credential in [&stack.app.key, &own.access_token] {
        for tag in ["\"1\"", "*"] {
            for (method, suffix, body) in &operations {
                let ask = |id: &str| {
                    let request = stack.request(method, &format!("/sessions/{id}{suffix}")).bearer(credential);
                    let request = request.header("if-match", tag);
                    if body.is_null() { request } else { request.json(body) }
                };
                let what = format!("{method} {suffix} {tag}");
                // The first warms the environment and tells of the refusal.
                ask(&nothing).send().await;
                let (answer, expected) = cost(&stack, ask(&nothing)).await;
                assert_eq!(answer.status, 404, "{what}");
                for id in [&live.session_id, &ended.session_id] {
                    let (answer, found) = cost(&stack, ask(id)).await;
                    assert_eq!((answer.status, found), (404, expected.clone()), "{what}");
                }
            }
        }
    }
}

/// The keys are one request, whatever a function needs of them; each ring is one unwrap; the two questions to the ledger
/// are what I-1 needs.
#[tokio::test]
async fn a_start_reads_its_keys_by_one_request() {
    let stack = counted().await;
    // The first to meet a Redis applies the whole ledger to it.
    stack.app.start_session("ada").await;
    for (function, rings) in [("delete-session", 0), ("get-session", 1), ("create-session", 3)] {
        let before = stack.moto_proxy().targets();
        let environment = Environment::spawn(stack.fleet.specification(function, 0)).await;
        environment.ready().await.expect("it starts");
        let calls = stack.moto_proxy().targets().into_iter().map(|(target, count)| {
            let earlier = before.get(&target).copied().unwrap_or_default();
            (target, count - earlier)
        });
        let calls: BTreeMap<String, u64> = calls.filter(|(_, count)| *count > 0).collect();
        let mut expected = BTreeMap::from(
            [("BatchGetItem", 1), ("GetItem", 1), ("Query", 1)]
                .map(|(name, count)| (format!("DynamoDB_20120810.{name}"), count)),
        );
        if rings > 0 {
            expected.insert("TrentService.Decrypt".into(), rings);
        }
        assert_eq!(calls, expected, "{function}");
    }
}

/// F-07
#[tokio::test]
async fn f_07_a_lost_script_costs_one_round_trip_more_and_no_error() {
    let stack = counted().await;
    let app = &stack.app;
    let short = json!({ "userId": "ada", "idleTimeoutSeconds": 60 });
    let session = SessionTokens::from_created(&app.create_session(short).await);
    get(app, &session).send().await.expect(200);
    let refreshed = refresh(app, &session, &session.refresh_token).send().await.expect(200);
    app.put(&session.session_id, "\"1\"", json!({ "data": {} })).await.expect(200);
    app.list("ada").await.expect(200);
    let warm = app.start_session("bob").await;
    app.delete(&warm.session_id).await.expect(204);
    app.delete_user_sessions("bob").await.expect(204);

    let flush = || async {
        let mut connection = stack.redis().connection().await;
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut connection).await.expect("SCRIPT FLUSH succeeds");
    };
    let create = || app.request("POST", "/sessions").json(&json!({ "userId": "ada" }));
    let list = || app.request("GET", "/sessions/user/ada");
    flush().await;
    costs(&stack, "create", create(), 201, Cost::redis(2)).await;
    costs(&stack, "create again", create(), 201, Cost::redis(1)).await;
    flush().await;
    let token = refreshed.json()["refreshToken"].as_str().expect("a token").to_owned();
    costs(&stack, "refresh", refresh(app, &session, &token), 200, Cost::redis(2)).await;
    flush().await;
    costs(&stack, "update", change(app, "PUT", &session, "\"2\"", json!({})), 200, Cost::redis(2)).await;
    flush().await;
    costs(&stack, "list", list(), 200, Cost::redis(2)).await;
    stack.advance(Duration::from_secs(4));
    flush().await;
    costs(&stack, "read with activity due", get(app, &session), 200, Cost::redis(3 + COMPARISON)).await;
    let one = app.start_session("bob").await;
    flush().await;
    let ledger = Cost::redis(2 + COMPARISON).and_dynamodb(&[("PutItem", 1)]);
    let delete = app.request("DELETE", &format!("/sessions/{}", one.session_id));
    costs(&stack, "delete", delete, 204, ledger).await;
    flush().await;
    let epoch = Cost::redis(2 + COMPARISON).and_dynamodb(&[("PutItem", 1), ("UpdateItem", 1)]);
    costs(&stack, "end all of a user", app.request("DELETE", "/sessions/user/bob"), 204, epoch).await;
}
