//! Verifying the audit: every chain is recomputed from its rows and held to the last anchor outside the database, for as
//! long as a call may take; the answer says where to go on.

use super::anchors::{Anchors, Last};
use super::authenticate::application;
use super::inbound::Inbound;
use super::runtime::Service;
use crate::adapters::postgres::anchors::heads;
use crate::adapters::postgres::audit_chain::ChainReader;
use crate::adapters::postgres::retention::anything_removed;
use crate::adapters::postgres::{classify, connect};
use crate::clock;
use crate::config::{AwsConfig, PostgresConfig};
use crate::core::application::Scope;
use crate::core::audit_anchor::{Anchor, CHAINS, Head};
use crate::core::audit_verify::{Bad, Kind, Walk, beginning};
use crate::core::crypto;
use crate::core::retention::StackRetention;
use crate::core::time::Timestamp;
use crate::error::Result;
use serde::Serialize;
use tokio_postgres::GenericClient;

/// First byte of a cursor.
const CURSOR_VERSION: u8 = 1;

/// What a function that verifies the audit holds.
pub struct AuditVerifier {
    /// Callers and rates.
    pub service: Service,
    /// PostgreSQL: one connection per call, since it holds a snapshot that must end with the call.
    pub database: PostgresConfig,
    /// Credentials for IAM authentication.
    pub aws: AwsConfig,
    /// The series of anchors.
    pub anchors: Anchors,
    /// How long the stack keeps what.
    pub retention: StackRetention,
}

/// How far a verification came, and what it found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    intact: bool,
    complete: bool,
    checked_events: u64,
    checked_chains: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bad: Option<BadView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<AnchorView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The first bad place. Place 0 is that of no event: then it is the anchor itself that is bad.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BadView {
    chain: i16,
    sequence: i64,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
}

/// The anchor that the chains were held to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnchorView {
    number: u64,
    signed_at: String,
    root: String,
    events: u64,
}

/// Where a verification goes on: a chain, and a place in it with the hash that was computed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    chain: i16,
    after: Head,
}

impl Progress {
    /// Reads a cursor.
    pub fn decode(cursor: &str) -> Option<Self> {
        let bytes: [u8; 42] = crypto::decode(cursor)?;
        let sequence = i64::from_be_bytes(bytes[2..10].try_into().ok()?);
        let hash: [u8; 32] = bytes[10..].try_into().ok()?;
        let sound = bytes[0] == CURSOR_VERSION
            && usize::from(bytes[1]) < CHAINS
            && (sequence > 0 || sequence == 0 && hash == beginning().hash);
        sound.then(|| Progress { chain: i16::from(bytes[1]), after: Head { sequence, hash } })
    }

    /// The cursor.
    pub fn encode(self) -> String {
        let mut bytes = vec![CURSOR_VERSION, u8::try_from(self.chain).unwrap_or(0)];
        bytes.extend(self.after.sequence.to_be_bytes());
        bytes.extend(self.after.hash);
        crypto::encode(&bytes)
    }

    /// The chain it is in.
    pub fn chain(&self) -> i16 {
        self.chain
    }
}

/// Verifies one chain or all, from where `progress` says, until `until`.
pub async fn verify_audit(
    verifier: &AuditVerifier,
    inbound: &Inbound,
    chain: Option<i16>,
    progress: Option<Progress>,
    until: Timestamp,
) -> Result<Verification> {
    let caller = application(&verifier.service, inbound, Scope::AuditRead).await?;
    let client = connect(&verifier.database, Some(&verifier.aws), clock::now()).await?;
    // The anchor first: what it vouches for is in every later snapshot of the database.
    let (anchor, bad_anchor) = match Box::pin(verifier.anchors.last(&client)).await? {
        Last::None => (None, false),
        Last::Good(anchor) => (Some(*anchor), false),
        Last::Bad(number) => {
            tracing::error!(number, "the last anchor of the audit is no anchor of this stack");
            (None, true)
        }
    };
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    client.batch_execute(begin).await.map_err(|error| classify(&error))?;
    // Anchors tell how old what is gone must have been.
    let aged = match &anchor {
        Some(last) if anything_removed(&client).await? => {
            let latest = last.signed_at().map_or(clock::now(), |signed_at| signed_at.max(clock::now()));
            verifier.anchors.last_before(verifier.retention.floor(latest), last).await?
        }
        _ => None,
    };
    let mut run = Run { events: 0, chains: 0, until };
    let first = progress.map_or(chain.unwrap_or(0), |progress| progress.chain);
    let chains = i16::try_from(CHAINS).unwrap_or(i16::MAX);
    let last = chain.unwrap_or(chains - 1);
    let walked = run
        .walk(&client, first, last, progress.map(|progress| progress.after), [anchor.as_ref(), aged.as_ref()])
        .await?;
    let mut first_bad =
        bad_anchor.then_some(BadView { chain: 0, sequence: 0, kind: Kind::AnchorMismatch, event_id: None });
    let mut next = None;
    match walked {
        Walked::Whole => {}
        Walked::Until(progress) => next = Some(progress.encode()),
        Walked::Bad(bad) => {
            tracing::error!(
                chain = bad.chain,
                sequence = bad.sequence,
                kind = bad.kind.as_str(),
                "the audit is not intact"
            );
            // Events of other applications have no name here.
            let own = bad.row.filter(|row| row.event.application_id == caller.application_id);
            let event_id = own.map(|row| row.event.event_id);
            first_bad.get_or_insert(BadView { chain: bad.chain, sequence: bad.sequence, kind: bad.kind, event_id });
        }
    }
    Ok(Verification {
        intact: first_bad.is_none(),
        complete: next.is_none(),
        checked_events: run.events,
        checked_chains: run.chains,
        first_bad,
        anchor: anchor.map(|anchor| AnchorView {
            number: anchor.statement.number,
            signed_at: anchor.statement.signed_at,
            root: anchor.statement.root,
            events: anchor.statement.events,
        }),
        next,
    })
}

enum Walked {
    Whole,
    Until(Progress),
    Bad(Box<Bad>),
}

struct Run {
    events: u64,
    chains: u64,
    until: Timestamp,
}

impl Run {
    async fn walk(
        &mut self,
        client: &impl GenericClient,
        first: i16,
        last: i16,
        mut after: Option<Head>,
        [anchor, aged]: [Option<&Anchor>; 2],
    ) -> Result<Walked> {
        let heads = heads(client).await?;
        for (chain, place) in (first..=last).zip(usize::try_from(first).unwrap_or(0)..) {
            let head = heads.get(place).copied().unwrap_or(beginning());
            let [anchored, removable] =
                [anchor, aged].map(|anchor| anchor.and_then(|anchor| anchor.heads.get(place)).copied());
            let removable = removable.map_or(0, |head| head.sequence);
            let start = after.take().unwrap_or(beginning());
            let mut walk = Walk::new(chain, start, head, anchored.into_iter().collect(), removable);
            let mut reader = ChainReader::open(client, chain, start.sequence).await?;
            let mut links: u64 = 0;
            let found = loop {
                let Some(link) = reader.next(client).await? else { break None };
                let found = walk.feed(link);
                if found.is_some() {
                    break found;
                }
                links += 1;
                // Now and then; a call that has begun to read brings the walk forward.
                if links.is_multiple_of(256) && !walk.is_suspicious() && clock::now() >= self.until {
                    self.events += walk.checked;
                    return Ok(Walked::Until(Progress { chain, after: walk.position() }));
                }
            };
            self.events += walk.checked;
            if let Some(bad) = found.or_else(|| walk.finish()) {
                return Ok(Walked::Bad(Box::new(bad)));
            }
            self.chains += 1;
            if chain < last && clock::now() >= self.until {
                return Ok(Walked::Until(Progress { chain: chain + 1, after: beginning() }));
            }
        }
        Ok(Walked::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_strictly() {
        let progress = Progress { chain: 63, after: Head { sequence: 9, hash: [7; 32] } };
        assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        let fresh = Progress { chain: 1, after: beginning() };
        assert_eq!(Progress::decode(&fresh.encode()), Some(fresh));
        for (chain, sequence) in [(64, 9), (3, -1), (3, 0)] {
            let wrong = Progress { chain, after: Head { sequence, hash: [7; 32] } };
            assert_eq!(Progress::decode(&wrong.encode()), None);
        }
        assert_eq!((Progress::decode(""), Progress::decode("AAAA")), (None, None));
    }
}
