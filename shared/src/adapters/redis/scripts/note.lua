-- Appends one event about a change that another store holds. Run twice it appends it twice; the audit keeps one row of an id.
--
-- KEYS  1 outbox
-- ARGV  1 event id  2 event type  3 reason or ''  4 user tag  5 application id  6 event common
--       7 detail or ''
-- Reply 1
emit(KEYS[1], ARGV[1], ARGV[2], ARGV[3], '', ARGV[4], ARGV[5], ARGV[6], ARGV[7])
return 1
