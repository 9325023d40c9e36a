//! What happens on the day, and when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use integration_tests::application::SessionTokens;
use integration_tests::{Response, json};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use time::{Duration, OffsetDateTime};

use crate::people::{self, ABROAD, Client, Person};
use crate::world::World;

/// Arrivals per hour of the day (UTC), as weights: a working day with an evening.
const ARRIVALS: [u32; 24] = [3, 2, 2, 2, 3, 5, 9, 14, 18, 20, 19, 17, 15, 17, 18, 17, 15, 13, 12, 13, 14, 12, 8, 5];
/// How often the sweep runs, in minutes of the day, and every how many sweeps the drain.
const SWEEP_MINUTES: i64 = 20;
const SWEEPS_PER_DRAIN: i64 = 12;

/// Something that somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Sweep,
    Drain,
    Arrive {
        person: usize,
    },
    Refresh {
        session: usize,
    },
    Read {
        session: usize,
    },
    Change {
        session: usize,
    },
    Leave {
        session: usize,
    },
    LeaveEverywhere {
        session: usize,
    },
    LoseDevice {
        session: usize,
    },
    /// A thief presents the first refresh token of a session from abroad.
    Steal {
        session: usize,
    },
    /// The holder's access token shows up on another continent.
    Travel {
        session: usize,
    },
    /// Somebody tries handles and tokens.
    Probe {
        round: u32,
    },
}

struct Session {
    person: usize,
    client: usize,
    session_id: String,
    access_token: String,
    refresh_token: String,
    first: String,
    version: u64,
    over: bool,
}

/// The day as it goes.
pub struct Day {
    world: World,
    random: StdRng,
    people: Vec<Person>,
    sessions: Vec<Session>,
    queue: BinaryHeap<Reverse<(OffsetDateTime, u64, Action)>>,
    planned: u64,
    answers: BTreeMap<(&'static str, u16), u64>,
    end: OffsetDateTime,
}

impl Day {
    /// The same seed and number of sessions are the same day.
    pub fn new(world: World, seed: u64, sessions: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let people = people::population(&mut random, usize::try_from(sessions / 4).unwrap_or(1).max(40));
        let end = OffsetDateTime::now_utc();
        let begin = end - Duration::DAY;
        let mut day = Day {
            world,
            random,
            people,
            sessions: Vec::new(),
            queue: BinaryHeap::new(),
            planned: 0,
            answers: BTreeMap::new(),
            end,
        };
        for _ in 0..sessions {
            let at = day.arrival(begin);
            let person = day.random.random_range(0..day.people.len());
            day.plan(at, Action::Arrive { person });
        }
        for sweep in 1..24 * 60 / SWEEP_MINUTES {
            let at = begin + Duration::minutes(sweep * SWEEP_MINUTES);
            day.plan(at, Action::Sweep);
            if sweep % SWEEPS_PER_DRAIN == 0 {
                day.plan(at, Action::Drain);
            }
        }
        // Two waves of somebody who tries their luck.
        for hour in [5, 17] {
            let wave = begin + Duration::hours(hour);
            for round in 0..60 {
                day.plan(wave + Duration::seconds(i64::from(round) * 2), Action::Probe { round });
            }
        }
        day
    }

    /// A moment of the day, more often when people are up.
    fn arrival(&mut self, begin: OffsetDateTime) -> OffsetDateTime {
        loop {
            let at = begin + Duration::seconds(self.random.random_range(0..86_400));
            if self.random.random_range(0..20) < ARRIVALS[usize::from(at.hour())] {
                return at;
            }
        }
    }

    fn plan(&mut self, at: OffsetDateTime, action: Action) {
        if at < self.end {
            self.planned += 1;
            self.queue.push(Reverse((at, self.planned, action)));
        }
    }

    fn within(&mut self, from: i64, to: i64) -> Duration {
        Duration::seconds(self.random.random_range(from..to))
    }

    /// Lets the day pass.
    pub async fn run(&mut self) {
        let mut shown = 0;
        while let Some(Reverse((at, _, action))) = self.queue.pop() {
            self.world.set_clock(at);
            self.act(at, action).await;
            let hours = (at - (self.end - Duration::DAY)).whole_hours();
            if hours / 4 > shown {
                shown = hours / 4;
                println!("  hour {hours}: {} sessions so far", self.sessions.len());
            }
        }
        self.world.set_clock(OffsetDateTime::now_utc());
        for function in ["cleanup-sessions", "write-audit"] {
            self.world.run(function).await;
        }
    }

    async fn act(&mut self, at: OffsetDateTime, action: Action) {
        match action {
            Action::Sweep => drop(self.world.run("cleanup-sessions").await),
            Action::Drain => drop(self.world.run("write-audit").await),
            Action::Arrive { person } => self.arrive(at, person).await,
            Action::Refresh { session } => self.refresh(session).await,
            Action::Read { session } => self.read(session).await,
            Action::Change { session } => self.change(session).await,
            Action::Leave { session } => self.leave(session).await,
            Action::LeaveEverywhere { session } => self.leave_everywhere(session).await,
            Action::LoseDevice { session } => self.lose_device(session).await,
            Action::Steal { session } => self.steal(session).await,
            Action::Travel { session } => self.travel(session).await,
            Action::Probe { round } => self.probe(round).await,
        }
    }

    async fn arrive(&mut self, at: OffsetDateTime, person: usize) {
        let client = self.random.random_range(0..self.people[person].clients.len());
        let Client { device_id, name, kind, user_agent, address } = self.people[person].clients[client].clone();
        let body = json!({
            "userId": self.people[person].user_id,
            "device": {"deviceId": device_id, "name": name, "type": kind},
            "client": {"ip": address, "userAgent": user_agent},
            "data": {"cart": [], "language": "en"},
            "idleTimeoutSeconds": if kind == "desktop" { 1800 } else { 6 * 3600 },
            "amr": ["pwd", "otp"], "acr": "urn:example:2fa", "authTime": rfc3339(at),
        });
        let response = self.world.application("POST", "/sessions").json(&body).send().await;
        self.note("create", &response);
        if response.status != 201 {
            return;
        }
        let tokens = SessionTokens::from_created(&response);
        let session = self.sessions.len();
        self.sessions.push(Session {
            person,
            client,
            session_id: tokens.session_id,
            access_token: tokens.access_token,
            first: tokens.refresh_token.clone(),
            refresh_token: tokens.refresh_token,
            version: 1,
            over: false,
        });
        self.plan_visit(at, session, kind);
    }

    /// What the holder does until they leave or just go away.
    fn plan_visit(&mut self, at: OffsetDateTime, session: usize, kind: &str) {
        let minutes =
            if kind == "desktop" { self.random.random_range(4..140) } else { self.random.random_range(1..45) };
        let leaves_at = at + Duration::minutes(minutes);
        let mut next = at + self.within(20, 200);
        while next < leaves_at {
            let action = match self.random.random_range(0..10) {
                0..=3 => Action::Read { session },
                4..=5 => Action::Change { session },
                _ => Action::Refresh { session },
            };
            self.plan(next, action);
            next += self.within(120, 600);
        }
        let action = match self.random.random_range(0..100) {
            0..=44 => Action::Leave { session },
            45..=46 => Action::LeaveEverywhere { session },
            47 => Action::LoseDevice { session },
            48 => Action::Steal { session },
            49 => Action::Travel { session },
            _ => return,
        };
        self.plan(leaves_at, action);
    }

    fn client(&self, session: usize) -> Client {
        let Session { person, client, .. } = self.sessions[session];
        self.people[person].clients[client].clone()
    }

    async fn refresh(&mut self, session: usize) {
        if self.sessions[session].over {
            return;
        }
        let Client { user_agent, address, .. } = self.client(session);
        let Session { session_id, refresh_token, .. } = &self.sessions[session];
        let request = self.world.anybody("POST", &format!("/sessions/{session_id}/refresh"));
        let request = request.json(&json!({"refreshToken": refresh_token})).source_ip(&address).user_agent(user_agent);
        let response = request.send().await;
        self.note("refresh", &response);
        match response.status {
            200 => {
                let body = response.json();
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                self.sessions[session].access_token = text("accessToken");
                self.sessions[session].refresh_token = text("refreshToken");
            }
            _ => self.sessions[session].over = true,
        }
    }

    async fn read(&mut self, session: usize) {
        if self.sessions[session].over {
            return;
        }
        let path = format!("/sessions/{}", self.sessions[session].session_id);
        let response = self.world.application("GET", &path).send().await;
        self.note("read", &response);
        self.sessions[session].over = response.status != 200;
    }

    async fn change(&mut self, session: usize) {
        if self.sessions[session].over {
            return;
        }
        let Session { session_id, version, .. } = &self.sessions[session];
        let items = self.random.random_range(1..9);
        let request = self.world.application("PATCH", &format!("/sessions/{session_id}"));
        let request = request.header("if-match", &format!("\"{version}\"")).json(&json!({"data": {"items": items}}));
        let response = request.send().await;
        self.note("change", &response);
        match response.status {
            200 => self.sessions[session].version += 1,
            _ => self.sessions[session].over = true,
        }
    }

    async fn leave(&mut self, session: usize) {
        let path = format!("/sessions/{}", self.sessions[session].session_id);
        let response = self.world.application("DELETE", &path).send().await;
        self.note("end", &response);
        self.sessions[session].over = true;
    }

    async fn leave_everywhere(&mut self, session: usize) {
        let user = &self.people[self.sessions[session].person].user_id;
        let response = self.world.application("DELETE", &format!("/sessions/user/{user}")).send().await;
        self.note("end all", &response);
        self.sessions[session].over = true;
    }

    async fn lose_device(&mut self, session: usize) {
        let user = &self.people[self.sessions[session].person].user_id;
        let device = self.client(session).device_id;
        let response = self.world.application("DELETE", &format!("/users/{user}/devices/{device}")).send().await;
        self.note("remove device", &response);
        self.sessions[session].over = true;
    }

    async fn steal(&mut self, session: usize) {
        // The holder goes on twice, so that the first token is long consumed.
        self.refresh(session).await;
        self.refresh(session).await;
        let address = people::address(&mut self.random, ABROAD);
        let Session { session_id, first, .. } = &self.sessions[session];
        let request = self.world.anybody("POST", &format!("/sessions/{session_id}/refresh"));
        let request = request.json(&json!({"refreshToken": first})).source_ip(&address).user_agent("curl/8.14");
        let response = request.send().await;
        self.note("replay", &response);
        self.sessions[session].over = true;
    }

    async fn travel(&mut self, session: usize) {
        if self.sessions[session].over {
            return;
        }
        self.refresh(session).await;
        let address = people::address(&mut self.random, ABROAD);
        let Session { session_id, access_token, .. } = &self.sessions[session];
        let request = self.world.anybody("GET", &format!("/sessions/{session_id}")).bearer(access_token);
        let response = request.source_ip(&address).user_agent("python-requests/2.32").send().await;
        self.note("read from abroad", &response);
    }

    async fn probe(&mut self, round: u32) {
        let guess: [u8; 18] = self.random.random();
        let name = guess.iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>();
        let request = self.world.anybody("GET", &format!("/sessions/ses_{name}abcdef")).bearer(&name);
        let response = request.source_ip(&format!("10.{ABROAD}.66.6")).user_agent("curl/8.14").send().await;
        self.note("probe", &response);
        if round.is_multiple_of(10) {
            let refresh = self.world.anybody("POST", &format!("/sessions/ses_{name}abcdef/refresh"));
            let refresh = refresh.json(&json!({"refreshToken": format!("rt_{name}")}));
            let response = refresh.source_ip(&format!("10.{ABROAD}.66.6")).user_agent("curl/8.14").send().await;
            self.note("probe", &response);
        }
    }

    fn note(&mut self, what: &'static str, response: &Response) {
        assert!(response.status < 500, "{what}: {response:?}");
        *self.answers.entry((what, response.status)).or_default() += 1;
    }

    /// What was asked and answered.
    pub fn summary(&self) -> String {
        let lines = self.answers.iter().map(|((what, status), count)| format!("  {what:<18} {status}  {count}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&time::format_description::well_known::Rfc3339).expect("a time can be written")
}
