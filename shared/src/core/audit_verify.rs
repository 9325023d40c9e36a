//! Finding the first place at which a chain of the audit is not what was written. A state machine that is fed with the
//! links of one chain in the order of their places, and remembers as much as a few rows.
//!
//! A hash that does not fit says that something is wrong, not what. The rows behind are looked at for a while to say
//! it: the row that belongs there may stand further on.

use super::audit::{AuditEvent, GENESIS, Times};
use super::audit_anchor::Head;

/// Rows behind a bad place that are looked at to tell what happened there.
const LOOK_AHEAD: u32 = 256;

/// A row of the audit at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place.
    pub sequence: i64,
    /// What it tells.
    pub event: AuditEvent,
    /// When it came; `None` when it can not have been hashed.
    pub times: Option<Times>,
    /// The hash that stands in it.
    pub hash: Vec<u8>,
    /// Whether its columns can hold what was hashed: it is in whole milliseconds, and what is empty is left out.
    pub exact: bool,
}

/// What retention left of a run of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Place of its first row.
    pub first: i64,
    /// The hash before it.
    pub previous: Vec<u8>,
    /// Place of its last row.
    pub last: i64,
    /// The hash of its last row.
    pub hash: Vec<u8>,
}

/// A piece of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// A row.
    Row(Box<Row>),
    /// What stands for rows that retention dropped.
    Dropped(Dropped),
}

/// What happened to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What stands there was changed.
    Edited,
    /// What stood there is gone.
    Deleted,
    /// What belongs there stands further on.
    Reordered,
    /// What stands there was never written.
    Inserted,
    /// From there on everything is gone.
    TailCut,
    /// Rows are gone as if by retention that no retention may have removed yet.
    RemovedEarly,
    /// A signed anchor says otherwise.
    AnchorMismatch,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Edited => "edited",
            Kind::Deleted => "deleted",
            Kind::Reordered => "reordered",
            Kind::Inserted => "inserted",
            Kind::TailCut => "tail_cut",
            Kind::RemovedEarly => "removed_early",
            Kind::AnchorMismatch => "anchor_mismatch",
        }
    }
}

/// The first bad place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// The chain.
    pub chain: i16,
    /// The place in it.
    pub sequence: i64,
    /// What happened there.
    pub kind: Kind,
    /// The row that stands there, if one does.
    pub row: Option<Box<Row>>,
}

/// A place at which the hash does not fit.
struct Suspicion {
    place: i64,
    /// The hash before it.
    before: [u8; 32],
    /// What stands there instead; `None` for a gap.
    offender: Option<Box<Row>>,
    looked: u32,
    /// The row that belongs there was met further on.
    met: bool,
    /// What stands there was written, for another place.
    genuine: bool,
    /// What follows was written to follow it, one place further on: one was taken out and the rest moved up.
    moved_up: bool,
}

/// A walk along one chain.
pub struct Walk {
    chain: i16,
    /// Where it began.
    start: i64,
    position: i64,
    hash: [u8; 32],
    head: Head,
    /// Signed heads of this chain, in the order of their places.
    anchored: Vec<Head>,
    /// The last place that retention may have removed.
    removable: i64,
    suspicion: Option<Suspicion>,
    /// Rows that were checked.
    pub checked: u64,
}

impl Walk {
    /// Begins behind `start` (place and hash), at [`beginning`] for a whole chain. `head` is what the database says of
    /// its end, `anchored` what signed anchors say; up to `removable` rows are old enough for retention to have removed.
    pub fn new(chain: i16, start: Head, head: Head, mut anchored: Vec<Head>, removable: i64) -> Self {
        anchored.sort_by_key(|anchor| anchor.sequence);
        anchored.retain(|anchor| anchor.sequence > start.sequence);
        let (position, hash) = (start.sequence, start.hash);
        Walk { chain, start: position, position, hash, head, anchored, removable, suspicion: None, checked: 0 }
    }

    /// Where the walk has come to; what it has found good so far ends there.
    pub fn position(&self) -> Head {
        Head { sequence: self.position, hash: self.hash }
    }

    /// Whether it looks into something, and must not be interrupted.
    pub fn is_suspicious(&self) -> bool {
        self.suspicion.is_some()
    }

    /// Takes the next link; says what is wrong as soon as it knows.
    pub fn feed(&mut self, link: Link) -> Option<Bad> {
        if self.suspicion.is_some() {
            return match link {
                Link::Row(row) => self.look(&row),
                Link::Dropped(_) => self.conclude(),
            };
        }
        match link {
            Link::Row(row) => self.row(row),
            Link::Dropped(dropped) => self.dropped(&dropped),
        }
    }

    /// The chain has no more links.
    pub fn finish(mut self) -> Option<Bad> {
        if self.suspicion.is_some() {
            return self.conclude();
        }
        let anchored = self.anchored.last().map_or(0, |anchor| anchor.sequence);
        if self.position < self.head.sequence.max(anchored) {
            return Some(self.bad(self.position + 1, Kind::TailCut, None));
        }
        // The rows are whole, so it is the note of where they end that is not.
        let noted = self.position == self.head.sequence && self.hash == self.head.hash;
        (!noted).then(|| self.bad(self.head.sequence.max(1), Kind::Edited, None))
    }

    fn bad(&self, sequence: i64, kind: Kind, row: Option<Box<Row>>) -> Bad {
        Bad { chain: self.chain, sequence, kind, row }
    }

    fn row(&mut self, row: Box<Row>) -> Option<Bad> {
        let place = self.position + 1;
        if row.sequence < place {
            return Some(self.bad(row.sequence, Kind::Inserted, Some(row)));
        }
        let last = self.anchored.last().map_or(0, |anchor| anchor.sequence).max(self.head.sequence);
        if place > last {
            return Some(self.bad(row.sequence, Kind::Inserted, Some(row)));
        }
        if row.sequence > place {
            self.suspect(place, None);
            return self.look(&row);
        }
        if !fits(&row, &self.hash, place) {
            self.suspect(place, Some(row));
            return None;
        }
        self.checked += 1;
        let hash: [u8; 32] = row.hash.as_slice().try_into().unwrap_or(GENESIS);
        self.arrive(place, hash, Some(row))
    }

    fn dropped(&mut self, dropped: &Dropped) -> Option<Bad> {
        let place = self.position + 1;
        if dropped.first > place {
            return Some(self.bad(place, Kind::Deleted, None));
        }
        let hash: Option<[u8; 32]> = dropped.hash.as_slice().try_into().ok();
        let follows = dropped.first == place && dropped.previous == self.hash;
        // What a walk goes on behind may have been removed since; where such a run began is for the next whole walk.
        let resumed = self.start > 0 && self.position == self.start && dropped.first <= self.start;
        let whole = (follows || resumed) && dropped.last >= place;
        let Some(hash) = hash.filter(|_| whole) else {
            return Some(self.bad(dropped.first, Kind::Edited, None));
        };
        if dropped.last > self.removable {
            return Some(self.bad(dropped.first.max(self.removable + 1), Kind::RemovedEarly, None));
        }
        // Of anchors inside the run nothing can be said any more.
        self.anchored.retain(|anchor| anchor.sequence >= dropped.last);
        self.arrive(dropped.last, hash, None)
    }

    /// The chain is good up to here; so must be what anchors say of this place.
    fn arrive(&mut self, place: i64, hash: [u8; 32], row: Option<Box<Row>>) -> Option<Bad> {
        let passed = self.anchored.iter().take_while(|anchor| anchor.sequence <= place).count();
        let contradicted = self.anchored.drain(..passed).any(|anchor| anchor.hash != hash);
        if contradicted {
            return Some(self.bad(place, Kind::AnchorMismatch, row));
        }
        (self.position, self.hash) = (place, hash);
        None
    }

    fn suspect(&mut self, place: i64, offender: Option<Box<Row>>) {
        let (before, looked) = (self.hash, 0);
        self.suspicion =
            Some(Suspicion { place, before, offender, looked, met: false, genuine: false, moved_up: false });
    }

    /// Looks at a row behind a bad place.
    fn look(&mut self, row: &Row) -> Option<Bad> {
        let suspicion = self.suspicion.as_mut()?;
        suspicion.looked += 1;
        suspicion.met |= fits(row, &suspicion.before, suspicion.place);
        if let (Some(offender), Ok(hash)) = (&suspicion.offender, <[u8; 32]>::try_from(row.hash.as_slice())) {
            let places = [row.sequence - 1, row.sequence, row.sequence + 1, suspicion.place + 1];
            suspicion.genuine |= places.iter().any(|place| fits(offender, &hash, *place));
            if let (1, Ok(own)) = (suspicion.looked, <[u8; 32]>::try_from(offender.hash.as_slice())) {
                suspicion.moved_up = fits(row, &own, suspicion.place + 2);
            }
        }
        let known = match suspicion.offender {
            None => suspicion.met,
            Some(_) => suspicion.met && suspicion.genuine,
        };
        if known || suspicion.looked >= LOOK_AHEAD { self.conclude() } else { None }
    }

    fn conclude(&mut self) -> Option<Bad> {
        let Suspicion { place, offender, met, genuine, moved_up, .. } = self.suspicion.take()?;
        let kind = match &offender {
            None if met => Kind::Reordered,
            None => Kind::Deleted,
            Some(_) if met && genuine => Kind::Reordered,
            Some(_) if met => Kind::Inserted,
            Some(_) if moved_up || genuine => Kind::Deleted,
            Some(_) => Kind::Edited,
        };
        Some(self.bad(place, kind, offender))
    }
}

/// Where a whole chain begins.
pub fn beginning() -> Head {
    Head { sequence: 0, hash: GENESIS }
}

fn fits(row: &Row, before: &[u8; 32], place: i64) -> bool {
    let hashes = [row.times, None].map(|times| row.event.chain_hash(before, place, times));
    row.exact && hashes.iter().any(|hash| hash.as_slice() == row.hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Timestamp;

    /// The last place of chains here that retention may have removed.
    const REMOVABLE: i64 = 6;

    fn event(number: i64) -> AuditEvent {
        AuditEvent {
            event_id: format!("e{number}"),
            occurred_at: Timestamp::from_millis(number),
            event_type: "session.updated".into(),
            application_id: "demo".into(),
            subject: "b000.AAAAAAAA".into(),
            session_id: "ses_".into(),
            actor: "application".into(),
            reason: String::new(),
            request_id: "r".into(),
            detail: String::new(),
            sealed: Vec::new(),
        }
    }

    fn link(events: impl IntoIterator<Item = AuditEvent>) -> Vec<Row> {
        let mut before = GENESIS;
        let rows = events.into_iter().zip(1..).map(|(event, sequence)| {
            let time = Timestamp::from_millis(sequence);
            let times = Times { queued_at: time, recorded_at: time };
            // As rows of an earlier release have none.
            before = event.chain_hash(&before, sequence, Some(times).filter(|_| sequence > 2));
            Row { sequence, event, times: Some(times), hash: before.to_vec(), exact: true }
        });
        rows.collect()
    }

    fn chain(length: i64) -> Vec<Row> {
        link((1..=length).map(event))
    }

    fn end(rows: &[Row]) -> Head {
        rows.last().map_or(beginning(), |row| Head {
            sequence: row.sequence,
            hash: row.hash.as_slice().try_into().expect("a hash"),
        })
    }

    fn verdict_of(links: Vec<Link>, head: Head, anchored: Vec<Head>) -> Option<(i64, Kind)> {
        let mut walk = Walk::new(5, beginning(), head, anchored, REMOVABLE);
        let found = links.into_iter().find_map(|link| walk.feed(link));
        let bad = match found {
            Some(bad) => Some(bad),
            None => walk.finish(),
        };
        bad.map(|bad| (bad.sequence, bad.kind))
    }

    fn verdict(rows: Vec<Row>, head: Head, anchored: Vec<Head>) -> Option<(i64, Kind)> {
        verdict_of(rows.into_iter().map(|row| Link::Row(Box::new(row))).collect(), head, anchored)
    }

    #[test]
    fn whole_chains_are_whole() {
        for length in [0, 1, 2, 300] {
            let rows = chain(length);
            let (head, middle) = (end(&rows), end(&rows[..rows.len() / 2]));
            assert_eq!(verdict(rows, head, vec![head, middle]), None, "{length}");
        }
    }

    #[test]
    fn the_first_bad_place_is_named() {
        let whole = chain(8);
        let head = end(&whole);
        let touched = |touch: fn(&mut Vec<Row>)| {
            let mut rows = whole.clone();
            touch(&mut rows);
            rows.sort_by(|a, b| (a.sequence, &a.event.event_id).cmp(&(b.sequence, &b.event.event_id)));
            verdict(rows, head, vec![])
        };
        assert_eq!(touched(|rows| rows[2].event.reason.push('x')), Some((3, Kind::Edited)));
        assert_eq!(touched(|rows| rows[2].exact = false), Some((3, Kind::Edited)));
        assert_eq!(
            touched(|rows| rows[3].times.as_mut().expect("times").queued_at = Timestamp::from_millis(9)),
            Some((4, Kind::Edited))
        );
        assert_eq!(
            touched(|rows| rows[3].times.as_mut().expect("times").recorded_at = Timestamp::from_millis(9)),
            Some((4, Kind::Edited))
        );
        assert_eq!(touched(|rows| rows[3].times = None), Some((4, Kind::Edited)));
        assert_eq!(touched(|rows| rows[1].times = None), None, "a row from before times were hashed");
        assert_eq!(touched(|rows| rows[7].hash[0] ^= 1), Some((8, Kind::Edited)));
        assert_eq!(touched(|rows| drop(rows.remove(0))), Some((1, Kind::Deleted)));
        assert_eq!(touched(|rows| drop(rows.remove(4))), Some((5, Kind::Deleted)));
        assert_eq!(touched(|rows| drop(rows.remove(7))), Some((8, Kind::TailCut)));
        assert_eq!(touched(Vec::clear), Some((1, Kind::TailCut)));
        assert_eq!(touched(|rows| rows.truncate(3)), Some((4, Kind::TailCut)));
        // Neighbours, rows that are not, and a row that went far behind the end.
        assert_eq!(touched(|rows| (rows[2].sequence, rows[3].sequence) = (4, 3)), Some((3, Kind::Reordered)));
        assert_eq!(touched(|rows| (rows[1].sequence, rows[5].sequence) = (6, 2)), Some((2, Kind::Reordered)));
        assert_eq!(touched(|rows| rows[2].sequence = 17), Some((3, Kind::Reordered)));
        // In the place of a row that moved up, beside a row, behind the end.
        let shifted = touched(|rows| {
            rows[2..].iter_mut().for_each(|row| row.sequence += 1);
            let mut made_up = rows[0].clone();
            made_up.sequence = 3;
            rows.push(made_up);
        });
        assert_eq!(shifted, Some((3, Kind::Inserted)));
        let beside = |event_id: &str| {
            let mut rows = whole.clone();
            let mut made_up = rows[4].clone();
            made_up.event.event_id = event_id.into();
            let at = if event_id < "e5" { 4 } else { 5 };
            rows.insert(at, made_up);
            verdict(rows, head, vec![])
        };
        assert_eq!((beside("a"), beside("z")), (Some((5, Kind::Inserted)), Some((5, Kind::Inserted))));
        let behind = touched(|rows| {
            let mut made_up = rows[7].clone();
            made_up.sequence = 9;
            rows.push(made_up);
        });
        assert_eq!(behind, Some((9, Kind::Inserted)));
        assert_eq!(verdict(whole[3..4].to_vec(), beginning(), vec![]), Some((4, Kind::Inserted)));
        // Taken out, and the rest moved up to close the gap.
        let closed = touched(|rows| {
            rows.remove(2);
            rows[2..].iter_mut().for_each(|row| row.sequence -= 1);
        });
        assert_eq!(closed, Some((3, Kind::Deleted)));
    }

    #[test]
    fn anchors_find_what_the_chain_alone_hides() {
        let whole = chain(8);
        let anchors = vec![end(&whole[..4]), end(&whole)];
        // The tail and the note of the end, cut together.
        let cut = whole[..6].to_vec();
        assert_eq!(verdict(cut.clone(), end(&cut), vec![]), None);
        assert_eq!(verdict(cut.clone(), end(&cut), anchors.clone()), Some((7, Kind::TailCut)));
        assert_eq!(verdict(vec![], beginning(), anchors.clone()), Some((1, Kind::TailCut)));
        // Written anew from the third row on.
        let mut events: Vec<_> = (1..=8).map(event).collect();
        events[2].reason = "another".into();
        let anew = link(events);
        assert_eq!(verdict(anew.clone(), end(&anew), vec![]), None);
        assert_eq!(verdict(anew.clone(), end(&anew), anchors), Some((4, Kind::AnchorMismatch)));
        // The note of the end alone.
        assert_eq!(verdict(whole.clone(), end(&whole[..6]), vec![end(&whole)]), Some((6, Kind::Edited)));
        let beyond = Head { sequence: 9, ..end(&whole) };
        assert_eq!(verdict(whole, beyond, vec![]), Some((9, Kind::TailCut)));
    }

    #[test]
    fn dropped_runs_join_what_they_stood_between() {
        let whole = chain(10);
        let dropped = |first: i64, last: i64| {
            let before = if first == 1 { beginning() } else { end(&whole[..(first - 1) as usize]) };
            Dropped { first, previous: before.hash.to_vec(), last, hash: end(&whole[..last as usize]).hash.to_vec() }
        };
        let with = |runs: Vec<Dropped>, missing: Option<i64>| {
            let kept =
                whole.iter().filter(|row| !runs.iter().any(|run| (run.first..=run.last).contains(&row.sequence)));
            let kept = kept.filter(|row| Some(row.sequence) != missing).cloned();
            let mut links: Vec<(i64, Link)> = kept.map(|row| (row.sequence, Link::Row(Box::new(row)))).collect();
            links.extend(runs.into_iter().map(|run| (run.first, Link::Dropped(run))));
            links.sort_by_key(|(place, _)| *place);
            let links = links.into_iter().map(|(_, link)| link).collect();
            verdict_of(links, end(&whole), vec![end(&whole[..2]), end(&whole[..3]), end(&whole)])
        };
        assert_eq!(with(vec![dropped(1, 3), dropped(5, 6)], None), None);
        assert_eq!(with(vec![dropped(1, 3), dropped(5, 6)], Some(4)), Some((4, Kind::Deleted)));
        assert_eq!(with(vec![dropped(1, 3)], Some(4)), Some((4, Kind::Deleted)));
        let mut forged = dropped(1, 3);
        forged.hash[0] ^= 1;
        assert_eq!(with(vec![forged], None), Some((3, Kind::AnchorMismatch)));
        let mut forged = dropped(5, 6);
        forged.previous[0] ^= 1;
        assert_eq!(with(vec![forged], None), Some((5, Kind::Edited)));
        assert_eq!(with(vec![dropped(1, 3), dropped(2, 6)], None), Some((2, Kind::Edited)));
    }

    #[test]
    fn what_is_too_young_for_retention_is_not_believed_to_be_removed_by_it() {
        let whole = chain(10);
        let run = |first: i64, last: i64| {
            let before = end(&whole[..(first - 1) as usize]).hash.to_vec();
            Dropped { first, previous: before, last, hash: end(&whole[..last as usize]).hash.to_vec() }
        };
        let with = |run: Dropped| {
            let range = run.first..=run.last;
            let kept = whole.iter().filter(|row| !range.contains(&row.sequence));
            let mut links: Vec<(i64, Link)> =
                kept.map(|row| (row.sequence, Link::Row(Box::new(row.clone())))).collect();
            links.push((run.first, Link::Dropped(run)));
            links.sort_by_key(|(place, _)| *place);
            verdict_of(links.into_iter().map(|(_, link)| link).collect(), end(&whole), vec![end(&whole)])
        };
        assert_eq!(with(run(2, REMOVABLE)), None);
        assert_eq!(with(run(2, REMOVABLE + 1)), Some((REMOVABLE + 1, Kind::RemovedEarly)));
        assert_eq!(with(run(8, 9)), Some((8, Kind::RemovedEarly)));
        assert_eq!(with(run(8, 10)), Some((8, Kind::RemovedEarly)));
    }

    #[test]
    fn a_walk_goes_on_behind_what_was_removed_meanwhile() {
        let whole = chain(8);
        let run = |first: i64, last: i64| Dropped {
            first,
            previous: vec![7; 32],
            last,
            hash: end(&whole[..last as usize]).hash.to_vec(),
        };
        let goes_on = |run: Dropped| {
            let mut walk = Walk::new(5, end(&whole[..3]), end(&whole), vec![end(&whole)], REMOVABLE);
            let last = run.last as usize;
            let found = walk.feed(Link::Dropped(run)).map(|bad| bad.kind);
            let rest = whole[last..].iter().find_map(|row| walk.feed(Link::Row(Box::new(row.clone()))));
            found.or(rest.map(|bad| bad.kind))
        };
        assert_eq!((goes_on(run(1, 5)), goes_on(run(3, 4))), (None, None));
        assert_eq!(goes_on(run(4, 5)), Some(Kind::Edited), "it begins behind, and follows something else");
        assert_eq!(goes_on(run(1, 7)), Some(Kind::RemovedEarly));
    }

    #[test]
    fn a_walk_goes_on_from_where_it_stopped() {
        let whole = chain(8);
        let mut walk = Walk::new(5, beginning(), end(&whole), vec![end(&whole)], 0);
        for row in &whole[..5] {
            assert_eq!(walk.feed(Link::Row(Box::new(row.clone()))), None);
        }
        let mut rest = Walk::new(5, walk.position(), end(&whole), vec![end(&whole)], 0);
        for row in &whole[5..] {
            assert_eq!(rest.feed(Link::Row(Box::new(row.clone()))), None);
        }
        assert_eq!((rest.checked, rest.finish()), (3, None));
    }
}
