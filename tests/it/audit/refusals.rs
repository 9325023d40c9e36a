//! Refusals: each is told once, of the right caller, and a stranger fills nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::audit::{self, Row};
use integration_tests::{Application, ClientKey, Request, Response, Stack, Value, json};
use shared::adapters::http::problem::row;
use shared::core::refusal::{Denial, REFUSED};
use time::format_description::well_known::Rfc3339;

use crate::api::face;
use crate::api::risk::{CHROME, ELSEWHERE, HOME};
use crate::openapi::code::every_error;

const SCOPES: [&str; 6] =
    ["sessions:create", "sessions:read", "sessions:write", "users:manage", "devices:manage", "privacy:manage"];

/// What an event has to say about whom it concerns.
enum About<'a> {
    /// This session and its user.
    Session(&'a SessionTokens),
    /// The user of this session, and no session.
    UserOf(&'a SessionTokens),
    /// Nobody: the subject is a pseudonym of the caller itself.
    Caller,
}

/// What one refusal has to be told as.
struct Expected {
    code: String,
    actor: &'static str,
    application: String,
    session: String,
    /// The session whose user is the subject.
    user_of: Option<String>,
    detail: &'static str,
}

/// Refusals by their request.
#[derive(Default)]
struct Cases(BTreeMap<String, Expected>);

impl Cases {
    #[track_caller]
    fn refused(
        &mut self,
        status_and_code: (u16, &str),
        response: &Response,
        by: (&'static str, &str),
        about: About,
        detail: &'static str,
    ) {
        assert_eq!((response.status, response.code().as_str()), status_and_code, "{response:?}");
        let (session, user_of) = match about {
            About::Session(session) => (session.session_id.clone(), Some(session.session_id.clone())),
            About::UserOf(session) => (String::new(), Some(session.session_id.clone())),
            About::Caller => (String::new(), None),
        };
        let (actor, application) = (by.0, by.1.to_owned());
        let expected = Expected { code: status_and_code.1.to_owned(), actor, application, session, user_of, detail };
        let request = response.header("x-request-id").to_owned();
        assert!(self.0.insert(request, expected).is_none());
    }
}

fn path(session: &SessionTokens, rest: &str) -> String {
    format!("/sessions/{}{rest}", session.session_id)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

async fn rows(stack: &Stack) -> Vec<Row> {
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    audit::rows(&client).await
}

async fn refusals(stack: &Stack) -> Vec<Row> {
    rows(stack).await.into_iter().filter(|row| row.event.event_type == REFUSED).collect()
}

/// An application of its own with a policy.
async fn with_policy(stack: &Stack, policy: Value) -> Application {
    stack.create_application(json!({ "name": "Strict", "scopes": SCOPES, "policy": policy })).await
}

async fn begin(app: &Application, body: Value) -> SessionTokens {
    SessionTokens::from_created(&app.create_session(body).await.expect(201))
}

fn at_home(user: &str) -> Value {
    json!({ "userId": user, "client": { "ip": HOME, "userAgent": CHROME } })
}

fn by_holder(stack: &Stack, session: &SessionTokens, method: &str, path: &str) -> Request {
    stack.request(method, path).bearer(&session.access_token)
}

fn refresh(stack: &Stack, session: &SessionTokens, token: &str) -> Request {
    stack.request("POST", &path(session, "/refresh")).json(&json!({ "refreshToken": token }))
}

/// Refusals of what shows no credential that is accepted.
async fn credentials(stack: &Stack, cases: &mut Cases) {
    let app = &stack.app;
    let session = app.start_session("ada").await;
    let get = || stack.request("GET", &path(&session, ""));
    let stranger = ("service", "");
    cases.refused((401, "credential_missing"), &get().send().await, stranger, About::Caller, "lookup");
    cases.refused((401, "credential_invalid"), &get().bearer("no").send().await, stranger, About::Caller, "lookup");
    let garbage = refresh(stack, &session, "rt_garbage").send().await;
    cases.refused((401, "refresh_token_invalid"), &garbage, stranger, About::Caller, "refresh");

    let key = ClientKey::new();
    let bound = begin(app, json!({ "userId": "ada", "dpopJkt": key.thumbprint() })).await;
    let proof = key.proof(stack, "PUT", &path(&bound, "")).of_token(&bound.access_token).sign();
    let refused = stack.request("GET", &path(&bound, "")).dpop(&bound.access_token, &proof).send().await;
    let holder = ("holder", app.id.as_str());
    cases.refused((401, "dpop_proof_invalid"), &refused, holder, About::Session(&bound), "lookup");

    let strict = with_policy(stack, json!({ "binding": { "requireNonce": true } })).await;
    let bound = begin(&strict, json!({ "userId": "ada", "dpopJkt": key.thumbprint() })).await;
    let proof = key.proof(stack, "GET", &path(&bound, "")).of_token(&bound.access_token).sign();
    let asked = stack.request("GET", &path(&bound, "")).dpop(&bound.access_token, &proof).send().await;
    cases.refused((401, "use_dpop_nonce"), &asked, ("holder", &strict.id), About::Session(&bound), "lookup");

    let browsers = with_policy(stack, json!({ "binding": { "deviceBoundCredentials": true } })).await;
    let session = browsers.start_session("ada").await;
    let offer = text(&session.document["deviceBoundSession"]["registration"]);
    let registration = key.registration(&offer).sign();
    let register = stack.request("POST", "/dbsc/registration").header("secure-session-response", &registration);
    register.send().await.expect(200);
    let show = || stack.request("POST", "/dbsc/refresh").header("sec-secure-session-id", &session.session_id);
    let asked = show().send().await;
    cases.refused((403, "device_proof_required"), &asked, stranger, About::Caller, "dbsc");
    let other = ClientKey::new().answer(asked.header("secure-session-challenge")).sign();
    let refused = show().header("secure-session-response", &other).send().await;
    cases.refused((403, "device_proof_invalid"), &refused, stranger, About::Caller, "dbsc");
    // Whoever has the code of a session has been given it by us.
    let second = ClientKey::new();
    let again = second.registration(&offer).sign();
    let taken = stack.request("POST", "/dbsc/registration").header("secure-session-response", &again).send().await;
    let holder = ("holder", browsers.id.as_str());
    cases.refused((403, "device_proof_invalid"), &taken, holder, About::Session(&session), "dbsc");
}

/// Refusals of tokens that are ours and no good any more.
async fn tokens(stack: &Stack, cases: &mut Cases) {
    let app = with_policy(stack, json!({ "refreshGraceSeconds": 0 })).await;
    let holder = ("holder", app.id.as_str());
    let session = app.start_session("bob").await;
    refresh(stack, &session, &session.refresh_token).send().await.expect(200);
    stack.advance(Duration::from_secs(1));
    let replayed = refresh(stack, &session, &session.refresh_token).send().await;
    cases.refused((401, "refresh_token_reused"), &replayed, holder, About::Session(&session), "refresh");
    let over = by_holder(stack, &session, "GET", &path(&session, "")).send().await;
    cases.refused((401, "session_ended"), &over, holder, About::Session(&session), "lookup");

    let session = app.start_session("bob").await;
    stack.advance(Duration::from_secs(2));
    let step_up = |at: time::OffsetDateTime| {
        let body = json!({ "authTime": at.format(&Rfc3339).expect("a time") });
        app.request("POST", &path(&session, "/step-up")).json(&body).send()
    };
    step_up(stack.now()).await.expect(200);
    let stale = step_up(stack.now() - Duration::from_secs(3600)).await;
    let application = ("application", app.id.as_str());
    cases.refused((409, "step_up_stale"), &stale, application, About::Session(&session), "step_up");
    let superseded = refresh(stack, &session, &session.refresh_token).send().await;
    cases.refused((401, "refresh_token_superseded"), &superseded, holder, About::Session(&session), "refresh");
    // With a good key a token of somebody else is the application's own attempt.
    let foreign = stack.app.start_session("ada").await;
    let tried = app.refresh(&foreign.session_id, &foreign.refresh_token).await;
    cases.refused((401, "refresh_token_invalid"), &tried, application, About::Caller, "refresh");
}

/// Refusals of what the session is in no state for.
async fn sessions(stack: &Stack, cases: &mut Cases) {
    let app = &stack.app;
    let (application, holder) = (("application", app.id.as_str()), ("holder", app.id.as_str()));
    let session = begin(app, at_home("eve")).await;
    let thief = by_holder(stack, &session, "GET", &path(&session, "")).source_ip(ELSEWHERE).user_agent("curl/8.5");
    cases.refused((401, "session_quarantined"), &thief.send().await, holder, About::Session(&session), "lookup");
    let on_behalf = app.refresh(&session.session_id, &session.refresh_token).await;
    cases.refused((401, "session_quarantined"), &on_behalf, application, About::Session(&session), "refresh");

    let strict = with_policy(stack, json!({ "binding": { "ip": "exact" } })).await;
    let bound = begin(&strict, at_home("eve")).await;
    let elsewhere = by_holder(stack, &bound, "GET", &path(&bound, "")).source_ip(ELSEWHERE).user_agent(CHROME);
    let refused = elsewhere.send().await;
    cases.refused((401, "binding_mismatch"), &refused, ("holder", &strict.id), About::Session(&bound), "lookup");

    let session = app.start_session("ada").await;
    let lock = |body: Value| app.request("POST", &path(&session, "/lock")).json(&body).send();
    let held = text(&lock(json!({ "ttlSeconds": 60 })).await.expect(201).json()["lockToken"]);
    let put = app.put(&session.session_id, "*", json!({ "data": { "a": 1 } })).await;
    cases.refused((423, "session_locked"), &put, application, About::Session(&session), "update");
    cases.refused((423, "session_locked"), &lock(json!({})).await, application, About::Session(&session), "lock");
    let release = app.request("DELETE", &path(&session, "/lock")).header("session-lock", "lk_AAAAAAAAAAAAAAAAAAAAAA");
    cases.refused((409, "lock_lost"), &release.send().await, application, About::Session(&session), "unlock");
    for _ in 0..10 {
        lock(json!({ "lockToken": held, "ttlSeconds": 60 })).await.expect(200);
    }
    let no_more = lock(json!({ "lockToken": held, "ttlSeconds": 60 })).await;
    cases.refused((409, "lock_not_renewable"), &no_more, application, About::Session(&session), "lock");

    let share = |app: &Application, with: &str| {
        app.request("POST", &path(&session, "/share")).json(&json!({ "applicationId": with })).send()
    };
    let nobody = share(app, "nobody").await;
    cases.refused((403, "sharing_refused"), &nobody, application, About::Session(&session), "share");
    let group = &app.record["groupId"];
    let related = stack.create_application(json!({ "name": "Related", "scopes": SCOPES, "groupId": group })).await;
    let code = share(app, &related.id).await.expect(201).json()["code"].clone();
    related.request("POST", "/sessions/redeem").json(&json!({ "code": code })).send().await.expect(201);
    let on = share(&related, &app.id).await;
    cases.refused((403, "owner_only"), &on, ("application", &related.id), About::Session(&session), "share");
}

/// Refusals of what the caller may not do, whatever the session is.
async fn operations(stack: &Stack, cases: &mut Cases) {
    let app = &stack.app;
    let (application, holder) = (("application", app.id.as_str()), ("holder", app.id.as_str()));
    let session = begin(app, json!({ "userId": "ida", "device": { "deviceId": "phone" } })).await;
    let other = app.start_session("ida").await;
    let create = by_holder(stack, &session, "POST", "/sessions").json(&json!({ "userId": "ida" })).send().await;
    cases.refused((403, "application_only"), &create, holder, About::Session(&session), "create");
    let weak = stack.create_application(json!({ "name": "Weak", "scopes": ["sessions:read"] })).await;
    let create = weak.create_session(json!({ "userId": "ida" })).await;
    cases.refused((403, "insufficient_scope"), &create, ("application", &weak.id), About::Caller, "create");
    // An application without the scope names a session that it may not even know: nothing is said of that.
    let put = weak.put(&session.session_id, "*", json!({ "data": {} })).await;
    cases.refused((403, "insufficient_scope"), &put, ("application", &weak.id), About::Caller, "update");

    let device = |trust: &str| app.request("PATCH", "/users/ida/devices/phone").json(&json!({ "trust": trust })).send();
    let unproved = device("trusted").await;
    cases.refused((403, "trust_not_proved"), &unproved, application, About::UserOf(&session), "devices");
    device("blocked").await.expect(200);
    let blocked = app.create_session(json!({ "userId": "ida", "device": { "deviceId": "phone" } })).await;
    cases.refused((403, "device_blocked"), &blocked, application, About::UserOf(&other), "create");

    let few = with_policy(stack, json!({ "sessionLimit": { "max": 1, "onLimit": "reject" } })).await;
    let only = few.start_session("ida").await;
    let one_more = few.create_session(json!({ "userId": "ida" })).await;
    cases.refused((409, "session_limit_reached"), &one_more, ("application", &few.id), About::UserOf(&only), "create");

    let legacy = || app.create_session(json!({ "userId": "ida", "legacySession": "s%3Aone" }));
    legacy().await.expect(201);
    let switches = ["activityTracking", "location", "fingerprinting", "sharing"];
    let mut hold: Value =
        switches.iter().map(|name| ((*name).to_owned(), json!(true))).collect::<serde_json::Map<_, _>>().into();
    hold["legalHold"] = json!(true);
    app.request("PUT", "/users/ida/privacy").json(&hold).send().await.expect(200);
    let kept = app.request("DELETE", "/users/ida").send().await;
    cases.refused((409, "legal_hold"), &kept, application, About::UserOf(&other), "erase");

    let slow = with_policy(stack, json!({ "rateLimits": { "applicationPerMinute": 1 } })).await;
    slow.start_session("ida").await;
    let limited = slow.create_session(json!({ "userId": "ida" })).await;
    cases.refused(
        (429, "rate_limited"),
        &limited,
        ("application", &slow.id),
        About::Caller,
        "create,quota=application",
    );

    stack.advance(Duration::from_secs(250));
    let late = legacy().await;
    cases.refused((409, "legacy_session_exchanged"), &late, application, About::UserOf(&other), "create");
    let fresh = app.start_session("ida").await;
    stack.advance(Duration::from_secs(51));
    let remote = by_holder(stack, &other, "DELETE", &path(&fresh, "")).send().await;
    if remote.status == 401 && remote.code() == "credential_invalid" {
        panic!("the token was to live longer than the authentication counts: {remote:?}");
    }
    cases.refused((401, "insufficient_user_authentication"), &remote, holder, About::Session(&other), "end");
}

/// Every code that refuses, by real requests: one event each, with the caller, the code, the request, and whom it concerns.
#[tokio::test]
async fn every_refusal_is_told_once_and_nothing_else_is() {
    let stack = Stack::builder().with_clock().with_database().with_environments(1).start().await;
    let mut cases = Cases::default();
    credentials(&stack, &mut cases).await;
    tokens(&stack, &mut cases).await;
    sessions(&stack, &mut cases).await;
    operations(&stack, &mut cases).await;

    let refusing: BTreeSet<String> = every_error()
        .iter()
        .map(row)
        .filter(|row| row.denial != Denial::Nothing)
        .map(|row| row.code.to_owned())
        .collect();
    let tried: BTreeSet<String> = cases.0.values().map(|expected| expected.code.clone()).collect();
    assert_eq!(tried, refusing, "a code of the error table that has no case here, or refuses nothing");

    // What denies nothing is not told.
    let app = &stack.app;
    let session = app.start_session("ada").await;
    app.create_session(json!({})).await.expect(400);
    app.get("ses_none").await.expect(404);
    app.put(&session.session_id, "\"7\"", json!({ "data": {} })).await.expect(412);
    app.introspect("garbage").await.expect(200);

    let rows = rows(&stack).await;
    let subjects: HashMap<&str, &str> = rows
        .iter()
        .filter(|row| row.event.event_type == "session.created")
        .map(|row| (row.event.session_id.as_str(), row.event.subject.as_str()))
        .collect();
    let users: BTreeSet<&str> = subjects.values().copied().collect();
    let told: Vec<&Row> = rows.iter().filter(|row| row.event.event_type == REFUSED).collect();
    for row in &told {
        let event = &row.event;
        let expected = cases.0.remove(&event.request_id).unwrap_or_else(|| panic!("nobody was refused: {event:?}"));
        let found =
            (event.reason.as_str(), event.actor.as_str(), event.application_id.as_str(), event.session_id.as_str());
        let wanted = (expected.code.as_str(), expected.actor, expected.application.as_str(), expected.session.as_str());
        assert_eq!(found, wanted, "{event:?}");
        assert_eq!(event.detail, expected.detail, "{event:?}");
        match &expected.user_of {
            Some(session) => assert_eq!(event.subject, subjects[session.as_str()], "{event:?}"),
            None => assert!(!users.contains(event.subject.as_str()), "{event:?}"),
        }
    }
    let missing: Vec<&String> = cases.0.values().map(|expected| &expected.code).collect();
    assert!(missing.is_empty(), "not told: {missing:?}");
    let everything = audit::everything(&stack.database().connect().await).await;
    assert!(!everything.contains(HOME) && !everything.contains(ELSEWHERE), "addresses stay out of the audit");
}

/// Whoever shows a credential answers for each refusal; a stranger is told of once per address, code and minute, however many
/// environments refuse it, and so is whoever is over a quota.
#[tokio::test]
async fn a_flood_of_strangers_is_a_few_rows() {
    let stack = Stack::builder().with_clock().with_database().with_environments(3).start().await;
    let session = stack.app.start_session("ada").await;
    let weak = stack.create_application(json!({ "name": "Weak", "scopes": ["sessions:read"] })).await;
    let slow = with_policy(&stack, json!({ "rateLimits": { "holderPerMinute": 2 } })).await;
    let busy = slow.start_session("ada").await;
    stack.clock().freeze();
    let get = |address: &str| stack.request("GET", &path(&session, "")).source_ip(address);
    let flood = async || {
        for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
            let guesses = (0..20).map(|_| get(address).send()).chain((0..20).map(|_| get(address).bearer("no").send()));
            join_all(guesses).await.into_iter().for_each(|answer| drop(answer.expect(401)));
        }
        // One subscriber has at least a /64.
        join_all((2..20).map(|host| get(&format!("2001:db8::{host:x}")).send())).await;
    };
    let counted = async || {
        let mut counts = BTreeMap::<(String, String), u32>::new();
        for row in refusals(&stack).await {
            *counts.entry((row.event.actor, row.event.reason)).or_default() += 1;
        }
        counts
    };
    let entry = |actor: &str, reason: &str, count: u32| ((actor.to_owned(), reason.to_owned()), count);
    flood().await;
    let once = BTreeMap::from([entry("service", "credential_invalid", 3), entry("service", "credential_missing", 3)]);
    assert_eq!(counted().await, once);
    // By the same address in the next minute: once more.
    stack.advance(Duration::from_secs(60));
    flood().await;
    for _ in 0..7 {
        weak.create_session(json!({ "userId": "ada" })).await.expect(403);
    }
    let mut limited = 0;
    for _ in 0..40 {
        limited += u32::from(by_holder(&stack, &busy, "GET", &path(&busy, "")).send().await.status == 429);
    }
    assert!(limited >= 30, "{limited}");
    let twice = BTreeMap::from([
        entry("application", "insufficient_scope", 7),
        entry("holder", "rate_limited", 1),
        entry("service", "credential_invalid", 6),
        entry("service", "credential_missing", 6),
    ]);
    assert_eq!(counted().await, twice);
}

/// The log lines of an environment, and how many refusals they count as untold.
async fn untold(stack: &Stack) -> (String, u64) {
    let environment = stack.environment("get-session", 0).await;
    let records = environment.log_records();
    let count = records.iter().filter_map(|record| record["RefusalsUntold"].as_u64()).sum();
    (environment.log_text(), count)
}

/// A refusal that can not be told is the same refusal: never an admission, never an outage.
#[tokio::test]
async fn a_refusal_that_can_not_be_told_stays_a_refusal() {
    let builder = Stack::builder().with_clock().with_database().with_environments(1);
    let stack = builder.with_redis_proxy().start().await;
    let session = stack.app.start_session("ada").await;
    let other = stack.app.start_session("bob").await;
    let weak = stack.create_application(json!({ "name": "Weak", "scopes": ["sessions:create"] })).await;
    let by_key = || weak.get(&session.session_id);
    let stranger = || stack.request("GET", &path(&session, "")).send();
    let foreign = || by_holder(&stack, &other, "GET", &path(&session, "")).send();
    stack.clock().freeze();
    let (by_key_face, stranger_face) = (face(&by_key().await.expect(403)), face(&stranger().await.expect(401)));
    assert_eq!(refusals(&stack).await.len(), 2);
    assert_eq!(untold(&stack).await.1, 0);

    let proxy = stack.redis_proxy();
    proxy.intercept(REFUSED.as_bytes(), b"-ERR no events today\r\n");
    for round in 1..=2 {
        assert_eq!(face(&by_key().await), by_key_face);
        let told_already = face(&stranger().await);
        assert_eq!(told_already, stranger_face);
        foreign().await.expect(404);
        assert_eq!(untold(&stack).await.1, round);
    }
    assert!(untold(&stack).await.0.contains("refusal not told"));
    proxy.go_online().await;
    assert_eq!(refusals(&stack).await.len(), 2);

    // Without any Redis: what needs none to be refused is refused all the same.
    proxy.go_offline().await;
    assert_eq!(face(&by_key().await), by_key_face);
    let away = stack.request("GET", &path(&session, "")).source_ip("192.0.2.77");
    assert_eq!(face(&away.clone().send().await), stranger_face);
    proxy.go_online().await;
    // Nobody has been told of this address in this minute: the next refusal is.
    assert_eq!(face(&away.send().await), stranger_face);
    assert_eq!(face(&by_key().await), by_key_face);
    assert_eq!(refusals(&stack).await.len(), 4);
}
