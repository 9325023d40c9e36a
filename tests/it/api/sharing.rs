//! Sessions that several related applications use. T-10, T-20, T-61, T-64, I-5, I-6.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::application::SessionTokens;
use integration_tests::{Application, Response, Stack, Value, json};

use super::{
    expect_ended, expect_ended_for_holder, face, other_application, refused_fields, related_application,
    scopes_without, session_path, text, user_path,
};

async fn share(app: &Application, session: &str, body: Value) -> Response {
    app.request("POST", &format!("{}/share", session_path(session))).json(&body).send().await
}

async fn code_for(app: &Application, session: &str, target: &Application) -> String {
    text(&share(app, session, json!({ "applicationId": target.id })).await.expect(201).json()["code"])
}

async fn redeem(app: &Application, code: &str) -> Response {
    app.request("POST", "/sessions/redeem").json(&json!({ "code": code })).send().await
}

/// A session of the stack's application, shared with another one for `scopes`.
async fn shared_with(stack: &Stack, target: &Application, scopes: &[&str]) -> (SessionTokens, SessionTokens) {
    let session = stack.app.start_session("ada").await;
    let body = json!({ "applicationId": target.id, "scopes": scopes });
    let code = text(&share(&stack.app, &session.session_id, body).await.expect(201).json()["code"]);
    let taken = SessionTokens::from_created(&redeem(target, &code).await);
    (session, taken)
}

async fn withdraw(app: &Application, session: &str, target: &Application) -> Response {
    let path = format!("{}/share?applicationId={}", session_path(session), target.id);
    app.request("DELETE", &path).send().await
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("claims")
}

async fn refresh_own(stack: &Stack, session: &str, token: &str) -> Response {
    let path = format!("{}/refresh", session_path(session));
    stack.request("POST", &path).json(&json!({ "refreshToken": token })).send().await
}

const BOTH: [&str; 2] = ["sessions:read", "sessions:write"];

#[tokio::test]
async fn a_related_application_gets_its_own_tokens_for_the_same_session() {
    let stack = Stack::start().await;
    let related = related_application(&stack).await;
    let data = json!({ "cart": ["book"] });
    let created = stack.app.create_session(json!({ "userId": "ada", "data": data, "acr": "aal2" })).await;
    let session = SessionTokens::from_created(&created);
    let id = &session.session_id;
    let shared = share(&stack.app, id, json!({ "applicationId": related.id })).await.expect(201).json();
    assert_eq!((&shared["applicationId"], &shared["scopes"]), (&json!(related.id), &json!(BOTH)));
    let taken = redeem(&related, &text(&shared["code"])).await.expect(201);
    assert_eq!(taken.header("location"), session_path(id));
    let taken = SessionTokens::from_created(&taken);
    assert_eq!(taken.document["session"]["data"], Value::Null, "redeeming hands out no data");
    assert_eq!(taken.document["session"]["sharedFrom"], stack.app.id.as_str());

    let (own, its) = (claims(&session.access_token), claims(&taken.access_token));
    for same in ["sub", "sid", "iss", "acr"] {
        assert_eq!(own[same], its[same], "{same}");
    }
    assert_eq!((&its["aud"], &its["client_id"]), (&json!(related.id), &json!(related.id)));

    // Both read and change the one session.
    let read = related.get(id).await.expect(200).json();
    assert_eq!((&read["data"], &read["sharedFrom"]), (&data, &json!(stack.app.id)));
    let changed = related.put(id, "\"1\"", json!({ "data": { "a": 1 } })).await.expect(200);
    assert_eq!((changed.header("etag"), &changed.json()["sharedFrom"]), ("\"2\"", &json!(stack.app.id)));
    let own_read = stack.app.get(id).await.expect(200).json();
    assert_eq!((&own_read["data"], &own_read["sharedFrom"]), (&json!({ "a": 1 }), &Value::Null));
    let holder = stack.request("GET", &session_path(id)).bearer(&taken.access_token).send().await.expect(200).json();
    assert_eq!((&holder["current"], &holder["applicationId"]), (&json!(true), &json!(related.id)));
    for (app, token) in [(&stack.app, &session), (&related, &taken)] {
        assert_eq!(app.introspect(&token.access_token).await.expect(200).json()["active"], true);
        assert_eq!(app.introspect(&token.refresh_token).await.expect(200).json()["active"], true);
    }
    // Neither's tokens are the other's.
    assert_eq!(stack.app.introspect(&taken.access_token).await.expect(200).json(), json!({ "active": false }));
    related.refresh(id, &session.refresh_token).await.expect_problem(401, "refresh_token_invalid");

    // T-10: each family rotates by itself.
    let mut tokens = [session.refresh_token.clone(), taken.refresh_token.clone()];
    for _ in 0..3 {
        for (app, token) in [&stack.app, &related].into_iter().zip(&mut tokens) {
            *token = text(&app.refresh(id, token).await.expect(200).json()["refreshToken"]);
        }
    }
}

#[tokio::test]
async fn owner_and_related_applications_see_the_share_in_their_lists() {
    let stack = Stack::start().await;
    let related = related_application(&stack).await;
    let (session, taken) = shared_with(&stack, &related, &["sessions:read"]).await;
    stack.app.start_session("ada").await;
    let own = stack.app.list("ada").await.expect(200).json();
    assert_eq!(own["sessions"].as_array().map(Vec::len), Some(2));
    assert_eq!(own["sessions"][0]["sharedWith"], Value::Null);
    let shares = own["sessions"][1]["sharedWith"].as_array().expect("shares");
    assert_eq!((&shares[0]["applicationId"], &shares[0]["scopes"]), (&json!(related.id), &json!(["sessions:read"])));
    let its = related.list("ada").await.expect(200).json();
    assert_eq!(its["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(its["sessions"][0]["sessionId"], session.session_id.as_str());
    assert_eq!(its["sessions"][0]["sharedFrom"], stack.app.id.as_str());
    let held = stack.request("GET", &user_path("ada")).bearer(&taken.access_token).send().await.expect(200).json();
    assert_eq!(held["sessions"][0]["current"], true);
}

/// T-61, T-64: what was not shared stays closed; a share allows what it names and no more.
#[tokio::test]
async fn t_61_t_64_a_share_allows_what_it_names() {
    let stack = Stack::start().await;
    let reader = related_application(&stack).await;
    let group = &stack.app.record["groupId"];
    let narrow = json!({ "name": "N", "scopes": ["sessions:create", "sessions:write"], "groupId": group });
    let writer = stack.create_application(narrow).await;
    let (session, taken) = shared_with(&stack, &reader, &["sessions:read"]).await;
    let id = &session.session_id;
    reader.get(id).await.expect(200);
    let change = json!({ "data": { "a": 1 } });
    for tag in ["\"1\"", "*"] {
        reader.put(id, tag, change.clone()).await.expect_problem(403, "insufficient_scope");
        reader.patch(id, tag, change.clone()).await.expect_problem(403, "insufficient_scope");
    }
    let put = stack.request("PUT", &session_path(id)).bearer(&taken.access_token).header("if-match", "*");
    put.json(&change).send().await.expect_problem(403, "insufficient_scope");

    // Scopes meet: all that is asked for, and what the other application has.
    let code = share(&stack.app, id, json!({ "applicationId": writer.id, "scopes": BOTH })).await.expect(201).json();
    assert_eq!(code["scopes"], json!(["sessions:write"]));
    redeem(&writer, &text(&code["code"])).await.expect(201);
    writer.put(id, "\"1\"", change).await.expect(200);
    stack.app.get(id).await.expect(200);
    let unreadable = json!({ "applicationId": writer.id, "scopes": ["sessions:read"] });
    share(&stack.app, id, unreadable).await.expect_problem(403, "sharing_refused");
    for wrong in [json!([]), json!(["users:manage"]), json!(["sessions:read", "x"])] {
        let body = json!({ "applicationId": reader.id, "scopes": wrong });
        assert_eq!(refused_fields(&share(&stack.app, id, body).await), ["scopes"]);
    }
}

/// T-61: unknown, unrelated, disabled and the owner itself are refused alike; a share is not shared on.
#[tokio::test]
async fn t_61_only_relatives_get_a_code_and_none_passes_it_on() {
    let stack = Stack::start().await;
    let related = related_application(&stack).await;
    let third = related_application(&stack).await;
    let unrelated = other_application(&stack).await;
    let disabled = related_application(&stack).await;
    stack
        .invoke("manage-applications", &json!({ "action": "disable", "applicationId": disabled.id }))
        .await
        .expect("ok");
    let (session, taken) = shared_with(&stack, &related, &BOTH).await;
    let id = &session.session_id;
    let ask = |target: &str| share(&stack.app, id, json!({ "applicationId": target }));
    let expected = face(&ask("never-made").await.expect_problem(403, "sharing_refused"));
    for target in [&unrelated, &disabled, &stack.app] {
        assert_eq!(face(&ask(&target.id).await), expected);
    }
    let on = json!({ "applicationId": third.id });
    share(&related, id, on.clone()).await.expect_problem(403, "owner_only");
    let path = format!("{}/share", session_path(id));
    let by_holder = stack.request("POST", &path).bearer(&taken.access_token).json(&on).send().await;
    by_holder.expect_problem(403, "owner_only");
    // Strangers learn nothing.
    share(&unrelated, id, on.clone()).await.expect_problem(404, "not_found");
    let stranger = stack.app.start_session("bob").await;
    let foreign = stack.request("POST", &path).bearer(&stranger.access_token).json(&on).send().await;
    foreign.expect_problem(404, "not_found");
}

#[tokio::test]
async fn t_61_a_code_works_once_in_time_and_for_its_application_alone() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let (related, third) = (related_application(&stack).await, related_application(&stack).await);
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let unknown = face(&redeem(&related, &format!("sc_{}", "A".repeat(56))).await.expect_problem(404, "not_found"));

    let code = code_for(&stack.app, id, &related).await;
    redeem(&related, &code).await.expect(201);
    assert_eq!(face(&redeem(&related, &code).await), unknown, "once");

    let older = code_for(&stack.app, id, &related).await;
    let newer = code_for(&stack.app, id, &related).await;
    assert_eq!(face(&redeem(&related, &older).await), unknown, "replaced");
    assert_eq!(face(&redeem(&third, &newer).await), unknown, "another application's");
    assert_eq!(face(&redeem(&related, &newer).await), unknown, "burnt by it");

    let late = code_for(&stack.app, id, &related).await;
    stack.advance(Duration::from_secs(61));
    assert_eq!(face(&redeem(&related, &late).await), unknown, "late");
    let over = code_for(&stack.app, id, &related).await;
    stack.app.delete(id).await.expect(204);
    redeem(&related, &over).await.expect_problem(404, "session_ended");
    for garbage in ["", "sc_", "x", "sc_ü"] {
        assert_eq!(face(&redeem(&related, garbage).await), unknown, "{garbage}");
    }

    stack.run_write_audit().await;
    let database = stack.database().connect().await;
    for (kind, count) in [("session.shared", 5_i64), ("share.redeemed", 1), ("share.refused", 1)] {
        let row = database.query_one("SELECT count(*) FROM audit_events WHERE event_type = $1", &[&kind]).await;
        assert_eq!(row.expect("a count").get::<_, i64>(0), count, "{kind}");
    }
}

/// T-20, I-5: a share ends with its source, whoever ends it, and lives no longer.
#[tokio::test]
async fn t_20_a_share_ends_with_its_source() {
    let stack = Stack::builder().with_clock().start().await;
    let related = related_application(&stack).await;
    let (session, taken) = shared_with(&stack, &related, &BOTH).await;
    stack.app.delete(&session.session_id).await.expect(204);
    related.get(&session.session_id).await.expect_problem(404, "not_found");
    let own = stack.request("GET", &session_path(&session.session_id)).bearer(&taken.access_token).send().await;
    expect_ended_for_holder(own, "admin");
    expect_ended_for_holder(refresh_own(&stack, &session.session_id, &taken.refresh_token).await, "admin");
    assert_eq!(related.introspect(&taken.access_token).await.expect(200).json(), json!({ "active": false }));

    let (session, taken) = shared_with(&stack, &related, &BOTH).await;
    stack.app.delete_user_sessions("ada").await.expect(204);
    assert_eq!(refresh_own(&stack, &session.session_id, &taken.refresh_token).await.status, 401);

    let body = json!({ "userId": "ada", "absoluteTimeoutSeconds": 200 });
    let short = SessionTokens::from_created(&stack.app.create_session(body).await);
    stack.advance(Duration::from_secs(100));
    let code = code_for(&stack.app, &short.session_id, &related).await;
    let taken = SessionTokens::from_created(&redeem(&related, &code).await);
    assert_eq!(claims(&taken.access_token)["exp"], claims(&short.access_token)["exp"]);
    stack.advance(Duration::from_secs(101));
    expect_ended_for_holder(refresh_own(&stack, &short.session_id, &taken.refresh_token).await, "absolute");
    let left: Vec<_> = stack.redis_keys().await.iter().map(|key| key.name().to_owned()).collect();
    assert!(!left.iter().any(|name| name.starts_with("f:")), "{left:?}");
}

/// Whoever takes no sessions without a key takes no shares, which have none.
#[tokio::test]
async fn an_application_that_requires_keys_takes_no_share() {
    let stack = Stack::start().await;
    let group = &stack.app.record["groupId"];
    let policy = json!({ "binding": { "requireKey": true } });
    let strict = json!({ "name": "S", "scopes": scopes_without(""), "groupId": group, "policy": policy });
    let strict = stack.create_application(strict).await;
    let session = stack.app.start_session("ada").await;
    let code = code_for(&stack.app, &session.session_id, &strict).await;
    redeem(&strict, &code).await.expect_problem(403, "sharing_refused");
    strict.get(&session.session_id).await.expect_problem(404, "not_found");
}

/// I-3: replay in any family ends the session with every family.
#[tokio::test]
async fn i_3_a_replay_in_one_family_ends_all() {
    let stack = Stack::start().await;
    let (related, third) = (related_application(&stack).await, related_application(&stack).await);
    let (session, taken) = shared_with(&stack, &related, &BOTH).await;
    let id = &session.session_id;
    let code = code_for(&stack.app, id, &third).await;
    let other = SessionTokens::from_created(&redeem(&third, &code).await);
    let mut token = taken.refresh_token.clone();
    for _ in 0..2 {
        token = text(&related.refresh(id, &token).await.expect(200).json()["refreshToken"]);
    }
    let snapshot = stack.redis().snapshot().await;
    refresh_own(&stack, id, &taken.refresh_token).await.expect_problem(401, "refresh_token_reused");
    for token in [&token, &other.refresh_token, &session.refresh_token] {
        expect_ended_for_holder(refresh_own(&stack, id, token).await, "reuse");
    }
    expect_ended(stack.app.get(id).await, "reuse");
    // The end is durable although another application than the owner proved it.
    stack.redis().restart_from_snapshot(&snapshot).await;
    expect_ended(stack.app.get(id).await, "reuse");
}

#[tokio::test]
async fn t_61_a_withdrawn_share_is_over_at_once_and_does_not_come_back() {
    let stack = Stack::builder().with_clock().start().await;
    let (related, third) = (related_application(&stack).await, related_application(&stack).await);
    let (session, taken) = shared_with(&stack, &related, &BOTH).await;
    let id = &session.session_id;
    let snapshot = stack.redis().snapshot().await;
    withdraw(&third, id, &related).await.expect_problem(404, "not_found");
    related.get(id).await.expect(200);
    let waiting = code_for(&stack.app, id, &related).await;
    withdraw(&stack.app, id, &related).await.expect(204);
    withdraw(&stack.app, id, &related).await.expect(204);

    let gone = async || {
        related.get(id).await.expect_problem(404, "not_found");
        let own = stack.request("GET", &session_path(id)).bearer(&taken.access_token).send().await;
        own.expect_problem(401, "credential_invalid");
        let list = stack.request("GET", &user_path("ada")).bearer(&taken.access_token).send().await;
        list.expect_problem(401, "credential_invalid");
        let put = stack.request("PUT", &session_path(id)).bearer(&taken.access_token).header("if-match", "\"1\"");
        put.json(&json!({ "data": {} })).send().await.expect_problem(401, "credential_invalid");
        refresh_own(&stack, id, &taken.refresh_token).await.expect_problem(401, "refresh_token_invalid");
        for token in [&taken.access_token, &taken.refresh_token] {
            assert_eq!(related.introspect(token).await.expect(200).json(), json!({ "active": false }));
        }
        stack.app.get(id).await.expect(200);
    };
    gone().await;
    redeem(&related, &waiting).await.expect_problem(404, "not_found");
    // What Redis forgets, the ledger knows. I-1
    stack.redis().restart_from_snapshot(&snapshot).await;
    gone().await;

    // Shared anew, the earlier tokens stay dead, and are no proof of replay.
    stack.advance(Duration::from_secs(31));
    let code = code_for(&stack.app, id, &related).await;
    let again = SessionTokens::from_created(&redeem(&related, &code).await);
    refresh_own(&stack, id, &taken.refresh_token).await.expect_problem(401, "refresh_token_invalid");
    refresh_own(&stack, id, &again.refresh_token).await.expect(200);
    // The ledger, applied once more, takes what was withdrawn and not what was shared after it.
    let snapshot = stack.redis().snapshot().await;
    stack.redis().restart_from_snapshot(&snapshot).await;
    related.get(id).await.expect(200);
    stack.app.refresh(id, &session.refresh_token).await.expect(200);
}

/// Logging out of a related application leaves the session to the others.
#[tokio::test]
async fn ending_a_share_ends_nothing_else() {
    let stack = Stack::start().await;
    let related = related_application(&stack).await;
    let ends = ["application", "holder", "token", "withdrawal by itself", "withdrawal by the holder"];
    for how in ends {
        let (session, taken) = shared_with(&stack, &related, &BOTH).await;
        let id = &session.session_id;
        let snapshot = stack.redis().snapshot().await;
        let share = format!("{}/share?applicationId={}", session_path(id), related.id);
        let answer = match how {
            "application" => related.delete(id).await,
            "holder" => stack.request("DELETE", &session_path(id)).bearer(&taken.access_token).send().await,
            "token" => related.revoke(&taken.refresh_token).await,
            "withdrawal by itself" => withdraw(&related, id, &related).await,
            _ => stack.request("DELETE", &share).bearer(&session.access_token).send().await,
        };
        assert!(answer.status < 300, "{how}: {answer:?}");
        for round in ["once", "after Redis lost it"] {
            related.get(id).await.expect_problem(404, "not_found");
            let refused = refresh_own(&stack, id, &taken.refresh_token).await;
            assert_eq!(refused.code(), "refresh_token_invalid", "{how} {round}");
            stack.app.get(id).await.expect(200);
            if round == "once" {
                stack.redis().restart_from_snapshot(&snapshot).await;
            }
        }
        stack.app.refresh(id, &session.refresh_token).await.expect(200);
        stack.app.delete(id).await.expect(204);
    }
}

/// A withdrawal is accepted while Redis is away, and in force before it serves again.
#[tokio::test]
async fn a_withdrawal_is_accepted_while_redis_is_away() {
    let stack = Stack::start().await;
    let related = related_application(&stack).await;
    let (session, taken) = shared_with(&stack, &related, &BOTH).await;
    let id = &session.session_id;
    let snapshot = stack.redis().snapshot().await;
    stack.redis().stop().await;
    withdraw(&stack.app, id, &related).await.expect(202);
    related.get(id).await.expect_problem(503, "dependency_unavailable");
    stack.redis().restart_from_snapshot(&snapshot).await;
    related.get(id).await.expect_problem(404, "not_found");
    refresh_own(&stack, id, &taken.refresh_token).await.expect_problem(401, "refresh_token_invalid");
    stack.app.get(id).await.expect(200);
}

/// A stranger's withdrawal is in the ledger and means nothing.
#[tokio::test]
async fn t_61_a_foreign_withdrawal_is_never_applied() {
    let stack = Stack::start().await;
    let related = related_application(&stack).await;
    let stranger = other_application(&stack).await;
    let (session, _) = shared_with(&stack, &related, &BOTH).await;
    let id = &session.session_id;
    let snapshot = stack.redis().snapshot().await;
    withdraw(&stranger, id, &related).await.expect_problem(404, "not_found");
    stack.redis().restart_from_snapshot(&snapshot).await;
    related.get(id).await.expect(200);
}

/// A disabled application is out, with its families, until it is enabled again.
#[tokio::test]
async fn a_disabled_related_application_is_refused() {
    let stack = Stack::builder().with_clock().start().await;
    let related = related_application(&stack).await;
    let (session, taken) = shared_with(&stack, &related, &BOTH).await;
    let id = &session.session_id;
    stack
        .invoke("manage-applications", &json!({ "action": "disable", "applicationId": related.id }))
        .await
        .expect("ok");
    stack.advance(Duration::from_secs(61));
    related.get(id).await.expect_problem(401, "credential_invalid");
    refresh_own(&stack, id, &taken.refresh_token).await.expect_problem(401, "credential_invalid");
    let own = stack.request("GET", &session_path(id)).bearer(&taken.access_token).send().await;
    own.expect_problem(401, "credential_invalid");
    // Refused before the token was used up.
    stack.invoke("manage-applications", &json!({ "action": "enable", "applicationId": related.id })).await.expect("ok");
    stack.advance(Duration::from_secs(61));
    refresh_own(&stack, id, &taken.refresh_token).await.expect(200);
}

/// Limits count the owner's sessions only.
#[tokio::test]
async fn a_share_uses_up_nothing_of_the_limit() {
    let stack = Stack::start().await;
    let group = &stack.app.record["groupId"];
    let policy = json!({ "sessionLimit": { "max": 1, "onLimit": "reject" } });
    let limited = json!({ "name": "One", "scopes": scopes_without(""), "groupId": group, "policy": policy });
    let limited = stack.create_application(limited).await;
    let (session, _) = shared_with(&stack, &limited, &BOTH).await;
    limited.start_session("ada").await;
    limited.get(&session.session_id).await.expect(200);
}
