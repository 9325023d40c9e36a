//! Attacks on what lies in the stores and on what environments remember.

use std::collections::BTreeSet;
use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Stack, Value, json};
use redis::aio::MultiplexedConnection;
use redis::cmd;
use shared::adapters::redis::keys;
use shared::core::id::SessionId;
use shared::core::record::HEADER_BYTES;

/// A record in Redis, taken apart.
struct Stored {
    key: String,
    head: Vec<u8>,
    sealed: Vec<u8>,
}

impl Stored {
    async fn load(redis: &mut MultiplexedConnection, session: &str) -> Self {
        let key = keys::session(&SessionId::parse(session).expect("a session id"));
        let bytes: Vec<u8> = cmd("GET").arg(&key).query_async(redis).await.expect("a record");
        let attributes = usize::from(u16::from_be_bytes([bytes[54], bytes[55]]));
        let (head, sealed) = bytes.split_at(HEADER_BYTES + attributes);
        Stored { key, head: head.to_vec(), sealed: sealed.to_vec() }
    }

    async fn write(&self, redis: &mut MultiplexedConnection, sealed: &[u8]) {
        let bytes = [&self.head, sealed].concat();
        cmd("SET").arg(&self.key).arg(bytes).arg("KEEPTTL").exec_async(redis).await.expect("SET succeeds");
    }
}

async fn begin(stack: &Stack, user: &str, note: &str) -> SessionTokens {
    let body = json!({"userId": user, "data": {"note": note}});
    SessionTokens::from_created(&stack.app.create_session(body).await.expect(201))
}

/// An idempotency key stands for one payload of one user of one application, and answers nobody else.
#[tokio::test]
async fn t_76_an_idempotency_key_is_its_callers_own() {
    let stack = Stack::start().await;
    let other = stack
        .create_application(json!({"applicationId": "other", "name": "Other", "scopes": ["sessions:create"]}))
        .await;
    let send = |key: &str, user: &str, data: &str| {
        let body = json!({"userId": user, "data": {"note": data}});
        stack.request("POST", "/sessions").bearer(key).header("idempotency-key", "the-key").json(&body)
    };
    let first = SessionTokens::from_created(&send(&stack.app.key, "ada", "one").send().await);
    let again = SessionTokens::from_created(&send(&stack.app.key, "ada", "one").send().await);
    assert_eq!(again.session_id, first.session_id);
    send(&stack.app.key, "ada", "two").send().await.expect_problem(422, "idempotency_key_reused");
    let of_bob = SessionTokens::from_created(&send(&stack.app.key, "bob", "one").send().await);
    let of_other = SessionTokens::from_created(&send(&other.key, "ada", "one").send().await);
    let sessions = BTreeSet::from([first.session_id, of_bob.session_id, of_other.session_id]);
    assert_eq!(sessions.len(), 3);
}

/// Data moved to another session do not open there, whoever's they are, and nothing but data is out of reach.
#[tokio::test]
async fn t_78_i_10_data_of_one_session_do_not_open_in_another() {
    let stack = Stack::start().await;
    let mut redis = stack.redis().connection().await;
    let mut all = Vec::new();
    for (user, note) in [("ada", "first"), ("ada", "second"), ("bob", "third")] {
        let tokens = begin(&stack, user, note).await;
        all.push((Stored::load(&mut redis, &tokens.session_id).await, tokens, note));
    }
    for (at, (here, SessionTokens { session_id: session, access_token, .. }, note)) in all.iter().enumerate() {
        for (from, (there, ..)) in all.iter().enumerate().filter(|(from, _)| *from != at) {
            here.write(&mut redis, &there.sealed).await;
            let refused = stack.app.get(session).await;
            assert_eq!(refused.status, 503, "{from} in {at}: {refused:?}");
            let told = stack.app.introspect(access_token).await.expect(200).json();
            assert_eq!(told["active"], true, "{from} in {at}: what needs no data goes on");
        }
        here.write(&mut redis, &here.sealed).await;
        assert_eq!(stack.app.get(session).await.expect(200).json()["data"]["note"], *note);
    }
}

/// Data of an earlier version do not open in a later one.
#[tokio::test]
async fn t_79_i_10_data_can_not_be_rolled_back_under_their_version() {
    let stack = Stack::start().await;
    let mut redis = stack.redis().connection().await;
    let session = begin(&stack, "ada", "old").await.session_id;
    let old = Stored::load(&mut redis, &session).await;
    stack.app.put(&session, "\"1\"", json!({"data": {"note": "recent"}})).await.expect(200);
    let current = Stored::load(&mut redis, &session).await;
    current.write(&mut redis, &old.sealed).await;
    assert_eq!(stack.app.get(&session).await.status, 503);
    current.write(&mut redis, &current.sealed).await;
    assert_eq!(stack.app.get(&session).await.expect(200).json()["data"]["note"], "recent");
}

/// A changed, cut or extended ciphertext is an outage of the data: never an empty object, never other data, and what lies
/// there stays as it is.
#[tokio::test]
async fn t_80_damaged_data_are_out_of_reach_and_left_alone() {
    let stack = Stack::start().await;
    let mut redis = stack.redis().connection().await;
    let session = begin(&stack, "ada", "whole").await.session_id;
    let stored = Stored::load(&mut redis, &session).await;
    let sealed = &stored.sealed;
    let mut damaged: Vec<Vec<u8>> = [0, 1, 2, 17, 18, sealed.len() / 2, sealed.len() - 1]
        .map(|at| {
            let mut bytes = sealed.clone();
            bytes[at] ^= 0x40;
            bytes
        })
        .to_vec();
    damaged.extend([1, 17, 18, 19, sealed.len() - 1].map(|length| sealed[..length].to_vec()));
    damaged.push([sealed.as_slice(), b"x"].concat());
    for bytes in damaged {
        stored.write(&mut redis, &bytes).await;
        assert_eq!(stack.app.get(&session).await.status, 503, "{} bytes", bytes.len());
        let kept = Stored::load(&mut redis, &session).await;
        assert_eq!(kept.sealed, bytes);
    }
    stored.write(&mut redis, sealed).await;
    assert_eq!(stack.app.get(&session).await.expect(200).json()["data"]["note"], "whole");
}

/// A warm environment that has just served a session refuses it as soon as another one has ended it.
#[tokio::test]
async fn t_96_a_warm_environment_never_serves_what_another_has_ended() {
    let stack = Stack::builder().with_environments(2).start().await;
    for user in ["ada", "bob", "eve"] {
        let session = begin(&stack, user, "data").await;
        let path = format!("/sessions/{}", session.session_id);
        let read = || stack.app.request("GET", &path).on_environment(0).send();
        let token = [("token", session.access_token.as_str())];
        let introspect = || stack.app.request("POST", "/introspect").form(&token).on_environment(0).send();
        read().await.expect(200);
        assert_eq!(introspect().await.expect(200).json()["active"], true);
        stack.app.request("DELETE", &path).on_environment(1).send().await.expect(204);
        assert_eq!(introspect().await.expect(200).json(), json!({"active": false}));
        read().await.expect_problem(404, "session_ended");
    }
}

/// That there was nothing is not remembered either.
#[tokio::test]
async fn t_97_nothing_remembered_hides_a_session() {
    let stack = Stack::builder().with_environments(2).start().await;
    let list = || stack.app.request("GET", "/sessions/user/ada").on_environment(0).send();
    for sessions in 0..3 {
        let listed = list().await.expect(200).json();
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(sessions));
        let body = json!({"userId": "ada"});
        stack.app.request("POST", "/sessions").json(&body).on_environment(1).send().await.expect(201);
    }
}

/// The leeway of clocks is given to expiry, never to an end.
#[tokio::test]
async fn t_99_leeway_is_no_grace_for_an_ended_session() {
    let stack = Stack::builder().with_clock().start().await;
    let session = begin(&stack, "ada", "data").await;
    let own =
        || stack.request("GET", &format!("/sessions/{}", session.session_id)).bearer(&session.access_token).send();
    stack.advance(Duration::from_secs(310));
    own().await.expect(200);
    stack.app.delete(&session.session_id).await.expect(204);
    own().await.expect_problem(401, "session_ended");
}

/// Whatever fails, no log line holds a credential, data, or whose they are.
#[tokio::test]
async fn t_94_i_8_no_log_names_a_person_or_a_secret_when_stores_fail() {
    let stack = Stack::builder().with_redis_proxy().with_moto_proxy().with_environments(1).start().await;
    let body = json!({
        "userId": "canary-user", "data": {"note": "canary-data"},
        "device": {"deviceId": "canary-device", "name": "canary-name"},
        "client": {"ip": "198.51.100.77", "userAgent": "canary-agent/1", "fingerprint": "canary-print"},
    });
    let session = SessionTokens::from_created(&stack.app.create_session(body.clone()).await.expect(201));
    stack.redis_proxy().go_offline().await;
    stack.app.create_session(body.clone()).await.expect(503);
    stack.app.get(&session.session_id).await.expect(503);
    stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(503);
    stack.redis_proxy().go_online().await;
    stack.moto_proxy().go_offline().await;
    stack.app.create_session(body).await.expect(503);
    stack.app.delete(&session.session_id).await.expect(503);
    stack.moto_proxy().go_online().await;
    let mut logs = String::new();
    for function in ["create-session", "get-session", "refresh-session", "delete-session"] {
        stack.fleet.running(function).iter().for_each(|environment| logs.push_str(&environment.log_text()));
    }
    assert!(logs.contains("away"), "the outages are told: {logs}");
    for needle in ["canary", "198.51.100", &session.access_token, &session.refresh_token, &stack.app.key] {
        assert!(!logs.contains(needle), "{needle} is in a log");
    }
}

/// A storm of requests on a cold environment costs one unwrap per ring.
#[tokio::test]
async fn t_95_a_storm_on_a_cold_environment_unwraps_each_ring_once() {
    let stack = Stack::builder().with_moto_proxy().with_environments(1).start().await;
    begin(&stack, "ada", "data").await;
    let before = stack.moto_proxy().calls("TrentService.Decrypt");
    stack.fleet.recycle("create-session").await;
    for number in 0..30 {
        begin(&stack, &format!("user-{number}"), "data").await;
    }
    assert_eq!(stack.moto_proxy().calls("TrentService.Decrypt") - before, 3);
}

/// Every sealing has a salt of its own, and with it a key of its own: the same data come out otherwise each time.
#[tokio::test]
async fn asvs_11_3_4_every_sealing_has_a_salt_of_its_own() {
    let stack = Stack::start().await;
    let mut redis = stack.redis().connection().await;
    let session = begin(&stack, "ada", "the same").await.session_id;
    let mut salts = BTreeSet::new();
    for version in 1..=20 {
        let stored = Stored::load(&mut redis, &session).await;
        // Behind the suite and the id of the ring's key.
        assert!(salts.insert(stored.sealed[2..18].to_vec()), "version {version} has the salt of an earlier one");
        let tag = format!("\"{version}\"");
        stack.app.put(&session, &tag, json!({"data": {"note": "the same"}})).await.expect(200);
    }
}

/// A log line is one JSON object, whatever a request says and whatever becomes of it.
#[tokio::test]
async fn t_52_a_log_line_is_one_json_object_whatever_a_request_says() {
    let stack = Stack::builder().with_redis_proxy().with_environments(1).start().await;
    let hostile = "forged\r\n{\"level\":\"ERROR\"}\u{1b}[31m\u{2028}\u{202e}\",\"admin\":\"true";
    let bodies = [
        json!({"userId": hostile}),
        json!({"userId": "ada", "data": {hostile: hostile}}),
        json!({"userId": "ada", "device": {"deviceId": "d", "name": hostile}}),
        json!({"userId": "ada", "client": {"ip": hostile, "userAgent": hostile}}),
        json!({"userId": "ada", hostile: 1}),
        json!(hostile),
    ];
    for away in [false, true] {
        if away {
            stack.redis_proxy().go_offline().await;
        }
        for body in &bodies {
            let request = stack.app.request("POST", "/sessions").user_agent("forged/1 \",\"admin\":\"true");
            let answer = request.json(body).send().await;
            assert!([201, 400, 503].contains(&answer.status), "{answer:?}");
        }
    }
    let logs = stack.environment("create-session", 0).await.log_text();
    assert!(logs.lines().count() >= 2 * bodies.len(), "every request has a line: {logs}");
    for line in logs.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(record.is_object() && !line.contains("forged"), "{line}");
    }
}
