//! KMS wraps key rings and signs anchors of the audit, nothing else. The encryption context is purpose and stack, so a ring can not be unwrapped
//! as another one, and the policies of functions name the purposes they may unwrap.

use crate::core::audit_anchor::point_of_spki;
use crate::core::keyring::{Purpose, Ring};
use crate::error::{Dependency, Error, Result};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::DisplayErrorContext;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
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

/// Signs with an asymmetric key whose private half never leaves KMS.
#[derive(Clone)]
pub struct Signer {
    client: Client,
    key_id: String,
}

impl Signer {
    /// `key_id` is an ARN in deployments.
    pub fn new(client: Client, key_id: String) -> Self {
        Signer { client, key_id }
    }

    /// An ECDSA signature over P-256 and SHA-256, in DER. The message is hashed by KMS, so it may have 4096 bytes.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let output = self
            .client
            .sign()
            .key_id(&self.key_id)
            .message(Blob::new(message))
            .message_type(MessageType::Raw)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send()
            .await
            .map_err(|error| Error::unavailable(Dependency::Kms, DisplayErrorContext(&error)))?;
        let signature = output.signature.ok_or_else(|| Error::unavailable(Dependency::Kms, "empty answer"))?;
        Ok(signature.into_inner())
    }

    /// The public point of the key.
    pub async fn public_point(&self) -> Result<[u8; 65]> {
        let output = self
            .client
            .get_public_key()
            .key_id(&self.key_id)
            .send()
            .await
            .map_err(|error| Error::unavailable(Dependency::Kms, DisplayErrorContext(&error)))?;
        let point = output.public_key.as_ref().and_then(|der| point_of_spki(der.as_ref()));
        point.ok_or_else(|| Error::unavailable(Dependency::Kms, "the key that signs anchors is not of P-256"))
    }
}
