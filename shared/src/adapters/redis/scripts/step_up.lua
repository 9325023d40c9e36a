-- Puts the header and attributes that core::step_up decided in the place of those it judged. I-5, I-6, T-34, T-63.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 the user's history
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 revision that was judged
--       6 header and attributes  7 operation  8 event id  9 event common  10 tombstone ms
--       11 history to keep, or ''  12 ms to keep it
-- Reply {'stepped', record} without its sealed data | {'moved'} | {'missing'} | {'ended', reason} | {'lapsed', reason}
local slot, now, sid, application = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local operation, event_id, common, tombstone = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])

local h, refusal = owned(KEYS[1], application)
if not h then return refusal end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end
if h.operation == operation then
  return {'stepped', prefix(KEYS[1], h)}
end
if h.revision ~= tonumber(ARGV[5]) then
  return {'moved'}
end
local sealed = redis.call('GETRANGE', KEYS[1], HEADER_BYTES + h.attributes, -1)
redis.call('SET', KEYS[1], ARGV[6] .. sealed)
local stepped = read(KEYS[1])
if ARGV[11] ~= '' then
  redis.call('SET', KEYS[6], ARGV[11], 'PX', ARGV[12])
end
-- The record outlives its absolute end by a day, as when it was created; index and families last as long.
local gone = string.format('%d', stepped.absolute + 86400000)
redis.call('PEXPIREAT', KEYS[1], gone)
redis.call('PEXPIREAT', key(slot, 'f', sid), gone)
if redis.call('PTTL', KEYS[2]) < stepped.absolute + 86400000 - now then
  redis.call('PEXPIREAT', KEYS[2], gone)
end
redis.call('ZADD', KEYS[4], string.format('%d', math.min(stepped.active + stepped.idle * 1000, stepped.absolute)), sid)
emit(KEYS[5], event_id, 'session.stepped_up', '', sid, h.tag, attribute(KEYS[1], stepped, 2), common)
return {'stepped', ARGV[6]}
