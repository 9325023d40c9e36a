//! Names that are computed: keys, pseudonyms, digests, ids of events that are told once. They are read by being computed again,
//! so one that comes out otherwise is another user's, another lock, or told twice.

use std::fmt::Debug;
use std::net::IpAddr;

use shared::adapters::redis::keys;
use shared::core::context::ClientContext;
use shared::core::crypto::hex;
use shared::core::device_tag::DeviceTag;
use shared::core::id::{ApplicationId, SessionId, UserId, UserSlot};
use shared::core::legacy_session;
use shared::core::lock::{Issued, Lock, LockToken};
use shared::core::policy::PrefixBits;
use shared::core::rate::{Counted, Network, Party, Quota};
use shared::core::refusal;
use shared::core::share_code::ShareCode;
use shared::service::catch_up;

use super::items::entries;
use super::records::{at, key, session, slot};
use super::{Format, Guard, Read, text};

const IPV4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

fn lines() -> String {
    let mut lines = Vec::new();
    let mut say = |name: &str, value: &dyn Debug| lines.push(format!("{name}: {value:?}"));
    let user = UserId::parse("ada").expect("a user");
    let of_user = UserSlot::of(&key(), "shop", &user);
    say("subject", &of_user.subject());
    let minted = SessionId::mint(of_user, *b"random ten", &key());
    say("session", &minted.to_string());
    say("user of the session", &minted.user_slot(&key()).subject());
    say("chain", &session().bucket().chain_group());
    let application = ApplicationId::parse("demo").expect("an id").tag();
    say("application", &hex(&application));
    let device = DeviceTag::of(&key(), slot(), "phone-1");
    say("device", &device.text());
    say("legacy session", &hex(&legacy_session::digest(&key(), "demo", &user, "of old")));
    let code = ShareCode::new(session(), application, [4; 16]);
    say("share code", &hex(&code.digest()));

    let context = ClientContext {
        address: Some(IPV4),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
        fingerprint: Some("opaque".into()),
        language: Some("de-AT".into()),
        platform: Some("Linux".into()),
        place: None,
    };
    let digests = context.digests(&key(), &session(), PrefixBits { v4: 24, v6: 56 });
    say("address", &hex(&digests.address));
    say("traits", &hex(&digests.device));
    let sighting = context.sighting(&key(), slot().tag);
    say("network in the history", &hex(&sighting.network));
    say("device in the history", &hex(&sighting.device));

    let source = Party::Source { application, network: Network::of(IPV4) };
    let parties = [("application", Party::Application(application)), ("holder", Party::Holder(session()))];
    for (name, party) in parties.into_iter().chain([("source", source)]) {
        for counted in [Counted::Requests, Counted::Misses] {
            say(&format!("{counted:?} of {name}"), &keys::rate(&party.place(counted, &key())));
        }
    }
    let place = source.place(Counted::Requests, &key());
    let refused = refusal::event_id(&place, "rate_limited", Some(Quota::Address), refusal::minute(at(0)));
    say("refusal", &hex(&refused));
    for entry in entries() {
        let operation = catch_up::operation_of(&entry, at(6));
        say(&entry.sort_key(), &(operation.event_id, hex(&operation.mark), operation.common));
    }

    let owner = LockToken::new([5; 16]).owner();
    let lock = Lock { owner, fence: 1_790_000_000_001, renewals: 2, granted_at: at(1), operation: *b"operate!" };
    say("lock", &hex(&lock.encode()));
    say("fences", &hex(&Issued { highest: lock.fence, released_by: owner.mark() }.encode()));
    let (id, bucket) = (session(), session().bucket());
    for name in [
        keys::session(&id),
        keys::index(slot()),
        keys::epoch(slot()),
        keys::expiry_queue(bucket),
        keys::outbox(bucket),
        keys::claim(bucket, "digest"),
        keys::history(slot()),
        keys::privacy(slot()),
        keys::device_epoch(slot(), device),
        keys::families(&id),
        keys::share_code(&id, application),
        keys::lock(&id),
        keys::issued_fences(&id),
        keys::used_proof(bucket, "digest"),
        keys::marker(bucket),
        keys::touched(bucket),
        keys::turns(bucket),
    ] {
        say("key", &name);
    }
    lines.join("\n")
}

pub fn formats() -> Vec<Format> {
    vec![Format {
        name: "names",
        guard: Guard::Genuine,
        sample: || lines().into_bytes(),
        read: |bytes| {
            let found = text(bytes).filter(|text| *text == lines())?;
            Some(Read { says: found.to_owned(), again: Some(bytes.to_vec()) })
        },
        later: &[],
    }]
}
