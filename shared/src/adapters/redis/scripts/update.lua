-- Replaces the sealed data of a session when its version is the expected one and no lock is in the way (twin of
-- core::lock::check_write). Never creates. I-11, I-12, T-68, T-69, T-71.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 lock  7 issued fences  8 the user's history
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 expected version  6 operation
--       7 sealed data  8 event id  9 event common  10 tombstone ms  11 'this' when the data must bear a seal, or 'any'
--       12 that seal (core::envelope::seal_mark)  13 auth_time of a calling holder's token in seconds or '', or 'any'
--       14 digest of the owner token of a lock, or ''  15 the holder's address and device digest, '' for an application
--       16 judgement of that context or ''  17 ms to keep the history
-- Reply {'updated', record, family} the family of an application that shares the session, or '' | {'missing'}, also to a
--       token from before a step-up | {'scope'} shared, but not for writing | {'ended', reason} | {'lapsed', reason}
--       | {'unjudged', record, history} the holder is quarantined, or its context has to be judged first | {'moved'} what
--       was judged is not the record any more | {'version', version} | {'locked', ms left} | {'lost'} the lock relied on
local slot, now, sid, application, expected = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local operation, sealed, event_id, common, tombstone = ARGV[6], ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])

local h, family, refusal = reached(slot, KEYS[1], sid, application, ARGV[13] ~= 'any')
if not h then return refusal end
if outdated(KEYS[1], h, ARGV[13]) then
  return {'missing'}
end
if family and bit.band(family.scopes, MAY_WRITE) == 0 then
  return {'scope'}
end
local shown = family and pack_family(family) or ''
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end
if h.operation == operation and h.version == next_number(expected) then
  return {'updated', prefix(KEYS[1], h), shown}
end
local judgement = ARGV[16] ~= '' and judgement_of(ARGV[16]) or nil
if judgement and judgement.revision ~= h.revision then
  return {'moved'}
end
if not judgement and unjudged(h, application, ARGV[15]) then
  return {'unjudged', prefix(KEYS[1], h), redis.call('GET', KEYS[8]) or ''}
end
local lock = lock_of(KEYS[6])
if ARGV[14] == '' then
  if lock then
    return {'locked', lock.left}
  end
elseif not lock or lock.owner ~= ARGV[14] or lock.fence ~= issued_of(KEYS[7]).highest then
  return {'lost'}
end
if h.version ~= expected then
  return {'version', h.version}
end
if ARGV[11] == 'this' then
  local start = HEADER_BYTES + h.attributes
  if redis.call('GETRANGE', KEYS[1], start, start + 17) ~= ARGV[12] then
    return {'version', h.version}
  end
end
h.version = next_number(expected)
h.revision = next_number(h.revision)
h.active = math.max(h.active, now)
h.operation = operation
local attributes = attributes_of(KEYS[1], h)
if judgement then
  h.standing, h.score, h.address, h.device = judgement.standing, judgement.score, judgement.address, judgement.device
  attributes = judgement.attributes
  h.attributes = #attributes
  if judgement.history ~= '' then
    redis.call('SET', KEYS[8], judgement.history, 'PX', ARGV[17])
  end
end
local record = pack(h) .. attributes
redis.call('SET', KEYS[1], record .. sealed, 'KEEPTTL')
if judgement and judgement.event ~= '' then
  local owner = attribute(KEYS[1], h, 2)
  emit(KEYS[5], event_id .. '.2', judgement.event, '', sid, h.tag, owner, common, judgement.detail, attributes)
end
emit(KEYS[5], event_id, 'session.updated', '', sid, h.tag, attribute(KEYS[1], h, 2), common)
return {'updated', record, shown}
