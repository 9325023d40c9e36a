//! Every bound of the service, with its unit last in the name. Application policies move inside these.

/// Longest absolute lifetime of a session: 30 days, NIST SP 800-63B-4 §2.1.3.
pub const ABSOLUTE_TIMEOUT_SECONDS_MAX: u64 = 30 * 24 * 3600;
/// Shortest absolute lifetime of a session.
pub const ABSOLUTE_TIMEOUT_SECONDS_MIN: u64 = 60;
/// Default absolute lifetime.
pub const ABSOLUTE_TIMEOUT_SECONDS_DEFAULT: u64 = 30 * 24 * 3600;
/// Longest inactivity.
pub const IDLE_TIMEOUT_SECONDS_MAX: u64 = ABSOLUTE_TIMEOUT_SECONDS_MAX;
/// Shortest inactivity.
pub const IDLE_TIMEOUT_SECONDS_MIN: u64 = 60;
/// Default inactivity: 7 days.
pub const IDLE_TIMEOUT_SECONDS_DEFAULT: u64 = 7 * 24 * 3600;
/// Reads write the last activity at most this often.
pub const TOUCH_INTERVAL_SECONDS_MAX: u64 = 60;

/// Grace window of a consumed refresh token.
pub const REFRESH_GRACE_SECONDS_DEFAULT: u64 = 10;
/// Longest grace window for a session that is not bound to a key; a longer one of the policy is cut to it.
pub const REFRESH_GRACE_SECONDS_UNBOUND_MAX: u64 = 30;
/// Longest grace window of a policy.
pub const REFRESH_GRACE_SECONDS_MAX: u64 = 600;

/// Default age of an authentication for sensitive operations: 5 minutes (ASVS 7.5.3).
pub const STEP_UP_AGE_SECONDS_DEFAULT: u64 = 300;
/// Shortest such age.
pub const STEP_UP_AGE_SECONDS_MIN: u64 = 30;
/// Longest such age.
pub const STEP_UP_AGE_SECONDS_MAX: u64 = 24 * 3600;
/// Largest rate limit, in requests per minute.
pub const RATE_PER_MINUTE_MAX: u32 = 10_000_000;

/// Life of an access token.
pub const ACCESS_TOKEN_SECONDS: u64 = 300;
/// Clock leeway of `exp` and `iat`; our tokens carry no `nbf`.
pub const CLOCK_LEEWAY_SECONDS: u64 = 30;
/// Longest accepted access token in bytes: room for the longest one we issue (user id, `acr` and `amr` at their limits);
/// the gateway allows 10,240 bytes for all headers.
pub const ACCESS_TOKEN_BYTES_MAX: usize = 6 * 1024;

/// Age of a proof of possession (RFC 9449 §11.1).
pub const PROOF_SECONDS: u64 = 60;
/// Longest proof of possession in bytes.
pub const PROOF_BYTES_MAX: usize = 2 * 1024;
/// Longest `jti` of a proof in bytes.
pub const PROOF_ID_BYTES_MAX: usize = 128;
/// How long a used proof is remembered: as long as any environment could take it for a good one, and as long again as
/// clocks may differ.
pub const PROOF_MEMORY_SECONDS: u64 = PROOF_SECONDS + 2 * CLOCK_LEEWAY_SECONDS;
/// Time buckets of nonces; one is good in its own bucket and in the next.
pub const NONCE_BUCKET_SECONDS: u64 = 120;

/// How long after its creation a session may be bound to the key of a browser.
pub const REGISTRATION_SECONDS: u64 = 300;
/// How long a challenge for the key of a browser may be answered; as long as a used proof is remembered, at least.
pub const CHALLENGE_SECONDS: u64 = 300;

/// Default concurrent sessions of a user.
pub const SESSION_LIMIT_DEFAULT: u32 = 20;
/// Most concurrent sessions of a user; bounds every script that walks the user's index.
pub const SESSION_LIMIT_MAX: u32 = 100;

/// Session data: bytes of JSON before sealing.
pub const SESSION_DATA_BYTES_MAX: usize = 64 * 1024;
/// Request body: session data plus the other fields.
pub const BODY_BYTES_MAX: usize = 80 * 1024;
/// Form body of introspection and revocation.
pub const FORM_BYTES_MAX: usize = 8 * 1024;
/// Idempotency-Key header.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long an Idempotency-Key is remembered.
pub const IDEMPOTENCY_SECONDS: u64 = 24 * 3600;
/// Device id, device name, `acr`, one `amr` value.
pub const SHORT_TEXT_BYTES_MAX: usize = 128;
/// Entries of `amr`.
pub const AMR_ENTRIES_MAX: usize = 10;
/// User agent as kept; longer ones are cut.
pub const USER_AGENT_BYTES_MAX: usize = 256;
/// Client-supplied fingerprint.
pub const FINGERPRINT_BYTES_MAX: usize = 512;

/// Sessions on one page of a list.
pub const PAGE_SIZE_DEFAULT: usize = 25;
/// Largest page of a list.
pub const PAGE_SIZE_MAX: usize = 100;
/// Sessions that one revoke-all script ends; the epoch has ended all others already.
pub const REVOKE_BATCH: usize = 200;

/// How long a tombstone outlives its session's end, unless the absolute timeout comes sooner; a day at least.
pub const TOMBSTONE_SECONDS: u64 = 7 * 24 * 3600;
/// How long the history of a user's contexts is kept after it last changed.
pub const HISTORY_SECONDS: u64 = 90 * 24 * 3600;
/// Life of an entry of the revocation ledger: nothing it must forbid lives longer.
pub const LEDGER_SECONDS: u64 = ABSOLUTE_TIMEOUT_SECONDS_MAX + 24 * 3600;

/// Application records are read again after this many seconds in a warm environment.
pub const APPLICATION_CACHE_SECONDS: u64 = 60;
/// Key rings are read again after this many seconds.
pub const KEY_RING_CACHE_SECONDS: u64 = 300;
/// A key ring that could not be read again is tried again after this many seconds, not at every request.
pub const KEY_RING_RETRY_SECONDS: u64 = 30;
/// A key ring that could not be read again is used no longer than this: a disabled KMS key takes effect.
pub const KEY_RING_STALE_SECONDS: u64 = 900;
/// Verified-token digests that a warm environment remembers.
pub const VERIFIED_TOKENS_MAX: usize = 1024;
/// Opened session data that a warm environment remembers.
pub const OPENED_DATA_ENTRIES_MAX: usize = 256;

/// Events that write-audit takes from one bucket at a time.
pub const AUDIT_BATCH_PER_BUCKET: usize = 1000;
/// Events in one COPY.
pub const AUDIT_BATCH: usize = 20_000;
/// Ledger entries applied at a time when a Redis is brought up to date.
pub const CATCH_UP_CONCURRENCY: usize = 64;
/// Expired sessions that one sweep script removes.
pub const SWEEP_BATCH: usize = 200;
/// Buckets that one sweep works on at a time.
pub const SWEEP_CONCURRENCY: usize = 64;
/// Default months of audit kept.
pub const AUDIT_RETENTION_MONTHS_DEFAULT: u32 = 13;

/// Redis: one command or script.
pub const REDIS_RESPONSE_MILLIS: u64 = 500;
/// Redis: connecting, TLS included.
pub const REDIS_CONNECT_MILLIS: u64 = 500;
/// DynamoDB and KMS: one attempt.
pub const AWS_ATTEMPT_MILLIS: u64 = 1000;
/// DynamoDB and KMS: attempts in all.
pub const AWS_ATTEMPTS: u32 = 2;
/// A request may not use more than this, whatever the function's timeout.
pub const REQUEST_MILLIS_MAX: u64 = 5000;
/// What is kept back of the function's deadline to answer in good order.
pub const DEADLINE_RESERVE_MILLIS: u64 = 300;
/// `Retry-After` of a 503.
pub const RETRY_AFTER_SECONDS: u64 = 1;
