//! The chains of a database, in one snapshot of it.

use crate::Outcome;
use crate::anchors::Anchored;
use shared::adapters::postgres::anchors::heads;
use shared::adapters::postgres::audit_chain::ChainReader;
use shared::adapters::postgres::connect;
use shared::clock;
use shared::config::{Environment, PostgresConfig};

/// Walks along every chain.
pub async fn walk(anchored: &Anchored) -> Result<Outcome, String> {
    let config = PostgresConfig::from(&Environment).map_err(|error| error.to_string())?;
    let client = connect(&config, None, clock::now()).await.map_err(|error| error.to_string())?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    client.batch_execute(begin).await.map_err(|error| error.to_string())?;
    let heads = heads(&client).await.map_err(|error| error.to_string())?;
    let mut events = 0;
    for (chain, head) in (0..).zip(heads) {
        let mut walk = anchored.walk(chain, head);
        let mut reader = ChainReader::open(&client, chain, 0).await.map_err(|error| error.to_string())?;
        let mut bad = None;
        while bad.is_none() {
            let Some(link) = reader.next(&client).await.map_err(|error| error.to_string())? else { break };
            bad = walk.feed(link);
        }
        events += walk.checked;
        let bad = bad.or_else(|| walk.finish());
        if bad.is_some() {
            return Ok(Outcome { events, bad });
        }
    }
    Ok(Outcome { events, bad: None })
}
