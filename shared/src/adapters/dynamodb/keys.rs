//! The `keys` table: one item per key ring, wrapped by KMS, plus the routing key.
//!
//! The item of the `token` ring also carries the public keys in clear, so that JWKS and token verification need no
//! KMS. The routing key only hides from outsiders which session handles belong together; it is kept in clear so that
//! ending a session never waits for KMS.

use super::{Item, classify, get_batch, n, number, s, text, unreadable};
use crate::core::access_token::VerifyingKey;
use crate::core::crypto::{self, SecretKey};
use crate::core::keyring::Purpose;
use crate::error::Result;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

const ROUTING: &str = "routing";

/// The table.
#[derive(Clone)]
pub struct Keys {
    client: Client,
    table: String,
}

/// A ring as it is stored.
#[derive(Debug, Clone)]
pub struct WrappedRing {
    /// The ring under KMS.
    pub wrapped: Vec<u8>,
    /// The public keys, for the `token` ring.
    pub public: Vec<VerifyingKey>,
    /// Rises with every rotation; guards concurrent ones.
    pub version: u64,
}

impl Keys {
    /// Opens the table.
    pub fn new(client: Client, table: String) -> Self {
        Keys { client, table }
    }

    /// Loads a ring, strongly consistent; `None` before the first rotation.
    pub async fn load(&self, purpose: Purpose) -> Result<Option<WrappedRing>> {
        self.get(purpose.as_str()).await?.map(|item| self.ring(&item)).transpose()
    }

    /// Loads rings and the routing key by one request, strongly consistent; what is not there yet is left out.
    pub async fn load_with_routing(
        &self,
        purposes: &[Purpose],
    ) -> Result<(HashMap<Purpose, WrappedRing>, Option<SecretKey>)> {
        let names = purposes.iter().map(|purpose| purpose.as_str()).chain([ROUTING]);
        let keys = names.map(|name| Item::from([("purpose".to_owned(), s(name))])).collect();
        let (mut rings, mut routing) = (HashMap::new(), None);
        for item in get_batch(&self.client, &self.table, keys).await? {
            let name = text(&item, "purpose").ok_or_else(|| unreadable(&self.table))?;
            match purposes.iter().find(|purpose| purpose.as_str() == name) {
                Some(purpose) => drop(rings.insert(*purpose, self.ring(&item)?)),
                None => routing = Some(self.routing(&item)?),
            }
        }
        Ok((rings, routing))
    }

    fn ring(&self, item: &Item) -> Result<WrappedRing> {
        let ring = || {
            let wrapped = item.get("wrapped")?.as_b().ok()?.clone().into_inner();
            let public = match text(item, "public") {
                Some(public) => serde_json::from_str(public).ok()?,
                None => Vec::new(),
            };
            Some(WrappedRing { wrapped, public, version: number(item, "version")? })
        };
        ring().ok_or_else(|| unreadable(&self.table))
    }

    fn routing(&self, item: &Item) -> Result<SecretKey> {
        let key = text(item, "key").and_then(crypto::decode).map(SecretKey::new);
        key.ok_or_else(|| unreadable(&self.table))
    }

    /// Stores a ring if the stored version is the one before (or none for the first). `false` when it is not.
    pub async fn save(&self, purpose: Purpose, ring: &WrappedRing) -> Result<bool> {
        let public = serde_json::to_string(&ring.public).unwrap_or_default();
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("purpose", s(purpose.as_str()))
            .item("wrapped", AttributeValue::B(Blob::new(ring.wrapped.clone())))
            .item("public", s(public))
            .item("version", n(ring.version));
        let put = match ring.version {
            0 | 1 => put.condition_expression("attribute_not_exists(purpose)"),
            version => {
                put.condition_expression("version = :before").expression_attribute_values(":before", n(version - 1))
            }
        };
        self.outcome(put.send().await)
    }

    /// The routing key; `None` before the first rotation.
    pub async fn routing_key(&self) -> Result<Option<SecretKey>> {
        self.get(ROUTING).await?.map(|item| self.routing(&item)).transpose()
    }

    /// Stores the routing key once; `false` when there is one already.
    pub async fn save_routing_key(&self, key: &SecretKey) -> Result<bool> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("purpose", s(ROUTING))
            .item("key", s(crypto::encode(key.expose())))
            .condition_expression("attribute_not_exists(purpose)");
        self.outcome(put.send().await)
    }

    async fn get(&self, purpose: &str) -> Result<Option<Item>> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("purpose", s(purpose))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(output.item)
    }

    fn outcome<T, R: std::fmt::Debug + Send + Sync + 'static>(
        &self,
        outcome: std::result::Result<
            T,
            aws_sdk_dynamodb::error::SdkError<aws_sdk_dynamodb::operation::put_item::PutItemError, R>,
        >,
    ) -> Result<bool> {
        match outcome {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(classify(&error)),
        }
    }
}
