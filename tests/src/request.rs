//! Builder of one HTTP request to the API.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::gateway::{Gateway, GatewayRequest};
use crate::response::Response;
use crate::response_rules;

/// Address a request comes from unless it says otherwise.
pub const DEFAULT_SOURCE_IP: &str = "203.0.113.10";

/// User agent of a request unless it says otherwise.
pub const DEFAULT_USER_AGENT: &str = "integration-tests/1.0";

/// A request under construction.
#[must_use = "a request does nothing until it is sent"]
#[derive(Clone)]
pub struct Request {
    gateway: Arc<Gateway>,
    message: GatewayRequest,
    environment: Option<usize>,
    timeout: Option<Duration>,
    checked: bool,
}

impl Request {
    /// A request without a credential.
    pub fn new(gateway: &Arc<Gateway>, method: &str, path: &str) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            message: GatewayRequest {
                method: method.to_owned(),
                path: path.to_owned(),
                headers: Vec::new(),
                body: Vec::new(),
                source_ip: DEFAULT_SOURCE_IP.to_owned(),
                user_agent: DEFAULT_USER_AGENT.to_owned(),
            },
            environment: None,
            timeout: None,
            checked: true,
        }
    }

    /// `Authorization: Bearer`. Replaces an earlier credential.
    pub fn bearer(self, token: &str) -> Self {
        self.anonymous().header("authorization", &format!("Bearer {token}"))
    }

    /// `Authorization: Basic`. Replaces an earlier credential.
    pub fn basic(self, user: &str, password: &str) -> Self {
        let credential = STANDARD.encode(format!("{user}:{password}"));
        self.anonymous().header("authorization", &format!("Basic {credential}"))
    }

    /// `Authorization: DPoP` with a proof beside it. Replaces an earlier credential.
    pub fn dpop(self, token: &str, proof: &str) -> Self {
        self.anonymous().header("authorization", &format!("DPoP {token}")).proof(proof)
    }

    /// A proof of possession.
    pub fn proof(self, proof: &str) -> Self {
        self.header("dpop", proof)
    }

    /// Without any credential.
    pub fn anonymous(mut self) -> Self {
        self.message.headers.retain(|(name, _)| name != "authorization");
        self
    }

    /// Adds a header; a second one of the same name is sent as well.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.message.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// A JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().as_bytes())
    }

    /// A form body.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = serde_urlencoded::to_string(fields).expect("text fields");
        self.body("application/x-www-form-urlencoded", body.as_bytes())
    }

    /// Any body, with its content type. An empty type sends none.
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.message.headers.retain(|(name, _)| name != "content-type");
        self.message.body = body.to_vec();
        match content_type {
            "" => self,
            _ => self.header("content-type", content_type),
        }
    }

    /// Address of the client, as API Gateway sees it.
    pub fn source_ip(mut self, address: &str) -> Self {
        self.message.source_ip = address.to_owned();
        self
    }

    /// User agent of the client.
    pub fn user_agent(mut self, user_agent: &str) -> Self {
        self.message.user_agent = user_agent.to_owned();
        self
    }

    /// Serves the request in the environment of the function with this index.
    pub fn on_environment(mut self, index: usize) -> Self {
        self.environment = Some(index);
        self
    }

    /// Time the function has, its deadline.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Without the check of [`response_rules`].
    pub fn unchecked(mut self) -> Self {
        self.checked = false;
        self
    }

    /// Sends the request.
    pub async fn send(self) -> Response {
        let response = self.gateway.send(&self.message, self.environment, self.timeout).await;
        if self.checked {
            response_rules::check(&self.message.method, &self.message.path, &response);
        }
        response
    }
}
