//! Random machines through the real functions. Every third write loses its reply on the way, so that the function runs
//! it a second time; in the end the audit must tell each change exactly once.

use std::fmt::Debug;
use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, Value, audit, json};
use rand::Rng;
use rand::rngs::StdRng;

use crate::script_bench::{case_rng, pick};

const SEED: u64 = 7;
const MACHINES: u64 = 8;
const STEPS: usize = 45;
const LIMIT: usize = 3;
const GRACE: i64 = 30;
const IDLE: i64 = 1800;
const ABSOLUTE: i64 = 7200;
const AGENTS: [&str; 2] = ["phone/1", "laptop/2"];

/// What a machine did, shown when it fails.
struct Trail(Vec<String>);

impl Trail {
    fn add(&mut self, what: impl Debug) {
        self.0.push(format!("{what:?}"));
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {SEED}:\n{}", self.0.join("\n"));
        }
    }
}

struct Session {
    id: String,
    user: usize,
    /// By generation, from the first.
    tokens: Vec<String>,
    created: i64,
    active: i64,
    rotated: i64,
    agent: &'static str,
    version: u32,
    data: Value,
    ended: bool,
    replays: usize,
    writes: usize,
}

struct Machine<'a> {
    lost: usize,
    stack: &'a Stack,
    name: String,
    rng: StdRng,
    sessions: Vec<Session>,
    trail: Trail,
}

impl Machine<'_> {
    fn now(&self) -> i64 {
        self.stack.now().unix_timestamp()
    }

    fn alive(&self, index: usize) -> bool {
        let (session, now) = (&self.sessions[index], self.now());
        !session.ended && now < session.created + ABSOLUTE && now < session.active + IDLE
    }

    fn user(&self, user: usize) -> String {
        format!("{}-user-{user}", self.name)
    }

    /// Lets the next script run and lose its reply, now and then; never the second run's as well.
    fn unsettle(&mut self) {
        if self.rng.random_bool(0.33) && self.stack.redis_proxy().pending_cuts() == 0 {
            self.trail.add("the next reply is lost");
            self.lost += 1;
            self.stack.redis_proxy().cut_next_reply_to(b"EVALSHA");
        }
    }

    fn choose(&mut self) -> Option<usize> {
        let living: Vec<usize> = (0..self.sessions.len()).filter(|index| self.alive(*index)).collect();
        match self.rng.random_bool(0.8) && !living.is_empty() {
            true => Some(pick(&mut self.rng, &living)),
            false => (!self.sessions.is_empty()).then(|| self.rng.random_range(0..self.sessions.len())),
        }
    }

    async fn step(&mut self) {
        match (self.rng.random_range(0..30), self.choose()) {
            (0..=4, _) | (_, None) => self.create().await,
            (5..=7, Some(index)) => self.get(index).await,
            (8..=12, Some(index)) => self.write(index).await,
            (13..=22, Some(index)) => self.refresh(index).await,
            (23, Some(index)) => self.delete(index).await,
            (24, Some(index)) => self.delete_user(index).await,
            (25, Some(index)) => self.forge(index).await,
            _ => {
                let seconds = pick(&mut self.rng, &[1, 30, 31, 61, 600, 1799]);
                self.trail.add(("advance", seconds));
                self.stack.advance(Duration::from_secs(seconds));
            }
        }
    }

    async fn create(&mut self) {
        let user = self.rng.random_range(0..2);
        let agent = pick(&mut self.rng, &AGENTS);
        let key = self.rng.random_bool(0.4).then(|| format!("{}-{}", self.name, self.sessions.len()));
        self.unsettle();
        let (app, user_id) = (&self.stack.app, self.user(user));
        let request = |key: &Option<String>| {
            let body = json!({ "userId": user_id, "client": { "userAgent": agent, "ip": "203.0.113.10" } });
            let request = app.request("POST", "/sessions").json(&body);
            match key {
                Some(key) => request.header("idempotency-key", key),
                None => request,
            }
        };
        let answer = request(&key).send().await;
        let tokens = SessionTokens::from_created(&answer);
        self.trail.add(("create", user, agent, &tokens.session_id));
        if key.is_some() {
            let again = SessionTokens::from_created(&request(&key).send().await);
            assert_eq!(again.session_id, tokens.session_id, "I-14");
            assert_eq!(again.refresh_token, tokens.refresh_token, "I-14");
            assert_eq!(again.document["evicted"], tokens.document["evicted"], "I-14");
        }
        let living: Vec<usize> =
            (0..self.sessions.len()).filter(|i| self.sessions[*i].user == user && self.alive(*i)).collect();
        let evicted = tokens.document["evicted"].as_array().expect("a list").clone();
        assert_eq!(evicted.len(), (living.len() + 1).saturating_sub(LIMIT), "I-4");
        let oldest = living.iter().map(|index| self.sessions[*index].created).min();
        for id in &evicted {
            let victim = self.sessions.iter_mut().find(|session| id == session.id.as_str()).expect("one of ours");
            assert_eq!(Some(victim.created), oldest, "I-4: not the oldest");
            victim.ended = true;
        }
        let now = self.now();
        self.sessions.push(Session {
            id: tokens.session_id,
            user,
            tokens: vec![tokens.refresh_token],
            created: now,
            active: now,
            rotated: now,
            agent,
            version: 1,
            data: json!({}),
            ended: false,
            replays: 0,
            writes: 0,
        });
    }

    async fn get(&mut self, index: usize) {
        self.trail.add(("get", &self.sessions[index].id));
        self.unsettle();
        let answer = self.stack.app.get(&self.sessions[index].id).await;
        let (now, alive) = (self.now(), self.alive(index));
        let session = &mut self.sessions[index];
        if !alive {
            answer.expect_problem(404, "session_ended");
            return;
        }
        let read = answer.expect(200);
        assert_eq!(read.json()["data"], session.data);
        assert_eq!(read.header("etag"), format!("\"{}\"", session.version));
        if now >= session.active + 60 {
            session.active = now;
        }
    }

    async fn write(&mut self, index: usize) {
        let (stale, patch) = (self.rng.random_bool(0.2), self.rng.random_bool(0.5));
        let data = json!({ pick(&mut self.rng, &["a", "b"]): self.rng.random::<u16>() });
        self.trail.add(("write", &self.sessions[index].id, stale, patch, &data));
        self.unsettle();
        let session = &self.sessions[index];
        let tag = format!("\"{}\"", if stale { session.version.wrapping_sub(1).max(1) } else { session.version });
        let stale = tag != format!("\"{}\"", session.version);
        let app = &self.stack.app;
        let answer = match patch {
            true => app.patch(&session.id, &tag, json!({ "data": data })).await,
            false => app.put(&session.id, &tag, json!({ "data": data })).await,
        };
        let (now, alive) = (self.now(), self.alive(index));
        let session = &mut self.sessions[index];
        match (alive, stale) {
            (false, _) => drop(answer.expect_problem(404, "session_ended")),
            (true, true) => drop(answer.expect_problem(412, "version_mismatch")),
            (true, false) => {
                session.version += 1;
                assert_eq!(answer.expect(200).header("etag"), format!("\"{}\"", session.version));
                session.writes += 1;
                session.active = now;
                match (patch, session.data.as_object_mut()) {
                    (true, Some(held)) => held.extend(data.as_object().expect("an object").clone()),
                    _ => session.data = data,
                }
            }
        }
    }

    async fn present(&self, index: usize, token: &str, agent: &str) -> Response {
        let path = format!("/sessions/{}/refresh", self.sessions[index].id);
        let request = self.stack.request("POST", &path).json(&json!({ "refreshToken": token }));
        request.user_agent(agent).send().await
    }

    async fn refresh(&mut self, index: usize) {
        let count = self.sessions[index].tokens.len();
        let back = pick(&mut self.rng, &[0, 0, 0, 0, 0, 1, 1, 1, 2]).min(count - 1);
        let own = self.sessions[index].agent;
        let agent = if self.rng.random_bool(0.8) { own } else { pick(&mut self.rng, &AGENTS) };
        let token = self.sessions[index].tokens[count - 1 - back].clone();
        self.trail.add(("refresh", &self.sessions[index].id, back, agent));
        self.unsettle();
        let answer = self.present(index, &token, agent).await;
        let (now, alive) = (self.now(), self.alive(index));
        let session = &mut self.sessions[index];
        let successor = || answer.json()["refreshToken"].as_str().expect("a token").to_owned();
        if !alive {
            assert_eq!(answer.status, 401, "I-1: {answer:?}");
        } else if back == 0 {
            answer.clone().expect(200);
            assert!(!session.tokens.contains(&successor()), "I-2: an old token came again");
            session.tokens.push(successor());
            (session.active, session.rotated, session.agent) = (now, now, agent_of(agent));
        } else if back == 1 && now - session.rotated <= GRACE && agent == own {
            answer.clone().expect(200);
            assert_eq!(Some(&successor()), session.tokens.last(), "I-2: a second successor");
        } else {
            answer.expect_problem(401, "refresh_token_reused");
            session.replays += 1;
            session.ended = true;
        }
    }

    /// A token whose generation somebody raised without the key.
    async fn forge(&mut self, index: usize) {
        let mut token = self.sessions[index].tokens.last().expect("one").clone();
        let place = token.len() - 50;
        let letter = if token.as_bytes()[place] == b'A' { "B" } else { "A" };
        token.replace_range(place..=place, letter);
        self.trail.add(("forge", &self.sessions[index].id));
        self.present(index, &token, AGENTS[0]).await.expect_problem(401, "refresh_token_invalid");
    }

    async fn delete(&mut self, index: usize) {
        self.trail.add(("delete", &self.sessions[index].id));
        self.unsettle();
        self.stack.app.delete(&self.sessions[index].id).await.expect(204);
        self.sessions[index].ended = true;
    }

    async fn delete_user(&mut self, index: usize) {
        let user = self.sessions[index].user;
        let spared = self.rng.random_bool(0.6).then(|| self.sessions[index].id.clone());
        self.trail.add(("delete user", user, &spared));
        self.unsettle();
        let mut path = format!("/sessions/user/{}", self.user(user));
        if let Some(spared) = &spared {
            path += &format!("?except={spared}");
        }
        self.stack.app.request("DELETE", &path).send().await.expect(204);
        for session in self.sessions.iter_mut().filter(|session| session.user == user) {
            session.ended |= spared.as_ref() != Some(&session.id);
        }
    }

    async fn check(&self) {
        for index in 0..self.sessions.len() {
            let token = self.sessions[index].tokens.last().expect("one");
            let active = self.stack.app.introspect(token).await.expect(200).json()["active"].clone();
            assert_eq!(active, self.alive(index), "I-1: {}", self.sessions[index].id);
        }
        for user in 0..2 {
            let listed = self.stack.app.list(&self.user(user)).await.expect(200).json();
            let listed = listed["sessions"].as_array().map_or(0, Vec::len);
            let living = (0..self.sessions.len()).filter(|i| self.sessions[*i].user == user && self.alive(*i)).count();
            assert_eq!(listed, living, "I-4");
            assert!(living <= LIMIT, "I-4");
        }
    }

    fn check_audit(&self, rows: &[audit::Row]) {
        for session in &self.sessions {
            let count = |kind: &str| {
                rows.iter().filter(|row| row.event.session_id == session.id && row.event.event_type == kind).count()
            };
            let expected = (1, session.tokens.len() - 1, session.writes, session.replays);
            let told = ("session.created", "session.refreshed", "session.updated", "refresh.replayed");
            assert_eq!((count(told.0), count(told.1), count(told.2), count(told.3)), expected, "I-7: {}", session.id);
            let ends = count("session.ended");
            assert!(ends == 1 || (ends == 0 && !session.ended), "I-7: {ends} ends of {}", session.id);
        }
    }
}

fn agent_of(agent: &str) -> &'static str {
    AGENTS.into_iter().find(|known| *known == agent).expect("a known agent")
}

#[tokio::test]
async fn i_1_i_2_i_3_i_4_i_7_i_14_random_machines_of_functions_with_lost_replies() {
    let policy = json!({
        "idleTimeoutSeconds": IDLE,
        "absoluteTimeoutSeconds": ABSOLUTE,
        "refreshGraceSeconds": GRACE,
        "sessionLimit": { "max": LIMIT, "onLimit": "evict_oldest" },
    });
    let builder = Stack::builder().with_clock().with_redis_proxy().with_database().with_environments(1);
    let stack = builder.with_policy(policy).start().await;
    stack.clock().freeze();
    let mut machines = Vec::new();
    for number in 0..MACHINES {
        let rng = case_rng(SEED, number);
        let trail = Trail(vec![format!("machine {number}")]);
        let mut machine =
            Machine { stack: &stack, name: format!("m{number}"), rng, sessions: Vec::new(), trail, lost: 0 };
        for step in 0..STEPS {
            machine.step().await;
            if step % 8 == 7 {
                machine.check().await;
            }
        }
        machine.check().await;
        machines.push(machine);
    }
    let lost: usize = machines.iter().map(|machine| machine.lost).sum();
    println!("{lost} replies lost");
    assert!(lost > 40);
    stack.run_cleanup().await;
    stack.run_write_audit().await;
    let rows = audit::rows(&stack.database().connect().await).await;
    for machine in &machines {
        machine.check().await;
        machine.check_audit(&rows);
    }
}
