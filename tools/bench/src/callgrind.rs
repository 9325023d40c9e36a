//! Instruction counts of a function under valgrind's callgrind.
//!
//! A count per invocation is a difference: what a process executes with many invocations, less what it executes with one,
//! divided. Only user space is counted, and valgrind hides the SHA extensions of the processor, so hashes look dearer than
//! they are.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use integration_tests::environment::{Environment, EnvironmentSpec};
use integration_tests::{Value, eventually, settings};

use crate::site;

/// What one process executed.
pub struct Profile {
    /// Instructions in all.
    pub instructions: f64,
    file: PathBuf,
}

/// Starts the function under callgrind, invokes it, and counts. `events` are invoked in turn, `times` in all. A function is
/// fifty times slower there, and on a busy machine loses its patience with the stores: it is then started again, and after
/// three starts this fails.
pub async fn profile(spec: &EnvironmentSpec, binary: &Path, events: &[Value], times: usize) -> Result<Profile, String> {
    let mut found = once(spec, binary, events, times).await;
    for _ in 0..2 {
        if found.is_err() {
            found = once(spec, binary, events, times).await;
        }
    }
    found
}

async fn once(spec: &EnvironmentSpec, binary: &Path, events: &[Value], times: usize) -> Result<Profile, String> {
    let name = format!("callgrind-{}", settings::random_hex(6));
    let file = site::scratch().join(format!("{name}.out"));
    let wrapper = site::scratch().join(format!("{name}.sh"));
    let (out, program) = (file.display(), binary.display());
    let script = format!("#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file={out} {program}\n");
    std::fs::write(&wrapper, script).expect("a wrapper");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("it may be run");
    let environment = Environment::spawn(EnvironmentSpec { binary: wrapper, ..spec.clone() }).await;
    environment.ready().await.unwrap_or_else(|error| panic!("under valgrind: {error}"));
    for event in events.iter().cycle().take(times) {
        let response = environment.invoke(event).await.unwrap_or_else(|error| panic!("under valgrind: {error}"));
        let status = response["statusCode"].as_u64().unwrap_or_default();
        if !(200..300).contains(&status) {
            return Err(format!("under valgrind: {response}"));
        }
    }
    if environment.log_text().contains("not ready at start") {
        return Err("under valgrind: a store did not answer within the function's patience".to_owned());
    }
    // The profile is written as the process ends; the last answer is out, and it waits for work.
    let _ = Command::new("kill").arg("-TERM").arg(environment.pid().to_string()).status();
    let instructions =
        eventually("callgrind writes its profile", || async { total(&std::fs::read_to_string(&file).ok()?) }).await;
    Ok(Profile { instructions, file })
}

/// Instructions that an empty program executes, the loader included.
pub fn of_an_empty_program() -> f64 {
    let file = site::scratch().join(format!("callgrind-{}.out", settings::random_hex(6)));
    let status = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg("true")
        .stderr(Stdio::null())
        .status()
        .expect("valgrind is installed");
    assert!(status.success(), "valgrind true");
    total(&std::fs::read_to_string(file).expect("a profile")).expect("a total")
}

fn total(profile: &str) -> Option<f64> {
    let line = profile.lines().rev().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

/// The functions that cost most per invocation, dearest first, by the difference of two profiles.
pub fn dearest(few: &Profile, many: &Profile, invocations: f64, count: usize) -> Vec<(String, f64)> {
    let before = by_function(few);
    let mut costs: Vec<(String, f64)> = by_function(many)
        .into_iter()
        .map(|(function, cost)| {
            let earlier = before.get(&function).copied().unwrap_or_default();
            (function, (cost - earlier) / invocations)
        })
        .collect();
    costs.sort_by(|left, right| right.1.total_cmp(&left.1));
    costs.truncate(count);
    costs
}

/// Instructions of each function itself, as callgrind_annotate adds them up.
fn by_function(profile: &Profile) -> HashMap<String, f64> {
    let output = Command::new("callgrind_annotate")
        .args(["--threshold=100", "--auto=no", "--show-percs=no"])
        .arg(&profile.file)
        .stderr(Stdio::null())
        .output()
        .expect("callgrind_annotate is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut costs = HashMap::new();
    for line in text.lines() {
        let Some((cost, place)) = line.trim_start().split_once("  ") else { continue };
        let Ok(cost) = cost.replace(',', "").parse::<f64>() else { continue };
        let function = place.trim().split(" [").next().unwrap_or_default();
        let function = function.split_once(':').map_or(function, |(_, function)| function);
        *costs.entry(readable(function)).or_default() += cost;
    }
    costs
}

/// A function's path without the digest that the compiler appends.
fn readable(function: &str) -> String {
    let function = function.trim_end_matches(|c: char| c == '\'' || c.is_ascii_digit());
    let cut = function.rfind("::h").filter(|at| function[at + 3..].bytes().all(|c| c.is_ascii_hexdigit()));
    function[..cut.unwrap_or(function.len())].to_owned()
}
