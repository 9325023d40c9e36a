//! Faults of DynamoDB: F-20 to F-22, F-23.

use std::time::Duration;

use futures::future::join_all;
use integration_tests::json;

use super::http;
use crate::tally::Observed;
use crate::trial::{Context, Trial, builder};
use crate::worker::Rules;

const STRICT: Rules = Rules { kills: false, lossy: false };
const DYNAMODB: &[u8] = b"DynamoDB_20120810.";
const THROTTLED: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}"#;

async fn trial(context: Context) -> Trial {
    Trial::start(context, builder().with_database().with_moto_proxy().with_redis_proxy(), STRICT).await
}

/// Reads and refreshes of warm environments go on; no end is promised.
fn expect_honest(trial: &Trial, phase: &str) {
    if trial.tally.count(phase, "200") == 0 {
        trial.tally.violation("no warm request was served without DynamoDB");
    }
    let promised = trial.tally.count(phase, "204") + trial.tally.count(phase, "202");
    // The answers that were under way when it began.
    if promised > 4 {
        trial.tally.violation(format!("{promised} ends were promised without the ledger"));
    }
}

/// Throttled, then slow, then with Redis lost at the same time.
pub async fn f_20(context: Context) -> Observed {
    let trial = trial(context).await;
    let proxy = trial.stack.moto_proxy();
    proxy.intercept(DYNAMODB, &http("400 Bad Request", THROTTLED));
    trial.phase("throttled");
    trial.load().await;
    expect_honest(&trial, "throttled");
    trial.phase("throttled, connections to Redis lost");
    trial.stack.redis_proxy().cut_connections();
    trial.load().await;
    // An environment that has to connect can not know what it missed.
    if trial.tally.count("throttled, connections to Redis lost", "503") == 0 {
        trial.tally.violation("new connections to Redis served without the ledger");
    }
    proxy.go_online().await;
    trial.phase("between");
    trial.load().await;
    proxy.slow(DYNAMODB, Duration::from_secs(3));
    trial.phase("slow");
    trial.load_for(Duration::from_secs(8)).await;
    proxy.go_online().await;
    trial.finish_with_audit().await
}

/// Nothing of AWS can be reached.
pub async fn f_21(context: Context) -> Observed {
    let trial = trial(context).await;
    trial.stack.moto_proxy().go_offline().await;
    trial.phase("away");
    trial.load_for(Duration::from_secs(8)).await;
    expect_honest(&trial, "away");
    trial.stack.moto_proxy().go_online().await;
    trial.finish_with_audit().await
}

/// Many write the same version of one document at once, while replies get lost: one wins.
pub async fn f_22(context: Context) -> Observed {
    let mut trial = trial(context).await;
    let app = trial.stack.app.clone();
    let mut winners = Vec::new();
    for version in 0..12_u64 {
        if version % 3 == 2 {
            trial.stack.moto_proxy().cut_next_reply_to(b"DynamoDB_20120810.UpdateItem");
        }
        let writes = (0..6).map(|writer| {
            let patch = app.request("PATCH", "/users/shared/state").header("if-match", &format!("\"{version}\""));
            patch
                .body("application/merge-patch+json", json!({ "data": { "by": writer } }).to_string().as_bytes())
                .send()
        });
        let responses = join_all(writes).await;
        let won = responses.iter().filter(|response| response.status == 200).count();
        let lost = responses.iter().filter(|response| response.status == 412).count();
        if won != 1 || won + lost != responses.len() {
            let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
            trial.tally.violation(format!("six writes of version {version}: {statuses:?}"));
        }
        winners.push(won);
    }
    trial.tally.fact(format!("{} rounds of six writers, one winner each: {winners:?}", winners.len()));
    trial.pause().await;
    trial.resume();
    trial.finish_with_audit().await
}
