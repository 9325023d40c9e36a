//! Device Bound Session Credentials.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::client_key::Proof;
use integration_tests::{ClientKey, Request, Response, Stack, audit, json};

use super::{session_path, text};

fn policy() -> serde_json::Value {
    json!({ "binding": { "deviceBoundCredentials": true } })
}

async fn start() -> Stack {
    Stack::builder().with_clock().with_policy(policy()).start().await
}

fn offer(session: &SessionTokens) -> String {
    text(&session.document["deviceBoundSession"]["registration"])
}

fn register(stack: &Stack, proof: &str) -> Request {
    stack.request("POST", "/dbsc/registration").header("secure-session-response", proof)
}

fn refresh(stack: &Stack, session: &SessionTokens) -> Request {
    stack.request("POST", "/dbsc/refresh").header("sec-secure-session-id", &session.session_id)
}

async fn challenge(stack: &Stack, session: &SessionTokens) -> String {
    let asked = refresh(stack, session).send().await.expect_problem(403, "device_proof_required");
    let challenge = asked.header("secure-session-challenge").to_owned();
    assert!(challenge.ends_with(&format!("\";id=\"{}\"", session.session_id)), "{challenge}");
    challenge
}

/// A session bound to a key, with its first cookie.
async fn bound(stack: &Stack, user: &str, key: &ClientKey) -> (SessionTokens, String) {
    let session = stack.app.start_session(user).await;
    let answer = register(stack, &key.registration(&offer(&session)).sign()).send().await.expect(200);
    let cookie = cookie(&answer);
    (session, cookie)
}

fn cookie(answer: &Response) -> String {
    assert_eq!(answer.cookies.len(), 1, "{answer:?}");
    answer.cookies[0].split(';').next().unwrap_or_default().to_owned()
}

fn read(stack: &Stack, session: &SessionTokens, cookie: &str) -> Request {
    stack.request("GET", &session_path(&session.session_id)).header("cookie", cookie)
}

#[tokio::test]
async fn a_browser_registers_its_key_and_lives_on_short_cookies() {
    let stack = start().await;
    let key = ClientKey::new();
    let session = stack.app.start_session("ada").await;
    let offered = offer(&session);
    let prefix = format!("(ES256);path=\"{}/dbsc/registration\";challenge=\"", stack.public_url);
    assert!(offered.starts_with(&prefix), "{offered}");
    // A structured field quotes its strings; an answer may come either way.
    let proof = format!("\"{}\"", key.registration(&offered).sign());
    let answer = register(&stack, &proof).send().await.expect(200);
    let expected = json!({
        "session_identifier": session.session_id,
        "continue": true,
        "refresh_url": format!("{}/dbsc/refresh", stack.public_url),
        "scope": { "origin": stack.public_url, "include_site": false, "scope_specification": [] },
        "credentials": [{
            "type": "cookie",
            "name": "__Host-session",
            "attributes": "Path=/; Secure; HttpOnly; SameSite=Lax",
        }],
    });
    assert_eq!(answer.json(), expected);
    assert!(answer.cookies[0].contains("; Max-Age=300; Path=/; Secure; HttpOnly; SameSite=Lax"), "{answer:?}");
    let first = cookie(&answer);
    assert_eq!(read(&stack, &session, &first).send().await.expect(200).json()["current"], true);

    stack.advance(Duration::from_secs(331));
    read(&stack, &session, &first).send().await.expect_problem(401, "credential_invalid");
    let asked = challenge(&stack, &session).await;
    let proof = key.answer(&asked).sign();
    let renewed = refresh(&stack, &session).header("secure-session-response", &proof).send().await.expect(200);
    assert_eq!(renewed.json(), expected, "the same session");
    read(&stack, &session, &cookie(&renewed)).send().await.expect(200);
}

/// T-16: a stolen cookie lives for its five minutes, and nothing renews it without the key.
#[tokio::test]
async fn t_16_without_the_key_nothing_is_renewed() {
    let stack = start().await;
    let (key, other) = (ClientKey::new(), ClientKey::new());
    let (session, stolen) = bound(&stack, "ada", &key).await;
    let (second, _) = bound(&stack, "ada", &other).await;
    let asked = challenge(&stack, &session).await;
    let of_second = challenge(&stack, &second).await;
    let present = async |proof: Proof<'_>| {
        let proof = proof.sign();
        refresh(&stack, &session).header("secure-session-response", &proof).header("cookie", &stolen).send().await
    };
    let refused = [
        other.answer(&asked),
        key.answer(&asked).parameter("jwk", key.jwk()),
        key.answer(&asked).parameter("typ", json!("JWT")),
        key.answer(&asked).parameter("alg", json!("none")),
        key.answer(&asked).without("jti"),
    ];
    for proof in refused {
        let answer = present(proof).await.expect_problem(403, "device_proof_invalid");
        assert_eq!(answer.header("secure-session-challenge"), "");
    }
    // Another session's challenge, a made-up one: asked again.
    present(key.answer(&of_second)).await.expect_problem(403, "device_proof_required");
    present(key.answer("\"x\"")).await.expect_problem(403, "device_proof_required");
    // A challenge is answered once; whoever was second gets the next one.
    let earlier = challenge(&stack, &session).await;
    present(key.answer(&asked)).await.expect(200);
    present(key.answer(&asked)).await.expect_problem(403, "device_proof_required");
    present(key.answer(&earlier)).await.expect(200);
    let stale = challenge(&stack, &session).await;
    stack.advance(Duration::from_secs(300));
    present(key.answer(&stale)).await.expect_problem(403, "device_proof_required");
    // The refresh token is worth nothing without the key either.
    let path = format!("{}/refresh", session_path(&session.session_id));
    let body = json!({ "refreshToken": session.refresh_token });
    stack.request("POST", &path).json(&body).send().await.expect_problem(401, "dpop_proof_invalid");
    stack.advance(Duration::from_secs(31));
    read(&stack, &session, &stolen).send().await.expect_problem(401, "credential_invalid");
}

/// T-17: the key is bound right after the beginning, once, and a second one is an event.
#[tokio::test]
async fn t_17_a_session_is_bound_once_and_at_its_beginning() {
    let stack = Stack::builder().with_clock().with_database().with_policy(policy()).start().await;
    let (key, malware) = (ClientKey::new(), ClientKey::new());
    let session = stack.app.start_session("ada").await;
    let offered = offer(&session);
    let other = offer(&stack.app.start_session("bob").await);
    let wrong = [
        key.registration(&offered).without("authorization"),
        key.registration(&offered).without("jti"),
        key.registration(&offered).claim("authorization", json!("dbr_x")),
        key.registration(&offered).claim("jti", key.registration(&other).claims["jti"].clone()),
        key.registration(&offered).parameter("jwk", malware.jwk()),
        key.registration(&offered).parameter("typ", json!("dpop+jwt")),
        key.registration(&offered).parameter("alg", json!("RS256")),
    ];
    for proof in wrong {
        register(&stack, &proof.sign()).send().await.expect_problem(403, "device_proof_invalid");
    }
    register(&stack, &key.registration(&offered).sign()).send().await.expect(200);
    for second in [&malware, &key] {
        let again = register(&stack, &second.registration(&offered).sign()).send().await;
        again.expect_problem(403, "device_proof_invalid");
    }
    let late = stack.app.start_session("ada").await;
    stack.advance(Duration::from_secs(300));
    let too_late = register(&stack, &key.registration(&offer(&late)).sign()).send().await;
    too_late.expect_problem(403, "device_proof_invalid");

    stack.run_write_audit().await;
    let rows = audit::rows(&stack.database().connect().await).await;
    let of_session = rows.iter().filter(|row| row.event.session_id == session.session_id);
    let kinds = of_session.map(|row| row.event.event_type.as_str());
    // That the two were refused is for `audit::refusals`.
    let kinds: Vec<_> = kinds.filter(|kind| *kind != "request.refused").collect();
    assert_eq!(kinds, ["session.created", "session.key_bound", "session.key_refused", "session.key_refused"]);
}

/// T-15, T-44: tokens of one kind do not stand in for another, and no other site uses the cookie.
#[tokio::test]
async fn t_44_the_cookie_is_good_as_a_cookie_and_on_this_site_only() {
    let stack = start().await;
    let (session, cookie) = bound(&stack, "ada", &ClientKey::new()).await;
    let value = cookie.split_once('=').expect("a pair").1;
    let path = session_path(&session.session_id);
    stack.request("GET", &path).bearer(value).send().await.expect_problem(401, "credential_invalid");
    let active = stack.app.introspect(value).await.expect(200).json();
    assert_eq!((&active["active"], &active["token_type"]), (&json!(true), &json!("DBSC")));

    let plain = stack.app.start_session("ada").await;
    let dpop = ClientKey::new();
    let body = json!({ "userId": "ada", "dpopJkt": dpop.thumbprint() });
    let proved = SessionTokens::from_created(&stack.app.create_session(body).await);
    assert_eq!(proved.document.get("deviceBoundSession"), None, "it has a key already");
    for token in [&plain.access_token, &proved.access_token, &plain.refresh_token, &stack.app.key] {
        let as_cookie = read(&stack, &session, &format!("__Host-session={token}")).send().await;
        as_cookie.expect_problem(401, "credential_invalid");
    }
    let twice = read(&stack, &session, &format!("{cookie}; {cookie}")).send().await;
    twice.expect_problem(401, "credential_missing");
    // Another credential wins, and a broken one is not made good by the cookie.
    read(&stack, &session, &cookie).bearer(&stack.app.key).send().await.expect(200);
    read(&stack, &session, &cookie).bearer("x").send().await.expect_problem(401, "credential_invalid");

    let change = |site: Option<&str>| {
        let body = json!({ "data": { "a": 1 } });
        let request = stack.request("PUT", &path).header("cookie", &cookie).header("if-match", "*").json(&body);
        match site {
            None => request,
            Some(site) => request.header("sec-fetch-site", site),
        }
    };
    for site in [None, Some("cross-site"), Some("none"), Some("")] {
        change(site).send().await.expect_problem(401, "credential_missing");
    }
    for site in ["same-origin", "same-site"] {
        change(Some(site)).send().await.expect(200);
    }
    read(&stack, &session, &cookie).header("sec-fetch-site", "cross-site").send().await.expect(200);
}

/// A session that is over is told without an error, whatever it was; so is one that never existed.
#[tokio::test]
async fn a_session_that_is_over_goes_on_no_more() {
    let stack = start().await;
    let key = ClientKey::new();
    let (session, _) = bound(&stack, "ada", &key).await;
    let asked = challenge(&stack, &session).await;
    stack.app.delete(&session.session_id).await.expect(204);
    let proof = key.answer(&asked).sign();
    let over = refresh(&stack, &session).header("secure-session-response", &proof).send().await.expect(200);
    assert_eq!(over.json(), json!({ "session_identifier": session.session_id, "continue": false }));
    assert!(over.cookies.is_empty());
    let unbound = stack.app.start_session("ada").await;
    assert_eq!(refresh(&stack, &unbound).send().await.expect(200).json()["continue"], false);
    for id in ["", "x", "ses_x"] {
        let request = stack.request("POST", "/dbsc/refresh").header("sec-secure-session-id", id).send().await;
        assert!(matches!(request.status, 400 | 403), "{request:?}");
    }
    stack.request("POST", "/dbsc/refresh").send().await.expect_problem(403, "device_proof_invalid");
}

/// A 4xx would make the browser drop its session, so an outage is never one.
#[tokio::test]
async fn an_outage_is_a_503() {
    let stack = Stack::builder().with_policy(policy()).with_moto_proxy().start().await;
    let key = ClientKey::new();
    let (session, _) = bound(&stack, "ada", &key).await;
    let new = stack.app.start_session("ada").await;
    let proof = key.answer(&challenge(&stack, &session).await).sign();
    stack.redis().stop().await;
    let away = refresh(&stack, &session).header("secure-session-response", &proof).send().await;
    away.expect_problem(503, "dependency_unavailable");
    refresh(&stack, &session).send().await.expect_problem(503, "dependency_unavailable");
    let away = register(&stack, &key.registration(&offer(&new)).sign()).send().await;
    away.expect_problem(503, "dependency_unavailable");
    stack.moto_proxy().go_offline().await;
    stack.fleet.recycle("device-bound-session").await;
    refresh(&stack, &session).send().await.expect_problem(503, "dependency_unavailable");
}

/// Without the flag nothing of it is offered.
#[tokio::test]
async fn nothing_is_offered_without_the_flag() {
    let stack = Stack::start().await;
    assert_eq!(stack.app.start_session("ada").await.document.get("deviceBoundSession"), None);
}
