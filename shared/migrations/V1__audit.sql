-- The audit: monthly partitions by the store's time, one hash chain per group of 64 buckets.

CREATE TABLE audit_events (
    event_id       text        NOT NULL,
    -- When Redis queued the event: monotonic per bucket, so partitions do not depend on the clock of a function.
    queued_at      timestamptz NOT NULL,
    -- When it happened by the clock of the environment that caused it.
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    chain_group    smallint    NOT NULL,
    sequence       bigint      NOT NULL,
    event_type     text        NOT NULL,
    application_id text        NOT NULL,
    subject        text        NOT NULL,
    session_id     text        NOT NULL,
    actor          text        NOT NULL,
    reason         text        NOT NULL,
    request_id     text        NOT NULL,
    hash           bytea       NOT NULL,
    PRIMARY KEY (event_id, queued_at)
) PARTITION BY RANGE (queued_at);

CREATE INDEX audit_events_chain ON audit_events (chain_group, sequence);
CREATE INDEX audit_events_subject ON audit_events (subject, queued_at);
CREATE INDEX audit_events_session ON audit_events (session_id, queued_at);

-- The head of each chain. A drainer holds the row while it appends, so a chain has one writer at a time.
CREATE TABLE audit_chain_heads (
    chain_group smallint PRIMARY KEY,
    sequence    bigint   NOT NULL,
    hash        bytea    NOT NULL
);

INSERT INTO audit_chain_heads (chain_group, sequence, hash)
SELECT number, 0, decode(repeat('00', 32), 'hex') FROM generate_series(0, 63) AS number;

-- What stands for runs of rows that retention dropped: the hash they followed and the hash they ended with. A chain of
-- rows and anchors has no gap, so a row that is missing is missed on both sides of an anchor as well.
CREATE TABLE audit_chain_anchors (
    chain_group    smallint    NOT NULL,
    first_sequence bigint      NOT NULL,
    previous_hash  bytea       NOT NULL,
    last_sequence  bigint      NOT NULL,
    last_hash      bytea       NOT NULL,
    dropped_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (chain_group, last_sequence)
);

CREATE FUNCTION audit_ensure_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first_day date := date_trunc('month', month)::date;
    name text := 'audit_events_' || to_char(first_day, 'YYYYMM');
BEGIN
    IF to_regclass(name) IS NULL THEN
        -- Two drainers may meet here: the second waits, then finds the partition.
        PERFORM pg_advisory_xact_lock(hashtext('audit_ensure_partition'));
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF audit_events FOR VALUES FROM (%L) TO (%L)',
            name, first_day::timestamp AT TIME ZONE 'UTC', (first_day + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    END IF;
END
$$;

-- Drops whole months before the given one and leaves anchors. Buckets of a chain are queued by stores with clocks of
-- their own, so around midnight rows of two months alternate in the chain: every run of dropped rows has its anchor.
-- Returns the number of partitions dropped.
CREATE FUNCTION audit_drop_before(month date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    part record;
    dropped integer := 0;
BEGIN
    -- Of two jobs that meet here, the second waits and then finds nothing to drop.
    PERFORM pg_advisory_xact_lock(hashtext('audit_drop_before'));
    FOR part IN
        SELECT child.relname AS name
        FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = 'audit_events'::regclass
          AND child.relname < 'audit_events_' || to_char(date_trunc('month', month), 'YYYYMM')
        ORDER BY child.relname
    LOOP
        -- No drainer adds a row between reading the hashes and dropping them.
        LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE;
        EXECUTE format(
            'INSERT INTO audit_chain_anchors (chain_group, first_sequence, previous_hash, last_sequence, last_hash)
             WITH runs AS (
                 SELECT chain_group, min(sequence) AS first, max(sequence) AS last
                 FROM (SELECT chain_group, sequence,
                              sequence - row_number() OVER (PARTITION BY chain_group ORDER BY sequence) AS run
                       FROM %1$I) AS gone
                 GROUP BY chain_group, run
             )
             SELECT runs.chain_group, runs.first,
                    CASE runs.first WHEN 1 THEN decode(repeat(''00'', 32), ''hex'')
                                    ELSE coalesce(before.hash, anchor.last_hash, decode('''', ''hex'')) END,
                    runs.last, final.hash
             FROM runs
             JOIN %1$I AS final ON final.chain_group = runs.chain_group AND final.sequence = runs.last
             LEFT JOIN audit_events AS before
                    ON before.chain_group = runs.chain_group AND before.sequence = runs.first - 1
             LEFT JOIN audit_chain_anchors AS anchor
                    ON anchor.chain_group = runs.chain_group AND anchor.last_sequence = runs.first - 1
             ON CONFLICT DO NOTHING', part.name);
        EXECUTE format('DROP TABLE %I', part.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
