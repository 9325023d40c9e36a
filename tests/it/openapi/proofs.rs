//! Every operation that takes access tokens demands the proof of a session that is bound to a key.

use integration_tests::application::SessionTokens;
use integration_tests::{ClientKey, Request, Stack, Value, json};

use super::api::Api;
use super::contract::{document, operations, resolve};

/// Whose session the operations are about.
pub const USER: &str = "alice";
const DEVICE: &str = "phone";

/// An operation of the document.
pub struct Operation {
    pub method: String,
    /// With its parameters filled in.
    pub path: String,
    /// The first example of a body, with its media type.
    body: Option<(String, Value)>,
}

impl Operation {
    /// A method, a path and a pointer of the document, about this session.
    pub fn filled((method, path, pointer): (String, String, String), session: &SessionTokens) -> Self {
        let path = path.replace("{sessionId}", &session.session_id).replace("{userId}", USER);
        let path = path.replace("{deviceId}", DEVICE).replace("{report}", "activity");
        let path =
            if path.ends_with("/share") && method == "DELETE" { format!("{path}?applicationId=nobody") } else { path };
        let request = document().pointer(&format!("{pointer}/requestBody"));
        let body = request.map(|_| {
            let (_, request) = resolve(&format!("{pointer}/requestBody"));
            let (media_type, media) = request["content"].as_object().and_then(|all| all.iter().next()).expect("a type");
            let (_, example) = media["examples"].as_object().and_then(|all| all.iter().next()).expect("an example");
            (media_type.clone(), example["value"].clone())
        });
        Operation { method, path, body }
    }

    /// The request with all that the operation asks for but a credential.
    pub fn with(&self, request: Request) -> Request {
        let request = request.header("if-match", "*");
        let request = match self.path.ends_with("/lock") {
            true => request.header("session-lock", "lk_AAAAAAAAAAAAAAAAAAAAAA"),
            false => request,
        };
        match &self.body {
            Some((media_type, body)) if media_type == "application/x-www-form-urlencoded" => {
                let fields = body.as_object().expect("a form").iter();
                let fields: Vec<_> =
                    fields.map(|(name, value)| (name.as_str(), value.as_str().expect("a text"))).collect();
                request.form(&fields)
            }
            Some((media_type, body)) => request.body(media_type, body.to_string().as_bytes()),
            None => request,
        }
    }
}

fn holder_operations(session: &SessionTokens) -> Vec<Operation> {
    let of_holders = |pointer: &str| {
        let requirements = document().pointer(&format!("{pointer}/security")).and_then(Value::as_array);
        requirements.expect("security").iter().any(|requirement| requirement["accessToken"].is_array())
    };
    let found = operations().into_iter().filter(|(_, _, pointer)| of_holders(pointer));
    found.map(|operation| Operation::filled(operation, session)).collect()
}

/// T-13, T-15
#[tokio::test]
async fn every_operation_of_holders_demands_the_proof_of_a_bound_session() {
    let policy = json!({ "binding": { "requireKey": true, "requireNonce": true } });
    let stack = Stack::builder().with_database().with_policy(policy).start().await;
    let api = Api::new(&stack);
    let key = ClientKey::new();
    let new = json!({ "userId": USER, "dpopJkt": key.thumbprint(), "device": { "deviceId": DEVICE } });
    let probe = SessionTokens::from_created(&api.app("POST", "/sessions", |r| r.json(&new)).await);
    let operations = holder_operations(&probe).len();
    assert!(operations >= 6, "{operations}");
    for at in 0..operations {
        let session = SessionTokens::from_created(&api.app("POST", "/sessions", |r| r.json(&new)).await);
        let operation = holder_operations(&session).swap_remove(at);
        let (method, path) = (&operation.method, &operation.path);
        let token = &session.access_token;
        let with = |request: Request| operation.with(request);
        let bearer = api.send(method, path, |r| with(r.bearer(token))).await;
        bearer.expect_problem(401, "credential_invalid");
        let scheme_alone = with(stack.request(method, path)).header("authorization", &format!("DPoP {token}"));
        let bare = scheme_alone.clone().send().await.expect_problem(401, "dpop_proof_invalid");
        assert!(bare.header("www-authenticate").starts_with("DPoP "), "{bare:?}");
        let proof = || key.proof(&stack, method, path).of_token(token);
        let plain = api.send(method, path, |r| with(r.dpop(token, &proof().sign()))).await;
        let nonce = plain.expect_problem(401, "use_dpop_nonce").header("dpop-nonce").to_owned();
        let other = ClientKey::new();
        let foreign = other.proof(&stack, method, path).of_token(token).nonce(&nonce).sign();
        let foreign = api.send(method, path, |r| with(r.dpop(token, &foreign))).await;
        foreign.expect_problem(401, "dpop_proof_invalid");
        let good = proof().nonce(&nonce).sign();
        let served = api.send(method, path, |r| with(r.dpop(token, &good))).await;
        assert_ne!(served.status, 401, "{method} {path}: {served:?}");
        assert_ne!(served.header("dpop-nonce"), "", "{method} {path}");
        let again = api.send(method, path, |r| with(r.dpop(token, &good))).await;
        again.expect_problem(401, "dpop_proof_invalid");
    }
}

#[tokio::test]
async fn a_refresh_demands_the_proof_of_a_bound_session() {
    let policy = json!({ "binding": { "requireNonce": true } });
    let stack = Stack::builder().with_database().with_policy(policy).start().await;
    let api = Api::new(&stack);
    let key = ClientKey::new();
    let new = json!({ "userId": USER, "dpopJkt": key.thumbprint() });
    let session = SessionTokens::from_created(&api.app("POST", "/sessions", |r| r.json(&new)).await);
    let path = format!("/sessions/{}/refresh", session.session_id);
    let body = json!({ "refreshToken": session.refresh_token });
    api.send("POST", &path, |r| r.json(&body)).await.expect_problem(401, "dpop_proof_invalid");
    let proof = || key.proof(&stack, "POST", &path);
    let plain = api.send("POST", &path, |r| r.proof(&proof().sign()).json(&body)).await;
    let nonce = plain.expect_problem(401, "use_dpop_nonce").header("dpop-nonce").to_owned();
    let served = api.send("POST", &path, |r| r.proof(&proof().nonce(&nonce).sign()).json(&body)).await;
    assert_eq!(served.expect(200).json()["tokenType"], "DPoP");
}
