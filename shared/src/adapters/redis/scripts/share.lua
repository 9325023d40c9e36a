-- Keeps a code with which a related application takes a share of a session; a newer code replaces an older one. T-61.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 code
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 tag of the owner  5 tag of the application to share with
--       6 scopes  7 digest of the code  8 most families  9 ms to keep the code  10 operation  11 event id
--       12 event common  13 tombstone ms
-- Reply {'shared'} | {'refused'} quarantined, sharing is off, or shared with too many | {'missing'} | {'ended', reason} | {'lapsed', reason}
local slot, now, sid, owner, application = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local operation, event_id, common, tombstone = ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[13])

local h, refusal = owned(KEYS[1], owner)
if not h then return refusal end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end
local value = ARGV[7] .. owner .. string.char(tonumber(ARGV[6]))
if redis.call('GET', KEYS[6]) == value then
  return {'shared'}
end
local families = key(slot, 'f', sid)
local full = redis.call('HLEN', families) >= tonumber(ARGV[8]) and redis.call('HEXISTS', families, application) == 0
if full or h.standing == QUARANTINED or opted_out(h, NO_SHARING) then
  return {'refused'}
end
redis.call('SET', KEYS[6], value, 'PX', ARGV[9])
emit(KEYS[5], event_id, 'session.shared', '', sid, h.tag, attribute(KEYS[1], h, 2), common)
return {'shared'}
