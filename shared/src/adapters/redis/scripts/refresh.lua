-- Rotates a refresh family. Twin of core::refresh_decision::decide, with the same numbered cases. I-1 to I-3, T-02 to T-09.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 the user's history
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 application tag  5 generation presented  6 operation
--       7 address digest  8 device digest  9 judged revision or -1  10 event id  11 event common  12 tombstone ms
--       13 thumbprint of the caller's key or ''  14 judged standing  15 judged score  16 history to keep or ''
--       17 ms to keep it  18 judged attributes or ''  19 event of the judgement or ''  20 its detail
-- Reply {'missing'} | {'ended', reason} | {'lapsed', reason} | {'replay'} | {'successor'|'rotated'|'healed', record}
--       | {'context', record, history} | {'moved'} | {'key'} | {'superseded'} | {'quarantined', record}; records without
--       the sealed data
local slot, now, sid, application, generation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local operation, address, device = ARGV[6], ARGV[7], ARGV[8]
local judged, event_id, common, tombstone = tonumber(ARGV[9]), ARGV[10], ARGV[11], tonumber(ARGV[12])

local h = read(KEYS[1])
if not h then
  return {'missing'}
end
if h.err then return h end
if h.app ~= application then -- case 1
  return {'missing'}
end
if h.state ~= ACTIVE then -- case 2, or case 4 for an operation that proved a replay
  if h.reason == REUSE and h.operation == operation then
    return {'replay'}
  end
  return {'ended', h.reason}
end
local reason = lapsed(h, epoch_of(KEYS[3]), now)
if reason then -- case 3
  finish(slot, sid, h, reason, now, operation, tombstone, KEYS[5], event_id, common)
  return {'lapsed', reason}
end
if bit.band(h.flags, KEY_BOUND) ~= 0 then -- case 13
  local bound = attribute(KEYS[1], h, 11)
  if bound == '' or bound ~= ARGV[13] then
    return {'key'}
  end
end
local quarantined = h.standing == QUARANTINED and {'quarantined', prefix(KEYS[1], h)} -- case 15
if operation == h.operation and next_generation(generation) == h.generation then -- case 4
  return quarantined or {'successor', prefix(KEYS[1], h)}
end

if generation < h.generation then
  local inside = math.max(0, now - h.rotated) <= h.grace * 1000
  local superseded = h.superseded ~= 0
    and (generation == h.superseded or (generation + 1 == h.superseded and inside))
  if superseded then -- case 14
    return {'superseded'}
  end
  if generation + 1 == h.generation and inside and not differs(h.device, device) then -- case 8
    return quarantined or {'successor', prefix(KEYS[1], h)}
  end
  -- The user's history remembers when: its first five bytes are version and last replay.
  local version = redis.call('GETRANGE', KEYS[6], 0, 0)
  if version == '' or version == '\1' then
    redis.call('SETRANGE', KEYS[6], 0, struct.pack('>BI4', 1, math.floor(now / 1000)))
    redis.call('PEXPIRE', KEYS[6], ARGV[17])
  end
  emit(KEYS[5], event_id .. '.1', 'refresh.replayed', REASONS[REUSE], sid, h.tag, attribute(KEYS[1], h, 2), common)
  finish(slot, sid, h, REUSE, now, operation, tombstone, KEYS[5], event_id, common) -- cases 5, 6, 7
  return {'replay'}
end

if quarantined then
  return quarantined
end
local changed = differs(h.address, address) or differs(h.device, device)
if changed and judged < 0 then -- case 9
  return {'context', prefix(KEYS[1], h), redis.call('GET', KEYS[6]) or ''}
end
if judged >= 0 and judged ~= h.revision then -- case 10
  return {'moved'}
end

local healed = generation > h.generation
h.generation = next_generation(generation) -- cases 11 and 12
h.rotated = now
h.active = math.max(h.active, now)
h.operation = operation
if address ~= UNKNOWN then h.address = address end
if device ~= UNKNOWN then h.device = device end
if judged >= 0 then
  h.standing, h.score = tonumber(ARGV[14]), tonumber(ARGV[15])
  if ARGV[16] ~= '' then
    redis.call('SET', KEYS[6], ARGV[16], 'PX', ARGV[17])
  end
end
rewrite(KEYS[1], h, judged >= 0 and ARGV[18] or '')
local owner = attribute(KEYS[1], h, 2)
if judged >= 0 and ARGV[19] ~= '' then
  emit(KEYS[5], event_id .. '.2', ARGV[19], '', sid, h.tag, owner, common, ARGV[20])
end
emit(KEYS[5], event_id, healed and 'session.healed' or 'session.refreshed', '', sid, h.tag, owner, common)
return {healed and 'healed' or 'rotated', prefix(KEYS[1], h)}
