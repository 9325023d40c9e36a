//! Nonces of proofs (RFC 9449 §8, §9).

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::client_key::Proof;
use integration_tests::{ClientKey, Response, Stack, json};

use super::session_path;

struct Client {
    stack: Stack,
    key: ClientKey,
    session: SessionTokens,
}

impl Client {
    async fn start(policy: serde_json::Value) -> Self {
        let stack = Stack::builder().with_clock().with_policy(policy).start().await;
        let key = ClientKey::new();
        let body = json!({ "userId": "ada", "dpopJkt": key.thumbprint() });
        let session = SessionTokens::from_created(&stack.app.create_session(body).await);
        Client { stack, key, session }
    }

    async fn read(&self, with: impl FnOnce(Proof<'_>) -> Proof<'_>) -> Response {
        let path = session_path(&self.session.session_id);
        let proof = with(self.key.proof(&self.stack, "GET", &path).of_token(&self.session.access_token));
        self.stack.request("GET", &path).dpop(&self.session.access_token, &proof.sign()).send().await
    }
}

fn nonce(response: &Response) -> String {
    response.header("dpop-nonce").to_owned()
}

/// T-14, T-15: with the nonce required, no proof can be made ahead of time, and leaving the nonce out is no way around.
#[tokio::test]
async fn t_14_a_required_nonce_is_asked_for_and_goes_stale() {
    let client = Client::start(json!({ "binding": { "requireNonce": true } })).await;
    let asked = client.read(|proof| proof).await.expect_problem(401, "use_dpop_nonce");
    let challenge = "DPoP realm=\"sessions\", error=\"use_dpop_nonce\", algs=\"ES256\"";
    assert_eq!(asked.header("www-authenticate"), challenge);
    let first = nonce(&asked);
    let served = client.read(|proof| proof.nonce(&first)).await.expect(200);
    assert_eq!(client.read(|proof| proof.nonce(&nonce(&served))).await.status, 200);
    client.read(|proof| proof).await.expect_problem(401, "use_dpop_nonce");
    for bad in ["", "x", &first[1..], &format!("{first}A")] {
        let refused = client.read(|proof| proof.nonce(bad)).await.expect_problem(401, "use_dpop_nonce");
        assert_eq!(client.read(|proof| proof.nonce(&nonce(&refused))).await.status, 200);
    }
    client.stack.advance(Duration::from_secs(240));
    let stale = client.read(|proof| proof.nonce(&first)).await.expect_problem(401, "use_dpop_nonce");
    assert_ne!(nonce(&stale), first);
    client.read(|proof| proof.nonce(&nonce(&stale))).await.expect(200);
}

/// T-15: where no nonce is required, one that is there has to be good all the same.
#[tokio::test]
async fn t_15_a_nonce_that_is_there_has_to_be_good() {
    let client = Client::start(json!({})).await;
    let served = client.read(|proof| proof).await.expect(200);
    client.read(|proof| proof.nonce(&nonce(&served))).await.expect(200);
    client.read(|proof| proof.nonce("made-up")).await.expect_problem(401, "use_dpop_nonce");
    client.read(|proof| proof.claim("nonce", json!(7))).await.expect_problem(401, "dpop_proof_invalid");
}

/// The rules of one kind of device hold for all: which device a session is on is not known when a proof is judged.
#[tokio::test]
async fn a_nonce_required_for_one_kind_of_device_is_required_of_all() {
    let phone = json!({ "phone": { "binding": { "requireNonce": true } } });
    let client = Client::start(json!({ "deviceTypes": phone })).await;
    client.read(|proof| proof).await.expect_problem(401, "use_dpop_nonce");
}

/// A nonce outlives the environment and the store that gave it: nothing about it is stored.
#[tokio::test]
async fn nonces_are_good_in_every_environment() {
    let client = Client::start(json!({ "binding": { "requireNonce": true } })).await;
    let asked = client.read(|proof| proof).await.expect_problem(401, "use_dpop_nonce");
    client.stack.fleet.recycle_all().await;
    client.read(|proof| proof.nonce(&nonce(&asked))).await.expect(200);
    let keys = client.stack.redis_keys().await;
    assert!(keys.iter().all(|key| !format!("{key:?}").contains(&nonce(&asked))));
}
