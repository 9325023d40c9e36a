use super::files::{names, read};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::application::SessionTokens;
use integration_tests::stores::{RedisOptions, RedisServer};
use integration_tests::{Application, ClientKey, Response, Stack, Value, json, response_rules};
use time::OffsetDateTime;

const USER: &str = "user-1042";
const DEVICE: &str = "phone-7";
/// The application that the operator's events make.
const APPLICATION: &str = "demo";

/// What a stack issued.
struct Issued<'a> {
    app: &'a Application,
    /// An application of the same group.
    related: &'a Application,
    tokens: SessionTokens,
    /// A code that shares the session with it.
    code: String,
    /// When the user authenticated once more.
    authenticated_at: String,
}

/// Puts what this stack issued in the place of what the event shows.
fn substitute(text: &str, issued: &Issued) -> String {
    let text = text.replace("sk_demo_REPLACE", &issued.app.key).replace("sk_help-desk_REPLACE", &issued.related.key);
    let text = text.replace("help-desk", &issued.related.id).replace("2026-11-24T03:15:40Z", &issued.authenticated_at);
    let text = text.replace("client_id=demo", &format!("client_id={}", issued.app.id));
    let text = replace_tokens(&text, "ses_", &issued.tokens.session_id);
    let text = replace_tokens(&text, "sc_", &issued.code);
    replace_tokens(&text, "rt_", &issued.tokens.refresh_token)
}

/// Replaces every word that begins with `prefix`.
fn replace_tokens(text: &str, prefix: &str, replacement: &str) -> String {
    let mut parts = text.split(prefix);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(part.len());
        replaced.push_str(if end >= 20 { replacement } else { prefix });
        replaced.push_str(if end >= 20 { &part[end..] } else { part });
    }
    replaced
}

fn for_this_stack(event: &str, issued: &Issued) -> Value {
    let mut event: Value = serde_json::from_str(&substitute(event, issued)).expect("JSON");
    if event["isBase64Encoded"] == true {
        let body = STANDARD.decode(event["body"].as_str().expect("a body")).expect("base64");
        let body = substitute(&String::from_utf8(body).expect("a form"), issued);
        event["body"] = STANDARD.encode(body).into();
    }
    event
}

fn status(function: &str, case: &str) -> u16 {
    match function {
        "create-session" | "redeem-share" | "lock-session" => 201,
        "share-session" => {
            if case == "post.json" {
                201
            } else {
                204
            }
        }
        "delete-session" | "delete-user-sessions" | "unlock-session" => 204,
        "manage-device" if case == "remove.json" => 204,
        "record-activity" => 202,
        _ => 200,
    }
}

/// The events are what API Gateway, EventBridge and operators send: every one does at its function what it is for.
#[tokio::test]
async fn every_sample_event_does_its_work() {
    let policy = json!({ "binding": { "deviceBoundCredentials": true } });
    let stack = Stack::builder().with_clock().with_database().with_policy(policy).start().await;
    // A time of the events lies in no future.
    let written_at = OffsetDateTime::from_unix_timestamp(1_795_490_142).expect("a time") + time::Duration::MINUTE;
    if let Ok(ahead) = std::time::Duration::try_from(written_at - stack.now()) {
        stack.advance(ahead);
        stack.fleet.recycle_all().await;
    }
    let scopes = ["sessions:create", "sessions:read"];
    let group = &stack.app.record["groupId"];
    let related = stack.create_application(json!({ "name": "Help desk", "scopes": scopes, "groupId": group })).await;
    let mut http = 0;
    for function in names("functions") {
        for case in names(format!("events/{function}")) {
            let text = read(format!("events/{function}/{case}"));
            if !text.contains("\"routeKey\"") {
                continue;
            }
            http += 1;
            let body = json!({ "userId": USER, "device": { "deviceId": DEVICE } });
            let tokens = SessionTokens::from_created(&stack.app.create_session(body).await);
            let share = stack.app.request("POST", &format!("/sessions/{}/share", tokens.session_id));
            let shared = share.json(&json!({ "applicationId": related.id })).send().await.expect(201).json();
            let later = stack.now() + time::Duration::seconds(2);
            let issued = Issued {
                app: &stack.app,
                related: &related,
                tokens: tokens.clone(),
                code: shared["code"].as_str().expect("a code").to_owned(),
                authenticated_at: later.format(&time::format_description::well_known::Rfc3339).expect("a time"),
            };
            let text = match text.contains("lk_REPLACE") {
                true => text.replace("lk_REPLACE", &lock(&stack, &tokens).await),
                false => text,
            };
            let mut event = for_this_stack(&text, &issued);
            if function == "device-bound-session" {
                prove(&stack, &tokens, &mut event).await;
            }
            let name = format!("{function}/{case}");
            let result = stack.invoke(&function, &event).await;
            let response = Response::of_invocation(&function, result).expect(status(&function, &case));
            let path = event["rawPath"].as_str().expect("a path");
            response_rules::check(&name, path, &response);
            effect(&stack, &function, &case, &tokens, &response).await;
        }
    }
    assert_eq!(http, 45, "HTTP events");
}

/// Locks a session; the token.
async fn lock(stack: &Stack, tokens: &SessionTokens) -> String {
    let request = stack.app.request("POST", &format!("/sessions/{}/lock", tokens.session_id)).json(&json!({}));
    request.send().await.expect(201).json()["lockToken"].as_str().expect("a token").to_owned()
}

/// Puts the proof of a browser into its event: to bind its key, or to show it again.
async fn prove(stack: &Stack, tokens: &SessionTokens, event: &mut Value) {
    let key = ClientKey::new();
    let offer = tokens.document["deviceBoundSession"]["registration"].as_str().expect("an offer");
    let mut proof = key.registration(offer).sign();
    if event["rawPath"] == "/dbsc/refresh" {
        let register = stack.request("POST", "/dbsc/registration").header("secure-session-response", &proof);
        register.send().await.expect(200);
        let refresh = stack.request("POST", "/dbsc/refresh").header("sec-secure-session-id", &tokens.session_id);
        let asked = refresh.send().await.expect(403);
        proof = key.answer(asked.header("secure-session-challenge")).sign();
    }
    event["headers"]["secure-session-response"] = proof.into();
}

/// What the event was for has happened.
async fn effect(stack: &Stack, function: &str, case: &str, tokens: &SessionTokens, response: &Response) {
    let app = &stack.app;
    match function {
        "create-session" => {
            let session = response.json()["session"]["sessionId"].as_str().expect("an id").to_owned();
            assert_eq!(app.get(&session).await.expect(200).json()["data"]["cartId"], "c-77");
        }
        "get-session" => assert_eq!(response.json()["sessionId"], tokens.session_id.as_str()),
        "update-session" => assert_eq!(response.header("etag"), "\"2\""),
        "lock-session" => {
            assert!(response.json()["fence"].as_u64().is_some());
            app.put(&tokens.session_id, "*", json!({"data": {}})).await.expect_problem(423, "session_locked");
        }
        "unlock-session" => drop(app.put(&tokens.session_id, "*", json!({"data": {}})).await.expect(200)),
        "refresh-session" => {
            let document = response.json();
            let next = document.get("refreshToken").or(document.get("refresh_token"));
            assert!(next.is_some_and(|next| next != tokens.refresh_token.as_str()), "{document}");
        }
        "introspect" => assert_eq!(response.json()["active"], true),
        "delete-session" | "revoke" => {
            app.get(&tokens.session_id).await.expect_problem(404, "session_ended");
        }
        "list-user-sessions" => assert_eq!(response.json()["sessions"][0]["sessionId"], tokens.session_id.as_str()),
        "delete-user-sessions" => {
            let left = app.list(USER).await.expect(200).json();
            assert_eq!(left["sessions"].as_array().map(Vec::len), Some(1), "the one it excepts");
        }
        "share-session" if response.status == 201 => assert_eq!(response.json()["scopes"], json!(["sessions:read"])),
        "share-session" => {}
        "redeem-share" => assert_eq!(response.json()["session"]["sharedFrom"], app.id.as_str()),
        "step-up-session" => {
            assert_eq!(response.json()["session"]["acr"], "aal2");
            let old = app.introspect(&tokens.access_token).await.expect(200).json();
            assert_eq!(old, json!({ "active": false }));
        }
        "openapi" => assert!(response.json()["openapi"].as_str().is_some_and(|version| version.starts_with("3.1"))),
        "list-devices" => assert_eq!(response.json()["devices"][0]["deviceId"], DEVICE),
        "manage-device" => match case {
            "get.json" => assert_eq!(response.json()["trust"], "new"),
            "rename.json" => assert_eq!(response.json()["name"], "Ada's phone"),
            _ => drop(app.get(&tokens.session_id).await.expect_problem(404, "session_ended")),
        },
        "device-data" | "user-state" => {
            let changed = case != "get.json";
            assert_eq!(response.json()["data"].as_object().is_some_and(|data| !data.is_empty()), changed);
        }
        "manage-privacy" => assert_eq!(response.json()["location"], case == "get.json"),
        "export-user" => assert_eq!(response.json()["devices"][0]["device"]["deviceId"], DEVICE),
        "erase-user" => {
            assert_eq!(response.json()["state"], "complete");
            let ended = app.get(&tokens.session_id).await.expect_problem(404, "session_ended");
            assert_eq!(ended.json()["reason"], "erased");
        }
        "jwks" => {
            let document = response.json();
            let keys = document["keys"].as_array().map(Vec::len);
            assert!(keys == Some(1) || document["issuer"] == stack.public_url.as_str(), "{document}");
        }
        "device-bound-session" => assert_eq!(response.cookies.len(), 1, "{response:?}"),
        "console" => {
            let page = response.header("content-type").starts_with("text/html");
            assert_eq!(page, !case.contains("asset"), "{response:?}");
        }
        "query-audit" => assert!(response.json()["events"].is_array()),
        "verify-audit" => assert_eq!(response.json()["intact"], true),
        "record-activity" => assert_eq!(response.json(), json!({ "recorded": 1 })),
        "query-analytics" => assert_eq!(response.json()["timeZone"], "Europe/Vienna"),
        "health" => {}
        other => panic!("{other} has an HTTP event and no check"),
    }
}

#[tokio::test]
async fn every_payload_of_schedules_and_operators_does_its_work() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let run = async |function: &str, case: &str| {
        let event = serde_json::from_str(&read(format!("events/{function}/{case}.json"))).expect("JSON");
        stack.invoke(function, &event).await.unwrap_or_else(|error| panic!("{function}/{case}: {error}"))
    };
    // One by one, in the order of their use; whoever adds a file adds it here.
    let made = run("manage-applications", "create").await;
    assert_eq!(made["application"]["applicationId"], APPLICATION);
    let list = run("manage-applications", "list").await;
    assert_eq!(list["applications"].as_array().map(Vec::len), Some(2));
    assert_eq!(run("manage-applications", "rotate").await["application"]["keyCount"], 2);
    let added = run("manage-applications", "add-receiver").await;
    assert!(added["receiverSecret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "a secret, once");
    assert_eq!(added["application"]["receivers"], json!([added["receiver"]]));
    assert_eq!(run("manage-applications", "remove-receiver").await["application"]["receivers"], json!([]));
    assert_eq!(run("manage-applications", "disable").await["application"]["status"], "disabled");
    assert_eq!(run("migrate-database", "run").await["applied"], json!([]));
    assert_eq!(run("rotate-keys", "scheduled").await["rings"].as_array().map(Vec::len), Some(4));

    let session = stack.app.create_session(json!({"userId": "ada", "idleTimeoutSeconds": 60})).await;
    SessionTokens::from_created(&session);
    stack.advance(std::time::Duration::from_secs(61));
    run("cleanup-sessions", "range").await;
    run("cleanup-sessions", "scheduled").await;
    run("write-audit", "range").await;
    run("write-audit", "scheduled").await;
    let client = stack.database().connect().await;
    let rows = integration_tests::audit::rows(&client).await;
    let kinds: Vec<_> = rows.iter().map(|row| row.event.event_type.as_str()).collect();
    assert_eq!(kinds, ["session.created", "session.ended"]);
    assert_eq!(run("evaluate-alerts", "scheduled").await["firing"], 0);
    assert_eq!(run("deliver-events", "scheduled").await["delivered"], 0);

    // Both stores must have the true time, so this is for another stack.
    let other = RedisServer::start(RedisOptions::default()).await;
    let stack = Stack::builder().with_variable("REDIS_MOVE_TO_URL", &other.url()).start().await;
    for (case, left) in [("dry-run", 4096), ("run", 0)] {
        let event = serde_json::from_str(&read(format!("events/move-sessions/{case}.json"))).expect("JSON");
        assert_eq!(stack.invoke("move-sessions", &event).await.expect("a run")["bucketsLeft"], left);
    }

    let mut files = 0;
    for function in [
        "manage-applications",
        "migrate-database",
        "rotate-keys",
        "cleanup-sessions",
        "write-audit",
        "evaluate-alerts",
        "deliver-events",
        "move-sessions",
    ] {
        files += names(format!("events/{function}")).len();
    }
    assert_eq!(files, 16, "every payload is tried above");
}
