//! An application of a stack: a backend with its key.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::request::Request;
use crate::response::Response;
use crate::routes::percent_encode;

/// Calls the API as one application.
#[derive(Clone)]
pub struct Application {
    /// `applicationId`.
    pub id: String,
    /// `sk_…`, the bearer credential.
    pub key: String,
    /// The record `manage-applications` returned.
    pub record: Value,
    gateway: Arc<Gateway>,
}

/// What the holder of a new session has in hand.
#[derive(Clone, Debug)]
pub struct SessionTokens {
    /// `ses_…`
    pub session_id: String,
    /// The access JWT.
    pub access_token: String,
    /// `rt_…`
    pub refresh_token: String,
    /// Entity tag, quotes included, for `If-Match`.
    pub etag: String,
    /// The whole body of the response.
    pub document: Value,
}

impl SessionTokens {
    /// Reads a 201 of `POST /sessions`.
    #[track_caller]
    pub fn from_created(response: &Response) -> Self {
        assert_eq!(response.status, 201, "{response:?}");
        let document = response.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            session_id: text(&document["session"]["sessionId"]),
            access_token: text(&document["accessToken"]),
            refresh_token: text(&document["refreshToken"]),
            etag: response.header("etag").to_owned(),
            document,
        }
    }
}

impl Application {
    pub(crate) fn new(gateway: &Arc<Gateway>, created: &Value) -> Self {
        let record = created["application"].clone();
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not an application: {created}")).to_owned();
        Self {
            id: text(&record["applicationId"]),
            key: text(&created["applicationKey"]),
            record,
            gateway: Arc::clone(gateway),
        }
    }

    /// Any request, with the key of the application as its credential.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.gateway, method, path).bearer(&self.key)
    }

    /// `POST /sessions`
    pub async fn create_session(&self, body: Value) -> Response {
        self.request("POST", "/sessions").json(&body).send().await
    }

    /// A new session of `user_id` without further attributes. Panics unless it is created.
    pub async fn start_session(&self, user_id: &str) -> SessionTokens {
        SessionTokens::from_created(&self.create_session(json!({ "userId": user_id })).await)
    }

    /// `GET /sessions/{sessionId}`
    pub async fn get(&self, session_id: &str) -> Response {
        self.request("GET", &session_path(session_id)).send().await
    }

    /// `PUT /sessions/{sessionId}`. An empty `if_match` sends no header.
    pub async fn put(&self, session_id: &str, if_match: &str, body: Value) -> Response {
        let request = self.request("PUT", &session_path(session_id)).json(&body);
        conditional(request, if_match).send().await
    }

    /// `PATCH /sessions/{sessionId}` with a merge patch. An empty `if_match` sends no header.
    pub async fn patch(&self, session_id: &str, if_match: &str, patch: Value) -> Response {
        let request = self.request("PATCH", &session_path(session_id));
        let request = request.body("application/merge-patch+json", patch.to_string().as_bytes());
        conditional(request, if_match).send().await
    }

    /// `DELETE /sessions/{sessionId}`
    pub async fn delete(&self, session_id: &str) -> Response {
        self.request("DELETE", &session_path(session_id)).send().await
    }

    /// `POST /sessions/{sessionId}/refresh`
    pub async fn refresh(&self, session_id: &str, refresh_token: &str) -> Response {
        let path = format!("{}/refresh", session_path(session_id));
        self.request("POST", &path).json(&json!({ "refreshToken": refresh_token })).send().await
    }

    /// `GET /sessions/user/{userId}`
    pub async fn list(&self, user_id: &str) -> Response {
        self.request("GET", &user_path(user_id)).send().await
    }

    /// `DELETE /sessions/user/{userId}`
    pub async fn delete_user_sessions(&self, user_id: &str) -> Response {
        self.request("DELETE", &user_path(user_id)).send().await
    }

    /// `POST /introspect`
    pub async fn introspect(&self, token: &str) -> Response {
        self.request("POST", "/introspect").form(&[("token", token)]).send().await
    }

    /// `POST /revoke`
    pub async fn revoke(&self, token: &str) -> Response {
        self.request("POST", "/revoke").form(&[("token", token)]).send().await
    }
}

fn session_path(session_id: &str) -> String {
    format!("/sessions/{}", percent_encode(session_id))
}

fn user_path(user_id: &str) -> String {
    format!("/sessions/user/{}", percent_encode(user_id))
}

fn conditional(request: Request, if_match: &str) -> Request {
    match if_match {
        "" => request,
        tag => request.header("if-match", tag),
    }
}
