-- Tells the audit of something that changes nothing, while the session it concerns is there.
--
-- KEYS  1 session  2 outbox
-- ARGV  1 key text of the session  2 application tag  3 event type  4 event detail  5 event id  6 event common
-- Reply 1 told | 0 there is no such active session of this application
local h, refusal = owned(KEYS[1], ARGV[2])
if not h then
  return refusal.err and refusal or 0
end
emit(KEYS[2], ARGV[5], ARGV[3], '', ARGV[1], h.tag, attribute(KEYS[1], h, 2), ARGV[6], ARGV[4])
return 1
