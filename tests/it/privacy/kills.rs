use super::support::{Person, everything, expect_none, settings};
use integration_tests::{Stack, audit, eventually, json};
use shared::core::erasure::STEPS;
use std::sync::Arc;

/// Where the network is cut under an erasure that is then killed: within and between its steps.
const REDIS: [&[u8]; 3] = [b"ZCARD", b"EVAL", b"EVALSHA"];
const AWS: [&[u8]; 6] =
    [b"raisedAt", b"attribute_not_exists(entry)", b"deliveryId", b"firstSeenAt", b"erasedAt = :at", b"#step = :before"];
const DATABASE: [&[u8]; 2] = [b"sealed IS NOT NULL", b"audit_wait_for_drainer"];

/// An erasure that dies anywhere goes on where it was, by the next call or by the job, and ends with one receipt.
#[tokio::test]
async fn i_13_an_erasure_that_is_killed_anywhere_is_completed_once() {
    let builder = Stack::builder().with_redis_proxy().with_moto_proxy().with_database_proxy().with_environments(1);
    let stack = Arc::new(builder.start().await);
    let (redis, aws, database) = (stack.redis_proxy(), stack.moto_proxy(), stack.database_proxy());
    let points = REDIS.map(|point| (redis, point)).into_iter();
    let points = points.chain(AWS.map(|point| (aws, point))).chain(DATABASE.map(|point| (database, point)));
    let mut erased = 0;
    for (number, (proxy, point)) in points.enumerate() {
        let name = String::from_utf8_lossy(point).into_owned();
        let person = Person::new(&format!("p{number}"), 100 + number as u8);
        person.live(&stack).await;
        // Every step but the last one writes itself down: killed after each.
        let kills = if point == b"#step = :before" { STEPS.len() - 2 } else { 1 };
        for _ in 0..kills {
            let environment = stack.environment("erase-user", 0).await;
            proxy.cut_next_reply_to(point);
            let request = tokio::spawn(person.erase(&stack).send());
            eventually(&format!("the cut at {name}"), || async {
                (proxy.pending_cuts() == 0 || request.is_finished()).then_some(())
            })
            .await;
            environment.kill9().await;
            let _ = request.await;
            assert_eq!(proxy.pending_cuts(), 0, "{name}: the erasure did not pass the point");
        }
        if number % 2 == 1 {
            stack.run_scheduled("cleanup-sessions", json!({})).await;
        }
        let complete = person.erase(&stack).send().await.expect(200).json();
        assert_eq!(complete["state"], "complete", "{name}");
        assert_eq!(person.erase(&stack).send().await.expect(200).json(), complete, "{name}");
        assert_eq!(complete["counts"]["sessions"], 2, "{name}: {complete}");
        expect_none(&person.words(), &name, &everything(&stack).await);
        erased += 1;
    }
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let told: Vec<&str> =
        rows.iter().filter(|row| row.event.event_type == "user.erased").map(|row| row.event.detail.as_str()).collect();
    assert_eq!(told.len(), erased, "one receipt each");
}

/// A hold that comes between two steps stops the erasure there, for callers and for the job, and when it is lifted the
/// erasure goes on with what is left.
#[tokio::test]
async fn t_100_a_legal_hold_stops_an_erasure_before_its_next_step() {
    let builder = Stack::builder().with_database().with_moto_proxy().with_environments(1);
    let stack = Arc::new(builder.start().await);
    let aws = stack.moto_proxy();
    let hold = async |person: &Person, on: bool| {
        let mut settings = settings(&[]);
        settings["legalHold"] = json!(on);
        stack.app.request("PUT", &person.path("/privacy")).json(&settings).send().await.expect(200);
    };
    let person = Person::new("held", 42);
    person.live(&stack).await;
    let last = STEPS.iter().rposition(|step| step.destroys()).expect("a step");
    for done in 1..=last {
        // Dies when the step before this one is written down.
        let environment = stack.environment("erase-user", 0).await;
        aws.cut_next_reply_to(b"#step = :before");
        let request = tokio::spawn(person.erase(&stack).send());
        eventually("the cut", || async { (aws.pending_cuts() == 0 || request.is_finished()).then_some(()) }).await;
        environment.kill9().await;
        let _ = request.await;
        assert_eq!(aws.pending_cuts(), 0, "step {done} was not reached");

        hold(&person, true).await;
        let before = everything(&stack).await;
        for _ in 0..2 {
            person.erase(&stack).send().await.expect_problem(409, "legal_hold");
            let cleaned = stack.run_scheduled("cleanup-sessions", json!({})).await;
            assert_eq!(cleaned["more"], false, "nobody is asked to hurry: {cleaned}");
        }
        let after = everything(&stack).await;
        for word in person.words() {
            assert_eq!(after.matches(&word).count(), before.matches(&word).count(), "{word} after step {done}");
        }
        hold(&person, false).await;
    }
    let complete = person.erase(&stack).send().await.expect(200).json();
    assert_eq!((&complete["state"], &complete["counts"]["sessions"]), (&json!("complete"), &json!(2)), "{complete}");
    expect_none(&person.words(), "after the hold", &everything(&stack).await);
}
