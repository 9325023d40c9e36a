//! Faults of KMS: F-17 to F-19. The proxy before moto answers in its place: moto goes on decrypting under a disabled key.

use std::time::Duration;

use integration_tests::json;

use super::http;
use crate::tally::Observed;
use crate::trial::{Context, Trial, builder, insist};
use crate::worker::Rules;

const STRICT: Rules = Rules { kills: false, lossy: false };
const KMS: &[u8] = b"TrentService.";
const COLD: [&str; 3] = ["get-session", "create-session", "refresh-session"];

/// A trial with a session whose data are sealed.
async fn trial(context: Context, clock: bool) -> (Trial, String) {
    let builder = builder().with_database().with_moto_proxy();
    let builder = if clock { builder.with_clock() } else { builder };
    let trial = Trial::start(context, builder, STRICT).await;
    let body = json!({ "userId": "sealed", "data": { "note": "sealed" } });
    let created = insist(&trial.stack.app.request("POST", "/sessions").json(&body)).await.expect(201).json();
    let id = created["session"]["sessionId"].as_str().expect("an id").to_owned();
    insist(&trial.stack.app.request("GET", &format!("/sessions/{id}"))).await.expect(200);
    (trial, id)
}

fn expect_warm(trial: &Trial, phase: &str) {
    trial.tally.expect_served(phase, "KMS, which warm environments do not need");
}

/// A cold environment refuses rather than serve without its keys.
async fn expect_cold_refusal(trial: &mut Trial, session: &str) {
    trial.pause().await;
    for function in COLD {
        trial.stack.fleet.recycle(function).await;
    }
    let read = trial.stack.app.get(session).await;
    if read.status != 503 || read.text().contains("sealed") {
        trial.tally.violation(format!("a cold environment without KMS: {read:?}"));
    }
    let created = trial.stack.app.create_session(json!({ "userId": "sealed" })).await;
    if created.status != 503 {
        trial.tally.violation(format!("a cold environment without KMS: {created:?}"));
    }
    let ended = end_cold(trial, session).await;
    trial.tally.fact(format!("cold: reads and creations 503, an end {ended}"));
}

/// Ends need no key.
async fn end_cold(trial: &Trial, session: &str) -> u16 {
    trial.stack.fleet.recycle("delete-session").await;
    let status = insist(&trial.stack.app.request("DELETE", &format!("/sessions/{session}"))).await.status;
    if status != 204 {
        trial.tally.violation(format!("an end without KMS: {status}"));
    }
    status
}

/// Every call is throttled.
pub async fn f_17(context: Context) -> Observed {
    let (mut trial, session) = trial(context, false).await;
    let reply = http("400 Bad Request", r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#);
    trial.stack.moto_proxy().intercept(KMS, &reply);
    trial.phase("throttled");
    trial.load().await;
    expect_warm(&trial, "throttled");
    expect_cold_refusal(&mut trial, &session).await;
    trial.stack.moto_proxy().go_online().await;
    trial.resume();
    trial.finish_with_audit().await
}

/// The key is disabled: the kill switch. Warm environments serve for a quarter of an hour and no longer.
pub async fn f_18(context: Context) -> Observed {
    let (mut trial, session) = trial(context, true).await;
    let reply = http("400 Bad Request", r#"{"__type":"DisabledException","message":"the key is disabled"}"#);
    trial.stack.moto_proxy().intercept(KMS, &reply);
    trial.phase("disabled");
    trial.load().await;
    expect_warm(&trial, "disabled");
    trial.pause().await;
    trial.stack.advance(Duration::from_secs(16 * 60));
    let read = trial.stack.app.get(&session).await;
    if read.status != 503 {
        trial.tally.violation(format!("a read sixteen minutes after the key was disabled: {read:?}"));
    }
    trial.tally.fact(format!("after 16 minutes a warm environment reads {}", read.status));
    expect_cold_refusal(&mut trial, &session).await;
    trial.stack.moto_proxy().go_online().await;
    trial.finish_with_audit().await
}

/// Every call takes three seconds.
pub async fn f_19(context: Context) -> Observed {
    let (mut trial, session) = trial(context, false).await;
    trial.stack.moto_proxy().slow(KMS, Duration::from_secs(3));
    trial.phase("slow");
    trial.load().await;
    expect_warm(&trial, "slow");
    expect_cold_refusal(&mut trial, &session).await;
    trial.stack.moto_proxy().go_online().await;
    trial.resume();
    trial.finish_with_audit().await
}
