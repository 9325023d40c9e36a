//! The series of anchors as the database knows it: which was the last, and whether the audit still goes on from there.

use super::classify;
use crate::core::audit_anchor::{Anchor, Head};
use crate::error::{Dependency, Error, Result};
use tokio_postgres::{Client, GenericClient, Transaction};

/// Anchors of a series that are kept here.
const KEPT: i64 = 100;

/// A series under the lock of one transaction: of two writers the second waits, and goes on from where the first got to.
pub struct Series<'a> {
    transaction: Transaction<'a>,
    series: &'a str,
}

impl<'a> Series<'a> {
    /// Locks the series. Whoever only reads is not held up.
    pub async fn lock(client: &'a mut Client, series: &'a str) -> Result<Series<'a>> {
        let transaction = client.transaction().await.map_err(|error| classify(&error))?;
        transaction
            .batch_execute("SET LOCAL lock_timeout = '20s'; LOCK TABLE audit_anchors IN EXCLUSIVE MODE")
            .await
            .map_err(|error| classify(&error))?;
        Ok(Series { transaction, series })
    }

    /// The last anchor, as stored.
    pub async fn last(&self) -> Result<Option<String>> {
        let query = "SELECT document FROM audit_anchors WHERE series = $1 ORDER BY number DESC LIMIT 1";
        let row = self.transaction.query_opt(query, &[&self.series]).await.map_err(|error| classify(&error))?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Where the chains end.
    pub async fn heads(&self) -> Result<Vec<Head>> {
        heads(&self.transaction).await
    }

    /// The first chain that does not go on from these heads: the row that an anchor vouched for is another one, or gone.
    pub async fn contradicted(&self, heads: &[Head]) -> Result<Option<i16>> {
        let groups: Vec<i16> = (0..).take(heads.len()).collect();
        let sequences: Vec<i64> = heads.iter().map(|head| head.sequence).collect();
        let hashes: Vec<&[u8]> = heads.iter().map(|head| head.hash.as_slice()).collect();
        let query = "SELECT was.chain_group FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) \
             AS was(chain_group, sequence, hash) WHERE was.sequence > 0 AND NOT EXISTS (SELECT FROM audit_events AS row \
             WHERE row.chain_group = was.chain_group AND row.sequence = was.sequence AND row.hash = was.hash) \
             AND NOT EXISTS (SELECT FROM audit_chain_anchors AS run WHERE run.chain_group = was.chain_group \
             AND was.sequence BETWEEN run.first_sequence AND run.last_sequence \
             AND (was.sequence < run.last_sequence OR run.last_hash = was.hash)) ORDER BY 1 LIMIT 1";
        let row = self.transaction.query_opt(query, &[&groups, &sequences, &hashes]).await;
        Ok(row.map_err(|error| classify(&error))?.map(|row| row.get(0)))
    }

    /// Remembers an anchor as the last one, and commits.
    pub async fn commit(self, anchor: &Anchor) -> Result<()> {
        let number = i64::try_from(anchor.statement.number).unwrap_or(i64::MAX);
        self.transaction
            .execute(
                "INSERT INTO audit_anchors (series, number, document) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                &[&self.series, &number, &anchor.encode()],
            )
            .await
            .map_err(|error| classify(&error))?;
        let (kept, query) = (number - KEPT, "DELETE FROM audit_anchors WHERE series = $1 AND number <= $2");
        self.transaction.execute(query, &[&self.series, &kept]).await.map_err(|error| classify(&error))?;
        self.transaction.commit().await.map_err(|error| classify(&error))
    }
}

/// Number of the last anchor, as the database has it: where to look, not what to believe.
pub async fn last_number(client: &impl GenericClient, series: &str) -> Result<u64> {
    let query = "SELECT max(number) FROM audit_anchors WHERE series = $1";
    let row = client.query_one(query, &[&series]).await.map_err(|error| classify(&error))?;
    Ok(row.get::<_, Option<i64>>(0).and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
}

/// Where each chain ends, by what the database says.
pub async fn heads(client: &impl GenericClient) -> Result<Vec<Head>> {
    // A chain whose head is missing counts as empty; the others keep their places.
    let query = "SELECT coalesce(sequence, 0), coalesce(hash, decode(repeat('00', 32), 'hex')) \
         FROM generate_series(0, 63) AS number LEFT JOIN audit_chain_heads ON chain_group = number ORDER BY number";
    let rows = client.query(query, &[]).await.map_err(|error| classify(&error))?;
    let head = |row: &tokio_postgres::Row| {
        let hash: [u8; 32] = row.get::<_, Vec<u8>>(1).try_into().ok()?;
        Some(Head { sequence: row.get(0), hash })
    };
    let heads: Option<Vec<Head>> = rows.iter().map(head).collect();
    heads.ok_or_else(|| Error::unavailable(Dependency::Postgres, "unreadable chain head"))
}
