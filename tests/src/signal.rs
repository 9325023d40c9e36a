//! Signals to child processes of the harness.

use std::process::{Command, Stdio};

use crate::eventually;

/// Sends `signal` (`STOP`, `CONT`, `KILL`, …) to one process.
///
/// Through kill(1): the system call has no safe wrapper in the standard library.
pub fn send(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status()
        .expect("kill(1) is installed");
    // A process that has already gone is no failure: the callers look at its state next.
    let _ = status;
}

/// Stops a process and returns once the kernel reports it stopped.
pub async fn stop(pid: u32) {
    send(pid, "STOP");
    eventually("the process is stopped", || async move { matches!(state(pid), None | Some('T')).then_some(()) }).await;
}

/// Lets a stopped process run again.
pub fn resume(pid: u32) {
    send(pid, "CONT");
}

/// State letter of /proc/<pid>/stat, after the command name in parentheses.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
