//! Golden entries of the outboxes: what the scripts of earlier releases queued is written to the audit as it was then. The file is
//! never written over; `GOLDEN_WRITE=1` writes it when it is missing, from a day in the life of a stack.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::application::SessionTokens;
use integration_tests::{Stack, Value, json};
use redis::cmd;

/// Stands for the application of the stack, which every stack names anew.
const APPLICATION: &str = "{application}";

async fn stack() -> Stack {
    let policy = json!({ "refreshGraceSeconds": 0, "sessionLimit": { "max": 3, "onLimit": "evict_oldest" } });
    Stack::builder().with_database().with_policy(policy).start().await
}

/// Something of most kinds of events.
async fn live(stack: &Stack) {
    let app = &stack.app;
    let named = json!({
        "userId": "ada",
        "data": { "cart": [1] },
        "device": { "deviceId": "laptop", "name": "Ada's laptop" },
        "client": { "ip": "203.0.113.9", "userAgent": "shop-app/4.2 (Android 16)" },
    });
    let session = SessionTokens::from_created(&app.create_session(named).await);
    let id = &session.session_id;
    app.put(id, "\"1\"", json!({ "data": { "cart": [1, 2] } })).await.expect(200);
    let next = app.refresh(id, &session.refresh_token).await.expect(200).json();
    let lock = app.request("POST", &format!("/sessions/{id}/lock")).json(&json!({ "ttlSeconds": 30 })).send().await;
    let lock = lock.expect(201).json()["lockToken"].as_str().expect("a token").to_owned();
    let unlock = app.request("DELETE", &format!("/sessions/{id}/lock")).header("session-lock", &lock);
    unlock.send().await.expect(204);
    let settings = json!({ "activityTracking": true, "location": false, "fingerprinting": true, "sharing": true });
    let settings = app.request("PUT", "/users/ada/privacy").header("if-match", "*").json(&settings);
    settings.send().await.expect(200);
    app.start_session("bob").await;
    app.delete_user_sessions("bob").await.expect(204);
    for _ in 0..4 {
        app.start_session("eve").await;
    }
    let replayed = app.start_session("mallory").await;
    app.refresh(&replayed.session_id, &replayed.refresh_token).await.expect(200);
    app.refresh(&replayed.session_id, &replayed.refresh_token).await.expect_problem(401, "refresh_token_reused");
    app.revoke(next["refreshToken"].as_str().expect("a token")).await.expect(200);
    app.request("PATCH", "/users/ada/devices/laptop").json(&json!({ "trust": "blocked" })).send().await.expect(200);
}

/// The entries that wait, with the outbox of each.
async fn entries(stack: &Stack) -> Vec<Value> {
    let mut connection = stack.redis().connection().await;
    let mut found = Vec::new();
    for outbox in stack.redis_keys().await.iter().filter(|key| key.kind == "stream") {
        let reply = cmd("XRANGE").arg(outbox.name()).arg("-").arg("+").query_async(&mut connection).await;
        let stream: Vec<(String, Vec<Vec<u8>>)> = reply.expect("XRANGE succeeds");
        for (_, fields) in stream {
            // What has no actor is what environments have measured.
            if fields.chunks_exact(2).any(|pair| pair[0] == b"c") {
                let encoded =
                    fields.iter().map(|field| URL_SAFE_NO_PAD.encode(plain(field, &stack.app.id, APPLICATION)));
                found.push(json!({ "outbox": outbox.name(), "fields": encoded.collect::<Vec<_>>() }));
            }
        }
    }
    found
}

/// The id of the application replaced: it stands alone in a field, or in a tagged attribute of its length.
fn plain(field: &[u8], from: &str, to: &str) -> Vec<u8> {
    match field == from.as_bytes() {
        true => to.as_bytes().to_vec(),
        false => field.to_vec(),
    }
}

async fn queue(stack: &Stack, entries: &[Value]) {
    let mut connection = stack.redis().connection().await;
    for entry in entries {
        let mut add = cmd("XADD");
        add.arg(entry["outbox"].as_str().expect("a key")).arg("*");
        for field in entry["fields"].as_array().expect("fields") {
            let field = URL_SAFE_NO_PAD.decode(field.as_str().expect("text")).expect("base64url");
            add.arg(plain(&field, APPLICATION, &stack.app.id));
        }
        add.exec_async(&mut connection).await.expect("XADD succeeds");
    }
}

/// What the audit says of them, in the order of their ids, without what the drain adds.
async fn told(stack: &Stack) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let path =
            cursor.as_ref().map_or("/audit/events".to_owned(), |cursor| format!("/audit/events?cursor={cursor}"));
        let mut page = stack.app.request("GET", &path).send().await.expect(200).json();
        for mut event in page["events"].take().as_array().expect("events").clone() {
            let members = event.as_object_mut().expect("an event");
            members.retain(|name, _| !["chain", "recordedAt"].contains(&name.as_str()));
            assert_eq!(members["applicationId"], stack.app.id.as_str());
            members["applicationId"] = json!(APPLICATION);
            events.push(event);
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    events.sort_by_key(|event| event["eventId"].as_str().expect("an id").to_owned());
    events
}

/// F-32: a drain of this release writes what those before it queued.
#[tokio::test]
async fn f_32_what_earlier_releases_queued_is_written_as_it_was() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/fixtures/golden/outbox-v1.json");
    if !file.exists() && std::env::var_os("GOLDEN_WRITE").is_some() {
        let stack = stack().await;
        live(&stack).await;
        let queued = entries(&stack).await;
        stack.run_write_audit().await;
        let document = json!({ "entries": queued, "says": told(&stack).await });
        std::fs::write(&file, serde_json::to_string_pretty(&document).expect("JSON") + "\n").expect("a file");
    }
    let fixture: Value = serde_json::from_slice(&std::fs::read(&file).expect("the fixture is there")).expect("JSON");
    let entries = fixture["entries"].as_array().expect("entries");
    let stack = stack().await;
    queue(&stack, entries).await;
    let drained = stack.run_write_audit().await;
    assert_eq!((&drained["written"], &drained["unreadable"]), (&json!(entries.len()), &json!(0)), "{drained}");
    assert_eq!(json!(told(&stack).await), fixture["says"]);
}
