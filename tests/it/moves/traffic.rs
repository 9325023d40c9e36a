//! Clients that remember what was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use integration_tests::application::SessionTokens;
use integration_tests::{Application, Request, Response, json};

/// What a client knows of a session.
#[derive(Clone)]
pub struct Known {
    /// Its user.
    pub user: String,
    /// The newest refresh token.
    pub refresh_token: String,
    /// The data of the last update.
    pub data: u64,
    /// The version of that.
    pub version: u32,
    /// Whether its end was acknowledged.
    pub ended: bool,
}

/// What the clients share.
#[derive(Default)]
pub struct Shared {
    /// Tells the clients to stop.
    pub stop: AtomicBool,
    /// Answers 503 so far.
    pub unavailable: AtomicU64,
    /// Requests that were served.
    pub served: AtomicU64,
}

impl Shared {
    /// Sends a request until it is served. Every refusal must be a 503 that says when to come back.
    async fn served(&self, request: Request) -> Response {
        for _ in 0..200 {
            let answer = request.clone().send().await;
            if answer.status < 500 {
                self.served.fetch_add(1, Ordering::Relaxed);
                return answer;
            }
            assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
            self.unavailable.fetch_add(1, Ordering::Relaxed);
        }
        panic!("a request is never served");
    }
}

/// A client: creates, reads, updates, refreshes, lists and ends sessions of users of its own until it is stopped.
pub async fn client(number: usize, app: Application, shared: Arc<Shared>) -> BTreeMap<String, Known> {
    let mut known = BTreeMap::new();
    let mut round = 0_u64;
    while !shared.stop.load(Ordering::Relaxed) {
        round += 1;
        let user = format!("client-{number}-user-{}", round / 4);
        // A creation whose answer was lost is repeated under its key, and is one session.
        let key = format!("key-{number}-{round}");
        let body = json!({ "userId": user, "data": { "n": round } });
        let create = app.request("POST", "/sessions").header("idempotency-key", &key).json(&body);
        let tokens = SessionTokens::from_created(&shared.served(create).await);
        let entry = Known { user, refresh_token: tokens.refresh_token, data: round, version: 1, ended: false };
        known.insert(tokens.session_id, entry);
        // Another session, from before or just made.
        let at = (round as usize * 7) % known.len();
        let (id, session) = known.iter_mut().nth(at).expect("there is one");
        step(&app, &shared, id, session, round).await;
    }
    known
}

async fn step(app: &Application, shared: &Shared, id: &str, session: &mut Known, round: u64) {
    let path = format!("/sessions/{id}");
    if session.ended {
        shared.served(app.request("GET", &path)).await.expect_problem(404, "session_ended");
        return;
    }
    match round % 6 {
        0 => {
            let ended = shared.served(app.request("DELETE", &path)).await;
            assert!([202, 204].contains(&ended.status), "{ended:?}");
            session.ended = true;
        }
        1 | 2 => {
            let body = json!({ "refreshToken": session.refresh_token });
            let refreshed = shared.served(app.request("POST", &format!("{path}/refresh")).json(&body)).await;
            session.refresh_token = refreshed.expect(200).json()["refreshToken"].as_str().expect("a token").to_owned();
        }
        3 => {
            let list = app.request("GET", &format!("/sessions/user/{}", session.user));
            let listed = shared.served(list).await.expect(200).json();
            let listed = listed["sessions"].as_array().expect("sessions");
            assert!(listed.iter().any(|one| one["sessionId"] == *id), "{id} is missing in {listed:?}");
        }
        _ => {
            let data = json!({ "n": round });
            let put = app.request("PUT", &path).header("if-match", &format!("\"{}\"", session.version));
            let put = shared.served(put.json(&json!({ "data": data }))).await;
            // After a 503 the first attempt may have been applied all the same.
            assert!([200, 412].contains(&put.status), "{put:?}");
            let got = shared.served(app.request("GET", &path)).await.expect(200);
            assert_eq!(got.json()["data"], data, "{got:?}");
            session.version += 1;
            session.data = round;
            assert_eq!(got.header("etag"), format!("\"{}\"", session.version), "{got:?}");
        }
    }
}
