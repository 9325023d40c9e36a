use futures::future::join_all;
use integration_tests::{Stack, Value, json};

use super::{refused_fields, text, user_path};

fn ids(page: &Value) -> Vec<String> {
    page["sessions"].as_array().expect("sessions").iter().map(|session| text(&session["sessionId"])).collect()
}

/// A hundred sessions is the most a user can have of one application; those of a second application of the group lie
/// in the same index and must neither show nor shift a page.
#[tokio::test]
async fn pages_hold_every_session_once_newest_first() {
    let stack = Stack::start().await;
    let application = json!({
        "name": "A", "scopes": ["sessions:create", "sessions:read", "sessions:write"], "groupId": "family",
        "policy": { "sessionLimit": { "max": 100, "onLimit": "reject" } },
    });
    let one = stack.create_application(application.clone()).await;
    let two = stack.create_application(application).await;
    let calls = (0..130).map(|index| {
        let app = if index % 13 < 10 { &one } else { &two };
        let body = json!({ "userId": "ada", "device": { "deviceId": format!("d{index}") }, "data": { "secret": 1 } });
        async move { app.create_session(body).await.expect(201).json()["session"].clone() }
    });
    let created = join_all(calls).await;
    let mut expected: Vec<(String, String)> = created
        .iter()
        .filter(|session| session["applicationId"] == one.id)
        .map(|session| (text(&session["createdAt"]), text(&session["sessionId"])))
        .collect();
    expected.sort();
    let expected_ids: std::collections::BTreeSet<String> = expected.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(expected_ids.len(), 100);

    for limit in [1, 7, 33, 50, 99, 100] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{}?limit={limit}{cursor}", user_path("ada"));
            let page = one.request("GET", &path).send().await.expect(200).json();
            let sessions = page["sessions"].as_array().expect("sessions").clone();
            assert!(sessions.iter().all(|session| session["data"].is_null()), "lists carry no data");
            seen.extend(sessions.iter().map(|session| (text(&session["createdAt"]), text(&session["sessionId"]))));
            let Some(next) = page["nextCursor"].as_str() else { break };
            assert_eq!(sessions.len(), limit, "only the last page may be short");
            cursor = format!("&cursor={next}");
        }
        let newest_first: Vec<&String> = seen.iter().map(|(created_at, _)| created_at).collect();
        assert!(newest_first.is_sorted_by(|left, right| left >= right), "limit {limit}");
        assert_eq!(seen.len(), 100, "limit {limit}");
        assert_eq!(seen.into_iter().map(|(_, id)| id).collect::<std::collections::BTreeSet<_>>(), expected_ids);
    }
    let default = one.list("ada").await.expect(200).json();
    assert_eq!(ids(&default).len(), 25);
    assert_eq!(ids(&two.list("ada").await.expect(200).json()).len(), 25);
}

#[tokio::test]
async fn a_page_is_not_shifted_by_what_ends_or_begins_meanwhile() {
    let stack = Stack::start().await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(stack.app.start_session("ada").await.session_id);
    }
    let page = |query: String| {
        let request = stack.app.request("GET", &format!("{}?{query}", user_path("ada")));
        async move { request.send().await.expect(200).json() }
    };
    let first = page("limit=3".to_owned()).await;
    let rest: Vec<String> = sessions.iter().filter(|id| !ids(&first).contains(id)).cloned().collect();
    // The item that the cursor names, one that is yet to come, and a new one.
    stack.app.delete(ids(&first).last().expect("three")).await.expect(204);
    stack.app.delete(&rest[1]).await.expect(204);
    stack.app.start_session("ada").await;
    let second = page(format!("limit=3&cursor={}", text(&first["nextCursor"]))).await;
    let mut found = ids(&second);
    found.sort();
    let mut expected = vec![rest[0].clone(), rest[2].clone()];
    expected.sort();
    assert_eq!(found, expected);
    assert!(second["nextCursor"].is_null());
}

#[tokio::test]
async fn limits_and_cursors_are_checked() {
    let stack = Stack::start().await;
    for _ in 0..3 {
        stack.app.start_session("ada").await;
    }
    let get = |query: &str| stack.app.request("GET", &format!("/sessions/user/ada?{query}")).send();
    for good in ["limit=1", "limit=100"] {
        get(good).await.expect(200);
    }
    for bad in ["0", "101", "-1", "1.5", "abc", "", "%2B5", "05", "1e1", "18446744073709551616", "1,2"] {
        assert_eq!(refused_fields(&get(&format!("limit={bad}")).await), ["limit"], "{bad}");
    }
    assert_eq!(refused_fields(&get("limit=1&limit=2").await), ["limit"]);
    let cursor = text(&get("limit=1").await.json()["nextCursor"]);
    get(&format!("limit=1&cursor={cursor}")).await.expect(200);
    let (head, tail) = cursor.split_at(cursor.len() - 1);
    for bad in
        ["", "x", "AAAA", "%00", &cursor[1..], head, &format!("{cursor}="), &format!("{tail}{head}"), &"A".repeat(5000)]
    {
        assert_eq!(refused_fields(&get(&format!("cursor={bad}")).await), ["cursor"], "{bad}");
    }
    assert_eq!(refused_fields(&get(&format!("cursor={cursor}&cursor={cursor}")).await), ["cursor"]);
    // A cursor is a place in time, not a permission: elsewhere it finds what lies there.
    let elsewhere = stack.app.request("GET", &format!("/sessions/user/bob?cursor={cursor}")).send().await;
    assert_eq!(elsewhere.expect(200).json(), json!({ "sessions": [] }));
}

#[tokio::test]
async fn only_live_sessions_of_the_user_and_application_are_listed() {
    let stack = Stack::start().await;
    let other = super::other_application(&stack).await;
    let mine = stack.app.start_session("ada").await;
    let current = stack.app.start_session("ada").await;
    let ended = stack.app.start_session("ada").await;
    stack.app.delete(&ended.session_id).await.expect(204);
    stack.app.start_session("bob").await;
    other.start_session("ada").await;
    let own = stack.request("GET", "/sessions/user/ada").bearer(&current.access_token).send().await.expect(200).json();
    let mut marks: Vec<(String, bool)> = own["sessions"]
        .as_array()
        .expect("sessions")
        .iter()
        .map(|session| (text(&session["sessionId"]), session["current"].as_bool().expect("a mark")))
        .collect();
    marks.sort();
    let mut expected = vec![(mine.session_id, false), (current.session_id, true)];
    expected.sort();
    assert_eq!(marks, expected);
    let unmarked = stack.app.list("ada").await.expect(200).json();
    assert!(unmarked["sessions"][0].get("current").is_none(), "an application has no session of its own");
    assert_eq!(stack.app.list("nobody").await.expect(200).json(), json!({ "sessions": [] }));
}
