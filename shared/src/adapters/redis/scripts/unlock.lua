-- Releases the lock of a session for the owner of its token. Twin of core::lock::release. T-70.
--
-- The lock that was released last is remembered by its owner: who asks again, not knowing whether the first request
-- was carried out, gets the first answer.
--
-- A refused attempt is told of in the audit. When its call runs twice there are two entries of one event id, of which the
-- audit keeps one.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 lock  7 issued fences
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 operation  6 event id  7 event common
--       8 tombstone ms  9 digest of the owner token
-- Reply {'released'} | {'lost'} | {'missing'} | {'ended', reason} | {'lapsed', reason}
local slot, now, sid, application, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local event_id, common, tombstone = ARGV[6], ARGV[7], tonumber(ARGV[8])

local h, refusal = owned(KEYS[1], application)
if not h then return refusal end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end

local lock, issued, mark = lock_of(KEYS[6]), issued_of(KEYS[7]), string.sub(ARGV[9], 1, 8)
local holder = attribute(KEYS[1], h, 2)
if lock and lock.owner == ARGV[9] then
  redis.call('DEL', KEYS[6])
  redis.call('SET', KEYS[7], struct.pack(ISSUED, issued.highest, mark), 'PXAT',
    string.format('%d', h.absolute + 86400000))
  emit(KEYS[5], event_id, 'session.unlocked', '', sid, h.tag, holder, common)
  return {'released'}
end
if issued.released_by == mark then
  return {'released'}
end
emit(KEYS[5], event_id, 'lock.refused', '', sid, h.tag, holder, common)
return {'lost'}
