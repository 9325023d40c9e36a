use integration_tests::application::SessionTokens;
use integration_tests::audit::{self, Row};
use integration_tests::{Application, Response, Stack, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const CREATED: &str = "session.created";
const ENDED: &str = "session.ended";
const REFUSED: &str = "request.refused";

/// What a row must say, beside its subject.
type Told = (&'static str, &'static str, &'static str, String, String, String);

/// The rows a flow must leave, as requests make them.
#[derive(Default)]
struct Expected {
    rows: Vec<Told>,
    /// Session, and request that made one → user.
    users: BTreeMap<String, &'static str>,
    devices: BTreeSet<String>,
}

impl Expected {
    fn add(&mut self, kind: &'static str, reason: &'static str, actor: &'static str, session: &str, by: &Response) {
        self.add_by(kind, reason, actor, session, by.header("x-request-id"));
    }

    fn add_by(&mut self, kind: &'static str, reason: &'static str, actor: &'static str, session: &str, request: &str) {
        assert_ne!(request, "");
        self.rows.push((kind, reason, actor, session.to_owned(), request.to_owned(), String::new()));
    }

    async fn session(&mut self, app: &Application, user: &'static str, body: serde_json::Value) -> SessionTokens {
        let created = app.create_session(body.clone()).await;
        let tokens = SessionTokens::from_created(&created);
        self.users.insert(tokens.session_id.clone(), user);
        self.users.insert(created.header("x-request-id").to_owned(), user);
        // The first session on a device registers it.
        let device = body["device"]["deviceId"].as_str().unwrap_or_default().to_owned();
        if !device.is_empty() && self.devices.insert(device) {
            self.add("device.registered", "", "application", "", &created);
        }
        self.add(CREATED, "", "application", &tokens.session_id, &created);
        tokens
    }
}

fn told(row: &Row) -> (&str, &str, &str, String, String) {
    let event = &row.event;
    (&event.event_type, &event.reason, &event.actor, event.session_id.clone(), event.request_id.clone())
}

/// Every change of state, and every refusal, leaves exactly one row that names what, why, who, whom and which request; nothing personal,
/// no credential and no data reaches the database.
#[tokio::test]
async fn every_change_of_state_has_exactly_one_row() {
    let stack = Stack::builder()
        .with_clock()
        .with_database()
        .with_policy(json!({"sessionLimit": {"max": 2, "onLimit": "evict_oldest"}, "idleTimeoutSeconds": 3600}))
        .start()
        .await;
    let app = &stack.app;
    let mut expected = Expected::default();

    // Changes of one session by its application; the reads between them change nothing.
    let data = json!({"secret": "data-in-clear"});
    let ada = json!({"userId": "ada@example.org", "data": data, "device": {"deviceId": "laptop-of-ada"}});
    let first = expected.session(app, "ada", ada.clone()).await;
    app.get(&first.session_id).await.expect(200);
    app.list("ada@example.org").await.expect(200);
    app.introspect(&first.access_token).await.expect(200);
    let put = app.put(&first.session_id, "\"1\"", json!({"data": {"secret": "other-data-in-clear"}})).await.expect(200);
    expected.add("session.updated", "", "application", &first.session_id, &put);
    let patch = app.patch(&first.session_id, "\"2\"", json!({"data": {"secret": null}})).await.expect(200);
    expected.add("session.updated", "", "application", &first.session_id, &patch);
    app.put(&first.session_id, "\"1\"", json!({"data": {}})).await.expect(412);
    let lock = format!("/sessions/{}/lock", first.session_id);
    let locked = app.request("POST", &lock).json(&json!({})).send().await.expect(201);
    expected.add("session.locked", "", "application", &first.session_id, &locked);
    let token = locked.json()["lockToken"].as_str().expect("a token").to_owned();
    // A renewal is no event.
    app.request("POST", &lock).json(&json!({ "lockToken": token })).send().await.expect(200);
    let other = app.request("DELETE", &lock).header("session-lock", "lk_AAAAAAAAAAAAAAAAAAAAAA").send().await;
    let other = other.expect(409);
    expected.add("lock.refused", "", "application", &first.session_id, &other);
    expected.add(REFUSED, "lock_lost", "application", &first.session_id, &other);
    let unlocked = app.request("DELETE", &lock).header("session-lock", &token).send().await.expect(204);
    expected.add("session.unlocked", "", "application", &first.session_id, &unlocked);
    let refreshed = app.refresh(&first.session_id, &first.refresh_token).await.expect(200);
    expected.add("session.refreshed", "", "application", &first.session_id, &refreshed);
    let next = refreshed.json()["refreshToken"].as_str().expect("a token").to_owned();
    // A lost response: the same successor, no event.
    app.refresh(&first.session_id, &first.refresh_token).await.expect(200);

    // The holder refreshes from one place, then from another.
    let path = format!("/sessions/{}/refresh", first.session_id);
    let own = |token: &str, ip: &str| {
        stack.request("POST", &path).json(&json!({"refreshToken": token})).source_ip(ip).user_agent("browser-of-ada")
    };
    let here = own(&next, "198.51.100.7").send().await.expect(200);
    expected.add("session.refreshed", "", "holder", &first.session_id, &here);
    let token = here.json()["refreshToken"].as_str().expect("a token").to_owned();
    let there = own(&token, "192.0.2.99").send().await.expect(200);
    expected.add("session.context_changed", "", "holder", &first.session_id, &there);
    expected.add("session.refreshed", "", "holder", &first.session_id, &there);
    let last = there.json()["refreshToken"].as_str().expect("a token").to_owned();

    // The third session of a user with a limit of two.
    let second = expected.session(app, "ada", ada.clone()).await;
    let third = app.create_session(ada.clone()).await;
    let tokens = SessionTokens::from_created(&third);
    expected.users.insert(tokens.session_id.clone(), "ada");
    expected.add(ENDED, "evicted", "application", &first.session_id, &third);
    expected.add(CREATED, "", "application", &tokens.session_id, &third);
    let over = own(&last, "192.0.2.99").send().await.expect_problem(401, "session_ended");
    expected.add(REFUSED, "session_ended", "holder", &first.session_id, &over);

    // The holder ends one session, a replay another.
    let gone = format!("/sessions/{}", second.session_id);
    let deleted = stack.request("DELETE", &gone).bearer(&second.access_token).send().await.expect(204);
    expected.add(ENDED, "user", "holder", &second.session_id, &deleted);
    let mut token = tokens.refresh_token.clone();
    for _ in 0..2 {
        let refreshed = app.refresh(&tokens.session_id, &token).await.expect(200);
        expected.add("session.refreshed", "", "application", &tokens.session_id, &refreshed);
        token = refreshed.json()["refreshToken"].as_str().expect("a token").to_owned();
    }
    let replay = app.refresh(&tokens.session_id, &tokens.refresh_token).await;
    let replay = replay.expect_problem(401, "refresh_token_reused");
    expected.add("refresh.replayed", "reuse", "application", &tokens.session_id, &replay);
    expected.add(ENDED, "reuse", "application", &tokens.session_id, &replay);
    expected.add(REFUSED, "refresh_token_reused", "application", &tokens.session_id, &replay);

    // The application ends one twice, revokes a token, removes a device and ends all sessions of a user.
    let bob = json!({"userId": "person-bob", "device": {"deviceId": "phone-of-bob"}});
    let one = expected.session(app, "bob", bob.clone()).await;
    let deleted = app.delete(&one.session_id).await.expect(204);
    expected.add(ENDED, "admin", "application", &one.session_id, &deleted);
    app.delete(&one.session_id).await.expect(204);
    let one = expected.session(app, "bob", bob.clone()).await;
    let revoked = app.revoke(&one.refresh_token).await.expect(200);
    expected.add(ENDED, "token_revoked", "application", &one.session_id, &revoked);
    let one = expected.session(app, "bob", bob.clone()).await;
    let removed = app.request("DELETE", "/sessions/user/person-bob?deviceId=phone-of-bob").send().await.expect(204);
    expected.add(ENDED, "device_removed", "application", &one.session_id, &removed);
    expected.add("device.revoked", "device_removed", "application", "", &removed);
    let (one, two) = (expected.session(app, "bob", bob.clone()).await, expected.session(app, "bob", bob).await);
    let all = app.delete_user_sessions("person-bob").await.expect(204);
    expected.add("user.revoked", "revoke_all", "application", "", &all);
    expected.add(ENDED, "revoke_all", "application", &one.session_id, &all);
    expected.add(ENDED, "revoke_all", "application", &two.session_id, &all);

    // Time ends one by a sweep and one by a request that finds it over.
    let swept = expected.session(app, "eve", json!({"userId": "person-eve", "idleTimeoutSeconds": 60})).await;
    let found = expected.session(app, "zoe", json!({"userId": "person-zoe", "absoluteTimeoutSeconds": 120})).await;
    let subjects_of_live = user_subjects(&stack).await;
    stack.advance(Duration::from_secs(61));
    assert_eq!(stack.run_cleanup().await["ended"], 1);
    expected.add_by(ENDED, "idle", "service", &swept.session_id, "cleanup-sessions");
    stack.advance(Duration::from_secs(60));
    let late = app.refresh(&found.session_id, &found.refresh_token).await.expect(401);
    expected.add(ENDED, "absolute", "application", &found.session_id, &late);
    expected.add(REFUSED, "session_ended", "application", &found.session_id, &late);

    let drained = stack.run_write_audit().await;
    assert_eq!(drained["written"], expected.rows.len(), "{drained}");
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let mut seen: Vec<_> = rows.iter().map(told).collect();
    let mut wanted: Vec<_> =
        expected.rows.iter().map(|(a, b, c, d, e, _)| (*a, *b, *c, d.clone(), e.clone())).collect();
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);

    // One pseudonym per user, that of the user's keys.
    let mut subjects = BTreeMap::new();
    for row in &rows {
        assert_eq!(row.event.application_id, app.id, "{row:?}");
        let of = |name: &String| expected.users.get(name).copied();
        let user = of(&row.event.session_id).or_else(|| of(&row.event.request_id)).unwrap_or("bob");
        let subject = subjects.entry(user).or_insert_with(|| row.event.subject.clone());
        assert_eq!(*subject, row.event.subject, "{row:?}");
        if !row.event.session_id.is_empty() {
            let bucket = audit::bucket_of(&row.event.session_id);
            assert!(row.event.subject.starts_with(&format!("b{bucket:03x}.")), "{row:?}");
            assert_eq!(i32::from(row.chain_group), i32::from(bucket / 64), "{row:?}");
        }
    }
    assert_eq!(subjects.len(), 4);
    for user in ["eve", "zoe"] {
        assert!(subjects_of_live.contains(&subjects[user]), "{subjects_of_live:?}");
    }

    let everything = audit::everything(&client).await;
    let mut personal = vec![
        "ada@example",
        "person",
        "data-in-clear",
        "laptop",
        "phone",
        "browser-of",
        "198.51.100",
        "192.0.2",
        "203.0.113",
        "rt_",
        "lk_",
        "sk_",
        "eyJ",
        "integration-tests",
    ];
    personal.extend([app.key.as_str(), &first.access_token, &first.refresh_token]);
    for needle in personal {
        assert!(!everything.contains(needle), "{needle} is in the database");
    }
}

/// The subjects of users who have an index in Redis.
async fn user_subjects(stack: &Stack) -> Vec<String> {
    let keys = stack.redis_keys().await;
    let index = |name: String| Some(name.strip_prefix("u:{")?.replace("}:", "."));
    keys.iter().filter_map(|key| index(key.name())).collect()
}

/// What changes of devices and documents is told, and nothing of what they are called or hold.
#[tokio::test]
async fn changes_of_devices_and_documents_are_told_without_what_they_say() {
    let stack = Stack::builder().with_database().start().await;
    let app = &stack.app;
    let named = json!({"userId": "person-ada", "device": {"deviceId": "laptop-of-ada", "name": "name-of-laptop"}});
    app.create_session(named.clone()).await.expect(201);
    app.create_session(named).await.expect(201);
    let path = "/users/person-ada/devices/laptop-of-ada";
    let change = |body: serde_json::Value| app.request("PATCH", path).json(&body).send();
    change(json!({"name": "other-name-of-laptop", "place": "place-of-laptop"})).await.expect(200);
    let data = json!({"data": {"secret": "data-in-clear"}});
    app.request("PUT", &format!("{path}/data")).header("if-match", "*").json(&data).send().await.expect(200);
    let state = app.request("PATCH", "/users/person-ada/state").header("if-match", "*").json(&data);
    state.send().await.expect(200);
    change(json!({"trust": "blocked"})).await.expect(200);
    app.request("DELETE", path).send().await.expect(204);
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let told: Vec<_> = rows.iter().map(|row| (row.event.event_type.as_str(), row.event.reason.as_str())).collect();
    let expected = [
        ("device.registered", ""),
        (CREATED, ""),
        (CREATED, ""),
        ("device.changed", ""),
        ("device.data_changed", ""),
        ("user.state_changed", ""),
        ("device.revoked", "device_blocked"),
        (ENDED, "device_blocked"),
        (ENDED, "device_blocked"),
        ("device.changed", ""),
        ("device.revoked", "device_removed"),
    ];
    assert_eq!(told, expected);
    let everything = audit::everything(&client).await;
    for needle in ["person", "laptop", "data-in-clear", "203.0.113"] {
        assert!(!everything.contains(needle), "{needle} is in the database");
    }
}

/// F-03: what Redis lost and a token proved is healed, and the audit says so.
#[tokio::test]
async fn a_healed_session_is_told_as_such() {
    let stack = Stack::builder().with_database().start().await;
    let tokens = stack.app.start_session("ada").await;
    let snapshot = stack.redis().snapshot().await;
    let refreshed = stack.app.refresh(&tokens.session_id, &tokens.refresh_token).await.expect(200);
    stack.run_write_audit().await;
    stack.redis().restart_from_snapshot(&snapshot).await;
    let next = refreshed.json()["refreshToken"].as_str().expect("a token").to_owned();
    let healed = stack.app.refresh(&tokens.session_id, &next).await.expect(200);
    // The snapshot brought back an entry that has its row already.
    assert_eq!(stack.run_write_audit().await["written"], 1);
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let kinds: Vec<_> = rows.iter().map(|row| row.event.event_type.as_str()).collect();
    assert_eq!(kinds, ["session.created", "session.refreshed", "session.healed"]);
    assert_eq!(rows[2].event.request_id, healed.header("x-request-id"));
}
