-- Queues activities of a live session, unless its user has opted out, and records that the session is in use. Run twice it
-- queues them twice under one id; of the two one is written.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 the user's privacy  7 the user's history
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 operation  6 event id  7 event common
--       8 tombstone ms  9 auth_time of a calling holder's token in seconds or '', or 'any'
--       10 the holder's address and device digest, '' for an application  11 judgement of that context or ''
--       12 ms to keep the history  13 id of the calling application  14 earliest activity, ms  15 activities as JSON
--       16 bits of what is off for a user who has not chosen
-- Reply {'recorded'} | {'opted_out'} | {'early', created ms} | {'missing'}, also to a token from before a step-up
--       | {'scope'} shared, but not for writing | {'ended', reason} | {'lapsed', reason}
--       | {'unjudged', record, history} the holder is quarantined, or its context has to be judged first | {'moved'} what
--       was judged is not the record any more
local slot, now, sid, application, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local event_id, common, tombstone = ARGV[6], ARGV[7], tonumber(ARGV[8])

local h, family, refusal = reached(slot, KEYS[1], sid, application, ARGV[9] ~= 'any')
if not h then return refusal end
if outdated(KEYS[1], h, ARGV[9]) then
  return {'missing'}
end
if family and bit.band(family.scopes, MAY_WRITE) == 0 then
  return {'scope'}
end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end
local judgement = ARGV[11] ~= '' and judgement_of(ARGV[11]) or nil
if judgement and judgement.revision ~= h.revision then
  return {'moved'}
end
if not judgement and unjudged(h, application, ARGV[10]) then
  return {'unjudged', prefix(KEYS[1], h), redis.call('GET', KEYS[7]) or ''}
end
if tonumber(ARGV[14]) < h.created then
  return {'early', h.created}
end
if judgement then
  h.standing, h.score, h.address, h.device = judgement.standing, judgement.score, judgement.address, judgement.device
  h.active = math.max(h.active, now)
  rewrite(KEYS[1], h, judgement.attributes)
  if judgement.history ~= '' then
    redis.call('SET', KEYS[7], judgement.history, 'PX', ARGV[12])
  end
  if judgement.event ~= '' then
    emit(KEYS[5], event_id .. '.2', judgement.event, '', sid, h.tag, attribute(KEYS[1], h, 2), common, judgement.detail,
      attributes_of(KEYS[1], h))
  end
elseif now > h.active then
  redis.call('SETRANGE', KEYS[1], 30, struct.pack('>I6', now))
end
local chosen = string.byte(redis.call('GET', KEYS[6]) or '')
if bit.band(chosen or tonumber(ARGV[16]), OPTED_OUT_OF_ACTIVITY) ~= 0 then
  return {'opted_out'}
end
redis.call('XADD', KEYS[5], '*', 'i', event_id, 't', 'session.activity', 's', sid, 'u', h.tag, 'a', ARGV[13], 'y', ARGV[15])
return {'recorded'}
