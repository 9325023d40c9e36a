//! Families of related applications: `refresh.lua` against `decide_shared`, and `redeem.lua`, `share.lua` and
//! `withdraw_share.lua` against small models. I-2, I-3, T-10, T-61.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Redeemed, Redemption, Refreshed, Shared, Withdrawal, Withdrawn};
use shared::core::context::ContextDigests;
use shared::core::end_reason::EndReason;
use shared::core::family::{Family, SharedScopes, first_generation};
use shared::core::id::{ApplicationId, SessionId, UserSlot};
use shared::core::record::{Header, SHARED, SessionRecord, State};
use shared::core::refresh_decision::{Decision, Judged, Presented, decide_shared};
use shared::core::session::{Liveness, liveness};
use shared::core::share_code::ShareCode;
use shared::core::standing::Standing;
use shared::core::time::Timestamp;
use shared::limits;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OWN, case_rng, operation, own_token, pick, random_digest, random_header, random_session, random_slot,
    record_of, tombstone, without_data,
};

const DAY: i64 = 86_400_000;

fn related() -> ApplicationId {
    ApplicationId::parse("help-desk").expect("valid")
}

fn random_family(rng: &mut StdRng, header: &Header, mark: [u8; 8], now: Timestamp) -> Family {
    // A family is like an owner's: the numbers of another random header.
    let like = random_header(rng, header.user_tag, now);
    let first = pick(rng, &[1, like.generation, like.generation.saturating_sub(2), like.generation.saturating_sub(1)]);
    Family {
        mac_key_id: like.mac_key_id,
        scopes: SharedScopes::from_bits(rng.random_range(1..4)),
        first_generation: first.max(1),
        generation: like.generation,
        grace_seconds: like.grace_seconds,
        created_at: like.created_at,
        rotated_at: like.rotated_at,
        last_operation: if rng.random_bool(0.2) { mark } else { like.last_operation },
        address: like.address,
        device: like.device,
        application_id: related(),
    }
}

/// A session in its place with a family, or none, of [`related`].
async fn place(bench: &Bench, session: &SessionId, record: &SessionRecord, family: Option<&Family>) {
    bench.place(session, record).await;
    bench.command(redis::cmd("PEXPIRE").arg(keys::session(session)).arg(DAY)).await;
    if let Some(family) = family {
        let hash = keys::families(session);
        bench.command(redis::cmd("HSET").arg(hash).arg(&related().tag()[..]).arg(family.encode())).await;
    }
}

async fn stored_family(bench: &Bench, session: &SessionId) -> Option<Family> {
    let reply = bench.command(&scripts::family(session, related().tag())).await;
    scripts::family_reply(&reply).expect("readable")
}

async fn clean(bench: &Bench, session: &SessionId, slot: UserSlot) {
    let code = keys::share_code(session, related().tag());
    let names = [keys::session(session), keys::families(session), keys::index(slot), keys::epoch(slot), code];
    bench.remove(&names).await;
    bench.command(redis::cmd("ZREM").arg(keys::expiry_queue(slot.bucket)).arg(session.key_text())).await;
    bench.remove(&[keys::outbox(slot.bucket)]).await;
}

fn rotated(
    record: &SessionRecord,
    family: &Family,
    presented: &Presented,
    generation: u32,
    now: Timestamp,
) -> (SessionRecord, Family) {
    let known = |presented: [u8; 8], recorded| if presented == [0; 8] { recorded } else { presented };
    let header = &record.header;
    let header = Header {
        last_activity_at: header.last_activity_at.max(now),
        standing: presented.judged.as_ref().map_or(header.standing, |judged| judged.standing),
        risk_score: presented.judged.as_ref().map_or(header.risk_score, |judged| judged.score),
        revision: header.revision.wrapping_add(1),
        ..header.clone()
    };
    let family = Family {
        generation,
        rotated_at: now,
        last_operation: presented.operation,
        address: known(presented.address, family.address),
        device: known(presented.device, family.device),
        ..family.clone()
    };
    (SessionRecord { header, ..record.clone() }, family)
}

async fn compare_refresh(bench: &Bench, index: u64) -> &'static str {
    let mut rng = case_rng(SEED + 20, index);
    let now = Timestamp::from_millis(BASE);
    let operation = operation(now);
    let slot = random_slot(&mut rng);
    let mut header = random_header(&mut rng, slot.tag, now);
    header.flags |= if rng.random_bool(0.95) { SHARED } else { 0 };
    header.superseded_generation = pick(&mut rng, &[0, 1, header.generation]);
    let epoch = pick(&mut rng, &[0, header.epoch, header.epoch, header.epoch.saturating_add(1)]);
    let record = record_of(&mut rng, header);
    let alive = record.header.state == State::Active;
    let family = random_family(&mut rng, &record.header, operation.mark, now);
    let family = Some(family).filter(|_| alive && rng.random_bool(0.95));
    let near = family.as_ref().map_or(7, |family| family.generation);
    let step = pick(&mut rng, &[-3, -2, -1, -1, -1, 0, 0, 0, 1, 1000]);
    let revision = record.header.revision;
    let judged = pick(&mut rng, &[None, None, Some(revision), Some(revision.wrapping_add(1))]);
    let presented = Presented {
        application_tag: related().tag(),
        generation: (i64::from(near) + step).clamp(0, i64::from(u32::MAX)) as u32,
        operation: operation.mark,
        address: random_digest(&mut rng),
        device: random_digest(&mut rng),
        jkt: None,
        judged: judged.map(|revision| Judged { score: 7, ..Judged::allowed(revision) }),
    };
    let session = random_session(slot);
    let name = format!("seed {SEED} family {index}: {:?} {family:?} epoch {epoch} {presented:?}", record.header);
    place(bench, &session, &record, family.as_ref()).await;
    bench.set_epoch(slot, epoch).await;

    let decision = decide_shared(&record.header, family.as_ref(), epoch, now, &presented);
    let seen = |record: &SessionRecord, family: &Option<Family>| {
        family.as_ref().expect("a family").merged_record(&without_data(record))
    };
    let ended = |reason| (tombstone(&record, reason, operation.mark, now), None);
    let same = (record.clone(), family.clone());
    let replay = Refreshed::Replay { owner_tag: OWN };
    let advanced = |generation| {
        let (record, family) = rotated(&record, family.as_ref().expect("a family"), &presented, generation, now);
        (seen(&record, &Some(family.clone())), (record, Some(family)))
    };
    let (answer, (stored, left)) = match decision {
        Decision::Missing => (Refreshed::Missing, same),
        Decision::Ended(reason) => (Refreshed::Ended(reason), same),
        Decision::Lapsed(reason) => (Refreshed::Lapsed(reason), ended(reason)),
        Decision::Replay if !alive => (replay, same),
        Decision::Replay => (replay, ended(EndReason::Reuse)),
        Decision::Successor { .. } => (Refreshed::Successor(seen(&record, &family)), same),
        Decision::ContextChanged => {
            (Refreshed::ContextChanged { record: seen(&record, &family), history: Vec::new(), shared: true }, same)
        }
        Decision::Moved => (Refreshed::Moved, same),
        Decision::WrongKey | Decision::Superseded => panic!("{name}: the owner's alone"),
        Decision::Quarantined => (Refreshed::Quarantined(seen(&record, &family)), same),
        Decision::Rotate { generation } => {
            let (answer, stored) = advanced(generation);
            (Refreshed::Rotated(answer), stored)
        }
        Decision::Heal { generation } => {
            let (answer, stored) = advanced(generation);
            (Refreshed::Healed(answer), stored)
        }
    };
    let call = scripts::refresh(&session, slot, &presented, &operation, now);
    let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(scripts::refreshed(reply), Ok(answer), "{name}: answer");
    assert_eq!(bench.bytes(&keys::session(&session)).await, Some(stored.encode()), "{name}: record");
    assert_eq!(stored_family(bench, &session).await, left, "{name}: family");
    for event in bench.events(slot.bucket, &operation).await {
        let owner = event.kind == "session.ended";
        let expected = if owner { &record.attributes.application_id } else { "help-desk" };
        assert_eq!(event.application, *expected, "{name}: {event:?}");
    }
    clean(bench, &session, slot).await;
    match decision {
        Decision::Missing => "missing",
        Decision::Ended(_) => "ended",
        Decision::Lapsed(_) => "lapsed",
        Decision::Successor { .. } => "successor",
        Decision::Replay => "replay",
        Decision::ContextChanged => "context",
        Decision::Moved => "moved",
        Decision::Rotate { .. } => "rotated",
        Decision::Heal { .. } => "healed",
        Decision::WrongKey | Decision::Superseded => "owner",
        Decision::Quarantined => "quarantined",
    }
}

#[tokio::test]
async fn t_10_i_2_i_3_a_family_rotates_like_its_twin() {
    let bench = Bench::private().await;
    let mut met = BTreeMap::<&str, u64>::new();
    for index in 0..4000 {
        *met.entry(compare_refresh(&bench, index).await).or_default() += 1;
    }
    println!("met: {met:?}");
    assert_eq!(met.len(), 10, "{met:?}");
}

#[tokio::test]
async fn t_10_a_family_rotates_like_its_twin_on_a_cluster() {
    let bench = Bench::cluster().await;
    for index in 0..300 {
        compare_refresh(&bench, index).await;
    }
}

async fn compare_sharing(bench: &Bench, index: u64) -> Vec<&'static str> {
    let mut rng = case_rng(SEED + 21, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let header = random_header(&mut rng, slot.tag, now);
    let epoch = pick(&mut rng, &[0, header.epoch, header.epoch, header.epoch.saturating_add(1)]);
    let record = record_of(&mut rng, header);
    let session = random_session(slot);
    let name = format!("seed {SEED} share {index}: {:?} epoch {epoch}", record.header);
    place(bench, &session, &record, None).await;
    bench.set_epoch(slot, epoch).await;
    let others = pick(&mut rng, &[0, 0, 7, 8]);
    for other in 0..others {
        let hash = keys::families(&session);
        bench.command(redis::cmd("HSET").arg(hash).arg(format!("other-{other:02}")).arg("family")).await;
    }

    let code = ShareCode::new(session, related().tag(), rng.random());
    let scopes = SharedScopes::from_bits(rng.random_range(1..4));
    let first = operation(now);
    let quarantined = record.header.standing == Standing::Quarantined;
    let expected = match liveness(&record.header, epoch, now) {
        Liveness::Ended(reason) | Liveness::Lapsed(reason) => Shared::Ended(reason),
        Liveness::Alive if quarantined || others >= limits::SHARES_MAX => Shared::Refused,
        Liveness::Alive => Shared::Done,
    };
    let call = scripts::share(slot, OWN, &code, scopes, &first, now);
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(scripts::shared(reply), Ok(expected.clone()), "{name} {round}");
    }
    if expected != Shared::Done {
        clean(bench, &session, slot).await;
        return vec![if expected == Shared::Refused { "refused" } else { "over" }];
    }
    assert_eq!(bench.events(slot.bucket, &first).await.len(), 1, "{name}: one event");
    let left = bench.ttl(&keys::share_code(&session, related().tag())).await;
    assert!((1..=60_000).contains(&left), "{name}: {left}");

    // T-61: presented by another application it is burnt; a guess burns nothing.
    let stranger = ApplicationId::parse("stranger").expect("valid");
    let leaked = rng.random_bool(0.2);
    let guess = ShareCode::new(session, related().tag(), [7; 16]);
    let present = |code, application_id| Redemption {
        code,
        application_id,
        mac_key_id: 5,
        grace_seconds: 10,
        digests: ContextDigests { address: [1; 8], device: [0; 8] },
    };
    let own = related();
    let guessed = scripts::redeem(slot, &present(&guess, &own), &operation(now), now);
    assert_eq!(scripts::redeemed(bench.run(&guessed).await.expect("runs")), Ok(Redeemed::Missing), "{name}: a guess");
    if leaked {
        let by_stranger = operation(now);
        let call = scripts::redeem(slot, &present(&code, &stranger), &by_stranger, now);
        assert_eq!(scripts::redeemed(bench.run(&call).await.expect("runs")), Ok(Redeemed::Missing), "{name}: leaked");
        let told = bench.events(slot.bucket, &by_stranger).await;
        assert_eq!(told.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["share.refused"], "{name}");
    }
    let by_own = operation(now);
    let call = scripts::redeem(slot, &present(&code, &own), &by_own, now);
    let shared = SessionRecord {
        header: Header {
            flags: record.header.flags | SHARED,
            revision: record.header.revision.wrapping_add(1),
            last_activity_at: record.header.last_activity_at.max(now),
            ..record.header.clone()
        },
        ..record.clone()
    };
    let generation = first_generation(&record.header, now);
    let family = Family {
        mac_key_id: 5,
        scopes,
        first_generation: generation,
        generation,
        grace_seconds: 10,
        created_at: now,
        rotated_at: now,
        last_operation: by_own.mark,
        address: [1; 8],
        device: [0; 8],
        application_id: related(),
    };
    let (answer, stored) = match leaked {
        true => (Redeemed::Missing, record.clone()),
        false => (Redeemed::Done(Box::new(without_data(&shared)), family), shared),
    };
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(scripts::redeemed(reply), Ok(answer.clone()), "{name} {round}: redeem");
        assert_eq!(bench.bytes(&keys::session(&session)).await, Some(stored.encode()), "{name} {round}");
    }
    let again = scripts::redeem(slot, &present(&code, &own), &operation(now), now);
    assert_eq!(scripts::redeemed(bench.run(&again).await.expect("runs")), Ok(Redeemed::Missing), "{name}: single use");
    if !leaked {
        assert!(bench.ttl(&keys::families(&session)).await > 0, "{name}: families end with the record");
    }
    let met = compare_withdrawal(bench, &mut rng, slot, session, &stored, &name).await;
    clean(bench, &session, slot).await;
    vec![if leaked { "leaked" } else { "redeemed" }, met]
}

async fn compare_withdrawal(
    bench: &Bench,
    rng: &mut StdRng,
    slot: UserSlot,
    session: SessionId,
    record: &SessionRecord,
    name: &str,
) -> &'static str {
    let now = Timestamp::from_millis(BASE);
    let there = stored_family(bench, &session).await;
    let asking_tag = pick(rng, &[OWN, OWN, related().tag(), *b"stranger"]);
    let asked_at = pick(rng, &[Timestamp::MAX, now, Timestamp::from_millis(BASE - 1)]);
    let withdrawal = Withdrawal { asking_tag, application_tag: related().tag(), asked_at };
    let (token, outdated) = own_token(rng, session, record);
    let operation = operation(now);
    let takes = there.as_ref().is_some_and(|family| family.created_at <= asked_at);
    let may = asking_tag == OWN || asking_tag == related().tag();
    let shares = asking_tag == OWN || there.is_some();
    let expected = match &token {
        Some(_) if outdated || !may || !shares => Withdrawn::CallerOver(None),
        _ if !may => Withdrawn::Missing,
        _ if takes || asking_tag == OWN => Withdrawn::Done,
        _ => Withdrawn::Missing,
    };
    let call = scripts::withdraw_share(&session, slot, token.as_ref(), &withdrawal, &operation, now);
    let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(scripts::withdrawn(reply), Ok(expected.clone()), "{name}: withdraw {withdrawal:?} {token:?}");
    let gone = expected == Withdrawn::Done && takes;
    assert_eq!(stored_family(bench, &session).await, there.filter(|_| !gone), "{name}: {withdrawal:?}");
    let stored =
        SessionRecord::decode(&bench.bytes(&keys::session(&session)).await.expect("a record")).expect("readable");
    let lonely = bench.fields(&keys::families(&session)).await == 0;
    assert_eq!(stored.header.flags & SHARED == 0, record.header.flags & SHARED == 0 || (gone && lonely), "{name}");
    let events = bench.events(slot.bucket, &operation).await;
    assert_eq!(events.len(), usize::from(gone), "{name}: {events:?}");
    if gone { "withdrawn" } else { "kept" }
}

/// T-61, I-14: codes are single use and burnt by the wrong hands; what was withdrawn is gone.
#[tokio::test]
async fn t_61_sharing_redeeming_and_withdrawing_follow_their_models() {
    let bench = Bench::private().await;
    let mut met = BTreeMap::<&str, u64>::new();
    for index in 0..1500 {
        for what in compare_sharing(&bench, index).await {
            *met.entry(what).or_default() += 1;
        }
    }
    println!("met: {met:?}");
    assert_eq!(met.len(), 6, "{met:?}");
}
