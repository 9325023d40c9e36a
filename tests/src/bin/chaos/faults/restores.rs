//! F-37: everything comes back from backups.

use integration_tests::stack::scheduled_event;
use integration_tests::{audit, json};

use crate::tally::Observed;
use crate::trial::{Context, Trial, builder, drain, insist};
use crate::worker::Rules;

const LOSSY: Rules = Rules { kills: false, lossy: true };

/// Redis comes back empty and the tables of people as they were before an erasure; the erasures are run again before
/// anything is served, as the operator's manual says.
pub async fn f_37(context: Context) -> Observed {
    let mut trial = Trial::start(context, builder().with_database(), LOSSY).await;
    trial.pause().await;
    let (stack, app) = (trial.stack.clone(), trial.stack.app.clone());
    let person = json!({ "userId": "ada", "device": { "deviceId": "canary-device", "name": "canary-phone" } });
    let session = insist(&app.request("POST", "/sessions").json(&person)).await.expect(201).json();
    let id = session["session"]["sessionId"].as_str().expect("an id").to_owned();
    drain(&stack).await;
    let mut saved = Vec::new();
    for table in [&stack.aws.tables.users, &stack.aws.tables.devices, &stack.aws.tables.subject_keys] {
        let scan = stack.aws.dynamodb.scan().table_name(table).send().await.expect("Scan succeeds");
        saved.push((table.clone(), scan.items.unwrap_or_default()));
    }
    insist(&app.request("DELETE", "/users/ada")).await.expect(200);
    trial.resume();
    trial.load().await;
    trial.pause().await;

    stack.redis().restart().await;
    for (table, items) in saved {
        for item in items {
            let put = stack.aws.dynamodb.put_item().table_name(&table).set_item(Some(item));
            put.send().await.expect("PutItem succeeds");
        }
    }
    stack.fleet.recycle_all().await;
    let replay = scheduled_event(json!({ "replayErasures": true }));
    let run = stack.invoke("cleanup-sessions", &replay).await.unwrap_or_else(|error| panic!("{error}"));
    trial
        .tally
        .fact(format!("Redis empty, users, devices and keys of subjects older; {} erasures replayed", run["erasures"]));
    let read = insist(&app.request("GET", &format!("/sessions/{id}"))).await;
    let devices = insist(&app.request("GET", "/users/ada/devices")).await.text();
    let client = stack.database().connect().await;
    let everything = audit::everything(&client).await;
    if read.status != 404 || devices.contains("canary") || everything.contains("canary-phone") {
        trial.tally.violation(format!("I-13: an erased person is back: {} {devices}", read.status));
    }
    trial.phase("restored");
    trial.resume();
    trial.load().await;
    trial.finish_with_audit().await
}
