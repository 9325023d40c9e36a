//! Devices: registered, trusted by proof, blocked, removed. T-58, T-59, T-62, I-6.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::routes::percent_encode;
use integration_tests::{Application, Response, Stack, Value, json};

use super::{face, refused_fields};

const DAY: u64 = 24 * 3600;

fn devices_path(user: &str) -> String {
    format!("/users/{}/devices", percent_encode(user))
}

fn device_path(user: &str, device: &str) -> String {
    format!("{}/{}", devices_path(user), percent_encode(device))
}

async fn start_on(app: &Application, user: &str, device: &str) -> SessionTokens {
    let body = json!({ "userId": user, "device": { "deviceId": device } });
    SessionTokens::from_created(&app.create_session(body).await)
}

async fn show(app: &Application, user: &str, device: &str) -> Response {
    app.request("GET", &device_path(user, device)).send().await
}

async fn change(app: &Application, user: &str, device: &str, body: Value) -> Response {
    app.request("PATCH", &device_path(user, device)).json(&body).send().await
}

async fn remove(app: &Application, user: &str, device: &str) -> Response {
    app.request("DELETE", &device_path(user, device)).send().await
}

/// Sessions that live for the whole test.
async fn lasting() -> Stack {
    let policy = json!({ "idleTimeoutSeconds": 30 * DAY });
    Stack::builder().with_clock().with_policy(policy).start().await
}

#[tokio::test]
async fn a_device_is_registered_with_what_its_sessions_say() {
    let stack = Stack::builder().with_clock().start().await;
    let app = &stack.app;
    let firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let first = json!({
        "userId": "ada",
        "device": { "deviceId": "d/1 ü", "name": "Desk", "place": "DE, Berlin" },
        "client": { "ip": "203.0.113.77", "userAgent": firefox },
    });
    let session = app.create_session(first).await.expect(201).json()["session"].clone();
    assert_eq!(session["device"], json!({ "deviceId": "d/1 ü", "name": "Desk", "type": "desktop" }));
    let device = show(app, "ada", "d/1 ü").await.expect(200).json();
    let expected = json!({
        "deviceId": "d/1 ü", "name": "Desk", "type": "desktop", "trust": "new", "place": "DE, Berlin",
        "addressPrefix": "203.0.113.0/24", "client": "Firefox on Windows 10", "lastApplicationId": app.id,
        "firstSeenAt": session["createdAt"], "lastSeenAt": session["createdAt"],
    });
    assert_eq!(device, expected);

    // What people called it stays; a stated kind stands above a claimed one; the first sight is kept.
    stack.advance(Duration::from_secs(60));
    let again = json!({ "userId": "ada", "device": { "deviceId": "d/1 ü", "name": "Other", "type": "kiosk" } });
    let session = app.create_session(again).await.expect(201).json()["session"].clone();
    assert_eq!(session["device"], json!({ "deviceId": "d/1 ü", "name": "Desk", "type": "kiosk" }));
    let mut expected = expected;
    expected["type"] = json!("kiosk");
    expected["lastSeenAt"] = session["createdAt"].clone();
    assert_eq!(show(app, "ada", "d/1 ü").await.expect(200).json(), expected);

    // The list has it first that was seen last; a session without a device id has no device.
    stack.advance(Duration::from_secs(60));
    start_on(app, "ada", "d2").await;
    app.start_session("ada").await;
    let list = app.request("GET", &devices_path("ada")).send().await.expect(200).json();
    let ids: Vec<_> = list["devices"].as_array().expect("a list").iter().map(|one| &one["deviceId"]).collect();
    assert_eq!(ids, ["d2", "d/1 ü"]);
}

#[tokio::test]
async fn a_holder_sees_and_names_its_users_devices() {
    let stack = Stack::start().await;
    let (phone, tv) = (start_on(&stack.app, "ada", "phone").await, start_on(&stack.app, "ada", "tv").await);
    let by_phone = |method: &str, path: &str| stack.request(method, path).bearer(&phone.access_token);
    let list = by_phone("GET", &devices_path("ada")).send().await.expect(200).json();
    for device in list["devices"].as_array().expect("a list") {
        assert_eq!(device["current"], device["deviceId"] == "phone", "{device}");
    }
    let named = by_phone("PATCH", &device_path("ada", "tv")).json(&json!({ "name": "Sofa" })).send().await.expect(200);
    assert_eq!((&named.json()["name"], &named.json()["current"]), (&json!("Sofa"), &json!(false)));
    assert_eq!(show(&stack.app, "ada", "tv").await.json()["name"], "Sofa");

    // A session that is over opens nothing, though its token has not expired.
    stack.app.delete(&tv.session_id).await.expect(204);
    let over = stack.request("GET", &devices_path("ada")).bearer(&tv.access_token).send().await;
    over.expect_problem(401, "session_ended");
}

/// T-58, T-59: what is another user's, or of another group, looks like what never existed.
#[tokio::test]
async fn t_58_t_59_devices_of_others_do_not_exist() {
    let stack = Stack::start().await;
    let eve = start_on(&stack.app, "eve", "phone").await;
    start_on(&stack.app, "ada", "laptop").await;
    let scopes = ["sessions:create", "devices:manage"];
    let stranger = stack.create_application(json!({ "name": "Stranger", "scopes": scopes })).await;
    for method in ["GET", "PATCH", "DELETE"] {
        let send = |path: &str, token: &str| {
            let request = stack.request(method, path).bearer(token);
            if method == "PATCH" { request.json(&json!({ "name": "Mine" })).send() } else { request.send() }
        };
        let foreign = send(&device_path("ada", "laptop"), &eve.access_token).await.expect_problem(404, "not_found");
        let missing = send(&device_path("nobody", "none"), &eve.access_token).await.expect_problem(404, "not_found");
        assert_eq!(face(&foreign), face(&missing), "{method} by another user");
        let foreign = send(&device_path("ada", "laptop"), &stranger.key).await.expect_problem(404, "not_found");
        let missing = send(&device_path("ada", "none"), &stranger.key).await.expect_problem(404, "not_found");
        assert_eq!(face(&foreign), face(&missing), "{method} by another group");
        send(&device_path("ada", "none"), &stack.app.key).await.expect_problem(404, "not_found");
        for impossible in ["a".repeat(129).as_str(), "a\u{7}"] {
            send(&device_path("ada", impossible), &stack.app.key).await.expect_problem(404, "not_found");
        }
    }
    let list = stranger.request("GET", &devices_path("ada")).send().await.expect(200).json();
    assert_eq!(list, json!({ "devices": [] }));
    assert_eq!(show(&stack.app, "ada", "laptop").await.expect(200).json().get("name"), None);
}

#[tokio::test]
async fn bad_changes_are_refused_by_field() {
    let stack = Stack::start().await;
    let session = start_on(&stack.app, "ada", "phone").await;
    for (body, field) in [
        (json!({}), "body"),
        (json!({ "sessionId": session.session_id }), "body"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "x".repeat(129) }), "name"),
        (json!({ "place": "\n" }), "place"),
        (json!({ "trust": "most" }), "trust"),
        (json!({ "trust": 3 }), "trust"),
        (json!({ "trust": "known", "sessionId": "x" }), "sessionId"),
        (json!({ "epoch": 9 }), "epoch"),
    ] {
        let refused = change(&stack.app, "ada", "phone", body.clone()).await;
        assert_eq!(refused_fields(&refused), [field], "{body}");
    }
}

/// T-62, I-6: neither the application nor the holder lifts a device above what is proved.
#[tokio::test]
async fn t_62_i_6_trust_rises_by_recorded_proof_only() {
    let stack = lasting().await;
    let app = &stack.app;
    let first = start_on(app, "ada", "phone").await;
    let ask = async |trust: &str, session: &SessionTokens| {
        change(app, "ada", "phone", json!({ "trust": trust, "sessionId": session.session_id })).await
    };
    let by = async |session: &SessionTokens, trust: &str| {
        let request = stack.request("PATCH", &device_path("ada", "phone")).bearer(&session.access_token);
        request.json(&json!({ "trust": trust })).send().await
    };
    // Recent, but of today.
    for trust in ["known", "trusted"] {
        change(app, "ada", "phone", json!({ "trust": trust })).await.expect_problem(403, "trust_not_proved");
        ask(trust, &first).await.expect_problem(403, "trust_not_proved");
        by(&first, trust).await.expect_problem(403, "trust_not_proved");
    }
    stack.advance(Duration::from_secs(DAY));
    let (other, stranger) = (start_on(app, "ada", "laptop").await, start_on(app, "eve", "phone").await);
    // Old enough, but not recent; recent, but of another device or another user.
    for unfit in [&first, &other, &stranger] {
        ask("known", unfit).await.expect_problem(403, "trust_not_proved");
    }
    by(&other, "known").await.expect_problem(403, "trust_not_proved");
    assert_eq!(show(app, "ada", "phone").await.json()["trust"], "new");

    let second = start_on(app, "ada", "phone").await;
    let known = ask("known", &second).await.expect(200).json();
    assert_eq!((&known["trust"], &known["proof"]), (&json!("known"), &json!("authentication")));
    assert!(known["provedAt"].is_string());
    by(&second, "trusted").await.expect_problem(403, "trust_not_proved");

    stack.advance(Duration::from_secs(6 * DAY));
    let third = start_on(app, "ada", "phone").await;
    assert_eq!(by(&third, "trusted").await.expect(200).json()["trust"], "trusted");
    // It falls freely, and rises by a proof again.
    assert_eq!(by(&third, "new").await.expect(200).json().get("proof"), None);
    let stale = start_on(app, "ada", "phone").await;
    app.delete(&stale.session_id).await.expect(204);
    ask("known", &stale).await.expect_problem(403, "trust_not_proved");
}

/// RFC 9470: what is sensitive needs a recent authentication of the holder.
#[tokio::test]
async fn t_62_sensitive_changes_of_a_holder_need_a_recent_authentication() {
    let stack = lasting().await;
    let app = &stack.app;
    let old = start_on(app, "ada", "phone").await;
    start_on(app, "ada", "laptop").await;
    stack.advance(Duration::from_secs(301));
    let refreshed = app.refresh(&old.session_id, &old.refresh_token).await.expect(200).json();
    let token = refreshed["accessToken"].as_str().expect("a token");
    let send = |method: &str, device: &str| stack.request(method, &device_path("ada", device)).bearer(token);
    for request in [
        send("PATCH", "laptop").json(&json!({ "trust": "blocked" })),
        send("PATCH", "phone").json(&json!({ "trust": "known" })),
        send("DELETE", "laptop"),
    ] {
        let refused = request.send().await.expect_problem(401, "insufficient_user_authentication");
        let challenge = "Bearer realm=\"sessions\", error=\"insufficient_user_authentication\", max_age=\"300\"";
        assert_eq!(refused.header("www-authenticate"), challenge);
    }
    send("PATCH", "laptop").json(&json!({ "name": "Desk" })).send().await.expect(200);
    send("DELETE", "phone").send().await.expect(204);
    send("GET", "laptop").send().await.expect_problem(401, "session_ended");
}

/// The authentication that an application states as it creates a session is a recorded proof.
#[tokio::test]
async fn i_6_a_device_becomes_known_by_a_stated_authentication_a_day_later() {
    let stack = lasting().await;
    let app = &stack.app;
    let login = async |extra: Value| {
        let mut body = json!({ "userId": "ada", "device": { "deviceId": "phone" } });
        for (name, value) in extra.as_object().expect("an object") {
            body[name] = value.clone();
        }
        app.create_session(body).await.expect(201);
        show(app, "ada", "phone").await.expect(200).json()["trust"].clone()
    };
    let now = || stack.now().format(&time::format_description::well_known::Rfc3339).expect("a time");
    let stated = || json!({ "acr": "aal2", "authTime": now() });
    assert_eq!(login(stated()).await, "new");
    stack.advance(Duration::from_secs(DAY));
    let long_ago = "2026-01-01T00:00:00Z";
    assert_eq!(login(json!({})).await, "new");
    assert_eq!(login(json!({ "acr": "aal2" })).await, "new");
    assert_eq!(login(json!({ "authTime": now() })).await, "new");
    assert_eq!(login(json!({ "acr": "aal2", "authTime": long_ago })).await, "new");
    assert_eq!(login(stated()).await, "known");
    assert_eq!(login(json!({})).await, "known");
}

#[tokio::test]
async fn a_blocked_device_has_no_sessions_until_an_application_lifts_it() {
    let stack = Stack::start().await;
    let app = &stack.app;
    let (session, other) = (start_on(app, "ada", "phone").await, start_on(app, "ada", "laptop").await);
    let by_other = |body: Value| {
        stack.request("PATCH", &device_path("ada", "phone")).bearer(&other.access_token).json(&body).send()
    };
    assert_eq!(by_other(json!({ "trust": "blocked" })).await.expect(200).json()["trust"], "blocked");
    let gone = app.get(&session.session_id).await.expect_problem(404, "session_ended");
    assert_eq!(gone.json()["reason"], "device_blocked");
    app.get(&other.session_id).await.expect(200);
    let again = json!({ "userId": "ada", "device": { "deviceId": "phone" } });
    app.create_session(again.clone()).await.expect_problem(403, "device_blocked");
    for trust in ["new", "known", "trusted"] {
        by_other(json!({ "trust": trust })).await.expect_problem(403, "trust_not_proved");
    }
    change(app, "ada", "phone", json!({ "trust": "known" })).await.expect_problem(403, "trust_not_proved");
    assert_eq!(change(app, "ada", "phone", json!({ "trust": "new" })).await.expect(200).json()["trust"], "new");
    app.create_session(again).await.expect(201);
}

/// Remote logout for good: with every application of the group, and of nobody else.
#[tokio::test]
async fn t_68_a_removed_device_is_logged_out_everywhere_and_comes_back_as_a_new_one() {
    let stack = lasting().await;
    let app = &stack.app;
    let scopes = ["sessions:create", "sessions:read", "devices:manage"];
    let sister = json!({ "name": "Sister", "groupId": app.record["groupId"], "scopes": scopes });
    let sister = stack.create_application(sister).await;
    let own = start_on(app, "ada", "phone").await;
    let theirs = start_on(&sister, "ada", "phone").await;
    let (laptop, bob) = (start_on(app, "ada", "laptop").await, start_on(app, "bob", "phone").await);
    remove(app, "ada", "phone").await.expect(204);
    for (application, session) in [(app, &own), (&sister, &theirs)] {
        let gone = application.get(&session.session_id).await.expect_problem(404, "session_ended");
        assert_eq!(gone.json()["reason"], "device_removed");
    }
    for session in [&laptop, &bob] {
        app.get(&session.session_id).await.expect(200);
    }
    remove(app, "ada", "phone").await.expect(204);
    show(app, "ada", "phone").await.expect_problem(404, "not_found");
    change(app, "ada", "phone", json!({ "name": "Ghost" })).await.expect_problem(404, "not_found");
    let list = app.request("GET", &devices_path("ada")).send().await.expect(200).json();
    assert_eq!(list["devices"].as_array().map(Vec::len), Some(1));

    stack.advance(Duration::from_secs(DAY));
    let fresh = start_on(app, "ada", "phone").await;
    app.get(&fresh.session_id).await.expect(200);
    let device = show(app, "ada", "phone").await.expect(200).json();
    assert_eq!((&device["trust"], &device["firstSeenAt"]), (&json!("new"), &device["lastSeenAt"]));
    remove(app, "ada", "phone").await.expect(204);
    app.get(&fresh.session_id).await.expect_problem(404, "session_ended");
    remove(app, "ada", "never").await.expect_problem(404, "not_found");
}

/// `DELETE /sessions/user/{userId}?deviceId=` logs the device out and leaves it registered.
#[tokio::test]
async fn a_logged_out_device_stays_registered() {
    let stack = Stack::start().await;
    let app = &stack.app;
    let (phone, laptop) = (start_on(app, "ada", "phone").await, start_on(app, "ada", "laptop").await);
    for device in ["phone", "never"] {
        app.request("DELETE", &format!("/sessions/user/ada?deviceId={device}")).send().await.expect(204);
    }
    let gone = app.get(&phone.session_id).await.expect_problem(404, "session_ended");
    assert_eq!(gone.json()["reason"], "device_removed");
    app.get(&laptop.session_id).await.expect(200);
    show(app, "ada", "phone").await.expect(200);
    let next = start_on(app, "ada", "phone").await;
    app.get(&next.session_id).await.expect(200);
}

/// Nobody begins a session for so long: the device is forgotten, and what it had with it.
#[tokio::test]
async fn a_device_that_is_never_seen_again_is_forgotten() {
    let stack = lasting().await;
    start_on(&stack.app, "ada", "phone").await;
    start_on(&stack.app, "ada", "stolen").await;
    change(&stack.app, "ada", "stolen", json!({ "trust": "blocked" })).await.expect(200);
    stack.advance(Duration::from_secs(401 * DAY));
    stack.fleet.recycle_all().await;
    stack.run_rotate_keys().await;
    show(&stack.app, "ada", "phone").await.expect_problem(404, "not_found");
    assert_eq!(show(&stack.app, "ada", "stolen").await.expect(200).json()["trust"], "blocked");
}
