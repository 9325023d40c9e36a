//! Who may do what: every operation against every kind of credential, from one table.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Application, Request, Stack, Value, json};
use time::format_description::well_known::Rfc3339;

use super::{other_application, scopes_without, session_path, text, user_path};

/// Kinds of caller, in the order of the columns of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Caller {
    Nobody,
    MalformedKey,
    KeyWithoutScope,
    DisabledApplication,
    RotatedOutKey,
    OtherApplication,
    OtherUser,
    ExpiredToken,
    RefreshTokenAsAccessToken,
    Owner,
    Holder,
}

use Caller::{
    DisabledApplication, ExpiredToken, Holder, KeyWithoutScope, MalformedKey, Nobody, OtherApplication, OtherUser,
    Owner, RefreshTokenAsAccessToken, RotatedOutKey,
};

const CALLERS: [Caller; 11] = [
    Nobody,
    MalformedKey,
    KeyWithoutScope,
    DisabledApplication,
    RotatedOutKey,
    OtherApplication,
    OtherUser,
    ExpiredToken,
    RefreshTokenAsAccessToken,
    Owner,
    Holder,
];

/// The refresh token itself is the credential of a refresh: an access token or nothing beside it is all the same.
/// An application that deletes a user's sessions deletes its own, and hears 204 whether it had any.
const TABLE: &str = "
    operation                  scope            nobody  bad-key  no-scope  disabled  old-key  other  bob    expired  rt     owner  holder
    create                     sessions:create  401-m   401-i    403-s     401-i     401-i    201    403-a  401-i    401-i  201    403-a
    get                        sessions:read    401-m   401-i    403-s     401-i     401-i    404-n  404-n  401-i    401-i  200    200
    put                        sessions:write   401-m   401-i    403-s     401-i     401-i    404-n  404-n  401-i    401-i  200    200
    patch                      sessions:write   401-m   401-i    403-s     401-i     401-i    404-n  404-n  401-i    401-i  200    200
    delete                     sessions:write   401-m   401-i    403-s     401-i     401-i    404-n  404-n  401-i    401-i  204    204
    refresh                    sessions:write   200     401-i    403-s     401-i     401-i    401-r  200    200      200    200    200
    list                       sessions:read    401-m   401-i    403-s     401-i     401-i    200    404-n  401-i    401-i  200    200
    delete-user                users:manage     401-m   401-i    403-s     401-i     401-i    204    404-n  401-i    401-i  204    204
    devices                    devices:manage   401-m   401-i    403-s     401-i     401-i    200    404-n  401-i    401-i  200    200
    state                      devices:manage   401-m   401-i    403-s     401-i     401-i    200    404-n  401-i    401-i  200    200
    introspect                 sessions:read    401-m   401-i    403-s     401-i     401-i    200    401-i  401-i    401-i  200    401-i
    revoke                     sessions:write   401-m   401-i    403-s     401-i     401-i    200    401-i  401-i    401-i  200    401-i
    step-up                    sessions:write   401-m   401-i    403-s     401-i     401-i    404-n  403-a  401-i    401-i  200    403-a
    share                      sessions:write   401-m   401-i    403-s     401-i     401-i    404-n  404-n  401-i    401-i  403-h  403-h
    withdraw                   sessions:write   401-m   401-i    403-s     401-i     401-i    404-n  404-n  401-i    401-i  204    204
    redeem                     sessions:create  401-m   401-i    403-s     401-i     401-i    404-n  403-a  401-i    401-i  404-n  403-a
    lock                       sessions:write   401-m   401-i    403-s     401-i     401-i    404-n  404-n  401-i    401-i  201    201
    unlock                     sessions:write   401-m   401-i    403-s     401-i     401-i    404-n  404-n  401-i    401-i  409-l  409-l
    refresh-with-access-token  sessions:write   401-r   401-r    401-r     401-r     401-r    401-r  401-r  401-r    401-r  401-r  401-r
";

/// Operation, the scope it needs, and the answer to each of [`CALLERS`].
fn rows() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let rows = TABLE.trim().lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells.len(), CALLERS.len() + 2, "{line}");
        (cells[0], cells[1], cells[2..].to_vec())
    });
    rows.collect()
}

fn expected(cell: &str) -> (u16, &str) {
    let (status, code) = cell.split_once('-').unwrap_or((cell, ""));
    let code = match code {
        "m" => "credential_missing",
        "i" => "credential_invalid",
        "r" => "refresh_token_invalid",
        "s" => "insufficient_scope",
        "a" => "application_only",
        "n" => "not_found",
        "h" => "sharing_refused",
        "l" => "lock_lost",
        _ => "",
    };
    (status.parse().unwrap(), code)
}

fn request(stack: &Stack, operation: &str, victim: &SessionTokens, user: &str) -> Request {
    let path = session_path(&victim.session_id);
    let data = json!({ "data": { "changed": true } });
    match operation {
        "create" => stack.request("POST", "/sessions").json(&json!({ "userId": user })),
        "get" => stack.request("GET", &path),
        "put" | "patch" => stack.request(&operation.to_uppercase(), &path).header("if-match", "\"1\"").json(&data),
        "delete" => stack.request("DELETE", &path),
        "refresh" | "refresh-with-access-token" => {
            let token = if operation == "refresh" { &victim.refresh_token } else { &victim.access_token };
            stack.request("POST", &format!("{path}/refresh")).json(&json!({ "refreshToken": token }))
        }
        "step-up" => {
            let authenticated = (stack.now() + Duration::from_secs(5)).format(&Rfc3339).unwrap();
            stack.request("POST", &format!("{path}/step-up")).json(&json!({ "authTime": authenticated }))
        }
        "share" => stack.request("POST", &format!("{path}/share")).json(&json!({ "applicationId": "nobody" })),
        "withdraw" => stack.request("DELETE", &format!("{path}/share?applicationId=nobody")),
        "redeem" => {
            stack.request("POST", "/sessions/redeem").json(&json!({ "code": format!("sc_{}", "A".repeat(56)) }))
        }
        "lock" => stack.request("POST", &format!("{path}/lock")).json(&json!({})),
        "unlock" => {
            stack.request("DELETE", &format!("{path}/lock")).header("session-lock", "lk_AAAAAAAAAAAAAAAAAAAAAA")
        }
        "list" => stack.request("GET", &user_path(user)),
        "devices" | "state" => stack.request("GET", &format!("/users/{user}/{operation}")),
        "delete-user" => stack.request("DELETE", &user_path(user)),
        "introspect" | "revoke" => {
            stack.request("POST", &format!("/{operation}")).form(&[("token", &victim.refresh_token)])
        }
        other => unreachable!("{other}"),
    }
}

async fn manage(stack: &Stack, action: &str, application: &Application, more: Value) -> Value {
    let mut event = json!({ "action": action, "applicationId": application.id });
    event.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let answer = stack.invoke("manage-applications", &event).await.expect("a change");
    integration_tests::secrets::register_from(&answer);
    answer
}

#[tokio::test]
async fn every_operation_meets_every_caller() {
    let stack = Stack::builder().with_clock().start().await;
    let expired = stack.app.start_session("ada").await;
    stack.advance(Duration::from_secs(331));

    let old_key = stack.app.key.clone();
    let rotated = manage(&stack, "rotate", &stack.app, json!({ "overlapSeconds": 0 })).await;
    let mut owner = stack.app.clone();
    owner.key = text(&rotated["applicationKey"]);
    let disabled = other_application(&stack).await;
    let mut victims_of_disabled = Vec::new();
    for (operation, ..) in rows() {
        victims_of_disabled.push(disabled.start_session(operation).await);
    }
    manage(&stack, "disable", &disabled, json!({})).await;
    stack.advance(Duration::from_secs(61));
    let other = other_application(&stack).await;
    let bob = owner.start_session("bob").await;

    for (row, (operation, scope, cells)) in rows().into_iter().enumerate() {
        let narrow = json!({ "name": "Narrow", "scopes": scopes_without(scope) });
        let narrow = stack.create_application(narrow).await;
        for (caller, cell) in CALLERS.into_iter().zip(cells) {
            let user = format!("{operation}-{caller:?}");
            let victim = match caller {
                DisabledApplication => victims_of_disabled[row].clone(),
                _ => owner.start_session(&user).await,
            };
            let request = request(&stack, operation, &victim, &user);
            let request = match caller {
                Nobody => request,
                MalformedKey => request.bearer("sk_not-a-key"),
                KeyWithoutScope => request.bearer(&narrow.key),
                DisabledApplication => request.bearer(&disabled.key),
                RotatedOutKey => request.bearer(&old_key),
                OtherApplication => request.bearer(&other.key),
                OtherUser => request.bearer(&bob.access_token),
                ExpiredToken => request.bearer(&expired.access_token),
                RefreshTokenAsAccessToken => request.bearer(&victim.refresh_token),
                Owner => request.bearer(&owner.key),
                Holder => request.bearer(&victim.access_token),
            };
            let answer = request.send().await;
            let (status, code) = expected(cell);
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{operation} {caller:?}: {answer:?}");
            match (operation, caller) {
                ("introspect", OtherApplication) => assert_eq!(answer.text(), r#"{"active":false}"#),
                ("introspect", Owner) => assert_eq!(answer.json()["active"], true),
                ("list", OtherApplication) => assert_eq!(answer.json(), json!({ "sessions": [] })),
                _ => {}
            }
            let reached = status < 300 && caller != OtherApplication && operation != "create";
            if !reached && caller != DisabledApplication {
                let read = owner.get(&victim.session_id).await.expect(200).json();
                assert_eq!((&read["version"], &read["data"]), (&json!(1), &json!({})), "{operation} {caller:?}");
                let current = owner.introspect(&victim.refresh_token).await.expect(200).json();
                assert_eq!(current["active"], true, "{operation} {caller:?}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_of_a_disabled_application_are_refused() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let path = session_path(&session.session_id);
    let get = || stack.request("GET", &path).bearer(&session.access_token).send();
    get().await.expect(200);
    manage(&stack, "disable", &stack.app, json!({})).await;
    stack.advance(Duration::from_secs(61));
    get().await.expect_problem(401, "credential_invalid");
    manage(&stack, "enable", &stack.app, json!({})).await;
    stack.advance(Duration::from_secs(61));
    get().await.expect(200);
}

#[tokio::test]
async fn malformed_credentials_are_refused() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let path = session_path(&session.session_id);
    let key = &stack.app.key;
    let (head, secret) = key.rsplit_once('_').map_or((key.as_str(), ""), |(head, _)| (head, &key[head.len() + 1..]));
    let credentials = [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer x".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Bearer sk_".to_owned(),
        format!("Bearer {}", &key[..key.len() - 1]),
        format!("Bearer {key}A"),
        format!("Bearer {key}="),
        format!("Bearer {key} {key}"),
        format!("Bearer {}", key.to_uppercase()),
        format!("Bearer sk_unknown-application_{secret}"),
        format!("Bearer {head}_{}", "A".repeat(43)),
        format!("Token {key}"),
        format!("DPoP {}", session.access_token),
        format!("Basic {key}"),
        "Basic !".to_owned(),
        key.clone(),
        session.access_token.clone(),
        String::new(),
        format!("Bearer {}", "x".repeat(9000)),
    ];
    for credential in credentials {
        for method in ["GET", "DELETE"] {
            let answer = stack.request(method, &path).header("authorization", &credential).send().await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "credential_invalid"), "{credential}");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"sessions\", error=\"invalid_token\"");
        }
    }
    // Basic is a way for OAuth clients only; schemes are case-insensitive.
    let basic = stack.request("GET", &path).basic(&stack.app.id, key).send().await;
    basic.expect_problem(401, "credential_invalid");
    for scheme in ["bearer", "BEARER"] {
        stack.request("GET", &path).header("authorization", &format!("{scheme} {key}")).send().await.expect(200);
    }
    let missing = stack.request("GET", &path).send().await.expect_problem(401, "credential_missing");
    assert_eq!(missing.header("www-authenticate"), "Bearer realm=\"sessions\"");
}
