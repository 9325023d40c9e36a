//! What callers are handed, and bring back.

use shared::adapters::redis::scripts::PageCursor;
use shared::core::access_token::{self, VerifyingKey};
use shared::core::application_key::ApplicationKey;
use shared::core::audit_page;
use shared::core::crypto;
use shared::core::dbsc::{self, Registration};
use shared::core::export::Cursor;
use shared::core::id::{ApplicationId, SessionId};
use shared::core::lock::LockToken;
use shared::core::nonce;
use shared::core::refresh_token::RefreshToken;
use shared::core::share_code::ShareCode;
use shared::service::list;
use shared::service::verify_audit::Progress;

use super::records::{at, key, session};
use super::{Format, Guard, Read, text};

fn says(value: impl std::fmt::Debug, again: String) -> Read {
    Read { says: format!("{value:#?}"), again: Some(again.into_bytes()) }
}

fn refresh_token() -> RefreshToken {
    RefreshToken { mac_key_id: 3, session: session(), application_tag: *b"own-app-", generation: 6 }
}

fn registration() -> Registration {
    Registration { mac_key_id: 3, session: session(), created_at: 1_790_000_000 }
}

fn filter() -> audit_page::Filter {
    audit_page::Filter { application_id: "demo".into(), ..Default::default() }
}

/// Signatures are drawn with random numbers, so this one was made once.
pub const ACCESS_TOKEN: &str = include_str!("../fixtures/golden/access_token.txt");
pub const ACCESS_TOKEN_KEY: &str = include_str!("../fixtures/golden/access_token_key.json");

fn read_access_token(bytes: &[u8]) -> Option<Read> {
    let key: VerifyingKey = serde_json::from_str(ACCESS_TOKEN_KEY).expect("a key");
    let claims = access_token::verify(text(bytes)?, &[key], "https://sessions.example", at(10)).ok()?;
    Some(Read { says: serde_json::to_string_pretty(&claims).expect("JSON"), again: None })
}

pub fn formats() -> Vec<Format> {
    let genuine = Guard::Genuine;
    vec![
        Format {
            name: "access-token",
            guard: genuine,
            sample: || ACCESS_TOKEN.trim().as_bytes().to_vec(),
            read: read_access_token,
            later: &[],
        },
        Format {
            name: "refresh-token",
            guard: genuine,
            sample: || refresh_token().encode(&key()).into_bytes(),
            read: |bytes| {
                let (key, text) = (key(), text(bytes)?);
                let token = RefreshToken::verify(text, |id| (id == 3).then_some(&key))?;
                Some(says(token, token.encode(&key)))
            },
            later: &[],
        },
        Format {
            name: "session-id",
            guard: Guard::Open,
            sample: || session().to_string().into_bytes(),
            read: |bytes| SessionId::parse(text(bytes)?).map(|id| says(id.bucket(), id.to_string())),
            later: &[],
        },
        Format {
            name: "share-code",
            guard: Guard::Open,
            sample: || ShareCode::new(session(), *b"other-ap", [4; 16]).text().into_bytes(),
            read: |bytes| {
                let code = ShareCode::parse(text(bytes)?)?;
                Some(says((code.session.to_string(), code.application_tag, code.digest()), code.text()))
            },
            later: &[],
        },
        Format {
            name: "lock-token",
            guard: Guard::Open,
            sample: || LockToken::new([5; 16]).expose().into_bytes(),
            read: |bytes| LockToken::parse(text(bytes)?).map(|token| says(token.owner(), token.expose())),
            later: &[],
        },
        Format {
            name: "application-key",
            guard: Guard::Open,
            sample: || {
                let id = ApplicationId::parse("demo").expect("an application id");
                ApplicationKey::new(id, [6; 32]).reveal().into_bytes()
            },
            read: |bytes| {
                let key = ApplicationKey::parse(text(bytes)?)?;
                Some(says((key.application_id.as_str().to_owned(), key.digest()), key.reveal()))
            },
            later: &[],
        },
        Format {
            name: "dpop-nonce",
            guard: genuine,
            sample: || nonce::issue(&key(), at(0)).into_bytes(),
            read: |bytes| {
                let nonce = text(bytes)?;
                nonce::is_good(&key(), nonce, at(0)).then(|| says("good", nonce.to_owned()))
            },
            later: &[],
        },
        Format {
            name: "dbsc-code",
            guard: genuine,
            sample: || registration().code(&key()).into_bytes(),
            read: |bytes| {
                let (key, text) = (key(), text(bytes)?);
                let registration = Registration::verify(text, |id| (id == 3).then_some(&key))?;
                Some(says(registration, registration.code(&key)))
            },
            later: &[],
        },
        Format {
            name: "dbsc-challenge",
            guard: genuine,
            sample: || dbsc::challenge(&key(), session(), at(0), [8; 8]).into_bytes(),
            read: |bytes| {
                let challenge = text(bytes)?;
                dbsc::is_fresh(&key(), session(), challenge, at(1)).then(|| says("fresh", challenge.to_owned()))
            },
            later: &[],
        },
        Format {
            name: "export-cursor",
            guard: Guard::Open,
            sample: || Cursor { position: "b2a5#1".into(), ..Cursor::start() }.text().into_bytes(),
            read: |bytes| Cursor::parse(text(bytes)?).map(|cursor| says(&cursor, cursor.text())),
            later: &[],
        },
        Format {
            name: "list-cursor",
            guard: Guard::Open,
            sample: || {
                let cursor = PageCursor { created_at: at(0), key_text: session().key_text() };
                list::encode_cursor(&cursor).into_bytes()
            },
            read: |bytes| {
                let cursor = list::decode_cursor(text(bytes)?)?;
                Some(says((cursor.created_at, &cursor.key_text), list::encode_cursor(&cursor)))
            },
            later: &[],
        },
        Format {
            name: "verification-cursor",
            guard: Guard::Open,
            sample: || {
                let place = [&[1, 63][..], &9_i64.to_be_bytes(), &[7; 32]].concat();
                Progress::decode(&crypto::encode(&place)).expect("a place").encode().into_bytes()
            },
            read: |bytes| Progress::decode(text(bytes)?).map(|progress| says(progress, progress.encode())),
            later: &[],
        },
        Format {
            name: "published-key",
            guard: Guard::Open,
            sample: || {
                let key: VerifyingKey = serde_json::from_str(ACCESS_TOKEN_KEY).expect("a key");
                serde_json::to_vec(&key).expect("JSON")
            },
            read: |bytes| {
                let key: VerifyingKey = serde_json::from_slice(bytes).ok()?;
                Some(says(&key, serde_json::to_string(&key).ok()?))
            },
            later: &[],
        },
        Format {
            name: "audit-cursor",
            guard: Guard::Open,
            sample: || {
                let position = audit_page::Position { queued_at: at(0), group: 3, sequence: 12 };
                filter().cursor(position).into_bytes()
            },
            read: |bytes| filter().after(text(bytes)?).map(|position| says(position, filter().cursor(position))),
            later: &[],
        },
    ]
}
