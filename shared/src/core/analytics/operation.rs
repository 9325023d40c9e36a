//! The operations whose handling time is measured.

/// The operation of a request, by its method and path; `None` for what is not measured: pages, documents and the service's
/// own health. The words are those of the performance report.
pub fn operation(method: &str, path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    Some(match (method, segments.as_slice()) {
        ("POST", ["sessions"]) => "create",
        ("POST", ["sessions", "redeem"]) => "redeem",
        ("GET", ["sessions", "user", _]) => "list",
        ("DELETE", ["sessions", "user", _]) => "end_user",
        ("GET", ["sessions", _]) => "lookup",
        ("PUT" | "PATCH", ["sessions", _]) => "update",
        ("DELETE", ["sessions", _]) => "end",
        ("POST", ["sessions", _, "refresh"]) | ("POST", ["token"]) => "refresh",
        ("POST" | "DELETE", ["sessions", _, "share"]) => "share",
        ("POST", ["sessions", _, "step-up"]) => "step_up",
        ("POST", ["sessions", _, "activity"]) => "activity",
        ("POST", ["sessions", _, "lock"]) => "lock",
        ("DELETE", ["sessions", _, "lock"]) => "unlock",
        (_, ["users", _, "devices", ..]) => "devices",
        (_, ["users", _, "state"]) => "state",
        (_, ["users", _, "privacy"]) => "privacy",
        ("GET", ["users", _, "export"]) => "export",
        ("DELETE", ["users", _]) => "erase",
        ("POST", ["introspect"]) => "introspect",
        ("POST", ["revoke"]) => "revoke",
        ("POST", ["dbsc", _]) => "dbsc",
        ("GET", ["audit", _]) => "audit",
        ("GET", ["analytics", _]) => "analytics",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::operation;

    #[test]
    fn requests_have_their_words() {
        assert_eq!(operation("GET", "/sessions/ses_1"), Some("lookup"));
        assert_eq!(operation("GET", "/sessions/user/ada"), Some("list"));
        assert_eq!(operation("POST", "/token"), Some("refresh"));
        assert_eq!(operation("DELETE", "/users/ada/devices/phone"), Some("devices"));
        for path in ["/health", "/openapi.json", "/.well-known/jwks.json", "/console", "/"] {
            assert_eq!(operation("GET", path), None, "{path}");
        }
    }
}
