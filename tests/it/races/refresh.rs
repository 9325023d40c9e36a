//! Refresh tokens under parallel use. I-2, I-3, T-04, T-05, T-09.

use std::collections::BTreeSet;

use futures::future::join_all;
use integration_tests::{Stack, json};

use super::{assert_over, refresh, refresh_token, tally};

#[tokio::test]
async fn t_04_i_2_five_hundred_presentations_get_one_successor() {
    let stack = Stack::builder().with_environments(24).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let answers = join_all((0..500).map(|_| refresh(&stack, id, &session.refresh_token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{:?}", tally(&answers));
    let successors: BTreeSet<String> = answers.iter().map(refresh_token).collect();
    assert_eq!(successors.len(), 1, "{successors:?}");
    assert!(stack.fleet.running("refresh-session").len() > 12, "too few environments took part");

    // The chain goes on: with the one successor, from anywhere.
    let mut token = successors.into_iter().next().expect("one");
    for index in 0..5 {
        let path = format!("/sessions/{id}/refresh");
        let next = stack.request("POST", &path).json(&json!({ "refreshToken": token })).on_environment(index);
        token = refresh_token(&next.send().await.expect(200));
    }
    assert_eq!(stack.app.introspect(&token).await.expect(200).json()["active"], true);
}

#[tokio::test]
async fn t_05_i_2_a_fresh_predecessor_gets_the_same_successor_in_parallel() {
    let stack = Stack::builder().with_clock().with_environments(12).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let successor = refresh_token(&refresh(&stack, id, &session.refresh_token).await.expect(200));
    stack.clock().freeze();
    let answers = join_all((0..200).map(|_| refresh(&stack, id, &session.refresh_token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{:?}", tally(&answers));
    assert!(answers.iter().all(|answer| refresh_token(answer) == successor), "a second successor");
    refresh_token(&refresh(&stack, id, &successor).await.expect(200));
}

/// After the window, parallel presentations of a consumed token get nothing, and end the session once.
#[tokio::test]
async fn i_3_a_consumed_token_in_parallel_yields_nothing_and_one_event() {
    let stack = Stack::builder().with_clock().with_database().with_environments(8).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let newest = refresh_token(&refresh(&stack, id, &session.refresh_token).await.expect(200));
    stack.advance(std::time::Duration::from_secs(11));
    let answers = join_all((0..100).map(|_| refresh(&stack, id, &session.refresh_token))).await;
    assert!(answers.iter().all(|answer| answer.status == 401), "{:?}", tally(&answers));
    let reused = answers.iter().filter(|answer| answer.code() == "refresh_token_reused").count();
    assert_eq!(reused, 1, "{:?}", tally(&answers));
    assert_over(&stack, &session, &newest).await;
    stack.run_write_audit().await;
    let database = stack.database().connect().await;
    for (kind, count) in [("refresh.replayed", 1_i64), ("session.ended", 1)] {
        let row = database.query_one("SELECT count(*) FROM audit_events WHERE event_type = $1", &[&kind]).await;
        assert_eq!(row.expect("a count").get::<_, i64>(0), count, "{kind}");
    }
}

/// Order is by generation: in one and the same second, a token two or more back is a replay.
#[tokio::test]
async fn t_09_rotations_within_one_second_are_told_apart() {
    let stack = Stack::builder().with_clock().start().await;
    stack.clock().freeze();
    for back in [2, 3] {
        let session = stack.app.start_session("ada").await;
        let id = &session.session_id;
        let mut tokens = vec![session.refresh_token.clone()];
        for _ in 0..3 {
            let next = refresh(&stack, id, tokens.last().expect("one")).await.expect(200);
            tokens.push(refresh_token(&next));
        }
        assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 4);
        // One back is a lost reply, even now.
        assert_eq!(refresh_token(&refresh(&stack, id, &tokens[2]).await.expect(200)), tokens[3]);
        let replayed = &tokens[3 - back];
        refresh(&stack, id, replayed).await.expect_problem(401, "refresh_token_reused");
        assert_over(&stack, &session, &tokens[3]).await;
    }
}
