//! Every reader of outside bytes has a target: the sources are searched for readers, and each is named here with what feeds
//! it, or with the reason why nothing does.

use std::collections::BTreeSet;

use super::{all, parsers};
use crate::repository::sources::sources;

/// Readers by file, with their targets. `=` begins a reason.
const READERS: &[(&str, &str, &str)] = &[
    ("access_token.rs", "verify", "access-token"),
    ("access_token.rs", "verify_at_any_time", "access-token"),
    ("access_token.rs", "from_pkcs8", "=keys of our own, unwrapped by KMS"),
    ("activity.rs", "open", "activity-properties"),
    ("alerts/rules.rs", "parse", "=a word, looked up in a list"),
    ("analytics/calendar.rs", "parse", "time-zone"),
    ("analytics/query.rs", "parse", "time-zone"),
    ("analytics/sample.rs", "parse", "samples"),
    ("analytics/distinct.rs", "merge", "distinct"),
    ("analytics/spread.rs", "merge", "spread"),
    ("application_key.rs", "parse", "application-key"),
    ("application_key.rs", "parse_basic", "application-key"),
    ("attributes.rs", "decode", "attributes"),
    ("audit_anchor.rs", "decode", "audit-anchor"),
    ("audit_personal.rs", "open", "audit-personal"),
    ("client_jws.rs", "parse", "client-jws"),
    ("crypto.rs", "decode", "session-id"),
    ("crypto.rs", "decode_vec", "export-cursor"),
    ("crypto.rs", "open", "session-data"),
    ("dbsc.rs", "parse", "dbsc-registration"),
    ("dbsc.rs", "verify", "dbsc-code"),
    ("device.rs", "from_code", "session-record"),
    ("device.rs", "parse", "=a word, looked up in a list"),
    ("device_tag.rs", "from_bytes", "attributes"),
    ("device_tag.rs", "parse", "ledger-device"),
    ("device_trust.rs", "parse", "=a word, looked up in a list"),
    ("dpop.rs", "verify", "dpop-proof"),
    ("end_reason.rs", "from_code", "session-tombstone"),
    ("end_reason.rs", "parse", "=a word, looked up in a list"),
    ("envelope.rs", "open", "session-data"),
    ("export.rs", "parse", "export-cursor"),
    ("family.rs", "decode", "family"),
    ("family.rs", "from_bits", "family"),
    ("fingerprint.rs", "decode", "fingerprint"),
    ("id.rs", "from_bytes", "session-record"),
    ("id.rs", "from_key_text", "ledger-session"),
    ("id.rs", "from_parts", "session-id"),
    ("id.rs", "parse", "session-id"),
    ("json.rs", "parse", "json-body"),
    ("keyring.rs", "verifying_keys", "key-ring"),
    ("ledger.rs", "parse_sort_key", "ledger-session"),
    ("lock.rs", "parse", "lock-token"),
    ("place.rs", "decode", "place"),
    ("privacy.rs", "from_bits", "=every byte is a set of settings"),
    ("public_key.rs", "from_bytes", "jwk"),
    ("public_key.rs", "from_jwk", "jwk"),
    ("receiver_url.rs", "parse", "receiver-url"),
    ("record.rs", "decode", "session-record"),
    ("refresh_token.rs", "verify", "refresh-token"),
    ("risk/history.rs", "decode", "history"),
    ("risk/signals.rs", "from_bits", "risk-note"),
    ("risk/verdict.rs", "decode", "risk-note"),
    ("sealed_document.rs", "open", "user-state"),
    ("share_code.rs", "parse", "share-code"),
    ("standing.rs", "from_code", "session-record"),
    ("time.rs", "from_millis", "=any number is clamped"),
    ("time.rs", "from_seconds", "=any number is clamped"),
    ("time.rs", "parse", "instant"),
    ("user_agent.rs", "parse", "user-agent"),
];

/// What begins the name of a reader.
const BEGINNINGS: [&str; 5] = ["parse", "decode", "from_", "open", "verify"];

fn readers() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (path, code) in sources("shared/src/core") {
        let file = path.strip_prefix("shared/src/core/").expect("of the core").to_owned();
        for line in code.lines() {
            let Some(rest) = line.trim_start().strip_prefix("pub fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) || name == "merge" {
                found.insert((file.clone(), name));
            }
        }
    }
    found
}

#[test]
fn every_reader_of_the_core_is_fed() {
    let listed: BTreeSet<(String, String)> =
        READERS.iter().map(|(file, name, _)| ((*file).to_owned(), (*name).to_owned())).collect();
    let found = readers();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "not in the registry: {missing:?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "in the registry only: {gone:?}");
    let formats = all().into_iter().map(|format| format.name.to_owned());
    let targets: BTreeSet<String> = formats.chain(parsers::targets().into_iter().map(|target| target.name)).collect();
    for (file, name, target) in READERS {
        assert!(target.starts_with('=') || targets.contains(*target), "{file}: {name} names no target: {target}");
    }
}
