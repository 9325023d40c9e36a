//! How OAuth clients authenticate (RFC 6749 §2.3): Bearer key, Basic, client_secret_post.

use integration_tests::{Request, Stack, json};

use super::other_application;

/// Every character that may be escaped, escaped (RFC 6749 §2.3.1 and appendix B).
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn every_way_of_client_authentication_works() {
    let stack = Stack::start().await;
    let (id, key) = (stack.app.id.as_str(), stack.app.key.as_str());
    let secret = &key[format!("sk_{id}_").len()..];
    for path in ["/introspect", "/revoke"] {
        let session = stack.app.start_session("ada").await;
        let token = ("token", session.refresh_token.as_str());
        let post = || stack.request("POST", path);
        let ways: Vec<(&str, Request)> = vec![
            ("Bearer", post().bearer(key).form(&[token])),
            ("Basic with the secret", post().basic(id, secret).form(&[token])),
            ("Basic with the key", post().basic(id, key).form(&[token])),
            ("Basic, form-encoded", post().basic(&encoded(id), &encoded(secret)).form(&[token])),
            ("post with the secret", post().form(&[token, ("client_id", id), ("client_secret", secret)])),
            ("post with the key", post().form(&[("client_secret", key), ("client_id", id), token])),
        ];
        for (name, request) in ways {
            let answer = request.send().await;
            assert_eq!(answer.status, 200, "{path} {name}: {answer:?}");
            if path == "/introspect" {
                assert_eq!(answer.json()["active"], true, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn wrong_client_credentials_are_refused_alike() {
    let stack = Stack::start().await;
    let other = other_application(&stack).await;
    let (id, key) = (stack.app.id.as_str(), stack.app.key.as_str());
    let secret = &key[format!("sk_{id}_").len()..];
    let session = stack.app.start_session("ada").await;
    let token = ("token", session.refresh_token.as_str());
    for path in ["/introspect", "/revoke"] {
        let post = || stack.request("POST", path);
        let form = |id: &str, secret: &str| post().form(&[token, ("client_id", id), ("client_secret", secret)]);
        let ways: Vec<(&str, Request)> = vec![
            ("unknown application", post().basic("unknown", secret).form(&[token])),
            ("other application's secret", post().basic(&other.id, secret).form(&[token])),
            ("other application's key", post().basic(id, &other.key).form(&[token])),
            ("no password", post().basic(id, "").form(&[token])),
            ("no colon", post().header("authorization", "Basic YWJj").form(&[token])),
            ("no base64", post().header("authorization", "Basic ?").form(&[token])),
            ("unknown scheme", post().header("authorization", &format!("Digest {key}")).form(&[token])),
            ("access token", post().bearer(&session.access_token).form(&[token])),
            ("post, wrong secret", form(id, &"A".repeat(43))),
            ("post, empty secret", form(id, "")),
            ("post, other application", form(&other.id, key)),
        ];
        for (name, request) in ways {
            let answer = request.send().await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "credential_invalid"), "{path} {name}");
            assert_eq!(answer.json()["error"], "invalid_client");
            assert_eq!(answer.header("www-authenticate"), "Basic realm=\"sessions\", charset=\"UTF-8\"");
        }
        let halves: Vec<Request> = vec![
            post().form(&[token]),
            post().form(&[token, ("client_id", id)]),
            post().form(&[token, ("client_secret", key)]),
        ];
        for request in halves {
            let answer = request.send().await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "credential_missing"), "{path}: {answer:?}");
        }
        let doubled = form(id, secret).body(
            "application/x-www-form-urlencoded",
            format!("token=x&client_id={id}&client_id={id}&client_secret={secret}").as_bytes(),
        );
        assert_eq!(doubled.send().await.expect(400).json()["error"], "invalid_request");
    }
    let active = stack.app.introspect(&session.refresh_token).await.expect(200).json();
    assert_eq!(active["active"], json!(true), "nothing above revoked it");
}

/// A client that authenticates twice is refused (RFC 6749 §2.3), even when both ways would do by themselves.
#[tokio::test]
async fn only_one_way_of_authentication_is_taken_at_a_time() {
    let stack = Stack::start().await;
    let (id, key) = (stack.app.id.as_str(), stack.app.key.as_str());
    let session = stack.app.start_session("ada").await;
    for path in ["/introspect", "/revoke"] {
        for secret in [key, "wrong"] {
            let form = [("token", session.refresh_token.as_str()), ("client_id", id), ("client_secret", secret)];
            let answer = stack.request("POST", path).bearer(key).form(&form).send().await;
            assert_eq!(answer.expect(400).json()["error"], "invalid_request");
        }
        // Naming oneself is no authentication.
        let form = [("token", "x"), ("client_id", id)];
        stack.request("POST", path).bearer(key).form(&form).send().await.expect(200);
    }
}
