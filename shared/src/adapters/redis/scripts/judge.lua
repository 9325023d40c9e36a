-- Commits a judgement of a changed context. It was made from one revision of the record; when the record has moved on,
-- nothing changes and the caller looks again. Never creates. Twin of core::risk::judgement.
--
-- KEYS  1 session  2 epoch  3 outbox  4 the user's history
-- ARGV  1 now ms  2 key text of the session  3 application tag  4 judgement  5 operation  6 activity to record in ms or 0
--       7 event id  8 event common  9 ms to keep the history
-- Reply {'judged', record} without the sealed data | {'missing'} | {'ended', reason} | {'moved'}
local now, sid, judgement = tonumber(ARGV[1]), ARGV[2], judgement_of(ARGV[4])
local h, refusal = owned(KEYS[1], ARGV[3])
if not h then return refusal end
local reason = lapsed(h, epoch_of(KEYS[2]), now)
if reason then
  return {'ended', reason}
end
if h.operation == ARGV[5] then
  return {'judged', prefix(KEYS[1], h)}
end
if h.revision ~= judgement.revision then
  return {'moved'}
end
h.operation = ARGV[5]
h.standing, h.score, h.address, h.device = judgement.standing, judgement.score, judgement.address, judgement.device
h.active = math.max(h.active, tonumber(ARGV[6]))
rewrite(KEYS[1], h, judgement.attributes)
if judgement.history ~= '' then
  redis.call('SET', KEYS[4], judgement.history, 'PX', ARGV[9])
end
if judgement.event ~= '' then
  emit(KEYS[3], ARGV[7], judgement.event, '', sid, h.tag, attribute(KEYS[1], h, 2), ARGV[8], judgement.detail,
    attributes_of(KEYS[1], h))
end
return {'judged', prefix(KEYS[1], h)}
