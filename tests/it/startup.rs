//! What a cold start does, and what it leaves out: certificate bundles, profiles, foreign cryptography.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use integration_tests::{Stack, eventually, json, settings};

/// The functions that users wait for.
const HOT: [&str; 5] = ["get-session", "refresh-session", "create-session", "delete-session", "introspect"];

/// Runs every function under strace(1), which writes what it does with files and entropy beside this script.
fn tracing_wrapper(directory: &Path) -> std::path::PathBuf {
    let found = Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(found, "strace is not installed: run `python3 scripts/install.py services`, or apt-get install strace");
    let script = directory.join("traced");
    let mut text = String::from("#!/bin/sh\n");
    // With -D the function keeps the process id that the harness knows.
    let _ = writeln!(
        text,
        "exec strace -D -f -qq -s 256 -e trace=open,openat,openat2,execve,getrandom -o '{}'/$AWS_LAMBDA_FUNCTION_NAME.trace '{}'/$AWS_LAMBDA_FUNCTION_NAME",
        directory.display(),
        settings::functions_dir().display()
    );
    std::fs::write(&script, text).expect("the wrapper can be written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
        .expect("the wrapper can be made runnable");
    script
}

/// The paths in calls of `open` and its kin, whether they succeeded or not.
fn opened(trace: &str) -> BTreeSet<String> {
    let calls = trace.lines().filter(|line| line.contains("open"));
    calls.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

/// What the loader, the C library and the allocator read of any program.
fn is_of_every_program(path: &str) -> bool {
    let library = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        ["libc.so", "libm.so", "libgcc_s.so", "ld-linux"].iter().any(|known| name.starts_with(known))
    };
    // Two words of the kernel's about memory are what the allocator reads.
    let memory = ["/proc/sys/vm/overcommit_memory", "/sys/kernel/mm/transparent_hugepage/enabled"].contains(&path);
    let loader = ["/etc/ld.so.cache", "/etc/ld.so.preload"].contains(&path) || path.starts_with("/proc/self/");
    loader || memory || library(path)
}

#[tokio::test]
async fn hot_functions_open_no_certificates_and_no_profiles() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let wrapper = tracing_wrapper(directory.path());
    let stack = Stack::builder().with_environments(1).with_binary(&wrapper).start().await;
    let app = &stack.app;
    let body = json!({ "userId": "ada", "data": { "cart": [1] } });
    let session = integration_tests::application::SessionTokens::from_created(&app.create_session(body).await);
    app.get(&session.session_id).await.expect(200);
    app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
    app.introspect(&session.access_token).await.expect(200);
    app.delete(&session.session_id).await.expect(204);
    for function in HOT {
        let path = directory.path().join(format!("{function}.trace"));
        let trace = eventually("the trace is written", || async {
            let trace = std::fs::read_to_string(&path).ok()?;
            trace.contains("execve").then_some(trace)
        })
        .await;
        let beyond: Vec<String> = opened(&trace).into_iter().filter(|path| !is_of_every_program(path)).collect();
        assert!(beyond.is_empty(), "{function} opens {beyond:?}");
    }
}

#[tokio::test]
async fn functions_link_one_cryptography_and_no_system_tls() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    for function in HOT {
        let output = Command::new(&cargo)
            .current_dir(Path::new(settings::PACKAGE_DIR).join(".."))
            .args(["tree", "--locked", "--offline", "-p", function, "-e", "normal", "--prefix", "none"])
            .output()
            .expect("cargo can be run");
        assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8_lossy(&output.stdout).into_owned();
        let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(packages.contains("ring"), "{function}: {packages:?}");
        let unwanted =
            ["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "openssl", "openssl-sys", "native-tls", "aws-config"];
        for name in unwanted {
            assert!(!packages.contains(name), "{function} depends on {name}");
        }
    }
}

#[tokio::test]
async fn a_cold_start_unwraps_each_ring_once() {
    let stack = Stack::builder().with_environments(1).with_moto_proxy().with_redis_proxy().start().await;
    let session = stack.app.start_session("ada").await;
    stack.app.get(&session.session_id).await.expect(200);
    stack.fleet.recycle_all().await;
    for (function, rings) in [
        ("get-session", 1),
        ("update-session", 1),
        ("refresh-session", 1),
        ("create-session", 3),
        ("delete-session", 0),
        ("list-user-sessions", 1),
        ("delete-user-sessions", 1),
        ("introspect", 1),
        ("revoke", 1),
    ] {
        let before = (stack.moto_proxy().targets(), stack.redis_proxy().counts());
        stack.environment(function, 0).await.ready().await.expect("the function starts");
        let now = stack.moto_proxy().targets();
        let calls: BTreeMap<&str, u64> = now
            .iter()
            .map(|(target, count)| (target.as_str(), count - before.0.get(target).copied().unwrap_or_default()))
            .filter(|(_, count)| *count > 0)
            .collect();
        let decrypted = calls.get("TrentService.Decrypt").copied().unwrap_or_default();
        assert_eq!(decrypted, rings, "{function}: {calls:?}");
        assert!(!calls.contains_key("DynamoDB_20120810.Scan"), "{function}: this Redis is known: {calls:?}");
        assert_eq!((stack.redis_proxy().counts() - before.1).connections, 1, "{function}");
    }
}

#[tokio::test]
async fn clients_are_built_once_and_connections_stay() {
    let stack = Stack::builder().with_environments(1).with_moto_proxy().with_redis_proxy().start().await;
    let app = &stack.app;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(app.start_session("ada").await);
    }
    let mut token = sessions[0].refresh_token.clone();
    app.get(&sessions[0].session_id).await.expect(200);
    token = refreshed(app, &sessions[0].session_id, &token).await;
    app.introspect(&sessions[0].access_token).await.expect(200);
    app.delete(&sessions[9].session_id).await.expect(204);

    let before = (stack.moto_proxy().counts().connections, stack.redis_proxy().counts().connections);
    for session in &sessions[..9] {
        app.get(&session.session_id).await.expect(200);
        token = refreshed(app, &sessions[0].session_id, &token).await;
        app.introspect(&session.access_token).await.expect(200);
        app.start_session("bob").await;
    }
    let after = (stack.moto_proxy().counts().connections, stack.redis_proxy().counts().connections);
    assert_eq!(after, before, "connections to AWS and to Redis");

    // moto closes every connection after its answer, as AWS does not; here the proxy answers, and keeps them open.
    let written = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{}";
    stack.moto_proxy().intercept(b"DynamoDB_20120810.PutItem", written.as_bytes());
    for session in &sessions[1..9] {
        app.delete(&session.session_id).await.expect(204);
    }
    let deleted = (stack.moto_proxy().counts().connections, stack.redis_proxy().counts().connections);
    assert_eq!(deleted, (after.0 + 1, after.1), "eight ends share one connection to DynamoDB");
}

async fn refreshed(app: &integration_tests::Application, session: &str, token: &str) -> String {
    let body = app.refresh(session, token).await.expect(200).json();
    body["refreshToken"].as_str().expect("a token").to_owned()
}
