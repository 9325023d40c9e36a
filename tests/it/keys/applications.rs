use futures::future::join_all;
use integration_tests::{InvokeError, Stack, Value, json};
use std::time::Duration;

async fn manage(stack: &Stack, command: Value) -> Value {
    stack.invoke("manage-applications", &command).await.unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// Type and message of a refused command.
async fn refused(stack: &Stack, command: Value) -> (String, String) {
    match stack.invoke("manage-applications", &command).await {
        Err(InvokeError::Function(error)) => {
            let text = |name: &str| error[name].as_str().expect("a text").to_owned();
            (text("errorType"), text("errorMessage"))
        }
        other => panic!("{command}: {other:?}"),
    }
}

/// Whether a key is accepted by one environment, after whatever that environment remembers.
async fn accepted(stack: &Stack, key: &str) -> bool {
    let response = stack.request("GET", "/sessions/user/ada").bearer(key).send().await;
    assert!(matches!(response.status, 200 | 401), "{response:?}");
    response.status == 200
}

#[tokio::test]
async fn an_application_is_made_shown_changed_and_listed() {
    let stack = Stack::start().await;
    let new = json!({
        "applicationId": "shop", "groupId": "shops", "name": "Shop", "scopes": ["sessions:create", "sessions:read"],
        "policy": {"idleTimeoutSeconds": 3600, "sessionLimit": {"max": 3, "onLimit": "reject"}},
    });
    let made = manage(&stack, json!({"action": "create", "application": new})).await;
    let key = made["applicationKey"].as_str().expect("a key").to_owned();
    assert!(key.starts_with("sk_shop_"), "the key names its application");
    let view = &made["application"];
    assert_eq!(view["version"], 1);
    assert_eq!(view["status"], "active");
    assert_eq!(view["groupId"], "shops");
    assert_eq!(view["policy"]["sessionLimit"], json!({"max": 3, "onLimit": "reject"}));
    assert_eq!(view["policy"]["idleTimeoutSeconds"], 3600);
    assert!(accepted(&stack, &key).await);

    let get = json!({"action": "get", "applicationId": "shop"});
    assert_eq!(manage(&stack, get.clone()).await, json!({"application": view}));
    let changes = json!({"name": "Shop 2", "scopes": ["sessions:read"]});
    let changed = manage(&stack, json!({"action": "update", "applicationId": "shop", "changes": changes})).await;
    let changed = &changed["application"];
    assert_eq!((&changed["name"], &changed["scopes"]), (&json!("Shop 2"), &json!(["sessions:read"])));
    assert_eq!((&changed["policy"], &changed["version"]), (&view["policy"], &json!(2)), "what is absent stays");
    let changes = json!({"policy": {"refreshGraceSeconds": 0}});
    manage(&stack, json!({"action": "update", "applicationId": "shop", "changes": changes})).await;
    let shown = manage(&stack, get).await;
    assert_eq!(shown["application"]["policy"]["refreshGraceSeconds"], 0);

    // Ids are made up when none is given; the list is sorted and hides keys and their digests.
    let unnamed = manage(&stack, json!({"action": "create", "application": {"name": "X", "scopes": []}})).await;
    assert_eq!(unnamed["application"]["groupId"], unnamed["application"]["applicationId"]);
    let list = manage(&stack, json!({"action": "list"})).await;
    let ids: Vec<_> =
        list["applications"].as_array().expect("a list").iter().map(|app| &app["applicationId"]).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.is_sorted_by_key(|id| id.as_str()), "{ids:?}");
    let scan =
        stack.aws.dynamodb.scan().table_name(&stack.aws.tables.applications).send().await.expect("Scan succeeds");
    let stored = format!("{:?}", scan.items());
    let secret = key.rsplit('_').next().expect("a secret");
    let digest = shared::core::application_key::ApplicationKey::parse(&key).expect("a key").digest();
    assert!(stored.contains(&digest) && !stored.contains(secret), "a digest is stored, no key");
    assert!(!list.to_string().contains(&digest) && !list.to_string().contains("sha256"), "{list}");
}

#[tokio::test]
async fn refusals_name_the_field() {
    let stack = Stack::start().await;
    let create = |application: Value| json!({"action": "create", "application": application});
    let whole = json!({"applicationId": "shop", "name": "Shop", "scopes": []});
    let with = |name: &str, value: Value| {
        let mut application = whole.clone();
        application[name] = value;
        create(application)
    };
    let policy = |name: &str, value: Value| with("policy", json!({ name: value }));
    manage(&stack, create(json!({"applicationId": "taken", "name": "T", "scopes": []}))).await;
    let update = |changes: Value| json!({"action": "update", "applicationId": "taken", "changes": changes});
    let on = |action: &str, id: &str| json!({"action": action, "applicationId": id});
    let cases = [
        (with("applicationId", json!("taken")), "application.applicationId"),
        (with("applicationId", json!("Shop")), "application.applicationId"),
        (with("applicationId", json!("ab")), "application.applicationId"),
        (with("applicationId", json!("a_b")), "application.applicationId"),
        (with("groupId", json!("no group")), "application.groupId"),
        (with("name", json!(" ")), "application.name"),
        (with("name", json!("x".repeat(129))), "application.name"),
        (policy("idleTimeoutSeconds", json!(59)), "application.policy.idleTimeoutSeconds"),
        (policy("absoluteTimeoutSeconds", json!(30 * 86_400 + 1)), "application.policy.absoluteTimeoutSeconds"),
        (policy("refreshGraceSeconds", json!(601)), "application.policy.refreshGraceSeconds"),
        (policy("sessionLimit", json!({"max": 0, "onLimit": "reject"})), "application.policy.sessionLimit.max"),
        (policy("sessionLimit", json!({"max": 101, "onLimit": "reject"})), "application.policy.sessionLimit.max"),
        (update(json!({"name": ""})), "changes.name"),
        (update(json!({"policy": {"idleTimeoutSeconds": 1}})), "changes.policy.idleTimeoutSeconds"),
        (with("scopes", json!(["sessions:everything"])), "sessions:everything"),
        (with("scopes", json!("sessions:read")), "application.scopes"),
        (with("colour", json!("red")), "colour"),
        (with("policy", json!({"colour": "red"})), "colour"),
        (with("policy", json!({"idleTimeoutSeconds": "60"})), "application.policy.idleTimeoutSeconds"),
        (create(json!({"applicationId": "shop", "scopes": []})), "name"),
        (update(json!({"applicationId": "other"})), "applicationId"),
        (json!({"action": "rotate", "applicationId": "taken", "overlapSeconds": 30 * 86_400 + 1}), "overlapSeconds"),
        (json!({"action": "rotate", "applicationId": "taken", "overlapSeconds": -1}), "overlapSeconds"),
        (on("get", "NO"), "applicationId"),
        (json!({"action": "get"}), "applicationId"),
        (json!({"action": "destroy", "applicationId": "taken"}), "destroy"),
        (json!({"applicationId": "taken"}), "action"),
        (json!({}), "action"),
        (json!([]), "body"),
    ];
    for (command, field) in cases {
        let (kind, message) = refused(&stack, command.clone()).await;
        assert_eq!(kind, "InvalidRequest", "{command}: {message}");
        assert!(message.contains(field), "{command} should name {field}: {message}");
    }
    // Several at once are told at once.
    let (_, message) = refused(
        &stack,
        create(json!({
            "applicationId": "X", "name": "", "scopes": [], "policy": {"refreshGraceSeconds": 999}
        })),
    )
    .await;
    for field in ["applicationId", "name", "policy.refreshGraceSeconds"] {
        assert!(message.contains(&format!("application.{field} ")), "{message}");
    }
    for action in ["get", "rotate", "disable", "enable"] {
        assert_eq!(refused(&stack, on(action, "absent")).await.0, "NotFound", "{action}");
    }
}

/// Keys change without an interruption, or at once when one leaked.
#[tokio::test]
async fn keys_rotate_with_and_without_overlap() {
    let stack = Stack::builder().with_clock().with_environments(1).start().await;
    let rotate = |overlap: Option<u64>| {
        let mut command = json!({"action": "rotate", "applicationId": stack.app.id});
        if let Some(overlap) = overlap {
            command["overlapSeconds"] = json!(overlap);
        }
        let stack = &stack;
        async move {
            let answer = manage(stack, command).await;
            let count = answer["application"]["keyCount"].as_u64().expect("a number");
            (answer["applicationKey"].as_str().expect("a key").to_owned(), count)
        }
    };
    let first = stack.app.key.clone();
    assert!(accepted(&stack, &first).await);
    let (second, count) = rotate(None).await;
    assert_eq!(count, 2);
    stack.advance(Duration::from_secs(61));
    assert!(accepted(&stack, &first).await && accepted(&stack, &second).await);
    stack.advance(Duration::from_secs(24 * 3600 - 62));
    assert!(accepted(&stack, &first).await, "a day is not over");
    stack.advance(Duration::from_secs(2));
    assert!(!accepted(&stack, &first).await && accepted(&stack, &second).await);

    // The second leaked: nothing but the new one is served once no environment remembers otherwise.
    let (third, count) = rotate(Some(0)).await;
    assert_eq!(count, 1);
    stack.advance(Duration::from_secs(60));
    assert!(!accepted(&stack, &first).await && !accepted(&stack, &second).await);
    assert!(accepted(&stack, &third).await);
    // An overlap that was granted is not made longer by a later rotation.
    let (fourth, _) = rotate(Some(100)).await;
    let (fifth, count) = rotate(Some(5000)).await;
    assert_eq!(count, 3);
    stack.advance(Duration::from_secs(101));
    assert!(!accepted(&stack, &third).await && accepted(&stack, &fourth).await && accepted(&stack, &fifth).await);
}

/// ASVS 8.3.2: a disabled application is refused with everything that was issued to it, within a minute, on every function;
/// enabled again it is served as before.
#[tokio::test]
async fn disabling_refuses_keys_and_tokens_within_a_minute() {
    let stack = Stack::builder().with_clock().start().await;
    let app = &stack.app;
    let tokens = app.start_session("ada").await;
    let other =
        stack.create_application(json!({"name": "Other", "scopes": ["sessions:create", "sessions:read"]})).await;
    let others = other.start_session("ada").await;
    let path = format!("/sessions/{}", tokens.session_id);
    // Every environment remembers the application as active.
    app.get(&tokens.session_id).await.expect(200);
    let own = stack.request("GET", &path).bearer(&tokens.access_token);
    own.clone().send().await.expect(200);
    let body = json!({"refreshToken": tokens.refresh_token});
    let refresh = stack.request("POST", &format!("{path}/refresh")).json(&body);

    manage(&stack, json!({"action": "disable", "applicationId": app.id})).await;
    stack.advance(Duration::from_secs(60));
    app.get(&tokens.session_id).await.expect_problem(401, "credential_invalid");
    app.create_session(json!({"userId": "ada"})).await.expect_problem(401, "credential_invalid");
    app.list("ada").await.expect_problem(401, "credential_invalid");
    app.delete_user_sessions("ada").await.expect_problem(401, "credential_invalid");
    app.delete(&tokens.session_id).await.expect_problem(401, "credential_invalid");
    app.introspect(&tokens.access_token).await.expect(401);
    app.revoke(&tokens.refresh_token).await.expect(401);
    own.clone().send().await.expect_problem(401, "credential_invalid");
    let refused = refresh.clone().send().await.expect(401);
    assert!(refused.code().ends_with("_invalid"), "{refused:?}");
    // Nobody else notices.
    other.get(&others.session_id).await.expect(200);

    manage(&stack, json!({"action": "enable", "applicationId": app.id})).await;
    stack.advance(Duration::from_secs(60));
    own.send().await.expect(200);
    refresh.send().await.expect(200);
    app.get(&tokens.session_id).await.expect(200);
}

/// Operators at once: each change that is confirmed is there, and one that met too many others says so.
#[tokio::test]
async fn concurrent_changes_are_all_kept_or_refused() {
    let stack = Stack::builder().with_environments(6).start().await;
    let id = stack.app.id.clone();
    let commands = (0..6).flat_map(|number| {
        let changes = json!({"name": format!("name {number}")});
        [
            json!({"action": "update", "applicationId": id, "changes": changes}),
            json!({"action": "rotate", "applicationId": id, "overlapSeconds": 3600}),
        ]
    });
    let stack = &stack;
    let invocations = commands.map(|command| async move { stack.invoke("manage-applications", &command).await });
    let outcomes = join_all(invocations).await;
    let mut versions = vec![1];
    let mut keys = vec![stack.app.key.clone()];
    for outcome in outcomes {
        match outcome {
            Ok(answer) => {
                versions.push(answer["application"]["version"].as_u64().expect("a number"));
                keys.extend(answer["applicationKey"].as_str().map(str::to_owned));
            }
            Err(InvokeError::Function(error)) => assert_eq!(error["errorType"], "Conflict", "{error}"),
            Err(other) => panic!("{other}"),
        }
    }
    versions.sort_unstable();
    let expected: Vec<_> = (1..=versions.len() as u64).collect();
    assert_eq!(versions, expected, "each confirmed change has a version of its own");
    assert!(versions.len() > 6, "{versions:?}");
    for key in &keys {
        assert!(accepted(stack, key).await, "a confirmed key is refused");
    }
    let shown = manage(stack, json!({"action": "get", "applicationId": id})).await;
    assert_eq!(shown["application"]["version"], *versions.last().expect("a version"));
    assert_eq!(shown["application"]["keyCount"], keys.len());
}
