-- Takes a code and begins the family of its application under the session. A code works once; one that another application
-- presents has leaked and is burnt. T-10, T-61, I-5, I-6.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 code
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 tag that the code is for
--       6 digest of the code  7 operation  8 MAC key id  9 grace window in seconds  10 address digest  11 device digest
--       12 application id  13 most families  14 event id  15 event common  16 tombstone ms
-- Reply {'redeemed', record, family} the record without its sealed data | {'missing'} | {'refused'} quarantined, sharing
--       is off, or shared with too many | {'ended', reason} | {'lapsed', reason}
local slot, now, sid, application, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[7]
local event_id, common, tombstone = ARGV[14], ARGV[15], tonumber(ARGV[16])

local h = read(KEYS[1])
if not h then
  return {'missing'}
end
if h.err then return h end
local before = family_of(slot, sid, h, application)
if before and before.err then return before end
if before and before.operation == operation then
  return {'redeemed', prefix(KEYS[1], h), pack_family(before)}
end
local code = redis.call('GET', KEYS[6])
if not code or string.sub(code, 1, 16) ~= ARGV[6] or string.sub(code, 17, 24) ~= h.app then
  return {'missing'}
end
if application ~= ARGV[5] then
  redis.call('DEL', KEYS[6])
  emit(KEYS[5], event_id, 'share.refused', '', sid, h.tag, ARGV[12], common)
  return {'missing'}
end
if h.state ~= ACTIVE then
  return {'ended', h.reason}
end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end
local families = key(slot, 'f', sid)
if h.standing == QUARANTINED or opted_out(h, NO_SHARING) or (not before and redis.call('HLEN', families) >= tonumber(ARGV[13])) then
  return {'refused'}
end
-- Used up only by what it gives: a refusal that is asked for again is the same refusal.
redis.call('DEL', KEYS[6])
-- Twin of core::family::first_generation.
local tenths = math.floor(math.max(0, now - h.created) / 100)
local first = next_generation(math.max(h.revision, tenths))
local family = {
  format = FAMILY_FORMAT, mac_key = tonumber(ARGV[8]), scopes = string.byte(code, 25), first = first, generation = first,
  grace = tonumber(ARGV[9]), created = now, rotated = now, operation = operation, address = ARGV[10],
  device = opted_out(h, NO_FINGERPRINT) and UNKNOWN or ARGV[11],
  id = ARGV[12],
}
h.flags = bit.bor(h.flags, SHARED)
h.active = math.max(h.active, now)
patch(KEYS[1], h)
redis.call('HSET', families, application, pack_family(family))
local left = redis.call('PTTL', KEYS[1])
if left > 0 then
  redis.call('PEXPIRE', families, left)
end
emit(KEYS[5], event_id, 'share.redeemed', '', sid, h.tag, family.id, common)
return {'redeemed', prefix(KEYS[1], h), pack_family(family)}
