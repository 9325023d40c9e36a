//! Operations that concern a person more than a session, as the store sees them: authentications, contexts, devices, settings.

use std::net::{IpAddr, Ipv4Addr};

use redis::{RedisResult, Value};
use shared::adapters::redis::scripts::{self, Ended, Judged, SteppedUp};
use shared::core::context::{ClientContext, differs};
use shared::core::crypto::SecretKey;
use shared::core::device::TrustLevel;
use shared::core::end_reason::EndReason;
use shared::core::fingerprint::Fingerprint;
use shared::core::id::SessionId;
use shared::core::ledger::{LedgerEntry, Told};
use shared::core::policy::{Effective, Policy, RiskPolicy};
use shared::core::privacy::Privacy;
use shared::core::record::SessionRecord;
use shared::core::risk::{History, Outcome, Scene, Verdict, judge};
use shared::core::session::{Liveness, liveness};
use shared::core::standing::Standing;
use shared::core::step_up::{Assertion, Refused, decide};

use super::model::{Answer, Model};
use super::operations::Done;
use super::rules::{ABSOLUTE_SECONDS_MAX, Authentication};
use super::search::Defect;
use super::world::{Context, Stopped, World, tag_of};
use crate::script_bench::{OWN, shifted};

/// How often a decision is taken anew when the record changes underneath it.
const DECISIONS_MAX: usize = 3;

fn routing() -> SecretKey {
    SecretKey::new([7; 32])
}

/// A client in one of three networks.
fn client(network: u8) -> ClientContext {
    let address = [Ipv4Addr::new(203, 0, 113, 9), Ipv4Addr::new(198, 51, 100, 9), Ipv4Addr::new(192, 0, 2, 9)];
    ClientContext { address: Some(IpAddr::V4(address[usize::from(network)])), ..ClientContext::default() }
}

/// Digest of a network under a session.
pub fn address(session: &SessionId, network: u8) -> [u8; 8] {
    client(network).digests(&routing(), session, Policy::default().finest_bits()).address
}

/// Rules under which a change of the network is judged like this.
fn rules(verdict: Verdict) -> Effective {
    let (step_up_at, quarantine_at, end_at) = match verdict {
        Verdict::Allow => (101, 101, 101),
        Verdict::StepUp => (1, 101, 101),
        Verdict::Quarantine => (1, 1, 101),
        Verdict::End => (1, 1, 1),
    };
    let risk = RiskPolicy { step_up_at, quarantine_at, end_at, ..RiskPolicy::default() };
    let policy = Policy { risk, absolute_timeout_seconds: 7200, ..Policy::default() };
    Policy { absolute_timeout_seconds_max: ABSOLUTE_SECONDS_MAX, ..policy }.effective(None, TrustLevel::New)
}

/// The record, if it lives by the clock of the environment.
async fn load(world: &World<'_>, context: &Context, session: usize) -> Result<Option<SessionRecord>, Stopped> {
    let (id, slot) = (world.ids.borrow()[session], world.slot(session));
    world.step(context).await?;
    world.may_read(context)?;
    let reply = world.bench.command(&scripts::read(&[id], slot)).await;
    let (records, epoch) = scripts::read_reply(reply).expect("readable");
    let alive = |record: &SessionRecord| liveness(&record.header, epoch, context.now) == Liveness::Alive;
    Ok(records.into_iter().next().flatten().filter(alive))
}

pub async fn step_up(
    world: &World<'_>,
    context: &Context,
    session: usize,
    ago: i64,
    idle: Option<u32>,
    absolute: Option<u64>,
) -> Done {
    let (id, slot, now) = (world.ids.borrow()[session], world.slot(session), context.now);
    let said = Authentication { at: shifted(now, -ago), idle, absolute };
    let assertion = Assertion {
        acr: None,
        amr: None,
        auth_time: said.at,
        idle_timeout_seconds: idle.map(u64::from),
        absolute_timeout_seconds: absolute,
    };
    for _ in 0..DECISIONS_MAX {
        let Some(record) = load(world, context, session).await? else { return Ok(()) };
        let stepped = decide(&record, &rules(Verdict::Allow), &assertion, context.operation.mark, now);
        let stale = world.model.borrow().is_stale(session, said.at, now);
        let refused = stepped == Err(Refused::Stale);
        world.claim(refused == stale, "T-63", || format!("{said:?} of {record:?} is stale: {stale}, {stepped:?}"));
        let Ok(stepped) = stepped else {
            world.meet("stale authentication");
            return Ok(());
        };
        world.told.borrow_mut()[session].quarantined = false;
        let mut revision = record.header.revision;
        if world.defect == Defect::StepUpUnjudged {
            // As if whatever is there by then had been judged.
            world.step(context).await?;
            revision = world.model.borrow().held.sessions.get(&session).map_or(revision, |held| held.revision);
        }
        let call = scripts::step_up(&id, slot, revision, &stepped, None, &context.operation, now);
        let read = |reply: RedisResult<Value>| match reply.map(scripts::stepped_up) {
            Ok(Ok(SteppedUp::Done(record))) => Answer::Handed(record.header.generation),
            Ok(Ok(SteppedUp::Moved)) => Answer::Moved,
            Ok(Ok(SteppedUp::Missing)) => Answer::Missing,
            Ok(Ok(SteppedUp::Ended(reason))) => Answer::Ended(reason),
            _ => Answer::Unknown,
        };
        match world.script(context, &call, read, |model, by| model.step_up(session, revision, said, by)).await? {
            Answer::Handed(generation) => {
                world.served(session);
                world.meet("stepped up");
                let told = &mut world.told.borrow_mut()[session];
                told.superseded = told.superseded.max(generation - 1);
                if told.newest[0].is_none_or(|(newest, _)| generation > newest) {
                    told.newest[0] = Some((generation, now));
                }
                return Ok(());
            }
            Answer::Moved => world.meet("moved before a step-up"),
            _ => return Ok(()),
        }
    }
    Ok(())
}

pub async fn visit(world: &World<'_>, context: &Context, session: usize, network: u8, verdict: Verdict) -> Done {
    let (id, slot, now) = (world.ids.borrow()[session], world.slot(session), context.now);
    for _ in 0..DECISIONS_MAX {
        let Some(record) = load(world, context, session).await? else {
            world.meet("read over");
            return Ok(());
        };
        if record.header.standing == Standing::Quarantined {
            world.meet("quarantined holder");
            return Ok(());
        }
        let quarantined = world.told.borrow()[session].quarantined && world.set_backs.get() == 0;
        world.claim(!quarantined, "I-6", || format!("session {session} is quarantined no more: {record:?}"));
        if !differs(record.header.address, address(&id, network)) {
            world.served(session);
            return Ok(());
        }
        let Some(found) = judged(&record, &id, network, verdict, context) else {
            return end_for_risk(world, context, session).await;
        };
        let standing = verdict.standing();
        let mut commitment = *found;
        if world.defect == Defect::StandingDropped {
            commitment.record.header.standing = Standing::Good;
        }
        let revision = record.header.revision;
        let call = scripts::judge(&id, slot, &commitment, true, &context.operation, now);
        let read = |reply: RedisResult<Value>| match reply.map(scripts::judged) {
            Ok(Ok(Judged::Done(_))) => Answer::Done,
            Ok(Ok(Judged::Moved)) => Answer::Moved,
            Ok(Ok(Judged::Missing)) => Answer::Missing,
            Ok(Ok(Judged::Ended(reason))) => Answer::Ended(reason),
            _ => Answer::Unknown,
        };
        let expect = |model: &mut Model, by| model.judge(session, revision, standing, address(&id, network), by);
        match world.script(context, &call, read, expect).await? {
            Answer::Done if verdict == Verdict::Quarantine => {
                world.meet("quarantined");
                world.told.borrow_mut()[session].quarantined = true;
                return Ok(());
            }
            Answer::Done => {
                world.served(session);
                world.meet(if verdict == Verdict::StepUp { "step-up demanded" } else { "context judged" });
                return Ok(());
            }
            Answer::Moved => world.meet("moved before a judgement"),
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// What the service makes of the request; nothing when the session has to end.
fn judged(
    record: &SessionRecord,
    id: &SessionId,
    network: u8,
    verdict: Verdict,
    context: &Context,
) -> Option<Box<shared::core::risk::Commitment>> {
    let (client, rules) = (client(network), rules(verdict));
    let privacy = Privacy::of_record(record.header.flags);
    let bits = rules.binding.bits();
    let fingerprint = Fingerprint::of(&client, &routing(), id, bits).permitted(privacy);
    let anchor = record.attributes.fingerprint();
    let scene = Scene {
        digests: client.digests(&routing(), id, Policy::default().finest_bits()).permitted(privacy),
        network: anchor.map_or(fingerprint.network, |anchor| anchor.network_of(&client, &routing(), id)),
        fingerprint,
        sighting: client.sighting(&routing(), record.header.user_tag).permitted(privacy),
        place: None,
        history: History::decode(&[]),
        now: context.now,
    };
    match judge(record, &rules, &scene) {
        Outcome::Commit(commitment) => Some(commitment),
        Outcome::End(_) => None,
        Outcome::Refused => unreachable!("nothing is bound to a network"),
    }
}

async fn end_for_risk(world: &World<'_>, context: &Context, session: usize) -> Done {
    let (id, slot, reason) = (world.ids.borrow()[session], world.slot(session), EndReason::Risk);
    world.record(context, LedgerEntry::Session { session: id, reason, application_tag: OWN }).await?;
    let call = scripts::end(&id, slot, None, OWN, reason, &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(scripts::ended) {
        Ok(Ok(Ended::Done(_))) => Answer::Done,
        Ok(Ok(Ended::Missing)) => Answer::Missing,
        _ => Answer::Unknown,
    };
    let expect = |model: &mut Model, by| model.end(session, false, None, reason, by);
    if world.script(context, &call, read, expect).await? == Answer::Done {
        world.meet("ended for its risk");
        world.told.borrow_mut()[session].ended = true;
    }
    Ok(())
}

pub async fn end_device(world: &World<'_>, context: &Context, user: usize, device: usize, blocked: bool) -> Done {
    let (slot, tag) = (world.slots[user], tag_of(device));
    let reason = if blocked { EndReason::DeviceBlocked } else { EndReason::DeviceRemoved };
    world.step(context).await?;
    let there: Vec<usize> = {
        let model = world.model.borrow();
        let on_it = |session: &usize| {
            let held = model.held.sessions.get(session);
            held.is_some_and(|held| held.device.is_some_and(|(on, _)| on == device))
        };
        model.of_user(user).into_iter().filter(on_it).collect()
    };
    let epoch = {
        let item = &mut world.items.borrow_mut()[user];
        item.devices[device] += 1;
        item.devices[device]
    };
    world.record(context, LedgerEntry::Device { slot, device: tag, epoch, reason }).await?;
    let call = scripts::end_device(slot, tag, epoch, reason, "demo", &context.operation, context.now);
    let read = |reply: RedisResult<Value>| match reply.map(|reply| scripts::device_ended(&reply)) {
        Ok(Ok(_)) => Answer::Done,
        _ => Answer::Unknown,
    };
    let expect = |model: &mut Model, by| {
        model.end_device(user, device, epoch, reason, by);
        Answer::Done
    };
    world.script(context, &call, read, expect).await?;
    world.meet(if there.is_empty() { "unused device ended" } else { "device ended" });
    for session in there {
        world.told.borrow_mut()[session].ended = true;
    }
    Ok(())
}

pub async fn set_privacy(world: &World<'_>, context: &Context, user: usize, privacy: Privacy) -> Done {
    // The release before knew no settings.
    if world.is_mixed() {
        return Ok(());
    }
    let slot = world.slots[user];
    world.step(context).await?;
    let version = {
        let item = &mut world.items.borrow_mut()[user];
        item.settings += 1;
        item.settings
    };
    if world.defect != Defect::PrivacyForgotten {
        world.record(context, LedgerEntry::Privacy { slot, privacy, version, told: Told::default() }).await?;
    }
    let call = scripts::set_privacy(slot, privacy, version, "demo", "", &context.operation);
    let read = |reply: RedisResult<Value>| match reply.map(|reply| scripts::privacy_set(&reply)) {
        Ok(Ok(true)) => Answer::Done,
        Ok(Ok(false)) => Answer::LaterSettings,
        _ => Answer::Unknown,
    };
    let expect = |model: &mut Model, by| model.set_privacy(user, privacy, version, by);
    match world.script(context, &call, read, expect).await? {
        Answer::Done => world.meet("settings changed"),
        Answer::LaterSettings => world.meet("settings overtaken"),
        _ => {}
    }
    let item = &mut world.items.borrow_mut()[user];
    if version > item.acknowledged.1 {
        item.acknowledged = (privacy, version);
    }
    Ok(())
}
