-- Binds a session to the key of a browser, once in its life. Twin of core::dbsc::decide. T-17.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 operation  6 attributes to add
--       7 event id  8 event common  9 tombstone ms
-- Reply {'bound', record} | {'missing'} | {'ended', reason} | {'lapsed', reason} | {'taken'} a key is there already
local slot, now, sid, application = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local operation, added, event_id, common, tombstone = ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])

local h, refusal = owned(KEYS[1], application)
if not h then return refusal end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end
local owner = attribute(KEYS[1], h, 2)
if bit.band(h.flags, KEY_BOUND) ~= 0 then
  if h.operation == operation then
    return {'bound', prefix(KEYS[1], h)}
  end
  emit(KEYS[5], event_id, 'session.key_refused', '', sid, h.tag, owner, common)
  return {'taken'}
end
local attributes = redis.call('GETRANGE', KEYS[1], HEADER_BYTES, HEADER_BYTES + h.attributes - 1) .. added
local sealed = redis.call('GETRANGE', KEYS[1], HEADER_BYTES + h.attributes, -1)
h.flags = bit.bor(h.flags, KEY_BOUND)
h.revision = next_number(h.revision)
h.active = math.max(h.active, now)
h.operation = operation
h.attributes = #attributes
local record = pack(h) .. attributes
redis.call('SET', KEYS[1], record .. sealed, 'KEEPTTL')
emit(KEYS[5], event_id, 'session.key_bound', '', sid, h.tag, owner, common)
return {'bound', record}
