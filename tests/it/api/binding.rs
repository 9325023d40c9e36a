//! Sessions that are bound to the network they began at: T-90, T-91. A request from elsewhere is refused and told, and
//! the session goes on.

use integration_tests::application::SessionTokens;
use integration_tests::{Request, Stack, audit, json};

use super::risk::{CHROME, ELSEWHERE, HOME, begin, read, refresh};
use super::{session_path, text};

const MISMATCH: &str = "binding_mismatch";

async fn bound(binding: integration_tests::Value) -> Stack {
    Stack::builder().with_policy(json!({ "binding": binding })).start().await
}

#[tokio::test]
async fn a_request_from_another_network_is_refused_and_leaves_the_session_alone() {
    let stack = Stack::builder().with_policy(json!({ "binding": { "ip": "prefix" } })).with_database().start().await;
    let session = begin(&stack, "ada").await;
    let token = &session.refresh_token;
    read(&stack, &session, "203.0.113.200", CHROME).send().await.expect(200);
    for _ in 0..2 {
        read(&stack, &session, ELSEWHERE, CHROME).send().await.expect_problem(401, MISMATCH);
        refresh(&stack, &session, token, ELSEWHERE, CHROME).send().await.expect_problem(401, MISMATCH);
        let own = stack.request("PUT", &session_path(&session.session_id)).bearer(&session.access_token);
        let own = own.header("if-match", "*").json(&json!({ "data": { "a": 1 } })).source_ip(ELSEWHERE);
        own.send().await.expect_problem(401, MISMATCH);
    }
    // The rightful holder notices nothing: no token is used up, nothing is changed.
    let next = refresh(&stack, &session, token, HOME, CHROME).send().await.expect(200).json();
    // Its answer is nobody else's, not even within the grace window.
    refresh(&stack, &session, token, ELSEWHERE, CHROME).send().await.expect_problem(401, MISMATCH);
    let again = refresh(&stack, &session, token, "203.0.113.77", CHROME).send().await.expect(200).json();
    assert_eq!(again["refreshToken"], next["refreshToken"]);
    let seen = read(&stack, &session, HOME, CHROME).send().await.expect(200).json();
    assert_eq!((&seen["data"], &seen["version"], seen.get("risk")), (&json!({}), &json!(1), None));

    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let refused: Vec<_> = rows.iter().filter(|row| row.event.event_type == "session.binding_refused").collect();
    assert_eq!(refused.len(), 7);
    assert!(refused.iter().all(|row| row.event.detail == "network" && row.event.actor == "holder"));
}

#[tokio::test]
async fn introspection_of_a_bound_session_from_elsewhere_is_inactive_and_harmless() {
    let stack = bound(json!({ "ip": "exact" })).await;
    let session = begin(&stack, "ada").await;
    let active = async |address: &str| {
        let form = [("token", session.access_token.as_str()), ("client_ip", address)];
        stack.app.request("POST", "/introspect").form(&form).send().await.expect(200).json()["active"].clone()
    };
    assert_eq!(active("203.0.113.11").await, false);
    assert_eq!(active(HOME).await, true);
}

/// T-91: what counts as one address, under each binding.
#[tokio::test]
async fn t_91_prefixes_are_those_of_the_policy_and_mapped_addresses_are_ipv4() {
    for (binding, began, same, other) in [
        (json!({ "ip": "exact" }), HOME, HOME, "203.0.113.11"),
        (json!({ "ip": "exact" }), HOME, "::ffff:203.0.113.10", "::ffff:203.0.113.11"),
        (json!({ "ip": "exact" }), "2001:db8::1", "2001:db8:0:0::1", "2001:db8::2"),
        (json!({ "ip": "prefix" }), HOME, "::ffff:203.0.113.99", "203.0.114.10"),
        (json!({ "ip": "prefix", "ipv4PrefixBits": 16 }), HOME, "203.0.7.7", "203.1.113.10"),
        (json!({ "ip": "prefix" }), "2001:db8:1:200::1", "2001:db8:1:2ff::9", "2001:db8:1:300::1"),
        (
            json!({ "ip": "prefix", "ipv6PrefixBits": 64 }),
            "2001:db8:1:200::1",
            "2001:db8:1:200:ffff::9",
            "2001:db8:1:201::1",
        ),
        (json!({ "ip": "prefix" }), HOME, HOME, "2001:db8::1"),
    ] {
        let stack = bound(binding.clone()).await;
        let body = json!({ "userId": "ada", "client": { "ip": began, "userAgent": CHROME } });
        let session = SessionTokens::from_created(&stack.app.create_session(body).await);
        read(&stack, &session, same, CHROME).send().await.expect(200);
        let refused = read(&stack, &session, other, CHROME).send().await;
        assert_eq!((refused.status, refused.code().as_str()), (401, MISMATCH), "{binding} {began} {other}");
        read(&stack, &session, same, CHROME).send().await.expect(200);
    }
}

#[tokio::test]
async fn a_kind_of_device_may_be_bound_more_closely_than_the_rest() {
    let policy = json!({ "deviceTypes": { "kiosk": { "binding": { "ip": "exact" } } } });
    let stack = Stack::builder().with_policy(policy).start().await;
    let session = async |kind: &str| {
        let client = json!({ "ip": HOME, "userAgent": CHROME });
        let body = json!({ "userId": kind, "device": { "type": kind }, "client": client });
        SessionTokens::from_created(&stack.app.create_session(body).await)
    };
    let (kiosk, phone) = (session("kiosk").await, session("phone").await);
    read(&stack, &kiosk, "203.0.113.11", CHROME).send().await.expect_problem(401, MISMATCH);
    read(&stack, &kiosk, HOME, CHROME).send().await.expect(200);
    for address in ["203.0.113.11", ELSEWHERE] {
        read(&stack, &phone, address, CHROME).send().await.expect(200);
    }
}

/// A session that began without a client is bound to where it is first used.
#[tokio::test]
async fn a_session_that_began_nowhere_is_bound_by_its_first_use() {
    let stack = bound(json!({ "ip": "prefix" })).await;
    let session = stack.app.start_session("ada").await;
    read(&stack, &session, HOME, CHROME).send().await.expect(200);
    read(&stack, &session, ELSEWHERE, CHROME).send().await.expect_problem(401, MISMATCH);
    let next = refresh(&stack, &session, &session.refresh_token, HOME, CHROME).send().await.expect(200).json();
    let token = text(&next["refreshToken"]);
    refresh(&stack, &session, &token, ELSEWHERE, CHROME).send().await.expect_problem(401, MISMATCH);
}

/// A changed policy moves nobody to another network.
#[tokio::test]
async fn t_93_a_session_keeps_the_prefix_it_began_under() {
    let stack = Stack::builder().with_clock().with_policy(json!({ "binding": { "ip": "prefix" } })).start().await;
    let session = begin(&stack, "ada").await;
    let policy = json!({ "binding": { "ip": "prefix", "ipv4PrefixBits": 32 } });
    let event = json!({ "action": "update", "applicationId": stack.app.id, "changes": { "policy": policy } });
    let updated = stack.invoke("manage-applications", &event).await;
    updated.expect("the policy changes");
    stack.advance(std::time::Duration::from_secs(61));
    read(&stack, &session, "203.0.113.99", CHROME).send().await.expect(200);
    read(&stack, &session, ELSEWHERE, CHROME).send().await.expect_problem(401, MISMATCH);
    let later = begin(&stack, "ada").await;
    read(&stack, &later, "203.0.113.99", CHROME).send().await.expect_problem(401, MISMATCH);
}

/// T-90: headers of forwarding are never read, and those of CloudFront only from the distribution that proves itself.
#[tokio::test]
async fn t_90_only_a_proved_edge_says_where_a_request_comes_from() {
    let digest: String =
        shared::core::crypto::sha256(b"origin-secret").iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = json!({ "binding": { "ip": "exact" } });
    let stack = Stack::builder().with_policy(policy).with_variable("CLOUDFRONT_ORIGIN_DIGEST", &digest).start().await;
    let session = begin(&stack, "ada").await;
    let viewer = format!("{HOME}:4711");
    for spoofed in [HOME, "203.0.113.10, 198.51.100.66", "1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4, 203.0.113.10"] {
        let request = read(&stack, &session, ELSEWHERE, CHROME).header("x-forwarded-for", spoofed);
        let request = request.header("x-real-ip", HOME).header("forwarded", &format!("for={HOME}"));
        request.header("cloudfront-viewer-address", &viewer).send().await.expect_problem(401, MISMATCH);
    }
    let through = |proof: &str, request: Request| {
        request.header("x-origin-verify", proof).header("cloudfront-viewer-address", &viewer)
    };
    through("guess", read(&stack, &session, ELSEWHERE, CHROME)).send().await.expect_problem(401, MISMATCH);
    through("origin-secret", read(&stack, &session, ELSEWHERE, CHROME)).send().await.expect(200);
    // Behind the edge the peer is the edge, and no viewer.
    let other = read(&stack, &session, HOME, CHROME).header("x-origin-verify", "origin-secret");
    other.header("cloudfront-viewer-address", "198.51.100.66:1").send().await.expect_problem(401, MISMATCH);
}
