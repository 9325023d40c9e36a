//! Ends racing refreshes, logins and each other. I-1, T-08.

use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, json};

use super::{assert_over, refresh, refresh_token};

/// The newest token somebody got out of a race.
fn newest(answers: &[&Response], session: &SessionTokens) -> String {
    let got = answers.iter().rev().find(|answer| answer.status == 200);
    got.map_or_else(|| session.refresh_token.clone(), |answer| refresh_token(answer))
}

#[tokio::test]
async fn t_08_i_1_nothing_survives_an_end_that_raced_refreshes() {
    let stack = Stack::builder().with_environments(6).start().await;
    let mut met = [0, 0];
    for round in 0..60 {
        let session = stack.app.start_session(&format!("user-{round}")).await;
        let (id, token) = (&session.session_id, &session.refresh_token);
        let chain = async {
            let first = refresh(&stack, id, token).await;
            match first.status {
                200 => refresh(&stack, id, &refresh_token(&first)).await,
                _ => first,
            }
        };
        let end = async {
            if round % 3 == 2 {
                // Later, so that the chain is met at another place.
                stack.app.get(id).await;
            }
            stack.app.delete(id).await
        };
        let (a, b, ended) = tokio::join!(chain, refresh(&stack, id, token), end);
        ended.expect(204);
        for answer in [&a, &b] {
            assert!([200, 401].contains(&answer.status), "round {round}: {answer:?}");
            met[usize::from(answer.status == 200)] += 1;
        }
        assert_over(&stack, &session, &newest(&[&b, &a], &session)).await;
    }
    println!("refreshes refused and served: {met:?}");
}

#[tokio::test]
async fn t_08_i_1_nothing_survives_an_end_of_all_that_raced_refreshes() {
    let stack = Stack::builder().with_environments(6).start().await;
    for round in 0..40 {
        let user = format!("user-{round}");
        let (session, spared) = (stack.app.start_session(&user).await, stack.app.start_session(&user).await);
        let keep = round % 2 == 0;
        let path = match keep {
            true => format!("/sessions/user/{user}?except={}", spared.session_id),
            false => format!("/sessions/user/{user}"),
        };
        let (a, b, other, ended) = tokio::join!(
            refresh(&stack, &session.session_id, &session.refresh_token),
            refresh(&stack, &session.session_id, &session.refresh_token),
            refresh(&stack, &spared.session_id, &spared.refresh_token),
            stack.app.request("DELETE", &path).send(),
        );
        ended.expect(204);
        assert_over(&stack, &session, &newest(&[&a, &b], &session)).await;
        if keep {
            let token = refresh_token(&other.expect(200));
            refresh(&stack, &spared.session_id, &token).await.expect(200);
        } else {
            assert_over(&stack, &spared, &newest(&[&other], &spared)).await;
        }
    }
}

/// Two ends of all sessions, of which one spares a session: once both are answered it is over, in whichever order they
/// reached DynamoDB and Redis.
#[tokio::test]
async fn i_1_an_exception_holds_against_its_own_revocation_only() {
    let stack = Stack::builder().with_environments(6).start().await;
    for round in 0..40 {
        let user = format!("user-{round}");
        let session = stack.app.start_session(&user).await;
        let all = format!("/sessions/user/{user}");
        let except = format!("{all}?except={}", session.session_id);
        let (except, all, again) = tokio::join!(
            stack.app.request("DELETE", &except).send(),
            stack.app.request("DELETE", &all).send(),
            stack.app.request("DELETE", &except).send(),
        );
        for answer in [except, all, again] {
            answer.expect(204);
        }
        assert_over(&stack, &session, &session.refresh_token).await;
    }
}

/// Sparing the same session twice at once spares it.
#[tokio::test]
async fn an_exception_made_twice_at_once_stays() {
    let stack = Stack::builder().with_environments(6).start().await;
    for round in 0..15 {
        let user = format!("user-{round}");
        let (session, other) = (stack.app.start_session(&user).await, stack.app.start_session(&user).await);
        let path = format!("/sessions/user/{user}?except={}", session.session_id);
        let ends = (0..3).map(|_| stack.app.request("DELETE", &path).send());
        for answer in futures::future::join_all(ends).await {
            answer.expect(204);
        }
        refresh(&stack, &session.session_id, &session.refresh_token).await.expect(200);
        assert_over(&stack, &other, &other.refresh_token).await;
    }
}

/// Within one and the same millisecond the order of the operations decides, not the clock.
#[tokio::test]
async fn i_1_a_login_and_an_end_of_all_in_the_same_millisecond() {
    let stack = Stack::builder().with_clock().start().await;
    stack.clock().freeze();
    for round in 0..5 {
        let user = format!("user-{round}");
        let before = stack.app.start_session(&user).await;
        stack.app.delete_user_sessions(&user).await.expect(204);
        let after = stack.app.start_session(&user).await;
        assert_eq!(before.document["session"]["createdAt"], after.document["session"]["createdAt"]);
        assert_over(&stack, &before, &before.refresh_token).await;
        stack.app.get(&after.session_id).await.expect(200);
        let token = refresh_token(&refresh(&stack, &after.session_id, &after.refresh_token).await.expect(200));
        stack.app.delete_user_sessions(&user).await.expect(204);
        assert_over(&stack, &after, &token).await;
    }
}

/// A login that races the end of all is either before or after it, for every reader alike.
#[tokio::test]
async fn i_1_a_login_that_races_an_end_of_all_is_before_or_after_it() {
    let stack = Stack::builder().with_environments(6).start().await;
    let mut met = [0, 0];
    for round in 0..40 {
        let user = format!("user-{round}");
        let old = stack.app.start_session(&user).await;
        let (created, ended) =
            tokio::join!(stack.app.create_session(json!({ "userId": user })), stack.app.delete_user_sessions(&user));
        ended.expect(204);
        let session = SessionTokens::from_created(&created);
        assert_over(&stack, &old, &old.refresh_token).await;
        let lives = stack.app.get(&session.session_id).await.status == 200;
        met[usize::from(lives)] += 1;
        let listed = stack.app.list(&user).await.expect(200).json()["sessions"].as_array().map(Vec::len);
        assert_eq!(listed, Some(usize::from(lives)), "round {round}");
        match lives {
            true => drop(refresh(&stack, &session.session_id, &session.refresh_token).await.expect(200)),
            false => assert_over(&stack, &session, &session.refresh_token).await,
        }
    }
    println!("logins before and after: {met:?}");
}
