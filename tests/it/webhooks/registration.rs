use super::support::*;
use aws_sdk_dynamodb::types::AttributeValue;
use integration_tests::{InvokeError, Stack, Value, json};

async fn refused(stack: &Stack, command: &Value) -> (String, String) {
    match stack.invoke("manage-applications", command).await {
        Err(InvokeError::Function(error)) => {
            let text = |name: &str| error[name].as_str().expect("a text").to_owned();
            (text("errorType"), text("errorMessage"))
        }
        other => panic!("{command}: {other:?}"),
    }
}

/// A secret is shown once and stored nowhere; what is stored shows no more than the operator said.
#[tokio::test]
async fn i_8_a_receiver_is_registered_and_its_secret_is_stored_nowhere() {
    let stack = Stack::start().await;
    let receiver = json!({"receiverId": "hooks", "url": "https://hooks.example.com/x", "kind": "webhook"});
    let added = add_receiver(&stack, &stack.app, receiver.clone()).await;
    let secret = added["receiverSecret"].as_str().expect("a secret");
    assert!(secret.starts_with("whsec_") && secret.len() == "whsec_".len() + 44, "256 bits of base64");
    assert_eq!(added["receiver"]["events"], json!(["session.ended", "user.revoked", "refresh.replayed"]));
    let get = json!({"action": "get", "applicationId": stack.app.id});
    let shown = stack.invoke("manage-applications", &get).await.expect("shown");
    assert_eq!(shown["application"]["receivers"], json!([added["receiver"]]));
    assert!(!shown.to_string().contains("salt") && !shown.to_string().contains("whsec_"), "{shown}");
    let scan = stack.aws.dynamodb.scan().table_name(&stack.aws.tables.applications).send().await.expect("a scan");
    let stored = format!("{:?}", scan.items());
    assert!(stored.contains("hooks.example.com") && !stored.contains(&secret["whsec_".len()..]), "no secret is stored");

    let command = json!({"action": "add-receiver", "applicationId": stack.app.id, "receiver": receiver});
    assert_eq!(refused(&stack, &command).await.1, "receiver.receiverId is taken");
    for number in 1..10 {
        let receiver = json!({"receiverId": format!("hooks-{number}"), "url": "https://a.example/", "kind": "webhook"});
        add_receiver(&stack, &stack.app, receiver).await;
    }
    let eleventh = json!({"action": "add-receiver", "applicationId": stack.app.id, "receiver": {"url": "https://a.example/", "kind": "webhook"}});
    assert_eq!(refused(&stack, &eleventh).await.1, "receiver an application has at most 10");
    let remove = |id: &str| json!({"action": "remove-receiver", "applicationId": stack.app.id, "receiverId": id});
    let removed = stack.invoke("manage-applications", &remove("hooks")).await.expect("removed");
    assert_eq!(removed["application"]["receivers"].as_array().map(Vec::len), Some(9));
    assert_eq!(refused(&stack, &remove("hooks")).await.0, "NotFound");
}

/// SSRF: places that only a job inside the account can reach are refused by name, and so is everything else that is
/// wrong; nothing is stored.
#[tokio::test]
async fn ssrf_and_wrong_fields_are_refused_by_name() {
    let stack = Stack::start().await;
    let webhook = |url: &str| json!({"url": url, "kind": "webhook"});
    let cases = [
        (webhook("https://169.254.169.254/latest/meta-data"), "receiver.url must not name a private address"),
        (webhook("https://127.0.0.1:9001/2018-06-01/runtime/invocation/next"), "receiver.url must not name a private"),
        (webhook("http://127.0.0.1/"), "receiver.url must begin with https://"),
        (webhook("https://[::ffff:10.0.0.1]/"), "receiver.url must not name a private address"),
        (webhook("https://localhost/"), "receiver.url must not name a private address"),
        (webhook("https://metadata.google.internal/"), "receiver.url must not name a private address"),
        (webhook("https://2130706433/"), "receiver.url must have a valid host"),
        (webhook("http://hooks.example.com/"), "receiver.url must begin with https://"),
        (webhook("https://user:secret-canary@hooks.example.com/"), "receiver.url must not have credentials"),
        (webhook("https://hooks.example.com/#x"), "receiver.url must not have a fragment"),
        (json!({"url": "https://a.example/", "kind": "email"}), "receiver.kind"),
        (json!({"url": "https://a.example/", "kind": "webhook", "events": ["everything"]}), "receiver.events"),
        (json!({"url": "https://a.example/", "kind": "webhook", "colour": "red"}), "colour"),
        (json!({"url": "https://a.example/", "kind": "ssf"}), "receiver.audience is required for ssf"),
        (
            json!({"receiverId": "No!", "url": "https://a.example/", "kind": "webhook"}),
            "receiver.receiverId must match",
        ),
        (json!({"kind": "webhook"}), "url"),
    ];
    for (receiver, expected) in cases {
        let command = json!({"action": "add-receiver", "applicationId": stack.app.id, "receiver": receiver});
        let (kind, message) = refused(&stack, &command).await;
        assert_eq!(kind, "InvalidRequest", "{command}");
        assert!(message.contains(expected), "{command}: {message}");
        assert!(!message.contains("secret-canary"), "{message}");
    }
    let get = json!({"action": "get", "applicationId": stack.app.id});
    let shown = stack.invoke("manage-applications", &get).await.expect("shown");
    assert_eq!((&shown["application"]["receivers"], &shown["application"]["version"]), (&json!([]), &json!(1)));
    let nobody =
        json!({"action": "add-receiver", "applicationId": "nobody", "receiver": webhook("https://a.example/")});
    assert_eq!(refused(&stack, &nobody).await.0, "NotFound");
}

/// A record of an earlier release has no list of receivers and is read all the same.
#[tokio::test]
async fn a_record_without_receivers_is_read() {
    let stack = builder().start().await;
    let table = &stack.aws.tables.applications;
    let key = || AttributeValue::S(stack.app.id.clone());
    let item = stack.aws.dynamodb.get_item().table_name(table).key("applicationId", key()).send().await;
    let item = item.expect("an answer").item.expect("an item");
    let mut record: Value = serde_json::from_str(item["record"].as_s().expect("a text")).expect("JSON");
    assert!(record.as_object_mut().expect("an object").remove("receivers").is_some());
    let mut put = stack.aws.dynamodb.put_item().table_name(table).set_item(Some(item));
    put = put.item("record", AttributeValue::S(record.to_string()));
    put.send().await.expect("written");
    end_sessions(&stack, 1).await;
    assert_eq!(stack.run_write_audit().await["handedOver"], 0);
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    assert_eq!(stack.run_deliveries().await["more"], false);
}

/// A receiver that was taken under other rules is not asked, and the rest of the run goes on.
#[tokio::test]
async fn a_receiver_on_this_machine_is_not_asked_without_leave() {
    let stack = builder().start().await;
    let hook = Hook::start().await;
    add_webhook(&stack, "hooks", &hook.url()).await;
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    let mut spec = integration_tests::environment::EnvironmentSpec::new("deliver-events");
    spec.variables = stack.aws.variables(&integration_tests::settings::moto_url());
    for (name, value) in [
        ("STACK_NAME", &stack.name),
        ("PUBLIC_URL", &stack.public_url),
        ("KMS_KEY_ID", &stack.aws.kms_key_id),
        ("APPLICATIONS_TABLE", &stack.aws.tables.applications),
        ("KEYS_TABLE", &stack.aws.tables.keys),
        ("DELIVERIES_TABLE", &stack.aws.tables.deliveries),
        ("ALERT_TOPIC_ARN", &stack.aws.topic_arn),
    ] {
        spec.variables.push((name.to_owned(), value.clone()));
    }
    let strict = integration_tests::Environment::spawn(spec).await;
    let run = strict.invoke(&integration_tests::stack::scheduled_event(json!({}))).await.expect("a result");
    assert_eq!((&run["delivered"], &run["more"]), (&json!(0), &json!(true)), "{run}");
    assert!(hook.received().is_empty());
    assert_eq!(stack.run_deliveries().await["delivered"], 1, "no attempt was lost");
}
