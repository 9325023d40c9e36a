use super::support::*;
use integration_tests::stack::scheduled_event;
use integration_tests::{Stack, audit, eventually, json};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const SEED: u64 = 8935;

fn run(stack: &Arc<Stack>, function: &'static str, environment: usize) -> tokio::task::JoinHandle<()> {
    let stack = Arc::clone(stack);
    tokio::spawn(async move {
        // It may be killed, so it may fail; whether it answers first is no matter.
        let _ = stack.fleet.invoke_on(function, environment, &scheduled_event(json!({}))).await;
    })
}

/// I-7: a write-audit that dies at any step between COPY and acknowledgement loses no delivery, and what it handed over
/// twice is delivered once.
#[tokio::test]
async fn i_7_a_killed_write_audit_loses_and_doubles_no_delivery() {
    let builder = builder().with_redis_proxy().with_database_proxy().with_moto_proxy();
    let stack = Arc::new(builder.start().await);
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    let points = [
        (stack.database_proxy(), b"COPY".as_slice()),
        (stack.database_proxy(), b"COMMIT"),
        (stack.moto_proxy(), b"DynamoDB_20120810.PutItem"),
        (stack.redis_proxy(), b"XDEL"),
    ];
    let mut ended = 0;
    for (proxy, point) in points {
        ended += end_sessions(&stack, 10).await.len();
        let name = String::from_utf8_lossy(point);
        proxy.cut_next_reply_to(point);
        // A run that fails before the point, or finds a chain still locked by the one before, leaves it to the next.
        eventually(&format!("a run passes {name}"), || async {
            let environment = stack.environment("write-audit", 0).await;
            let run = run(&stack, "write-audit", 0);
            eventually("the run passes the point or ends", || async {
                (proxy.pending_cuts() == 0 || run.is_finished()).then_some(())
            })
            .await;
            environment.kill9().await;
            let _ = run.await;
            (proxy.pending_cuts() == 0).then_some(())
        })
        .await;
    }
    eventually("everything is drained", || async {
        let run = stack.run_write_audit().await;
        (run["taken"] == 0 && run["skippedChains"] == 0).then_some(())
    })
    .await;
    stack.run_deliveries().await;
    let ids = hook.ids();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (ended, ended));
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let ends = rows.iter().filter(|row| row.event.event_type == "session.ended");
    let ends: BTreeSet<_> = ends.map(|row| row.event.event_id.replace('.', "~")).collect();
    assert_eq!(ends, ids.into_iter().collect(), "every event of the audit is told");
}

/// I-7: what is acknowledged has been handed over before. A write-audit that dies when the rows are committed and the
/// first delivery is not written yet has acknowledged nothing.
#[tokio::test]
async fn i_7_nothing_is_acknowledged_before_it_is_handed_over() {
    let stack = Arc::new(builder().with_moto_proxy().with_environments(1).start().await);
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    // The environment knows the receivers, and ends have nothing to seal, so that the next call to DynamoDB is the hand-over.
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    let mut sessions = Vec::new();
    for number in 0..5 {
        sessions.push(stack.app.start_session(&format!("user-{number}")).await.session_id);
    }
    stack.run_write_audit().await;
    for session in &sessions {
        stack.app.delete(session).await.expect(204);
    }
    let waiting = queued(&stack).await;
    let puts = stack.moto_proxy().calls("DynamoDB_20120810.PutItem");
    stack.moto_proxy().stall();
    let environment = stack.environment("write-audit", 0).await;
    let killed = run(&stack, "write-audit", 0);
    eventually("the hand-over begins", || async {
        (stack.moto_proxy().calls("DynamoDB_20120810.PutItem") > puts).then_some(())
    })
    .await;
    assert_eq!(queued(&stack).await, waiting);
    environment.kill9().await;
    let _ = killed.await;
    stack.moto_proxy().resume();
    eventually("everything is drained", || async {
        let run = stack.run_write_audit().await;
        (run["taken"] == 0 && run["skippedChains"] == 0).then_some(())
    })
    .await;
    stack.run_deliveries().await;
    assert_eq!(hook.ids().into_iter().collect::<BTreeSet<_>>().len(), 6);
}

/// F-24: a deliver-events that dies after the POST: the delivery comes again when its lease is over, with the same id and
/// body, and not before.
#[tokio::test]
async fn f_24_a_killed_deliver_events_repeats_with_the_same_id() {
    let stack = Arc::new(builder().with_clock().start().await);
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 3).await;
    stack.run_write_audit().await;
    hook.answer(Answer::Held);
    let environment = stack.environment("deliver-events", 0).await;
    let killed = run(&stack, "deliver-events", 0);
    eventually("a message has arrived", || async { (!hook.received().is_empty()).then_some(()) }).await;
    environment.kill9().await;
    let _ = killed.await;
    hook.answer(Answer::Status(200));
    let arrived = hook.received().len();
    let rest = stack.run_deliveries().await["delivered"].as_u64().expect("a number");
    stack.advance(Duration::from_secs(61));
    let again = stack.run_deliveries().await["delivered"].as_u64().expect("a number");
    assert_eq!(rest + again, 3, "nothing is lost");
    assert!(again >= 1, "what was leased came again after the lease");
    let received = hook.received();
    assert_eq!(received.len(), arrived + 3);
    let ids: BTreeSet<_> = received.iter().map(|message| message.header("webhook-id")).collect();
    let bodies: BTreeSet<_> = received.iter().map(|message| message.body.as_str()).collect();
    assert_eq!((ids.len(), bodies.len()), (3, 3), "repetitions are told by their id");
}

/// At least once, whatever comes together: a receiver that answers at random, two runs at once, runs that are killed.
/// What a receiver accepted is known as done, unless the run died before it could be written.
#[tokio::test]
async fn f_24_a_storm_of_failures_and_kills_loses_nothing() {
    let stack = Arc::new(builder().with_clock().with_environments(2).start().await);
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut ended = 0;
    for round in 0..12 {
        ended += end_sessions(&stack, 4).await.len();
        stack.run_write_audit().await;
        let status = *[200, 204, 429, 500, 503].get(random.random_range(0..5)).expect("a status");
        let held = random.random_bool(0.5);
        hook.answer(if held { Answer::Held } else { Answer::Status(status) });
        let arrived = hook.received().len();
        let runs = [0, 1].map(|environment| run(&stack, "deliver-events", environment));
        if held {
            eventually(&format!("seed {SEED}, round {round}: a message arrives"), || async {
                (hook.received().len() > arrived || runs.iter().all(tokio::task::JoinHandle::is_finished)).then_some(())
            })
            .await;
            stack.fleet.recycle("deliver-events").await;
        }
        for run in runs {
            let _ = run.await;
        }
        stack.advance(Duration::from_secs(random.random_range(20..700)));
    }
    hook.answer(Answer::Status(200));
    for _ in 0..40 {
        stack.run_deliveries().await;
        if count_in(&stack, "done").await == ended {
            break;
        }
        stack.advance(Duration::from_secs(3600));
    }
    assert_eq!(count_in(&stack, "done").await, ended, "seed {SEED}");
    let ids: BTreeSet<_> = hook.ids().into_iter().collect();
    assert_eq!(ids.len(), ended, "seed {SEED}");
}
