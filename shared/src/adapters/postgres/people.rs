//! What PostgreSQL keeps of one person: sealed audit fields and activities.

use super::{Database, classify};
use crate::error::Result;
use tokio_postgres::Client;

/// Whether activities are kept here: their table comes with a migration of its own.
async fn has_activities(client: &Client) -> Result<bool> {
    let row = client.query_one("SELECT to_regclass('activity') IS NOT NULL", &[]).await;
    Ok(row.map_err(|error| classify(&error))?.get(0))
}

async fn count(client: &Client, statement: &str, subject: &str) -> Result<u64> {
    let row = client.query_one(statement, &[&subject]).await.map_err(|error| classify(&error))?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

/// Audit events of a subject with personal fields, and its activities.
pub async fn held(database: &Database, subject: &str) -> Result<(u64, u64)> {
    let client = database.client().await?;
    let sealed = "SELECT count(*) FROM audit_events WHERE subject = $1 AND sealed IS NOT NULL";
    let activities = match has_activities(&client).await? {
        true => count(&client, "SELECT count(*) FROM activity WHERE subject = $1", subject).await?,
        false => 0,
    };
    Ok((count(&client, sealed, subject).await?, activities))
}

/// Waits until no drainer holds the chain: one that read events before they were made nameless has then sealed what it
/// read, under the key that is about to go.
pub async fn wait_for_drainers(database: &Database, chain_group: i16) -> Result<()> {
    let client = database.client().await?;
    let lock = "SELECT sequence FROM audit_chain_heads WHERE chain_group = $1 FOR SHARE";
    client.query(lock, &[&chain_group]).await.map(drop).map_err(|error| classify(&error))
}

/// Deletes the activities of a subject.
pub async fn delete_activities(database: &Database, subject: &str) -> Result<()> {
    let client = database.client().await?;
    if has_activities(&client).await? {
        let delete = "DELETE FROM activity WHERE subject = $1";
        client.execute(delete, &[&subject]).await.map_err(|error| classify(&error))?;
    }
    Ok(())
}
