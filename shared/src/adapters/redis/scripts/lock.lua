-- Grants or renews the lock of a session. Twin of core::lock::decide. The store's clock alone says how long a lock lasts.
-- I-12, T-71 to T-73.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 lock  7 issued fences
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 operation  6 event id  7 event common
--       8 tombstone ms  9 digest of the owner token  10 acquire or renew  11 ms wanted  12 most renewals
--       13 longest hold ms
-- Reply {'granted', fence, ms left, renewals} | {'held', ms left} | {'lost'} | {'exhausted'} | {'missing'}
--       | {'ended', reason} | {'lapsed', reason}
local slot, now, sid, application, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local event_id, common, tombstone, owner = ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9]
local wanted, ttl = ARGV[10], tonumber(ARGV[11])

local h, refusal = owned(KEYS[1], application)
if not h then return refusal end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end

local lock = lock_of(KEYS[6])
if lock and lock.operation == operation then
  return {'granted', lock.fence, lock.left, lock.renewals}
end
if lock and wanted == 'acquire' then
  return {'held', lock.left}
end
if wanted == 'renew' and (not lock or lock.owner ~= owner) then
  return {'lost'}
end

local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
if wanted == 'acquire' then
  local issued = issued_of(KEYS[7])
  lock = {owner = owner, fence = math.max(issued.highest + 1, clock), renewals = 0, granted = clock}
  redis.call('SET', KEYS[7], struct.pack(ISSUED, lock.fence, issued.released_by),
    'PXAT', string.format('%d', h.absolute + 86400000))
  emit(KEYS[5], event_id, 'session.locked', '', sid, h.tag, attribute(KEYS[1], h, 2), common)
else
  local left = lock.granted + tonumber(ARGV[13]) - clock
  if lock.renewals >= tonumber(ARGV[12]) or left <= 0 then
    return {'exhausted'}
  end
  lock.renewals = lock.renewals + 1
  ttl = math.min(ttl, left)
end
redis.call('SET', KEYS[6], struct.pack(LOCK, lock.owner, lock.fence, lock.renewals, lock.granted, operation),
  'PX', string.format('%d', ttl))
return {'granted', lock.fence, ttl, lock.renewals}
