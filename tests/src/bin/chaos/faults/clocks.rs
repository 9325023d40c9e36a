//! Clocks that lie: F-30, F-31.

use integration_tests::application::SessionTokens;
use integration_tests::{Stack, json};
use time::Duration;

use super::http;
use crate::tally::{Observed, Tally};
use crate::trial::{Context, Trial, builder, insist};
use crate::worker::Rules;

const STRICT: Rules = Rules { kills: false, lossy: false };
const USED: [&str; 8] = [
    "create-session",
    "get-session",
    "update-session",
    "refresh-session",
    "delete-session",
    "delete-user-sessions",
    "list-user-sessions",
    "introspect",
];

/// Of the environments of every function one is an hour ahead and one an hour behind.
pub async fn f_30(context: Context) -> Observed {
    let trial = Trial::start(context, builder().with_database().with_clock(), STRICT).await;
    for function in USED {
        trial.stack.clock().skew(&format!("{function}/1"), Duration::HOUR);
        trial.stack.clock().skew(&format!("{function}/2"), -Duration::HOUR);
    }
    trial.phase("clocks an hour off");
    trial.load().await;
    one_by_one(&trial.stack, &trial.tally).await;
    for function in USED {
        trial.stack.clock().skew(&format!("{function}/1"), Duration::ZERO);
        trial.stack.clock().skew(&format!("{function}/2"), Duration::ZERO);
    }
    trial.finish_with_audit().await
}

/// What each wrong environment says of a session that is a moment old, and of one whose idle timeout is over.
async fn one_by_one(stack: &Stack, tally: &Tally) {
    let app = &stack.app;
    let created = insist(&app.request("POST", "/sessions").json(&json!({ "userId": "fresh" }))).await;
    let fresh = SessionTokens::from_created(&created);
    let get =
        |environment: usize| app.request("GET", &format!("/sessions/{}", fresh.session_id)).on_environment(environment);
    for (environment, clock) in [(1, "an hour ahead"), (2, "an hour behind")] {
        let read = get(environment).send().await;
        let introspect = app.request("POST", "/introspect").form(&[("token", &fresh.access_token)]);
        let introspected = introspect.on_environment(environment).send().await.json();
        let refresh = app.request("POST", &format!("/sessions/{}/refresh", fresh.session_id));
        let refresh = refresh.json(&json!({ "refreshToken": fresh.refresh_token })).on_environment(environment);
        let refreshed = refresh.send().await;
        tally.fact(format!(
            "{clock}: a live session is read with {} {}, introspected as active {}, refreshed with {} {}",
            read.status,
            read.code(),
            introspected["active"],
            refreshed.status,
            refreshed.code()
        ));
        if refreshed.status == 200 {
            return_to(stack, &refreshed.json(), clock, tally).await;
        }
    }
    let body = json!({ "userId": "idle", "idleTimeoutSeconds": 60 });
    let created = insist(&app.request("POST", "/sessions").json(&body)).await;
    let idle = SessionTokens::from_created(&created);
    stack.clock().shift(Duration::minutes(5));
    for (environment, clock) in [(0, "right"), (1, "an hour ahead"), (2, "an hour behind")] {
        let read = app.request("GET", &format!("/sessions/{}", idle.session_id)).on_environment(environment);
        // Whose clock is off serves nothing, however often it is asked.
        let read = if environment == 0 { insist(&read).await } else { read.send().await };
        tally.fact(format!("a session that is idle for 5 of 1 minutes, where the clock is {clock}: {}", read.status));
        if read.status == 200 {
            tally
                .violation(format!("I-16: a session that is idle for 5 of 1 minutes lives where the clock is {clock}"));
        }
    }
}

/// A token from a wrong clock at an environment that is right.
async fn return_to(stack: &Stack, refreshed: &serde_json::Value, clock: &str, tally: &Tally) {
    let token = refreshed["accessToken"].as_str().unwrap_or_default();
    let introspect = stack.app.request("POST", "/introspect").form(&[("token", token)]).on_environment(0);
    let told = introspect.send().await.json();
    tally.fact(format!("its access token, made {clock}, is active {} where the clock is right", told["active"]));
}

/// The clock steps back while a ring that may not be read again is in memory: it must not serve the longer for it.
pub async fn f_31(context: Context) -> Observed {
    let mut trial = Trial::start(context, builder().with_database().with_clock().with_moto_proxy(), STRICT).await;
    trial.pause().await;
    let app = trial.stack.app.clone();
    let body = json!({ "userId": "sealed", "data": { "note": "sealed" } });
    let created = insist(&app.request("POST", "/sessions").json(&body)).await.expect(201).json();
    let id = created["session"]["sessionId"].as_str().expect("an id").to_owned();
    insist(&app.request("GET", &format!("/sessions/{id}"))).await.expect(200);
    let reply = http("400 Bad Request", r#"{"__type":"DisabledException","message":"the key is disabled"}"#);
    trial.stack.moto_proxy().intercept(b"TrentService.", &reply);
    trial.phase("stepped back");
    trial.stack.clock().shift(-Duration::minutes(30));
    let back = app.get(&id).await.status;
    trial.stack.clock().shift(Duration::minutes(20));
    let later = app.get(&id).await.status;
    trial.stack.clock().shift(Duration::minutes(30));
    let over = app.get(&id).await.status;
    trial.tally.fact(format!(
        "KMS disabled; 30 minutes back: a read gives {back}; 20 minutes after that: {later}; 20 minutes after the first moment: {over}"
    ));
    if later == 200 {
        trial.tally.violation("a ring serves on after 20 minutes without KMS, because the clock was stepped back");
    }
    if over == 200 {
        trial.tally.violation("a ring serves on beyond its time");
    }
    trial.stack.moto_proxy().go_online().await;
    trial.stack.clock().shift(-Duration::minutes(20));
    trial.finish_with_audit().await
}
