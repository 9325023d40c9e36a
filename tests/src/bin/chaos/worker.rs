//! One client of the workload: it uses its own users and sessions, one after another, and remembers what was
//! acknowledged. What it does not know it asks again, as clients do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_tests::application::SessionTokens;
use integration_tests::{Application, Request, Value, json};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::tally::{Answer, Tally};

/// Sessions that a user may have at once.
pub const LIMIT: usize = 5;
/// Users of a worker, the one under pressure included.
const USERS: usize = 6;
/// A lost rotation that is older than this may have left the grace window of thirty seconds.
const GRACE: Duration = Duration::from_secs(24);
/// Between two attempts while something is away. It bounds the load and nothing depends on it.
const PAUSE: Duration = Duration::from_millis(20);

/// What a trial may do to its clients.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    /// Functions are killed under requests.
    pub kills: bool,
    /// The store may lose what it has acknowledged: new sessions, data, events. Ends and rotations hold all the same.
    pub lossy: bool,
}

/// A session as its client knows it.
#[derive(Clone)]
pub struct Session {
    pub user: String,
    pub id: String,
    pub access: String,
    pub refresh: String,
    /// The token before, once there is one.
    pub consumed: Option<String>,
    pub rotations: u64,
    pub version: u64,
    pub number: u64,
    /// Status of the acknowledged end.
    pub ended: Option<u16>,
    pub lost: bool,
    pub end_asked: bool,
    pub rotation_asked: Option<Instant>,
    pub write_asked: Option<u64>,
}

impl Session {
    /// Neither ended nor perhaps ended.
    pub fn lives(&self) -> bool {
        self.ended.is_none() && !self.end_asked && !self.lost
    }
}

/// A creation whose answer has not come.
struct Creation {
    user: String,
    key: String,
}

/// One client.
pub struct Worker {
    app: Application,
    tally: Arc<Tally>,
    rules: Rules,
    random: StdRng,
    name: String,
    pub sessions: Vec<Session>,
    creations: Vec<Creation>,
    copies: u32,
}

impl Worker {
    /// `copies`: how often each request is delivered at most.
    pub fn new(app: &Application, tally: &Arc<Tally>, rules: Rules, seed: u64, number: u64, copies: u32) -> Self {
        Self {
            app: app.clone(),
            tally: Arc::clone(tally),
            rules,
            random: StdRng::seed_from_u64(seed.wrapping_mul(1000) + number),
            name: format!("worker-{number}"),
            sessions: Vec::new(),
            creations: Vec::new(),
            copies,
        }
    }

    /// The users of this worker.
    pub fn users(&self) -> Vec<String> {
        (0..USERS).map(|number| format!("{}-{number}", self.name)).collect()
    }

    /// Does one thing.
    pub async fn step(&mut self) {
        let live: Vec<usize> = (0..self.sessions.len()).filter(|at| self.sessions[*at].lives()).collect();
        let choice = self.random.random_range(0..100);
        if live.len() < 3 || choice < 16 {
            let user = self.random.random_range(1..USERS);
            return self.create(format!("{}-{user}", self.name)).await;
        }
        let at = live[self.random.random_range(0..live.len())];
        match choice {
            16..36 => self.get(at).await,
            36..56 => self.refresh(at).await,
            56..61 => self.refresh_twice(at).await,
            61..72 => self.put(at).await,
            72..82 => self.end(at).await,
            82..84 => self.end_user(at).await,
            84..94 => self.probe().await,
            94..97 => self.crowd().await,
            _ => self.list(&self.sessions[at].user.clone()).await,
        }
    }

    async fn ask(&mut self, operation: &str, request: &Request) -> Answer {
        let copies = if self.copies > 1 { self.random.random_range(1..=self.copies) } else { 1 };
        let mut first = None;
        for _ in 0..copies {
            let since = Instant::now();
            let response = request.clone().send().await;
            let answer = self.tally.take(operation, response, since, self.rules.kills);
            if first.is_none() {
                first = Some(answer);
            }
        }
        let answer = first.expect("at least one copy");
        if !matches!(answer, Answer::Decided(_)) {
            tokio::time::sleep(PAUSE).await;
        }
        answer
    }

    fn wrong(&self, what: &str, response: &integration_tests::Response) {
        self.tally.violation(format!("{what}: {} {}", response.status, response.code()));
    }

    fn on(&self, at: usize, method: &str, tail: &str) -> Request {
        self.app.request(method, &format!("/sessions/{}{tail}", self.sessions[at].id))
    }

    async fn create(&mut self, user: String) {
        let creation = match self.creations.pop() {
            Some(waiting) => waiting,
            None => Creation { key: format!("key-{:x}", self.random.random::<u64>()), user },
        };
        self.create_as(creation).await;
    }

    async fn create_as(&mut self, creation: Creation) {
        let request = self.creation(&creation);
        match self.ask("create", &request).await {
            Answer::Decided(response) => self.created(&creation.user, &response),
            Answer::Away | Answer::Lost => self.creations.push(creation),
        }
    }

    fn creation(&self, creation: &Creation) -> Request {
        let body = json!({ "userId": creation.user, "data": { "n": 0 } });
        self.app.request("POST", "/sessions").header("idempotency-key", &creation.key).json(&body)
    }

    fn created(&mut self, user: &str, response: &integration_tests::Response) {
        if response.status == 409 && response.code() == "session_limit_reached" {
            return;
        }
        if response.status != 201 {
            return self.wrong("a creation", response);
        }
        let tokens = SessionTokens::from_created(response);
        if self.sessions.iter().any(|known| known.id == tokens.session_id) {
            return self.tally.violation("I-14: one key gave the same session to two creations");
        }
        self.sessions.push(Session {
            user: user.to_owned(),
            id: tokens.session_id,
            access: tokens.access_token,
            refresh: tokens.refresh_token,
            consumed: None,
            rotations: 0,
            version: 1,
            number: 0,
            ended: None,
            lost: false,
            end_asked: false,
            rotation_asked: None,
            write_asked: None,
        });
    }

    /// What a refusal of a session that should live means.
    fn gone(&mut self, at: usize, what: &str, response: &integration_tests::Response) {
        let session = &mut self.sessions[at];
        // A store that lost a session does not know it. One that says that it ended has turned a loss into an end.
        let unknown = matches!(response.code().as_str(), "not_found" | "refresh_token_invalid");
        if session.end_asked {
            session.ended = Some(response.status);
        } else if self.rules.lossy && unknown {
            session.lost = true;
        } else {
            self.tally.violation(format!("{what} of a live session: {} {}", response.status, response.code()));
            self.sessions[at].lost = true;
        }
    }

    async fn get(&mut self, at: usize) {
        let request = self.on(at, "GET", "");
        let Answer::Decided(response) = self.ask("get", &request).await else { return };
        if response.status != 200 {
            return self.gone(at, "a read", &response);
        }
        let version: u64 = response.header("etag").trim_matches('"').parse().unwrap_or_default();
        let number = response.json()["data"]["n"].as_u64().unwrap_or_default();
        let session = &mut self.sessions[at];
        let expected = number == session.number || session.write_asked == Some(number);
        if !expected && !self.rules.lossy {
            let (known, asked) = (session.number, session.write_asked);
            self.tally.violation(format!("a read gives {number}; written was {known}, asked {asked:?}"));
        }
        let session = &mut self.sessions[at];
        (session.version, session.number, session.write_asked) = (version, number, None);
    }

    async fn put(&mut self, at: usize) {
        if self.sessions[at].write_asked.is_some() {
            return self.get(at).await;
        }
        let (version, number) = (self.sessions[at].version, self.sessions[at].number + 1);
        let request = self.on(at, "PUT", "").header("if-match", &format!("\"{version}\""));
        match self.ask("put", &request.json(&json!({ "data": { "n": number } }))).await {
            Answer::Decided(response) if response.status == 200 => {
                let session = &mut self.sessions[at];
                (session.version, session.number) = (version + 1, number);
            }
            Answer::Decided(response) if response.status == 412 && self.rules.lossy => self.get(at).await,
            Answer::Decided(response) => self.gone(at, "a write", &response),
            Answer::Away | Answer::Lost => self.sessions[at].write_asked = Some(number),
        }
    }

    fn rotation(&self, at: usize) -> Request {
        let body = json!({ "refreshToken": self.sessions[at].refresh });
        self.on(at, "POST", "/refresh").json(&body)
    }

    async fn refresh(&mut self, at: usize) {
        let request = self.rotation(at);
        match self.ask("refresh", &request).await {
            Answer::Decided(response) if response.status == 200 => self.rotated(at, &response.json()),
            Answer::Decided(response) => self.not_rotated(at, &response),
            Answer::Away | Answer::Lost => self.unknown_rotation(at),
        }
    }

    fn unknown_rotation(&mut self, at: usize) {
        self.sessions[at].rotation_asked.get_or_insert_with(Instant::now);
    }

    fn not_rotated(&mut self, at: usize, response: &integration_tests::Response) {
        // A client that comes back after the window looks like a thief, and is told so.
        let late = self.sessions[at].rotation_asked.is_some_and(|asked| asked.elapsed() > GRACE);
        match late && response.status == 401 {
            true => self.sessions[at].lost = true,
            false => self.gone(at, "a refresh", response),
        }
    }

    fn rotated(&mut self, at: usize, body: &Value) {
        let next = body["refreshToken"].as_str().unwrap_or_default().to_owned();
        let session = &mut self.sessions[at];
        if next == session.refresh || next.is_empty() {
            return self.tally.violation("I-2: a rotation gave the token that was presented");
        }
        session.access = body["accessToken"].as_str().unwrap_or_default().to_owned();
        session.consumed = Some(std::mem::replace(&mut session.refresh, next));
        session.rotations += 1;
        session.rotation_asked = None;
    }

    /// The same token twice at once. I-2: one successor.
    async fn refresh_twice(&mut self, at: usize) {
        let request = self.rotation(at);
        let since = Instant::now();
        let (first, second) = tokio::join!(request.clone().send(), request.send());
        let mut successors = Vec::new();
        for response in [first, second] {
            match self.tally.take("refresh", response, since, self.rules.kills) {
                Answer::Decided(response) if response.status == 200 => successors.push(response.json()),
                Answer::Decided(response) => return self.not_rotated(at, &response),
                Answer::Away | Answer::Lost => {}
            }
        }
        match successors.as_slice() {
            [] => return self.unknown_rotation(at),
            [first, second] if first["refreshToken"] != second["refreshToken"] => {
                self.tally.violation("I-2: two successors of one token");
            }
            _ => {}
        }
        self.rotated(at, &successors[0]);
    }

    async fn end(&mut self, at: usize) {
        let request = self.on(at, "DELETE", "");
        match self.ask("delete", &request).await {
            Answer::Decided(response) if matches!(response.status, 202 | 204) => {
                self.sessions[at].ended = Some(response.status);
            }
            Answer::Decided(response) if self.rules.lossy && response.code() == "not_found" => {
                self.sessions[at].lost = true;
            }
            Answer::Decided(response) => self.wrong("an end", &response),
            Answer::Away | Answer::Lost => self.sessions[at].end_asked = true,
        }
    }

    async fn end_user(&mut self, at: usize) {
        let user = self.sessions[at].user.clone();
        if self.creations.iter().any(|creation| creation.user == user) {
            return;
        }
        let request = self.app.request("DELETE", &format!("/sessions/user/{user}"));
        let answer = self.ask("delete all", &request).await;
        let of_user = self.sessions.iter_mut().filter(|session| session.user == user && session.ended.is_none());
        match answer {
            Answer::Decided(response) if matches!(response.status, 202 | 204) => {
                of_user.for_each(|session| session.ended = Some(response.status));
            }
            Answer::Decided(response) => self.wrong("an end of all", &response),
            Answer::Away | Answer::Lost => of_user.for_each(|session| session.end_asked = true),
        }
    }

    /// I-1 and I-15 while the fault is on: what is ended stays so, and garbage is no credential.
    async fn probe(&mut self) {
        let ended: Vec<usize> = (0..self.sessions.len()).filter(|at| self.sessions[*at].ended == Some(204)).collect();
        if ended.is_empty() {
            return;
        }
        let at = ended[self.random.random_range(0..ended.len())];
        self.expect_dead(at).await;
        let garbage = json!({ "refreshToken": "rt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
        let request = self.on(at, "POST", "/refresh").json(&garbage);
        if let Answer::Decided(response) = self.ask("garbage", &request).await
            && response.status < 400
        {
            self.wrong("I-15: garbage was taken for a token", &response);
        }
    }

    /// I-1: no function gives life to an ended session.
    pub async fn expect_dead(&mut self, at: usize) {
        let (read, refresh) = (self.on(at, "GET", ""), self.rotation(at));
        let introspect = self.app.request("POST", "/introspect").form(&[("token", &self.sessions[at].access)]);
        let answered = self.sessions[at].ended;
        for (name, request) in [("get", read), ("refresh", refresh), ("introspect", introspect)] {
            let Answer::Decided(response) = self.ask(name, &request).await else { continue };
            let dead = match name {
                "introspect" => response.status == 200 && response.json() == json!({ "active": false }),
                "refresh" => response.status == 401,
                _ => response.status == 404,
            };
            if !dead {
                self.wrong(&format!("I-1: {name} of a session whose end was acknowledged ({answered:?})"), &response);
            }
        }
    }

    /// More creations at once than the limit leaves room for.
    async fn crowd(&mut self) {
        let user = format!("{}-0", self.name);
        if self.creations.iter().any(|creation| creation.user == user) {
            return;
        }
        let mut wanted = Vec::new();
        for _ in 0..4 {
            wanted.push(Creation { key: format!("key-{:x}", self.random.random::<u64>()), user: user.clone() });
        }
        let requests: Vec<Request> = wanted.iter().map(|creation| self.creation(creation)).collect();
        let since = Instant::now();
        let responses = futures::future::join_all(requests.into_iter().map(Request::send)).await;
        for (creation, response) in wanted.into_iter().zip(responses) {
            match self.tally.take("create", response, since, self.rules.kills) {
                Answer::Decided(response) => self.created(&user, &response),
                Answer::Away | Answer::Lost => self.creations.push(creation),
            }
        }
        self.list(&user).await;
    }

    /// I-4, and no ended session among the listed.
    pub async fn list(&mut self, user: &str) {
        let request = self.app.request("GET", &format!("/sessions/user/{user}"));
        let Answer::Decided(response) = self.ask("list", &request).await else { return };
        if response.status != 200 {
            return self.wrong("a list", &response);
        }
        let body = response.json();
        let listed: Vec<&str> =
            body["sessions"].as_array().into_iter().flatten().filter_map(|one| one["sessionId"].as_str()).collect();
        if listed.len() > LIMIT {
            self.tally.violation(format!("I-4: {} sessions of a user, {LIMIT} are allowed", listed.len()));
        }
        let ended = |id: &&str| self.sessions.iter().any(|one| one.id == **id && one.ended == Some(204));
        if listed.iter().any(ended) {
            self.tally.violation("I-1: an ended session is listed");
        }
    }

    /// Once everything is back: asks again until every answer is known.
    pub async fn settle(&mut self, patience: Duration) {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(creation) = self.creations.pop() {
                self.create_as(creation).await;
                continue;
            }
            let open = |session: &Session| {
                let asked = session.end_asked || session.rotation_asked.is_some() || session.write_asked.is_some();
                asked && session.ended.is_none() && !session.lost
            };
            let Some(at) = self.sessions.iter().position(open) else { return };
            match &self.sessions[at] {
                session if session.end_asked => self.end(at).await,
                session if session.rotation_asked.is_some() => self.refresh(at).await,
                _ => self.get(at).await,
            }
        }
        self.tally.violation(format!("not served again after {patience:?}"));
    }

    /// What must hold in the end, session by session.
    pub async fn verify(&mut self) {
        for at in 0..self.sessions.len() {
            if self.sessions[at].ended.is_some() {
                self.expect_dead(at).await;
            } else if !self.sessions[at].lost {
                self.expect_alive(at).await;
            }
        }
        for user in self.users() {
            self.list(&user).await;
        }
    }

    /// The newest token works, and the one before gives nothing else.
    async fn expect_alive(&mut self, at: usize) {
        self.get(at).await;
        if self.sessions[at].lost {
            return;
        }
        self.refresh(at).await;
        if self.sessions[at].lost || self.sessions[at].rotation_asked.is_some() {
            return;
        }
        let Some(consumed) = self.sessions[at].consumed.clone() else { return };
        let request = self.on(at, "POST", "/refresh").json(&json!({ "refreshToken": consumed }));
        if let Answer::Decided(response) = self.ask("refresh", &request).await {
            let same = response.status == 200 && response.json()["refreshToken"] == self.sessions[at].refresh.as_str();
            if !same {
                self.wrong("I-2: the consumed token, within its window, gives another answer", &response);
            }
        }
    }
}
