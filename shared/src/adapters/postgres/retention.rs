//! Removing what an application no longer keeps, a bounded step at a time, and counting it beforehand.

use super::classify;
use crate::clock;
use crate::core::retention::{Cut, DataClass};
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::limits::RETENTION_BATCH;
use tokio_postgres::Client;

/// Tables of roll-ups.
const ROLLUPS: [&str; 3] = ["rollup_counts", "rollup_distinct", "rollup_spreads"];

/// What a cut came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Rows that went.
    pub rows: u64,
    /// Whether the time ran out first.
    pub more: bool,
}

/// How many rows a cut would remove.
pub async fn count(client: &Client, application_id: &str, cut: Cut) -> Result<u64> {
    let before = cut.before.to_offset_date_time();
    let statement =
        |table: &str, time: &str| format!("SELECT count(*) FROM {table} WHERE application_id = $1 AND {time} < $2");
    let statements: Vec<String> = match cut.class {
        DataClass::Audit => vec![statement("audit_events", "queued_at")],
        DataClass::Activity => vec![statement("activity", "queued_at")],
        DataClass::Reports => ROLLUPS.map(|table| statement(table, "starts_at")).into(),
    };
    let mut rows = 0;
    for statement in statements {
        let row = client.query_one(&statement, &[&application_id, &before]).await.map_err(|error| classify(&error))?;
        rows += number(row.get(0));
    }
    Ok(rows)
}

/// Removes what a cut removes, until nothing is left or `until` has come.
pub async fn remove(client: &Client, application_id: &str, cut: Cut, until: Timestamp) -> Result<Removed> {
    let steps: Vec<Step> = match cut.class {
        DataClass::Audit => {
            let query =
                "SELECT DISTINCT chain_group FROM audit_events WHERE application_id = $1 AND queued_at < $2 ORDER BY 1";
            let chains = client.query(query, &[&application_id, &cut.before.to_offset_date_time()]).await;
            let chains = chains.map_err(|error| classify(&error))?;
            chains.iter().map(|row| Step::Chain(row.get(0))).collect()
        }
        DataClass::Activity => vec![Step::Table("activity", "activity_id, queued_at", "queued_at")],
        DataClass::Reports => {
            ROLLUPS.map(|table| Step::Table(table, "application_id, metric, grain, starts_at, key", "starts_at")).into()
        }
    };
    let mut removed = Removed::default();
    for step in steps {
        loop {
            if clock::now() >= until {
                return Ok(Removed { more: true, ..removed });
            }
            let rows = step.take(client, application_id, cut.before).await?;
            removed.rows += rows;
            if rows < number(RETENTION_BATCH) {
                break;
            }
        }
    }
    Ok(removed)
}

/// Where rows go from.
enum Step {
    /// A chain of the audit, which has to verify without them.
    Chain(i16),
    /// A table, its primary key, and the column of time.
    Table(&'static str, &'static str, &'static str),
}

impl Step {
    /// Removes a batch; the number of rows says whether there may be more.
    async fn take(&self, client: &Client, application_id: &str, before: Timestamp) -> Result<u64> {
        let before = before.to_offset_date_time();
        match self {
            Step::Chain(chain) => {
                let forget = "SELECT audit_forget($1, $2, $3, $4)";
                let row = client.query_one(forget, &[&application_id, &before, chain, &RETENTION_BATCH]).await;
                Ok(number(row.map_err(|error| classify(&error))?.get(0)))
            }
            Step::Table(table, key, time) => {
                let delete = format!(
                    "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} \
                     WHERE application_id = $1 AND {time} < $2 LIMIT $3)"
                );
                let rows = client.execute(&delete, &[&application_id, &before, &RETENTION_BATCH]).await;
                rows.map_err(|error| classify(&error))
            }
        }
    }
}

/// Joins what stands for dropped months to what stands for the removed rows beside them.
pub async fn join_runs(client: &Client) -> Result<()> {
    let join = "SELECT audit_join_runs(number::smallint) FROM generate_series(0, 63) AS number";
    client.query(join, &[]).await.map(drop).map_err(|error| classify(&error))
}

/// Whether anything of the audit was ever removed.
pub async fn anything_removed(client: &impl tokio_postgres::GenericClient) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT FROM audit_chain_anchors)";
    let row = client.query_one(query, &[]).await.map_err(|error| classify(&error))?;
    Ok(row.get(0))
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
