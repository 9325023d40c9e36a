//! Parts of sections that are processes of their own: their processor time is theirs alone.

pub mod load;
pub mod probe;
pub mod serve;

use std::process::Stdio;

use integration_tests::Stack;
use shared::core::keyring::Purpose;
use shared::service::runtime::Service;
use tokio::process::Command;

use crate::site;

/// The service as a function holds it, with the rings that creating, reading and refreshing need.
async fn service() -> Service {
    const RINGS: [Purpose; 3] = [Purpose::Token, Purpose::Data, Purpose::Pseudonym];
    let service = Service::from_environment(&RINGS).expect("the variables of create-session");
    service.warm_up(&RINGS).await;
    service
}

/// This program as a worker, with the variables of `create-session`, which reaches everything that workers need.
pub fn command(stack: &Stack, arguments: &[String]) -> Command {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(arguments).envs(site::specification(stack, "create-session").variables);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a worker that ends by itself, and returns what it prints.
pub async fn finish(stack: &Stack, arguments: &[String]) -> String {
    let output = command(stack, arguments).output().await.expect("a worker");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "a worker ended with {}\n{said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
