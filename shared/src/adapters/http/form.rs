//! OAuth form bodies (RFC 7662 §2.1, RFC 7009 §2.1).

use super::fields::{Checks, ClientBody};
use super::request::{FORM, Incoming};
use crate::core::context::ClientContext;
use crate::error::{Error, Result};
use crate::limits::FORM_BYTES_MAX;
use crate::service::authenticate::Credential;
use crate::service::inbound::Inbound;

/// A token with the request that brought it.
pub struct TokenForm {
    /// The token in question.
    pub token: String,
    /// The request; its credential is from `Authorization`, or from the form (`client_secret_post`).
    pub inbound: Inbound,
    pairs: Vec<(String, String)>,
}

impl TokenForm {
    /// The client that presented the token, as the application states it for introspection: `client_ip`,
    /// `client_user_agent`, `client_accept_language` and `client_fingerprint`.
    pub fn client(&self) -> Result<Option<ClientContext>> {
        let client = ClientBody {
            ip: single(&self.pairs, "client_ip")?,
            user_agent: single(&self.pairs, "client_user_agent")?,
            fingerprint: single(&self.pairs, "client_fingerprint")?,
            accept_language: single(&self.pairs, "client_accept_language")?,
        };
        let stated = client.ip.is_some() || client.user_agent.is_some() || client.fingerprint.is_some();
        let mut checks = Checks::default();
        let client = checks.client(Some(client));
        checks.done()?;
        Ok(stated.then_some(client))
    }
}

/// A parameter that may stand once.
fn single(pairs: &[(String, String)], name: &str) -> Result<Option<String>> {
    let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Error::field(name, "must be stated once")),
    }
}

/// Reads the form. Each parameter may stand once; `token_type_hint` is read and not needed, since tokens say what
/// they are; other parameters are ignored as the RFCs demand.
pub fn token_form(incoming: &Incoming) -> Result<TokenForm> {
    let body = incoming.body(FORM, FORM_BYTES_MAX)?;
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(body).map_err(|_| Error::field("body", "must be a form"))?;
    let single = |name: &str| single(&pairs, name);
    single("token_type_hint")?;
    let token = single("token")?.filter(|token| !token.is_empty());
    let credential = match (incoming.credential()?, single("client_id")?, single("client_secret")?) {
        (Some(_), _, Some(_)) => {
            return Err(Error::field("client_secret", "does not go with Authorization (RFC 6749, section 2.3)"));
        }
        (Some(credential), _, None) => Some(credential),
        (None, Some(user), Some(password)) => Some(Credential::Basic { user, password }),
        (None, _, _) => None,
    };
    let token = token.ok_or_else(|| Error::field("token", "is required"))?;
    Ok(TokenForm { token, inbound: Inbound { credential, ..incoming.inbound()? }, pairs })
}
