//! What becomes of requests whose context changed: T-01, T-92, I-6, ASVS 8.2.4.

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::{Request, Response, Stack, Value, audit, json};

use super::{expect_ended, expect_ended_for_holder, session_path};

/// A browser of today.
pub(crate) const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0.0.0 Safari/537.36";
/// Where sessions of these tests begin.
pub(crate) const HOME: &str = "203.0.113.10";
/// Another network.
pub(crate) const ELSEWHERE: &str = "198.51.100.66";

/// A session that began at home with a browser.
pub(crate) async fn begin(stack: &Stack, user: &str) -> SessionTokens {
    let body = json!({ "userId": user, "client": { "ip": HOME, "userAgent": CHROME } });
    SessionTokens::from_created(&stack.app.create_session(body).await)
}

/// `GET` of a session by its holder.
pub(crate) fn read(stack: &Stack, session: &SessionTokens, address: &str, agent: &str) -> Request {
    let request = stack.request("GET", &session_path(&session.session_id)).bearer(&session.access_token);
    request.source_ip(address).user_agent(agent)
}

/// `POST …/refresh` by its holder.
pub(crate) fn refresh(stack: &Stack, session: &SessionTokens, token: &str, address: &str, agent: &str) -> Request {
    let request = stack.request("POST", &format!("{}/refresh", session_path(&session.session_id)));
    request.json(&json!({ "refreshToken": token })).source_ip(address).user_agent(agent)
}

/// The risk of a session as its application sees it.
pub(crate) async fn risk(stack: &Stack, session: &SessionTokens) -> Value {
    stack.app.get(&session.session_id).await.expect(200).json()["risk"].clone()
}

fn quarantined(response: Response) -> Value {
    response.expect_problem(401, "session_quarantined").json()
}

/// T-01: the first use of a stolen access token is judged, not the next refresh.
#[tokio::test]
async fn t_01_asvs_8_2_4_a_stolen_access_token_is_quarantined_at_its_first_use() {
    let stack = Stack::start().await;
    let session = begin(&stack, "ada").await;
    read(&stack, &session, HOME, CHROME).send().await.expect(200);
    let refused = quarantined(read(&stack, &session, ELSEWHERE, "curl/8.5").send().await);
    let reasons = json!(["new_device", "fingerprint_drift", "network_change"]);
    assert_eq!((&refused["reasons"], &refused["retryable"]), (&reasons, &json!(false)));
    let seen = json!({ "score": 70, "verdict": "quarantine", "reasons": reasons, "standing": "quarantined" });
    assert_eq!(risk(&stack, &session).await, seen);
    // The rightful holder can not be told from the thief by a token; both wait for a re-authentication.
    assert_eq!(quarantined(read(&stack, &session, HOME, CHROME).send().await)["reasons"], reasons);
}

/// T-92: a phone that changes its networks and updates its browser is never asked for anything.
#[tokio::test]
async fn t_92_honest_roaming_changes_nothing() {
    let stack = Stack::start().await;
    let session = begin(&stack, "ada").await;
    let mut token = session.refresh_token.clone();
    for step in 0..12_u8 {
        let address = format!("198.51.{}.7", 100 + step % 5);
        let agent = CHROME.replace("131", &format!("{}", 131 + u32::from(step) / 4));
        read(&stack, &session, &address, &agent).send().await.expect(200);
        if step % 3 == 0 {
            let next =
                refresh(&stack, &session, &token, &format!("2001:db8:{step}::1"), &agent).send().await.expect(200);
            token = super::text(&next.json()["refreshToken"]);
        }
    }
    let after = stack.app.get(&session.session_id).await.expect(200).json();
    assert!(after["risk"].is_null() || after["risk"]["standing"] == "good", "{after}");
    assert_eq!(after["client"]["userAgent"], CHROME);
}

/// I-6: a standing that fell rises by no context, not even the first one.
#[tokio::test]
async fn i_6_going_back_does_not_lift_a_standing() {
    let stack = Stack::start().await;
    let session = begin(&stack, "ada").await;
    // The same network and another client: 60.
    read(&stack, &session, HOME, "curl/8.5").send().await.expect(200);
    assert_eq!(risk(&stack, &session).await["standing"], "step_up");
    for _ in 0..3 {
        read(&stack, &session, HOME, CHROME).send().await.expect(200);
    }
    let seen = risk(&stack, &session).await;
    assert_eq!((&seen["standing"], &seen["reasons"]), (&json!("step_up"), &json!(["new_device", "fingerprint_drift"])));
}

#[tokio::test]
async fn an_older_browser_and_a_changed_fingerprint_are_told() {
    let stack = Stack::start().await;
    let session = begin(&stack, "ada").await;
    read(&stack, &session, HOME, &CHROME.replace("131", "99")).send().await.expect(200);
    assert_eq!(risk(&stack, &session).await["reasons"], json!(["user_agent_downgrade"]));

    let client = |fingerprint: &str| json!({ "ip": HOME, "userAgent": CHROME, "fingerprint": fingerprint });
    let body = json!({ "userId": "bob", "client": client("canvas=a;fonts=10;gpu=x") });
    let session = SessionTokens::from_created(&stack.app.create_session(body).await);
    let path = format!("{}/refresh", session_path(&session.session_id));
    let stated = |token: &str, fingerprint: &str| {
        stack.app.request("POST", &path).json(&json!({ "refreshToken": token, "client": client(fingerprint) }))
    };
    // One of three components: similar enough.
    let next = stated(&session.refresh_token, "canvas=a;fonts=11;gpu=x").send().await.expect(200).json();
    let seen = next["session"]["risk"].clone();
    assert!(seen.is_null() || seen["standing"] == "good", "{seen}");
    let next = stated(&super::text(&next["refreshToken"]), "canvas=z;fonts=3;gpu=q").send().await.expect(200).json();
    assert_eq!(next["session"]["risk"]["standing"], "step_up", "{next}");
}

#[tokio::test]
async fn shadow_mode_reaches_verdicts_and_does_nothing() {
    let stack = Stack::builder().with_policy(json!({ "risk": { "mode": "shadow" } })).with_database().start().await;
    let session = begin(&stack, "ada").await;
    read(&stack, &session, ELSEWHERE, "curl/8.5").send().await.expect(200);
    let reasons = json!(["new_device", "fingerprint_drift", "network_change"]);
    let seen = json!({ "score": 70, "verdict": "quarantine", "reasons": reasons, "standing": "good" });
    assert_eq!(risk(&stack, &session).await, seen);
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let told: Vec<_> = rows.iter().map(|row| (row.event.event_type.as_str(), row.event.detail.as_str())).collect();
    let detail = "quarantine,score=70,new_device,fingerprint_drift,network_change";
    assert_eq!(told, [("session.created", ""), ("session.risk_shadowed", detail)]);
}

#[tokio::test]
async fn a_policy_may_judge_nothing_or_end_at_once_and_differ_by_kind_of_device() {
    let policy = json!({
        "risk": { "mode": "off" },
        "deviceTypes": { "kiosk": { "risk": { "stepUpAt": 30, "quarantineAt": 50, "endAt": 60 } } },
    });
    let stack = Stack::builder().with_policy(policy).with_database().start().await;
    let session = begin(&stack, "ada").await;
    read(&stack, &session, ELSEWHERE, "curl/8.5").send().await.expect(200);
    assert_eq!(risk(&stack, &session).await, Value::Null);

    let client = json!({ "ip": HOME, "userAgent": CHROME });
    let body = json!({ "userId": "bob", "device": { "type": "kiosk" }, "client": client });
    let kiosk = SessionTokens::from_created(&stack.app.create_session(body).await);
    expect_ended_for_holder(read(&stack, &kiosk, ELSEWHERE, "curl/8.5").send().await, "risk");
    expect_ended(stack.app.get(&kiosk.session_id).await, "risk");
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let of_kiosk = rows.iter().filter(|row| row.event.session_id == kiosk.session_id).map(|row| &row.event);
    let told: Vec<_> = of_kiosk.map(|e| (e.event_type.as_str(), e.reason.as_str(), e.detail.as_str())).collect();
    let detail = "end,score=70,new_device,fingerprint_drift,network_change";
    let expected = [
        ("session.created", "", ""),
        ("session.risk_raised", "", detail),
        ("session.ended", "risk", ""),
        ("request.refused", "session_ended", "lookup"),
    ];
    assert_eq!(told, expected);
}

/// Owner and thief at the same instant, many times over: each is answered, and the judgement stands.
#[tokio::test]
async fn concurrent_judgements_all_see_the_verdict() {
    let stack = Stack::start().await;
    let session = begin(&stack, "ada").await;
    let requests = (0..24).map(|index| match index % 2 {
        0 => read(&stack, &session, &format!("198.51.{index}.7"), CHROME),
        _ => read(&stack, &session, &format!("192.0.{index}.7"), "curl/8.5"),
    });
    for answer in join_all(requests.map(Request::send)).await {
        match answer.status {
            200 => {}
            409 => drop(answer.expect_problem(409, "session_changed")),
            _ => drop(quarantined(answer)),
        }
    }
    let seen = risk(&stack, &session).await;
    assert_eq!(seen["standing"], "quarantined", "{seen}");
}

/// A session that an application began without saying where takes the first context it is used in, when activity is due.
#[tokio::test]
async fn a_session_that_began_nowhere_is_judged_by_its_first_context() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    stack.advance(std::time::Duration::from_secs(61));
    read(&stack, &session, HOME, CHROME).send().await.expect(200);
    assert_eq!(stack.app.get(&session.session_id).await.expect(200).json().get("risk"), None);
    // Nothing is known of the user's devices: drift and network alone are 55.
    read(&stack, &session, ELSEWHERE, "curl/8.5").send().await.expect(200);
    let seen = risk(&stack, &session).await;
    assert_eq!((&seen["standing"], &seen["score"]), (&json!("step_up"), &json!(55)));
}

/// T-93: eight kilobytes of user agent, binary headers: bounded, and no signal of their own.
#[tokio::test]
async fn t_93_hostile_headers_are_bounded() {
    let stack = Stack::start().await;
    let session = begin(&stack, "ada").await;
    let hostile = format!("{CHROME} {}", "x".repeat(7000));
    let request = read(&stack, &session, HOME, &hostile);
    request.header("sec-ch-ua-platform", &"y".repeat(500)).header("accept-language", "!;!").send().await.expect(200);
    let seen = risk(&stack, &session).await;
    assert_eq!(seen, Value::Null, "the lasting parts are those of the browser");
}
