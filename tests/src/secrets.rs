//! Credentials issued during a run. The scan after the suite looks for each of them in every function log.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::settings;

/// Members of a JSON response that hold a credential.
const CREDENTIAL_MEMBERS: [&str; 6] =
    ["applicationKey", "accessToken", "refreshToken", "access_token", "refresh_token", "receiverSecret"];

/// The list, one secret per line.
pub fn file() -> PathBuf {
    settings::log_dir().join("secrets.txt")
}

/// Adds one secret, or a canary planted by a test, to the list.
pub fn register(secret: &str) {
    if secret.is_empty() || secret.contains('\n') {
        return;
    }
    // One write in append mode: test processes that run side by side never interleave within a line.
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file())
        .and_then(|mut list| list.write_all(format!("{secret}\n").as_bytes()))
        .expect("the list of secrets can be written");
}

/// Adds every credential found anywhere in `document`.
pub fn register_from(document: &Value) {
    match document {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(secret) if CREDENTIAL_MEMBERS.contains(&name.as_str()) => register(secret),
                    // Problems have a code as well, which is no secret.
                    Value::String(code) if name == "code" && code.starts_with("sc_") => register(code),
                    other => register_from(other),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(register_from),
        _ => {}
    }
}
