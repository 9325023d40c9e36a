use std::sync::Arc;
use std::time::Duration;

use integration_tests::environment::EnvironmentSpec;
use integration_tests::{Environment, Fleet, InvokeError, eventually, json};

use super::probe;

#[tokio::test]
async fn an_invocation_carries_what_lambda_tells_a_function() {
    let environment = Environment::spawn(probe()).await;
    environment.ready().await.unwrap();
    let seen = environment.invoke_within(&json!({ "a": 1 }), Duration::from_secs(9)).await.unwrap();
    assert_eq!(seen["event"], json!({ "a": 1 }));
    assert_eq!(seen["pid"], environment.pid());
    assert_eq!(seen["functionArn"], "arn:aws:lambda:eu-west-1:123456789012:function:harness-probe");
    assert!(seen["traceId"].as_str().unwrap().starts_with("Root=1-"));
    let left = seen["deadlineMs"].as_i64().unwrap() - seen["nowMs"].as_i64().unwrap();
    assert!((1..=9_000).contains(&left), "{left} ms");
    let second = environment.invoke(&json!({})).await.unwrap();
    assert_ne!(seen["requestId"], second["requestId"]);
    assert_eq!((environment.api().invocations(), environment.api().connections()), (2, 1));
}

#[tokio::test]
async fn variables_are_those_given_and_no_others() {
    let mut spec = probe();
    spec.variables.push(("GIVEN".to_owned(), "yes".to_owned()));
    let environment = Environment::spawn(spec).await;
    let given = environment.invoke(&json!({ "variable": "GIVEN" })).await.unwrap();
    let inherited = environment.invoke(&json!({ "variable": "HOME" })).await.unwrap();
    assert_eq!((&given["variable"], &inherited["variable"]), (&json!("yes"), &json!(null)));
}

#[tokio::test]
async fn output_lands_in_a_log_of_its_own() {
    let environment = Environment::spawn(probe()).await;
    environment.invoke(&json!({ "print": "plain" })).await.unwrap();
    environment.invoke(&json!({ "print": "{\"level\":\"INFO\"}" })).await.unwrap();
    assert!(environment.log_text().contains("plain\n"));
    assert_eq!(environment.log_records(), [json!({ "level": "INFO" })]);
}

#[tokio::test]
async fn failures_keep_their_kind() {
    let environment = Environment::spawn(probe()).await;
    let failed = environment.invoke(&json!({ "fail": "on purpose" })).await.unwrap_err();
    assert!(matches!(&failed, InvokeError::Function(error) if error["errorMessage"] == "on purpose"), "{failed}");
    assert!(environment.is_running());

    let exited = environment.invoke(&json!({ "print": "last words", "exit": true })).await.unwrap_err();
    assert!(
        matches!(&exited, InvokeError::Exited { status, log } if status.contains('7') && log.contains("last words"))
    );
    assert!(!environment.is_running());

    let environment = Environment::spawn(probe()).await;
    let late = environment.invoke_within(&json!({ "sleepMs": 60_000 }), Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(late, InvokeError::TimedOut), "{late}");
    assert!(!environment.is_running(), "an environment does not survive a timeout");

    let mut spec = probe();
    spec.variables.push(("PROBE_EXIT_AT_INIT".to_owned(), "1".to_owned()));
    let stillborn = Environment::spawn(spec).await.ready().await.unwrap_err();
    assert!(matches!(stillborn, InvokeError::Exited { .. }), "{stillborn}");
}

#[tokio::test]
async fn a_frozen_process_answers_after_the_thaw() {
    let environment = Environment::spawn(probe()).await;
    environment.ready().await.unwrap();
    environment.freeze().await;
    let event = json!({});
    let mut waiting = Box::pin(environment.invoke(&event));
    assert!(futures::poll!(&mut waiting).is_pending());
    environment.thaw();
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_killed_environment_is_replaced() {
    let fleet = Fleet::new(2, |_, _| probe());
    let first = fleet.environment("harness-probe", 0).await;
    first.ready().await.unwrap();
    first.kill9().await;
    let seen = fleet.invoke_on("harness-probe", 0, &json!({})).await.unwrap();
    assert_ne!(seen["pid"], first.pid());
    fleet.recycle("harness-probe").await;
    assert!(fleet.running("harness-probe").is_empty());
}

#[tokio::test]
async fn a_warm_environment_is_used_before_a_new_one() {
    let fleet = Fleet::new(3, |_, _| probe());
    let first = fleet.invoke("harness-probe", &json!({})).await.unwrap();
    let second = fleet.invoke("harness-probe", &json!({})).await.unwrap();
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!(fleet.running("harness-probe").len(), 1);
}

#[tokio::test]
async fn concurrent_invocations_get_environments_up_to_the_limit() {
    let fleet = Arc::new(Fleet::new(2, |_, index| {
        let variables = vec![("INDEX".to_owned(), index.to_string())];
        EnvironmentSpec { variables, ..probe() }
    }));
    let event = json!({ "variable": "INDEX" });
    let results = futures::future::join_all((0..6).map(|_| fleet.invoke("harness-probe", &event))).await;
    let mut used: Vec<_> = results.into_iter().map(|seen| seen.unwrap()["variable"].to_string()).collect();
    used.sort();
    used.dedup();
    assert_eq!(used, ["\"0\"", "\"1\""]);
    assert_eq!(fleet.running("harness-probe").len(), 2);
}

#[tokio::test]
async fn processes_end_with_the_fleet() {
    let fleet = Fleet::new(1, |_, _| probe());
    let pid = fleet.invoke("harness-probe", &json!({})).await.unwrap()["pid"].to_string();
    drop(fleet);
    eventually("the process is gone", || async { (!std::path::Path::new("/proc").join(&pid).exists()).then_some(()) })
        .await;
}
