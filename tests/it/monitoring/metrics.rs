use super::support::*;
use integration_tests::stack::scheduled_event;
use integration_tests::template::Template;
use integration_tests::{Environment, InvokeError, Stack, Value, json};

/// Units that CloudWatch knows, of those that this service could mean.
const UNITS: [&str; 6] = ["Count", "Milliseconds", "Seconds", "Bytes", "Percent", "None"];
/// What a line may hold beside its metrics: nothing that could be a person, a session or a path.
const FIELDS: [&str; 9] =
    ["timestamp", "level", "message", "request_id", "method", "status", "Operation", "Stage", "_aws"];

/// Panics unless a document follows the specification of the embedded metric format, and names this service's
/// dimensions only.
#[track_caller]
fn check(document: &Value, function: &str, stack: &Stack) {
    let metadata = document["_aws"].as_object().expect("metadata");
    let at = metadata["Timestamp"].as_u64().expect("milliseconds");
    assert!((1_600_000_000_000..4_000_000_000_000).contains(&at), "{document}");
    let directives = metadata["CloudWatchMetrics"].as_array().expect("directives");
    assert_eq!((metadata.len(), directives.len()), (2, 1), "{document}");
    let directive = &directives[0];
    assert_eq!(directive["Namespace"], format!("Sessions/{}", stack.name));
    let sets = directive["Dimensions"].as_array().expect("sets of dimensions");
    assert!(!sets.is_empty());
    for set in sets {
        let set = set.as_array().expect("a set of dimensions");
        assert!((1..=30).contains(&set.len()));
        for name in set {
            let name = name.as_str().expect("a name");
            assert!(["Operation", "Stage"].contains(&name), "{name} is a dimension: every value of it is paid for");
            let value = document[name].as_str().expect("a dimension is a member, and a text");
            assert!((1..=1024).contains(&value.len()));
        }
    }
    assert_eq!((&document["Operation"], &document["Stage"]), (&json!(function), &json!("dev")));
    let metrics = directive["Metrics"].as_array().expect("metrics");
    assert!((1..=100).contains(&metrics.len()));
    let mut names = Vec::new();
    for metric in metrics {
        let name = metric["Name"].as_str().expect("a name");
        assert!((1..=1024).contains(&name.len()) && name.is_ascii());
        assert!(UNITS.contains(&metric["Unit"].as_str().expect("a unit")), "{metric}");
        assert!(document[name].is_number(), "{name} is no number in {document}");
        names.push(name);
    }
    for always in ["Duration", "Count", "Errors", "Refused", "ColdStart"] {
        assert_eq!(names.iter().filter(|name| **name == always).count(), 1, "{always} in {names:?}");
    }
    for member in document.as_object().expect("an object").keys() {
        assert!(FIELDS.contains(&member.as_str()) || names.contains(&member.as_str()), "{member} in {document}");
    }
}

/// The lines of an environment that are metrics.
fn documents(environment: &Environment) -> Vec<Value> {
    environment.log_records().into_iter().filter(|record| record.get("_aws").is_some()).collect()
}

/// Every function that gets deployed writes one document per invocation, whatever comes of it.
#[tokio::test]
async fn every_invocation_writes_one_document() {
    let stack = Stack::builder().with_database().with_environments(1).start().await;
    let functions = Template::of_repository().functions();
    for function in &functions {
        let routes = function.http_events();
        for (method, path) in &routes {
            let path: String = path
                .split('/')
                .map(|part| if part.starts_with('{') { "none" } else { part })
                .collect::<Vec<_>>()
                .join("/");
            stack.request(&method.to_ascii_uppercase(), &path).unchecked().send().await;
        }
        if routes.is_empty() {
            // What an operator's function does not understand is refused, and that counts as well.
            let _ = stack.invoke(&function.name(), &scheduled_event(json!({}))).await;
        }
    }
    for function in &functions {
        let name = function.name();
        let environment = stack.environment(&name, 0).await;
        let documents = documents(&environment);
        assert!(!documents.is_empty(), "{name} was not invoked");
        assert_eq!(documents.len() as u64, environment.api().invocations(), "{name}: {documents:#?}");
        for (index, document) in documents.iter().enumerate() {
            check(document, &name, &stack);
            assert_eq!(document["ColdStart"], u8::from(index == 0), "{name}");
            let message = if function.http_events().is_empty() { "job" } else { "request" };
            assert_eq!(document["message"], message, "{name}");
        }
    }
}

#[tokio::test]
async fn answers_are_counted_as_done_refused_or_failed() {
    let stack = Stack::builder().with_environments(1).with_redis_proxy().start().await;
    let session = stack.app.start_session("ada").await;
    stack.app.get(&session.session_id).await.expect(200);
    stack.request("GET", &format!("/sessions/{}", session.session_id)).send().await.expect(401);
    stack.redis_proxy().go_offline().await;
    stack.app.get(&session.session_id).await.expect(503);
    let documents = documents(&*stack.environment("get-session", 0).await);
    let seen: Vec<_> =
        documents.iter().map(|d| (d["status"].clone(), d["Refused"].clone(), d["Errors"].clone())).collect();
    let row = |status: u16, refused: u8, failed: u8| (json!(status), json!(refused), json!(failed));
    assert_eq!(seen, [row(200, 0, 0), row(401, 1, 0), row(503, 0, 1)]);
    let log = stack.environment("get-session", 0).await.log_text();
    assert!(!log.contains(&session.session_id), "a line tells of no session");
}

/// The writer tells how far the audit is behind, when it can write and when it can not.
#[tokio::test]
async fn the_writer_measures_what_waits() {
    let stack = watched(&[]).with_environments(1).with_database_proxy().start().await;
    replay(&stack, 1).await;
    stack.advance(std::time::Duration::from_secs(100));
    stack.database_proxy().go_offline().await;
    let failed = stack.invoke("write-audit", &scheduled_event(json!({}))).await;
    assert!(matches!(failed, Err(InvokeError::Function(_))), "{failed:?}");
    stack.database_proxy().go_online().await;
    stack.run_write_audit().await;
    stack.run_write_audit().await;
    let documents = documents(&*stack.environment("write-audit", 0).await);
    documents.iter().for_each(|document| check(document, "write-audit", &stack));
    let number = |index: usize, name: &str| documents[index][name].as_i64().unwrap_or(-1);
    assert_eq!(documents.len(), 3);
    for index in [0, 1] {
        assert!((100..160).contains(&number(index, "OldestWaitingSeconds")), "{documents:#?}");
        assert_eq!(number(index, "EntriesWaiting"), 6, "created, two refreshes, replay, end, refusal: {documents:#?}");
    }
    assert_eq!((number(0, "Errors"), number(1, "Errors")), (1, 0));
    assert_eq!((number(1, "Taken"), number(1, "RefreshReplays"), number(1, "SecurityEvents")), (6, 1, 1));
    assert_eq!(
        (number(2, "OldestWaitingSeconds"), number(2, "EntriesWaiting"), number(2, "RefreshReplays")),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn a_refused_command_of_an_operator_is_no_failure() {
    let stack = Stack::builder().with_environments(1).start().await;
    let unknown = stack.invoke("manage-applications", &json!({ "action": "get", "applicationId": "nobody" })).await;
    assert!(unknown.is_err());
    let documents = documents(&*stack.environment("manage-applications", 0).await);
    let last = documents.last().expect("a document");
    assert_eq!((&last["Refused"], &last["Errors"]), (&json!(1), &json!(0)));
}
