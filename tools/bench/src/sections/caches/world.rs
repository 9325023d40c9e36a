//! Clients that live through the day, and the functions that serve them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::request::DEFAULT_USER_AGENT;
use integration_tests::{Application, Request, Response, Stack, json};
use shared::core::access_token::Claims;
use shared::core::crypto;
use shared::core::id::SessionId;
use shared::core::time::Timestamp;
use shared::service::caches::{Opened, OpenedData, Plaintext, VerifiedTokens};
use time::OffsetDateTime;

use super::day::{Caller, Day, Kind, Owner, Step};
use super::layers::{self, Tally};
use crate::site;

/// A client asks for the next access token when its own has this much left.
const TOKEN_RESERVE: time::Duration = time::Duration::seconds(10);

/// A client with its session.
struct Client {
    owner: Owner,
    address: String,
    session: SessionId,
    path: String,
    access_token: String,
    expires_at: OffsetDateTime,
    refresh_token: String,
    etag: String,
}

/// Memories as the environments of the functions have them, without the work between.
#[derive(Default)]
struct Memory {
    verified: VerifiedTokens,
    opened: OpenedData,
}

/// Lookups in a memory.
#[derive(Clone, Copy, Default)]
pub struct Remembered {
    /// How often something was looked up.
    pub lookups: u64,
    /// How often it was there.
    pub hits: u64,
}

impl Remembered {
    fn note(&mut self, hit: bool) {
        self.lookups += 1;
        self.hits += u64::from(hit);
    }
}

/// The clients of a day.
pub struct World<'a> {
    stack: &'a Stack,
    applications: Vec<Application>,
    clients: Vec<Client>,
    memories: BTreeMap<Kind, Memory>,
    tokens: Remembered,
    data: Remembered,
}

impl<'a> World<'a> {
    /// Begins every session.
    pub async fn of(stack: &'a Stack, day: &Day) -> Self {
        let mut applications = Vec::new();
        for number in 0..day.applications {
            let name = format!("Application {number}");
            applications
                .push(stack.create_application(json!({ "name": name, "scopes": stack.app.record["scopes"] })).await);
        }
        let mut clients = Vec::new();
        for (number, owner) in day.owners.iter().enumerate() {
            let address = format!("203.0.113.{}", number % 250 + 1);
            let client = json!({ "ip": address, "userAgent": DEFAULT_USER_AGENT });
            let body = json!({ "userId": format!("user-{number}"), "data": site::data(), "client": client });
            let created = applications[owner.application].create_session(body).await;
            let tokens = SessionTokens::from_created(&created);
            clients.push(Client {
                owner: *owner,
                address,
                session: SessionId::parse(&tokens.session_id).expect("a session id"),
                path: format!("/sessions/{}", tokens.session_id),
                expires_at: expiry(stack, &tokens.document),
                access_token: tokens.access_token,
                refresh_token: tokens.refresh_token,
                etag: tokens.etag,
            });
        }
        let (memories, tokens, data) = Default::default();
        World { stack, applications, clients, memories, tokens, data }
    }

    /// Who uses a session.
    pub fn caller(&self, session: usize) -> Caller {
        self.clients[session].owner.caller
    }

    /// What a step asks for: first the next access token, when a holder's runs out.
    pub fn due(&self, step: &Step) -> Vec<Kind> {
        let client = &self.clients[step.session];
        let runs_out = client.owner.caller == Caller::Holder && client.expires_at <= self.stack.now() + TOKEN_RESERVE;
        runs_out.then_some(Kind::Refresh).into_iter().chain([step.kind]).collect()
    }

    /// Sends a request and returns what was asked of the stores in place of what is remembered.
    pub async fn send(&mut self, session: usize, kind: Kind) -> Tally {
        self.look_up(session, kind);
        let before = layers::seen(self.stack);
        let response = self.request(session, kind).send().await;
        assert_eq!(response.status, 200, "{kind:?} {response:?}");
        self.learn(session, kind, &response);
        Tally::of(&before, &layers::seen(self.stack), kind)
    }

    /// The same in environments that have just started; what they ask for is the same each time.
    pub async fn send_to_fresh_environments(&mut self, kind: Kind, caller: Caller, repetitions: usize) -> Tally {
        let mine = |client: &&Client| client.owner.caller == caller;
        let session = self.clients.iter().position(|client| mine(&client)).expect("a client of each kind");
        if caller == Caller::Holder && kind != Kind::Refresh {
            // With a good access token.
            self.send(session, Kind::Refresh).await;
        }
        let mut first: Option<Tally> = None;
        for _ in 0..repetitions {
            self.stack.fleet.recycle(kind.function()).await;
            let asked = self.send(session, kind).await;
            let alike = first.get_or_insert_with(|| asked.clone()).is_alike(&asked);
            assert!(alike, "{kind:?} by {caller:?}: {first:?}, {asked:?}");
        }
        first.expect("a repetition")
    }

    /// How many requests environments answer with a session that they have just served and another one has ended.
    pub async fn served_after_ends(&mut self, sessions: usize) -> f64 {
        let mut served = 0;
        for session in 0..sessions {
            let kinds = [Kind::Refresh, Kind::Read, Kind::Patch];
            for kind in kinds {
                self.send(session, kind).await;
            }
            let client = &self.clients[session];
            self.applications[client.owner.application].request("DELETE", &client.path).send().await.expect(204);
            for kind in kinds {
                served += u32::from(self.request(session, kind).send().await.status == 200);
            }
        }
        f64::from(served)
    }

    /// Kills every environment.
    pub async fn replace_environments(&mut self) {
        self.stack.fleet.recycle_all().await;
        self.memories.clear();
    }

    /// Lookups of what asks no store.
    pub fn remembered(&self) -> [(&'static str, Remembered); 2] {
        [("verified access tokens", self.tokens), ("opened data, on reads", self.data)]
    }

    fn request(&self, session: usize, kind: Kind) -> Request {
        let client = &self.clients[session];
        let application = &self.applications[client.owner.application];
        let path = match kind {
            Kind::Read | Kind::Patch => client.path.clone(),
            Kind::Refresh => format!("{}/refresh", client.path),
        };
        let request = match client.owner.caller {
            Caller::Application => application.request(kind.method(), &path),
            Caller::Holder => self.stack.request(kind.method(), &path).source_ip(&client.address),
        };
        let request = match (client.owner.caller, kind) {
            (Caller::Holder, Kind::Read | Kind::Patch) => request.bearer(&client.access_token),
            (Caller::Holder, Kind::Refresh) | (Caller::Application, _) => request,
        };
        match kind {
            Kind::Read => request,
            Kind::Patch => {
                let change = json!({ "data": { "seen": self.stack.now().unix_timestamp() } });
                request.header("if-match", &client.etag).json(&change)
            }
            Kind::Refresh => request.json(&json!({ "refreshToken": client.refresh_token })),
        }
    }

    fn learn(&mut self, session: usize, kind: Kind, response: &Response) {
        let document = response.json();
        let client = &mut self.clients[session];
        match kind {
            Kind::Read => {}
            Kind::Patch => response.header("etag").clone_into(&mut client.etag),
            Kind::Refresh => {
                client.access_token = document["accessToken"].as_str().expect("a token").to_owned();
                client.refresh_token = document["refreshToken"].as_str().expect("a token").to_owned();
                client.expires_at = expiry(self.stack, &document);
            }
        }
    }

    /// The lookups of a request that no store hears of.
    fn look_up(&mut self, session: usize, kind: Kind) {
        let client = &self.clients[session];
        let memory = self.memories.entry(kind).or_default();
        if client.owner.caller == Caller::Holder && kind != Kind::Refresh {
            let hit = memory.verified.get(&client.access_token).is_some();
            self.tokens.note(hit);
            if !hit {
                let now = Timestamp::from_seconds(self.stack.now().unix_timestamp());
                memory.verified.insert(&client.access_token, Arc::new(claims(&client.access_token)), now);
            }
        }
        if kind == Kind::Read {
            let version = client.etag.trim_matches('"').parse().expect("a version");
            let hit = memory.opened.get(client.session, version).is_some();
            self.data.note(hit);
            if !hit {
                let opened = Opened { seal_mark: Vec::new(), plaintext: Plaintext::default() };
                memory.opened.insert(client.session, version, opened);
            }
        }
    }
}

/// When the access token of an answer runs out.
fn expiry(stack: &Stack, document: &integration_tests::Value) -> OffsetDateTime {
    stack.now() + Duration::from_secs(document["expiresIn"].as_u64().expect("seconds"))
}

/// What a token of the service says.
fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(1).and_then(crypto::decode_vec).expect("a payload");
    serde_json::from_slice(&payload).expect("claims")
}
