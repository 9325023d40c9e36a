//! Forward-only migrations, embedded, applied by `migrate-database` under an advisory lock.

use super::classify;
use crate::core::metrics::{Measure, Measured};
use crate::error::{Dependency, Error, Result};
use tokio_postgres::Client;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Any number that nothing else locks.
const LOCK: i64 = 0x5e55_1075;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Migrated {
    /// Names of the migrations applied by this run.
    pub applied: Vec<String>,
    /// The schema's version after it.
    pub version: u32,
}

impl Measured for Migrated {
    fn measures(&self) -> Vec<Measure> {
        vec![Measure::count("Applied", self.applied.len() as u64)]
    }
}

/// Applies what is missing. Two runs at once take turns; the second finds nothing to do.
pub async fn migrate(client: &mut Client) -> Result<Migrated> {
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(|error| classify(&error))?;
    let runner = embedded::migrations::runner();
    let version = runner.get_migrations().iter().map(|migration| migration.version()).max().unwrap_or(0);
    let outcome = runner.run_async(client).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await.map_err(|error| classify(&error))?;
    let report = outcome.map_err(|error| Error::unavailable(Dependency::Postgres, error))?;
    let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
    Ok(Migrated { applied, version: u32::try_from(version).unwrap_or(0) })
}
