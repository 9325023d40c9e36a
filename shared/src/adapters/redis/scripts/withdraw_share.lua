-- Takes a session from an application that it is shared with: for the owner, or for that application itself. T-61, I-1.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 the caller's own session, when a holder calls
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 tag of the application that asks  5 tag of the one to lose it
--       6 ms; a share that began later stays  7 operation  8 event id  9 event common
--       10 auth_time of the calling holder's token in seconds or ''
-- Reply {'withdrawn'} | {'missing'} | {'ended', reason} | {'caller', reason} the caller's own session is over
local slot, now, sid, asking, application = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local operation, event_id, common = ARGV[7], ARGV[8], ARGV[9]

if KEYS[6] then
  local refusal = refuse_caller(slot, KEYS[6], asking, ARGV[10], epoch_of(KEYS[3]), now)
  if refusal then return refusal end
end
local h = read(KEYS[1])
if not h then
  return {'missing'}
end
if h.err then return h end
local by_owner = h.app == asking
if h.app == application or not (by_owner or asking == application) then
  return {'missing'}
end
if h.state ~= ACTIVE then
  return by_owner and {'ended', h.reason} or {'missing'}
end
local family = family_of(slot, sid, h, application)
if family and family.err then return family end
if family and family.created <= tonumber(ARGV[6]) then
  withdraw(slot, KEYS[1], sid, h, application, family.id, operation, KEYS[5], event_id, common)
  return {'withdrawn'}
end
if by_owner and not family and redis.call('DEL', code_key(slot, sid, application)) == 1 then
  emit(KEYS[5], event_id, 'share.withdrawn', '', sid, h.tag, attribute(KEYS[1], h, 2), common)
end
local again = h.operation == operation
return (by_owner or again) and {'withdrawn'} or {'missing'}
