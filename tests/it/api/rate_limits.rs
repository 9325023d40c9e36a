//! Quotas per application, holder and source address, as callers see them.

use std::time::Duration;

use futures::future::join_all;
use integration_tests::{Application, Request, Response, Stack, Value, json};

use super::{face, session_path, user_path};

async fn limited(rates: Value) -> Stack {
    let builder = Stack::builder().with_clock().with_environments(1);
    builder.with_policy(json!({ "rateLimits": rates })).start().await
}

/// The two numbers of a `RateLimit` field: what is left, and for how long.
fn left(response: &Response) -> (u64, u64) {
    let field = response.header("ratelimit");
    let number = |name: &str| {
        let (_, rest) = field.split_once(&format!(";{name}=")).unwrap_or_else(|| panic!("{field:?}"));
        rest.split(';').next().and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{field:?}"))
    };
    (number("r"), number("t"))
}

#[track_caller]
fn refused(response: Response) -> Response {
    let response = response.expect_problem(429, "rate_limited");
    assert_eq!(response.json()["retryable"], true);
    let seconds: u64 = response.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{response:?}");
    response
}

#[tokio::test]
async fn an_applications_quota_is_its_own_and_begins_anew_each_minute() {
    let stack = limited(json!({ "applicationPerMinute": 40 })).await;
    let other = super::other_application(&stack).await;
    stack.clock().freeze();
    let session = stack.app.start_session("ada").await;
    let read = || stack.app.get(&session.session_id);
    let first = read().await.expect(200);
    assert_eq!(first.header("ratelimit-policy"), "\"application\";q=40;w=60");
    let (mut remaining, seconds) = left(&first);
    assert!(seconds <= 60 && remaining < 40);
    let mut admitted = 2;
    let over = loop {
        let answer = read().await;
        if answer.status == 429 {
            break refused(answer);
        }
        let (now_left, _) = left(&answer.expect(200));
        assert!(now_left <= remaining, "{now_left} after {remaining}");
        remaining = now_left;
        admitted += 1;
    };
    // One environment each of create-session and get-session, with a credit of two: what the first gave stays uncounted.
    assert!((38..=42).contains(&admitted), "{admitted}");
    assert_eq!(left(&over).0, 0);
    // Others are not concerned, and ending works whatever is left.
    other.start_session("ada").await;
    let own = stack.request("GET", &session_path(&session.session_id)).bearer(&session.access_token);
    own.send().await.expect(200);
    // The credit of one more function, and then it asks.
    for _ in 0..2 {
        stack.app.introspect(&session.access_token).await.expect(200);
    }
    let introspected = stack.app.introspect(&session.access_token).await.expect(429);
    assert_eq!(introspected.json()["code"], "rate_limited");
    stack.app.revoke("garbage").await.expect(200);
    stack.app.delete(&session.session_id).await.expect(204);
    stack.app.delete_user_sessions("ada").await.expect(204);
    stack.advance(Duration::from_secs(60));
    read().await.expect_problem(404, "session_ended");
}

/// Whatever the number of environments and however the requests meet, a minute admits no more than the quota and a credit
/// of each environment.
#[tokio::test]
async fn parallel_environments_admit_no_more_than_the_quota_and_their_credits() {
    let policy = json!({ "rateLimits": { "applicationPerMinute": 50 } });
    let stack = Stack::builder().with_clock().with_environments(6).with_policy(policy).start().await;
    stack.clock().freeze();
    let session = stack.app.start_session("ada").await;
    let answers = join_all((0..150).map(|_| stack.app.get(&session.session_id))).await;
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    // A share of three each may be left over; a credit of two each may come on top.
    assert!((50 - 7 * 3..50 + 7 * 2).contains(&admitted), "{admitted}");
    answers.into_iter().filter(|answer| answer.status != 200).for_each(|answer| drop(refused(answer)));
}

#[tokio::test]
async fn a_holders_quota_is_that_of_its_session() {
    let stack = limited(json!({ "holderPerMinute": 5 })).await;
    stack.clock().freeze();
    let (one, two) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let read = |token: &str, id: &str| stack.request("GET", &session_path(id)).bearer(token).send();
    for used in 1..=5 {
        let answer = read(&one.access_token, &one.session_id).await.expect(200);
        assert_eq!(answer.header("ratelimit-policy"), "\"holder\";q=5;w=60");
        assert_eq!(left(&answer).0, 5 - used);
    }
    refused(read(&one.access_token, &one.session_id).await);
    let list = stack.request("GET", &user_path("ada")).bearer(&one.access_token).send().await;
    refused(list);
    // The other session of the same user, its application, and the first one's own refresh and end.
    read(&two.access_token, &one.session_id).await.expect(200);
    let by_application = stack.app.get(&one.session_id).await.expect(200);
    assert_eq!(by_application.header("ratelimit"), "", "no limit, no field");
    let path = format!("{}/refresh", session_path(&one.session_id));
    let refreshed = stack.request("POST", &path).json(&json!({ "refreshToken": one.refresh_token })).send().await;
    assert_eq!(refreshed.expect(200).header("ratelimit"), "");
    stack.request("DELETE", &session_path(&one.session_id)).bearer(&one.access_token).send().await.expect(204);
}

fn refresh_from(stack: &Stack, session: &str, token: &str, ip: &str) -> Request {
    let request = stack.request("POST", &format!("{}/refresh", session_path(session))).source_ip(ip);
    request.json(&json!({ "refreshToken": token }))
}

/// T-58: an address has a quota, and what is left of it is told to nobody, because others may share it.
#[tokio::test]
async fn t_58_an_address_is_limited_and_told_no_counter() {
    let stack = limited(json!({ "addressPerMinute": 4 })).await;
    stack.clock().freeze();
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    // The same token again and again: the same successor.
    for _ in 0..4 {
        let answer = refresh_from(&stack, id, &session.refresh_token, "198.51.100.7").send().await.expect(200);
        assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), ("", ""));
    }
    let over = refused(refresh_from(&stack, id, &session.refresh_token, "198.51.100.7").send().await);
    assert_eq!((over.header("ratelimit"), over.header("ratelimit-policy")), ("", ""));
    let mapped = refresh_from(&stack, id, &session.refresh_token, "::ffff:198.51.100.7").send().await;
    refused(mapped);
    refresh_from(&stack, id, &session.refresh_token, "198.51.100.8").send().await.expect(200);
    // A network of IPv6 counts as one.
    for host in 1..=4 {
        let address = format!("2001:db8:1:2::{host}");
        refresh_from(&stack, id, &session.refresh_token, &address).send().await.expect(200);
    }
    refused(refresh_from(&stack, id, &session.refresh_token, "2001:db8:1:2:aaaa::9").send().await);
    refresh_from(&stack, id, &session.refresh_token, "2001:db8:1:3::1").send().await.expect(200);
    // Holders share their address's quota, applications with a key do not.
    let read = stack.request("GET", &session_path(id)).bearer(&session.access_token).source_ip("198.51.100.7");
    refused(read.send().await);
    stack.app.request("GET", &session_path(id)).source_ip("198.51.100.7").send().await.expect(200);
    let by_application = stack.app.request("POST", &format!("{}/refresh", session_path(id)));
    let by_application =
        by_application.source_ip("198.51.100.7").json(&json!({ "refreshToken": session.refresh_token }));
    by_application.send().await.expect(200);
}

/// T-58: the fields of a caller's own quota tell what is not its own from what never existed no better than the rest.
#[tokio::test]
async fn t_58_the_fields_do_not_tell_what_exists() {
    let stack = limited(json!({ "applicationPerMinute": 1000, "unknownPerMinute": 0 })).await;
    let other: Application = super::other_application(&stack).await;
    let foreign = other.start_session("ada").await;
    let unknown = foreign.session_id.replace(&foreign.session_id[8..], "AAAAAAAAAAAAAAAAAAAA");
    stack.clock().freeze();
    let mut before = left(&stack.app.get(&unknown).await);
    for _ in 0..10 {
        let (theirs, none) = (stack.app.get(&foreign.session_id).await, stack.app.get(&unknown).await);
        assert_eq!(face(&theirs), face(&none));
        assert_eq!(theirs.header("ratelimit-policy"), none.header("ratelimit-policy"));
        for answer in [theirs, none] {
            let now = left(&answer.expect(404));
            assert_eq!(now, (before.0 - 1, before.1), "each costs one");
            before = now;
        }
    }
}

/// A limiter adds no failures: what needs no Redis is served while Redis is away.
#[tokio::test]
async fn a_limiter_without_redis_refuses_nothing_of_its_own() {
    let stack = limited(json!({ "applicationPerMinute": 5, "holderPerMinute": 5 })).await;
    let session = stack.app.start_session("ada").await;
    stack.redis().stop().await;
    let path = session_path(&session.session_id);
    for _ in 0..3 {
        stack.app.get(&session.session_id).await.expect_problem(503, "dependency_unavailable");
        stack.request("GET", &path).send().await.expect_problem(401, "credential_missing");
        stack.request("GET", &path).bearer("no").send().await.expect_problem(401, "credential_invalid");
        assert_eq!(stack.app.introspect("garbage").await.expect(200).text(), r#"{"active":false}"#);
    }
    stack.redis().restart().await;
    stack.app.get(&session.session_id).await.expect_problem(404, "not_found");
}
