//! Alerts and what their rules look at: one evaluation at a time, under the lock of one row.

use super::classify;
use crate::core::alerts::{Alert, Change, Minute, Rule, watched};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use tokio_postgres::{Client, GenericClient, Row, Transaction};

/// Columns of an [`Alert`], in the order of [`read`].
const ALERT: &str = "alert_id, rule, application_id, started_at, breached_at, resolved_at, value, threshold";

/// The predicate of the index `audit_events_watched`, word for word, or PostgreSQL would not use it.
pub const WATCHED: &str = "(event_type IN ('refresh.replayed', 'security.probing', 'session.binding_refused', \
     'session.key_refused', 'session.risk_raised', 'share.refused') \
     OR (event_type = 'session.ended' AND reason = 'evicted'))";

/// An evaluation under its lock.
pub struct Evaluation<'a> {
    transaction: Transaction<'a>,
    /// Until when the last evaluation had seen every event.
    pub since: Timestamp,
}

/// An alert that has to be told of.
#[derive(Debug, Clone)]
pub struct Untold {
    /// The alert.
    pub alert: Alert,
    /// That it fired has not been handed over.
    pub fired: bool,
    /// That it is over has not been handed over.
    pub resolved: bool,
}

impl<'a> Evaluation<'a> {
    /// Waits for an evaluation that is under way: what it decided is then open here.
    pub async fn begin(client: &'a mut Client) -> Result<Self> {
        let transaction = client.transaction().await.map_err(|error| classify(&error))?;
        let row = transaction
            .query_one("SELECT through FROM alerts_progress FOR UPDATE", &[])
            .await
            .map_err(|error| classify(&error))?;
        Ok(Evaluation { transaction, since: timestamp(&row, 0) })
    }

    /// Alerts that fire.
    pub async fn open(&self) -> Result<Vec<Alert>> {
        let query = format!("SELECT {ALERT} FROM alerts WHERE state = 'firing'");
        let rows = self.transaction.query(&query, &[]).await.map_err(|error| classify(&error))?;
        rows.iter().map(read).collect()
    }

    /// Events that rules count, queued at `from` or later, by rule, application and minute.
    pub async fn events(&self, from: Timestamp) -> Result<BTreeMap<(Rule, String), Vec<Minute>>> {
        let query = format!(
            "SELECT event_type, reason, application_id, floor(extract(epoch FROM queued_at) / 60)::bigint AS minute, count(*) \
             FROM audit_events WHERE queued_at >= $1 AND {WATCHED} GROUP BY 1, 2, 3, 4"
        );
        let rows = self.transaction.query(&query, &[&from.to_offset_date_time()]).await;
        let mut counted: BTreeMap<(Rule, String), BTreeMap<i64, u64>> = BTreeMap::new();
        for row in rows.map_err(|error| classify(&error))? {
            let count = u64::try_from(row.get::<_, i64>(4)).unwrap_or(0);
            for rule in watched(row.get(0), row.get(1)) {
                let minutes = counted.entry((rule, row.get(2))).or_default();
                *minutes.entry(row.get(3)).or_default() += count;
            }
        }
        let minutes = |by_number: BTreeMap<i64, u64>| {
            by_number.into_iter().map(|(number, count)| Minute { number, count }).collect()
        };
        Ok(counted.into_iter().map(|(scope, by_number)| (scope, minutes(by_number))).collect())
    }

    /// Until when every event of every chain is in the audit; `None` when no drainer has told yet.
    pub async fn written_through(&self) -> Result<Option<Timestamp>> {
        let row = self.transaction.query_one("SELECT min(through) FROM audit_written_through", &[]).await;
        let row = row.map_err(|error| classify(&error))?;
        Ok(row.get::<_, Option<OffsetDateTime>>(0).map(from_offset))
    }

    /// Writes what changed, forgets what was over before `forgotten`, and commits.
    pub async fn finish(self, changes: &[Change], through: Timestamp, forgotten: Timestamp) -> Result<()> {
        for change in changes {
            self.write(change).await?;
        }
        let (through, forgotten) = (through.to_offset_date_time(), forgotten.to_offset_date_time());
        let run = async {
            self.transaction.execute("UPDATE alerts_progress SET through = $1", &[&through]).await?;
            let forget = "DELETE FROM alerts WHERE state = 'resolved' AND told_resolved AND resolved_at < $1";
            self.transaction.execute(forget, &[&forgotten]).await?;
            self.transaction.commit().await
        };
        run.await.map_err(|error| classify(&error))
    }

    async fn write(&self, change: &Change) -> Result<()> {
        let (Change::Fired(alert) | Change::Continued(alert) | Change::Resolved(alert)) = change;
        let state = state_of(alert);
        let (rule, severity) = (alert.rule.as_str(), alert.rule.severity().as_str());
        let (started_at, breached_at) =
            (alert.started_at.to_offset_date_time(), alert.breached_at.to_offset_date_time());
        let resolved_at = alert.resolved_at.map(Timestamp::to_offset_date_time);
        let summary = alert.rule.summary(alert.value, alert.threshold);
        self.transaction
            .execute(
                "INSERT INTO alerts (alert_id, rule, application_id, severity, state, started_at, breached_at, \
                 resolved_at, value, threshold, summary) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                 ON CONFLICT (alert_id) DO UPDATE SET state = $5, breached_at = $7, resolved_at = $8, value = $9, summary = $11",
                &[
                    &alert.alert_id,
                    &rule,
                    &alert.application_id,
                    &severity,
                    &state,
                    &started_at,
                    &breached_at,
                    &resolved_at,
                    &alert.value,
                    &alert.threshold,
                    &summary,
                ],
            )
            .await
            .map_err(|error| classify(&error))?;
        Ok(())
    }
}

/// The word for whether an alert is over.
pub fn state_of(alert: &Alert) -> &'static str {
    match alert.resolved_at {
        None => "firing",
        Some(_) => "resolved",
    }
}

/// Alerts whose firing or end has not been handed over, the oldest first.
pub async fn untold(client: &impl GenericClient) -> Result<Vec<Untold>> {
    let query = format!(
        "SELECT {ALERT}, told_fired, told_resolved FROM alerts \
         WHERE NOT told_fired OR (state = 'resolved' AND NOT told_resolved) ORDER BY started_at"
    );
    let rows = client.query(&query, &[]).await.map_err(|error| classify(&error))?;
    let untold = |row: &Row| {
        let alert = read(row)?;
        let resolved = alert.resolved_at.is_some() && !row.get::<_, bool>(9);
        Ok(Untold { alert, fired: !row.get::<_, bool>(8), resolved })
    };
    rows.iter().map(untold).collect()
}

/// What has been handed over is not handed over again.
pub async fn told(client: &impl GenericClient, untold: &Untold) -> Result<()> {
    let update = "UPDATE alerts SET told_fired = true, told_resolved = told_resolved OR $2 WHERE alert_id = $1";
    let done = client.execute(update, &[&untold.alert.alert_id, &untold.resolved]).await;
    done.map(drop).map_err(|error| classify(&error))
}

/// Alerts of an application, and those about the service as a whole that are no application's events, which fired at
/// some time from `from` until before `to`; the newest first.
pub async fn recent(
    client: &impl GenericClient,
    application_id: &str,
    from: Timestamp,
    to: Timestamp,
    limit: i64,
) -> Result<Vec<Alert>> {
    let query = format!(
        "SELECT {ALERT} FROM alerts \
         WHERE (application_id = $1 OR (application_id = '' AND rule IN ('audit_lag', 'error_rate'))) \
         AND started_at < $3 AND (resolved_at IS NULL OR resolved_at >= $2) \
         ORDER BY started_at DESC, alert_id LIMIT $4"
    );
    let (from, to) = (from.to_offset_date_time(), to.to_offset_date_time());
    let rows = client.query(&query, &[&application_id, &from, &to, &limit]).await.map_err(|error| classify(&error))?;
    rows.iter().map(read).collect()
}

/// Notes until when all events of chains are in the audit. It never goes back.
pub async fn write_through(client: &Client, chains: &[(i16, Timestamp)]) -> Result<()> {
    if chains.is_empty() {
        return Ok(());
    }
    let groups: Vec<i16> = chains.iter().map(|(group, _)| *group).collect();
    let instants: Vec<OffsetDateTime> = chains.iter().map(|(_, at)| at.to_offset_date_time()).collect();
    let upsert = "INSERT INTO audit_written_through (chain_group, through) SELECT * FROM unnest($1::smallint[], $2::timestamptz[]) \
         ON CONFLICT (chain_group) DO UPDATE SET through = greatest(audit_written_through.through, excluded.through)";
    client.execute(upsert, &[&groups, &instants]).await.map(drop).map_err(|error| classify(&error))
}

fn read(row: &Row) -> Result<Alert> {
    let word: &str = row.get(1);
    let rule = Rule::parse(word).ok_or_else(|| Error::Internal(format!("an alert of the unknown rule {word}")))?;
    Ok(Alert {
        alert_id: row.get(0),
        rule,
        application_id: row.get(2),
        started_at: timestamp(row, 3),
        breached_at: timestamp(row, 4),
        resolved_at: row.get::<_, Option<OffsetDateTime>>(5).map(from_offset),
        value: row.get(6),
        threshold: row.get(7),
    })
}

fn timestamp(row: &Row, column: usize) -> Timestamp {
    from_offset(row.get(column))
}

fn from_offset(instant: OffsetDateTime) -> Timestamp {
    Timestamp::from_millis(i64::try_from(instant.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::alerts::WATCHED_EVENTS;

    /// Migration, query and rules name the same events.
    #[test]
    fn the_index_holds_what_rules_count() {
        let migration = include_str!("../../../migrations/V7__alerts.sql");
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let predicate = squeezed(WATCHED);
        let predicate = predicate.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).expect("parentheses");
        assert!(squeezed(migration).contains(&format!("WHERE {predicate};")), "{predicate}");
        for (event_type, reason) in WATCHED_EVENTS {
            let wanted = match reason {
                "" => format!("'{event_type}'"),
                reason => format!("event_type = '{event_type}' AND reason = '{reason}'"),
            };
            assert!(predicate.contains(&wanted), "{wanted}");
        }
        assert_eq!(predicate.matches('\'').count() / 2, WATCHED_EVENTS.len() + 1, "the reason and no other event");
    }
}
