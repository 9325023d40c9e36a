-- Rotates a refresh family. Twin of core::refresh_decision::decide, with the same numbered cases. I-1 to I-3, T-02 to T-09.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 the user's history
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 generation presented  6 operation
--       7 address digest  8 device digest  9 judged revision or -1  10 event id  11 event common  12 tombstone ms
--       13 thumbprint of the caller's key or ''  14 judged standing  15 judged score  16 history to keep or ''
--       17 ms to keep it  18 judged attributes or ''  19 event of the judgement or ''  20 its detail
-- Reply {'missing'} | {'ended', reason} | {'lapsed', reason} | {'replay', owner's tag} | {'moved'} | {'key'}
--       | {'superseded'} | {'successor'|'rotated'|'healed'|'quarantined', record, family} | {'context', record, family,
--       history}; records without the sealed data; the family of an application that shares the session, or ''
local slot, now, sid, application, generation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local operation, address, device = ARGV[6], ARGV[7], ARGV[8]
local judged, event_id, common, tombstone = tonumber(ARGV[9]), ARGV[10], ARGV[11], tonumber(ARGV[12])

local h = read(KEYS[1])
if not h then
  return {'missing'}
end
if h.err then return h end
-- Where the token's family stands: the header itself, or the family of an application that shares the session.
local place, family = h, nil
if h.app ~= application then
  if bit.band(h.flags, SHARED) == 0 then -- case 1
    return {'missing'}
  end
  if h.state == ACTIVE then
    family = family_of(slot, sid, h, application)
    if family and family.err then return family end
    if not family or generation < family.first then -- case 1
      return {'missing'}
    end
    place = family
  end
end
if h.state ~= ACTIVE then -- case 2, or case 4 for an operation that proved a replay
  if h.reason == REUSE and h.operation == operation then
    return {'replay', h.app}
  end
  return {'ended', h.reason}
end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then -- case 3
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end
if not family and bit.band(h.flags, KEY_BOUND) ~= 0 then -- case 13
  local bound = attribute(KEYS[1], h, 11)
  if bound == '' or bound ~= ARGV[13] then
    return {'key'}
  end
end

local function answer(word)
  return {word, prefix(KEYS[1], h), family and pack_family(family) or ''}
end

local quarantined = h.standing == QUARANTINED and answer('quarantined') -- case 15
if operation == place.operation and next_generation(generation) == place.generation then -- case 4
  return quarantined or answer('successor')
end

local whose = family and family.id or attribute(KEYS[1], h, 2)
if generation < place.generation then
  local inside = math.max(0, now - place.rotated) <= place.grace * 1000
  local superseded = not family and h.superseded ~= 0
    and (generation == h.superseded or (generation + 1 == h.superseded and inside))
  if superseded then -- case 14
    return {'superseded'}
  end
  if generation + 1 == place.generation and inside and not differs(place.device, device) then -- case 8
    return quarantined or answer('successor')
  end
  -- The user's history remembers when: its first five bytes are version and last replay.
  local version = redis.call('GETRANGE', KEYS[6], 0, 0)
  if version == '' or version == '\1' then
    redis.call('SETRANGE', KEYS[6], 0, struct.pack('>BI4', 1, math.floor(now / 1000)))
    redis.call('PEXPIRE', KEYS[6], ARGV[17])
  end
  emit(KEYS[5], event_id .. '.1', 'refresh.replayed', REASONS[REUSE], sid, h.tag, whose, common)
  finish(slot, sid, h, REUSE, now, operation, tombstone, KEYS[5], event_id, common) -- cases 5, 6, 7
  return {'replay', h.app}
end

if quarantined then
  return quarantined
end
local changed = differs(place.address, address) or differs(place.device, device)
if changed and judged < 0 then -- case 9
  local reply = answer('context')
  table.insert(reply, redis.call('GET', KEYS[6]) or '')
  return reply
end
if judged >= 0 and judged ~= h.revision then -- case 10
  return {'moved'}
end

local healed = generation > place.generation
place.generation = next_generation(generation) -- cases 11 and 12
place.rotated = now
place.operation = operation
if address ~= UNKNOWN then place.address = address end
if device ~= UNKNOWN and not opted_out(h, NO_FINGERPRINT) then place.device = device end
h.active = math.max(h.active, now)
if judged >= 0 then
  h.standing, h.score = tonumber(ARGV[14]), tonumber(ARGV[15])
  if ARGV[16] ~= '' then
    redis.call('SET', KEYS[6], ARGV[16], 'PX', ARGV[17])
  end
end
if family then
  redis.call('HSET', key(slot, 'f', sid), application, pack_family(family))
end
rewrite(KEYS[1], h, judged >= 0 and ARGV[18] or '')
if judged >= 0 and ARGV[19] ~= '' then
  emit(KEYS[5], event_id .. '.2', ARGV[19], '', sid, h.tag, whose, common, ARGV[20], attributes_of(KEYS[1], h))
end
emit(KEYS[5], event_id, healed and 'session.healed' or 'session.refreshed', '', sid, h.tag, whose, common)
return answer(healed and 'healed' or 'rotated')
