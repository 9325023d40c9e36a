-- Mirrors a user's privacy settings, and takes what has been switched off from the live sessions, their families and the
-- history in the same step. Of two changes the later version stays. Running it again changes nothing more. T-103.
--
-- KEYS  1 the user's privacy settings  2 index  3 outbox  4 the user's history
-- ARGV  1 hash tag  2 bits  3 version  4 operation  5 event id  6 event common  7 user tag  8 application id
--       9 detail of the event
-- Reply number of live sessions | -1 a later version is there
local slot, bits, version, operation = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local event_id, common = ARGV[5], ARGV[6]

local before = redis.call('GET', KEYS[1])
local known = before and struct.unpack('>I4', before, 2) or 0
if known > version then
  return -1
end
redis.call('SET', KEYS[1], struct.pack('>BI4', bits, version))
if version > known then
  emit(KEYS[3], event_id, 'user.privacy_changed', '', '', ARGV[7], ARGV[8], common, ARGV[9])
end
local flags = privacy_flags(string.char(bits))
local function off(what)
  return bit.band(flags, what) ~= 0
end

-- A fingerprint without what tells the device: version, prefix and network stay, since they bind the session. Without
-- a network nothing stays.
local function network_alone(seen)
  return #seen >= 13 and string.sub(seen, 4, 11) ~= UNKNOWN and string.sub(seen, 1, 11) .. '\0\0' or nil
end

-- The attributes without what has been switched off (core/attributes.rs). An empty one of a later release stays.
local function stripped(bytes)
  local kept, at = {}, 1
  while at + 2 <= #bytes do
    local tag, length = struct.unpack('>BI2', bytes, at)
    local value = string.sub(bytes, at + 3, at + 2 + length)
    at = at + 3 + length
    if off(NO_LOCATION) and (tag == 15 or tag == 9) then
      value = nil
    elseif off(NO_FINGERPRINT) and tag == 10 then
      value = nil
    elseif off(NO_FINGERPRINT) and tag == 13 then
      value = network_alone(value)
    end
    if value then
      table.insert(kept, struct.pack('>BI2', tag, #value) .. value)
    end
  end
  return table.concat(kept)
end

local sessions = 0
for _, sid in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local record_key = key(slot, 's', sid)
  local h = read(record_key)
  if h and not h.err and h.state == ACTIVE then
    sessions = sessions + 1
    local families = key(slot, 'f', sid)
    local shared = opted_out(h, SHARED) and redis.call('HKEYS', families) or {}
    for _, application in ipairs(shared) do
      local f = family_of(slot, sid, h, application)
      if f and not f.err and off(NO_SHARING) then
        withdraw(slot, record_key, sid, h, application, f.id, operation, KEYS[3], event_of(event_id, sid .. '.' .. f.id),
          common)
      elseif f and not f.err and off(NO_FINGERPRINT) then
        f.device = UNKNOWN
        redis.call('HSET', families, application, pack_family(f))
      end
    end
    local bytes = redis.call('GETRANGE', record_key, HEADER_BYTES, HEADER_BYTES + h.attributes - 1)
    local attributes = stripped(bytes)
    local device = off(NO_FINGERPRINT) and UNKNOWN or h.device
    local wanted = bit.band(h.flags, KEY_BOUND + SHARED) + flags
    if attributes ~= bytes or device ~= h.device or wanted ~= h.flags then
      h.flags, h.device = wanted, device
      rewrite(record_key, h, attributes)
    end
  end
end
-- What the history learned before is not told apart by kind: it begins anew, behind when a token was last replayed.
if off(NO_LOCATION) or off(NO_FINGERPRINT) then
  local history = redis.call('GET', KEYS[4])
  if history and #history > 5 then
    redis.call('SET', KEYS[4], string.sub(history, 1, 5), 'KEEPTTL')
  end
end
return sessions
