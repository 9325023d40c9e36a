//! `set_privacy.lua` against a small model: the later version stays, and what is off goes from all that is held. T-103.

use std::collections::BTreeMap;

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts;
use shared::core::attributes::Attributes;
use shared::core::privacy::Privacy;
use shared::core::record::{Header, KEY_BOUND, SHARED, SessionRecord, State};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{Bench, case_rng, operation, pick, random_header, random_session, random_slot, record_of};

/// Version, network and prefix of what a session was last seen with; what tells the device goes.
fn network_alone(seen: &[u8]) -> Option<Vec<u8>> {
    let known = seen.len() >= 13 && seen[3..11] != [0; 8];
    known.then(|| [&seen[..11], &[0, 0]].concat())
}

/// What a live record is afterwards.
fn stripped(record: &SessionRecord, privacy: Privacy) -> SessionRecord {
    let (location, fingerprinting) = (privacy.location(), privacy.fingerprinting());
    let before = &record.attributes;
    let attributes = Attributes {
        place: before.place.clone().filter(|_| location),
        address_prefix: before.address_prefix.clone().filter(|_| location),
        user_agent: before.user_agent.clone().filter(|_| fingerprinting),
        seen: match fingerprinting {
            true => before.seen.clone(),
            false => before.seen.as_deref().and_then(network_alone),
        },
        ..before.clone()
    };
    let header = Header {
        device: if fingerprinting { record.header.device } else { [0; 8] },
        flags: (record.header.flags & (KEY_BOUND | SHARED)) | privacy.record_flags(),
        ..record.header.clone()
    };
    let mut after = SessionRecord { header, attributes, sealed: record.sealed.clone() };
    if after != *record {
        after.header.revision = record.header.revision.wrapping_add(1);
    }
    after
}

fn mirror(bits: u8, version: u32) -> Vec<u8> {
    [&[bits][..], &version.to_be_bytes()].concat()
}

async fn compare(bench: &Bench, index: u64) -> bool {
    let mut rng = case_rng(SEED + 32, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let privacy = Privacy::from_bits(rng.random_range(0..16));
    let version = pick(&mut rng, &[1, 7, 70_000, u32::MAX]);
    let known: Option<(u8, u32)> = pick(&mut rng, &[None, Some(version - 1), Some(version), version.checked_add(1)])
        .map(|version| (rng.random_range(0..16), version));
    if let Some((bits, version)) = known {
        bench.set(&keys::privacy(slot), &mirror(bits, version)).await;
    }
    let history = pick(&mut rng, &[None, Some(&b"5byte"[..]), Some(&b"5byte and what was learned"[..])]);
    if let Some(history) = history {
        bench.set(&keys::history(slot), history).await;
        bench.command(redis::cmd("PEXPIRE").arg(keys::history(slot)).arg(86_400_000)).await;
    }
    let mut held = Vec::new();
    for _ in 0..rng.random_range(0..5) {
        let mut header = random_header(&mut rng, slot.tag, now);
        header.flags |= pick(&mut rng, &[0, 16, 32, 64, 112]);
        let record = record_of(&mut rng, header);
        let session = random_session(slot);
        bench.place(&session, &record).await;
        bench.command(redis::cmd("PEXPIRE").arg(keys::session(&session)).arg(86_400_000)).await;
        held.push((session, record));
    }
    let name = format!("seed {SEED} privacy {index}: {privacy:?} v{version} over {known:?}, {held:#?}");

    let later = known.is_some_and(|(_, known)| known > version);
    let fresh = known.is_none_or(|(_, known)| known < version);
    let operation = operation(now);
    let call = scripts::set_privacy(slot, privacy, version, "demo", "v1,-location", &operation);
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        assert_eq!(scripts::privacy_set(&reply), Ok(!later), "{name} {round}");
        let mirrored = match known {
            Some((bits, known)) if later => mirror(bits, known),
            _ => mirror(privacy.bits(), version),
        };
        assert_eq!(bench.bytes(&keys::privacy(slot)).await, Some(mirrored), "{name} {round}: mirror");
        for (session, record) in &held {
            let live = record.header.state == State::Active;
            let after = if live && !later { stripped(record, privacy) } else { record.clone() };
            let bytes = bench.bytes(&keys::session(session)).await;
            assert_eq!(bytes, Some(after.encode()), "{name} {round}: {session} to be {after:#?}");
            assert!(bench.ttl(&keys::session(session)).await > 30_000, "{name}: the record lost its end");
        }
        let emptied = !later && (!privacy.location() || !privacy.fingerprinting());
        let left = history.map(|history| if emptied { &history[..5] } else { history });
        assert_eq!(bench.bytes(&keys::history(slot)).await.as_deref(), left, "{name} {round}: history");
        assert!(
            history.is_none() || bench.ttl(&keys::history(slot)).await > 30_000,
            "{name}: the history lost its end"
        );
        let events = bench.events(slot.bucket, &operation).await;
        let told: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.detail.as_str())).collect();
        let expected: &[(&str, &str)] = if fresh { &[("user.privacy_changed", "v1,-location")] } else { &[] };
        assert_eq!(told, expected, "{name} {round}: events");
    }
    bench.command(&redis::cmd("FLUSHALL")).await;
    later
}

#[tokio::test]
async fn t_103_the_later_settings_stay_and_what_is_off_goes() {
    let bench = Bench::private().await;
    let mut seen = BTreeMap::new();
    for index in 0..1000 {
        *seen.entry(compare(&bench, index).await).or_insert(0) += 1;
    }
    assert!(seen.values().all(|count| *count > 50) && seen.len() == 2, "{seen:?}");
}
