use super::support::*;
use integration_tests::stack::scheduled_event;
use integration_tests::{InvokeError, Stack, json};

async fn expect_away(stack: &Stack, function: &str) {
    match stack.invoke(function, &scheduled_event(json!({}))).await {
        Err(InvokeError::Function(error)) => assert_eq!(error["errorType"], "DependencyUnavailable", "{error}"),
        other => panic!("{function}: {other:?}"),
    }
}

/// F-21, I-7: without DynamoDB nothing is acknowledged, neither before the list of receivers is read nor after the rows
/// are written; when it is back everything is delivered once, and the audit has each event once.
#[tokio::test]
async fn f_21_without_dynamodb_nothing_is_acknowledged_and_nothing_is_lost() {
    let stack = builder().with_moto_proxy().start().await;
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 2).await;
    let waiting = queued(&stack).await;
    stack.moto_proxy().go_offline().await;
    expect_away(&stack, "write-audit").await;
    assert_eq!(queued(&stack).await, waiting);
    stack.moto_proxy().go_online().await;
    let refusal = r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"broken"}"#;
    let length = refusal.len();
    let refusal = format!(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {length}\r\n\r\n{refusal}"
    );
    stack.moto_proxy().intercept(b"DynamoDB_20120810.PutItem", refusal.as_bytes());
    expect_away(&stack, "write-audit").await;
    assert!(queued(&stack).await > 0, "an event whose delivery is not handed over is not acknowledged");
    stack.moto_proxy().go_online().await;
    assert_eq!(stack.run_write_audit().await["handedOver"], 2);
    assert_eq!(queued(&stack).await, 0);

    stack.moto_proxy().go_offline().await;
    expect_away(&stack, "deliver-events").await;
    assert!(hook.received().is_empty());
    stack.moto_proxy().go_online().await;
    assert_eq!(stack.run_deliveries().await["delivered"], 2);
    assert_eq!(hook.ids().len(), 2);
    integration_tests::audit::verify(&stack.database().connect().await).await;
}

/// I-15: without KMS nothing can be signed, so nothing is sent; no attempt is lost.
#[tokio::test]
async fn i_15_without_kms_nothing_is_sent() {
    let stack = builder().with_moto_proxy().start().await;
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    let refusal = r#"{"__type":"KMSInternalException","message":"broken"}"#;
    let length = refusal.len();
    let refusal = format!(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {length}\r\n\r\n{refusal}"
    );
    stack.moto_proxy().intercept(b"TrentService.Decrypt", refusal.as_bytes());
    expect_away(&stack, "deliver-events").await;
    assert!(hook.received().is_empty());
    assert!(deliveries(&stack).await.iter().all(|item| item["attempts"].as_n().is_ok_and(|attempts| attempts == "0")));
    stack.moto_proxy().go_online().await;
    assert_eq!(stack.run_deliveries().await["delivered"], 1);
}
