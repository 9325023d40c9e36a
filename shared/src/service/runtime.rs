//! What a function holds for the life of its environment, built once in init.

use super::applications::ApplicationCache;
use super::caches::{OpenedData, VerifiedTokens};
use super::key_store::KeyStore;
use super::performance;
use super::rate::Limiter;
use super::refusals;
use super::state::State;
use crate::adapters::aws::Aws;
use crate::adapters::dynamodb::applications::Applications;
use crate::adapters::dynamodb::devices::Devices;
use crate::adapters::dynamodb::keys::Keys;
use crate::adapters::dynamodb::revocations::Revocations;
use crate::adapters::dynamodb::users::Users;
use crate::adapters::geo::Places;
use crate::adapters::kms::Kms;
use crate::adapters::redis::connection::Connector;
use crate::adapters::redis::scripts::Operation;
use crate::config::{
    AwsConfig, ConfigError, Environment, GeoConfig, RedisConfig, Tables, kms_key_id, origin_digest, public_url,
    stack_name,
};
use crate::core::audit::{self, Actor};
use crate::core::crypto;
use crate::core::keyring::Purpose;
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::random;
use std::sync::Arc;

/// The service as request functions use it.
pub struct Service {
    /// `iss` of access tokens.
    pub issuer: String,
    /// Application records.
    pub applications: ApplicationCache,
    /// Keys.
    pub keys: Arc<KeyStore>,
    /// Session state.
    pub state: Arc<State>,
    /// The revocation ledger.
    pub ledger: Revocations,
    /// User epochs and states.
    pub users: Users,
    /// Devices.
    pub devices: Devices,
    /// Verified access tokens.
    pub verified: VerifiedTokens,
    /// Opened session data.
    pub opened: OpenedData,
    /// Places of addresses.
    pub places: Places,
    /// Leases and misses.
    pub limiter: Limiter,
}

impl Service {
    /// Builds the clients a function needs; `purposes` are the rings its policy lets it unwrap.
    pub fn from_environment(purposes: &[Purpose]) -> std::result::Result<Self, ConfigError> {
        let source = &Environment;
        let aws_config = AwsConfig::from(source)?;
        let home = Connector::new(RedisConfig::from(source)?, Some(aws_config.clone()));
        let target = RedisConfig::move_to(source)?.map(|target| Connector::new(target, Some(aws_config.clone())));
        let tables = Tables::from(source);
        origin_digest(source)?;
        let aws = Aws::new(aws_config);
        let dynamodb = aws.dynamodb();
        let kms = match purposes {
            [] => None,
            _ => Some(Kms::new(aws.kms(), kms_key_id(source)?, stack_name(source)?)),
        };
        let ledger = Revocations::new(dynamodb.clone(), tables.revocations);
        let state = Arc::new(State::new(home, target, Some(ledger.clone())));
        performance::measure(state.clone());
        let keys = Arc::new(KeyStore::new(Keys::new(dynamodb.clone(), tables.keys), kms));
        refusals::watch(state.clone(), keys.clone());
        Ok(Service {
            issuer: public_url(source)?,
            applications: ApplicationCache::new(Applications::new(dynamodb.clone(), tables.applications)),
            keys,
            state,
            ledger,
            users: Users::new(dynamodb.clone(), tables.users),
            devices: Devices::new(dynamodb, tables.devices),
            verified: VerifiedTokens::default(),
            opened: OpenedData::default(),
            places: Places::new(GeoConfig::from(source)?)?,
            limiter: Limiter::default(),
        })
    }

    /// Connects and unwraps at once, while init still has the burst of CPU. A dependency that is away does not stop
    /// the environment: the first request tries again and answers for it.
    pub async fn warm_up(&self, purposes: &[Purpose]) {
        let (connection, keys) = tokio::join!(self.state.warm_up(), self.keys.warm_up(purposes));
        for error in [connection.err(), keys.err()].into_iter().flatten() {
            tracing::warn!(%error, "not ready at start");
        }
    }
}

/// A new operation of an actor.
pub fn operation(actor: &Actor, request_id: &str, now: Timestamp) -> Result<Operation> {
    let id: [u8; 16] = random::bytes()?;
    let mut mark = [0; 8];
    mark.copy_from_slice(&id[..8]);
    Ok(Operation { event_id: crypto::encode(&id), mark, common: audit::common(actor, request_id, now) })
}
