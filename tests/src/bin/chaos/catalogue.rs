//! The fault table: what may break, what is promised, and how it is tried out.

use std::pin::Pin;

use crate::faults::{clocks, cluster, dynamodb, functions, jobs, kills, kms, postgres, redis, restores, surroundings};
use crate::tally::Observed;
use crate::trial::Context;

/// A fault as a future of its own thread.
pub type Fault = fn(Context) -> Pin<Box<dyn Future<Output = Observed>>>;

/// How a fault is tried out.
pub enum How {
    /// On real processes, here.
    Trial(Fault),
    /// By these tests of the suite, which try it out on real processes as well.
    Tests(&'static [&'static str]),
    /// Not at all, for this reason.
    NotHere(&'static str),
}

/// One fault.
pub struct Row {
    pub id: &'static str,
    pub fault: &'static str,
    pub promise: &'static str,
    pub how: How,
}

macro_rules! trial {
    ($id:literal, $fault:literal, $promise:literal, $run:path) => {
        Row { id: $id, fault: $fault, promise: $promise, how: How::Trial(|context| Box::pin($run(context))) }
    };
}

const fn row(id: &'static str, fault: &'static str, promise: &'static str, how: How) -> Row {
    Row { id, fault, promise, how }
}

/// A promise that the service does not keep yet, by how the oracles say so.
pub struct Gap {
    pub id: &'static str,
    pub violation: &'static str,
    pub why: &'static str,
}

/// What is known. It is reported each time, and fails no run; anything else does.
pub const GAPS: [Gap; 0] = [];

/// Every fault of the table.
pub const ROWS: [Row; 44] = [
    trial!(
        "F-01",
        "Primary of a cluster killed, five seconds ahead of its replica",
        "Back within 30 s; acknowledged ends and rotations hold; what began in the lost seconds may be gone",
        cluster::f_01
    ),
    trial!(
        "F-02",
        "Redis comes back from a snapshot ten seconds old",
        "Acknowledged ends and rotations hold from the first request on",
        redis::f_02
    ),
    trial!("F-03", "Redis unreachable", "Ends are accepted (202) and hold; everything else is 503", redis::f_03),
    trial!("F-04", "Redis takes two seconds a command", "503 soon, no pile-up, nothing half done", redis::f_04),
    trial!("F-05", "Replies cut after the script ran", "Everything happens once", redis::f_05),
    trial!(
        "F-06",
        "Redis out of memory",
        "Reads, refreshes and ends go on; nothing begins; nothing is evicted",
        redis::f_06
    ),
    trial!("F-07", "SCRIPT FLUSH between calls", "No request notices", redis::f_07),
    trial!("F-08", "Slots move and a primary hands over, live", "No error but 503, nothing lost", cluster::f_08),
    trial!(
        "F-09",
        "Partition: functions alone with an old primary",
        "No write is called done and lost: ends hold after the next sweep at the latest",
        cluster::f_09
    ),
    trial!("F-10", "A script blocks one shard", "The other shards serve", cluster::f_10),
    trial!("F-11", "Replicas ten seconds behind", "Nobody reads them: ends are seen at once", cluster::f_11),
    trial!("F-12", "PostgreSQL stopped and restarted", "No request fails, no event is lost or doubled", postgres::f_12),
    trial!("F-13", "PostgreSQL locked", "No request waits for it", postgres::f_13),
    trial!(
        "F-14",
        "PostgreSQL read-only, then promoted",
        "Nothing is acknowledged that was not written",
        postgres::f_14
    ),
    trial!("F-15", "PostgreSQL's disk full", "Events wait; nothing is lost", postgres::f_15),
    trial!("F-16", "Drainers killed at every step", "Every event once, chains whole", postgres::f_16),
    trial!("F-17", "KMS throttles every call", "Warm environments serve, cold ones refuse, ends work", kms::f_17),
    trial!("F-18", "KMS key disabled", "As F-17, and nothing opens after 15 minutes", kms::f_18),
    trial!("F-19", "KMS takes three seconds", "As F-17", kms::f_19),
    trial!(
        "F-20",
        "DynamoDB throttled, then slow, with connections to Redis lost meanwhile",
        "No end is promised without the ledger; no new connection serves without it; refused requests use nothing up",
        dynamodb::f_20
    ),
    trial!("F-21", "DynamoDB and KMS unreachable", "As F-20", dynamodb::f_21),
    trial!("F-22", "Concurrent conditional writes, replies lost", "Exactly one winner", dynamodb::f_22),
    row(
        "F-23",
        "DynamoDB answers with an old state",
        "Security reads are consistent; an index that lags doubles nothing",
        How::Tests(&["webhooks::retries::f_28_two_runs_at_once_deliver_each_event_once"]),
    ),
    trial!(
        "F-24",
        "Function killed after each request to a store",
        "Asked again, the result is as if undisturbed",
        kills::f_24
    ),
    trial!("F-25", "Deadline near while nothing answers", "The function's own 503; it lives on", functions::f_25),
    trial!("F-26", "Frozen and thawed, sockets dead", "The first request after the thaw succeeds", functions::f_26),
    trial!("F-27", "Every request delivered up to three times", "The same result as once", functions::f_27),
    trial!("F-28", "Five of each job at once", "No double event, no live session removed", jobs::f_28),
    trial!("F-29", "Sweeps against refreshes, creations and erasures", "I-4, I-11", jobs::f_29),
    trial!(
        "F-30",
        "Clocks of environments an hour ahead and behind",
        "I-5, I-16: an environment that is off by more than the leeway serves nothing",
        clocks::f_30
    ),
    trial!("F-31", "The clock steps back", "No cache outlives its time", clocks::f_31),
    row(
        "F-32",
        "Two releases at once",
        "Each reads the other's records; an unknown format is 503 and left alone",
        How::Tests(&[
            "scripts_twin::unreadable::a_record_of_another_format_is_left_alone_and_unavailable",
            "outages::redis_restored::f_32_nothing_is_served_from_an_older_state_while_an_end_can_not_be_read",
        ]),
    ),
    row(
        "F-33",
        "Signing keys rotate for 120 days",
        "No valid token is refused",
        How::Tests(&["keys::rotation::rotations_refuse_no_valid_token_over_120_days"]),
    ),
    row(
        "F-34",
        "Two rotations at once",
        "One set of keys",
        How::Tests(&["keys::rings::two_runs_at_once_make_one_set_of_keys"]),
    ),
    trial!(
        "F-35",
        "Redis refuses the credential of new connections",
        "503, and service once it is taken again",
        surroundings::f_35
    ),
    row(
        "F-36",
        "Loss of an availability zone",
        "After the failover everything",
        How::NotHere("one machine has no zones; the failover of a primary is F-01, of PostgreSQL F-14"),
    ),
    trial!("F-37", "Restore from backups: Redis empty, tables older than an erasure", "I-1, I-13", restores::f_37),
    trial!("F-38", "Records that can not be read", "That session alone is away; the others serve", redis::f_38),
    trial!("F-39", "A backlog of 10,000 events", "Drained in order under load", jobs::f_39),
    row(
        "F-40",
        "A receiver is down, slow, or gone",
        "Operations go on; events wait and come",
        How::Tests(&[
            "webhooks::retries::a_receiver_that_was_down_for_an_hour_gets_everything",
            "webhooks::retries::a_slow_receiver_holds_up_nobody",
            "webhooks::kills::f_24_a_storm_of_failures_and_kills_loses_nothing",
        ]),
    ),
    trial!(
        "F-41",
        "The file of places is missing or garbage",
        "No weaker rule: sessions without a place, or no start",
        surroundings::f_41
    ),
    trial!("F-42", "A setting is missing at a cold start", "No start, and the setting is named", surroundings::f_42),
    trial!("F-43", "No random bytes", "No token", surroundings::f_43),
    trial!(
        "F-44",
        "The log is full, or nobody reads it",
        "Requests go on; the audit does not depend on it",
        surroundings::f_44
    ),
];
