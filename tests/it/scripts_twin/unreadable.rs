//! Records of another release: every script leaves them byte for byte and says that it can not serve.

use redis::ErrorKind;
use shared::adapters::redis::connection::classify;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Call, Own, Writer};
use shared::core::context::ContextDigests;
use shared::core::end_reason::EndReason;
use shared::core::ledger::Spared;
use shared::core::lock::{Owner, Wanted};
use shared::core::record::{Header, State};
use shared::core::refresh_decision::Presented;
use shared::core::risk::{Commitment, Event};
use shared::core::time::Timestamp;
use shared::error::{Dependency, Error};

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OWN, case_rng, operation, random_header, random_session, random_slot, record_of, unreadable,
};

#[tokio::test]
async fn a_record_of_another_format_is_left_alone_and_unavailable() {
    let bench = Bench::private().await;
    for index in 0..200 {
        let mut rng = case_rng(SEED + 9, index);
        let now = Timestamp::from_millis(BASE);
        let slot = random_slot(&mut rng);
        let header = Header { state: State::Active, ..random_header(&mut rng, slot.tag, now) };
        let record = record_of(&mut rng, header);
        let bytes = unreadable(&mut rng, &record);
        let (session, healthy) = (random_session(slot), random_session(slot));
        bench.place_bytes(&session, slot, &bytes, now, now).await;
        let operation = operation(now);
        let presented = Presented {
            application_tag: OWN,
            generation: record.header.generation,
            operation: operation.mark,
            address: [0; 8],
            device: [0; 8],
            jkt: None,
            judged: None,
        };
        let commitment =
            Commitment { record: record.clone(), history: None, event: Event::ContextChanged, detail: String::new() };
        let reason = EndReason::Admin;
        let own = Own { session, auth_time: None };
        let owner = Owner([7; 16]);
        let calls: [(&str, Call); 10] = [
            ("refresh", scripts::refresh(&session, slot, &presented, &operation, now)),
            (
                "update",
                scripts::update(
                    &session,
                    slot,
                    OWN,
                    record.header.version,
                    None,
                    b"sealed",
                    Writer::default(),
                    &operation,
                    now,
                ),
            ),
            ("end", scripts::end(&session, slot, None, OWN, reason, &operation, now)),
            ("end as caller", scripts::end(&healthy, slot, Some(&own), OWN, reason, &operation, now)),
            ("judge", scripts::judge(&session, slot, &commitment, true, &operation, now)),
            ("note", scripts::note_session(&session, OWN, "session.binding_refused", "network", &operation)),
            ("touch", scripts::touch(&session, slot, now)),
            ("list as caller", scripts::list(slot, Some((&own, ContextDigests::default())), OWN, None, 10, now)),
            ("lock", scripts::lock(&session, slot, OWN, Wanted::Acquire, owner, 30, &operation, now)),
            ("unlock", scripts::unlock(&session, slot, OWN, owner, &operation, now)),
        ];
        for (what, call) in &calls {
            let name = format!("seed {SEED} unreadable {index} {what}: {bytes:?}");
            let error = bench.run(call).await.expect_err(&name);
            assert_eq!(error.code(), Some("UNREADABLE"), "{name}: {error}");
            assert_ne!(error.kind(), ErrorKind::UnexpectedReturnType, "{name}");
            let shown = classify(&error);
            let unavailable = matches!(&shown, Error::Unavailable { dependency: Dependency::Redis, .. });
            assert!(unavailable, "{name}: {shown:?}");
            assert_eq!(bench.bytes(&keys::session(&session)).await.as_ref(), Some(&bytes), "{name}");
            assert_eq!(bench.outbox(slot.bucket).await.len(), 0, "{name}");
            assert_eq!(bench.bytes(&keys::epoch(slot)).await, None, "{name}: nothing half done");
        }
        let read = bench.command(&scripts::read(&[session], slot)).await;
        assert!(scripts::read_reply(read).is_err(), "seed {SEED} unreadable {index}: {bytes:?}");
        // Ending everybody must not fail for it: the epoch ends it, whatever it is, and nobody can spare it.
        let spared = (index % 2 == 0).then_some(Spared { session, floor: 0 });
        bench.run(&scripts::revoke_user(slot, 1, spared.as_ref(), "demo", &operation, now)).await.expect("runs");
        assert_eq!(bench.bytes(&keys::epoch(slot)).await.as_deref(), Some(&b"1"[..]));
        assert_eq!(bench.bytes(&keys::session(&session)).await.as_ref(), Some(&bytes));
        bench.command(&redis::cmd("FLUSHALL")).await;
    }
}
