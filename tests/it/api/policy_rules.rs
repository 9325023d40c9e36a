//! Rules by kind of device and level of trust, and what a policy would do before it does it.

use std::time::Duration;

use integration_tests::{InvokeError, Stack, Value, json};

async fn create(stack: &Stack, device: Value) -> integration_tests::Response {
    stack.app.create_session(json!({ "userId": "ada", "device": device })).await
}

#[tokio::test]
async fn timeouts_follow_the_kind_and_the_trust_of_the_device() {
    let policy = json!({
        "idleTimeoutSeconds": 3600, "absoluteTimeoutSeconds": 86_400,
        "deviceTypes": { "kiosk": { "idleTimeoutSeconds": 120, "absoluteTimeoutSecondsMax": 600 } },
        "trustLevels": { "new": { "idleTimeoutSeconds": 900 }, "known": { "idleTimeoutSeconds": 7200 } },
    });
    let stack = Stack::builder().with_policy(policy).with_clock().start().await;
    let idle =
        async |device: Value| create(&stack, device).await.expect(201).json()["session"]["idleTimeoutSeconds"].clone();
    // Trust has the last word over the kind.
    assert_eq!(idle(json!({ "type": "phone" })).await, 900);
    assert_eq!(idle(json!({ "type": "kiosk" })).await, 600, "cut to the absolute timeout of the kind");
    let known = json!({ "deviceId": "d" });
    assert_eq!(idle(known.clone()).await, 900);
    stack.advance(Duration::from_secs(86_400));
    let now = stack.now().format(&time::format_description::well_known::Rfc3339).expect("a time");
    let proved = json!({ "userId": "ada", "device": known, "amr": ["pwd"], "authTime": now });
    assert_eq!(stack.app.create_session(proved).await.expect(201).json()["session"]["idleTimeoutSeconds"], 7200);
    assert_eq!(idle(known).await, 7200);

    // What no level allows is refused, and the device is not registered by it.
    let long =
        json!({ "userId": "ada", "device": { "deviceId": "k", "type": "kiosk" }, "absoluteTimeoutSeconds": 601 });
    let refused = stack.app.create_session(long).await;
    assert_eq!(super::refused_fields(&refused), ["absoluteTimeoutSeconds"]);
    let device = stack.app.request("GET", "/users/ada/devices/k").send().await;
    device.expect_problem(404, "not_found");
}

/// T-67: the limit of a kind holds beside the limit of the user.
#[tokio::test]
async fn t_67_a_kind_of_device_has_a_limit_of_its_own() {
    let policy = json!({
        "sessionLimit": { "max": 4, "onLimit": "reject" },
        "deviceTypes": {
            "tv": { "sessionLimit": { "max": 1, "onLimit": "evict_oldest" } },
            "kiosk": { "sessionLimit": { "max": 1, "onLimit": "reject" } },
        },
    });
    let stack = Stack::builder().with_policy(policy).start().await;
    let tv = create(&stack, json!({ "type": "tv" })).await.expect(201).json();
    create(&stack, json!({ "type": "kiosk" })).await.expect(201);
    create(&stack, json!({ "type": "kiosk" })).await.expect_problem(409, "session_limit_reached");
    create(&stack, json!({ "type": "phone" })).await.expect(201);
    create(&stack, json!({})).await.expect(201);
    create(&stack, json!({})).await.expect_problem(409, "session_limit_reached");
    // A television makes room for the next, also under the limit of the user.
    let next = create(&stack, json!({ "type": "tv" })).await.expect(201).json();
    assert_eq!(next["evicted"], json!([tv["session"]["sessionId"]]));
    // The kind that the user agent claims counts as well.
    let agent =
        json!({ "userAgent": "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/108.0 Safari/537.36" });
    let claimed = stack.app.create_session(json!({ "userId": "ada", "client": agent })).await.expect(201).json();
    assert_eq!(claimed["evicted"], json!([next["session"]["sessionId"]]));
    assert_eq!(claimed["session"]["device"]["type"], "tv");
}

/// T-66: whoever logs in again and again from devices that proved nothing evicts itself.
#[tokio::test]
async fn t_66_a_burst_of_logins_leaves_the_known_device_signed_in() {
    let policy = json!({ "sessionLimit": { "max": 3, "onLimit": "evict_least_trusted" } });
    let stack = Stack::builder().with_policy(policy).with_clock().start().await;
    create(&stack, json!({ "deviceId": "own" })).await.expect(201);
    stack.advance(Duration::from_secs(86_400));
    let now = stack.now().format(&time::format_description::well_known::Rfc3339).expect("a time");
    let proved = json!({ "userId": "ada", "device": { "deviceId": "own" }, "acr": "aal2", "authTime": now });
    let own = stack.app.create_session(proved).await.expect(201).json()["session"]["sessionId"].clone();
    for round in 0..10 {
        create(&stack, json!({ "deviceId": format!("burst-{round}") })).await.expect(201);
    }
    stack.app.get(own.as_str().expect("an id")).await.expect(200);
}

async fn manage(stack: &Stack, command: Value) -> Value {
    stack.invoke("manage-applications", &command).await.unwrap_or_else(|error| panic!("{command}: {error}"))
}

#[tokio::test]
async fn a_dry_run_shows_what_a_policy_would_do_and_writes_nothing() {
    let stack = Stack::start().await;
    let id = &stack.app.id;
    let policy = json!({
        "refreshGraceSeconds": 0,
        "deviceTypes": { "tv": { "idleTimeoutSeconds": 600, "sessionLimit": { "max": 1, "onLimit": "reject" } } },
    });
    let update = json!({ "action": "update", "applicationId": id, "changes": { "policy": policy }, "dryRun": true });
    let shown = manage(&stack, update.clone()).await;
    assert_eq!((&shown["dryRun"], &shown["application"]["version"]), (&json!(true), &json!(1)));
    assert_eq!(shown["application"]["policy"]["refreshGraceSeconds"], 0);
    let rows = shown["effective"].as_array().expect("a list");
    assert_eq!(rows.len(), 3, "televisions at three levels of trust");
    for row in rows {
        assert_eq!((&row["deviceType"], &row["rules"]["idleTimeoutSeconds"]), (&json!("tv"), &json!(600)));
        assert_eq!(row["rules"]["typeLimit"], json!({ "max": 1, "onLimit": "reject" }));
    }
    assert_eq!(shown["base"]["refreshGraceSeconds"], 0);
    let grace = json!({ "field": "policy.refreshGraceSeconds", "from": 10, "to": 0 });
    let differences = shown["differences"].as_array().expect("a list");
    assert!(differences.len() == 2 && differences.contains(&grace), "{differences:?}");
    let stored = manage(&stack, json!({ "action": "get", "applicationId": id })).await;
    assert_eq!(stored["application"], stack.app.record, "nothing was written");

    let new = json!({ "applicationId": "dry-app", "name": "Dry", "scopes": [], "policy": policy });
    let shown = manage(&stack, json!({ "action": "create", "application": new, "dryRun": true })).await;
    assert_eq!((&shown["application"]["keyCount"], shown.get("applicationKey")), (&json!(0), None));
    let get = json!({ "action": "get", "applicationId": "dry-app" });
    assert!(matches!(stack.invoke("manage-applications", &get).await, Err(InvokeError::Function(_))));

    // What is refused for real is refused dry, with the field named.
    for (policy, field) in [
        (json!({ "deviceTypes": { "tv": { "idleTimeoutSeconds": 1 } } }), "deviceTypes.tv.idleTimeoutSeconds"),
        (json!({ "trustLevels": { "blocked": {} } }), "trustLevels.blocked"),
        (json!({ "deviceTypes": { "toaster": {} } }), "deviceTypes"),
    ] {
        for dry_run in [true, false] {
            let command = json!({
                "action": "update", "applicationId": id, "changes": { "policy": policy }, "dryRun": dry_run,
            });
            match stack.invoke("manage-applications", &command).await {
                Err(InvokeError::Function(error)) => {
                    assert!(error["errorMessage"].as_str().is_some_and(|text| text.contains(field)), "{error}");
                }
                other => panic!("{policy}: {other:?}"),
            }
        }
    }
}
