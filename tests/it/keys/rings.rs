use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use integration_tests::{InvokeError, Stack, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const RINGS: [&str; 4] = ["audit", "data", "pseudonym", "token"];
const DAY: u64 = 24 * 3600;

async fn items(stack: &Stack) -> BTreeMap<String, HashMap<String, AttributeValue>> {
    let scan = stack.aws.dynamodb.scan().table_name(&stack.aws.tables.keys).send().await.expect("Scan succeeds");
    let purpose = |item: &HashMap<String, AttributeValue>| item["purpose"].as_s().expect("a text").clone();
    scan.items().iter().map(|item| (purpose(item), item.clone())).collect()
}

async fn put(stack: &Stack, item: HashMap<String, AttributeValue>) {
    let put = stack.aws.dynamodb.put_item().table_name(&stack.aws.tables.keys).set_item(Some(item));
    put.send().await.expect("PutItem succeeds");
}

async fn delete(stack: &Stack, purpose: &str) {
    let key = AttributeValue::S(purpose.to_owned());
    let delete = stack.aws.dynamodb.delete_item().table_name(&stack.aws.tables.keys).key("purpose", key);
    delete.send().await.expect("DeleteItem succeeds");
}

/// Keys that a run made and dropped, per ring.
fn changes(run: &Value) -> BTreeMap<String, (u64, u64)> {
    let rings = run["rings"].as_array().expect("a list");
    let count = |ring: &Value, name: &str| ring[name].as_u64().expect("a number");
    let name = |ring: &Value| ring["purpose"].as_str().expect("a text").to_owned();
    rings.iter().map(|ring| (name(ring), (count(ring, "added"), count(ring, "removed")))).collect()
}

#[tokio::test]
async fn the_first_run_makes_every_ring_and_the_second_finds_nothing_to_do() {
    let stack = Stack::start().await;
    let made = items(&stack).await;
    let mut expected = RINGS.to_vec();
    expected.push("routing");
    expected.sort_unstable();
    assert_eq!(made.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    let again = changes(&stack.run_rotate_keys().await);
    assert_eq!(again, RINGS.map(|ring| (ring.to_owned(), (0, 0))).into());
    assert_eq!(items(&stack).await, made, "not written again");

    // KMS opens a ring under the stack's name and the ring's purpose, and in no other way. What is inside is in clear
    // nowhere else.
    for ring in RINGS {
        let wrapped = made[ring]["wrapped"].as_b().expect("bytes").clone();
        let open = |purpose: &str, stack_name: &str| {
            let decrypt = stack.aws.kms.decrypt().key_id(&stack.aws.kms_key_id).ciphertext_blob(wrapped.clone());
            decrypt.encryption_context("purpose", purpose).encryption_context("stack", stack_name).send()
        };
        let opened = open(ring, &stack.name).await.expect("the ring opens");
        let opened: Value = serde_json::from_slice(opened.plaintext.expect("a plaintext").as_ref()).expect("a ring");
        for key in opened["keys"].as_array().expect("keys") {
            let secret = key["secret"].as_str().expect("a secret");
            assert!(!format!("{made:?}").contains(secret));
        }
        for other in RINGS.iter().filter(|other| **other != ring) {
            assert!(open(other, &stack.name).await.is_err(), "{ring} opened as {other}");
        }
        assert!(open(ring, "another-stack").await.is_err());
    }
}

/// Two runs at once, the first ones and later ones: one makes the keys, and every environment agrees on them.
#[tokio::test]
async fn two_runs_at_once_make_one_set_of_keys() {
    let stack = Stack::builder().with_clock().with_environments(3).start().await;
    for purpose in items(&stack).await.keys() {
        delete(&stack, purpose).await;
    }
    stack.fleet.recycle_all().await;
    let runs = join_all((0..3).map(|_| stack.run_rotate_keys())).await;
    let sum = |runs: &[Value], ring: &str| runs.iter().map(|run| changes(run)[ring].0).sum::<u64>();
    for (ring, keys) in [("token", 2), ("data", 2), ("audit", 1), ("pseudonym", 1)] {
        assert_eq!(sum(&runs, ring), keys, "{ring}: {runs:?}");
    }
    let tokens = stack.app.start_session("ada").await;
    stack.fleet.recycle_all().await;
    stack.app.refresh(&tokens.session_id, &tokens.refresh_token).await.expect(200);

    stack.advance(Duration::from_secs(29 * DAY + 60));
    let runs = join_all((0..3).map(|_| stack.run_rotate_keys())).await;
    for (ring, keys) in [("token", 1), ("data", 1), ("audit", 0), ("pseudonym", 0)] {
        assert_eq!(sum(&runs, ring), keys, "{ring}: {runs:?}");
    }
    stack.app.start_session("ada").await;
}

/// T-82: a ring moved to another purpose does not open, and nothing serves with it.
#[tokio::test]
async fn t_82_a_ring_moved_to_another_purpose_does_not_open() {
    let stack = Stack::start().await;
    let before = stack.app.start_session("ada").await;
    let original = items(&stack).await["token"].clone();
    let mut moved = original.clone();
    moved.insert("wrapped".to_owned(), items(&stack).await["data"]["wrapped"].clone());
    put(&stack, moved).await;
    stack.fleet.recycle_all().await;
    let refused = stack.app.create_session(json!({"userId": "ada"})).await;
    assert_ne!(refused.expect_problem(503, "dependency_unavailable").header("retry-after"), "");
    stack.app.refresh(&before.session_id, &before.refresh_token).await.expect_problem(503, "dependency_unavailable");
    let error = stack.invoke("rotate-keys", &integration_tests::stack::scheduled_event(json!({}))).await;
    let InvokeError::Function(error) = error.expect_err("a ring that does not open is not rotated") else { panic!() };
    assert_eq!(error["errorType"], "DependencyUnavailable", "{error}");
    put(&stack, original).await;
    stack.app.refresh(&before.session_id, &before.refresh_token).await.expect(200);
}

/// An environment without a ring answers for it and recovers with it; what needs no ring goes on.
#[tokio::test]
async fn without_a_ring_there_is_a_503_until_there_is_one() {
    let stack = Stack::start().await;
    let tokens = stack.app.start_session("ada").await;
    let path = format!("/sessions/{}", tokens.session_id);
    for purpose in RINGS {
        let ring = items(&stack).await[purpose].clone();
        delete(&stack, purpose).await;
        stack.fleet.recycle_all().await;
        let refused = match purpose {
            "audit" => {
                // No request seals audit fields yet.
                put(&stack, ring).await;
                continue;
            }
            "pseudonym" => stack.app.list("ada").await,
            "data" => stack.app.put(&tokens.session_id, "\"1\"", json!({"data": {"n": 1}})).await,
            _ => stack.request("GET", &path).bearer(&tokens.access_token).send().await,
        };
        let refused = refused.expect_problem(503, "dependency_unavailable");
        assert_eq!(refused.json()["retryable"], true, "{purpose}");
        assert_ne!(refused.header("retry-after"), "", "{purpose}");
        put(&stack, ring).await;
        stack.app.list("ada").await.expect(200);
        stack.request("GET", &path).bearer(&tokens.access_token).send().await.expect(200);
    }
    for purpose in RINGS {
        delete(&stack, purpose).await;
    }
    stack.fleet.recycle_all().await;
    stack.request("GET", "/.well-known/jwks.json").send().await.expect(503);
    stack.request("GET", "/health").send().await.expect(200);
    // Ending a session never waits for KMS.
    stack.app.delete(&tokens.session_id).await.expect(204);
}
