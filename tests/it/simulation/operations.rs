//! The operations of the service as the store sees them: which calls, in which order, under which marks. After each the
//! client's view is held to the promises.

use redis::{RedisResult, Value};
use shared::adapters::redis::scripts::{
    self, Claim, ClaimOn, Created, Ended, Limits, Locked, Redeemed, Redemption, Refreshed, Shared, Unlocked, Updated,
    Writer,
};
use shared::core::attributes::Attributes;
use shared::core::context::ContextDigests;
use shared::core::device::TrustLevel;
use shared::core::end_reason::EndReason;
use shared::core::family::SharedScopes;
use shared::core::id::SessionId;
use shared::core::ledger::{LedgerEntry, Spared};
use shared::core::lock::{Owner, Wanted};
use shared::core::policy::OnLimit;
use shared::core::privacy::Privacy;
use shared::core::record::{Header, SessionRecord, State};
use shared::core::refresh_decision::Presented;
use shared::core::session::{Liveness, liveness, touch_due};
use shared::core::share_code::ShareCode;
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

use super::model::{Answer, Model, New, Terms};
use super::persons;
use super::schedule::Op;
use super::search::Defect;
use super::world::{Context, Stopped, Told, World, other, tag_of, third};
use crate::script_bench::OWN;

pub type Done = Result<(), Stopped>;

/// How often a creation is tried when settings or device are others than it was built for.
const ADMISSIONS_MAX: usize = 3;

/// Runs one operation to its end, or to where it is stopped.
pub async fn perform(world: &World<'_>, context: &Context, op: &Op) -> Done {
    let pick = |number: usize| {
        let count = world.model.borrow().terms.len();
        let now = world.truth.get();
        // Most choices fall on what lives.
        let living: Vec<usize> = (0..count).filter(|session| world.model.borrow().lives(*session, now)).collect();
        match living.len() {
            living_count if living_count > 0 && !number.is_multiple_of(5) => Some(living[number / 5 % living_count]),
            _ => (count > 0).then(|| number % count),
        }
    };
    match *op {
        Op::Create { user, idle, absolute, grace, key, device } => {
            create(world, context, user, idle, absolute, grace, key, device).await
        }
        Op::Get { session } => match pick(session) {
            Some(session) => get(world, context, session).await,
            None => Ok(()),
        },
        Op::Update { session, stale, lock, sharer } => match pick(session) {
            Some(session) => update(world, context, session, stale, lock, sharer).await,
            None => Ok(()),
        },
        Op::Refresh { session, back, sharer } => match pick(session) {
            Some(session) => refresh(world, context, session, back, sharer).await,
            None => Ok(()),
        },
        Op::Lock { session } => match pick(session) {
            Some(session) => lock(world, context, session).await,
            None => Ok(()),
        },
        Op::Unlock { session, lock } => match pick(session) {
            Some(session) => unlock(world, context, session, lock).await,
            None => Ok(()),
        },
        Op::Share { session } => match pick(session) {
            Some(session) => share(world, context, session).await,
            None => Ok(()),
        },
        Op::Redeem { session, leaked } => match pick(session) {
            Some(session) => redeem(world, context, session, leaked).await,
            None => Ok(()),
        },
        Op::End { session, sharer } => match pick(session) {
            Some(session) => end(world, context, session, sharer).await,
            None => Ok(()),
        },
        Op::EndUser { user, spared } => end_user(world, context, user, spared.and_then(pick)).await,
        Op::Sweep { user } => sweep(world, context, user).await,
        Op::StepUp { session, ago, idle, absolute } => match pick(session) {
            Some(session) => persons::step_up(world, context, session, ago, idle, absolute).await,
            None => Ok(()),
        },
        Op::Visit { session, network, verdict } => match pick(session) {
            Some(session) => persons::visit(world, context, session, network, verdict).await,
            None => Ok(()),
        },
        Op::EndDevice { user, device, blocked } => persons::end_device(world, context, user, device, blocked).await,
        Op::SetPrivacy { user, privacy } => persons::set_privacy(world, context, user, privacy).await,
    }
}

async fn create(
    world: &World<'_>,
    context: &Context,
    user: usize,
    idle: u32,
    absolute: u64,
    grace: u16,
    key: Option<u8>,
    device: Option<usize>,
) -> Done {
    let slot = world.slots[user];
    let id = SessionId::from_parts(slot.bucket, world.bytes());
    let session = world.ids.borrow().len();
    let now = context.now;
    let terms = Terms { user, created: now, absolute: now.plus_seconds(absolute), idle, grace, name: id.key_text() };
    let mut new = New {
        data: world.bytes::<12>().to_vec(),
        address: persons::address(&id, 0),
        device: None,
        privacy: Privacy::default(),
    };
    world.ids.borrow_mut().push(id);
    world.told.borrow_mut().push(Told::default());
    world.model.borrow_mut().terms.push(terms.clone());
    let mut of_user = world.model.borrow().limit;
    if world.defect == Defect::LimitRaised {
        of_user.max += 1;
    }
    let claim = key.map(|key| Claim { name: format!("user-{user}-key-{key}"), on: ClaimOn::Payload([key; 16]) });
    let limits = Limits { of_user, of_type: None };
    // The release before asks for devices by another call.
    let device = device.filter(|_| !world.runs_release_before(context));
    let numbers = |ids: &[SessionId]| ids.iter().map(|id| world.number(id)).collect::<Vec<_>>();
    let read = |reply: RedisResult<Value>| match reply.map(|reply| scripts::created(slot.bucket, reply)) {
        Ok(Ok(Created::Admitted { evicted, .. })) => Answer::Created { session, evicted: numbers(&evicted) },
        Ok(Ok(Created::Replayed { session, evicted })) => {
            Answer::Created { session: world.number(&session), evicted: numbers(&evicted) }
        }
        Ok(Ok(Created::LimitReached)) => Answer::Limit,
        Ok(Ok(Created::PrivacyDiffers(privacy))) => Answer::OtherPrivacy(privacy),
        Ok(Ok(Created::DeviceChanged)) => Answer::OtherDevice,
        Err(error) if error.code() == Some("COLLISION") => Answer::Collision,
        _ => Answer::Unknown,
    };
    let mut answer = Answer::Unknown;
    for _ in 0..ADMISSIONS_MAX {
        new.device = match device {
            None => None,
            Some(device) => {
                world.step(context).await?;
                Some((device, world.items.borrow()[user].devices[device]))
            }
        };
        let mut record = record(world, &terms, context, &new);
        if world.defect == Defect::DeviceUnread {
            record.header.device_epoch = u32::MAX;
        }
        let call = scripts::create(
            &id,
            slot,
            (&record, Privacy::default()),
            limits,
            None,
            &context.operation,
            claim.as_ref(),
            None,
            now,
        );
        let expect = |model: &mut Model, by| model.create(session, key, new.clone(), by);
        answer = world.script(context, &call, read, expect).await?;
        match answer {
            Answer::OtherPrivacy(privacy) => {
                world.meet("created for other settings");
                new.privacy = privacy;
            }
            Answer::OtherDevice => world.meet("device ended meanwhile"),
            _ => break,
        }
    }
    match answer {
        Answer::Created { session: made, evicted } => {
            let set_backs = world.set_backs.get();
            for victim in &evicted {
                world.meet("evicted");
                let session = world.ids.borrow()[*victim];
                let entry = LedgerEntry::Session { session, reason: EndReason::Evicted, application_tag: OWN };
                world.record(context, entry).await?;
            }
            world.meet(if made == session { "created" } else { "created before" });
            let mut told = world.told.borrow_mut();
            // Only the script knows whom it evicts: when the store loses that before the ledger has it, they live on.
            for victim in evicted.into_iter().filter(|_| world.set_backs.get() == set_backs) {
                told[victim].ended = true;
            }
            told[made].newest[0].get_or_insert((1, now));
        }
        Answer::Limit => {
            let on_limit = world.model.borrow().limit.on_limit;
            world.claim(on_limit == OnLimit::Reject, "I-4", || "a newcomer was rejected".into());
            world.meet("limit");
        }
        _ => {}
    }
    Ok(())
}

fn record(world: &World<'_>, terms: &Terms, context: &Context, new: &New) -> SessionRecord {
    let header = Header {
        state: State::Active,
        mac_key_id: 1,
        version: 1,
        revision: 1,
        epoch: 0,
        generation: 1,
        idle_timeout_seconds: terms.idle,
        grace_seconds: terms.grace,
        created_at: terms.created,
        last_activity_at: terms.created,
        absolute_expires_at: terms.absolute,
        rotated_at: terms.created,
        ended_at: Timestamp::from_millis(0),
        last_operation: context.operation.mark,
        user_tag: world.slots[terms.user].tag,
        application_tag: OWN,
        address: new.address,
        device: [0; 8],
        standing: Standing::Good,
        trust: TrustLevel::New,
        risk_score: 0,
        flags: new.privacy.record_flags(),
        superseded_generation: 0,
        device_epoch: new.device.map_or(0, |(_, epoch)| epoch),
    };
    let attributes = Attributes {
        user_id: "ada".into(),
        application_id: "demo".into(),
        address_prefix: new.privacy.location().then(|| "203.0.113.0/24".into()),
        user_agent: new.privacy.fingerprinting().then(|| "Firefox".into()),
        device_tag: new.device.map(|(device, _)| tag_of(device)),
        ..Attributes::default()
    };
    SessionRecord { header, attributes, sealed: new.data.clone() }
}

async fn get(world: &World<'_>, context: &Context, session: usize) -> Done {
    let (id, slot) = (world.ids.borrow()[session], world.slot(session));
    world.step(context).await?;
    world.may_read(context)?;
    let reply = world.bench.command(&scripts::read(&[id], slot)).await;
    let (records, epoch) = scripts::read_reply(reply).expect("readable");
    let record = records.into_iter().next().flatten();
    let alive = |record: &&SessionRecord| liveness(&record.header, epoch, context.now) == Liveness::Alive;
    let Some(record) = record.as_ref().filter(alive) else {
        world.meet("read over");
        return Ok(());
    };
    world.meet("read");
    world.served(session);
    if touch_due(&record.header, context.now) {
        let read = |reply: RedisResult<Value>| match reply.map(|reply| scripts::touched(&reply)) {
            Ok(Ok(true)) => Answer::Done,
            Ok(Ok(false)) => Answer::Missing,
            _ => Answer::Unknown,
        };
        let call = scripts::touch(&id, slot, context.now);
        let expect = |touched: bool| if touched { Answer::Done } else { Answer::Missing };
        world.script(context, &call, read, |model, by| expect(model.touch(session, by))).await?;
        world.meet("touched");
    }
    Ok(())
}

fn owner(lock: usize) -> Owner {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&lock.to_be_bytes());
    Owner(bytes)
}

/// Updates rely on a lock that the client was granted, the chosen one counted from the newest.
async fn update(
    world: &World<'_>,
    context: &Context,
    session: usize,
    stale: u32,
    lock: Option<usize>,
    sharer: bool,
) -> Done {
    let (id, slot) = (world.ids.borrow()[session], world.slot(session));
    let version = world.model.borrow().held.sessions.get(&session).map_or(1, |held| held.version);
    let expected = version.saturating_sub(stale);
    let granted: Vec<usize> = world.told.borrow()[session].locks.iter().map(|(lock, _)| *lock).collect();
    let lock = lock.filter(|_| !granted.is_empty()).map(|back| granted[granted.len() - 1 - back % granted.len()]);
    let tag = if sharer { other().tag() } else { OWN };
    let data = world.bytes::<12>().to_vec();
    let writer = Writer { lock: lock.map(owner), ..Writer::default() };
    let call = scripts::update(&id, slot, tag, expected, None, &data, writer, &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::updated) {
        Ok(Ok(Updated::Done(..))) => Answer::Done,
        Ok(Ok(Updated::Missing)) => Answer::Missing,
        Ok(Ok(Updated::Ended(reason))) => Answer::Ended(reason),
        Ok(Ok(Updated::OtherVersion(version))) => Answer::Version(version),
        Ok(Ok(Updated::Locked(_))) => Answer::Locked,
        Ok(Ok(Updated::LockLost)) => Answer::LockLost,
        _ => Answer::Unknown,
    };
    let answer = world
        .script(context, &call, read, |model, by| model.update(session, sharer, expected, lock, data.clone(), by))
        .await?;
    match answer {
        Answer::Done => {
            world.served(session);
            world.meet(if lock.is_some() { "written under a lock" } else { "written" });
            if let Some(lock) = lock {
                // A lock granted since that write was sent is newer, and its holder has not written yet.
                let newest = world.told.borrow()[session].locks.last().map(|(lock, _)| *lock);
                let fresh = world.told.borrow()[session].locks.iter().any(|(granted, _)| *granted == lock);
                world.claim(!fresh || newest == Some(lock), "I-12", || format!("lock {lock} wrote after {newest:?}"));
            }
        }
        Answer::Version(_) => world.meet("stale write"),
        Answer::Locked | Answer::LockLost => world.meet("lock refused a write"),
        _ => {}
    }
    Ok(())
}

async fn refresh(world: &World<'_>, context: &Context, session: usize, back: u32, sharer: bool) -> Done {
    let (id, slot, family) = (world.ids.borrow()[session], world.slot(session), usize::from(sharer));
    let Some((newest, handed_at)) = world.told.borrow()[session].newest[family] else { return Ok(()) };
    let generation = newest.saturating_sub(back).max(1);
    let tag = if sharer { other().tag() } else { OWN };
    let presented = Presented {
        application_tag: tag,
        generation,
        operation: context.operation.mark,
        address: [0; 8],
        device: [0; 8],
        jkt: None,
        judged: None,
    };
    let call = scripts::refresh(&id, slot, &presented, &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::refreshed) {
        Ok(Ok(Refreshed::Rotated(record) | Refreshed::Healed(record) | Refreshed::Successor(record))) => {
            Answer::Handed(record.header.generation)
        }
        Ok(Ok(Refreshed::Missing)) => Answer::Missing,
        Ok(Ok(Refreshed::Ended(reason) | Refreshed::Lapsed(reason))) => Answer::Ended(reason),
        Ok(Ok(Refreshed::Replay { .. })) => Answer::Replay,
        Ok(Ok(Refreshed::Superseded)) => Answer::Superseded,
        Ok(Ok(Refreshed::Quarantined(_))) => Answer::Quarantined,
        _ => Answer::Unknown,
    };
    let answer = world.script(context, &call, read, |model, by| model.refresh(session, sharer, generation, by)).await?;
    match answer {
        Answer::Handed(next) => {
            world.served(session);
            world.claim(next == generation + 1, "I-2", || format!("{generation} was followed by {next}"));
            let window = i64::from(world.model.borrow().terms[session].grace).max(10) * 1000 + 2 * 3_000;
            let consumed =
                newest > generation + 1 || (newest == generation + 1 && context.now.millis_since(handed_at) > window);
            let proved = consumed && world.set_backs.get() == 0;
            {
                let told = &world.told.borrow()[session];
                let outdated = told.quarantined || !sharer && generation <= told.superseded;
                let outdated = outdated && world.set_backs.get() == 0;
                world.claim(!outdated, "I-6", || {
                    format!("generation {generation} was good after {:?}", told.superseded)
                });
            }
            world.claim(!proved, "I-3", || format!("generation {generation} of {newest} was good again"));
            world.meet(match (next > newest, sharer) {
                (true, false) => "rotated",
                (true, true) => "share rotated",
                (false, _) => "successor",
            });
            let told = &mut world.told.borrow_mut()[session].newest[family];
            if told.is_none_or(|(newest, _)| next > newest) {
                *told = Some((next, context.now));
            }
        }
        Answer::Replay => {
            world.meet("replay");
            let set_backs = world.set_backs.get();
            let entry = LedgerEntry::Session { session: id, reason: EndReason::Reuse, application_tag: OWN };
            world.record(context, entry).await?;
            world.told.borrow_mut()[session].ended |= world.set_backs.get() == set_backs;
        }
        Answer::Superseded => world.meet("token from before a step-up"),
        Answer::Quarantined => world.meet("quarantined token"),
        _ => world.meet("refused"),
    }
    Ok(())
}

async fn lock(world: &World<'_>, context: &Context, session: usize) -> Done {
    let (id, slot) = (world.ids.borrow()[session], world.slot(session));
    let number = usize::try_from(world.next()).expect("small");
    let (wanted, operation) = (Wanted::Acquire, &context.operation);
    let call = scripts::lock(&id, slot, OWN, wanted, owner(number), 300, operation, context.now);
    let fence = std::cell::Cell::new(0);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::locked) {
        Ok(Ok(Locked::Granted { fence: granted, .. })) => {
            fence.set(granted);
            Answer::Done
        }
        Ok(Ok(Locked::HeldByAnother(_))) => Answer::Locked,
        Ok(Ok(Locked::Missing)) => Answer::Missing,
        Ok(Ok(Locked::Ended(reason))) => Answer::Ended(reason),
        _ => Answer::Unknown,
    };
    let answer = world.script(context, &call, read, |model, by| model.lock(session, number, by)).await?;
    if answer == Answer::Done {
        world.meet("locked");
        let locks = &mut world.told.borrow_mut()[session].locks;
        let highest = locks.iter().map(|(_, fence)| *fence).max().unwrap_or(0);
        world.claim(fence.get() > highest, "I-12", || format!("fence {} after {highest}", fence.get()));
        locks.push((number, fence.get()));
    }
    Ok(())
}

async fn unlock(world: &World<'_>, context: &Context, session: usize, back: usize) -> Done {
    let (id, slot) = (world.ids.borrow()[session], world.slot(session));
    let granted: Vec<usize> = world.told.borrow()[session].locks.iter().map(|(lock, _)| *lock).collect();
    let Some(lock) = granted.len().checked_sub(1).map(|last| granted[last - back % granted.len()]) else {
        return Ok(());
    };
    let call = scripts::unlock(&id, slot, OWN, owner(lock), &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::unlocked) {
        Ok(Ok(Unlocked::Done)) => Answer::Done,
        Ok(Ok(Unlocked::Lost)) => Answer::LockLost,
        Ok(Ok(Unlocked::Missing)) => Answer::Missing,
        Ok(Ok(Unlocked::Ended(reason))) => Answer::Ended(reason),
        _ => Answer::Unknown,
    };
    if world.script(context, &call, read, |model, by| model.unlock(session, lock, by)).await? == Answer::Done {
        world.meet("unlocked");
    }
    Ok(())
}

async fn share(world: &World<'_>, context: &Context, session: usize) -> Done {
    let (id, slot, number) = (world.ids.borrow()[session], world.slot(session), world.next());
    let code = ShareCode::new(id, other().tag(), world.bytes());
    let call = scripts::share(slot, OWN, &code, SharedScopes::all(), &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::shared) {
        Ok(Ok(Shared::Done)) => Answer::Done,
        Ok(Ok(Shared::Missing)) => Answer::Missing,
        Ok(Ok(Shared::Refused)) => Answer::Refused,
        Ok(Ok(Shared::Ended(reason))) => Answer::Ended(reason),
        _ => Answer::Unknown,
    };
    if world.script(context, &call, read, |model, by| model.share(session, number, by)).await? == Answer::Done {
        world.meet("shared");
        world.told.borrow_mut()[session].code = Some((number, code));
    }
    Ok(())
}

async fn redeem(world: &World<'_>, context: &Context, session: usize, leaked: bool) -> Done {
    let slot = world.slot(session);
    let Some((number, code)) = world.told.borrow()[session].code.clone() else { return Ok(()) };
    let application = if leaked { third() } else { other() };
    let digests = ContextDigests { address: [0; 8], device: [0; 8] };
    let redemption =
        Redemption { code: &code, application_id: &application, mac_key_id: 1, grace_seconds: 10, digests };
    let call = scripts::redeem(slot, &redemption, &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::redeemed) {
        Ok(Ok(Redeemed::Done(_, family))) => Answer::Handed(family.generation),
        Ok(Ok(Redeemed::Missing)) => Answer::Missing,
        Ok(Ok(Redeemed::Refused)) => Answer::Refused,
        Ok(Ok(Redeemed::Ended(reason))) => Answer::Ended(reason),
        _ => Answer::Unknown,
    };
    // The release before used up the code of a session that is over, so that a second answer was another one.
    let told = |answer| match answer {
        Answer::Ended(_) | Answer::Refused if world.is_mixed() => Answer::Missing,
        answer => answer,
    };
    let expect = |model: &mut Model, by| told(model.redeem(session, number, leaked, by));
    let answer = world.script(context, &call, |reply| told(read(reply)), expect).await?;
    if let Answer::Handed(generation) = answer {
        world.claim(!leaked, "I-9", || "an application took a code that was for another".into());
        world.served(session);
        world.meet("redeemed");
        let told = &mut world.told.borrow_mut()[session].newest[1];
        if told.is_none_or(|(newest, _)| generation > newest) {
            *told = Some((generation, context.now));
        }
    }
    Ok(())
}

async fn end(world: &World<'_>, context: &Context, session: usize, sharer: bool) -> Done {
    let (id, slot) = (world.ids.borrow()[session], world.slot(session));
    let (reason, application_tag) = (EndReason::Admin, if sharer { other().tag() } else { OWN });
    world.record(context, LedgerEntry::Session { session: id, reason, application_tag }).await?;
    let call = scripts::end(&id, slot, None, application_tag, reason, &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::ended) {
        Ok(Ok(Ended::Done(_))) => Answer::Done,
        Ok(Ok(Ended::Missing)) => Answer::Missing,
        _ => Answer::Unknown,
    };
    let expect = |model: &mut Model, by| model.end(session, sharer, None, reason, by);
    if world.script(context, &call, read, expect).await? == Answer::Done {
        world.meet(if sharer { "share ended" } else { "ended" });
        world.told.borrow_mut()[session].ended |= !sharer;
    }
    Ok(())
}

async fn end_user(world: &World<'_>, context: &Context, user: usize, spared: Option<usize>) -> Done {
    let slot = world.slots[user];
    let spared = spared.filter(|session| world.model.borrow().terms[*session].user == user);
    world.step(context).await?;
    // Whoever began before is over when the answer is there; whoever begins meanwhile may be.
    let there: Vec<usize> = {
        let model = world.model.borrow();
        model.of_user(user).into_iter().filter(|session| model.held.sessions.contains_key(session)).collect()
    };
    let (epoch, exception) = {
        let item = &mut world.items.borrow_mut()[user];
        item.spared = spared.map(|session| match item.spared {
            Some(before) if before.session == world.ids.borrow()[session] => before,
            _ => Spared { session: world.ids.borrow()[session], floor: item.epoch },
        });
        item.epoch += 1;
        (item.epoch, item.spared)
    };
    world.record(context, LedgerEntry::User { slot, epoch, spared: exception }).await?;
    let call = scripts::revoke_user(slot, epoch, exception.as_ref(), "demo", &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::revoked) {
        Ok(Ok(_)) => Answer::Done,
        _ => Answer::Unknown,
    };
    let floor = exception.map(|exception| exception.floor);
    world
        .script(context, &call, read, |model, by| {
            model.revoke(user, epoch, spared.zip(floor), by);
            Answer::Done
        })
        .await?;
    world.meet(if spared.is_some() { "user ended but one" } else { "user ended" });
    let mut told = world.told.borrow_mut();
    for session in there.into_iter().filter(|session| Some(*session) != spared) {
        told[session].ended = true;
    }
    Ok(())
}

async fn sweep(world: &World<'_>, context: &Context, user: usize) -> Done {
    let bucket = world.slots[user].bucket;
    let call = scripts::sweep(bucket, &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::swept) {
        Ok(Ok(_)) => Answer::Done,
        _ => Answer::Unknown,
    };
    world
        .script(context, &call, read, |model, by| {
            model.sweep(user, by);
            Answer::Done
        })
        .await?;
    Ok(())
}
