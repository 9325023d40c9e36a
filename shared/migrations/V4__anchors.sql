-- The last signed anchors of a series, so that the next one follows. All of them lie outside the database, where
-- whoever can write here can not: these copies are believed for their signature only.
CREATE TABLE audit_anchors (
    -- Where the series lies, as configured: another place begins another series.
    series    text        NOT NULL,
    number    bigint      NOT NULL,
    document  text        NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (series, number)
);

-- The audit of an application, newest first; user and session have their indexes.
CREATE INDEX audit_events_application ON audit_events (application_id, queued_at, chain_group, sequence);

-- A type that is seldom would be looked for among millions of others. The frequent ones are found at once above, and
-- cost the writer nothing here. Queries repeat this condition to be given the index.
CREATE INDEX audit_events_seldom ON audit_events (application_id, event_type, queued_at, chain_group, sequence)
    WHERE event_type NOT IN ('session.created', 'session.refreshed', 'session.updated', 'session.ended');
