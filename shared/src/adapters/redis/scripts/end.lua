-- Ends one session, for the application that owns it; for one that shares it, its share. Idempotent: a tombstone stays as it is. Only shrinks, so it also runs when memory is short.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 the caller's own session, when a holder calls
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 reason  6 operation  7 event id
--       8 event common  9 tombstone ms  10 auth_time of the calling holder's token in seconds or ''
--       11 ms; a share that began later stays
-- Reply {'ended', reason} ended here or before | {'missing'} | {'caller', reason} the caller's own session is over
local slot, now, sid, application, reason = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local operation, event_id, common, tombstone = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])

local epoch = epoch_of(KEYS[3])
local by_holder = KEYS[6] == KEYS[1]
if KEYS[6] and not by_holder then
  local refusal = refuse_caller(slot, KEYS[6], application, ARGV[10], epoch, now)
  if refusal then return refusal end
end
local h, family, refusal = reached(slot, KEYS[1], sid, application, by_holder)
if not h then
  local again = refusal[1] == 'missing' and read(KEYS[1])
  -- The same operation again, over the share that it took.
  return again and again.operation == operation and {'ended', reason} or refusal
end
if by_holder and outdated(KEYS[1], h, ARGV[10]) then
  return {'caller', 0}
end
if family then
  if family.created > tonumber(ARGV[11]) then
    return {'missing'}
  end
  withdraw(slot, KEYS[1], sid, h, application, family.id, operation, KEYS[5], event_id, common)
  return {'ended', reason}
end
reason = lapsed(h, epoch, now) or reason
finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
return {'ended', reason}
