//! What Lambda does to functions: F-25 to F-27.

use std::time::{Duration, Instant};

use integration_tests::{Request, json};

use crate::tally::Observed;
use crate::trial::{Context, Trial, builder, insist};
use crate::worker::Rules;

const STRICT: Rules = Rules { kills: false, lossy: false };
/// Functions that the load uses.
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
/// Sooner than any dependency is given up.
const NEAR: Duration = Duration::from_millis(1300);

/// Nothing answers, and the deadline comes: the function answers for itself, and lives on.
pub async fn f_25(context: Context) -> Observed {
    let mut trial = Trial::start(context, builder().with_database().with_redis_proxy().with_moto_proxy(), STRICT).await;
    let app = trial.stack.app.clone();
    trial.pause().await;
    let session = app.start_session("near").await;
    let path = format!("/sessions/{}", session.session_id);
    let requests: [(&str, Request); 7] = [
        ("create", app.request("POST", "/sessions").json(&json!({ "userId": "near" }))),
        ("get", app.request("GET", &path)),
        ("put", app.request("PUT", &path).header("if-match", "*").json(&json!({ "data": { "n": 1 } }))),
        (
            "refresh",
            app.request("POST", &format!("{path}/refresh")).json(&json!({ "refreshToken": session.refresh_token })),
        ),
        ("list", app.request("GET", "/sessions/user/near")),
        ("introspect", app.request("POST", "/introspect").form(&[("token", &session.access_token)])),
        ("delete", app.request("DELETE", &path)),
    ];
    for (name, request) in &requests[..6] {
        // Warm: the time that a cold start takes is not the function's to give.
        let warm = insist(&request.clone().on_environment(0)).await;
        assert!(warm.status < 300, "{name}: {warm:?}");
    }
    let other = insist(&app.request("POST", "/sessions").json(&json!({ "userId": "near" }))).await.expect(201).json();
    let other = format!("/sessions/{}", other["session"]["sessionId"].as_str().expect("an id"));
    insist(&app.request("DELETE", &other).on_environment(0)).await.expect(204);
    trial.phase("deadline near");
    for (name, request) in &requests {
        let request = request.clone().on_environment(0);
        trial.stack.redis_proxy().stall();
        trial.stack.moto_proxy().stall();
        let since = Instant::now();
        let response = request.timeout(NEAR).send().await;
        let status = response.status;
        if status != 503 {
            trial.tally.violation(format!("{name} answered {status} although nothing did"));
        }
        trial.tally.take(name, response, since, false);
        trial.stack.redis_proxy().go_online().await;
        trial.stack.moto_proxy().go_online().await;
    }
    insist(&app.request("GET", &path)).await.expect(200);
    trial.resume();
    trial.finish_with_audit().await
}

/// Environments are frozen between two requests, their sockets die, and they are thawed.
pub async fn f_26(context: Context) -> Observed {
    let mut trial = Trial::start(context, builder().with_database().with_redis_proxy().with_moto_proxy(), STRICT).await;
    for _ in 0..4 {
        trial.pause().await;
        let running: Vec<_> = USED.iter().flat_map(|function| trial.stack.fleet.running(function)).collect();
        for environment in &running {
            environment.freeze().await;
        }
        trial.stack.redis_proxy().cut_connections();
        trial.stack.moto_proxy().cut_connections();
        tokio::time::sleep(Duration::from_secs(1)).await;
        for environment in &running {
            environment.thaw();
        }
        trial.phase("thawed");
        trial.resume();
        trial.load().await;
    }
    trial.tally.expect_served("thawed", "sockets that died in a freeze");
    trial.tally.fact("4 freezes of every environment, all sockets cut");
    trial.finish_with_audit().await
}

/// Every request comes one to three times.
pub async fn f_27(context: Context) -> Observed {
    let trial = Trial::with_copies(context, builder().with_database(), STRICT, 3).await;
    trial.phase("delivered again");
    trial.load().await;
    trial.load().await;
    trial.tally.fact(format!("each request delivered up to {} times", trial.copies()));
    trial.finish_with_audit().await
}
