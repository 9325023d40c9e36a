-- Commits a judgement of a changed context. It was made from one revision of the record; when the record has moved on,
-- nothing changes and the caller looks again. Never creates. Twin of core::risk::judgement.
--
-- KEYS  1 session  2 epoch  3 outbox  4 the user's history
-- ARGV  1 now ms  2 key text of the session  3 application tag  4 judged revision  5 operation  6 standing  7 score
--       8 address digest  9 device digest  10 attributes  11 activity to record in ms or 0  12 event type or ''
--       13 event detail  14 event id  15 event common  16 history to keep or ''  17 ms to keep it
-- Reply {'judged', record} without the sealed data | {'missing'} | {'ended', reason} | {'moved'}
local now, sid = tonumber(ARGV[1]), ARGV[2]
local h, refusal = owned(KEYS[1], ARGV[3])
if not h then return refusal end
local reason = lapsed(h, epoch_of(KEYS[2]), now)
if reason then
  return {'ended', reason}
end
if h.operation == ARGV[5] then
  return {'judged', prefix(KEYS[1], h)}
end
if h.revision ~= tonumber(ARGV[4]) then
  return {'moved'}
end
h.operation = ARGV[5]
h.standing, h.score = tonumber(ARGV[6]), tonumber(ARGV[7])
h.address, h.device = ARGV[8], ARGV[9]
h.active = math.max(h.active, tonumber(ARGV[11]))
rewrite(KEYS[1], h, ARGV[10])
if ARGV[16] ~= '' then
  redis.call('SET', KEYS[4], ARGV[16], 'PX', ARGV[17])
end
if ARGV[12] ~= '' then
  emit(KEYS[3], ARGV[14], ARGV[12], '', sid, h.tag, attribute(KEYS[1], h, 2), ARGV[15], ARGV[13])
end
return {'judged', prefix(KEYS[1], h)}
