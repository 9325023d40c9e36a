use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, Value, json};
use shared::core::refresh_token::RefreshToken;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use time::OffsetDateTime;

const DAYS: u64 = 120;
const DAY: time::Duration = time::Duration::DAY;
/// How far before and after the moment at which a published key becomes active the requests of a day come.
const AROUND: time::Duration = time::Duration::seconds(5);

/// One session of the run with its latest tokens.
struct Family {
    session_id: String,
    refresh_token: String,
    access_token: String,
    issued_at: OffsetDateTime,
    born: u64,
}

/// A run over many days with what it has seen.
struct Run {
    stack: Stack,
    families: Vec<Family>,
    /// Key id → when JWKS first showed it.
    published: HashMap<String, OffsetDateTime>,
    /// Key id → when a token was first signed with it.
    signing: BTreeMap<String, OffsetDateTime>,
    /// Ids of MAC keys that refresh tokens of new families named.
    mac_keys: BTreeSet<u8>,
}

fn header(access_token: &str) -> Value {
    use base64::Engine;
    let part = access_token.split('.').next().expect("a JWT");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("a header")
}

impl Run {
    async fn start() -> Self {
        // Sessions that live as long as any can, and stay in use.
        let policy = json!({
            "idleTimeoutSeconds": 30 * 86_400, "absoluteTimeoutSeconds": 30 * 86_400, "refreshGraceSeconds": 30,
            "sessionLimit": {"max": 100, "onLimit": "reject"},
        });
        let stack = Stack::builder().with_clock().with_environments(2).with_policy(policy).start().await;
        let (published, signing) = (HashMap::new(), BTreeMap::new());
        let mut run = Run { stack, families: Vec::new(), published, signing, mac_keys: BTreeSet::new() };
        run.look_at_jwks().await;
        run
    }

    async fn advance_to(&self, instant: OffsetDateTime) {
        let ahead = instant - self.stack.now();
        self.stack.advance(Duration::try_from(ahead).expect("the run is not behind its clock"));
    }

    async fn look_at_jwks(&mut self) {
        // A cold environment: what the table says, not what a warm one remembers.
        self.stack.fleet.recycle("jwks").await;
        let set = self.stack.request("GET", "/.well-known/jwks.json").send().await.expect(200).json();
        let now = self.stack.now();
        for key in set["keys"].as_array().expect("keys") {
            let kid = key["kid"].as_str().expect("a key id").to_owned();
            assert!(key.get("d").is_none(), "a private key is published");
            self.published.entry(kid).or_insert(now);
        }
    }

    fn note(&mut self, access_token: &str) {
        let kid = header(access_token)["kid"].as_str().expect("a key id").to_owned();
        self.signing.entry(kid).or_insert_with(|| self.stack.now());
    }

    async fn create(&mut self, day: u64, environment: usize) {
        let body = json!({"userId": format!("user-{day}"), "data": {"day": day}});
        let request = self.stack.app.request("POST", "/sessions").json(&body).on_environment(environment);
        let tokens = SessionTokens::from_created(&request.send().await);
        self.note(&tokens.access_token);
        RefreshToken::verify(&tokens.refresh_token, |mac_key| {
            self.mac_keys.insert(mac_key);
            None
        });
        self.families.push(Family {
            session_id: tokens.session_id,
            refresh_token: tokens.refresh_token,
            access_token: tokens.access_token,
            issued_at: self.stack.now(),
            born: day,
        });
    }

    async fn refresh(&self, family: &Family, environment: usize) -> Response {
        let path = format!("/sessions/{}/refresh", family.session_id);
        let request = self.stack.request("POST", &path).json(&json!({"refreshToken": family.refresh_token}));
        request.on_environment(environment).send().await
    }

    async fn read(&self, access_token: &str, session_id: &str, environment: usize) -> Response {
        let request = self.stack.request("GET", &format!("/sessions/{session_id}")).bearer(access_token);
        request.on_environment(environment).send().await
    }
}

/// 120 days of daily rotations under traffic from environments that remember older rings: no token that is valid is
/// refused, and no key is used before everybody could know it for a day.
#[tokio::test]
async fn rotations_refuse_no_valid_token_over_120_days() {
    let mut run = Run::start().await;
    let mut rotated_at = run.stack.now();
    for day in 0..DAYS {
        // What yesterday's run published becomes active now. One environment of each function reads its rings just
        // before, and still remembers them just after.
        run.advance_to(rotated_at + DAY - AROUND).await;
        if day % 10 == 0 {
            run.create(day, 0).await;
        }
        let mut successors = Vec::new();
        // Around the days on which keys become active everybody comes, on the others every third.
        let everybody = [28, 29, 0].contains(&(day % 30));
        for (at, family) in run.families.iter().enumerate() {
            if !everybody && (day + family.born) % 3 != 0 {
                continue;
            }
            let refreshed = run.refresh(family, 0).await.expect(200).json();
            successors.push((at, refreshed["refreshToken"].as_str().expect("a token").to_owned()));
            let access_token = refreshed["accessToken"].as_str().expect("a token");
            run.read(access_token, &family.session_id, 0).await.expect(200);
        }

        run.advance_to(rotated_at + DAY + AROUND).await;
        rotated_at = run.stack.now();
        run.stack.run_rotate_keys().await;
        run.look_at_jwks().await;
        if day % 10 == 5 {
            run.create(day, (day % 2) as usize).await;
        }
        for (at, successor) in successors {
            // The lost response of a moment ago, asked for again on another environment: byte for byte the same.
            let again = run.refresh(&run.families[at], 1).await.expect(200).json();
            assert_eq!(again["refreshToken"], successor.as_str(), "day {day}, family of {}", run.families[at].born);
            let access_token = again["accessToken"].as_str().expect("a token").to_owned();
            run.note(&access_token);
            let now = run.stack.now();
            let family = &mut run.families[at];
            family.refresh_token = successor;
            family.access_token = access_token;
            family.issued_at = now;
            let family = &run.families[at];
            for environment in 0..2 {
                let read = run.read(&family.access_token, &family.session_id, environment).await.expect(200).json();
                assert_eq!(read["data"], json!({"day": family.born}), "sealed under a key of day {}", family.born);
            }
        }

        // Access tokens live 300 s, whatever happened to their key; then they are over (with leeway for clocks).
        let latest = run.families.iter().max_by_key(|family| family.issued_at);
        if let Some(family) = latest.filter(|_| everybody) {
            run.advance_to(family.issued_at + time::Duration::seconds(298)).await;
            for environment in 0..2 {
                run.read(&family.access_token, &family.session_id, environment).await.expect(200);
            }
            run.advance_to(family.issued_at + time::Duration::seconds(331)).await;
            let over = run.read(&family.access_token, &family.session_id, 1).await;
            over.expect_problem(401, "credential_invalid");
        }
        // The oldest end when their time has come, and not a day earlier.
        if let Some(at) = run.families.iter().position(|family| day - family.born == 29) {
            let oldest = run.families.remove(at);
            let access_token = run.refresh(&oldest, 0).await.expect(200).json()["accessToken"].clone();
            // A cold environment has nothing in memory: the key of that day is still in the ring.
            run.stack.fleet.recycle("get-session").await;
            let read =
                run.read(access_token.as_str().expect("a token"), &oldest.session_id, 0).await.expect(200).json();
            assert_eq!(read["data"], json!({"day": oldest.born}));
        }
    }

    let first = run.signing.values().min().copied().expect("tokens");
    for (kid, used_at) in run.signing.iter().filter(|(_, used_at)| **used_at != first) {
        let published_at = run.published[kid];
        assert!(*used_at - published_at >= DAY - AROUND * 2, "{kid}: published {published_at}, used {used_at}");
    }
    assert!(run.signing.len() >= 4, "signing keys rotate: {:?}", run.signing);
    assert_eq!(run.mac_keys.len(), 2, "MAC keys rotate: {:?}", run.mac_keys);
}
