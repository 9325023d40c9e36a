-- Who may do what. The owner of the schema migrates and runs the jobs; requests that read sign in as `sessions_reader`,
-- the one that erases people as `sessions_eraser`. Neither can create, change or forget anything beyond what stands here.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['sessions_reader', 'sessions_eraser'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- Users belong to the server: another of its databases was migrated at the same time.
                NULL;
            END;
        END IF;
        -- On RDS they have no password and sign in with IAM tokens.
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
            EXECUTE format('GRANT rds_iam TO %I', name);
        END IF;
    END LOOP;
    EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO sessions_reader, sessions_eraser;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

GRANT SELECT ON audit_events, audit_chain_heads, audit_chain_anchors, audit_anchors, audit_dump, activity, alerts,
    rollup_counts, rollup_distinct, rollup_spreads TO sessions_reader;
-- Later tables are read as well; whoever adds one that requests must not read takes this back for it.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO sessions_reader;

-- Counting what is held, and deleting activities by their subject.
GRANT SELECT (subject, sealed) ON audit_events TO sessions_eraser;
GRANT SELECT (subject), DELETE ON activity TO sessions_eraser;

-- Returns once no drainer holds the chain. A row lock needs the right to change the row, which nobody but the owner has.
CREATE FUNCTION audit_wait_for_drainer(chain smallint) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    SELECT FROM audit_chain_heads WHERE chain_group = chain FOR SHARE;
$$;
GRANT EXECUTE ON FUNCTION audit_wait_for_drainer(smallint) TO sessions_eraser;

-- Retention of applications that keep less than the stack does.

CREATE INDEX activity_application ON activity (application_id, queued_at);

-- Makes one run of neighbouring runs in a chain, so that what stands for removed rows does not grow with their number.
CREATE FUNCTION audit_join_runs(chain smallint) RETURNS void LANGUAGE sql AS $$
    WITH marked AS (
        SELECT first_sequence, last_sequence, previous_hash,
               lag(last_sequence) OVER places IS DISTINCT FROM first_sequence - 1
               OR lag(last_hash) OVER places IS DISTINCT FROM previous_hash AS begins
        FROM audit_chain_anchors WHERE chain_group = chain
        WINDOW places AS (ORDER BY first_sequence, last_sequence)
    ), numbered AS (
        SELECT *, count(*) FILTER (WHERE begins) OVER (ORDER BY first_sequence, last_sequence) AS run FROM marked
    ), joined AS (
        SELECT min(first_sequence) AS first, max(last_sequence) AS last,
               (array_agg(previous_hash ORDER BY first_sequence, last_sequence))[1] AS previous
        FROM numbered GROUP BY run HAVING count(*) > 1
    ), swallowed AS (
        DELETE FROM audit_chain_anchors AS gone USING joined
        WHERE gone.chain_group = chain AND gone.first_sequence >= joined.first AND gone.last_sequence < joined.last
    )
    UPDATE audit_chain_anchors AS kept SET first_sequence = joined.first, previous_hash = joined.previous
    FROM joined WHERE kept.chain_group = chain AND kept.last_sequence = joined.last;
$$;

-- Removes the oldest rows of one application from one chain, as many as stated at most and none from `before` on, and
-- leaves an anchor for each run of them. Returns how many went.
CREATE FUNCTION audit_forget(application text, before timestamptz, chain smallint, at_most bigint)
    RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    -- In turns with the job that drops months: each reads what the other has left.
    PERFORM pg_advisory_xact_lock(hashtext('audit_drop_before'));
    WITH gone AS (
        DELETE FROM audit_events WHERE (event_id, queued_at) IN (
            SELECT event_id, queued_at FROM audit_events
            WHERE application_id = application AND queued_at < before AND chain_group = chain
            ORDER BY queued_at LIMIT at_most)
        RETURNING sequence, hash
    ), runs AS (
        SELECT min(sequence) AS first, max(sequence) AS last
        FROM (SELECT sequence, sequence - row_number() OVER (ORDER BY sequence) AS run FROM gone) AS numbered
        GROUP BY run
    ), anchors AS (
        INSERT INTO audit_chain_anchors (chain_group, first_sequence, previous_hash, last_sequence, last_hash)
        SELECT chain, runs.first,
               CASE runs.first WHEN 1 THEN decode(repeat('00', 32), 'hex')
                               ELSE coalesce(before_it.hash, anchor.last_hash, decode('', 'hex')) END,
               runs.last, final.hash
        FROM runs
        JOIN gone AS final ON final.sequence = runs.last
        LEFT JOIN audit_events AS before_it ON before_it.chain_group = chain AND before_it.sequence = runs.first - 1
        LEFT JOIN audit_chain_anchors AS anchor
               ON anchor.chain_group = chain AND anchor.last_sequence = runs.first - 1
    )
    SELECT count(*) INTO removed FROM gone;
    IF removed > 0 THEN
        PERFORM audit_join_runs(chain);
    END IF;
    RETURN removed;
END
$$;
