-- Personal fields of an event, sealed under the key of its subject; null in rows without any, and then no part of the
-- row's hash. The chain is over the ciphertext, so it verifies when the key is gone.
ALTER TABLE audit_events ADD COLUMN sealed bytea;
