//! KMS wraps key rings and nothing else. The encryption context is purpose and stack, so a ring can not be unwrapped
//! as another one, and the policies of functions name the purposes they may unwrap.

use crate::core::keyring::{Purpose, Ring};
use crate::error::{Dependency, Error, Result};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::DisplayErrorContext;
use aws_sdk_kms::primitives::Blob;
use zeroize::Zeroizing;

/// Wraps and unwraps rings of one stack.
#[derive(Clone)]
pub struct Kms {
    client: Client,
    key_id: String,
    stack: String,
}

impl Kms {
    /// `key_id` is an ARN in deployments: an alias could be re-pointed.
    pub fn new(client: Client, key_id: String, stack: String) -> Self {
        Kms { client, key_id, stack }
    }

    /// Opens a wrapped ring.
    pub async fn unwrap_ring(&self, purpose: Purpose, wrapped: Vec<u8>) -> Result<Ring> {
        let output = self
            .client
            .decrypt()
            .key_id(&self.key_id)
            .ciphertext_blob(Blob::new(wrapped))
            .encryption_context("purpose", purpose.as_str())
            .encryption_context("stack", &self.stack)
            .send()
            .await
            .map_err(|error| Error::unavailable(Dependency::Kms, DisplayErrorContext(&error)))?;
        let plaintext = output.plaintext.ok_or_else(|| Error::unavailable(Dependency::Kms, "empty answer"))?;
        let plaintext = Zeroizing::new(plaintext.into_inner());
        serde_json::from_slice(&plaintext).map_err(|_| Error::unavailable(Dependency::Kms, "unreadable key ring"))
    }

    /// Wraps a ring; KMS takes 4 KiB.
    pub async fn wrap_ring(&self, purpose: Purpose, ring: &Ring) -> Result<Vec<u8>> {
        let plaintext = serde_json::to_vec(ring).map_err(|_| Error::Internal("key ring does not serialise".into()))?;
        let output = self
            .client
            .encrypt()
            .key_id(&self.key_id)
            .plaintext(Blob::new(plaintext))
            .encryption_context("purpose", purpose.as_str())
            .encryption_context("stack", &self.stack)
            .send()
            .await
            .map_err(|error| Error::unavailable(Dependency::Kms, DisplayErrorContext(&error)))?;
        let wrapped = output.ciphertext_blob.ok_or_else(|| Error::unavailable(Dependency::Kms, "empty answer"))?;
        Ok(wrapped.into_inner())
    }
}
