-- Alerts, and what their rules look at.

CREATE TABLE alerts (
    alert_id       text             PRIMARY KEY,
    rule           text             NOT NULL,
    -- Empty when the alert is about the whole stack.
    application_id text             NOT NULL,
    severity       text             NOT NULL,
    state          text             NOT NULL CHECK (state IN ('firing', 'resolved')),
    started_at     timestamptz      NOT NULL,
    -- When the value was last at half the threshold or above.
    breached_at    timestamptz      NOT NULL,
    resolved_at    timestamptz,
    value          double precision NOT NULL,
    threshold      double precision NOT NULL,
    summary        text             NOT NULL,
    -- What has been handed over for delivery. A run that dies before this is written hands it over again.
    told_fired     boolean          NOT NULL DEFAULT false,
    told_resolved  boolean          NOT NULL DEFAULT false
);

-- One alert of a rule at a time.
CREATE UNIQUE INDEX alerts_firing ON alerts (rule, application_id) WHERE state = 'firing';
CREATE INDEX alerts_application ON alerts (application_id, started_at);
CREATE INDEX alerts_untold ON alerts (started_at) WHERE NOT told_fired OR (state = 'resolved' AND NOT told_resolved);

-- Until when the last evaluation had seen every event. Its one row is the lock of evaluations as well.
CREATE TABLE alerts_progress (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    through  timestamptz NOT NULL
);

INSERT INTO alerts_progress (through) VALUES ('epoch');

-- Per chain, until when every event is in the audit: how far it is behind can be told when nothing is written, too.
CREATE TABLE audit_written_through (
    chain_group smallint    PRIMARY KEY,
    through     timestamptz NOT NULL
);

-- The few events that rules count, so that the many others cost nothing here. A change of `WATCHED_EVENTS` needs another
-- index; a test compares the two.
CREATE INDEX audit_events_watched ON audit_events (queued_at) INCLUDE (event_type, reason, application_id)
    WHERE event_type IN ('refresh.replayed', 'security.probing', 'session.binding_refused', 'session.key_refused',
                         'session.risk_raised', 'share.refused')
       OR (event_type = 'session.ended' AND reason = 'evicted');
