-- Ends one session. Idempotent: a tombstone stays as it is. Only shrinks, so it also runs when memory is short.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 the caller's own session, when a holder calls
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 reason  6 operation  7 event id
--       8 event common  9 tombstone ms
-- Reply {'ended', reason} ended here or before | {'missing'} | {'caller', reason} the caller's own session is over
local slot, now, sid, application, reason = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local operation, event_id, common, tombstone = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])

local epoch = epoch_of(KEYS[3])
if KEYS[6] and KEYS[6] ~= KEYS[1] then
  local refusal = refuse_caller(KEYS[6], epoch, now)
  if refusal then return refusal end
end
local h, refusal = owned(KEYS[1], application)
if not h then return refusal end
reason = lapsed(h, epoch, now) or reason
finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
return {'ended', reason}
