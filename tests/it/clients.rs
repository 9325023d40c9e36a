//! OAuth clients from the registry, unchanged, against the service over real HTTP. `tests/clients` holds the programs.

use std::path::Path;

use integration_tests::{Stack, json, settings};
use tokio::process::Command;

/// Runs one program against a stack; it ends with an assertion's words when the service is not as the client expects.
async fn run(stack: &Stack, program: &str, variables: &[(&str, &str)]) {
    let app = &stack.app;
    let secret = &app.key[format!("sk_{}_", app.id).len()..];
    let modules = settings::clients_dir();
    assert!(modules.join("node_modules").is_dir(), "run `python3 scripts/install.py clients` first");
    let output = Command::new("node")
        .arg(Path::new(settings::PACKAGE_DIR).join("clients").join(program))
        .env("CLIENTS_DIR", modules)
        .env("ISSUER", &stack.public_url)
        .env("APPLICATION_KEY", &app.key)
        .env("CLIENT_ID", &app.id)
        .env("CLIENT_SECRET", secret)
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node runs");
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.ends_with("done\n"), "{program}: {printed}\n{errors}");
}

/// RFC 9449, RFC 8414, RFC 9068, RFC 7662, RFC 7009 as a standard client reads them; a nonce is required.
#[tokio::test]
async fn oauth4webapi_refreshes_with_dpop_verifies_introspects_and_revokes() {
    let policy = json!({ "binding": { "requireKey": true, "requireNonce": true } });
    let stack = Stack::builder().with_http_front().with_policy(policy).start().await;
    run(&stack, "dpop_client.mjs", &[]).await;
}

#[tokio::test]
async fn simple_oauth2_refreshes_and_revokes() {
    let stack = Stack::builder().with_http_front().start().await;
    for method in ["header", "body"] {
        run(&stack, "plain_client.mjs", &[("AUTHORIZATION_METHOD", method)]).await;
    }
}
