//! The pages of the service in a real browser, over real HTTP. `tests/browser` holds the programs; each fails on a request to
//! another host and on anything that the pages' own policy had to refuse.

use std::path::Path;

use integration_tests::application::SessionTokens;
use integration_tests::{Stack, json, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

/// Runs one program against a stack; it ends with an assertion's words when the page is not as it should be.
async fn run(stack: &Stack, program: &str, variables: &[(&str, &str)]) {
    let packages = settings::browser_dir();
    assert!(packages.join("node_modules").is_dir(), "run `python3 scripts/install.py browser` first");
    let output = Command::new("node")
        .arg(Path::new(settings::PACKAGE_DIR).join("browser").join(program))
        .env("BROWSER_DIR", packages)
        .env("SERVICE_URL", &stack.public_url)
        .env("APPLICATION_KEY", &stack.app.key)
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node runs");
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.ends_with("done\n"), "{program}: {printed}\n{errors}");
}

#[tokio::test]
async fn an_operator_signs_in_logs_out_sessions_and_devices_and_leaves_no_key_behind() {
    let stack = Stack::builder().with_http_front().start().await;
    let narrow = stack.create_application(json!({ "name": "Narrow", "scopes": ["sessions:read"] })).await;
    run(&stack, "operator.mjs", &[("NARROW_KEY", &narrow.key)]).await;
}

#[tokio::test]
async fn sections_show_reports_degrade_alone_and_rest_while_nobody_looks() {
    let stack = Stack::builder().with_http_front().start().await;
    run(&stack, "sections.mjs", &[]).await;
}

#[tokio::test]
async fn the_console_works_with_the_keyboard_alone() {
    let stack = Stack::builder().with_http_front().start().await;
    run(&stack, "keyboard.mjs", &[]).await;
}

#[tokio::test]
async fn a_holder_sees_and_ends_the_own_sessions_by_fragment_and_by_frame() {
    let port = serve_parent().await;
    let (parent, stranger) = (format!("http://localhost:{port}"), format!("http://127.0.0.1:{port}"));
    let stack = Stack::builder().with_http_front().with_variable("ACCOUNT_PARENT_ORIGINS", &parent).start().await;
    run(&stack, "account.mjs", &[("PARENT_ORIGIN", &parent), ("STRANGER_ORIGIN", &stranger)]).await;
}

/// An application of somebody, for as long as the test runs: every path answers with the page that embeds the account.
async fn serve_parent() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
    let port = listener.local_addr().expect("a bound address").port();
    tokio::spawn(async move {
        let page = include_str!("../browser/parent.html");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\n";
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = format!("{head}content-length: {}\r\n\r\n{page}", page.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn the_story_of_a_session_says_why_it_ended() {
    let stack = Stack::builder().with_http_front().with_database().start().await;
    let session = SessionTokens::from_created(&stack.app.create_session(json!({ "userId": "ada" })).await);
    let next = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    let next = next["refreshToken"].as_str().expect("a token");
    stack.app.refresh(&session.session_id, next).await.expect(200);
    stack.app.refresh(&session.session_id, &session.refresh_token).await.expect_problem(401, "refresh_token_reused");
    stack.run_write_audit().await;
    run(&stack, "story.mjs", &[("REPLAYED_SESSION", &session.session_id)]).await;
}

#[tokio::test]
async fn privacy_is_switched_exported_and_erased_from_the_pages() {
    let stack = Stack::builder().with_http_front().with_database().start().await;
    run(&stack, "privacy.mjs", &[]).await;
}
