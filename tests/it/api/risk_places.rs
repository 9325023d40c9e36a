//! Places and the user's history: impossible travel, new devices, bursts, replays.

use std::time::Duration;

use integration_tests::mmdb::{self, Network};
use integration_tests::{Request, Stack, Value, json};

use super::risk::{CHROME, HOME, begin, read, refresh, risk};
use super::{session_path, text};

const VIENNA: &str = "203.0.113.10";
const LINZ: &str = "198.51.100.7";
const SYDNEY: &str = "192.0.2.1";

fn network(octets: [u8; 3], country: &'static str, city: &'static str, latitude: f64, longitude: f64) -> Network {
    Network { octets: octets.into(), country, city, latitude, longitude }
}

/// A file of three networks. It lives as long as the returned folder.
fn places() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("places.mmdb");
    let networks = [
        network([203, 0, 113], "AT", "Vienna", 48.2, 16.4),
        network([198, 51, 100], "AT", "Linz", 48.3, 14.3),
        network([192, 0, 2], "AU", "Sydney", -33.9, 151.2),
    ];
    std::fs::write(&file, mmdb::write(&networks)).expect("a file");
    let name = file.to_str().expect("a name").to_owned();
    (folder, name)
}

async fn create(stack: &Stack, user: &str, address: &str, agent: &str) -> Value {
    let body = json!({ "userId": user, "client": { "ip": address, "userAgent": agent } });
    stack.app.create_session(body).await.expect(201).json()
}

#[tokio::test]
async fn impossible_travel_asks_for_a_step_up_and_trains_do_not() {
    let (_folder, file) = places();
    let stack = Stack::builder().with_clock().with_variable("GEOIP_DATABASE", &file).start().await;
    let session = begin(&stack, "ada").await;
    assert_eq!(session.document["session"]["place"], "Vienna, AT");
    stack.advance(Duration::from_secs(120));
    let seen = read(&stack, &session, LINZ, CHROME).send().await.expect(200).json();
    assert_eq!((&seen["place"], &seen["risk"]["standing"]), (&json!("Linz, AT"), &json!("good")));
    stack.advance(Duration::from_secs(120));
    let seen = read(&stack, &session, SYDNEY, CHROME).send().await.expect(200).json();
    assert_eq!(seen["place"], "Sydney, AU");
    let reasons = json!(["network_change", "country_change", "impossible_travel"]);
    let expected = json!({ "score": 65, "verdict": "step_up", "reasons": reasons, "standing": "step_up" });
    assert_eq!(seen["risk"], expected);

    // A flight of 21 hours is travel.
    let stack = Stack::builder().with_clock().with_variable("GEOIP_DATABASE", &file).start().await;
    let session = begin(&stack, "ada").await;
    stack.advance(Duration::from_secs(21 * 3600));
    let next = refresh(&stack, &session, &session.refresh_token, SYDNEY, CHROME).send().await.expect(200).json();
    let seen = &next["session"]["risk"];
    assert_eq!((&seen["reasons"], &seen["standing"]), (&json!(["network_change", "country_change"]), &json!("good")));
}

/// 8.2.4: at the start as well. The worst is quarantine: the application has just let the user in.
#[tokio::test]
async fn asvs_8_2_4_a_beginning_is_judged_against_the_history_of_the_user() {
    let (_folder, file) = places();
    let stack = Stack::builder().with_clock().with_variable("GEOIP_DATABASE", &file).start().await;
    assert_eq!(create(&stack, "ada", VIENNA, CHROME).await["session"].get("risk"), None, "nobody knows the user");
    stack.advance(Duration::from_secs(600));
    assert_eq!(create(&stack, "ada", LINZ, CHROME).await["session"].get("risk"), None);
    let created = create(&stack, "ada", SYDNEY, "curl/8.5").await;
    let risk = &created["session"]["risk"];
    let reasons = json!(["new_device", "network_change", "country_change", "impossible_travel"]);
    assert_eq!((&risk["reasons"], &risk["standing"]), (&reasons, &json!("quarantined")), "{created}");
    let tokens = text(&created["accessToken"]);
    let path = session_path(&text(&created["session"]["sessionId"]));
    let own = stack.request("GET", &path).bearer(&tokens).source_ip(SYDNEY).user_agent("curl/8.5");
    own.send().await.expect_problem(401, "session_quarantined");
    // Another user is another history.
    assert_eq!(create(&stack, "bob", SYDNEY, "curl/8.5").await["session"].get("risk"), None);
}

/// The answer that was lost on the way says the same when it is asked for again.
#[tokio::test]
async fn a_repeated_creation_shows_the_judgement_of_the_first() {
    let policy = json!({ "risk": { "stepUpAt": 15, "quarantineAt": 20 } });
    let stack = Stack::builder().with_policy(policy).start().await;
    create(&stack, "ada", VIENNA, CHROME).await;
    let body = json!({ "userId": "ada", "client": { "ip": SYDNEY, "userAgent": "curl/8.5" } });
    let keyed = || stack.app.request("POST", "/sessions").json(&body).header("idempotency-key", "one");
    let first = keyed().send().await.expect(201).json();
    assert_eq!(first["session"]["risk"]["standing"], "quarantined");
    let again = keyed().send().await.expect(201).json();
    assert_eq!(again["session"]["risk"], first["session"]["risk"]);
}

#[tokio::test]
async fn bursts_and_replays_are_remembered_for_the_user() {
    let stack = Stack::builder().with_clock().start().await;
    for _ in 0..11 {
        create(&stack, "ada", HOME, CHROME).await;
    }
    let burst = create(&stack, "ada", HOME, "other-app/1").await;
    assert_eq!(burst["session"]["risk"]["reasons"], json!(["new_device", "creation_burst"]));
    assert_eq!(burst["session"]["risk"]["standing"], "step_up");

    let session = begin(&stack, "bob").await;
    let next = refresh(&stack, &session, &session.refresh_token, HOME, CHROME).send().await.expect(200).json();
    refresh(&stack, &session, &text(&next["refreshToken"]), HOME, CHROME).send().await.expect(200);
    let replay = refresh(&stack, &session, &session.refresh_token, HOME, CHROME).send().await;
    replay.expect_problem(401, "refresh_token_reused");
    let later = create(&stack, "bob", HOME, "other-app/1").await;
    assert_eq!(later["session"]["risk"]["reasons"], json!(["new_device", "recent_reuse"]));
    stack.advance(Duration::from_secs(25 * 3600));
    assert_eq!(create(&stack, "bob", HOME, "third-app/1").await["session"].get("risk"), None);
}

/// T-77: what was called risky teaches nothing, so the second theft looks like the first.
#[tokio::test]
async fn t_77_a_thief_does_not_pave_the_way() {
    let (_folder, file) = places();
    let stack = Stack::builder().with_clock().with_variable("GEOIP_DATABASE", &file).start().await;
    for _ in 0..3 {
        let session = begin(&stack, "ada").await;
        stack.advance(Duration::from_secs(120));
        read(&stack, &session, SYDNEY, CHROME).send().await.expect(200);
        assert_eq!(risk(&stack, &session).await["standing"], "step_up");
        stack.advance(Duration::from_secs(120));
    }
}

/// T-90: places of a proved edge need no file.
#[tokio::test]
async fn t_90_places_of_cloudfront_count_when_it_proves_itself() {
    let digest: String =
        shared::core::crypto::sha256(b"origin-secret").iter().map(|byte| format!("{byte:02x}")).collect();
    let stack = Stack::builder().with_variable("CLOUDFRONT_ORIGIN_DIGEST", &digest).start().await;
    let session = begin(&stack, "ada").await;
    let through = |request: Request, country: &str| {
        let request = request.header("cloudfront-viewer-address", "198.51.100.66:1");
        request.header("x-origin-verify", "origin-secret").header("cloudfront-viewer-country", country)
    };
    let seen = through(read(&stack, &session, "192.0.2.200", CHROME), "NZ").send().await.expect(200).json();
    assert_eq!((&seen["place"], &seen["client"]["addressPrefix"]), (&json!("NZ"), &json!("203.0.113.0/24")));
}

#[tokio::test]
async fn a_broken_file_stops_the_start_and_names_the_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("broken.mmdb");
    std::fs::write(&file, b"no places").expect("a file");
    let stack = Stack::builder().with_variable("GEOIP_DATABASE", file.to_str().expect("a name")).start().await;
    let refused = stack.app.request("GET", &session_path("ses_x")).unchecked().send().await;
    assert!(refused.status >= 500, "{refused:?}");
    let absent = Stack::builder().with_variable("GEOIP_DATABASE", "/nowhere/places.mmdb").start().await;
    assert!(absent.app.request("GET", &session_path("ses_x")).unchecked().send().await.status >= 500);
}
