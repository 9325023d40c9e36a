//! F-24: a function is killed after every single request to its stores, for every operation that writes. The client asks
//! again, and what is then there must be what is there when nobody is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use integration_tests::application::SessionTokens;
use integration_tests::outbox::events;
use integration_tests::proxy::Fuse;
use integration_tests::{Application, Request, Stack, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::tally::{Observed, Tally};
use crate::trial::{Context, builder, insist};

/// Asked for a second time these are acts of their own: another epoch, another code, another version of the settings. Each
/// is told to the audit; everything else stays as it is.
const ACTS: [&str; 4] = ["delete all", "delete of a device", "share", "privacy"];

/// The operations that write, with the function that does each.
const OPERATIONS: [(&str, &str); 21] = [
    ("create", "create-session"),
    ("create on a device", "create-session"),
    ("create at the limit", "create-session"),
    ("refresh", "refresh-session"),
    ("replay", "refresh-session"),
    ("put", "update-session"),
    ("patch", "update-session"),
    ("delete", "delete-session"),
    ("delete by holder", "delete-session"),
    ("revoke", "revoke"),
    ("delete all", "delete-user-sessions"),
    ("delete of a device", "delete-user-sessions"),
    ("lock", "lock-session"),
    ("unlock", "unlock-session"),
    ("share", "share-session"),
    ("redeem", "redeem-share"),
    ("step up", "step-up-session"),
    ("activity", "record-activity"),
    ("device data", "device-data"),
    ("user state", "user-state"),
    ("privacy", "manage-privacy"),
];

/// What is there, of one user.
type State = BTreeMap<String, Value>;

struct Bench {
    stack: Arc<Stack>,
    sister: Application,
    fuse: Fuse,
    tally: Tally,
}

/// Kills at every point of every operation.
pub async fn f_24(_: Context) -> Observed {
    let policy = json!({
        "sessionLimit": { "max": 2, "onLimit": "evict_oldest" }, "refreshGraceSeconds": 30,
        "rateLimits": { "unknownPerMinute": 0, "addressPerMinute": 0, "holderPerMinute": 0, "applicationPerMinute": 0 },
    });
    let builder = builder().with_policy(policy).with_environments(1).with_redis_proxy().with_moto_proxy();
    let stack = Arc::new(builder.start().await);
    let fuse = Fuse::default();
    stack.redis_proxy().set_fuse(&fuse);
    stack.moto_proxy().set_fuse(&fuse);
    let group = stack.app.record["groupId"].clone();
    let scopes = ["sessions:create", "sessions:read", "sessions:write"];
    let sister = stack.create_application(json!({ "name": "Sister", "groupId": group, "scopes": scopes })).await;
    let bench = Bench { stack, sister, fuse, tally: Tally::default() };
    bench.tally.enter("killed and asked again");
    let (mut points, mut told) = (0, Vec::new());
    for (operation, _) in OPERATIONS {
        let here = bench.operation(operation).await;
        told.push(format!("{operation} {here}"));
        points += here;
    }
    bench.tally.fact(format!("{points} kill points: {}", told.join(", ")));
    bench.tally.observed()
}

impl Bench {
    /// Every point of one operation. Returns how many there are.
    async fn operation(&self, operation: &str) -> u64 {
        // What the operation before left behind would be read again and again.
        let mut connection = self.stack.redis().connection().await;
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.expect("FLUSHALL succeeds");
        // Once for the environment to be warm, once more for what a warm one does.
        let mut expected = State::new();
        let mut length = 0;
        for round in ["cold", "warm"] {
            let user = format!("{operation}-{round}").replace(' ', "-");
            let (request, before) = self.prepare(operation, &user).await;
            self.fuse.disarm();
            let response = insist(&request).await;
            length = self.fuse.passed();
            if response.status >= 500 {
                self.tally.violation(format!("{operation}, undisturbed: {response:?}"));
                return 0;
            }
            expected = self.state(&user, before).await;
        }
        for point in 0..=length {
            let user = format!("{operation}-{point}").replace(' ', "-");
            self.warm(operation, &user).await;
            let (request, before) = self.prepare(operation, &user).await;
            self.kill(operation, point, &request).await;
            let again = insist(&request).await;
            if again.status >= 500 {
                self.tally.violation(format!("{operation}, killed after {point} requests, asked again: {again:?}"));
            }
            let mut found = self.state(&user, before).await;
            if ACTS.contains(&operation) {
                forgive_one(&mut found, &expected);
            }
            if found != expected {
                self.tally.violation(format!(
                    "{operation}, killed after {point} of {length} requests and asked again ({}): {} instead of {}",
                    again.status,
                    json!(found),
                    json!(expected)
                ));
            }
        }
        length + 1
    }

    /// Sends the request and kills whoever serves it when this many requests to the stores are done.
    async fn kill(&self, operation: &str, point: u64, request: &Request) {
        self.fuse.arm(point);
        let mut sent = tokio::spawn(request.clone().send());
        let answered = tokio::select! {
            () = self.fuse.blown() => false,
            _ = &mut sent => true,
        };
        let serving = OPERATIONS.iter().find(|(name, _)| *name == operation);
        self.stack.fleet.recycle(serving.expect("an operation of the list").1).await;
        if !answered {
            let _ = sent.await;
        }
        self.fuse.disarm();
    }

    /// Lets the function be where it is in the middle of a day: with its connections, keys and applications at hand.
    async fn warm(&self, operation: &str, user: &str) {
        let (request, _) = self.prepare(operation, &format!("{user}-before")).await;
        insist(&request).await;
    }

    /// A request of this operation for a user of its own, and the events that were there before it.
    async fn prepare(&self, operation: &str, user: &str) -> (Request, usize) {
        let app = &self.stack.app;
        let create =
            |key: &str, body: Value| app.request("POST", "/sessions").header("idempotency-key", key).json(&body);
        let begin = async || {
            let body = json!({ "userId": user, "data": { "n": 0 }, "device": { "deviceId": "phone" } });
            SessionTokens::from_created(&insist(&app.request("POST", "/sessions").json(&body)).await)
        };
        let on = |method: &str, session: &SessionTokens, tail: &str| {
            app.request(method, &format!("/sessions/{}{tail}", session.session_id))
        };
        let refresh = |session: &SessionTokens| {
            on("POST", session, "/refresh").json(&json!({ "refreshToken": session.refresh_token }))
        };
        let request = match operation {
            "create" => create(user, json!({ "userId": user, "data": { "n": 0 } })),
            "create on a device" => create(user, json!({ "userId": user, "device": { "deviceId": "phone" } })),
            "create at the limit" => {
                begin().await;
                begin().await;
                create(user, json!({ "userId": user }))
            }
            "refresh" => refresh(&begin().await),
            "replay" => {
                // Two generations back: no window is that wide.
                let session = begin().await;
                let next = insist(&refresh(&session)).await.expect(200).json();
                let next = on("POST", &session, "/refresh").json(&json!({ "refreshToken": next["refreshToken"] }));
                insist(&next).await.expect(200);
                refresh(&session)
            }
            "put" => on("PUT", &begin().await, "").header("if-match", "\"1\"").json(&json!({ "data": { "n": 1 } })),
            "patch" => on("PATCH", &begin().await, "")
                .header("if-match", "\"1\"")
                .body("application/merge-patch+json", br#"{"data":{"n":1}}"#),
            "delete" => on("DELETE", &begin().await, ""),
            "delete by holder" => {
                let session = begin().await;
                on("DELETE", &session, "").bearer(&session.access_token)
            }
            "revoke" => app.request("POST", "/revoke").form(&[("token", &begin().await.refresh_token)]),
            "delete all" => {
                begin().await;
                begin().await;
                app.request("DELETE", &format!("/sessions/user/{user}"))
            }
            "delete of a device" => {
                begin().await;
                app.request("DELETE", &format!("/sessions/user/{user}?deviceId=phone"))
            }
            "lock" => on("POST", &begin().await, "/lock").json(&json!({})),
            "unlock" => {
                let session = begin().await;
                let lock = insist(&on("POST", &session, "/lock").json(&json!({}))).await.expect(201).json();
                on("DELETE", &session, "/lock").header("session-lock", lock["lockToken"].as_str().expect("a token"))
            }
            "share" => on("POST", &begin().await, "/share").json(&json!({ "applicationId": self.sister.id })),
            "redeem" => {
                let share = on("POST", &begin().await, "/share").json(&json!({ "applicationId": self.sister.id }));
                let code = insist(&share).await.expect(201).json()["code"].clone();
                self.sister.request("POST", "/sessions/redeem").json(&json!({ "code": code }))
            }
            "step up" => {
                let at = OffsetDateTime::now_utc().replace_nanosecond(0).expect("zero is valid");
                let body = json!({ "acr": "aal2", "authTime": at.format(&Rfc3339).expect("a time") });
                on("POST", &begin().await, "/step-up").json(&body)
            }
            "activity" => {
                on("POST", &begin().await, "/activity").json(&json!({ "activities": [{ "name": "page.viewed" }] }))
            }
            "device data" => {
                begin().await;
                let put = app.request("PUT", &format!("/users/{user}/devices/phone/data")).header("if-match", "\"0\"");
                put.json(&json!({ "data": { "n": 1 } }))
            }
            "user state" => {
                let patch = app.request("PATCH", &format!("/users/{user}/state")).header("if-match", "\"0\"");
                patch.body("application/merge-patch+json", br#"{"data":{"n":1}}"#)
            }
            "privacy" => {
                begin().await;
                let names = ["activityTracking", "location", "fingerprinting"];
                let mut off: serde_json::Map<String, Value> =
                    names.map(|name| (name.to_owned(), json!(false))).into_iter().collect();
                off.insert("sharing".to_owned(), json!(true));
                app.request("PUT", &format!("/users/{user}/privacy")).json(&off.into())
            }
            other => panic!("{other}"),
        };
        (request, self.told().await)
    }

    /// What the API shows of the user, and how many events of each kind came.
    async fn state(&self, user: &str, before: usize) -> State {
        let app = &self.stack.app;
        let mut state = State::new();
        let listed = insist(&app.request("GET", &format!("/sessions/user/{user}"))).await.expect(200).json();
        let sessions = listed["sessions"].as_array().cloned().unwrap_or_default();
        state.insert("sessions".to_owned(), json!(sessions.len()));
        for (number, session) in sessions.iter().enumerate() {
            let id = session["sessionId"].as_str().expect("an id");
            let read = insist(&app.request("GET", &format!("/sessions/{id}"))).await;
            let body = read.json();
            let told = json!({ "version": read.header("etag"), "data": body["data"], "acr": body["acr"], "shares": body["sharedWith"] });
            state.insert(format!("session {number}"), told);
        }
        let path = |tail: &str| format!("/users/{user}/{tail}");
        let devices = insist(&app.request("GET", &path("devices"))).await.json();
        let known = devices["devices"].as_array().map_or(0, Vec::len);
        state.insert("devices".to_owned(), json!(known));
        for tail in ["state", "devices/phone/data", "privacy"] {
            let read = insist(&app.request("GET", &path(tail))).await;
            let body = if read.status == 200 { read.json() } else { json!(read.status) };
            let body = json!({ "version": body["version"], "data": body["data"], "location": body["location"] });
            state.insert(tail.to_owned(), body);
        }
        state.insert("events".to_owned(), json!(self.told().await - before));
        state
    }

    /// How many events the audit will have: one for each id. That the second request was refused is an event of its own, which an
    /// undisturbed run does not have.
    async fn told(&self) -> usize {
        let all = events(&self.stack).await;
        let of_acts = all.into_iter().filter(|event| event.kind != "request.refused");
        of_acts.map(|event| event.id).collect::<BTreeSet<String>>().len()
    }
}

/// Takes one event and one version back that a second act has added.
fn forgive_one(found: &mut State, expected: &State) {
    let more = |found: &Value, expected: &Value| found.as_u64() == expected.as_u64().map(|number| number + 1);
    if more(&found["events"], &expected["events"]) {
        found.insert("events".to_owned(), expected["events"].clone());
    }
    let version = &expected["privacy"]["version"];
    if more(&found["privacy"]["version"], version)
        && let Some(privacy) = found.get_mut("privacy")
    {
        privacy["version"] = version.clone();
    }
}
