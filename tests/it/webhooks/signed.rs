use super::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::{Stack, Value, json, secrets};
use std::collections::BTreeSet;

/// Panics unless a message carries a signature of these bytes under the secret as its receiver was shown it.
#[track_caller]
pub fn verify(message: &Received, secret: &str) {
    let secret = STANDARD.decode(secret.strip_prefix("whsec_").expect("the prefix")).expect("base64");
    assert!(secret.len() >= 24, "conventions ask for 24 to 64 bytes");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
    let signed = format!("{}.{}.{}", message.header("webhook-id"), message.header("webhook-timestamp"), message.body);
    let signature = message.header("webhook-signature").strip_prefix("v1,").expect("version 1");
    let signature = STANDARD.decode(signature).expect("base64");
    ring::hmac::verify(&key, signed.as_bytes(), &signature).expect("a genuine signature");
}

/// T-02, T-94, I-8: a replay ends the session, and the application hears of both, signed, without anything personal and
/// without a credential.
#[tokio::test]
async fn t_02_a_replay_is_told_to_the_application_signed_and_once() {
    let stack = builder().start().await;
    let hook = Hook::start().await;
    let receiver = json!({"receiverId": "shop-hooks", "url": hook.url(), "kind": "webhook"});
    let added = add_receiver(&stack, &stack.app, receiver).await;
    let secret = added["receiverSecret"].as_str().expect("a secret");
    let client = json!({"ip": "203.0.113.77", "userAgent": "agent-canary", "fingerprint": "fingerprint-canary"});
    let body = json!({"userId": "ada-canary", "data": {"note": "data-canary"}, "client": client});
    let session = integration_tests::application::SessionTokens::from_created(&stack.app.create_session(body).await);
    let second = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    let second = second["refreshToken"].as_str().expect("a token").to_owned();
    let third = stack.app.refresh(&session.session_id, &second).await.expect(200).json();
    let thief = stack.app.refresh(&session.session_id, &session.refresh_token).await;
    thief.expect_problem(401, "refresh_token_reused");

    assert_eq!(stack.run_write_audit().await["handedOver"], 2, "creation and refreshes concern nobody");
    let delivered = stack.run_deliveries().await;
    assert_eq!((&delivered["delivered"], &delivered["more"]), (&json!(2), &json!(false)), "{delivered}");
    let received = hook.received();
    let mut kinds = BTreeSet::new();
    for message in &received {
        verify(message, secret);
        assert_eq!((message.method.as_str(), message.path.as_str()), ("POST", "/hooks?token=query-canary-7319"));
        assert_eq!(message.header("content-type"), "application/json");
        assert_eq!(message.header("host"), hook.url()["http://".len()..].split('/').next().expect("a host"));
        let body = message.json();
        assert_eq!(body["id"], message.header("webhook-id"));
        assert!(!message.header("webhook-id").contains('.'), "the signature joins with full stops");
        kinds.insert(body["type"].as_str().expect("a type").to_owned());
        let members: Vec<_> = body.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(members, ["data", "id", "occurredAt", "type"]);
        assert_eq!(body["data"]["applicationId"], stack.app.id.as_str());
        assert_eq!(body["data"]["sessionId"], session.session_id.as_str());
        if body["type"] == "session.ended" {
            assert_eq!(body["data"]["reason"], "reuse");
        }
        let everything = format!("{message:?}");
        let third = third["refreshToken"].as_str().expect("a token");
        let credentials =
            [&session.refresh_token, &session.access_token, second.as_str(), third, &stack.app.key, secret];
        let personal = ["ada-canary", "agent-canary", "fingerprint-canary", "data-canary", "203.0.113.77"];
        for hidden in personal.into_iter().chain(credentials) {
            assert!(!everything.contains(hidden), "{hidden} in {everything}");
        }
    }
    assert_eq!(kinds, BTreeSet::from(["refresh.replayed".to_owned(), "session.ended".to_owned()]));
    assert_eq!(hook.ids().iter().collect::<BTreeSet<_>>().len(), 2, "an event has an id of its own");

    // Nothing is left, neither for the next run nor in the table beside the marks.
    stack.run_write_audit().await;
    assert_eq!(stack.run_deliveries().await["delivered"], 0);
    assert_eq!(hook.received().len(), 2);
    assert_eq!(count_in(&stack, "done").await, 2);
    for item in deliveries(&stack).await {
        for over in ["queue", "dueAt", "notice"] {
            assert!(!item.contains_key(over), "{over} in {item:?}");
        }
        assert!(item["expiresAt"].as_n().is_ok(), "{item:?}");
    }
    secrets::register("query-canary-7319");
    let log = stack.environment("deliver-events", 0).await.log_text();
    assert!(!log.contains("query-canary-7319") && !log.contains("whsec_"), "{log}");
}

/// I-9: a receiver hears of the events it names, of its own application; of users, with everybody who shares them.
#[tokio::test]
async fn i_9_receivers_hear_what_concerns_them() {
    let stack = builder().start().await;
    let new = |name: &str, group: &str| json!({"applicationId": name, "groupId": group, "name": name, "scopes": ["sessions:create", "sessions:read", "sessions:write", "users:manage"]});
    let shop = stack.create_application(new("shop", "shops")).await;
    let till = stack.create_application(new("till", "shops")).await;
    let bank = stack.create_application(new("bank", "bank")).await;
    let hooks = [Hook::start().await, Hook::start().await, Hook::start().await, Hook::start().await];
    let events = [
        (&shop, &hooks[0], json!(["session.created", "session.updated"])),
        (&shop, &hooks[1], json!(["session.ended", "user.revoked"])),
        (&till, &hooks[2], json!(["session.ended", "user.revoked"])),
        (&bank, &hooks[3], json!(["session.created", "session.ended", "user.revoked"])),
    ];
    for (application, hook, events) in events {
        add_receiver(&stack, application, json!({"url": hook.url(), "kind": "webhook", "events": events})).await;
    }
    let first = shop.start_session("ada").await.session_id;
    let second = till.start_session("ada").await.session_id;
    shop.delete(&first).await.expect(204);
    till.delete_user_sessions("ada").await.expect(204);
    stack.app.start_session("ada").await;
    stack.run_write_audit().await;
    stack.run_deliveries().await;
    let told = |hook: &Hook| -> BTreeSet<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let bodies = hook.received().into_iter().map(|message| message.json());
        bodies.map(|body| (text(&body["type"]), text(&body["data"]["sessionId"]))).collect()
    };
    let pair = |kind: &str, session: &str| (kind.to_owned(), session.to_owned());
    assert_eq!(told(&hooks[0]), BTreeSet::from([pair("session.created", &first)]));
    assert_eq!(told(&hooks[1]), BTreeSet::from([pair("session.ended", &first), pair("user.revoked", "")]));
    assert_eq!(told(&hooks[2]), BTreeSet::from([pair("session.ended", &second), pair("user.revoked", "")]));
    assert_eq!(told(&hooks[3]), BTreeSet::new(), "nobody of the bank's");
}

/// A removed receiver hears nothing more; one that is added anew under its name signs with another secret. A disabled
/// application's receivers wait.
#[tokio::test]
async fn removed_receivers_and_disabled_applications_hear_nothing() {
    let stack = builder().with_clock().start().await;
    let hook = Hook::start().await;
    let first = add_webhook(&stack, "shop-hooks", &hook.url()).await;
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    let on = |action: &str| json!({"action": action, "applicationId": stack.app.id});
    let remove = json!({"action": "remove-receiver", "applicationId": stack.app.id, "receiverId": "shop-hooks"});
    let invoke = async |command: &Value| stack.invoke("manage-applications", command).await.expect("done");
    invoke(&on("disable")).await;
    assert_eq!(stack.run_deliveries().await["delivered"], 0);
    invoke(&on("enable")).await;
    assert_eq!(stack.run_deliveries().await["delivered"], 1);
    verify(&hook.received()[0], &first);

    stack.advance(std::time::Duration::from_secs(61));
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    invoke(&remove).await;
    assert_eq!(stack.run_deliveries().await["delivered"], 0, "what waited for it stays");
    let second = add_webhook(&stack, "other-hooks", &hook.url()).await;
    invoke(&json!({"action": "remove-receiver", "applicationId": stack.app.id, "receiverId": "other-hooks"})).await;
    let third = add_webhook(&stack, "other-hooks", &hook.url()).await;
    assert_eq!(BTreeSet::from([&first, &second, &third]).len(), 3, "secrets rotate by adding anew");
    stack.advance(std::time::Duration::from_secs(61));
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    assert_eq!(stack.run_deliveries().await["delivered"], 1);
    verify(&hook.received()[1], &third);
}

/// Applications without receivers cost a run nothing but one look at the list of applications; alerts one at each queue.
#[tokio::test]
async fn without_receivers_nothing_is_handed_over_and_no_ring_is_opened() {
    let stack = builder().with_moto_proxy().with_environments(1).start().await;
    end_sessions(&stack, 3).await;
    let before = stack.moto_proxy().targets();
    assert_eq!(stack.run_write_audit().await["handedOver"], 0);
    end_sessions(&stack, 3).await;
    stack.run_write_audit().await;
    stack.run_deliveries().await;
    let after = stack.moto_proxy().targets();
    let more = |target: &str| after.get(target).unwrap_or(&0) - before.get(target).unwrap_or(&0);
    assert_eq!(more("DynamoDB_20120810.Scan"), 2, "one for each job; a warm write-audit remembers");
    let queues = u64::from(shared::limits::DELIVERY_QUEUES);
    assert_eq!(more("DynamoDB_20120810.Query"), queues, "nobody to ask for but the topic");
    assert!(deliveries(&stack).await.is_empty());
    assert_eq!(delivered_rings(&stack).await, 0);
}

/// Rings that a cold deliver-events unwraps when nothing is due.
async fn delivered_rings(stack: &Stack) -> u64 {
    stack.fleet.recycle("deliver-events").await;
    let before = stack.moto_proxy().calls("TrentService.Decrypt");
    stack.run_deliveries().await;
    stack.moto_proxy().calls("TrentService.Decrypt") - before
}
