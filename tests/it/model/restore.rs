//! A store that is set back: what was acknowledged stays true. F-02, I-1, I-2, I-11.

use std::collections::BTreeSet;

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, json};

async fn refresh(stack: &Stack, session: &SessionTokens, token: &str) -> Response {
    let path = format!("/sessions/{}/refresh", session.session_id);
    stack.request("POST", &path).json(&json!({ "refreshToken": token })).send().await
}

fn refresh_token(response: &Response) -> String {
    response.json()["refreshToken"].as_str().expect("a refresh token").to_owned()
}

async fn rotate(stack: &Stack, session: &SessionTokens, token: &str) -> String {
    refresh_token(&refresh(stack, session, token).await.expect(200))
}

#[tokio::test]
async fn f_02_i_2_a_token_ahead_of_the_record_heals_it() {
    let stack = Stack::builder().with_environments(8).start().await;
    let session = stack.app.start_session("ada").await;
    let second = rotate(&stack, &session, &session.refresh_token).await;
    let snapshot = stack.redis().snapshot().await;
    let third = rotate(&stack, &session, &second).await;
    let fourth = rotate(&stack, &session, &third).await;
    stack.redis().restart_from_snapshot(&snapshot).await;

    let answers = join_all((0..60).map(|_| refresh(&stack, &session, &fourth))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let successors: BTreeSet<String> = answers.iter().map(refresh_token).collect();
    assert_eq!(successors.len(), 1);
    let fifth = successors.into_iter().next().expect("one");
    assert!(![&session.refresh_token, &second, &third, &fourth].contains(&&fifth));
    let sixth = rotate(&stack, &session, &fifth).await;

    // The same store once more: the chain is a function of its first token.
    stack.redis().restart_from_snapshot(&snapshot).await;
    assert_eq!(rotate(&stack, &session, &second).await, third);
    assert_eq!(rotate(&stack, &session, &fifth).await, sixth);
    // Healed, it knows what is consumed.
    refresh(&stack, &session, &third).await.expect_problem(401, "refresh_token_reused");
    assert_eq!(refresh(&stack, &session, &sixth).await.status, 401);
}

/// The answer of every route to the tokens and the handle of a session.
async fn is_over(stack: &Stack, session: &SessionTokens, newest: &str) -> bool {
    let path = format!("/sessions/{}", session.session_id);
    let (refreshed, inspected, read, own) = tokio::join!(
        refresh(stack, session, newest),
        stack.app.introspect(&session.access_token),
        stack.app.get(&session.session_id),
        stack.request("GET", &path).bearer(&session.access_token).send(),
    );
    let active = inspected.expect(200).json()["active"].as_bool().expect("a flag");
    let works = [refreshed.status == 200, active, read.status == 200, own.status == 200];
    assert!(works == [false; 4] || works == [true; 4], "{works:?} for {}", session.session_id);
    !works[0]
}

#[tokio::test]
async fn f_02_i_1_i_11_acknowledged_ends_outlive_a_store_that_is_set_back() {
    let policy = json!({ "sessionLimit": { "max": 2, "onLimit": "evict_oldest" }, "refreshGraceSeconds": 0 });
    let stack = Stack::builder().with_policy(policy).with_environments(3).start().await;
    let app = &stack.app;
    let stranger = stack.create_application(json!({ "name": "Other", "scopes": ["sessions:write"] })).await;
    let login = async |user: &str| app.start_session(user).await;

    let deleted = login("deleted").await;
    let logged_out = login("logged-out").await;
    let revoked = login("revoked").await;
    let (all_1, all_2) = (login("all").await, login("all").await);
    let (dropped, spared) = (login("except").await, login("except").await);
    let spared_too_late = login("late").await;
    let replayed = login("replayed").await;
    let (evicted, kept) = (login("evicted").await, login("evicted").await);
    let (helpless, own) = (login("holder").await, login("holder").await);
    let untouched = login("untouched").await;
    let replayed_newest = rotate(&stack, &replayed, &replayed.refresh_token).await;
    let snapshot = stack.redis().snapshot().await;

    app.delete(&deleted.session_id).await.expect(204);
    // What others ask for in vain must not get into the way of the owner's end.
    stranger.delete(&deleted.session_id).await.expect_problem(404, "not_found");
    stranger.delete(&untouched.session_id).await.expect_problem(404, "not_found");
    let path = |session: &SessionTokens| format!("/sessions/{}", session.session_id);
    stack.request("DELETE", &path(&logged_out)).bearer(&logged_out.access_token).send().await.expect(204);
    app.revoke(&revoked.refresh_token).await.expect(200);
    app.delete_user_sessions("all").await.expect(204);
    let except = |session: &SessionTokens, user: &str| {
        app.request("DELETE", &format!("/sessions/user/{user}?except={}", session.session_id))
    };
    except(&spared, "except").send().await.expect(204);
    app.delete_user_sessions("late").await.expect(204);
    except(&spared_too_late, "late").send().await.expect(204);
    refresh(&stack, &replayed, &replayed.refresh_token).await.expect_problem(401, "refresh_token_reused");
    let evictor = login("evicted").await;
    // A holder whose own session is over can end no other, now or when the store is set back.
    app.delete(&own.session_id).await.expect(204);
    let other = stack.request("DELETE", &path(&helpless)).bearer(&own.access_token).send().await;
    other.expect_problem(401, "session_ended");

    for round in 0..2 {
        stack.redis().restart_from_snapshot(&snapshot).await;
        let over = [
            ("deleted", &deleted, &deleted.refresh_token),
            ("logged out", &logged_out, &logged_out.refresh_token),
            ("revoked", &revoked, &revoked.refresh_token),
            ("all 1", &all_1, &all_1.refresh_token),
            ("all 2", &all_2, &all_2.refresh_token),
            ("dropped", &dropped, &dropped.refresh_token),
            ("spared too late", &spared_too_late, &spared_too_late.refresh_token),
            ("replayed", &replayed, &replayed_newest),
            ("evicted", &evicted, &evicted.refresh_token),
            ("own", &own, &own.refresh_token),
        ];
        // All at once, in environments that still hold connections to the store as it was.
        let verdicts = join_all(over.iter().map(|(_, session, newest)| is_over(&stack, session, newest))).await;
        for ((what, ..), over) in over.iter().zip(verdicts) {
            assert!(over, "round {round}: {what} lives again");
        }
        for (what, session) in
            [("spared", &spared), ("kept", &kept), ("untouched", &untouched), ("helpless", &helpless)]
        {
            stack.app.get(&session.session_id).await.expect(200);
            let active = stack.app.introspect(&session.refresh_token).await.expect(200).json()["active"].clone();
            assert_eq!(active, true, "round {round}: {what}");
        }
        // Created after the snapshot: lost, and nobody else's.
        app.get(&evictor.session_id).await.expect_problem(404, "not_found");
    }
}

/// Redis is away when the end is asked for, and comes back as it was before.
#[tokio::test]
async fn f_03_i_1_an_end_accepted_while_redis_is_away_is_in_force_when_it_returns() {
    let stack = Stack::builder().with_environments(2).start().await;
    let (session, other) = (stack.app.start_session("ada").await, stack.app.start_session("bob").await);
    let bystander = stack.app.start_session("eve").await;
    let snapshot = stack.redis().snapshot().await;
    stack.redis().stop().await;
    stack.app.delete(&session.session_id).await.expect(202);
    stack.app.delete_user_sessions("bob").await.expect(202);
    stack.redis().restart_from_snapshot(&snapshot).await;
    assert!(is_over(&stack, &session, &session.refresh_token).await);
    assert!(is_over(&stack, &other, &other.refresh_token).await);
    stack.app.get(&bystander.session_id).await.expect(200);
}
