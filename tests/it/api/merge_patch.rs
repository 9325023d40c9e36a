//! RFC 7396, appendix A: the vectors whose target is an object, as session data always is.

use integration_tests::{Stack, Value, json};

use super::refused_fields;

fn vectors() -> [(Value, Value, Value); 15] {
    [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        (json!({"a": "b"}), json!({}), json!({"a": "b"})),
        (json!({"a": 1}), json!({"a": {"b": null, "c": 2}}), json!({"a": {"c": 2}})),
        (json!({"a": {"b": 1}}), json!({"a": null, "c": {"d": [null]}}), json!({"c": {"d": [null]}})),
        (json!({"a": [1, 2]}), json!({"a": []}), json!({"a": []})),
        (json!({"a": {"b": {"c": 1, "d": 2}}}), json!({"a": {"b": {"c": null}}}), json!({"a": {"b": {"d": 2}}})),
    ]
}

#[tokio::test]
async fn patches_merge_as_the_rfc_says() {
    let stack = Stack::builder().with_environments(1).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    for (target, patch, expected) in vectors() {
        let body = json!({ "data": patch });
        let put = stack.app.put(id, "*", json!({ "data": target })).await.expect(200);
        let patched = stack.app.patch(id, put.header("etag"), body.clone()).await.expect(200);
        assert_eq!(patched.json()["data"], expected, "{target} {patch}");
        assert_eq!(stack.app.get(id).await.json()["data"], expected, "{target} {patch}");
        // The result is the same from data the environment has seen before.
        stack.app.patch(id, put.header("etag"), body.clone()).await.expect_problem(412, "version_mismatch");
        let again = stack.app.patch(id, patched.header("etag"), body).await.expect(200);
        assert_eq!(again.json()["data"], expected, "a merge patch is idempotent: {target} {patch}");
    }
}

#[tokio::test]
async fn a_patch_that_is_no_object_is_refused() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    for patch in [json!(["c"]), json!(null), json!("bar"), json!(1)] {
        let refused = stack.app.patch(&session.session_id, "\"1\"", json!({ "data": patch })).await;
        assert_eq!(refused_fields(&refused), ["data"], "{patch}");
    }
}
