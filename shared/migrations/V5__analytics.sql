-- Roll-ups of what happened, written in the transaction that writes the events they count. A row counts for an application
-- (empty: the service as a whole), a metric, a stretch of time and a key. Grains: 0 minute (for two days), 1 quarter of an
-- hour, 2 hour, 3 six hours, 4 day, 5 month, all in UTC. A report reads ranges of the primary keys and nothing else.

CREATE TABLE rollup_counts (
    application_id text        NOT NULL,
    metric         text        NOT NULL,
    grain          smallint    NOT NULL,
    starts_at      timestamptz NOT NULL,
    key            text        NOT NULL,
    count          bigint      NOT NULL,
    PRIMARY KEY (application_id, metric, grain, starts_at, key)
) WITH (fillfactor = 70);

-- Distinct members: HyperLogLog in the format of Apache DataSketches.
CREATE TABLE rollup_distinct (
    application_id text        NOT NULL,
    metric         text        NOT NULL,
    grain          smallint    NOT NULL,
    starts_at      timestamptz NOT NULL,
    key            text        NOT NULL,
    sketch         bytea       NOT NULL,
    PRIMARY KEY (application_id, metric, grain, starts_at, key)
) WITH (fillfactor = 70);

-- Values with their quantiles: DDSketch in the format of DataDog.
CREATE TABLE rollup_spreads (
    application_id text        NOT NULL,
    metric         text        NOT NULL,
    grain          smallint    NOT NULL,
    starts_at      timestamptz NOT NULL,
    key            text        NOT NULL,
    sketch         bytea       NOT NULL,
    PRIMARY KEY (application_id, metric, grain, starts_at, key)
) WITH (fillfactor = 70);

-- Samples that have been counted: a second one of the same id is a repetition.
CREATE TABLE rollup_samples (
    sample_id text        PRIMARY KEY,
    queued_at timestamptz NOT NULL
);
CREATE INDEX rollup_samples_age ON rollup_samples (queued_at);

-- Minutes are for those who watch; what they count is in the quarters too. Partial indexes find the old ones.
CREATE INDEX rollup_counts_minutes ON rollup_counts (starts_at) WHERE grain = 0;
CREATE INDEX rollup_distinct_minutes ON rollup_distinct (starts_at) WHERE grain = 0;
CREATE INDEX rollup_spreads_minutes ON rollup_spreads (starts_at) WHERE grain = 0;

CREATE FUNCTION rollup_forget(minutes_before timestamptz, samples_before timestamptz) RETURNS void LANGUAGE sql AS $$
    DELETE FROM rollup_counts WHERE grain = 0 AND starts_at < minutes_before;
    DELETE FROM rollup_distinct WHERE grain = 0 AND starts_at < minutes_before;
    DELETE FROM rollup_spreads WHERE grain = 0 AND starts_at < minutes_before;
    DELETE FROM rollup_samples WHERE queued_at < samples_before;
$$;
