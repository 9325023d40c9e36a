-- What an event says beyond its reason, in words of the service: verdict, score and signals of a judgement. Null in rows
-- without any, and then no part of the row's hash.
ALTER TABLE audit_events ADD COLUMN detail text;
