//! OAuth form bodies (RFC 6749 §6, RFC 7662 §2.1, RFC 7009 §2.1).

use super::fields::{Checks, ClientBody};
use super::request::{FORM, Incoming};
use crate::core::context::ClientContext;
use crate::error::{Error, Result};
use crate::limits::FORM_BYTES_MAX;
use crate::service::authenticate::Credential;
use crate::service::inbound::Inbound;
use crate::service::token::GrantRequest;

/// A token with the request that brought it.
pub struct TokenForm {
    /// The token in question.
    pub token: String,
    /// The request; its credential is from `Authorization`, or from the form (`client_secret_post`).
    pub inbound: Inbound,
    form: Form,
}

impl TokenForm {
    /// The client that presented the token, as the application states it for introspection: `client_ip`,
    /// `client_user_agent`, `client_accept_language` and `client_fingerprint`.
    pub fn client(&self) -> Result<Option<ClientContext>> {
        let client = ClientBody {
            ip: self.form.single("client_ip")?,
            user_agent: self.form.single("client_user_agent")?,
            fingerprint: self.form.single("client_fingerprint")?,
            accept_language: self.form.single("client_accept_language")?,
        };
        let stated = client.ip.is_some() || client.user_agent.is_some() || client.fingerprint.is_some();
        let mut checks = Checks::default();
        let client = checks.client(Some(client));
        checks.done()?;
        Ok(stated.then_some(client))
    }
}

/// Reads the form of introspection and revocation. `token_type_hint` is read and not needed, since tokens say what
/// they are.
pub fn token_form(incoming: &Incoming) -> Result<TokenForm> {
    let form = Form::read(incoming)?;
    form.single("token_type_hint")?;
    let token = form.single("token")?.filter(|token| !token.is_empty());
    let credential = form.credential(incoming)?;
    let token = token.ok_or_else(|| Error::field("token", "is required"))?;
    Ok(TokenForm { token, inbound: Inbound { credential, ..incoming.inbound()? }, form })
}

/// A request of the token endpoint, with the request that brought it.
pub struct GrantForm {
    /// The grant.
    pub request: GrantRequest,
    /// The request; its credential as in [`TokenForm`].
    pub inbound: Inbound,
}

/// Reads the form of the token endpoint.
pub fn grant_form(incoming: &Incoming) -> Result<GrantForm> {
    let form = Form::read(incoming)?;
    let required = |name: &str| {
        let value = form.single(name)?.filter(|value| !value.is_empty());
        value.ok_or_else(|| Error::field(name, "is required"))
    };
    if required("grant_type")? != "refresh_token" {
        return Err(Error::UnsupportedGrantType);
    }
    let refresh_token = required("refresh_token")?;
    let credential = form.credential(incoming)?;
    let client_id = form.single("client_id")?;
    Ok(GrantForm {
        request: GrantRequest { refresh_token, client_id },
        inbound: Inbound { credential, ..incoming.inbound()? },
    })
}

/// A form. Each parameter may stand once; parameters that nobody asks for are ignored, as the RFCs demand.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(incoming: &Incoming) -> Result<Self> {
        let body = incoming.body(FORM, FORM_BYTES_MAX)?;
        serde_urlencoded::from_bytes(body).map(Form).map_err(|_| Error::field("body", "must be a form"))
    }

    fn single(&self, name: &str) -> Result<Option<String>> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Error::field(name, "must be stated once")),
        }
    }

    /// The client's credential (RFC 6749 §2.3.1), in one place only.
    fn credential(&self, incoming: &Incoming) -> Result<Option<Credential>> {
        match (incoming.credential()?, self.single("client_id")?, self.single("client_secret")?) {
            (Some(_), _, Some(_)) => {
                Err(Error::field("client_secret", "does not go with Authorization (RFC 6749, section 2.3)"))
            }
            (Some(credential), _, None) => Ok(Some(credential)),
            (None, Some(user), Some(password)) => Ok(Some(Credential::Basic { user, password })),
            (None, _, _) => Ok(None),
        }
    }
}
