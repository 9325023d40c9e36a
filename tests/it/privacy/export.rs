use super::support::{Person, everything, expect_all, expect_none, table_names};
use integration_tests::{Stack, Value, json};
use shared::core::export::SECTIONS;
use std::collections::BTreeSet;

/// The export has everything of the person that any store has, and nothing of another one.
#[tokio::test]
async fn t_65_an_export_has_all_of_one_person_and_nothing_of_another() {
    let stack = Stack::builder().with_database().start().await;
    let (ada, bob) = (Person::new("ada", 7), Person::new("bob", 8));
    let (tokens, _) = (ada.live(&stack).await, bob.live(&stack).await);
    ada.set(&stack, &["activityTracking"]).await.expect(200);
    let text = ada.export(&stack).await.to_string();
    expect_all(&ada.words(), "the export", &text);
    expect_none(&bob.words(), "the export", &text);
    let own = stack.request("GET", &ada.path("/export")).bearer(&tokens.access_token);
    let own = own.source_ip(&ada.address).user_agent(&ada.agent).send().await.expect(200).json();
    for section in SECTIONS {
        assert!(own[section.name()].is_array(), "{}", section.name());
    }
    assert_eq!(own["sessions"].as_array().expect("sessions").len(), 2);
    assert!(!own["history"].as_array().expect("history").is_empty());
    assert_eq!(own["user"][0]["privacy"]["activityTracking"], false);
    assert!(own["about"]["automatedDecisions"]["logic"].as_str().is_some_and(|logic| logic.len() > 100));
    let types: BTreeSet<&str> =
        own["audit"].as_array().expect("rows").iter().filter_map(|row| row["type"].as_str()).collect();
    assert!(
        types.is_superset(&BTreeSet::from(["session.created", "session.updated", "user.state_changed"])),
        "{types:?}"
    );
    assert_eq!(own.get("next"), None);
}

/// Recorded activities are in the export as they were sent, their properties opened; another person's are not.
#[tokio::test]
async fn t_65_an_export_opens_recorded_activities() {
    let stack = Stack::builder().with_database().start().await;
    let (ada, bob) = (Person::new("ada", 7), Person::new("bob", 8));
    let at = "2026-01-02T03:04:05.678Z";
    let properties = json!({ "item": "a book", "price": 12.5, "tags": ["x", { "deep": null }], "ü": "ß" });
    let begun = stack.app.create_session(json!({ "userId": ada.user })).await.expect(201).json();
    let session = begun["session"]["sessionId"].clone();
    let path = format!("/sessions/{}/activity", session.as_str().expect("an id"));
    let early = json!({ "activities": [{ "name": "too.early", "at": at }] });
    stack.app.request("POST", &path).json(&early).send().await.expect_problem(400, "invalid_request");
    let batch = json!({ "activities": [
        { "name": "page.viewed" },
        { "name": "cart.filled", "properties": properties },
        { "name": "cart.emptied", "properties": {} },
    ] });
    stack.app.request("POST", &path).json(&batch).send().await.expect(202);
    let others = bob.begin(&stack).await;
    let batch = json!({ "activities": [{ "name": "bobs.own", "properties": { "word": bob.data } }] });
    let of_bob = stack.app.request("POST", &format!("/sessions/{}/activity", others.session_id));
    of_bob.json(&batch).send().await.expect(202);
    stack.run_write_audit().await;

    let export = ada.export(&stack).await;
    let rows = export["activities"].as_array().expect("rows");
    let told: Vec<(&Value, &Value, &Value)> =
        rows.iter().map(|row| (&row["name"], &row["properties"], &row["erased"])).collect();
    let (none, open) = (Value::Null, json!(false));
    let names = [json!("page.viewed"), json!("cart.filled"), json!("cart.emptied")];
    assert_eq!(told, [(&names[0], &none, &open), (&names[1], &properties, &open), (&names[2], &none, &open)]);
    for row in rows {
        assert_eq!((&row["applicationId"], &row["sessionId"]), (&json!(stack.app.id), &session), "{row}");
        assert!(row["at"].as_str() >= begun["session"]["createdAt"].as_str(), "{row}");
    }
    expect_none(&bob.words(), "the export", &export.to_string());
    // Erased, nothing of it is left to export, and the rows are gone.
    ada.erase(&stack).send().await.expect(200);
    assert_eq!(ada.export(&stack).await["activities"], json!([]));
    let client = stack.database().connect().await;
    let left = client.query("SELECT name FROM activity", &[]).await.expect("rows");
    assert_eq!(left.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["bobs.own"]);
}

/// An export that is larger than a page goes on behind it, and tells every row once.
#[tokio::test]
async fn a_large_export_comes_in_pages() {
    let policy = json!({ "sessionLimit": { "max": 100, "onLimit": "reject" } });
    let stack = Stack::builder().with_database().with_policy(policy).start().await;
    let large = "x".repeat(60_000);
    let mut expected = BTreeSet::new();
    for _ in 0..90 {
        let body = json!({ "userId": "ada", "data": { "large": large } });
        expected.insert(
            stack.app.create_session(body).await.expect(201).json()["session"]["sessionId"].clone().to_string(),
        );
    }
    let (mut found, mut pages, mut next) = (Vec::new(), 0, None::<String>);
    loop {
        let query = next.map(|next| format!("?cursor={next}")).unwrap_or_default();
        let page = stack.app.request("GET", &format!("/users/ada/export{query}")).send().await.expect(200);
        assert!(page.body.len() < 6_000_000);
        let page = page.json();
        pages += 1;
        let rows = page["sessions"].as_array().cloned().unwrap_or_default();
        found.extend(rows.iter().map(|row| row["session"]["sessionId"].to_string()));
        assert_eq!(page.get("about").is_some(), pages == 1);
        match page["next"].as_str() {
            Some(text) => next = Some(text.to_owned()),
            None => break,
        }
    }
    assert_eq!(pages, 2);
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    let bad = stack.app.request("GET", "/users/ada/export?cursor=no").send().await;
    bad.expect_problem(400, "invalid_request");
}

/// Kinds of keys, attributes and tables, each with the section that tells of it, or why none does. What is not listed is a
/// kind of data that an export would leave out.
const KEYS: [(&str, &str); 14] = [
    ("s", "sessions"),
    ("u", "sessions"),
    ("h", "history"),
    ("v", "user"),
    ("e", "user: epoch"),
    ("d", "ledger"),
    ("f", "sessions: sharedWith"),
    ("x", "no person: deadlines"),
    ("o", "audit, a minute later"),
    ("i", "no person: a keyed digest for a day"),
    ("c", "no person: a digest for a minute"),
    ("l", "no person: a digest of an owner token"),
    ("n", "no person: a number"),
    ("r", "no person: a keyed digest for a minute"),
];

const ATTRIBUTES: [(&str, &str); 4] = [
    (
        "users",
        "userTag epoch raisedAt spared floor floorAt state stateVersion privacy privacyVersion privacyAt legalHold erasedAt",
    ),
    (
        "devices",
        "userTag deviceId epoch trust provedAt proof jkt name type place addressPrefix client firstSeenAt lastSeenAt \
         lastApplication data dataVersion removed expiresAt",
    ),
    (
        "revocations",
        "scope entry at expiresAt reason applicationTag epoch spared sparedFloor privacy version applicationId common \
         detail privacyVersion erasure step",
    ),
    ("deliveries", "deliveryId state queue dueAt attempts notice at expiresAt"),
];

const COLUMNS: [(&str, &str); 2] = [
    (
        "audit_events",
        "event_id queued_at occurred_at recorded_at chain_group sequence event_type application_id subject session_id actor \
     reason request_id hash detail sealed",
    ),
    ("activity", "activity_id queued_at occurred_at application_id subject session_id name sealed"),
];

/// Tables of PostgreSQL without anything of a person: chains and their anchors, alerts, and counts of many.
const IMPERSONAL: [&str; 11] = [
    "alerts",
    "alerts_progress",
    "audit_anchors",
    "audit_chain_anchors",
    "audit_chain_heads",
    "audit_written_through",
    "refinery_schema_history",
    "rollup_counts",
    "rollup_distinct",
    "rollup_samples",
    "rollup_spreads",
];

#[tokio::test]
async fn no_store_has_a_kind_of_data_that_an_export_leaves_out() {
    let stack = Stack::builder().with_database().start().await;
    let ada = Person::new("ada", 7);
    let tokens = ada.live(&stack).await;
    ada.set(&stack, &["activityTracking"]).await.expect(200);
    stack.app.delete(&tokens.session_id).await.expect(204);
    ada.erase(&stack).send().await.expect(200);
    ada.live(&stack).await;
    let letters: BTreeSet<String> = stack.redis_keys().await.iter().map(|key| key.name()[..1].to_owned()).collect();
    for letter in letters {
        assert!(KEYS.iter().any(|(known, _)| *known == letter), "keys {letter}: have no section");
    }
    let [_, _, users, devices, revocations, deliveries, _] = &table_names(&stack)[..] else { panic!("seven tables") };
    for ((kind, known), table) in ATTRIBUTES.iter().zip([users, devices, revocations, deliveries]) {
        let known: BTreeSet<&str> = known.split_whitespace().collect();
        let scan = stack.aws.dynamodb.scan().table_name(table).send().await.expect("a scan");
        for name in scan.items().iter().flat_map(|item| item.keys()) {
            assert!(known.contains(name.as_str()), "{kind}: {name} has no section");
        }
    }
    let client = stack.database().connect().await;
    let columns = client
        .query(
            "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'",
            &[],
        )
        .await
        .expect("columns");
    for row in columns {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        if IMPERSONAL.contains(&table.as_str()) {
            continue;
        }
        // A view for dumps shows nothing that the tables do not.
        if table == "audit_dump" {
            continue;
        }
        let parents = ["audit_events", "activity"];
        let parent = parents.into_iter().find(|parent| table.starts_with(&format!("{parent}_"))).unwrap_or(&table);
        let known = COLUMNS.iter().find(|(name, _)| *name == parent);
        let known = known.unwrap_or_else(|| panic!("{table} has no section")).1;
        assert!(known.split_whitespace().any(|name| name == column), "{table}.{column} has no section");
    }
    let _: Value = ada.export(&stack).await;
    assert!(everything(&stack).await.contains(&ada.device));
}
