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

-- The audit as audit-verify reads it from a file: one JSON document a line. Whoever dumps it sorts by chain_group, place
-- and event_id COLLATE "C", as chains are read.
CREATE VIEW audit_dump AS
SELECT chain_group, 0::bigint AS place, '' AS event_id,
       json_build_object('chain', chain_group, 'head', json_build_object(
           'sequence', sequence, 'hash', encode(hash, 'hex')))::text AS line
FROM audit_chain_heads
UNION ALL
SELECT chain_group, first_sequence, '',
       json_build_object('chain', chain_group, 'dropped', json_build_object(
           'first', first_sequence, 'previous', encode(previous_hash, 'hex'),
           'last', last_sequence, 'hash', encode(last_hash, 'hex')))::text
FROM audit_chain_anchors
UNION ALL
SELECT chain_group, sequence, event_id,
       json_build_object('chain', chain_group, 'row', json_build_object(
           'sequence', sequence, 'eventId', event_id, 'type', event_type, 'applicationId', application_id,
           'subject', subject, 'sessionId', session_id, 'actor', actor, 'reason', reason, 'requestId', request_id,
           'detail', detail, 'sealed', encode(sealed, 'hex'), 'hash', encode(hash, 'hex'),
           -- Microseconds: what the hashes do not cover shows.
           'occurredAt', (extract(epoch FROM occurred_at) * 1000000)::bigint,
           'queuedAt', (extract(epoch FROM queued_at) * 1000000)::bigint,
           'recordedAt', (extract(epoch FROM recorded_at) * 1000000)::bigint))::text
FROM audit_events;
