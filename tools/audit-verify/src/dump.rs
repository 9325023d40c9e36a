//! The chains of a dump: the lines of the view `audit_dump`, read one by one.

use crate::Outcome;
use crate::anchors::Anchored;
use serde::Deserialize;
use shared::core::audit::{AuditEvent, Times};
use shared::core::audit_anchor::{CHAINS, Head, unhex};
use shared::core::audit_verify::{Bad, Dropped, Link, Row, Walk, beginning};
use shared::core::time::Timestamp;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

#[derive(Deserialize)]
struct Line {
    chain: i16,
    head: Option<HeadLine>,
    dropped: Option<DroppedLine>,
    row: Option<RowLine>,
}

#[derive(Deserialize)]
struct HeadLine {
    sequence: i64,
    hash: String,
}

#[derive(Deserialize)]
struct DroppedLine {
    first: i64,
    previous: String,
    last: i64,
    hash: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowLine {
    sequence: i64,
    event_id: String,
    #[serde(rename = "type")]
    event_type: String,
    application_id: String,
    subject: String,
    session_id: String,
    actor: String,
    reason: String,
    request_id: String,
    detail: Option<String>,
    sealed: Option<String>,
    hash: String,
    occurred_at: i64,
    queued_at: i64,
    recorded_at: i64,
}

/// Walks along every chain of a file.
pub fn walk(file: &Path, anchored: &Anchored) -> Result<Outcome, String> {
    let told = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
    let lines = BufReader::new(File::open(file).map_err(|error| told(&error))?).lines();
    let mut chains = Chains { anchored, walk: None, next: 0, events: 0 };
    for (number, line) in (1..).zip(lines) {
        let line: Line = serde_json::from_str(&line.map_err(|error| told(&error))?)
            .map_err(|error| told(&format!("line {number}: {error}")))?;
        if let Some(bad) = chains.take(line).map_err(|problem| told(&format!("line {number}: {problem}")))? {
            return Ok(Outcome { events: chains.events, bad: Some(bad) });
        }
    }
    let chains_max = i16::try_from(CHAINS).unwrap_or(i16::MAX);
    let bad = chains.until(chains_max);
    Ok(Outcome { events: chains.events, bad })
}

struct Chains<'a> {
    anchored: &'a Anchored,
    walk: Option<(i16, Walk, i64)>,
    /// The chain that comes next.
    next: i16,
    events: u64,
}

impl Chains<'_> {
    fn take(&mut self, line: Line) -> Result<Option<Bad>, &'static str> {
        if self.walk.as_ref().is_none_or(|(chain, ..)| *chain != line.chain) {
            if line.chain < self.next {
                return Err("not sorted by chain, place and event");
            }
            // A chain that the file leaves out has no rows.
            if let Some(bad) = self.until(line.chain) {
                return Ok(Some(bad));
            }
            let head =
                line.head.as_ref().and_then(|head| Some(Head { sequence: head.sequence, hash: unhex(&head.hash)? }));
            let walk = self.anchored.walk(line.chain, head.unwrap_or(beginning()));
            self.walk = Some((line.chain, walk, 0));
            self.next = line.chain + 1;
        }
        let Some((_, walk, place)) = &mut self.walk else { return Ok(None) };
        let link = match (line.dropped, line.row) {
            (Some(run), _) => {
                let bytes = |text: &str| unhex::<32>(text).map(Vec::from).unwrap_or_default();
                let (previous, hash) = (bytes(&run.previous), bytes(&run.hash));
                Link::Dropped(Dropped { first: run.first, previous, last: run.last, hash })
            }
            (None, Some(row)) => Link::Row(Box::new(read(row)?)),
            (None, None) => return Ok(None),
        };
        let own = match &link {
            Link::Row(row) => row.sequence,
            Link::Dropped(run) => run.first,
        };
        if own < *place {
            return Err("not sorted by chain, place and event");
        }
        *place = own;
        let before = walk.checked;
        let bad = walk.feed(link);
        self.events += walk.checked - before;
        Ok(bad)
    }

    /// Ends the chain that is being read, and every one up to this.
    fn until(&mut self, chain: i16) -> Option<Bad> {
        if let Some((_, walk, _)) = self.walk.take()
            && let Some(bad) = walk.finish()
        {
            return Some(bad);
        }
        let empty = |chain: i16| self.anchored.walk(chain, beginning()).finish();
        (self.next..chain).find_map(empty)
    }
}

fn read(row: RowLine) -> Result<Row, &'static str> {
    let sealed = match &row.sealed {
        None => Vec::new(),
        Some(text) => bytes(text).ok_or("sealed is no hexadecimal")?,
    };
    let empty = row.detail.as_ref().is_some_and(String::is_empty) || row.sealed.as_ref().is_some_and(String::is_empty);
    let millis = |micros: i64| (Timestamp::from_millis(micros.div_euclid(1000)), micros.rem_euclid(1000) == 0);
    let [(occurred_at, a), (queued_at, b), (recorded_at, c)] =
        [row.occurred_at, row.queued_at, row.recorded_at].map(millis);
    Ok(Row {
        sequence: row.sequence,
        event: AuditEvent {
            event_id: row.event_id,
            occurred_at,
            event_type: row.event_type,
            application_id: row.application_id,
            subject: row.subject,
            session_id: row.session_id,
            actor: row.actor,
            reason: row.reason,
            request_id: row.request_id,
            detail: row.detail.unwrap_or_default(),
            sealed,
        },
        times: (b && c).then_some(Times { queued_at, recorded_at }),
        hash: bytes(&row.hash).unwrap_or_default(),
        exact: a && !empty,
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    pairs.collect()
}
