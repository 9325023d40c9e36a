//! `erase_user.lua` against a small model: nothing of before the epoch is left, everything since is. I-13, T-84.

use std::collections::BTreeMap;

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts;
use shared::core::end_reason::EndReason;
use shared::core::record::{Header, SessionRecord, State};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, case_rng, operation, pick, random_header, random_session, random_slot, record_of, tombstone, unreadable,
};

/// Fields of an entry that waits in the outbox.
type Entry = Vec<(&'static str, String)>;

/// An entry of a user: personal fields, and whether it tells of an end, whose attributes hold nothing personal.
fn entry(user: &str, personal: &[&'static str], end: bool) -> Entry {
    let mut fields = vec![("i", "event".to_owned()), ("t", "session.updated".to_owned()), ("u", user.to_owned())];
    fields.extend(personal.iter().map(|name| (*name, "who this is".to_owned())));
    fields.extend(end.then(|| ("b", "17".to_owned())));
    fields
}

/// The entry without what is personal, and whether anything was.
fn nameless(entry: &Entry, user: &str) -> (Entry, bool) {
    let has = |wanted: &str| entry.iter().any(|(name, _)| *name == wanted);
    let (own, end) = (entry.iter().any(|(name, value)| *name == "u" && value == user), has("b"));
    let goes = |name: &str| own && (name == "y" || name == "p" && !end);
    let kept: Entry = entry.iter().filter(|(name, _)| !goes(name)).cloned().collect();
    let personal = kept.len() < entry.len();
    (kept, personal)
}

async fn entries(bench: &Bench, key: &str) -> Vec<(String, Vec<(String, String)>)> {
    type Fields = Vec<(Vec<u8>, Vec<u8>)>;
    let value = bench.command(redis::cmd("XRANGE").arg(key).arg("-").arg("+")).await;
    let entries: Vec<(String, Fields)> = redis::from_redis_value(value).expect("stream entries");
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let fields = |fields: &[(Vec<u8>, Vec<u8>)]| fields.iter().map(|(name, value)| (text(name), text(value))).collect();
    entries.into_iter().map(|(id, entry)| (id, fields(&entry))).collect()
}

async fn compare(bench: &Bench, index: u64) -> u64 {
    let mut rng = case_rng(SEED + 33, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let before = pick(&mut rng, &[0, 3, 3]);
    let epoch = before + pick(&mut rng, &[0, 1, 1, 1, 2]);
    bench.set_epoch(slot, before).await;
    let mut held = Vec::new();
    for _ in 0..rng.random_range(0..6) {
        let mut header = random_header(&mut rng, slot.tag, now);
        header.epoch = pick(&mut rng, &[before, before, before.saturating_sub(1), epoch]);
        let record = record_of(&mut rng, header);
        let session = random_session(slot);
        let strange = rng.random_bool(0.1);
        let bytes = if strange { unreadable(&mut rng, &record) } else { record.encode() };
        let (created, due) = (record.header.created_at, record.header.absolute_expires_at);
        bench.place_bytes(&session, slot, &bytes, created, due).await;
        held.push((session, record, strange));
    }
    let settings = pick(&mut rng, &[None, Some(4_u32), Some(5), Some(6)]);
    if let Some(version) = settings {
        bench.set(&keys::privacy(slot), &[&[2][..], &version.to_be_bytes()].concat()).await;
    }
    bench.set(&keys::history(slot), b"5byte and what was learned").await;
    let user = slot.tag.text().to_string();
    let waiting: Vec<Entry> = (0..rng.random_range(0..5))
        .map(|_| {
            let of = pick(&mut rng, &[user.as_str(), user.as_str(), "AAAAAAAA"]);
            entry(of, pick(&mut rng, &[&[][..], &["p"], &["y"], &["p", "y"]]), rng.random_bool(0.3))
        })
        .collect();
    let outbox = keys::outbox(slot.bucket);
    for fields in &waiting {
        let mut add = redis::cmd("XADD");
        add.arg(&outbox).arg("*");
        for (name, value) in fields {
            add.arg(*name).arg(value);
        }
        bench.command(&add).await;
    }
    let ids: Vec<String> = entries(bench, &outbox).await.into_iter().map(|(id, _)| id).collect();
    let name = format!("seed {SEED} erase {index}: {before} to {epoch}, {settings:?}, {waiting:?}, {held:#?}");

    let operation = operation(now);
    let call = scripts::erase_user(slot, epoch, 5, "demo", &operation, now);
    let mut left = BTreeMap::new();
    let mut ended = 0;
    for (session, record, strange) in &held {
        let live = record.header.state == State::Active;
        let after = match record.header.epoch < epoch {
            _ if *strange => None,
            true if live => {
                ended += 1;
                let over = tombstone(record, EndReason::Erased, operation.mark, now);
                let header = Header { address: [0; 8], device: [0; 8], ..over.header.clone() };
                Some(SessionRecord { header, ..over })
            }
            true | false => Some(record.clone()),
        };
        left.insert(session.key_text(), after.map(|after| after.encode()));
    }
    let expected: Vec<(Entry, bool)> = waiting.iter().map(|entry| nameless(entry, &user)).collect();
    let personal = expected.iter().filter(|(_, personal)| *personal).count() as u64;
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        let counts: (u64, u64) = redis::from_redis_value(reply).expect("two numbers");
        assert_eq!(counts, if round == "once" { (ended, personal) } else { (0, 0) }, "{name} {round}");
        for (session, record, strange) in &held {
            let bytes = bench.bytes(&keys::session(session)).await;
            assert_eq!(bytes, left[&session.key_text()], "{name} {round}: {session}");
            let stays = !strange && record.header.state == State::Active && record.header.epoch >= epoch;
            let indexed = bench.members(&keys::index(slot)).await.contains_key(&session.key_text());
            assert_eq!(indexed, stays, "{name} {round}: {session} in the index");
        }
        assert_eq!(bench.bytes(&keys::history(slot)).await, None, "{name} {round}");
        let forgotten = settings.is_none_or(|version| version <= 5);
        assert_eq!(bench.bytes(&keys::privacy(slot)).await.is_none(), forgotten, "{name} {round}");
        // What waited is where it was, without what is personal; behind it what the erasure tells.
        let found = entries(bench, &outbox).await;
        for ((id, fields), (was, (expected, _))) in found.iter().zip(ids.iter().zip(&expected)) {
            let expected: Vec<(String, String)> =
                expected.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            assert_eq!((id, fields), (was, &expected), "{name} {round}");
        }
        let told = |wanted: &str| {
            let new = found.iter().skip(ids.len());
            new.filter(|(_, fields)| fields.iter().any(|(name, value)| name == "t" && value == wanted)).count() as u64
        };
        let raised = u64::from(epoch > before);
        assert_eq!((told("session.ended"), told("user.revoked")), (ended, raised), "{name} {round}");
        assert_eq!(found.len() as u64, ids.len() as u64 + ended + raised, "{name} {round}");
        let mirror = bench.bytes(&keys::epoch(slot)).await.unwrap_or_else(|| b"0".to_vec());
        assert_eq!(mirror, before.max(epoch).to_string().into_bytes(), "{name} {round}");
    }
    bench.command(&redis::cmd("FLUSHALL")).await;
    ended
}

#[tokio::test]
async fn i_13_t_84_an_erasure_leaves_nothing_from_before() {
    let bench = Bench::private().await;
    let mut ended = 0;
    for index in 0..1000 {
        ended += compare(&bench, index).await;
    }
    assert!(ended > 300, "{ended}");
}
