//! T-74: a quarantined session is of no use to anybody but its application, and can be ended.

use std::time::Duration;

use integration_tests::{Stack, Value, json};
use time::format_description::well_known::Rfc3339;

use super::risk::{CHROME, ELSEWHERE, HOME, begin, read, refresh, risk};
use super::session_path;

const QUARANTINED: &str = "session_quarantined";

#[tokio::test]
async fn t_74_nothing_works_while_quarantined_but_the_end() {
    let stack = Stack::start().await;
    let (session, other) = (begin(&stack, "ada").await, begin(&stack, "ada").await);
    let id = &session.session_id;
    read(&stack, &session, ELSEWHERE, "curl/8.5").send().await.expect_problem(401, QUARANTINED);

    // Refreshing: by the holder at home, and by the application on its behalf. The token is not used up.
    refresh(&stack, &session, &session.refresh_token, HOME, CHROME).send().await.expect_problem(401, QUARANTINED);
    stack.app.refresh(id, &session.refresh_token).await.expect_problem(401, QUARANTINED);
    // Validating.
    for token in [&session.access_token, &session.refresh_token] {
        assert_eq!(stack.app.introspect(token).await.expect(200).text(), r#"{"active":false}"#);
    }
    // Changing, listing, ending others.
    let own = |method: &str, path: &str| {
        let request = stack.request(method, path).bearer(&session.access_token).source_ip(HOME).user_agent(CHROME);
        request.header("if-match", "*")
    };
    let change = json!({ "data": { "a": 1 } });
    own("PUT", &session_path(id)).json(&change).send().await.expect_problem(401, QUARANTINED);
    own("PATCH", &session_path(id)).json(&change).send().await.expect_problem(401, QUARANTINED);
    let lock = own("POST", &format!("{}/lock", session_path(id))).json(&json!({}));
    lock.send().await.expect_problem(401, QUARANTINED);
    own("GET", "/sessions/user/ada").send().await.expect_problem(401, QUARANTINED);
    own("GET", &session_path(&other.session_id)).send().await.expect_problem(401, QUARANTINED);
    own("DELETE", &session_path(&other.session_id)).send().await.expect_problem(401, QUARANTINED);
    own("DELETE", "/sessions/user/ada").send().await.expect_problem(401, QUARANTINED);

    // The application sees it and works with it; another session of the user reads it.
    assert_eq!(risk(&stack, &session).await["standing"], "quarantined");
    stack.app.put(id, "\"1\"", change).await.expect(200);
    let by_other = stack.request("GET", &session_path(id)).bearer(&other.access_token);
    let seen = by_other.source_ip(HOME).user_agent(CHROME).send().await.expect(200).json();
    assert_eq!(seen["risk"]["standing"], "quarantined");
    // Whoever holds it may end it.
    own("DELETE", &session_path(id)).send().await.expect(204);
    stack.app.get(id).await.expect_problem(404, "session_ended");
}

/// A re-authentication releases a quarantined session in the context that it is stated for; without one, the context that
/// was judged is judged again.
#[tokio::test]
async fn t_74_a_step_up_releases_in_the_context_of_the_authentication() {
    let stack = Stack::builder().with_clock().start().await;
    let session = begin(&stack, "ada").await;
    let thief = || read(&stack, &session, ELSEWHERE, "curl/8.5").send();
    thief().await.expect_problem(401, QUARANTINED);
    let step_up = async |client: Option<(&str, &str)>| {
        stack.advance(Duration::from_secs(2));
        let authenticated = stack.now().format(&Rfc3339).expect("a time");
        let mut body = json!({ "authTime": authenticated });
        if let Some((address, agent)) = client {
            body["client"] = json!({ "ip": address, "userAgent": agent });
        }
        let path = format!("{}/step-up", session_path(&session.session_id));
        stack.app.request("POST", &path).json(&body).send().await.expect(200).json()
    };
    let get = |stepped: &Value, address: &str, agent: &str| {
        let token = stepped["accessToken"].as_str().expect("a token").to_owned();
        let request = stack.request("GET", &session_path(&session.session_id)).bearer(&token);
        request.source_ip(address).user_agent(agent).send()
    };
    let home = step_up(None).await;
    get(&home, HOME, CHROME).await.expect(200);
    get(&home, ELSEWHERE, "curl/8.5").await.expect_problem(401, QUARANTINED);
    let elsewhere = step_up(Some((ELSEWHERE, "curl/8.5"))).await;
    assert_eq!(elsewhere["session"].get("risk"), None, "{elsewhere}");
    get(&elsewhere, ELSEWHERE, "curl/8.5").await.expect(200);
}

/// T-01: a resource server that states who presented the token needs no other check.
#[tokio::test]
async fn t_01_introspection_judges_the_client_that_presented_the_token() {
    let stack = Stack::start().await;
    for stolen in ["access", "refresh"] {
        let session = begin(&stack, stolen).await;
        let token = if stolen == "access" { &session.access_token } else { &session.refresh_token };
        let stated = |address: &str, agent: &str| {
            let form = [("token", token.as_str()), ("client_ip", address), ("client_user_agent", agent)];
            stack.app.request("POST", "/introspect").form(&form).send()
        };
        assert_eq!(stated(HOME, CHROME).await.expect(200).json()["active"], true);
        assert_eq!(stated(ELSEWHERE, CHROME).await.expect(200).json()["active"], true, "roaming");
        assert_eq!(stated("192.0.2.1", "curl/8.5").await.expect(200).text(), r#"{"active":false}"#);
        assert_eq!(stated(HOME, CHROME).await.expect(200).text(), r#"{"active":false}"#, "from then on");
        assert_eq!(stack.app.introspect(token).await.expect(200).text(), r#"{"active":false}"#);
        read(&stack, &session, HOME, CHROME).send().await.expect_problem(401, QUARANTINED);
    }
    let session = begin(&stack, "ada").await;
    let form = [("token", session.access_token.as_str()), ("client_ip", "not an address")];
    let refused = stack.app.request("POST", "/introspect").form(&form).send().await.expect(400).json();
    assert_eq!(refused["error"], "invalid_request");
}

/// A judgement that can not be written is none: 503, nothing is served, and the next attempt is judged again.
#[tokio::test]
async fn t_01_a_thief_is_not_let_in_by_an_outage() {
    let stack = Stack::builder().with_redis_proxy().with_environments(1).start().await;
    let session = begin(&stack, "ada").await;
    read(&stack, &session, HOME, CHROME).send().await.expect(200);
    stack.redis_proxy().go_offline().await;
    let away = read(&stack, &session, ELSEWHERE, "curl/8.5").send().await;
    assert_eq!(away.expect_problem(503, "dependency_unavailable").header("retry-after"), "1");
    stack.redis_proxy().go_online().await;
    read(&stack, &session, ELSEWHERE, "curl/8.5").send().await.expect_problem(401, QUARANTINED);
}
