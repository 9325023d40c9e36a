use super::signed::verify;
use super::support::*;
use futures::future::join_all;
use integration_tests::{eventually, json, settings};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Back-off by the wall clock: half a minute, then two minutes, each up to a tenth longer; the same id and bytes at every
/// attempt, a time and signature of its own.
#[tokio::test]
async fn a_failed_delivery_comes_again_after_its_back_off() {
    let stack = builder().with_clock().start().await;
    let hook = Hook::start().await;
    let secret = add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    stack.clock().freeze();
    hook.answer(Answer::Status(500));
    assert_eq!(stack.run_deliveries().await["postponed"], 1);
    for (wait, status) in [(30, 429), (120, 302)] {
        hook.answer(Answer::Status(status));
        stack.advance(Duration::from_secs(wait - 1));
        assert_eq!(stack.run_deliveries().await["postponed"], 0, "not before {wait} s");
        stack.advance(Duration::from_secs(1 + wait / 10));
        assert_eq!(stack.run_deliveries().await["postponed"], 1, "after {wait} s and a tenth");
    }
    hook.answer(Answer::Status(204));
    stack.advance(Duration::from_secs(660));
    assert_eq!(stack.run_deliveries().await["delivered"], 1);
    let received = hook.received();
    assert_eq!(received.len(), 4);
    let times: BTreeSet<_> = received.iter().map(|message| message.header("webhook-timestamp")).collect();
    assert_eq!(times.len(), 4);
    for message in &received {
        verify(message, &secret);
        assert_eq!(message.header("webhook-id"), received[0].header("webhook-id"));
        assert_eq!(message.body, received[0].body);
    }
    stack.advance(Duration::from_secs(24 * 3600));
    assert_eq!(stack.run_deliveries().await["delivered"], 0);
}

/// After twelve attempts within a day a delivery is given up, and the log has what the alarm counts.
#[tokio::test]
async fn a_delivery_is_given_up_after_a_day() {
    let stack = builder().with_clock().with_environments(1).start().await;
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    hook.answer(Answer::Status(503));
    let mut given_up = 0;
    for _ in 0..30 {
        let run = stack.run_deliveries().await;
        given_up += run["givenUp"].as_u64().expect("a number");
        stack.advance(Duration::from_secs(3 * 3600 + 1100));
    }
    assert_eq!((given_up, hook.received().len()), (1, 12));
    assert_eq!(count_in(&stack, "failed").await, 1);
    let records = stack.environment("deliver-events", 0).await.log_records();
    let alarmed = records.iter().filter(|record| record["GivenUp"] == json!(1)).count();
    assert_eq!(alarmed, 1, "an alarm of template.yaml sums these");
    let measured = records.iter().filter(|record| record["OldestDueSeconds"].is_number()).count();
    assert_eq!(measured, 30, "every run tells how late it is");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let stack = builder().with_clock().start().await;
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    hook.answer(Answer::Status(410));
    assert_eq!(stack.run_deliveries().await["givenUp"], 1);
    stack.advance(Duration::from_secs(24 * 3600));
    assert_eq!(stack.run_deliveries().await["more"], false);
    assert_eq!(hook.received().len(), 1);
}

/// A receiver that is down for an hour gets everything when it is back, once.
#[tokio::test]
async fn a_receiver_that_was_down_for_an_hour_gets_everything() {
    let stack = builder().with_clock().start().await;
    let port = settings::free_port();
    add_webhook(&stack, "hooks", &url(port)).await;
    end_sessions(&stack, 12).await;
    stack.run_write_audit().await;
    for _ in 0..60 {
        let run = stack.run_deliveries().await;
        assert_eq!((&run["delivered"], &run["givenUp"]), (&json!(0), &json!(0)), "{run}");
        stack.advance(Duration::from_secs(60));
    }
    let hook = Hook::start_on(port).await;
    let mut delivered = 0;
    for _ in 0..300 {
        delivered += stack.run_deliveries().await["delivered"].as_u64().expect("a number");
        if delivered == 12 {
            break;
        }
        stack.advance(Duration::from_secs(60));
    }
    let ids = hook.ids();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (12, 12));
}

/// A redirect could lead anywhere, so it is a failure.
#[tokio::test]
async fn redirects_are_not_followed() {
    let stack = builder().start().await;
    let (hook, trap) = (Hook::start().await, Hook::start().await);
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    hook.answer(Answer::Redirect(trap.url()));
    assert_eq!(stack.run_deliveries().await["postponed"], 1);
    assert_eq!((hook.received().len(), trap.received().len()), (1, 0));
}

/// While one receiver keeps its answers back, another gets all of its messages in the same run.
#[tokio::test]
async fn a_slow_receiver_holds_up_nobody() {
    let stack = Arc::new(builder().start().await);
    let (slow, quick) = (Hook::start().await, Hook::start().await);
    add_webhook(&stack, "slow", &slow.url()).await;
    add_webhook(&stack, "quick", &quick.url()).await;
    end_sessions(&stack, 30).await;
    assert_eq!(stack.run_write_audit().await["handedOver"], 60);
    slow.answer(Answer::Held);
    let run = tokio::spawn({
        let stack = Arc::clone(&stack);
        async move { stack.run_deliveries().await }
    });
    eventually("the quick receiver has everything", || async { (quick.received().len() == 30).then_some(()) }).await;
    slow.answer(Answer::Status(200));
    slow.release(30);
    run.await.expect("the run ends");
    assert_eq!(quick.ids().into_iter().collect::<BTreeSet<_>>().len(), 30);
}

/// A receiver that only fails is left alone after a few messages, and the rest does not lose its attempts.
#[tokio::test]
async fn a_failing_receiver_is_left_alone_until_the_next_run() {
    let stack = builder().with_clock().start().await;
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 40).await;
    stack.run_write_audit().await;
    hook.answer(Answer::Status(500));
    let run = stack.run_deliveries().await;
    assert_eq!(run["more"], true, "{run}");
    let tried = hook.received().len();
    assert!((3..=6).contains(&tried), "three failures, and what was on its way: {tried}");
    hook.answer(Answer::Status(200));
    let mut delivered = run["delivered"].as_u64().expect("a number");
    delivered += stack.run_deliveries().await["delivered"].as_u64().expect("a number");
    stack.advance(Duration::from_secs(35));
    delivered += stack.run_deliveries().await["delivered"].as_u64().expect("a number");
    assert_eq!(delivered, 40);
}

/// F-23, F-28: of two runs at once one has each delivery.
#[tokio::test]
async fn f_28_two_runs_at_once_deliver_each_event_once() {
    let stack = builder().with_environments(2).start().await;
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 60).await;
    stack.run_write_audit().await;
    let runs = join_all((0..2).map(|_| stack.run_deliveries())).await;
    let delivered: u64 = runs.iter().map(|run| run["delivered"].as_u64().expect("a number")).sum();
    assert_eq!(delivered, 60, "{runs:?}");
    let ids = hook.ids();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (60, 60));
    assert_eq!(count_in(&stack, "done").await, 60);
}
