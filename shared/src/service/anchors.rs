//! Anchoring the audit: after the rows are committed, where the chains end is signed and stored outside the database.
//!
//! An anchor is made only when every chain still goes on from the one before, so the last one vouches for all of them:
//! whoever rewrites or cuts rows in the database can not have it signed, and the run that is asked to says so.

use crate::adapters::anchors::{AnchorStore, Put};
use crate::adapters::kms::Signer;
use crate::adapters::postgres::anchors::{Series, last_number};
use crate::clock;
use crate::core::audit_anchor::{Anchor, Draft, Head};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, GenericClient};

/// Writes and reads a series of anchors.
pub struct Anchors {
    store: AnchorStore,
    signer: Signer,
    series: String,
    stack: String,
    point: OnceCell<[u8; 65]>,
}

impl Anchors {
    /// A series, signed for a stack.
    pub fn new(store: AnchorStore, signer: Signer, series: String, stack: String) -> Self {
        Anchors { store, signer, series, stack, point: OnceCell::new() }
    }

    /// Anchors the chains where they end now; `None` when the last anchor says so already.
    pub async fn anchor(&self, database: &mut Client) -> Result<Option<u64>> {
        let made = self.make(database).await;
        match &made {
            Ok(Some(number)) => tracing::info!(number, "audit anchored"),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the audit could not be anchored; the next run tries again"),
        }
        made
    }

    async fn make(&self, database: &mut Client) -> Result<Option<u64>> {
        let series = Series::lock(database, &self.series).await?;
        let heads = series.heads().await?;
        let mut last = match series.last().await? {
            Some(document) => Some(self.read(document.as_bytes()).await?.ok_or_else(|| forged(0))?),
            None => None,
        };
        if last.as_ref().is_some_and(|last| last.heads == heads) {
            return Ok(None);
        }
        // Twice at most: a run that died, or a database that was put back, left anchors that it does not know.
        for _ in 0..2 {
            self.goes_on(&series, last.as_ref(), &heads).await?;
            let draft = Draft::new(&self.stack, last.as_ref(), heads.clone(), clock::now());
            let draft = draft.ok_or_else(|| refused("the audit has not as many chains as it should"))?;
            let signature = self.signer.sign(draft.text.as_bytes()).await?;
            let anchor = draft.signed(signature);
            let number = anchor.statement.number;
            if self.store.put(number, &anchor.encode()).await? == Put::Stored {
                series.commit(&anchor).await?;
                return Ok(Some(number));
            }
            let found = match self.outermost(number).await? {
                Last::Good(found) => *found,
                Last::Bad(number) => return Err(forged(number)),
                Last::None => return Err(refused("an anchor is there and can not be found")),
            };
            if found.heads == heads {
                series.commit(&found).await?;
                return Ok(None);
            }
            last = Some(found);
        }
        Err(refused("somebody else writes anchors of this series"))
    }

    /// Whether the chains go on from the last anchor.
    async fn goes_on(&self, series: &Series<'_>, last: Option<&Anchor>, heads: &[Head]) -> Result<()> {
        let Some(last) = last else { return Ok(()) };
        let shorter = heads.iter().zip(&last.heads).position(|(head, before)| head.sequence < before.sequence);
        let bad = match shorter {
            Some(chain) => i16::try_from(chain).ok(),
            None => series.contradicted(&last.heads).await?,
        };
        match bad {
            None => Ok(()),
            Some(chain) => {
                let number = last.statement.number;
                Err(refused(format!("chain {chain} does not go on from anchor {number}: verify the audit")))
            }
        }
    }

    /// The last anchor outside the database.
    pub async fn last(&self, database: &impl GenericClient) -> Result<Last> {
        self.outermost(last_number(database, &self.series).await?).await
    }

    /// The last anchor that was signed at an instant or before, up to `last`: looked for by halves, as numbers and times
    /// rise together.
    pub async fn last_before(&self, at: Timestamp, last: &Anchor) -> Result<Option<Anchor>> {
        if last.signed_at().is_some_and(|signed_at| signed_at <= at) {
            return Ok(Some(last.clone()));
        }
        let (mut low, mut high, mut found) = (1, last.statement.number, None);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(bytes) = self.store.get(middle).await? else {
                // The oldest are let go after years.
                low = middle + 1;
                continue;
            };
            let anchor = self.read(&bytes).await?.filter(|anchor| anchor.statement.number == middle);
            match anchor.filter(|anchor| anchor.signed_at().is_some_and(|signed_at| signed_at <= at)) {
                Some(anchor) => (low, found) = (middle + 1, Some(anchor)),
                None => high = middle,
            }
        }
        Ok(found)
    }

    async fn outermost(&self, hint: u64) -> Result<Last> {
        let Some(number) = self.store.last(hint).await? else { return Ok(Last::None) };
        let Some(bytes) = self.store.get(number).await? else { return Ok(Last::None) };
        let anchor = self.read(&bytes).await?.filter(|anchor| anchor.statement.number == number);
        Ok(anchor.map_or(Last::Bad(number), |anchor| Last::Good(Box::new(anchor))))
    }

    /// An anchor, if the key of this stack signed it.
    async fn read(&self, document: &[u8]) -> Result<Option<Anchor>> {
        let point = self.point.get_or_try_init(|| self.signer.public_point()).await?;
        Ok(Anchor::decode(document).filter(|anchor| anchor.holds(&[*point], Some(&self.stack))))
    }
}

/// What stands outermost in a series.
pub enum Last {
    /// Nothing yet.
    None,
    /// Something with this number that is no anchor of this stack.
    Bad(u64),
    /// The last anchor.
    Good(Box<Anchor>),
}

fn refused(detail: impl std::fmt::Display) -> Error {
    Error::unavailable(Dependency::Anchors, detail)
}

/// 0 is the copy in the database.
fn forged(number: u64) -> Error {
    refused(format!("the signature of anchor {number} does not hold: verify the audit"))
}
