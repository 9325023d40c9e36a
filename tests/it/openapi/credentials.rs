//! Every operation that applications may call demands a credential, and of an application the scope that the document names.

use std::collections::{BTreeMap, BTreeSet};

use integration_tests::{Stack, Value, json};

use super::api::Api;
use super::contract::{document, operations};
use super::proofs::{Operation, USER};

/// The scope that an application needs for the operation at a pointer. `None` for an operation that goes without a credential,
/// or by a token that it carries; `api::callers` and `api::token_endpoint` have those.
fn demanded(pointer: &str) -> Option<String> {
    let requirements = document().pointer(&format!("{pointer}/security")).and_then(Value::as_array).expect("security");
    if requirements.contains(&json!({})) {
        return None;
    }
    requirements.iter().find_map(|requirement| requirement["applicationKey"][0].as_str()).map(str::to_owned)
}

/// T-60, ASVS 8.2.1
#[tokio::test]
async fn t_60_every_operation_demands_a_credential_and_its_scope() {
    let stack = Stack::builder().with_database().start().await;
    let api = Api::new(&stack);
    let session = api.session(&stack.app, USER).await;
    let demands = operations().into_iter().filter_map(|operation| Some((demanded(&operation.2)?, operation)));
    let demands: Vec<_> = demands.collect();
    assert!(demands.len() >= 30, "{}", demands.len());
    let scopes: BTreeSet<&str> = demands.iter().map(|(scope, _)| scope.as_str()).collect();
    let mut without = BTreeMap::new();
    for scope in &scopes {
        let others: Vec<&str> = scopes.iter().copied().filter(|other| other != scope).collect();
        without.insert(*scope, api.application(&others).await);
    }
    for (number, (scope, operation)) in demands.iter().enumerate() {
        let operation = Operation::filled(operation.clone(), &session);
        let (method, path) = (&operation.method, &operation.path);
        // Nobody is over the quota of its address.
        let with = |request| operation.with(request).source_ip(&format!("192.0.2.{number}"));
        let nobody = api.send(method, path, with).await;
        assert_eq!(nobody.status, 401, "{method} {path}");
        if nobody.json()["error"] == "invalid_client" {
            // The endpoints of RFC 6749 have words of their own, which `api::oauth_clients` holds them to.
            continue;
        }
        assert_eq!(nobody.code(), "credential_missing", "{method} {path}");
        let guessed = api.send(method, path, |r| with(r).bearer("no")).await;
        guessed.expect_problem(401, "credential_invalid");
        let refused = api.send(method, path, |r| with(r).bearer(&without[scope.as_str()].key)).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "insufficient_scope"), "{method} {path}: {scope}");
    }
    let read = stack.app.get(&session.session_id).await.expect(200).json();
    assert_eq!((&read["version"], &read["data"]), (&json!(1), &json!({})), "nothing was done");
}
