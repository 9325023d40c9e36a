//! Rotating the key rings; the first run makes them.

use crate::adapters::dynamodb::keys::{Keys, WrappedRing};
use crate::adapters::kms::Kms;
use crate::core::crypto::SecretKey;
use crate::core::keyring::{KeyUse, PlannedKey, Purpose, Ring, RingKey};
use crate::core::metrics::{Measure, Measured};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::random;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::Serialize;
use zeroize::Zeroizing;

/// What a run did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// Per ring, how many keys came and went.
    pub rings: Vec<RotatedRing>,
}

impl Measured for Rotated {
    fn measures(&self) -> Vec<Measure> {
        let sum = |count: fn(&RotatedRing) -> usize| self.rings.iter().map(count).sum::<usize>() as u64;
        vec![
            Measure::count("KeysAdded", sum(|ring| ring.added)),
            Measure::count("KeysRemoved", sum(|ring| ring.removed)),
        ]
    }
}

/// One ring of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotatedRing {
    /// Which ring.
    pub purpose: Purpose,
    /// Keys made.
    pub added: usize,
    /// Keys dropped.
    pub removed: usize,
}

/// Brings every ring up to date. Two runs at once: one writes, the other finds nothing to do.
pub async fn rotate_keys(keys: &Keys, kms: &Kms, now: Timestamp) -> Result<Rotated> {
    if keys.routing_key().await?.is_none() {
        // A lost race means that another run has just made it.
        keys.save_routing_key(&SecretKey::new(random::bytes()?)).await?;
    }
    let mut rings = Vec::new();
    for purpose in Purpose::ALL {
        let (added, removed) = rotate_ring(keys, kms, purpose, now).await?;
        rings.push(RotatedRing { purpose, added, removed });
    }
    Ok(Rotated { rings })
}

async fn rotate_ring(keys: &Keys, kms: &Kms, purpose: Purpose, now: Timestamp) -> Result<(usize, usize)> {
    let stored = keys.load(purpose).await?;
    let version = stored.as_ref().map_or(0, |stored| stored.version);
    let mut ring = match stored {
        Some(stored) => kms.unwrap_ring(purpose, stored.wrapped).await?,
        None => Ring::default(),
    };
    let plan = ring.plan_rotation(purpose, now);
    if plan.is_empty() {
        return Ok((0, 0));
    }
    ring.keys.retain(|key| !plan.remove.contains(&key.id));
    for planned in &plan.add {
        ring.keys.push(make(planned)?);
    }
    let wrapped = kms.wrap_ring(purpose, &ring).await?;
    let saved =
        keys.save(purpose, &WrappedRing { wrapped, public: ring.verifying_keys(), version: version + 1 }).await?;
    Ok(if saved { (plan.add.len(), plan.remove.len()) } else { (0, 0) })
}

fn make(planned: &PlannedKey) -> Result<RingKey> {
    let secret = match planned.key_use {
        KeyUse::Sign => {
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| Error::Internal("key generation failed".into()))?;
            Zeroizing::new(document.as_ref().to_vec())
        }
        KeyUse::Mac | KeyUse::Seal | KeyUse::SealDocument | KeyUse::SealAudit | KeyUse::Pseudonym => {
            Zeroizing::new(random::bytes::<32>()?.to_vec())
        }
    };
    Ok(RingKey::new(planned.id, planned.key_use, planned.activates_at, &secret))
}
