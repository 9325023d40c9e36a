-- Prelude of every script: the record's header and the steps that several scripts share.
--
-- Offsets are those of shared/src/core/record.rs; a test compares the two on random records. Keys beyond KEYS are
-- built by `key` only, always inside the hash tag of KEYS[1]: a user's index names sessions that the caller can not
-- know, and all of them share the slot by construction. Names are those of shared/src/adapters/redis/keys.rs.

local HEADER = '>BBBBI4I4I4I4I4I6I6I6I6I6I2c8c8c8c8c8I2BBBBI4I4'
local HEADER_BYTES = 110
local UNKNOWN = string.rep('\0', 8)
local FORMAT = 2
local ACTIVE, ENDED = 1, 2
local QUARANTINED = 2
local KEY_BOUND, SHARED = 1, 2
local IDLE, ABSOLUTE, EVICTED, REUSE, REVOKE_ALL = 3, 4, 5, 6, 7
local REASONS = {'user', 'admin', 'idle', 'absolute', 'evicted', 'reuse', 'revoke_all', 'token_revoked', 'device_removed',
  'device_blocked', 'risk'}

local function key(slot, letter, id)
  return letter .. ':' .. slot .. ':' .. id
end

-- The header of a record, or nil when there is none. A record of another format stops the script before any write.
local function read(record_key)
  local bytes = redis.call('GETRANGE', record_key, 0, HEADER_BYTES - 1)
  if #bytes == 0 then
    return nil
  end
  local format, state = string.byte(bytes, 1, 2)
  if #bytes < HEADER_BYTES or format ~= FORMAT or (state ~= ACTIVE and state ~= ENDED) then
    return redis.error_reply('UNREADABLE record')
  end
  local h = {}
  h.format, h.state, h.reason, h.mac_key, h.version, h.revision, h.epoch, h.generation, h.idle, h.created, h.active,
    h.absolute, h.rotated, h.ended, h.attributes, h.operation, h.tag, h.app, h.address, h.device,
    h.grace, h.standing, h.trust, h.score, h.flags, h.superseded, h.device_epoch = struct.unpack(HEADER, bytes)
  return h
end

local function pack(h)
  return struct.pack(HEADER, h.format, h.state, h.reason, h.mac_key, h.version, h.revision, h.epoch, h.generation,
    h.idle, h.created, h.active, h.absolute, h.rotated, h.ended, h.attributes, h.operation, h.tag, h.app, h.address,
    h.device, h.grace, h.standing, h.trust, h.score, h.flags, h.superseded, h.device_epoch)
end

-- The number after another. Generations stay at the largest, as in core::refresh_decision.
local function next_generation(generation)
  return math.min(generation + 1, 4294967295)
end

-- Versions and revisions go round, as in Rust.
local function next_number(number)
  return (number + 1) % 4294967296
end

-- Whether one key text comes before another, byte by byte: `<` on strings follows the server's locale.
local function precedes(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = string.byte(one, at), string.byte(other, at)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- Writes the header in place; attributes, sealed data and TTL stay.
local function patch(record_key, h)
  h.revision = next_number(h.revision)
  redis.call('SETRANGE', record_key, 0, pack(h))
end

-- Why an active record is dead all the same, or nil. Twin of core::session::liveness.
local function lapsed(h, epoch, now)
  if h.epoch < epoch then
    return REVOKE_ALL
  elseif now >= h.absolute then
    return ABSOLUTE
  elseif now >= h.active + h.idle * 1000 then
    return IDLE
  end
  return nil
end

local function epoch_of(epoch_key)
  return tonumber(redis.call('GET', epoch_key) or '0')
end

-- The reply to a holder whose own session is over, or nil while it lives.
local function refuse_caller(record_key, epoch, now)
  local h = read(record_key)
  if not h then
    return {'caller', 0}
  end
  if h.err then return h end
  local over = h.state ~= ACTIVE and h.reason or lapsed(h, epoch, now)
  return over and {'caller', over}
end

-- The header of an application's session that nobody has ended; else nil and the reply that says so.
local function owned(record_key, application)
  local h = read(record_key)
  if h and h.err then return nil, h end
  if not h or h.app ~= application then
    return nil, {'missing'}
  end
  if h.state ~= ACTIVE then
    return nil, {'ended', h.reason}
  end
  return h
end

-- Header and attributes, without the sealed data.
local function prefix(record_key, h)
  return redis.call('GETRANGE', record_key, 0, HEADER_BYTES + h.attributes - 1)
end

-- One text attribute of a record (core/attributes.rs), or ''.
local function attribute(record_key, h, wanted)
  local bytes = redis.call('GETRANGE', record_key, HEADER_BYTES, HEADER_BYTES + h.attributes - 1)
  local at = 1
  while at + 2 <= #bytes do
    local tag, length = struct.unpack('>BI2', bytes, at)
    if tag == wanted then
      return string.sub(bytes, at + 3, at + 2 + length)
    end
    at = at + 3 + length
  end
  return ''
end

-- A session's lock and what outlives it (core/lock.rs).
local LOCK, ISSUED = '>c16I6BI6c8', '>I6c8'

-- The lock that is held, with what is left of it by the store's clock, or nil.
local function lock_of(lock_key)
  local bytes = redis.call('GET', lock_key)
  if not bytes then
    return nil
  end
  local lock = {left = redis.call('PTTL', lock_key)}
  lock.owner, lock.fence, lock.renewals, lock.granted, lock.operation = struct.unpack(LOCK, bytes)
  return lock
end

local function issued_of(issued_key)
  local bytes = redis.call('GET', issued_key)
  if not bytes then
    return {highest = 0, released_by = UNKNOWN}
  end
  local issued = {}
  issued.highest, issued.released_by = struct.unpack(ISSUED, bytes)
  return issued
end

-- Appends one event to the bucket's outbox, in the same atomic step as the change it tells of.
local function emit(outbox_key, id, kind, reason, sid, tag, application, common)
  redis.call('XADD', outbox_key, '*', 'i', id, 't', kind, 'r', reason, 's', sid, 'u', tag, 'a', application, 'c', common)
end

-- The id of an operation's event about one of several sessions. It must not depend on how many came before: the same
-- operation may run again over what the first run left.
local function event_of(event_id, sid)
  return event_id .. '.' .. sid
end

-- Ends a session: tombstone without attributes and data, out of index and expiry queue, one event. The tombstone lives as
-- long as the session could have, within the given bound, and a day at least: who held it can be told why it is over.
local function finish(slot, sid, h, reason, now, operation, tombstone_millis, outbox_key, event_id, common)
  local record_key = key(slot, 's', sid)
  local application = attribute(record_key, h, 2)
  h.state, h.reason, h.ended, h.attributes, h.operation = ENDED, reason, now, 0, operation
  h.revision = next_number(h.revision)
  local ttl = math.max(86400000, math.min(tombstone_millis, h.absolute - now))
  redis.call('SET', record_key, pack(h), 'PX', string.format('%d', ttl))
  redis.call('ZREM', key(slot, 'u', h.tag), sid)
  redis.call('ZREM', 'x:' .. slot, sid)
  emit(outbox_key, event_id, 'session.ended', REASONS[reason], sid, h.tag, application, common)
end
