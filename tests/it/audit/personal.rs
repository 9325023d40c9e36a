use std::collections::BTreeSet;

use integration_tests::application::SessionTokens;
use integration_tests::audit::Row;
use integration_tests::{Stack, audit, json};
use shared::adapters::dynamodb::keys::Keys;
use shared::adapters::dynamodb::subject_keys::SubjectKeyTable;
use shared::adapters::kms::Kms;
use shared::core::audit_personal::Personal;
use shared::service::key_store::KeyStore;
use shared::service::subject_keys::SubjectKeys;

/// The keys as whoever may unwrap the `audit` ring has them.
fn keys(stack: &Stack) -> (KeyStore, SubjectKeys) {
    let aws = &stack.aws;
    let kms = Kms::new(aws.kms.clone(), aws.kms_key_id.clone(), stack.name.clone());
    let rings = KeyStore::new(Keys::new(aws.dynamodb.clone(), aws.tables.keys.clone()), Some(kms));
    let table = SubjectKeyTable::new(aws.dynamodb.clone(), aws.tables.subject_keys.clone());
    (rings, SubjectKeys::new(table))
}

/// What of the rows opens.
async fn opened(stack: &Stack, rows: &[Row]) -> Vec<Option<Personal>> {
    let (rings, subjects) = keys(stack);
    let named: BTreeSet<&str> = rows.iter().map(|row| row.event.subject.as_str()).collect();
    let held = subjects.for_reading(&rings, &named).await.expect("keys can be read");
    let open = |row: &Row| {
        let key = held.get(&row.event.subject)?;
        Personal::open(key, &row.event.subject, &row.event.event_id, &row.event.sealed).ok()
    };
    rows.iter().map(open).collect()
}

async fn begin(stack: &Stack, user: &str) -> SessionTokens {
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let body = json!({
        "userId": user,
        "device": {"deviceId": "canary-device", "name": "canary-name", "type": "desktop"},
        "client": {"ip": "203.0.113.77", "userAgent": agent},
    });
    SessionTokens::from_created(&stack.app.create_session(body).await.expect(201))
}

/// Who and from where is sealed under a key of the subject's own; forgetting the key forgets them, and the chain holds.
#[tokio::test]
async fn personal_fields_go_with_the_key_of_their_subject_and_the_chain_stays() {
    let stack = Stack::builder().with_database().start().await;
    let tokens = begin(&stack, "canary-ada").await;
    begin(&stack, "canary-bob").await;
    stack.app.delete(&tokens.session_id).await.expect(204);
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    let everything = audit::everything(&client).await;
    for needle in ["canary", "203.0.113", "Firefox", "Mozilla"] {
        assert!(!everything.contains(needle), "{needle} is in the database");
    }

    let rows = audit::rows(&client).await;
    let fields = opened(&stack, &rows).await;
    for (row, personal) in rows.iter().zip(&fields) {
        let begins = row.event.event_type == "session.created";
        assert_eq!(row.event.sealed.is_empty(), !begins, "{row:?}");
        assert_eq!(personal.is_some(), begins, "{row:?}");
    }
    let of_ada = rows.iter().position(|row| row.event.session_id == tokens.session_id).expect("a row");
    let personal = fields[of_ada].as_ref().expect("it opens");
    assert_eq!(personal.user_id.as_deref(), Some("canary-ada"));
    assert_eq!(personal.network.as_deref(), Some("203.0.113.0/24"));
    assert_eq!(personal.device_name.as_deref(), Some("canary-name"));
    assert!(personal.client.as_ref().is_some_and(|client| client.contains("Firefox")), "{personal:?}");

    let subject = rows[of_ada].event.subject.clone();
    keys(&stack).1.forget(&subject).await.expect("the key can be deleted");
    let fields = opened(&stack, &rows).await;
    for (row, personal) in rows.iter().zip(&fields) {
        let told = row.event.event_type == "session.created" && row.event.subject != subject;
        assert_eq!(personal.is_some(), told, "{row:?}");
    }
    audit::verify(&client).await;

    // Whoever comes back is sealed under another key, which opens nothing from before.
    let again = begin(&stack, "canary-ada").await;
    stack.run_write_audit().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let fields = opened(&stack, &rows).await;
    for (row, personal) in rows.iter().zip(&fields).filter(|(row, _)| row.event.subject == subject) {
        assert_eq!(personal.is_some(), row.event.session_id == again.session_id, "{row:?}");
    }
}
