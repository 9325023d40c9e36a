use super::support::{Person, everything, expect_none, put};
use integration_tests::{Stack, json};

/// An opt-out outlives a Redis that comes back older than it, or empty, whichever function comes first; so does its end.
#[tokio::test]
async fn t_89_no_restored_redis_forgets_an_opt_out() {
    let stack = Stack::builder().with_database().with_environments(1).start().await;
    let ada = Person::new("ada", 7);
    ada.begin(&stack).await;
    let before = stack.redis().snapshot().await;
    ada.set(&stack, &["location", "fingerprinting", "sharing"]).await.expect(200);
    put(&stack, "bob", &["sharing"]).send().await.expect(200);
    let opted_out = stack.redis().snapshot().await;
    put(&stack, "bob", &[]).send().await.expect(200);
    let kept = [ada.place.clone(), "198.51.7.".into(), ada.agent.clone()];
    for what in ["older", "empty"] {
        match what {
            "older" => stack.redis().restart_from_snapshot(&before).await,
            _ => stack.redis().restart().await,
        }
        ada.begin(&stack).await;
        let records: String = stack
            .redis_keys()
            .await
            .iter()
            .filter(|key| key.kind == "string")
            .map(|key| key.content.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<String>())
            .collect();
        expect_none(&kept, what, &records);
    }
    // Bob switched sharing on again after this snapshot.
    stack.redis().restart_from_snapshot(&opted_out).await;
    let bob = stack.app.start_session("bob").await;
    let sister = stack.create_application(
        json!({ "name": "Sister", "groupId": stack.app.record["groupId"], "scopes": ["sessions:create", "sessions:read"] })).await;
    let share = stack.app.request("POST", &format!("/sessions/{}/share", bob.session_id));
    share.json(&json!({ "applicationId": sister.id, "scopes": ["sessions:read"] })).send().await.expect(201);
    // However often it is applied, the audit tells of each change once.
    stack.run_write_audit().await;
    let rows = integration_tests::audit::rows(&stack.database().connect().await).await;
    assert_eq!(rows.iter().filter(|row| row.event.event_type == "user.privacy_changed").count(), 3);
}

/// While Redis is away a change is accepted, and in force before anything is served again.
#[tokio::test]
async fn a_change_while_redis_is_away_is_in_force_when_it_is_back() {
    let stack = Stack::builder().with_environments(1).start().await;
    put(&stack, "ada", &[]).send().await.expect(200);
    stack.redis().stop().await;
    let accepted = put(&stack, "ada", &["fingerprinting"]).send().await.expect(202);
    assert_eq!(
        (accepted.json()["fingerprinting"].clone(), accepted.json()["version"].clone()),
        (json!(false), json!(2))
    );
    stack.redis().restart().await;
    let body = json!({ "userId": "ada", "client": { "userAgent": "canary-agent/1" } });
    stack.app.create_session(body).await.expect(201);
    let records = stack.redis_keys().await.into_iter().filter(|key| key.name().starts_with("s:"));
    assert!(records.into_iter().all(|key| !key.contains(b"canary-agent")));
}

/// T-89: an erased person does not come back with a Redis or with tables that are older than the erasure.
#[tokio::test]
async fn t_89_no_restored_store_brings_an_erased_person_back() {
    let stack = Stack::builder().with_database().with_environments(1).start().await;
    let ada = Person::new("ada", 7);
    let tokens = ada.live(&stack).await;
    let before = stack.redis().snapshot().await;
    let mut saved = Vec::new();
    for table in [&stack.aws.tables.users, &stack.aws.tables.devices, &stack.aws.tables.subject_keys] {
        let items = stack.aws.dynamodb.scan().table_name(table).send().await.expect("a scan").items.expect("items");
        saved.push((table.clone(), items));
    }
    ada.erase(&stack).send().await.expect(200);
    stack.redis().restart_from_snapshot(&before).await;
    stack.app.get(&tokens.session_id).await.expect_problem(404, "session_ended");
    let words = ada.words();
    let of_redis: String = stack
        .redis_keys()
        .await
        .iter()
        .map(|key| key.content.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<String>())
        .collect();
    expect_none(&words, "the restored Redis", &of_redis);

    for (table, items) in saved {
        for item in items {
            stack.aws.dynamodb.put_item().table_name(&table).set_item(Some(item)).send().await.expect("a put");
        }
    }
    assert!(everything(&stack).await.contains(&ada.device));
    // Somebody who came after the erasure stays.
    let bob = Person::new("bob", 8);
    bob.live(&stack).await;
    bob.erase(&stack).send().await.expect(200);
    let back = bob.live(&stack).await;
    let run = stack.run_scheduled("cleanup-sessions", json!({ "replayErasures": true })).await;
    assert_eq!(run["erasures"], 2);
    expect_none(&words, "the stores", &everything(&stack).await);
    let export = serde_json::to_string(&ada.export(&stack).await).expect("JSON");
    expect_none(&words, "the export", &export);
    stack.app.get(&back.session_id).await.expect(200);
    let state = stack.app.request("GET", &bob.path("/state")).send().await.expect(200).json();
    assert_eq!(state["data"]["data"]["note"].as_str().or(state["data"]["note"].as_str()), Some(bob.state.as_str()));
}
