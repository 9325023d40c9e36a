-- Recorded activities: monthly partitions by the store's time, like the audit, but no part of its chains: nothing changes
-- by an activity. Properties are sealed under the key of the subject.

CREATE TABLE activity (
    -- The id of the entry that brought it, with its place there.
    activity_id    text        NOT NULL,
    queued_at      timestamptz NOT NULL,
    occurred_at    timestamptz NOT NULL,
    application_id text        NOT NULL,
    subject        text        NOT NULL,
    session_id     text        NOT NULL,
    name           text        NOT NULL,
    sealed         bytea,
    PRIMARY KEY (activity_id, queued_at)
) PARTITION BY RANGE (queued_at);

CREATE INDEX activity_subject ON activity (subject, queued_at);

CREATE FUNCTION activity_ensure_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first_day date := date_trunc('month', month)::date;
    name text := 'activity_' || to_char(first_day, 'YYYYMM');
BEGIN
    IF to_regclass(name) IS NULL THEN
        -- Two drainers may meet here: the second waits, then finds the partition.
        PERFORM pg_advisory_xact_lock(hashtext('activity_ensure_partition'));
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF activity FOR VALUES FROM (%L) TO (%L)',
            name, first_day::timestamp AT TIME ZONE 'UTC', (first_day + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    END IF;
END
$$;

-- Drops whole months before the given one; returns how many went.
CREATE FUNCTION activity_drop_before(month date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    part record;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('activity_drop_before'));
    FOR part IN
        SELECT child.relname AS name
        FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = 'activity'::regclass
          AND child.relname < 'activity_' || to_char(date_trunc('month', month), 'YYYYMM')
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE %I', part.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
