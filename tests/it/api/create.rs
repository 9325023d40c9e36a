use integration_tests::routes::percent_encode;
use integration_tests::{Stack, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{refused_fields, text, user_path};

fn moment(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().expect("a text"), &Rfc3339).expect("an RFC 3339 time")
}

fn members(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_created_session_is_described_in_full() {
    let stack = Stack::start().await;
    let before = stack.now() - Duration::seconds(1);
    let auth_time = (before - Duration::HOUR).replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap();
    let body = json!({
        "userId": "ada",
        "device": { "deviceId": "d-1", "name": "Ada's phone", "type": "phone" },
        "client": {
            "ip": "198.51.100.77", "userAgent": "Browser/1", "fingerprint": "f", "acceptLanguage": "en",
        },
        "data": { "cart": [1, { "two": 2.5 }], "none": null, "text": "ü\u{1F600}" },
        "idleTimeoutSeconds": 900,
        "absoluteTimeoutSeconds": 7200,
        "acr": "aal2",
        "amr": ["pwd", "otp"],
        "authTime": auth_time,
    });
    let created = stack.app.create_session(body.clone()).await.expect(201);
    let document = created.json();
    let session = &document["session"];
    assert_eq!(members(&document), ["accessToken", "evicted", "expiresIn", "refreshToken", "session", "tokenType"]);
    assert_eq!((&document["tokenType"], &document["expiresIn"]), (&json!("Bearer"), &json!(300)));
    assert_eq!(document["evicted"], json!([]));
    let mut named = members(session);
    named.sort_unstable();
    let expected = [
        "absoluteExpiresAt",
        "acr",
        "amr",
        "applicationId",
        "authTime",
        "client",
        "createdAt",
        "data",
        "device",
        "idleExpiresAt",
        "idleTimeoutSeconds",
        "lastActivityAt",
        "sessionId",
        "userId",
        "version",
    ];
    assert_eq!(named, expected);
    for same in ["userId", "device", "data", "acr", "amr", "idleTimeoutSeconds"] {
        assert_eq!(session[same], body[same], "{same}");
    }
    assert_eq!(moment(&session["authTime"]), moment(&body["authTime"]));
    assert_eq!(session["client"], json!({ "addressPrefix": "198.51.100.0/24", "userAgent": "Browser/1" }));
    assert_eq!((&session["version"], &session["applicationId"]), (&json!(1), &json!(stack.app.id)));
    let created_at = moment(&session["createdAt"]);
    assert!(before <= created_at && created_at <= stack.now(), "{created_at}");
    assert_eq!(moment(&session["lastActivityAt"]), created_at);
    assert_eq!(moment(&session["idleExpiresAt"]) - created_at, Duration::seconds(900));
    assert_eq!(moment(&session["absoluteExpiresAt"]) - created_at, Duration::seconds(7200));

    let id = text(&session["sessionId"]);
    assert!(id.len() == 28 && id.starts_with("ses_"), "{id}");
    assert_eq!(created.header("location"), format!("/sessions/{id}"));
    assert_eq!(created.header("etag"), "\"1\"");
    assert_eq!(created.header("content-type"), "application/json; charset=utf-8");

    let access = text(&document["accessToken"]);
    let read = stack.request("GET", created.header("location")).bearer(&access);
    let read = read.source_ip("198.51.100.7").user_agent("Browser/1").send().await.expect(200).json();
    let mut as_created = session.clone();
    as_created["current"] = json!(true);
    assert_eq!(read, as_created);
    stack.app.refresh(&id, &text(&document["refreshToken"])).await.expect(200);
}

#[tokio::test]
async fn what_is_not_stated_is_defaulted_or_absent() {
    let stack = Stack::start().await;
    let document = stack.app.create_session(json!({ "userId": "ada" })).await.expect(201).json();
    let session = &document["session"];
    let mut named = members(session);
    named.sort_unstable();
    let expected = [
        "absoluteExpiresAt",
        "applicationId",
        "createdAt",
        "data",
        "idleExpiresAt",
        "idleTimeoutSeconds",
        "lastActivityAt",
        "sessionId",
        "userId",
        "version",
    ];
    assert_eq!(named, expected);
    let created_at = moment(&session["createdAt"]);
    assert_eq!(moment(&session["idleExpiresAt"]) - created_at, Duration::days(7));
    assert_eq!(moment(&session["absoluteExpiresAt"]) - created_at, Duration::days(30));
    assert_eq!(session["data"], json!({}));
}

#[tokio::test]
async fn timeouts_may_be_overridden_inside_the_ceilings_of_the_policy() {
    let policy = json!({
        "idleTimeoutSeconds": 600, "idleTimeoutSecondsMax": 1200,
        "absoluteTimeoutSeconds": 3600, "absoluteTimeoutSecondsMax": 7200,
    });
    let stack = Stack::builder().with_policy(policy).start().await;
    let good = [
        (None, None, 600, 3600),
        (Some(60), None, 60, 3600),
        (Some(1200), None, 1200, 3600),
        (None, Some(7200), 600, 7200),
        (None, Some(300), 300, 300),
        (Some(60), Some(60), 60, 60),
    ];
    let body = |idle: Option<i64>, absolute: Option<i64>| {
        let mut body = json!({ "userId": "ada" });
        for (name, seconds) in [("idleTimeoutSeconds", idle), ("absoluteTimeoutSeconds", absolute)] {
            if let Some(seconds) = seconds {
                body[name] = json!(seconds);
            }
        }
        body
    };
    for (idle, absolute, expected_idle, expected_absolute) in good {
        let document = stack.app.create_session(body(idle, absolute)).await.expect(201).json();
        let session = &document["session"];
        assert_eq!(session["idleTimeoutSeconds"], expected_idle, "{idle:?} {absolute:?}");
        let length = moment(&session["absoluteExpiresAt"]) - moment(&session["createdAt"]);
        assert_eq!(length, Duration::seconds(expected_absolute), "{idle:?} {absolute:?}");
        assert_eq!(document["expiresIn"], expected_absolute.min(300));
    }
    for (idle, absolute, field) in [
        (Some(59), None, "idleTimeoutSeconds"),
        (Some(0), None, "idleTimeoutSeconds"),
        (Some(1201), None, "idleTimeoutSeconds"),
        (Some(301), Some(300), "idleTimeoutSeconds"),
        (None, Some(59), "absoluteTimeoutSeconds"),
        (None, Some(7201), "absoluteTimeoutSeconds"),
        (None, Some(i64::MAX), "absoluteTimeoutSeconds"),
        (Some(-1), None, "idleTimeoutSeconds"),
    ] {
        let refused = stack.app.create_session(body(idle, absolute)).await;
        assert_eq!(refused_fields(&refused), [field], "{idle:?} {absolute:?}");
    }
}

#[tokio::test]
async fn each_bad_field_is_refused_by_its_name() {
    let stack = Stack::start().await;
    let with = |member: &str, value: Value| {
        let mut body = json!({ "userId": "ada" });
        body[member] = value;
        body.to_string()
    };
    let long = |length: usize| "x".repeat(length);
    let future = (stack.now() + Duration::minutes(2)).format(&Rfc3339).unwrap();
    let cases = [
        ("{}".to_owned(), "userId"),
        (String::new(), "body"),
        ("null".to_owned(), "body"),
        ("[]".to_owned(), "body"),
        ("{\"userId\":\"ada\"} {}".to_owned(), "body"),
        ("{\"userId\":\"ada\"".to_owned(), "body"),
        (with("surprise", json!(1)), "surprise"),
        (with("dpop_jkt", json!("x")), "dpop_jkt"),
        ("{\"userId\":\"ada\",\"userId\":\"eve\"}".to_owned(), "userId"),
        ("{\"userId\":\"ada\",\"data\":{\"a\":{\"b\":1,\"b\":2}}}".to_owned(), "data.a"),
        ("{\"userId\":\"ada\",\"device\":{\"type\":\"tv\",\"type\":\"tv\"}}".to_owned(), "device.type"),
        (with("userId", json!(7)), "userId"),
        (with("userId", json!(null)), "userId"),
        (with("userId", json!("")), "userId"),
        (with("userId", json!(" ada")), "userId"),
        (with("userId", json!("ada\n")), "userId"),
        (with("userId", json!("a\u{0}b")), "userId"),
        (with("userId", json!("a\u{200B}b")), "userId"),
        (with("userId", json!("e\u{301}")), "userId"),
        (with("userId", json!(long(257))), "userId"),
        (with("device", json!([])), "device"),
        (with("device", json!({ "type": "toaster" })), "device.type"),
        (with("device", json!({ "type": "Phone" })), "device.type"),
        (with("device", json!({ "deviceId": "" })), "device.deviceId"),
        (with("device", json!({ "deviceId": long(129) })), "device.deviceId"),
        (with("device", json!({ "name": "a\tb" })), "device.name"),
        (with("device", json!({ "name": long(129) })), "device.name"),
        (with("device", json!({ "surprise": 1 })), "device.surprise"),
        (with("client", json!("198.51.100.1")), "client"),
        (with("client", json!({ "ip": "198.51.100" })), "client.ip"),
        (with("client", json!({ "ip": "198.51.100.1/24" })), "client.ip"),
        (with("client", json!({ "ip": "" })), "client.ip"),
        (with("client", json!({ "ip": 7 })), "client.ip"),
        (with("client", json!({ "userAgent": long(2049) })), "client.userAgent"),
        (with("client", json!({ "fingerprint": long(513) })), "client.fingerprint"),
        (with("client", json!({ "acceptLanguage": long(257) })), "client.acceptLanguage"),
        (with("client", json!({ "ipv4": "198.51.100.1" })), "client.ipv4"),
        (with("data", json!([])), "data"),
        (with("data", json!("text")), "data"),
        (with("idleTimeoutSeconds", json!("600")), "idleTimeoutSeconds"),
        (with("idleTimeoutSeconds", json!(600.5)), "idleTimeoutSeconds"),
        (with("absoluteTimeoutSeconds", json!(true)), "absoluteTimeoutSeconds"),
        (with("acr", json!("")), "acr"),
        (with("acr", json!(long(129))), "acr"),
        (with("amr", json!("pwd")), "amr"),
        (with("amr", json!(["pwd", 1])), "amr[1]"),
        (with("amr", json!(["pwd", ""])), "amr[1]"),
        (with("amr", json!([long(129)])), "amr[0]"),
        (with("amr", json!(vec!["pwd"; 11])), "amr"),
        (with("authTime", json!(future)), "authTime"),
        (with("authTime", json!("yesterday")), "authTime"),
        (with("authTime", json!("2026-02-30T00:00:00Z")), "authTime"),
        (with("authTime", json!(1_700_000_000)), "authTime"),
    ];
    for (body, field) in cases {
        let request = stack.app.request("POST", "/sessions").body("application/json", body.as_bytes());
        assert_eq!(refused_fields(&request.send().await), [field], "{body}");
    }
    let everything =
        json!({ "userId": "", "acr": "", "amr": [""], "device": { "type": "x" }, "client": { "ip": "x" } });
    let mut named = refused_fields(&stack.app.create_session(everything).await);
    named.sort_unstable();
    assert_eq!(named, ["acr", "amr[0]", "client.ip", "device.type", "userId"]);
    assert_eq!(stack.redis_keys().await.len(), 0, "a refused request leaves nothing behind");
}

#[tokio::test]
async fn fields_are_accepted_up_to_their_limits() {
    let stack = Stack::start().await;
    let long = |length: usize| "x".repeat(length);
    let body = json!({
        "userId": long(256),
        "device": { "deviceId": long(128), "name": long(128), "type": "other" },
        "client": {
            "ip": "2001:db8:1:2ff::1", "userAgent": long(2048), "fingerprint": long(512), "acceptLanguage": long(256),
        },
        "acr": long(128),
        "amr": vec![long(128); 10],
        "authTime": "2026-01-01T01:00:00+01:00",
    });
    let session = stack.app.create_session(body).await.expect(201).json()["session"].clone();
    assert_eq!(session["client"], json!({ "addressPrefix": "2001:db8:1:200::/56", "userAgent": long(256) }));
    assert_eq!(session["authTime"], "2026-01-01T00:00:00.000Z");
    assert_eq!(session["amr"].as_array().map(Vec::len), Some(10));
}

#[tokio::test]
async fn user_ids_keep_their_exact_bytes_in_bodies_and_paths() {
    let stack = Stack::start().await;
    let ids = [
        "a b",
        "a/b",
        "a%2Fb",
        "100%",
        "a+b",
        "?#&=",
        "Ünï",
        "ünï",
        "auth0|5f7c",
        "{x}",
        "../etc",
        "..",
        "user",
        "💡",
        "\\",
        "a\"b",
        "<a>",
    ];
    for id in ids {
        let session = stack.app.start_session(id).await;
        let listed = stack.app.list(id).await.expect(200).json();
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1), "{id}: {listed}");
        assert_eq!(listed["sessions"][0]["userId"], id);
        let own = stack.request("GET", &user_path(id)).bearer(&session.access_token).send().await.expect(200);
        assert_eq!(own.json()["sessions"][0]["current"], true, "{id}");
    }
    for (index, id) in ids.into_iter().enumerate() {
        stack.app.delete_user_sessions(id).await.expect(204);
        assert_eq!(stack.app.list(id).await.expect(200).json()["sessions"], json!([]), "{id}");
        if let Some(next) = ids.get(index + 1) {
            assert_eq!(stack.app.list(next).await.json()["sessions"].as_array().map(Vec::len), Some(1), "{next}");
        }
    }
    for bad in [" a", "a%0Ab", "%E2%80%8B", &percent_encode("e\u{301}"), &"x".repeat(257)] {
        let path = format!("/sessions/user/{}", bad.replace(' ', "%20"));
        assert_eq!(refused_fields(&stack.app.request("GET", &path).send().await), ["userId"], "{bad}");
        assert_eq!(refused_fields(&stack.app.request("DELETE", &path).send().await), ["userId"], "{bad}");
    }
}
