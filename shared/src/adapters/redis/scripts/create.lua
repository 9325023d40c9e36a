-- Admits one more session of a user, atomically: limits, eviction, record, index, expiry queue, event. I-4, I-14, T-67.
--
-- KEYS  1 session  2 index  3 epoch  4 expiry queue  5 outbox  6 claim  7 the user's history
--       8 the user's privacy settings  9 device epoch, when there is a device
-- ARGV  1 hash tag  2 now ms  3 key text of the session  4 record (its epoch is set here)  5 limit
--       6 on limit (0 reject, 1 evict oldest, 2 evict least recent, 3 evict least trusted)  7 event id  8 event common
--       9 application id  10 tombstone ms  11 what the claim is on: digest of the payload that the
--       idempotency key stands for, or now as the legacy session's exchange, or ''  12 ms to keep the claim
--       13 limit of the device's type, or ''  14 on that limit  15 the type
--       16 id of the event that the device was registered, or ''  17 entry for the history or ''  18 ms to keep it
--       19 bits of what is off for a user who has not chosen  20 detail of the event
--       21 ms in which an exchange of a legacy session is repeated, '' when the claim is on a payload
-- Reply {'created', epoch, history, evicted…}, the history as it was before | {'repeated', epoch, history, evicted…} the
--       same operation again, the history as it is | {'replayed', key text, evicted…}
--       | {'mismatch'} the idempotency key stood for another payload | {'exchanged'} the legacy session was exchanged before
--       | {'limit'}
--       | {'privacy', bits} the user has switched off other things than the record's flags say; nothing was written
--       | {'device'} sessions of the device ended after the record's device epoch was read
local slot, now, sid, record = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local max, on_limit, event_id, common, application = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local tombstone, claimed, claim_millis, repeat_millis = tonumber(ARGV[10]), ARGV[11], ARGV[12], tonumber(ARGV[21])
local type_max, on_type_limit, device_type = tonumber(ARGV[13]), tonumber(ARGV[14]), ARGV[15]

-- A history with one sighting more: twin of core::risk::History::learn.
local ENTRY, ENTRY_BYTES = '>I4I4I4Bc6c6c6B', 32
local function learn(history, fresh)
  if #history < 5 or string.byte(history) ~= 1 then
    history = '\1\0\0\0\0'
  end
  local seen = {struct.unpack(ENTRY, fresh)}
  local at_second, entries, known, lately = seen[2], {}, nil, 0
  for offset = 6, math.min(#history, 5 + 16 * ENTRY_BYTES) - ENTRY_BYTES + 1, ENTRY_BYTES do
    local entry = {struct.unpack(ENTRY, history, offset)}
    table.insert(entries, entry)
    if not known and entry[5] == seen[5] and entry[6] == seen[6] then known = #entries end
    if at_second - entry[1] < 3600 then lately = lately + 1 end
  end
  local function count(entry)
    if at_second - entry[3] > 600 then
      entry[3], entry[4] = at_second, seen[4]
    else
      entry[4] = math.min(entry[4] + seen[4], 255)
    end
  end
  if known then
    local entry = table.remove(entries, known)
    entry[2], entry[7] = math.max(entry[2], at_second), seen[7]
    count(entry)
    table.insert(entries, 1, entry)
  elseif lately < 4 then
    table.insert(entries, 1, seen)
    entries[17] = nil
  elseif entries[1] then
    count(entries[1])
  end
  local packed = {string.sub(history, 1, 5)}
  for _, e in ipairs(entries) do
    table.insert(packed, struct.pack(ENTRY, e[1], e[2], e[3], e[4], e[5], e[6], e[7], 0))
  end
  return table.concat(packed)
end

if claimed ~= '' then
  local claim = redis.call('GET', KEYS[6])
  if claim then
    -- Twin of core::legacy_session::is_repeated.
    if repeat_millis then
      if now >= struct.unpack('>I6', claim) + repeat_millis then
        return {'exchanged'}
      end
    elseif string.sub(claim, 1, #claimed) ~= claimed then
      return {'mismatch'}
    end
    local reply = {'replayed'}
    for word in string.gmatch(string.sub(claim, #claimed + 1), '[^ ]+') do
      table.insert(reply, word)
    end
    return reply
  end
end

local fresh = {struct.unpack(HEADER, record)}
local absolute, idle, active, operation, own = fresh[12], fresh[9], fresh[11], fresh[16], fresh[18]

local existing = read(KEYS[1])
if existing then
  if existing.err then return existing end
  if existing.operation == operation then
    -- Whom the first run evicted stands in the events that it has just appended. Beside them lie entries that are of no
    -- session and have no such field.
    local reply = {'repeated', existing.epoch, ARGV[17] ~= '' and redis.call('GET', KEYS[7]) or ''}
    for _, entry in ipairs(redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 1000)) do
      local field = {}
      for index = 1, #entry[2], 2 do
        field[entry[2][index]] = entry[2][index + 1]
      end
      if field.s and field.i == event_of(event_id, field.s) and field.r == REASONS[EVICTED] then
        table.insert(reply, 4, field.s)
      end
    end
    return reply
  end
  return redis.error_reply('COLLISION session id')
end

local mirror = redis.call('GET', KEYS[8]) or string.char(tonumber(ARGV[19]))
if bit.band(fresh[25], NO_LOCATION + NO_FINGERPRINT + NO_SHARING) ~= privacy_flags(mirror) then
  return {'privacy', string.byte(mirror)}
end
if KEYS[9] and fresh[27] < epoch_of(KEYS[9]) then
  return {'device'}
end

local epoch = epoch_of(KEYS[3])
local live, dead = {}, {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local h = read(key(slot, 's', member))
  if h and h.err then
    -- An unreadable record counts for nobody and is left as it is.
  elseif not h or h.state ~= ACTIVE then
    table.insert(dead, {sid = member})
  else
    local reason = lapsed(h, epoch, now)
    if reason then
      table.insert(dead, {sid = member, h = h, reason = reason})
    elseif h.app == own then
      local same_type = type_max and attribute(key(slot, 's', member), h, 8) == device_type
      table.insert(live, {sid = member, h = h, same_type = same_type})
    end
  end
end

-- Moves whoever must go so that one more fits from the sessions to the victims, and returns the others; nil rejects. Twin
-- of core::admission.
local victims = {}
local function make_room(sessions, limit, on_full)
  local surplus = #sessions + 1 - limit
  if surplus <= 0 then
    return sessions
  elseif on_full == 0 then
    return nil
  end
  local field = on_full == 1 and 'created' or 'active'
  table.sort(sessions, function(a, b)
    if on_full == 3 and a.h.trust ~= b.h.trust then
      return a.h.trust < b.h.trust
    elseif a.h[field] ~= b.h[field] then
      return a.h[field] < b.h[field]
    end
    return precedes(a.sid, b.sid)
  end)
  local kept = {}
  for index, entry in ipairs(sessions) do
    table.insert(index <= surplus and victims or kept, entry)
  end
  return kept
end

-- The limit of the type comes first: what it evicts makes room under the limit of the user as well.
local rest = live
if type_max then
  local of_type = {}
  rest = {}
  for _, entry in ipairs(live) do
    table.insert(entry.same_type and of_type or rest, entry)
  end
  local kept = make_room(of_type, type_max, on_type_limit)
  if not kept then
    return {'limit'}
  end
  for _, entry in ipairs(kept) do
    table.insert(rest, entry)
  end
end
if not make_room(rest, max, on_limit) then
  return {'limit'}
end
local function finish_one(entry, reason)
  finish(slot, entry.sid, entry.h, reason, now, operation, tombstone, KEYS[5], event_of(event_id, entry.sid), common)
end
for _, entry in ipairs(dead) do
  if entry.h then
    finish_one(entry, entry.reason)
  else
    redis.call('ZREM', KEYS[2], entry.sid)
  end
end
local reply = {'created', epoch, ''}
for _, entry in ipairs(victims) do
  finish_one(entry, EVICTED)
  table.insert(reply, entry.sid)
end

-- The record outlives its absolute end by a day, so that the sweep finds it and tells why it ended.
local gone = absolute + 86400000
redis.call('SET', KEYS[1], string.sub(record, 1, 12) .. struct.pack('>I4', epoch) .. string.sub(record, 17),
  'PXAT', string.format('%d', gone))
redis.call('ZADD', KEYS[2], string.format('%d', fresh[10]), sid)
if redis.call('PTTL', KEYS[2]) < gone - now then
  redis.call('PEXPIREAT', KEYS[2], string.format('%d', gone))
end
redis.call('ZADD', KEYS[4], string.format('%d', math.min(active + idle * 1000, absolute)), sid)
if ARGV[16] ~= '' then
  emit(KEYS[5], ARGV[16], 'device.registered', '', '', fresh[17], application, common)
end
emit(KEYS[5], event_id, 'session.created', '', sid, fresh[17], application, common, ARGV[20],
  string.sub(record, HEADER_BYTES + 1, HEADER_BYTES + fresh[15]))
if ARGV[17] ~= '' then
  reply[3] = redis.call('GET', KEYS[7]) or ''
  redis.call('SET', KEYS[7], learn(reply[3], ARGV[17]), 'PX', ARGV[18])
end
if claimed ~= '' then
  local claim = {claimed .. sid}
  for index = 4, #reply do
    table.insert(claim, reply[index])
  end
  redis.call('SET', KEYS[6], table.concat(claim, ' '), 'PX', claim_millis)
end
return reply
