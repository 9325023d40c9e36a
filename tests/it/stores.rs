//! The stores as they are in production: a cluster, TLS everywhere, and what is readable in them.

use shared::core::record::HEADER_BYTES;
use std::path::PathBuf;

use integration_tests::application::SessionTokens;
use integration_tests::environment::EnvironmentSpec;
use integration_tests::stack::scheduled_event;
use integration_tests::stores::certificates::Certificates;
use integration_tests::stores::{KeyDump, RedisOptions, RedisServer};
use integration_tests::{Environment, InvokeError, Stack, journey, json, secrets, settings};

/// Of shared/src/core/record.rs.

#[tokio::test]
async fn a_cluster_serves_every_route() {
    let stack = Stack::builder().with_cluster().with_environments(1).start().await;
    // Enough users to meet every primary.
    for user in 0..8 {
        journey::whole_life(&stack, &format!("{}-{user}", stack.name)).await;
    }
}

#[tokio::test]
async fn redis_with_tls_serves_every_route() {
    let stack = Stack::builder().with_tls_redis().with_environments(1).start().await;
    journey::whole_life(&stack, "ada").await;
}

#[tokio::test]
async fn an_unknown_authority_of_redis_is_an_outage() {
    let (_directory, authority) = another_authority();
    let builder = Stack::builder().with_tls_redis().with_environments(1);
    let stack = builder.with_variable("REDIS_CA_FILE", &authority.display().to_string()).start().await;
    expect_no_service(&stack, stack.redis()).await;
}

#[tokio::test]
async fn a_server_without_tls_gets_no_plaintext() {
    let plain = RedisServer::start(RedisOptions::default()).await;
    let url = format!("rediss://{}", plain.authority());
    let stack = Stack::builder().with_environments(1).with_variable("REDIS_URL", &url).start().await;
    expect_no_service(&stack, &plain).await;
}

async fn expect_no_service(stack: &Stack, redis: &RedisServer) {
    let created = stack.app.create_session(json!({ "userId": "ada", "data": { "a": 1 } })).await;
    let created = created.expect_problem(503, "dependency_unavailable");
    assert_eq!(created.header("retry-after"), "1");
    stack.app.list("ada").await.expect_problem(503, "dependency_unavailable");
    assert!(redis.dump_keys().await.is_empty());
    let calls = redis.command_calls().await;
    assert!(!calls.keys().any(|command| command.starts_with("eval") || command.starts_with("mget")), "{calls:?}");
}

#[tokio::test]
async fn the_audit_is_written_over_tls() {
    let stack = Stack::builder().with_tls_database().with_environments(1).start().await;
    journey::whole_life(&stack, "ada").await;
    let result = stack.run_write_audit().await;
    assert!(result["written"].as_u64() > Some(5), "{result}");
    let rows = stack.database().connect().await.query_one("SELECT count(*) FROM audit_events", &[]).await;
    assert_eq!(Some(rows.expect("a count").get::<_, i64>(0)), result["written"].as_i64());
}

#[tokio::test]
async fn an_unknown_authority_of_postgresql_is_an_outage_and_loses_no_event() {
    let (_directory, authority) = another_authority();
    let stack = Stack::builder().with_tls_database().with_environments(1).start().await;
    stack.app.start_session("ada").await;
    let mut spec = EnvironmentSpec::new("write-audit");
    let database = stack.database();
    spec.variables = stack.aws.variables(&settings::moto_url());
    for (name, value) in [
        ("REDIS_URL", stack.redis().url()),
        ("REDIS_CLUSTER", "false".to_owned()),
        ("DATABASE_URL", database.url_through(&database.authority(), true)),
        ("DATABASE_CA_FILE", authority.display().to_string()),
        ("STACK_NAME", "sessions".to_owned()),
        ("KMS_KEY_ID", stack.aws.kms_key_id.clone()),
        ("AUDIT_ANCHORS", format!("s3://{}/anchors", stack.aws.anchors_bucket)),
        ("AUDIT_ANCHOR_KEY_ID", stack.aws.anchor_key_id.clone()),
    ] {
        spec.variables.push((name.to_owned(), value));
    }
    let refused = Environment::spawn(spec).await.invoke(&scheduled_event(json!({}))).await;
    let Err(InvokeError::Function(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error["errorType"], "DependencyUnavailable", "{error}");
    assert_eq!(stack.run_write_audit().await["written"], 1);
}

fn another_authority() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let authority = Certificates::create(directory.path()).authority;
    (directory, authority)
}

/// User ids that would break out of a key, a pattern, a path or a query.
const HOSTILE_USERS: [&str; 14] = [
    "a:b:c",
    "{b000}",
    "x{y}z}{",
    "s:{b000}:AAAAAAAAAAAAAAAAAAAAAA",
    "two words inside",
    "🦀🦀",
    "*?[]",
    "a*",
    "../../etc/passwd",
    "%7Bb000%7D",
    "\"quoted\\\"",
    "'; DROP TABLE audit_events; --",
    "$(id)`id`",
    "ſüßéΩ",
];

/// T-48
#[tokio::test]
async fn t_48_hostile_user_ids_never_reach_a_key_and_data_is_never_readable() {
    let stack = Stack::builder().with_database().with_environments(1).start().await;
    let app = &stack.app;
    let canary = format!("canary-{}", settings::random_hex(12));
    secrets::register(&canary);
    let data = json!({ "note": canary, canary.as_str(): [canary, 1] });
    let mut last = Vec::new();
    for user in HOSTILE_USERS {
        let body = json!({
            "userId": user,
            "data": data,
            "client": { "ip": "203.0.113.77", "userAgent": "agent", "fingerprint": "fingerprint-canary" },
        });
        let request = app.request("POST", "/sessions").header("idempotency-key", "idempotency-canary").json(&body);
        let session = SessionTokens::from_created(&request.send().await);
        assert_eq!(app.get(&session.session_id).await.expect(200).json()["data"], data, "{user}");
        let put = app.put(&session.session_id, "\"1\"", json!({ "data": data })).await.expect(200);
        app.patch(&session.session_id, put.header("etag"), json!({ "data": { "more": canary } })).await.expect(200);
        app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
        let exchange = json!({ "userId": user, "legacySession": "legacy-canary" });
        let moved = SessionTokens::from_created(&app.create_session(exchange).await);
        app.delete(&moved.session_id).await.expect(204);
        let listed = app.list(user).await.expect(200).json();
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1), "{user}: {listed}");
        assert_eq!(listed["sessions"][0]["sessionId"], session.session_id.as_str(), "{user}");
        last.push(session);
    }
    let keys = stack.redis_keys().await;
    for key in &keys {
        expect_grammar(key);
        let mut hidden = vec![
            canary.as_str(),
            "fingerprint-canary",
            "idempotency-canary",
            "legacy-canary",
            "203.0.113.77",
            "rt_",
            "sk_",
        ];
        // An event that waits to be drained holds what the record beside it holds.
        if !key.name().starts_with("s:") && !key.name().starts_with("o:") {
            hidden.extend(HOSTILE_USERS);
        }
        for secret in hidden {
            assert!(!key.contains(secret.as_bytes()), "{secret} in {}", key.name());
        }
    }
    for letter in ["s", "u", "x", "o", "i"] {
        assert!(keys.iter().any(|key| key.name().starts_with(&format!("{letter}:"))), "no key {letter}");
    }

    for (number, (user, session)) in HOSTILE_USERS.iter().zip(&last).enumerate() {
        match number % 2 {
            0 => app.delete(&session.session_id).await.expect(204),
            _ => app.delete_user_sessions(user).await.expect(204),
        };
    }
    stack.run_write_audit().await;
    for key in stack.redis_keys().await {
        expect_grammar(&key);
        for personal in HOSTILE_USERS.into_iter().chain(["agent", "203.0.113", canary.as_str()]) {
            assert!(!key.contains(personal.as_bytes()), "{personal} in {} after the end", key.name());
        }
        if key.name().starts_with("s:") {
            assert_eq!(key.content[0].len(), HEADER_BYTES, "a tombstone is a header");
        }
    }
    for table in [&stack.aws.tables.revocations, &stack.aws.tables.users] {
        let items = stack.aws.dynamodb.scan().table_name(table).send().await.expect("Scan succeeds");
        let text = format!("{:?}", items.items());
        for personal in HOSTILE_USERS.into_iter().chain([canary.as_str(), "203.0.113"]) {
            // Debug output escapes some characters; such an id can not be looked for in it.
            if format!("{personal:?}") == format!("\"{personal}\"") {
                assert!(!text.contains(personal), "{personal} in {table}");
            }
        }
    }
}

/// `^[a-z]:\{b[0-9a-f]{3}\}(:[A-Za-z0-9_-]+)?$`
#[track_caller]
fn expect_grammar(key: &KeyDump) {
    let name = key.name();
    let (prefix, rest) = name.split_at(name.len().min(8));
    let bytes = prefix.as_bytes();
    let tag = bytes.len() == 8
        && bytes[0].is_ascii_lowercase()
        && prefix[1..].starts_with(":{b")
        && bytes[4..7].iter().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(c))
        && bytes[7] == b'}';
    let text = |rest: &str| !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
    assert!(tag && (rest.is_empty() || rest.strip_prefix(':').is_some_and(text)), "{name}");
}

struct Record {
    key: Vec<u8>,
    bytes: Vec<u8>,
    sealed_at: usize,
}

/// The record of a new session of `user` with data, which nobody has opened yet.
async fn sealed_record(stack: &Stack, user: &str, note: &str) -> (SessionTokens, Record) {
    let before: Vec<Vec<u8>> = stack.redis_keys().await.into_iter().map(|key| key.key).collect();
    let created = stack.app.create_session(json!({ "userId": user, "data": { "note": note } })).await;
    let session = SessionTokens::from_created(&created);
    let keys = stack.redis_keys().await;
    let new = keys.into_iter().find(|key| key.name().starts_with("s:") && !before.contains(&key.key));
    let new = new.expect("the record of the session");
    let bytes = new.content[0].clone();
    let sealed_at = HEADER_BYTES + usize::from(u16::from_be_bytes([bytes[54], bytes[55]]));
    assert!(bytes.len() > sealed_at + 34, "suite, key, salt, tag");
    (session, Record { key: new.key, bytes, sealed_at })
}

impl Record {
    async fn write(&self, stack: &Stack, sealed: &[u8]) {
        let mut record = self.bytes[..self.sealed_at].to_vec();
        record.extend_from_slice(sealed);
        let mut set = redis::cmd("SET");
        set.arg(&self.key).arg(record).arg("KEEPTTL");
        set.exec_async(&mut stack.redis().connection().await).await.expect("SET succeeds");
    }

    fn sealed(&self) -> &[u8] {
        &self.bytes[self.sealed_at..]
    }
}

async fn expect_unopened(stack: &Stack, session: &SessionTokens, what: &str) {
    let read = stack.app.get(&session.session_id).await;
    assert_eq!((read.status, read.code().as_str()), (503, "dependency_unavailable"), "{what}: {read:?}");
    assert!(!read.text().contains("canary"), "{what}: {read:?}");
    let patched = stack.app.patch(&session.session_id, "*", json!({ "data": { "more": 1 } })).await;
    assert_eq!(patched.status, 503, "{what}: {patched:?}");
}

#[tokio::test]
async fn a_damaged_sealing_never_opens() {
    let stack = Stack::builder().with_environments(1).start().await;
    let (session, record) = sealed_record(&stack, "ada", "canary").await;
    let sealed = record.sealed().to_vec();
    // Suite, key id, both ends of the salt, ciphertext and tag; every bit of one of them.
    let places = [0, 1, 2, 17, 18, 25, sealed.len() - 17, sealed.len() - 16, sealed.len() - 1];
    let flips = places.iter().map(|place| (*place, 0)).chain((1..8).map(|bit| (20, bit)));
    for (place, bit) in flips {
        let mut damaged = sealed.clone();
        damaged[place] ^= 1 << bit;
        record.write(&stack, &damaged).await;
        expect_unopened(&stack, &session, &format!("bit {bit} of byte {place}")).await;
    }
    for length in [1, 2, 18, 34, sealed.len() - 1] {
        record.write(&stack, &sealed[..length]).await;
        expect_unopened(&stack, &session, &format!("cut to {length} bytes")).await;
    }
    record.write(&stack, &sealed).await;
    let healed = stack.app.get(&session.session_id).await.expect(200);
    assert_eq!(healed.json()["data"], json!({ "note": "canary" }));
    assert_eq!(healed.header("etag"), "\"1\"", "refused patches changed nothing");
}

#[tokio::test]
async fn a_sealing_opens_only_in_its_own_session_and_version() {
    let stack = Stack::builder().with_environments(1).start().await;
    let (victim, record) = sealed_record(&stack, "ada", "canary").await;
    let (_, sibling) = sealed_record(&stack, "ada", "canary").await;
    let (_, stranger) = sealed_record(&stack, "bob", "canary").await;
    for (what, other) in [("of the same user", &sibling), ("of another user", &stranger)] {
        record.write(&stack, other.sealed()).await;
        expect_unopened(&stack, &victim, what).await;
    }
    record.write(&stack, record.sealed()).await;
    stack.app.put(&victim.session_id, "\"1\"", json!({ "data": { "note": "second" } })).await.expect(200);
    let keys = stack.redis_keys().await;
    let current = keys.into_iter().find(|key| key.key == record.key).expect("the record").content[0].clone();
    let second = Record { key: record.key.clone(), bytes: current, sealed_at: record.sealed_at };
    second.write(&stack, record.sealed()).await;
    expect_unopened(&stack, &victim, "of an earlier version").await;
    second.write(&stack, second.sealed()).await;
    assert_eq!(stack.app.get(&victim.session_id).await.expect(200).json()["data"], json!({ "note": "second" }));
}
