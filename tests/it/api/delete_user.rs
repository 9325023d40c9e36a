use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, json};

use super::{expect_ended, expect_ended_for_holder, other_application, refused_fields, session_path};

async fn delete(stack: &Stack, query: &str) -> Response {
    stack.app.request("DELETE", &format!("/sessions/user/ada{query}")).send().await
}

async fn three(stack: &Stack) -> [SessionTokens; 3] {
    let start = || stack.app.start_session("ada");
    [start().await, start().await, start().await]
}

#[tokio::test]
async fn all_sessions_of_the_user_end_and_no_others() {
    let stack = Stack::start().await;
    let sessions = three(&stack).await;
    let bystander = stack.app.start_session("bob").await;
    let other = other_application(&stack).await;
    let foreign = other.start_session("ada").await;
    for _ in 0..2 {
        delete(&stack, "").await.expect(204);
        for session in &sessions {
            expect_ended(stack.app.get(&session.session_id).await, "revoke_all");
            let own = stack.request("GET", &session_path(&session.session_id)).bearer(&session.access_token).send();
            expect_ended_for_holder(own.await, "revoke_all");
            let refresh = stack.app.refresh(&session.session_id, &session.refresh_token).await;
            expect_ended_for_holder(refresh, "revoke_all");
        }
    }
    assert_eq!(stack.app.list("ada").await.json(), json!({ "sessions": [] }));
    stack.app.get(&bystander.session_id).await.expect(200);
    other.get(&foreign.session_id).await.expect(200);
    let fresh = stack.app.start_session("ada").await;
    stack.app.get(&fresh.session_id).await.expect(200);
    stack.app.request("DELETE", "/sessions/user/nobody").send().await.expect(204);
}

#[tokio::test]
async fn applications_of_a_group_share_users() {
    let stack = Stack::start().await;
    let member = json!({ "name": "A", "scopes": super::scopes_without(""), "groupId": "family" });
    let (one, two) = (stack.create_application(member.clone()).await, stack.create_application(member).await);
    let (first, second) = (one.start_session("ada").await, two.start_session("ada").await);
    // They share the user, not the sessions.
    two.get(&first.session_id).await.expect_problem(404, "not_found");
    one.delete_user_sessions("ada").await.expect(204);
    expect_ended(one.get(&first.session_id).await, "revoke_all");
    expect_ended(two.get(&second.session_id).await, "revoke_all");
}

#[tokio::test]
async fn one_session_can_be_spared() {
    let stack = Stack::start().await;
    let [one, two, three] = three(&stack).await;
    delete(&stack, &format!("?except={}", two.session_id)).await.expect(204);
    for ended in [&one, &three] {
        expect_ended(stack.app.get(&ended.session_id).await, "revoke_all");
    }
    stack.app.get(&two.session_id).await.expect(200);
    let next = stack.app.refresh(&two.session_id, &two.refresh_token).await.expect(200).json();
    // Again, by its holder, who logs out everywhere else.
    let four = stack.app.start_session("ada").await;
    let path = format!("/sessions/user/ada?except={}", two.session_id);
    stack.request("DELETE", &path).bearer(next["accessToken"].as_str().unwrap()).send().await.expect(204);
    expect_ended(stack.app.get(&four.session_id).await, "revoke_all");
    stack.app.get(&two.session_id).await.expect(200);
    // An ended session can not be revived by sparing it.
    delete(&stack, &format!("?except={}", one.session_id)).await.expect(204);
    expect_ended(stack.app.get(&one.session_id).await, "revoke_all");
    expect_ended(stack.app.get(&two.session_id).await, "revoke_all");
}

#[tokio::test]
async fn the_sessions_of_one_device_can_be_ended() {
    let stack = Stack::start().await;
    let start = |device: &str| {
        let body = json!({ "userId": "ada", "device": { "deviceId": device } });
        let created = stack.app.create_session(body);
        async move { SessionTokens::from_created(&created.await) }
    };
    let (one, two, other) = (start("d 1&=ü").await, start("d 1&=ü").await, start("d-2").await);
    let none = stack.app.start_session("ada").await;
    for _ in 0..2 {
        delete(&stack, "?deviceId=d%201%26%3D%C3%BC").await.expect(204);
        for ended in [&one, &two] {
            expect_ended(stack.app.get(&ended.session_id).await, "device_removed");
            let own = stack.request("GET", &session_path(&ended.session_id)).bearer(&ended.access_token).send();
            expect_ended_for_holder(own.await, "device_removed");
        }
    }
    for alive in [&other, &none] {
        stack.app.get(&alive.session_id).await.expect(200);
    }
    delete(&stack, "?deviceId=unknown").await.expect(204);
    stack.app.get(&other.session_id).await.expect(200);
}

#[tokio::test]
async fn selections_are_checked_before_anything_ends() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let foreign = stack.app.start_session("bob").await;
    let id = &session.session_id;
    for (query, field) in [
        (format!("?except={id}&deviceId=d"), "deviceId"),
        ("?except=".to_owned(), "except"),
        ("?except=ses_x".to_owned(), "except"),
        (format!("?except={}", foreign.session_id), "except"),
        (format!("?except={id}&except={id}"), "except"),
        (format!("?except={id},{id}"), "except"),
        ("?deviceId=".to_owned(), "deviceId"),
        (format!("?deviceId={}", "x".repeat(129)), "deviceId"),
        ("?deviceId=a&deviceId=b".to_owned(), "deviceId"),
        ("?exept=x".to_owned(), "exept"),
        ("?deviceid=x".to_owned(), "deviceid"),
        ("?x%0Ay=1".to_owned(), "query"),
    ] {
        assert_eq!(refused_fields(&delete(&stack, &query).await), [field], "{query}");
    }
    stack.app.get(id).await.expect(200);
}
