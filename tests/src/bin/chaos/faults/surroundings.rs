//! What lies around a function: credentials, geo data, settings, randomness, the log. F-35, F-41 to F-44.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use integration_tests::environment::{Environment, EnvironmentSpec};
use integration_tests::{InvokeError, json, settings};

use crate::tally::{Observed, Tally};
use crate::trial::{Context, Trial, builder};
use crate::worker::Rules;

const STRICT: Rules = Rules { kills: false, lossy: false };

/// A script that stands for every function, and starts the real one in its own way.
fn wrapper(directory: &Path, start: &str) -> PathBuf {
    let script = directory.join("start");
    let functions = settings::functions_dir();
    let text = format!("#!/bin/sh\nfunction='{}'/$AWS_LAMBDA_FUNCTION_NAME\n{start}\n", functions.display());
    std::fs::write(&script, text).expect("the script can be written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("it can be made runnable");
    script
}

/// Redis takes the credential of new connections no more, and then does again.
pub async fn f_35(context: Context) -> Observed {
    let trial = Trial::start(context, builder().with_database(), STRICT).await;
    let mut connection = trial.stack.redis().connection().await;
    let set = |password: &'static str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("requirepass").arg(password);
        command
    };
    set("rotated").exec_async(&mut connection).await.expect("CONFIG succeeds");
    trial.phase("new credential, old connections");
    trial.load().await;
    trial.tally.expect_served("new credential, old connections", "a credential that open connections need no more");
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
    kill.exec_async(&mut connection).await.expect("CLIENT succeeds");
    trial.phase("credential refused");
    trial.load().await;
    set("").exec_async(&mut connection).await.expect("CONFIG succeeds");
    trial.finish_with_audit().await
}

/// The file of places is missing or is garbage.
pub async fn f_41(context: Context) -> Observed {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let garbage = directory.path().join("garbage.mmdb");
    std::fs::write(&garbage, b"no database of places").expect("the file can be written");
    let tally = Tally::default();
    for (what, path) in [("missing", directory.path().join("missing.mmdb")), ("garbage", garbage)] {
        let spec = builder().with_variable("GEOIP_DATABASE", &path.display().to_string());
        let stack = spec.start().await;
        let created = stack.app.create_session(json!({ "userId": "ada" })).await;
        match (&created.failure, created.status) {
            (Some(InvokeError::Exited { log, .. }), _) if log.contains("GEOIP_DATABASE") => {
                tally.fact(format!("{what}: create-session does not start, and names GEOIP_DATABASE"));
            }
            (None, 201) => tally.fact(format!("{what}: sessions begin without a place")),
            _ => tally.violation(format!("{what}: {created:?}")),
        }
    }
    let trial = Trial::start(context, builder().with_database(), STRICT).await;
    trial.phase("without geo data");
    trial.load().await;
    let mut observed = trial.finish_with_audit().await;
    let seen = tally.observed();
    observed.facts.splice(0..0, seen.facts);
    observed.violations.extend(seen.violations);
    observed
}

/// A function starts without a setting that it needs.
pub async fn f_42(_: Context) -> Observed {
    let tally = Tally::default();
    for function in ["get-session", "create-session", "delete-session", "write-audit", "cleanup-sessions"] {
        let environment = Environment::spawn(EnvironmentSpec::new(function)).await;
        match environment.ready().await {
            Err(InvokeError::Init(error)) => tally.fact(format!("{function}: {}", error["errorMessage"])),
            Err(InvokeError::Exited { status, log }) => {
                let told = log.lines().last().unwrap_or_default().to_owned();
                tally.fact(format!("{function} ends ({status}): {told}"));
            }
            other => tally.violation(format!("{function} starts without any setting: {other:?}")),
        }
    }
    tally.observed()
}

/// The system has no random bytes for create-session.
pub async fn f_43(context: Context) -> Observed {
    let strace = Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success());
    if !strace {
        return Observed { facts: vec!["strace is not installed".to_owned()], violations: vec!["not run".to_owned()] };
    }
    let directory = tempfile::tempdir().expect("a temporary folder");
    let flag = directory.path().join("without-randomness");
    let start = format!(
        "if [ $AWS_LAMBDA_FUNCTION_NAME = create-session ] && [ -e '{}' ]; then\n\
         exec strace -D -f -qq -o /dev/null -e trace=getrandom -e inject=getrandom:error=EIO:when=1+ \"$function\"\n\
         fi\nexec \"$function\"",
        flag.display()
    );
    let script = wrapper(directory.path(), &start);
    let mut trial = Trial::start(context, builder().with_database().with_binary(&script), STRICT).await;
    trial.pause().await;
    std::fs::write(&flag, "").expect("the flag can be written");
    trial.stack.fleet.recycle("create-session").await;
    let before = trial.stack.redis_keys().await.len();
    let created = trial.stack.app.create_session(json!({ "userId": "ada" })).await;
    if created.status < 500 {
        trial.tally.violation(format!("a session began without randomness: {}", created.status));
    }
    let told = created.failure.as_ref().map_or_else(|| created.code(), |failure| failure.to_string());
    let told: String = told.lines().next().unwrap_or_default().chars().take(160).collect();
    trial.tally.fact(format!("create-session without random bytes: {} {told}", created.status));
    let after = trial.stack.redis_keys().await.len();
    if after != before {
        trial.tally.violation(format!("{} keys were written", after - before));
    }
    std::fs::remove_file(&flag).expect("the flag can be removed");
    trial.stack.fleet.recycle("create-session").await;
    trial.resume();
    trial.finish_with_audit().await
}

/// What the functions print goes to a device that is full, and to a pipe that nobody reads.
pub async fn f_44(context: Context) -> Observed {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo(1) succeeds");
    // Open for both directions: writers find a reader that never reads.
    let _reader = std::fs::File::options().read(true).write(true).open(&pipe).expect("the pipe can be opened");
    let tally = Tally::default();
    let full = wrapper(directory.path(), "exec \"$function\" > /dev/full 2>&1");
    let trial = Trial::start(context, builder().with_database().with_binary(&full), STRICT).await;
    trial.phase("log device full");
    trial.load().await;
    let observed = trial.finish_with_audit().await;
    tally.enter("log pipe blocked");
    let blocked = wrapper(directory.path(), &format!("exec \"$function\" > '{}' 2>&1", pipe.display()));
    let stack = builder().with_binary(&blocked).start().await;
    let session = stack.app.start_session("ada").await;
    let mut served = 0;
    // A pipe holds 64 KiB; a request prints about one.
    for _ in 0..200 {
        let since = std::time::Instant::now();
        let read =
            stack.app.request("GET", &format!("/sessions/{}", session.session_id)).timeout(Duration::from_secs(3));
        let read = read.unchecked().send().await;
        let ok = read.status == 200;
        tally.take("get", read, since, true);
        if !ok {
            break;
        }
        served += 1;
    }
    tally.fact(format!("{served} of 200 reads were served while nobody read the log"));
    if served < 200 {
        tally.violation("a log that nobody reads stops the function once its pipe is full");
    }
    let mut seen = tally.observed();
    seen.facts.splice(0..0, observed.facts);
    seen.violations.splice(0..0, observed.violations);
    seen
}
