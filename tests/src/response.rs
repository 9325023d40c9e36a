//! An HTTP response as the caller of the API sees it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::InvokeError;

/// An HTTP response.
#[derive(Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// `Set-Cookie` values.
    pub cookies: Vec<String>,
    /// Body.
    pub body: Vec<u8>,
    /// The function that answered; `None` when API Gateway itself did.
    pub function: Option<String>,
    /// Why the function gave no answer, when API Gateway had to stand in for it.
    pub failure: Option<InvokeError>,
}

impl Response {
    /// A response of API Gateway itself.
    pub fn of_gateway(status: u16, message: &str) -> Self {
        Self {
            status,
            headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
            cookies: Vec::new(),
            body: serde_json::json!({ "message": message }).to_string().into_bytes(),
            function: None,
            failure: None,
        }
    }

    /// What API Gateway makes of the result of an invocation.
    pub fn of_invocation(function: &str, result: Result<Value, InvokeError>) -> Self {
        match result {
            Ok(document) => Self::of_document(function, &document),
            Err(error) => {
                let mut response = match error {
                    InvokeError::TimedOut => Self::of_gateway(503, "Service Unavailable"),
                    _ => Self::of_gateway(500, "Internal Server Error"),
                };
                response.failure = Some(error);
                response
            }
        }
    }

    fn of_document(function: &str, document: &Value) -> Self {
        let Some(status) = document["statusCode"].as_u64() else {
            // Format 2.0 takes any other document as the body of a success.
            let mut inferred = Self::of_gateway(200, "");
            inferred.body = document.to_string().into_bytes();
            inferred.function = Some(function.to_owned());
            return inferred;
        };
        let text = document["body"].as_str().unwrap_or_default();
        let body = match document["isBase64Encoded"].as_bool() {
            Some(true) => STANDARD.decode(text).expect("a base64 body"),
            _ => text.as_bytes().to_vec(),
        };
        // `multiValueHeaders` belongs to format 1.0 and is ignored.
        let headers = document["headers"].as_object().into_iter().flatten();
        let cookies = document["cookies"].as_array().into_iter().flatten();
        Self {
            status: status.try_into().expect("a status code"),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), scalar(value))).collect(),
            cookies: cookies.map(scalar).collect(),
            body,
            function: Some(function.to_owned()),
            failure: None,
        }
    }

    /// A header, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(&name.to_ascii_lowercase()).map_or("", String::as_str)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Panics, showing the response, when it is something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The `code` of a problem document, empty for anything else.
    pub fn code(&self) -> String {
        if self.status < 400 {
            return String::new();
        }
        let document: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        document["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts the status, showing the whole response when it differs, and hands the response on.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Asserts the status and the problem code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self:?}");
        self
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} {:?} {}", self.status, self.headers, self.text())?;
        match &self.failure {
            Some(failure) => write!(f, " ({failure})"),
            None => Ok(()),
        }
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
