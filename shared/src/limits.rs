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

/// Default life of a lock.
pub const LOCK_SECONDS_DEFAULT: u64 = 30;
/// Longest life of a lock, and of each renewal.
pub const LOCK_SECONDS_MAX: u64 = 60;
/// How often a lock is renewed at most. A user has at most [`SESSION_LIMIT_MAX`] sessions of an application and each has
/// one lock, which bounds the locks of a user.
pub const LOCK_RENEWALS_MAX: u8 = 10;
/// How long a lock is held at most, renewals included.
pub const LOCK_HOLD_SECONDS_MAX: u64 = 300;

/// The window that rate limits count in.
pub const RATE_WINDOW_SECONDS: u64 = 60;
/// An environment leases a quota in this many shares.
pub const RATE_SHARES: u32 = 20;
/// Largest share: what an environment may leave unused at most.
pub const RATE_SHARE_MAX: u32 = 50;
/// Misses of a source address that an environment counts before it tells Redis, so that garbage costs no round trip. Each
/// environment may therefore overlook one less in a window.
pub const MISSES_PER_REPORT: u32 = 10;
/// Parties whose leases, and whose misses, a warm environment remembers.
pub const RATE_PARTIES_MAX: usize = 1024;
/// Default requests per minute of one session's holder.
pub const HOLDER_PER_MINUTE_DEFAULT: u32 = 600;
/// Default requests per minute of one source address: a whole office may share it.
pub const ADDRESS_PER_MINUTE_DEFAULT: u32 = 6000;
/// Default misses per minute of one caller.
pub const UNKNOWN_PER_MINUTE_DEFAULT: u32 = 60;

/// Life of an access token.
pub const ACCESS_TOKEN_SECONDS: u64 = 300;
/// Clock leeway of `exp` and `iat`; our tokens carry no `nbf`.
pub const CLOCK_LEEWAY_SECONDS: u64 = 30;
/// How far the clock of an environment may be off the store's.
pub const CLOCK_SKEW_MILLIS_MAX: i64 = 2000;
/// What the clock of an environment may gain or lose before it is compared with the store's again.
pub const CLOCK_JUMP_MILLIS: i64 = 1000;
/// How long a comparison of clocks holds.
pub const CLOCK_CHECK_SECONDS: i64 = 300;
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

/// Session data, data of a device, state of a user: bytes of JSON before sealing.
pub const SESSION_DATA_BYTES_MAX: usize = 64 * 1024;
/// Request body: session data plus the other fields.
pub const BODY_BYTES_MAX: usize = 80 * 1024;
/// Form body of introspection and revocation.
pub const FORM_BYTES_MAX: usize = 8 * 1024;
/// Idempotency-Key header.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long an Idempotency-Key is remembered.
pub const IDEMPOTENCY_SECONDS: u64 = 24 * 3600;
/// Id of a session of another system.
pub const LEGACY_SESSION_BYTES_MAX: usize = 512;
/// How long an exchange of a legacy session is repeated: parallel requests of one browser all bring the legacy session.
pub const LEGACY_REPEAT_SECONDS: u64 = 60;
/// How long it is remembered at least that a legacy session has been exchanged.
pub const LEGACY_REMEMBERED_SECONDS_MIN: u64 = 30 * 24 * 3600;
/// Device id, device name, `acr`, one `amr` value.
pub const SHORT_TEXT_BYTES_MAX: usize = 128;
/// Entries of `amr`.
pub const AMR_ENTRIES_MAX: usize = 10;
/// User agent as kept; longer ones are cut.
pub const USER_AGENT_BYTES_MAX: usize = 256;
/// Client-supplied fingerprint.
pub const FINGERPRINT_BYTES_MAX: usize = 512;

/// Life of a code that shares a session.
pub const SHARE_CODE_SECONDS: u64 = 60;
/// Applications that one session is shared with at a time.
pub const SHARES_MAX: u32 = 8;

/// Sessions on one page of a list.
pub const PAGE_SIZE_DEFAULT: usize = 25;
/// Largest page of a list.
pub const PAGE_SIZE_MAX: usize = 100;
/// Sessions that one revoke-all script ends; the epoch has ended all others already.
pub const REVOKE_BATCH: usize = 200;

/// Devices that a list shows, those seen last first.
pub const DEVICES_MAX: usize = 100;
/// Age from which on a device can become `known`: a day.
pub const DEVICE_KNOWN_AFTER_SECONDS: u64 = 24 * 3600;
/// Age from which on a device can become `trusted` without a key: a week.
pub const DEVICE_TRUSTED_AFTER_SECONDS: u64 = 7 * 24 * 3600;
/// A device that begins no session for this long is forgotten, unless it is blocked.
pub const DEVICE_FORGOTTEN_AFTER_SECONDS: u64 = 400 * 24 * 3600;
/// A registration is told to the audit again for this long, in case that telling it failed.
pub const DEVICE_REGISTRATION_SECONDS: u64 = 600;
/// Longest wait of a long poll.
pub const LONG_POLL_SECONDS_MAX: u64 = 20;
/// First pause of a long poll; each is twice the one before, up to [`LONG_POLL_PAUSE_MILLIS_MAX`].
pub const LONG_POLL_PAUSE_MILLIS_MIN: u64 = 200;
/// Longest pause of a long poll.
pub const LONG_POLL_PAUSE_MILLIS_MAX: u64 = 1600;
/// What a long poll leaves of its request's time to answer, and to look at its caller's session again.
pub const LONG_POLL_RESERVE_MILLIS: u64 = 2500;
/// A request that polls may not use more than this, whatever the function's timeout.
pub const LONG_POLL_REQUEST_MILLIS_MAX: u64 = 26_000;
/// Attempts at a change under `If-Match: *` while others change the same document.
pub const DOCUMENT_ATTEMPTS_MAX: usize = 5;

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
/// Keys of subjects that a run of write-audit holds at a time.
pub const SUBJECT_KEYS_PER_RUN: usize = 100_000;
/// A stored anchor of the audit: 64 heads and a signature take about 5 KB.
pub const ANCHOR_BYTES_MAX: i64 = 64 * 1024;
/// Rows that a verification of the audit reads at a time.
pub const VERIFY_BATCH: i64 = 1000;
/// How long one call verifies before it answers how far it came.
pub const VERIFY_MILLIS: u64 = 8000;
/// How long a request to the audit may take; reading it is no hot path.
pub const AUDIT_REQUEST_MILLIS_MAX: u64 = 15_000;
/// Events on one page of the audit.
pub const AUDIT_PAGE_DEFAULT: usize = 50;
/// Largest page of the audit.
pub const AUDIT_PAGE_MAX: usize = 200;
/// Ledger entries applied at a time when a Redis is brought up to date.
pub const CATCH_UP_CONCURRENCY: usize = 64;
/// Expired sessions that one sweep script removes.
pub const SWEEP_BATCH: usize = 200;
/// Buckets that one sweep works on at a time.
pub const SWEEP_CONCURRENCY: usize = 64;
/// Default months of audit kept.
pub const AUDIT_RETENTION_MONTHS_DEFAULT: u32 = 13;
/// Default months of audit that no application can shorten.
pub const AUDIT_RETENTION_FLOOR_MONTHS_DEFAULT: u32 = 3;
/// The longest retention in months.
pub const RETENTION_MONTHS_MAX: u32 = 120;
/// Rows that one step of retention removes.
pub const RETENTION_BATCH: i64 = 5000;

/// Activities in one request.
pub const ACTIVITIES_MAX: usize = 100;
/// Name of an activity.
pub const ACTIVITY_NAME_BYTES_MAX: usize = 64;
/// Properties of an activity, as JSON.
pub const ACTIVITY_PROPERTIES_BYTES_MAX: usize = 1024;
/// Default months of activities kept.
pub const ACTIVITY_RETENTION_MONTHS_DEFAULT: u32 = 13;
/// The longest retention of activities that an application can state, in days.
pub const ACTIVITY_RETENTION_DAYS_MAX: u32 = 3660;

/// Earliest instant that analytics tell of: 1 January 2020. Since then every offset of every zone is a multiple of a quarter
/// of an hour.
pub const ANALYTICS_FROM_SECONDS_MIN: i64 = 1_577_836_800;
/// Minutes of a report by the minute; older ones are not kept.
pub const ANALYTICS_MINUTES_MAX: usize = 48 * 60;
/// Hours of a report by the hour; one of its days may have 25.
pub const ANALYTICS_HOURS_MAX: usize = 31 * 24 + 1;
/// Days of a report by the day.
pub const ANALYTICS_DAYS_MAX: usize = 400;
/// Weeks of a report by the week.
pub const ANALYTICS_WEEKS_MAX: usize = 260;
/// Months of a report by the month.
pub const ANALYTICS_MONTHS_MAX: usize = 60;
/// How long minutes are kept, with an hour on top for reports that are under way.
pub const ANALYTICS_MINUTES_KEEP_SECONDS: u64 = 49 * 3600;
/// How long a sample is remembered: one that comes again within it is counted once.
pub const SAMPLE_KEEP_SECONDS: u64 = 8 * 24 * 3600;
/// How often an environment tells what it has measured, at most.
pub const SAMPLE_SECONDS: u64 = 60;
/// What telling it may take of a request.
pub const SAMPLE_MILLIS_MAX: u64 = 200;

/// Refusals that an environment tells of once a minute each: how many different ones a minute has at most, so that strangers
/// from many addresses fill neither its memory nor the audit.
pub const REFUSALS_TOLD_MAX: usize = 1024;
/// What telling of a refusal may take of a request.
pub const REFUSAL_MILLIS_MAX: u64 = 1000;

/// Receivers of one application.
pub const RECEIVERS_MAX: usize = 10;
/// Attempts of one delivery; `core::backoff` spreads them over a day.
pub const DELIVERY_ATTEMPTS_MAX: u32 = 12;
/// One attempt of a delivery: name, connection, TLS, answer.
pub const DELIVERY_ATTEMPT_MILLIS: u64 = 5000;
/// How long a run has a delivery to itself; above the longest attempt.
pub const DELIVERY_LEASE_SECONDS: u64 = 60;
/// How long a delivery is remembered, done or not: events that are handed over again within it are not delivered again.
pub const DELIVERY_KEEP_SECONDS: u64 = 7 * 24 * 3600;
/// Queues that the deliveries of one receiver are spread over, so that no partition of the index is the bottleneck.
pub const DELIVERY_QUEUES: u8 = 4;
/// Deliveries handed over at a time.
pub const DELIVERY_PUTS_CONCURRENCY: usize = 32;
/// Receivers that are served at a time.
pub const DELIVERY_RECEIVERS_CONCURRENCY: usize = 32;
/// Deliveries of one receiver that are in flight at a time.
pub const DELIVERY_CONCURRENCY: usize = 4;
/// Failures in a row after which a receiver is left alone until the next run.
pub const DELIVERY_FAILURES_MAX: u32 = 3;
/// Head of a receiver's answer; its body is not read at all.
pub const DELIVERY_ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Security events are counted over this long.
pub const ALERT_SECURITY_WINDOW_SECONDS: u64 = 300;
/// Default security events of an application that raise an alert.
pub const ALERT_SECURITY_EVENTS_DEFAULT: f64 = 100.0;
/// Replays are counted over this long.
pub const ALERT_REFRESH_WINDOW_SECONDS: u64 = 900;
/// Default replays of an application that raise an alert. One may be a client that restored a backup.
pub const ALERT_REFRESH_REPLAYS_DEFAULT: f64 = 5.0;
/// Evictions are counted over this long.
pub const ALERT_EVICTION_WINDOW_SECONDS: u64 = 300;
/// Default evictions of an application that raise an alert.
pub const ALERT_EVICTIONS_DEFAULT: f64 = 200.0;
/// The audit has to be up to date for this long before its alert is over.
pub const ALERT_AUDIT_LAG_WINDOW_SECONDS: u64 = 300;
/// Default lag of the audit that raises an alert; a minute is usual.
pub const ALERT_AUDIT_LAG_SECONDS_DEFAULT: f64 = 300.0;
/// Answers are counted over this long.
pub const ALERT_ERROR_WINDOW_SECONDS: u64 = 300;
/// Default share of 5xx that raises an alert, in per cent.
pub const ALERT_ERROR_PERCENT_DEFAULT: f64 = 1.0;
/// Fewer failures than this are no error rate.
pub const ALERT_ERRORS_MIN: u64 = 6;
/// Evaluations look back no further than this, however long the last one is ago.
pub const ALERT_LOOK_BACK_SECONDS: u64 = 24 * 3600;
/// How long alerts that are over are kept.
pub const ALERT_KEEP_SECONDS: u64 = 400 * 24 * 3600;
/// Alerts of one report.
pub const ALERTS_RECENT_MAX: i64 = 1000;

/// How long a log line waits for somebody to read the one before.
pub const LOG_PATIENCE_MILLIS: u32 = 50;

/// Redis: one command or script.
pub const REDIS_RESPONSE_MILLIS: u64 = 500;
/// Redis: connecting, TLS included.
pub const REDIS_CONNECT_MILLIS: u64 = 500;
/// How long a request waits for a bucket that is being moved to another store.
pub const MOVE_PATIENCE_MILLIS: u64 = 1500;
/// How long the job that moves a bucket waits for a replica of the store that it goes to.
pub const MOVE_REPLICA_MILLIS: u64 = 300;
/// How long a job waits for it: longer than a lease that nobody renews.
pub const MOVE_JOB_PATIENCE_MILLIS: u64 = MOVE_LEASE_MILLIS + 3000;
/// First pause of whoever waits; each is twice the one before, up to [`MOVE_PAUSE_MILLIS_MAX`].
pub const MOVE_PAUSE_MILLIS_MIN: u64 = 5;
/// Longest pause of whoever waits.
pub const MOVE_PAUSE_MILLIS_MAX: u64 = 160;
/// How long a bucket is held back for a job that may be dead. Afterwards the store that it was to leave serves it again.
pub const MOVE_LEASE_MILLIS: u64 = 5000;
/// How long the keys of a bucket are listed for a job that may be dead.
pub const MOVE_LISTING_LEASE_MILLIS: u64 = 10_000;
/// Buckets whose keys are listed in one walk over a single node.
pub const MOVE_LISTING_BUCKETS: usize = 512;
/// Buckets that are moved at once.
pub const MOVE_CONCURRENCY: usize = 8;
/// Keys that are copied at once.
pub const MOVE_COPY_BATCH: usize = 100;
/// Slots of a cluster that are read at once.
pub const MOVE_SLOTS: usize = 64;
/// `COUNT` of a `SCAN`.
pub const MOVE_SCAN_COUNT: usize = 1000;
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

/// How long an erasure is remembered, in seconds: longer than any backup of a store is kept.
pub const ERASURE_SECONDS: u64 = 400 * 24 * 3600;

/// Bytes of rows on a page of an export: with what surrounds them below the 6 MB that Lambda can answer with.
pub const EXPORT_PAGE_BYTES_MAX: usize = 5_000_000;

/// Rows that an export reads from PostgreSQL at once.
pub const EXPORT_BATCH: i64 = 500;

/// A request about everything that is held on a person may take this long, whatever the function's timeout.
pub const WHOLE_PERSON_REQUEST_MILLIS_MAX: u64 = 26_000;
