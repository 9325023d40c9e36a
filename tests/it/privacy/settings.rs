use super::support::{Person, everything, expect_none, put, settings};
use integration_tests::application::SessionTokens;
use integration_tests::{Stack, json};
use shared::core::attributes::Attributes;
use shared::core::record::SessionRecord;

async fn records(stack: &Stack) -> Vec<SessionRecord> {
    let keys = stack.redis_keys().await.into_iter().filter(|key| key.name().starts_with("s:"));
    keys.map(|key| SessionRecord::decode(&key.content[0]).expect("a record")).collect()
}

async fn history_bytes(stack: &Stack) -> usize {
    let keys = stack.redis_keys().await.into_iter().filter(|key| key.name().starts_with("h:"));
    keys.map(|key| key.content[0].len()).sum()
}

#[tokio::test]
async fn settings_are_on_until_switched_off_and_change_under_if_match() {
    let stack = Stack::start().await;
    let ada = stack.app.start_session("ada").await;
    let get = || stack.request("GET", "/users/ada/privacy").bearer(&ada.access_token);
    let first = get().send().await.expect(200);
    let mut expected = settings(&[]);
    expected["version"] = json!(0);
    expected["source"] = json!("application");
    assert_eq!(first.json(), expected);
    assert_eq!(first.header("etag"), "\"0\"");
    let change = put(&stack, "ada", &["sharing"]).bearer(&ada.access_token).header("if-match", "\"0\"");
    let changed = change.clone().send().await.expect(200);
    assert_eq!((changed.json()["version"].clone(), changed.json()["sharing"].clone()), (json!(1), json!(false)));
    assert_eq!(changed.json()["source"], "user");
    change.send().await.expect_problem(412, "version_mismatch");
    assert_eq!(get().send().await.expect(200).json(), changed.json());
    // Only an application may put a hold on somebody's data.
    let mut hold = settings(&[]);
    hold["legalHold"] = json!(true);
    let path = "/users/ada/privacy";
    stack
        .request("PUT", path)
        .bearer(&ada.access_token)
        .json(&hold)
        .send()
        .await
        .expect_problem(403, "application_only");
    let held = stack.app.request("PUT", path).json(&hold).send().await.expect(200).json();
    assert_eq!((held["legalHold"].clone(), held["version"].clone()), (json!(true), json!(2)));
    // A holder's change leaves it.
    let own = put(&stack, "ada", &[]).bearer(&ada.access_token).send().await.expect(200).json();
    assert_eq!(own["legalHold"], true);
    let eve = stack.app.start_session("eve").await;
    stack.request("GET", path).bearer(&eve.access_token).send().await.expect_problem(404, "not_found");
    stack
        .app
        .request("PUT", path)
        .json(&json!({ "location": true }))
        .send()
        .await
        .expect_problem(400, "invalid_request");
}

/// T-103: what is switched off goes at once from what is held, and is not collected again by any operation.
#[tokio::test]
async fn t_103_what_is_switched_off_goes_and_does_not_come_back() {
    let policy = json!({ "risk": { "mode": "enforce", "stepUpAt": 101, "quarantineAt": 101, "endAt": 101 } });
    let stack = Stack::builder().with_database().with_policy(policy).start().await;
    let ada = Person::new("ada", 7);
    let tokens = ada.live(&stack).await;
    assert!(history_bytes(&stack).await > 5);
    ada.set(&stack, &["location", "fingerprinting"]).await.expect(200);
    let kept = [ada.place.clone(), "198.51.7.".into(), ada.agent.clone()];
    let nowhere = async |what: &str| {
        let redis: String = stack
            .redis_keys()
            .await
            .iter()
            .filter(|key| key.kind != "stream")
            .map(|key| key.content.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<String>())
            .collect();
        expect_none(&kept, what, &redis);
        expect_none(&kept, what, &super::support::tables(&stack).await);
        assert!(history_bytes(&stack).await <= 5, "{what}: nothing is learned");
        for record in records(&stack).await {
            let Attributes { user_agent, place, address_prefix, .. } = &record.attributes;
            assert_eq!((user_agent, place, address_prefix), (&None, &None, &None), "{what}");
            let components = record.attributes.fingerprint().map(|print| (print.components.len(), print.major));
            assert!(components.is_none_or(|components| components == (0, 0)), "{what}: {components:?}");
            assert_eq!(record.header.device, [0; 8], "{what}");
        }
    };
    nowhere("after the change").await;
    let again = ada.begin(&stack).await;
    nowhere("a new session").await;
    // Another address and another browser: judged, and nothing of it kept.
    let elsewhere = |request: integration_tests::Request| request.source_ip("198.51.7.99").user_agent(&ada.agent);
    let path = format!("/sessions/{}", again.session_id);
    elsewhere(stack.request("GET", &path).bearer(&again.access_token)).send().await.expect(200);
    nowhere("a read from elsewhere").await;
    let body = json!({ "refreshToken": tokens.refresh_token });
    let refresh = stack.request("POST", &format!("/sessions/{}/refresh", tokens.session_id)).json(&body);
    let refreshed = elsewhere(refresh).send().await.expect(200).json();
    nowhere("a refresh from elsewhere").await;
    let own = refreshed["accessToken"].as_str().expect("a token");
    let update = stack.request("PUT", &format!("/sessions/{}", tokens.session_id)).bearer(own).header("if-match", "*");
    elsewhere(update.json(&json!({ "data": {} }))).source_ip("198.51.7.100").send().await.expect(200);
    nowhere("an update from elsewhere").await;
    stack.run_write_audit().await;
    let rows = integration_tests::audit::rows(&stack.database().connect().await).await;
    let told: Vec<_> = rows.iter().filter(|row| row.event.event_type == "user.privacy_changed").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event.detail, "v1,-location,-fingerprinting");
    assert_eq!((told[0].event.actor.as_str(), &told[0].event.application_id), ("application", &stack.app.id));
    // Switched on again, it is collected again.
    ada.set(&stack, &[]).await.expect(200);
    ada.begin(&stack).await;
    assert!(everything(&stack).await.contains(&ada.place));
    assert!(history_bytes(&stack).await > 5);
}

/// What an application sets for users who have not chosen is enforced where data is collected; a user's own choice is
/// stronger, in both directions, and only that of the user is another application's as well.
#[tokio::test]
async fn t_103_defaults_of_an_application_hold_until_the_user_chooses() {
    let defaults = json!({ "activityTracking": false, "location": false, "fingerprinting": false, "sharing": false });
    let stack = Stack::builder().with_database().with_policy(json!({ "privacyDefaults": defaults })).start().await;
    let group = &stack.app.record["groupId"];
    let scopes = ["sessions:create", "sessions:read", "sessions:write", "devices:manage", "privacy:manage"];
    let open = stack.create_application(json!({ "name": "Open", "scopes": scopes, "groupId": group })).await;
    let ada = Person::new("ada", 7);
    let shown = async |application: &integration_tests::Application| {
        application.request("GET", &ada.path("/privacy")).send().await.expect(200).json()
    };
    let mut expected = defaults.clone();
    (expected["source"], expected["version"]) = (json!("application"), json!(0));
    assert_eq!(shown(&stack.app).await, expected);
    assert_eq!(shown(&open).await["location"], true, "each application has its own defaults");

    let record = async |session: &str| {
        let request = stack.app.request("POST", &format!("/sessions/{session}/activity"));
        request.json(&json!({ "activities": [{ "name": "a" }] })).send().await.expect(202).json()["recorded"].clone()
    };
    let share = async |session: &str| {
        let request = stack.app.request("POST", &format!("/sessions/{session}/share"));
        request.json(&json!({ "applicationId": open.id })).send().await.status
    };
    let place = async |place: &str| {
        let request = stack.app.request("PATCH", &ada.path(&format!("/devices/{}", ada.device)));
        request.json(&json!({ "place": place })).send().await
    };
    let traits = [ada.place.clone(), "198.51.7.".into(), ada.agent.clone()];
    let tokens = ada.begin(&stack).await;
    expect_none(&traits, "a session under the defaults", &everything(&stack).await);
    assert_eq!(history_bytes(&stack).await, 0, "nothing is learned");
    assert_eq!(record(&tokens.session_id).await, 0);
    assert_eq!(share(&tokens.session_id).await, 403);
    let refused = place("somewhere").await.expect_problem(400, "invalid_request").json();
    assert_eq!(refused["errors"][0]["field"], "place", "{refused}");
    assert!(!everything(&stack).await.contains("somewhere"));
    let renamed = stack.app.request("PATCH", &ada.path(&format!("/devices/{}", ada.device)));
    renamed.json(&json!({ "name": "hers" })).send().await.expect(200);

    // The user allows everything, and then nothing, whatever the application's defaults are.
    let chosen = ada.set(&stack, &[]).await.expect(200).json();
    assert_eq!((&chosen["source"], &chosen["location"]), (&json!("user"), &json!(true)));
    assert_eq!(record(&tokens.session_id).await, 1);
    let allowed = ada.begin(&stack).await;
    let held = everything(&stack).await;
    assert!(held.contains(&ada.place) && held.contains(&ada.agent));
    assert_eq!(share(&allowed.session_id).await, 201);
    place("somewhere").await.expect(200);
    ada.set(&stack, &["location", "activityTracking"]).await.expect(200);
    assert_eq!(record(&allowed.session_id).await, 0);
    assert_eq!(
        (shown(&open).await["location"].clone(), shown(&open).await["source"].clone()),
        (json!(false), json!("user"))
    );
    place("elsewhere").await.expect_problem(400, "invalid_request");
    let body = json!({ "userId": ada.user, "client": { "ip": ada.address } });
    open.create_session(body).await.expect(201);
    for record in records(&stack).await {
        assert_eq!((&record.attributes.place, &record.attributes.address_prefix), (&None, &None));
    }
    let export = ada.export(&stack).await;
    assert_eq!(export["user"][0]["privacy"]["source"], "user");
}

/// Without sharing there are no shares: those that are go, codes that wait are void, and no other begins.
#[tokio::test]
async fn switching_sharing_off_withdraws_every_share() {
    let stack = Stack::start().await;
    let group = &stack.app.record["groupId"];
    let scopes = ["sessions:create", "sessions:read"];
    let sister = stack.create_application(json!({ "name": "Sister", "groupId": group, "scopes": scopes })).await;
    let session = stack.app.start_session("ada").await;
    let path = format!("/sessions/{}/share", session.session_id);
    let share =
        || stack.app.request("POST", &path).json(&json!({ "applicationId": sister.id, "scopes": ["sessions:read"] }));
    let redeem = |code: String| sister.request("POST", "/sessions/redeem").json(&json!({ "code": code }));
    let code = |response: integration_tests::Response| response.json()["code"].as_str().expect("a code").to_owned();
    let first = code(share().send().await.expect(201));
    redeem(first).send().await.expect(201);
    sister.get(&session.session_id).await.expect(200);
    let waiting = code(share().send().await.expect(201));
    let unshared = stack.app.start_session("ada").await;
    let request = stack.app.request("POST", &format!("/sessions/{}/share", unshared.session_id));
    let body = json!({ "applicationId": sister.id, "scopes": ["sessions:read"] });
    let first_code = code(request.json(&body).send().await.expect(201));
    put(&stack, "ada", &["sharing"]).send().await.expect(200);
    sister.get(&session.session_id).await.expect_problem(404, "not_found");
    redeem(waiting).send().await.expect_problem(404, "not_found");
    redeem(first_code).send().await.expect_problem(403, "sharing_refused");
    share().send().await.expect_problem(403, "sharing_refused");
    let fresh = stack.app.start_session("ada").await;
    let request = stack.app.request("POST", &format!("/sessions/{}/share", fresh.session_id));
    let refused = request.json(&json!({ "applicationId": sister.id, "scopes": ["sessions:read"] })).send().await;
    refused.expect_problem(403, "sharing_refused");
    put(&stack, "ada", &[]).send().await.expect(200);
    redeem(code(share().send().await.expect(201))).send().await.expect(201);
}

/// Minimisation without any setting: no whole address and no raw user agent outside live sessions, no coordinates.
#[tokio::test]
async fn by_default_addresses_are_cut_and_user_agents_end_with_the_session() {
    let stack = Stack::builder().with_database().start().await;
    let ada = Person::new("ada", 7);
    let tokens = ada.live(&stack).await;
    stack.app.delete_user_sessions(&ada.user).await.expect(204);
    stack.app.get(&tokens.session_id).await.expect(404);
    let text = everything(&stack).await;
    expect_none(&[ada.address.clone(), ada.agent.clone(), ada.data.clone()], "the stores", &text);
    let tombstones = records(&stack).await;
    assert!(!tombstones.is_empty() && tombstones.iter().all(|record| record.attributes == Attributes::default()));
}

/// A user of defaults pays one round trip, one who opted out two; the script changes nothing the first time.
#[tokio::test]
async fn opting_out_costs_a_second_round_trip_and_no_second_event() {
    let stack = Stack::builder().with_environments(1).with_redis_proxy().start().await;
    let create = |user: &str| stack.app.request("POST", "/sessions").json(&json!({ "userId": user }));
    create("warm").send().await.expect(201);
    put(&stack, "ada", &["fingerprinting"]).send().await.expect(200);
    let mut cost = Vec::new();
    for user in ["bob", "ada"] {
        let request = create(user);
        let (response, counts) = stack.redis_proxy().measure(request.send()).await;
        SessionTokens::from_created(&response.expect(201));
        cost.push(counts.round_trips);
    }
    assert_eq!(cost, [1, 2]);
    assert_eq!(stack.app.list("ada").await.expect(200).json()["sessions"].as_array().expect("a list").len(), 1);
}
